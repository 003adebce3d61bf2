//! `squall workflow`: workflows checked, and played with scripted results on a virtual clock; no server, no side effects.
//!
//! Made for a pack author's CI: everything that is wrong at once, with its place, and exit code 1 when something is.

use super::eval::run_batch as batch;
use crate::exit::{Done, Stop};
use crate::output::Form;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use squall_model::{ActionRef, Status, Value, to_json};
use squall_workflow::simulate::{Report, Script};
use squall_workflow::{Definition, Language, LoadOptions, inspection};
use std::path::{Path, PathBuf};

#[derive(Subcommand)]
pub enum Workflow {
    /// Play a workflow with scripted results on a virtual clock.
    Simulate(Simulate),
    /// Say everything that is wrong with definitions, without running them.
    Inspect(Inspect),
}

#[derive(Args)]
pub struct Simulate {
    /// The definition.
    #[arg(required_unless_present = "batch")]
    file: Option<PathBuf>,
    /// A YAML or JSON file: `input`, `script` (results by task), `commands`, `context`, `kv`, `expect`.
    #[arg(long, value_name = "FILE")]
    script: Option<PathBuf>,
    /// The language; recognised by the definition's keys when it is left out.
    #[arg(long, value_enum, required_if_eq("batch", "true"))]
    engine: Option<Engine>,
    /// The status that it must end with; `succeeded` when neither this nor the script's `expect` says otherwise.
    #[arg(long, value_name = "STATUS")]
    expect: Option<String>,
    /// Read recorded cases as JSON lines from standard input, write one answer for each.
    #[arg(long)]
    batch: bool,
}

#[derive(Args)]
pub struct Inspect {
    /// Definitions.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Their language; recognised by their keys when it is left out.
    #[arg(long, value_enum)]
    engine: Option<Engine>,
    /// A variable that an Orquesta workflow may read besides its inputs, `st2` and `parent`.
    #[arg(long, value_name = "NAME")]
    known: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Engine {
    Mistral,
    Orquesta,
    ActionChain,
}

impl Engine {
    fn drive(self, vector: &Json) -> Json {
        match self {
            Engine::Mistral => squall_workflow::simulate::mistral(vector),
            Engine::Orquesta => squall_workflow::orquesta::simulate(vector),
            Engine::ActionChain => squall_workflow::simulate::chain(vector),
        }
    }
}

impl From<Engine> for Language {
    fn from(engine: Engine) -> Language {
        match engine {
            Engine::Mistral => Language::Mistral,
            Engine::Orquesta => Language::Orquesta,
            Engine::ActionChain => Language::Chain,
        }
    }
}

impl Workflow {
    pub fn run(&self, form: Form) -> Done {
        match self {
            Workflow::Simulate(simulate) => simulate.run(form),
            Workflow::Inspect(inspect) => inspect.run(form),
        }
    }
}

fn read(path: &Path) -> Result<String, Stop> {
    std::fs::read_to_string(path).map_err(|e| Stop::Failed(format!("{}: {e}", path.display())))
}

/// The language, and for messages and names the action that a definition belongs to.
fn place(path: &Path, text: &str, engine: Option<Engine>) -> (Language, LoadOptions) {
    // What is no YAML looks like nothing; every language tells that in the same way.
    let language = engine.map(Language::from).or_else(|| inspection::recognize(text)).unwrap_or(Language::Orquesta);
    let named = (language == Language::Mistral).then(|| mistral_name(text)).flatten();
    let reference = named.and_then(|name| name.parse().ok());
    let path = path.display().to_string();
    (language, LoadOptions { reference: reference.unwrap_or_else(|| ActionRef::new("pack", "action")), path })
}

/// The name of a workbook, or of the first workflow: what StackStorm wants to be the action's reference.
fn mistral_name(text: &str) -> Option<String> {
    let document = squall_yaml::parse(text, &squall_yaml::Options::workflow()).ok()?;
    let value = document.root.to_value();
    if value.get("workflows").is_some() {
        return value.get("name")?.as_str().map(str::to_owned);
    }
    let mut keys = value.as_map()?.keys().filter(|key| &***key != "version");
    keys.next().map(|key| key.to_string())
}

impl Inspect {
    fn run(&self, form: Form) -> Done {
        let mut findings = Vec::new();
        for path in &self.files {
            let text = read(path)?;
            let (language, options) = place(path, &text, self.engine);
            findings.extend(inspection::inspect(language, &text, &options, &self.known));
        }
        let errors = findings.iter().filter(|found| found.diagnostic.is_error()).count();
        let all = Json::Array(findings.iter().map(inspection::Finding::to_json).collect());
        form.print(&Value::from(&all), || {
            let told: String = findings.iter().map(|found| format!("{}\n", found.diagnostic)).collect();
            let warned = match findings.len() - errors {
                0 => String::new(),
                warnings => format!(", {}", count(warnings, "warning")),
            };
            format!("{told}{}{warned} in {}", count(errors, "error"), count(self.files.len(), "file"))
        });
        if errors == 0 { Ok(()) } else { Err(Stop::Said) }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

impl Simulate {
    fn run(&self, form: Form) -> Done {
        if let (true, Some(engine)) = (self.batch, self.engine) {
            return batch(|vector| json!({"id": vector.get("id"), "actual": engine.drive(vector)}));
        }
        let file = self.file.as_ref().ok_or_else(|| Stop::Usage("name a definition".into()))?;
        let text = read(file)?;
        let (language, options) = place(file, &text, self.engine);
        let definition = Definition::load(language, &text, &options).map_err(|problems| {
            problems.iter().for_each(|problem| eprintln!("{problem}"));
            Stop::Said
        })?;
        let written = self.written()?;
        let script = Script::from_json(&written).map_err(Stop::Usage)?;
        let report = squall_workflow::simulate::run(&definition, &script);
        form.print(&Value::from(&report), || report.to_string());
        self.judge(&report, written.get("expect").unwrap_or(&Json::Null))
    }

    /// The script file as JSON.
    fn written(&self) -> Result<Json, Stop> {
        let Some(path) = &self.script else { return Ok(json!({})) };
        let text = read(path)?;
        let document = squall_yaml::parse(&text, &squall_yaml::Options::workflow())
            .map_err(|e| Stop::Failed(format!("{}:{}:{}: {e}", path.display(), e.at.line, e.at.column)))?;
        Ok(Json::from(&document.root.to_value()))
    }

    /// Compares the end with what was expected; the result needs to hold what `expect` names, and may hold more.
    fn judge(&self, report: &Report, expect: &Json) -> Done {
        let wanted = self.expect.as_deref().or(expect.get("status").and_then(Json::as_str)).unwrap_or("succeeded");
        let wanted: Status = wanted.parse().map_err(|_| Stop::Usage(format!("`{wanted}` is no status")))?;
        if let Some(why) = &report.stopped {
            return Err(Stop::Failed(why.clone()));
        }
        let mut differences = Vec::new();
        if report.status != wanted {
            differences.push(format!("it is {}, not {wanted}", report.status));
        }
        if let Some(result) = expect.get("result") {
            missing(&Value::from(result), &report.result, "result", &mut differences);
        }
        match differences.is_empty() {
            true => Ok(()),
            false => Err(Stop::Failed(format!("not as expected: {}", differences.join("; ")))),
        }
    }
}

/// Notes where `actual` lacks something of `wanted`.
fn missing(wanted: &Value, actual: &Value, path: &str, differences: &mut Vec<String>) {
    match (wanted, actual) {
        (Value::Map(wanted), Value::Map(actual)) => {
            for (key, value) in wanted.iter() {
                let found = actual.get(key).unwrap_or(&Value::Null);
                missing(value, found, &format!("{path}.{key}"), differences);
            }
        }
        _ if wanted == actual => {}
        _ => differences.push(format!("`{path}` is {}, not {}", to_json(actual), to_json(wanted))),
    }
}
