//! `squall run`: an action, its parameters, its result.

use super::execution::{self, print};
use crate::client::Client;
use crate::exit::{Done, Stop};
use crate::output::Form;
use crate::{cast, client};
use clap::Args;
use squall_model::{Map, Value};
use std::time::{Duration, Instant};

/// Run an action and wait for its result.
#[derive(Args)]
pub struct Run {
    /// The action: `pack.name`.
    action: String,
    /// Its parameters: `name=value`; for shell actions the words of the command.
    #[arg(trailing_var_arg = true)]
    params: Vec<String>,
    /// Do not wait for the end.
    #[arg(long, short = 'a', visible_alias = "async")]
    no_wait: bool,
    /// Wait at most so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400)]
    patience: u64,
}

/// An execution that was requested.
pub struct Started {
    /// Its record.
    pub execution: Value,
}

impl Run {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        let started = execute(client, &self.action, &self.params)?;
        if self.no_wait {
            form.print(&started.execution, || {
                format!("started `{}` as {}", self.action, execution::text(&started.execution, "id"))
            });
            return Ok(());
        }
        let ended = started.wait(client, Duration::from_secs(self.patience))?;
        print(&ended, form);
        match execution::text(&ended, "status").as_str() {
            "succeeded" => Ok(()),
            _ => Err(Stop::Said),
        }
    }
}

/// Requests an execution.
pub fn execute(client: &Client, action: &str, words: &[String]) -> Result<Started, Stop> {
    let found = client.find(&format!("actions/{}", client::escaped(action)))?;
    let known = found.ok_or_else(|| Stop::Failed(format!("Action \"{action}\" cannot be found.")))?;
    let runner = execution::text(&known, "runner_type");
    let mut schemas = match client.find(&format!("runnertypes/{}", client::escaped(&runner)))? {
        Some(runner) => runner.get("runner_parameters").and_then(Value::as_map).cloned().unwrap_or_default(),
        None => Map::new(),
    };
    for (name, own) in known.get("parameters").and_then(Value::as_map).into_iter().flatten() {
        let merged = match schemas.get(name).and_then(Value::as_map) {
            Some(under) => under
                .iter()
                .chain(own.as_map().into_iter().flatten())
                .map(|(k, v)| (k.clone(), v.clone()))
                .collect::<Map>()
                .into(),
            None => own.clone(),
        };
        schemas.insert(name.clone(), merged);
    }
    let params = cast::params(words, &schemas)?;
    let body = Value::from_pairs([("action", Value::from(action)), ("parameters", params.into())]);
    Ok(Started { execution: client.post("executions", &body)? })
}

impl Started {
    /// Waits for the end: in long calls where the server offers them, by looking now and then otherwise.
    pub fn wait(&self, client: &Client, patience: Duration) -> Result<Value, Stop> {
        let id = execution::text(&self.execution, "id");
        let begun = Instant::now();
        loop {
            let left = patience.saturating_sub(begun.elapsed()).as_secs().min(LONGEST_CALL);
            let now = match client.find(&format!("squall/executions/{id}/wait?timeout={left}"))? {
                Some(now) => now,
                None => {
                    std::thread::sleep(LOOK);
                    client.get(&format!("executions/{id}"))?
                }
            };
            let status = execution::text(&now, "status");
            let waits = ["requested", "scheduled", "delayed", "running", "canceling", "pausing", "resuming"];
            if !waits.contains(&status.as_str()) {
                return Ok(now);
            }
            if begun.elapsed() >= patience {
                let text = format!("execution {id} is still {status}; `squall execution get {id}` shows it");
                return Err(Stop::Failed(text));
            }
        }
    }
}

/// Seconds of one call that waits.
const LONGEST_CALL: u64 = 25;
/// How often a server that cannot wait is asked.
const LOOK: Duration = Duration::from_millis(300);
