//! `squall run`: an action, its parameters, its result.

use super::execution::{self, print};
use crate::client::Client;
use crate::exit::{self, Done, Stop};
use crate::output::Form;
use crate::{cast, client, output};
use clap::Args;
use squall_model::{Map, Value};
use std::time::{Duration, Instant};

/// Run an action and wait for its result.
#[derive(Args)]
pub struct Run {
    /// The action: `pack.name`.
    action: String,
    /// Its parameters: `name=value`; for shell actions the words of the command.
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
        started.tell(client, form, &self.action, self.no_wait, Duration::from_secs(self.patience))
    }
}

/// Requests an execution.
pub fn execute(client: &Client, action: &str, words: &[String]) -> Result<Started, Stop> {
    let params = cast::params(words, &schemas(client, action)?)?;
    let body = Value::from_pairs([("action", Value::from(action)), ("parameters", params.into())]);
    Ok(Started { execution: client.post("executions", &body)? })
}

/// Says what became of a confirmation; the exit code when it was not released.
fn told(record: &Value) -> Option<u8> {
    let text = |key: &str| output::shown(&execution::text(record, key));
    let (by, reason, cause) = (text("by"), text("reason"), text("cause"));
    let because = |why: &str| if why.is_empty() { String::new() } else { format!(": {why}") };
    let (line, code) = match execution::text(record, "state").as_str() {
        "released" if record.get("bypassed").and_then(Value::as_bool) == Some(true) => {
            (format!("released by breaking the glass, by {by}{}", because(&reason)), None)
        }
        "released" => (format!("confirmed by {by}"), None),
        "denied" => (format!("refused by {by}{}; it was not run", because(&reason)), Some(exit::DENIED)),
        "expired" => ("nobody confirmed it in time; it was not run".to_owned(), Some(exit::EXPIRED)),
        // Taking back what one asked for is a no as well.
        "withdrawn" => {
            let by = if by.is_empty() { String::new() } else { format!(" by {by}") };
            (format!("withdrawn{by}{}; it was not run", because(&cause)), Some(exit::DENIED))
        }
        "void" => (format!("void{}; it was not run", because(&cause)), Some(exit::VOID)),
        _ => return None,
    };
    eprintln!("{line}");
    code
}

/// Whoever stops waiting is told that the run still waits.
fn tell_when_interrupted(id: String) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        let interrupted = runtime.block_on(tokio::signal::ctrl_c());
        if interrupted.is_ok() {
            eprintln!("\nno longer waiting: execution {id} is still held; `squall withdraw CODE` takes it back");
            std::process::exit(i32::from(exit::INTERRUPTED));
        }
    });
}

/// The parameters of an action with those of its runner under them.
pub fn schemas(client: &Client, action: &str) -> Result<Map, Stop> {
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
    Ok(schemas)
}

impl Started {
    /// Waits for the end and tells it, by the exit code too; or says under which id it runs.
    pub fn tell(&self, client: &Client, form: Form, action: &str, no_wait: bool, patience: Duration) -> Done {
        let held = self.question(client)?;
        if no_wait && held.is_some() {
            form.print(&self.execution, || format!("held as {}", execution::text(&self.execution, "id")));
            return Err(Stop::Code(exit::HELD));
        }
        if no_wait {
            form.print(&self.execution, || format!("started `{action}` as {}", execution::text(&self.execution, "id")));
            return Ok(());
        }
        if held.is_some() {
            tell_when_interrupted(execution::text(&self.execution, "id"));
        }
        let ended = self.wait(client, patience, People::WaitFor)?;
        let decided = match &held {
            Some(id) => told(&client.get(&format!("confirmations/{}", client::escaped(id)))?),
            None => None,
        };
        print(&ended, form);
        match (decided, execution::text(&ended, "status").as_str()) {
            (Some(code), _) => Err(Stop::Code(code)),
            (None, "succeeded") => Ok(()),
            (None, _) => Err(Stop::Said),
        }
    }

    /// The id of the confirmation that it waits for, if it does; whoever asked is shown the question.
    pub fn question(&self, client: &Client) -> Result<Option<String>, Stop> {
        let Some(id) = self.execution.at(&["confirmation", "id"]).and_then(Value::as_str) else { return Ok(None) };
        let record = client.get(&format!("confirmations/{}", client::escaped(id)))?;
        eprintln!("{}", execution::text(&record, "question"));
        Ok(Some(id.to_owned()))
    }

    /// Waits for the end: in long calls where the server offers them, by looking now and then otherwise.
    pub fn wait(&self, client: &Client, patience: Duration, people: People) -> Result<Value, Stop> {
        let id = execution::text(&self.execution, "id");
        let begun = Instant::now();
        loop {
            // A long call ends with the execution, not when it begins to wait for people.
            let longest = if people == People::WaitFor { LONGEST_CALL } else { SHORT_CALL };
            let left = patience.saturating_sub(begun.elapsed()).as_secs().min(longest);
            let now = match client.find(&format!("squall/executions/{id}/wait?timeout={left}"))? {
                Some(now) => now,
                None => {
                    std::thread::sleep(LOOK);
                    client.get(&format!("executions/{id}"))?
                }
            };
            let status = execution::text(&now, "status");
            let waits = ["requested", "scheduled", "delayed", "running", "canceling", "pausing", "resuming"];
            let people = people == People::WaitFor && status == "pending";
            if !people && !waits.contains(&status.as_str()) {
                return Ok(now);
            }
            if begun.elapsed() >= patience {
                let text = format!("execution {id} is still {status}; `squall execution get {id}` shows it");
                return Err(Stop::Failed(text));
            }
        }
    }
}

/// What to do about an execution that waits for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum People {
    /// Wait as well.
    WaitFor,
    /// Come back with `pending`, as the original client does.
    LeaveAlone,
}

/// Seconds of one call that waits.
const LONGEST_CALL: u64 = 25;
/// The same when people are not waited for.
const SHORT_CALL: u64 = 1;
/// How often a server that cannot wait is asked.
const LOOK: Duration = Duration::from_millis(300);
