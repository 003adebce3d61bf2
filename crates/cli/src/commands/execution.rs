//! `squall execution`: what ran, what runs, and how to stop it.

use crate::client::{Client, escaped};
use crate::commands::history::History;
use crate::commands::rerun::ReRun;
use crate::exit::{Done, Stop};
use crate::output::{Form, properties, say, table};
use clap::Subcommand;
use squall_model::Value;

#[derive(Subcommand)]
pub enum Execution {
    /// List executions, newest first.
    List {
        /// Of this action.
        #[arg(long)]
        action: Option<String>,
        /// With this status.
        #[arg(long)]
        status: Option<String>,
        /// With their children: tasks of workflows.
        #[arg(long)]
        all: bool,
        /// How many.
        #[arg(long, short = 'n', default_value_t = 50)]
        limit: u32,
    },
    /// Show one execution.
    Get {
        /// Its id.
        id: String,
    },
    /// Cancel executions.
    Cancel {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Pause workflows.
    Pause {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Let paused workflows go on.
    Resume {
        /// Their ids.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Run an execution again: as a whole, or from some tasks of a workflow.
    #[command(visible_alias = "rerun")]
    ReRun(ReRun),
    /// Tell what happened in a workflow, step by step.
    History(History),
}

impl Execution {
    pub fn run(&self, client: &Client, form: Form) -> Done {
        match self {
            Execution::List { action, status, all, limit } => {
                let mut path = format!("executions?limit={limit}");
                if let Some(action) = action {
                    path.push_str(&format!("&action={}", escaped(action)));
                }
                if let Some(status) = status {
                    path.push_str(&format!("&status={}", escaped(status)));
                }
                if !all {
                    path.push_str("&parent=null");
                }
                list(&client.get(&path)?, form);
            }
            Execution::Get { id } => print(&client.get(&format!("executions/{}", escaped(id)))?, form),
            Execution::Cancel { ids } => {
                each(ids, |id| client.delete(&format!("executions/{}", escaped(id))), "canceled")?;
            }
            Execution::Pause { ids } => steer(client, ids, "pausing", "pausing")?,
            Execution::Resume { ids } => steer(client, ids, "resuming", "resumed")?,
            Execution::ReRun(rerun) => return rerun.run(client, form),
            Execution::History(history) => return history.run(client, form),
        }
        Ok(())
    }
}

fn steer(client: &Client, ids: &[String], status: &str, done: &str) -> Done {
    let body = Value::from_pairs([("status", status)]);
    each(ids, |id| client.put(&format!("executions/{}", escaped(id)), &body), done)
}

/// Does something to each id; one failure does not keep the others from it.
fn each(ids: &[String], run: impl Fn(&str) -> Result<Value, Stop>, done: &str) -> Done {
    let mut failed = false;
    for id in ids {
        match run(id) {
            Ok(_) => say(&format!("{id}: {done}")),
            Err(stop) => {
                eprintln!("{id}: {stop}");
                failed = true;
            }
        }
    }
    if failed { Err(Stop::Said) } else { Ok(()) }
}

/// Prints a listing.
pub fn list(executions: &Value, form: Form) {
    form.print(executions, || {
        let columns = [
            ("id", "id"),
            ("action", "action.ref"),
            ("status", "status"),
            ("start (UTC)", "start_timestamp"),
            ("end (UTC)", "end_timestamp"),
            ("user", "context.user"),
        ];
        table(&columns, executions.as_list().unwrap_or_default())
    });
}

/// Prints one execution.
pub fn print(execution: &Value, form: Form) {
    form.print(execution, || {
        let at = |path: &[&str]| execution.at(path).cloned().unwrap_or_default();
        properties(&[
            ("id", at(&["id"])),
            ("action.ref", at(&["action", "ref"])),
            ("status", at(&["status"])),
            ("start_timestamp", at(&["start_timestamp"])),
            ("end_timestamp", at(&["end_timestamp"])),
            ("parameters", at(&["parameters"])),
            ("result", at(&["result"])),
        ])
    });
}

/// A text field of a record; empty when it has none.
pub fn text(record: &Value, key: &str) -> String {
    record.get(key).and_then(Value::as_str).unwrap_or_default().to_owned()
}
