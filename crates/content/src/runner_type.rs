//! Runner types: how an action runs, and which parameters every action of that kind has.
//!
//! This is a table. The runners themselves live in `runners` (processes), `engine` (native actions) and
//! `workflow`; here is only what metadata is checked against. To add a runner type, add an entry to [`ALL`].

use indexmap::IndexMap;
use squall_model::{Str, Value};
use std::sync::{Arc, LazyLock};

/// A kind of action.
#[derive(Debug)]
pub struct RunnerType {
    /// Its name, e.g. `local-shell-cmd`.
    pub name: &'static str,
    /// Names of former years that mean the same.
    pub aliases: &'static [&'static str],
    /// What it does.
    pub description: &'static str,
    /// The parameters of every action of this type: schemas as maps.
    pub parameters: IndexMap<Str, Value>,
    /// The part of the result that an action's output schema is about.
    pub output_key: Option<&'static str>,
    /// Only built-in packs may use it.
    pub is_internal: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Runs a command given by parameters; an entry point makes no sense.
    Command,
    /// Runs a file of the pack.
    Script,
    /// Interprets a file of the pack as a workflow.
    Workflow,
    /// Needs no file.
    Plain,
}

impl RunnerType {
    /// Whether its entry point is a workflow definition.
    pub fn is_workflow(&self) -> bool {
        self.kind == Kind::Workflow
    }

    /// Whether an action needs an entry point.
    pub fn needs_entry_point(&self) -> bool {
        matches!(self.kind, Kind::Workflow | Kind::Script)
    }

    /// Whether an action must not have an entry point.
    pub fn refuses_entry_point(&self) -> bool {
        self.kind == Kind::Command
    }

    /// StackStorm's unique id of it.
    pub fn uid(&self) -> String {
        format!("runner_type:{}", self.name)
    }
}

/// All runner types, in the order of the table.
pub fn runner_types() -> &'static [Arc<RunnerType>] {
    static TYPES: LazyLock<Vec<Arc<RunnerType>>> =
        LazyLock::new(|| ALL.iter().map(Spec::build).map(Arc::new).collect());
    &TYPES
}

/// The runner type of this name, old names included.
pub fn runner_type(name: &str) -> Option<&'static Arc<RunnerType>> {
    runner_types().iter().find(|runner| runner.name == name || runner.aliases.contains(&name))
}

struct Spec {
    name: &'static str,
    aliases: &'static [&'static str],
    description: &'static str,
    output_key: Option<&'static str>,
    kind: Kind,
    is_internal: bool,
    parameters: &'static [&'static str],
}

const PLAIN: Spec = Spec {
    name: "",
    aliases: &[],
    description: "",
    output_key: None,
    kind: Kind::Plain,
    is_internal: false,
    parameters: &[],
};

impl Spec {
    fn build(&self) -> RunnerType {
        RunnerType {
            name: self.name,
            aliases: self.aliases,
            description: self.description,
            parameters: self.parameters.iter().flat_map(|text| parameters(text)).collect(),
            output_key: self.output_key,
            is_internal: self.is_internal,
            kind: self.kind,
        }
    }
}

fn parameters(text: &str) -> Vec<(Str, Value)> {
    let document = squall_yaml::parse(text, &Default::default()).expect("the table is tested");
    match document.root.to_value() {
        Value::Map(map) => map.iter().map(|(name, schema)| (name.clone(), schema.clone())).collect(),
        _ => Vec::new(),
    }
}

const CMD: &str = "cmd: {type: string, description: 'The command, run by a shell.'}";

const LOCAL: &str = "
cwd: {type: string, description: 'Directory to run in.'}
env: {type: object, description: 'Additional environment variables.'}
kwarg_op: {type: string, default: '--', description: 'What stands before the name of a named argument.'}
sudo: {type: boolean, default: false, description: 'Run as root by sudo.'}
sudo_password: {type: string, default: null, secret: true, required: false, description: 'Password for sudo.'}
timeout: {type: integer, default: 60, description: 'Seconds after which the action is stopped.'}
";

const LOCAL_SCRIPT: &str = "
debug: {type: boolean, default: false, description: 'Keep what was made for the run.'}
content_version: {type: string, description: 'Git revision of the pack to run.'}
";

const REMOTE: &str = "
hosts: {type: string, required: true, description: 'Hosts, separated by commas, each with an optional port.'}
cwd: {type: string, default: /tmp, description: 'Directory to run in.'}
env: {type: object, description: 'Additional environment variables.'}
kwarg_op: {type: string, default: '--', description: 'What stands before the name of a named argument.'}
parallel: {type: boolean, default: false, immutable: true, description: 'Whether hosts are worked on at the same time.'}
port: {type: integer, description: 'Port of SSH, 22 if not given.'}
username: {type: string, description: 'User to log in as; the system user if not given.'}
password: {type: string, secret: true, description: 'Password to log in with.'}
private_key: {type: string, secret: true, description: 'Private key or the path of one.'}
passphrase: {type: string, secret: true, description: 'Passphrase of the private key.'}
bastion_host: {type: string, description: 'Host to go through.'}
sudo: {type: boolean, default: false, description: 'Run as root by sudo.'}
sudo_password: {type: string, default: null, secret: true, required: false, description: 'Password for sudo.'}
timeout: {type: integer, default: 60, description: 'Seconds after which the action is stopped.'}
";

const WINRM: &str = "
host: {type: string, required: true, description: 'Host to run on.'}
username: {type: string, required: true, description: 'User to log in as.'}
password: {type: string, required: true, secret: true, description: 'Password to log in with.'}
port: {type: integer, default: 5986, description: 'Port of WinRM.'}
scheme: {type: string, default: https, description: 'http or https.'}
transport: {type: string, default: ntlm, enum: [basic, certificate, credssp, kerberos, ntlm, plaintext, ssl], description: 'How to log in.'}
verify_ssl_cert: {type: boolean, default: true, description: 'Whether the certificate of the host is checked.'}
timeout: {type: integer, default: 60, description: 'Seconds after which the action is stopped.'}
cwd: {type: string, description: 'Directory to run in.'}
env: {type: object, description: 'Additional environment variables.'}
kwarg_op: {type: string, default: '-', description: 'What stands before the name of a named argument.'}
";

const WINDOWS: &str = "
host: {type: string, required: true, description: 'Host to run on.'}
username: {type: string, default: Administrator, required: true, description: 'User to log in as.'}
password: {type: string, required: true, secret: true, description: 'Password to log in with.'}
timeout: {type: integer, default: 60, description: 'Seconds after which the action is stopped.'}
";

const SKIP_NOTIFY: &str = "skip_notify: {type: array, default: [], description: 'Tasks that do not notify.'}";

/// The table. Parameters are schemas in YAML, in the order in which they are shown.
const ALL: &[Spec] = &[
    Spec { name: "noop", description: "Does nothing and succeeds.", ..PLAIN },
    Spec {
        name: "local-shell-cmd",
        aliases: &["run-local"],
        description: "Runs a command on this machine.",
        kind: Kind::Command,
        parameters: &[CMD, LOCAL],
        ..PLAIN
    },
    Spec {
        name: "local-shell-script",
        aliases: &["run-local-script"],
        description: "Runs a script of the pack on this machine.",
        kind: Kind::Script,
        parameters: &[LOCAL, LOCAL_SCRIPT],
        ..PLAIN
    },
    Spec {
        name: "remote-shell-cmd",
        aliases: &["run-remote"],
        description: "Runs a command on other machines by SSH.",
        kind: Kind::Command,
        parameters: &[
            "cmd: {type: string, required: true, description: 'The command, run by a shell.'}",
            REMOTE,
            "dir: {type: string, default: /tmp, immutable: true, description: 'Where files are copied to.'}",
        ],
        ..PLAIN
    },
    Spec {
        name: "remote-shell-script",
        aliases: &["run-remote-script"],
        description: "Copies a script of the pack to other machines by SSH and runs it.",
        kind: Kind::Script,
        parameters: &[
            REMOTE,
            "dir: {type: string, default: /tmp, description: 'Where the script is copied to.'}",
        ],
        ..PLAIN
    },
    Spec {
        name: "python-script",
        aliases: &["run-python"],
        description: "Runs a Python class of the pack.",
        output_key: Some("result"),
        kind: Kind::Script,
        parameters: &["
env: {type: object, description: 'Additional environment variables.'}
timeout: {type: integer, default: 600, description: 'Seconds after which the action is stopped.'}
log_level: {type: string, default: DEBUG, enum: [AUDIT, CRITICAL, ERROR, WARNING, INFO, DEBUG], description: 'Least level of messages that are written.'}
debug: {type: boolean, required: false, default: false, description: 'Keep what was made for the run.'}
content_version: {type: string, required: false, description: 'Git revision of the pack to run.'}
"],
        ..PLAIN
    },
    Spec {
        name: "http-request",
        aliases: &["http-runner"],
        description: "Sends an HTTP request.",
        output_key: Some("body"),
        parameters: &["
url: {type: string, required: true, description: 'Where to send it.'}
headers: {type: object, description: 'Headers of the request.'}
cookies: {type: object, description: 'Cookies of the request.'}
allow_redirects: {type: boolean, default: false, description: 'Follow redirects.'}
http_proxy: {type: string, description: 'Proxy for http.'}
https_proxy: {type: string, description: 'Proxy for https.'}
username: {type: string, description: 'User for basic authentication.'}
password: {type: string, secret: true, description: 'Password for basic authentication.'}
verify_ssl_cert: {type: boolean, default: true, description: 'Whether the certificate is checked.'}
url_hosts_blacklist: {type: array, items: {type: string}, description: 'Hosts that must not be asked.'}
url_hosts_whitelist: {type: array, items: {type: string}, description: 'The only hosts that may be asked.'}
"],
        ..PLAIN
    },
    Spec {
        name: "announcement",
        description: "Puts its parameters on the stream of announcements.",
        parameters: &["
experimental: {type: boolean, default: false, required: true, description: 'Must be true.'}
route: {type: string, default: general, minLength: 1, maxLength: 255, description: 'Who listens.'}
"],
        ..PLAIN
    },
    Spec {
        name: "inquirer",
        description: "Waits for an answer by a person.",
        parameters: &["
schema:
  type: object
  required: true
  description: What an answer looks like.
  default:
    title: response_data
    type: object
    properties:
      continue: {type: boolean, description: 'Would you like to continue the workflow?', required: true}
route: {type: string, default: '', required: false, description: 'Free text that rules can look at.'}
roles: {type: array, default: [], required: false, description: 'Roles that may answer; all if empty.'}
users: {type: array, default: [], required: false, description: 'Users who may answer; all if empty.'}
ttl: {type: integer, default: 1440, required: true, description: 'Minutes after which nobody may answer any more.'}
"],
        ..PLAIN
    },
    Spec {
        name: "action-chain",
        description: "Runs actions one after the other.",
        output_key: Some("published"),
        kind: Kind::Workflow,
        parameters: &[
            "display_published: {type: boolean, default: true, description: 'Show published variables in the result.'}",
            SKIP_NOTIFY,
        ],
        ..PLAIN
    },
    Spec {
        name: "orquesta",
        aliases: &["orchestra"],
        description: "Runs an Orquesta workflow.",
        output_key: Some("output"),
        kind: Kind::Workflow,
        parameters: &["
notify: {type: array, default: [], uniqueItems: true, items: {type: string, minLength: 1, pattern: '^\\w+$'}, description: 'Tasks that notify.'}
"],
        ..PLAIN
    },
    Spec {
        name: "mistral-v2",
        description: "Runs a Mistral workflow or workbook.",
        kind: Kind::Workflow,
        parameters: &[
            "
workflow: {type: string, description: 'Which workflow of the workbook.'}
task: {type: string, description: 'Target task of a reverse workflow.'}
task_name: {type: string, description: 'Target task of a reverse workflow.'}
context: {type: object, default: {}, description: 'Additional inputs of the workflow.'}
",
            SKIP_NOTIFY,
        ],
        ..PLAIN
    },
    Spec {
        name: "winrm-cmd",
        description: "Runs a command on a Windows machine.",
        kind: Kind::Command,
        parameters: &["cmd: {type: string, description: 'The command.'}", WINRM],
        ..PLAIN
    },
    Spec {
        name: "winrm-ps-cmd",
        description: "Runs a PowerShell command on a Windows machine.",
        kind: Kind::Command,
        parameters: &["cmd: {type: string, description: 'The command.'}", WINRM],
        ..PLAIN
    },
    Spec {
        name: "winrm-ps-script",
        description: "Runs a PowerShell script of the pack on a Windows machine.",
        kind: Kind::Script,
        parameters: &[WINRM],
        ..PLAIN
    },
    Spec {
        name: "windows-cmd",
        description: "Runs a command on a Windows machine, as in 2016.",
        parameters: &["cmd: {type: string, required: true, description: 'The command.'}", WINDOWS],
        ..PLAIN
    },
    Spec {
        name: "windows-script",
        description: "Runs a script of the pack on a Windows machine, as in 2016.",
        kind: Kind::Script,
        parameters: &[WINDOWS, "share: {type: string, default: 'C$', required: true, description: 'Where the script is copied to.'}"],
        ..PLAIN
    },
    Spec {
        name: "cloudslang",
        description: "Runs a CloudSlang flow, as in 2016.",
        kind: Kind::Script,
        parameters: &["
inputs: {type: object, default: {}, description: 'Inputs of the flow.'}
timeout: {type: integer, default: 60, description: 'Seconds after which the action is stopped.'}
"],
        ..PLAIN
    },
    Spec {
        name: "native",
        description: "Is carried out by squall itself.",
        is_internal: true,
        ..PLAIN
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_old_names_are_found_once() {
        let mut names: Vec<_> = runner_types().iter().flat_map(|r| r.aliases.iter().copied().chain([r.name])).collect();
        assert!(names.iter().all(|name| runner_type(name).is_some()));
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
        assert_eq!(runner_type("run-python").map(|r| r.name), Some("python-script"));
        assert!(runner_type("remote-shel-cmd").is_none());
    }

    #[test]
    fn every_parameter_can_be_read_as_a_schema() {
        for runner in runner_types() {
            for (name, schema) in &runner.parameters {
                let read = squall_expr::params::Schema::parse(schema);
                assert!(read.is_ok(), "{}.{name}: {read:?}", runner.name);
            }
        }
    }

    #[test]
    fn parameters_are_schemas_with_their_defaults() {
        let local = runner_type("local-shell-cmd").unwrap();
        assert_eq!(local.parameters["timeout"].get("default"), Some(&Value::Int(60)));
        assert_eq!(local.parameters["kwarg_op"].get("default"), Some(&Value::from("--")));
        assert_eq!(local.parameters["sudo_password"].get("secret"), Some(&Value::Bool(true)));
        let schema = runner_type("inquirer").unwrap().parameters["schema"]
            .at(&["default", "properties", "continue", "required"])
            .cloned();
        assert_eq!(schema, Some(Value::Bool(true)));
    }
}
