//! What StackStorm's clients read about a runner besides its parameters: the names of its module and the shape of its output.
//!
//! A table of facts about the other side; nothing here says how squall runs anything.

use squall_model::{Value, from_json};

/// The module of a runner, and what its result looks like as a JSON schema.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Module {
    pub package: &'static str,
    pub module: &'static str,
    output: &'static str,
}

const ANYTHING: &str = r#"{"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "integer"}, {"type": "number"},
    {"type": "boolean"}, {"type": "array"}, {"type": "null"}]}"#;

const PYTHON: &str = r#"{"type": "object", "additionalProperties": false, "properties": {"result": ANYTHING,
    "stderr": {"type": "string", "required": true}, "stdout": {"type": "string", "required": true},
    "exit_code": {"type": "integer", "required": true}}}"#;

const HTTP: &str = r#"{"type": "object", "additionalProperties": false, "properties": {"status_code": {"type": "integer"},
    "body": {"anyOf": [{"type": "object"}, {"type": "string"}, {"type": "array"}]}, "parsed": {"type": "boolean"},
    "headers": {"type": "object"}}}"#;

const CHAIN: &str = r#"{"type": "object", "additionalProperties": false,
    "properties": {"published": {"type": "object"}, "tasks": {"type": "array"}}}"#;

const ORQUESTA: &str = r#"{"type": "object", "additionalProperties": false, "properties": {
    "errors": {"anyOf": [{"type": "object"}, {"type": "array"}]}, "output": ANYTHING}}"#;

const fn module(package: &'static str, module: &'static str) -> Module {
    Module { package, module, output: "{}" }
}

/// The module of the runner of this name; one that StackStorm does not know is its own.
pub(crate) fn of(runner: &'static str) -> Module {
    match runner {
        "noop" => module("noop_runner", "noop_runner"),
        "local-shell-cmd" => module("local_runner", "local_shell_command_runner"),
        "local-shell-script" => module("local_runner", "local_shell_script_runner"),
        "remote-shell-cmd" => module("remote_runner", "remote_command_runner"),
        "remote-shell-script" => module("remote_runner", "remote_script_runner"),
        "python-script" => Module { output: PYTHON, ..module("python_runner", "python_runner") },
        "http-request" => Module { output: HTTP, ..module("http_runner", "http_runner") },
        "announcement" => module("announcement_runner", "announcement_runner"),
        "inquirer" => module("inquirer_runner", "inquirer_runner"),
        "action-chain" => Module { output: CHAIN, ..module("action_chain_runner", "action_chain_runner") },
        "orquesta" => Module { output: ORQUESTA, ..module("orquesta_runner", "orquesta_runner") },
        "mistral-v2" => module("mistral_v2", "mistral_v2"),
        "winrm-cmd" => module("winrm_runner", "winrm_command_runner"),
        "winrm-ps-cmd" => module("winrm_runner", "winrm_ps_command_runner"),
        "winrm-ps-script" => module("winrm_runner", "winrm_ps_script_runner"),
        other => module(other, other),
    }
}

impl Module {
    /// The schema of the output.
    pub fn output_schema(self) -> Value {
        from_json(&self.output.replace("ANYTHING", ANYTHING), false).expect("the table is tested")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schema_can_be_read() {
        for runner in squall_content::runner_types() {
            assert!(of(runner.name).output_schema().as_map().is_some(), "{}", runner.name);
        }
    }
}
