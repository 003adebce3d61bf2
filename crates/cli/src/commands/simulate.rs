//! `squall workflow simulate`: a workflow with scripted results on a virtual clock; no server, no side effects.

use super::eval::run_batch as batch;
use crate::exit::{Done, Stop};
use crate::output::Form;
use clap::{Subcommand, ValueEnum};
use serde_json::{Value as Json, json};
use squall_model::Value;
use std::path::PathBuf;

#[derive(Subcommand)]
pub enum Workflow {
    /// Drive a workflow with scripted results.
    Simulate {
        /// The definition.
        #[arg(required_unless_present = "batch")]
        file: Option<PathBuf>,
        /// A YAML or JSON file with `input`, `script` (results by task), and what else the engine's vectors know.
        #[arg(long, value_name = "FILE")]
        script: Option<PathBuf>,
        /// The language.
        #[arg(long, value_enum)]
        engine: Engine,
        /// Read JSON lines from standard input, write one for each.
        #[arg(long)]
        batch: bool,
    },
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

impl Workflow {
    pub fn run(&self, form: Form) -> Done {
        let Workflow::Simulate { file, script, engine, batch: lines } = self;
        if *lines {
            return batch(|vector| json!({"id": vector.get("id"), "actual": engine.drive(vector)}));
        }
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path).map_err(|e| Stop::Failed(format!("{}: {e}", path.display())))
        };
        let file = file.as_ref().ok_or_else(|| Stop::Usage("name a definition".into()))?;
        let mut vector = match script {
            None => json!({}),
            Some(path) => {
                let document = squall_yaml::parse(&read(path)?, &Default::default())
                    .map_err(|e| Stop::Failed(format!("{}: {e}", path.display())))?;
                Json::from(&document.root.to_value())
            }
        };
        vector["definition"] = read(file)?.into();
        if *engine == Engine::Mistral && vector.get("workflow").is_none() {
            vector["workflow"] = first_workflow(&vector["definition"]).into();
        }
        let actual = Value::from(&engine.drive(&vector));
        form.print(&actual, || squall_yaml::to_yaml(&actual));
        Ok(())
    }
}

/// The first key that is a workflow's name.
fn first_workflow(definition: &Json) -> String {
    let text = definition.as_str().unwrap_or_default();
    let Ok(document) = squall_yaml::parse(text, &Default::default()) else { return String::new() };
    let value = document.root.to_value();
    let keys = value.as_map().into_iter().flat_map(|m| m.keys());
    keys.filter(|k| &***k != "version").map(|k| k.to_string()).next().unwrap_or_default()
}
