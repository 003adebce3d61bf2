//! `squall execution re-run`: an ended execution once more, as a whole or from some tasks of a workflow.

use super::execution::text;
use super::run::{Started, schemas};
use crate::cast;
use crate::client::{Client, escaped};
use crate::exit::{Done, Stop};
use crate::output::Form;
use clap::Args;
use squall_model::{Map, Value};
use std::time::Duration;

/// Run an execution again.
#[derive(Args)]
pub struct ReRun {
    /// The execution that ended.
    id: String,
    /// Parameters over the old ones: `name=value`.
    params: Vec<String>,
    /// Go on from these tasks of the workflow; what succeeded is not run again.
    #[arg(long, num_args = 1.., value_name = "TASK", value_delimiter = ',')]
    tasks: Vec<String>,
    /// Of tasks over items, run only the items that failed.
    #[arg(long, num_args = 1.., value_name = "TASK", value_delimiter = ',', requires = "tasks")]
    no_reset: Vec<String>,
    /// Go on from every task that failed.
    #[arg(long, conflicts_with = "tasks")]
    failed: bool,
    /// Start after so many milliseconds.
    #[arg(long, default_value_t = 0)]
    delay: u64,
    /// Do not wait for the end.
    #[arg(long, short = 'a', visible_alias = "async")]
    no_wait: bool,
    /// Wait at most so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    patience: u64,
}

impl ReRun {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let path = format!("executions/{}", escaped(&self.id));
        let old = client.get(&path)?;
        let action = old.at(&["action", "ref"]).and_then(Value::as_str).unwrap_or_default().to_owned();
        let params = match self.params.as_slice() {
            [] => Map::new(),
            words => cast::params(words, &schemas(client, &action)?)?,
        };
        let body = self.body(params)?;
        let started = Started { execution: client.post(&format!("{path}/re_run"), &body)? };
        eprintln!("{} runs again as {}", self.id, text(&started.execution, "id"));
        started.tell(client, form, &action, self.no_wait, Duration::from_secs(self.patience))
    }

    /// Items of a named task start afresh, unless the task is named in `--no-reset` too: as StackStorm's client has it.
    fn body(&self, params: Map) -> Result<Value, Stop> {
        if let Some(stranger) = self.no_reset.iter().find(|task| !self.tasks.contains(task)) {
            return Err(Stop::Usage(format!("`{stranger}` stands in --no-reset, but not in --tasks")));
        }
        let list =
            |names: Vec<&String>| Value::from(names.into_iter().map(|n| Value::from(n.as_str())).collect::<Vec<_>>());
        let mut body = Map::new();
        body.insert("parameters".into(), params.into());
        body.insert("tasks".into(), list(self.tasks.iter().collect()));
        body.insert("reset".into(), list(self.tasks.iter().filter(|task| !self.no_reset.contains(task)).collect()));
        body.insert("delay".into(), Value::from(self.delay));
        if self.failed {
            body.insert("failed".into(), true.into());
        }
        Ok(body.into())
    }
}
