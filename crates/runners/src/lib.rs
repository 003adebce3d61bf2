//! One attempt of one action, watched until it ends.
//!
//! This room knows how a work item becomes a process and how a process that ended becomes an outcome. It has never
//! heard of workflows, permissions, chat, or of what happens with an outcome.
//!
//! ```text
//!  engine ── WorkItem ──▶ Workers ── job (control pipe) ──▶ supervisor ──▶ the action
//!         ◀─ WorkEvent ──         ◀─ frames, spool ──────                (sh, sudo, …)
//! ```
//!
//! An attempt: a [spool](Workers) is made, the claim is asked for, and only when it is granted a supervisor is started
//! (`squall __run SPOOL`, [`supervise::main`]). Whatever happens to the server, the supervisor stops the action, leaves
//! the true result in the spool and goes last; [`Workers`] takes it in at the next start.
//!
//! **The program's `main()` has to look for `__run` first** and hand over to [`supervise::main`] before it sets up
//! anything (arguments, logging, runtime), because [`Workers`] start this very program as the supervisor.
//!
//! To add a runner: a file with a `plan` and a `conclude`, and one line in [`ALL`].
#![warn(missing_docs)]

mod attempt;
pub mod cgroup;
mod environment;
mod job;
mod live;
mod program;
mod sealed;
mod shell;
mod spool;
pub mod supervise;
mod sys;
mod workers;
mod worktree;

pub use job::{Captured, Ended, Finish, Job, Why};
pub use workers::{Config, Workers};

use squall_model::{Outcome, Value, WorkItem};
use std::path::Path;
use std::time::Duration;

/// What a runner may know of the machine it plans for.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a> {
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// The user that commands run as, when it is not the one who runs the server: reached through sudo.
    pub system_user: Option<&'a str>,
    /// The delegated control group, where there is one.
    pub cgroup: Option<&'a Path>,
}

/// Both streams of an action, whole within their bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Streams {
    pub stdout: String,
    pub stderr: String,
}

/// One kind of action that needs a process.
#[derive(Debug)]
pub struct Entry {
    /// The name in `runner_type`.
    pub name: &'static str,
    /// What to start. An error is the text of the failure.
    pub plan: fn(&WorkItem, &Setting<'_>) -> Result<Job, String>,
    /// What came of it.
    pub conclude: fn(&Ended, Streams) -> Outcome,
}

/// Every runner that starts processes.
pub const ALL: &[Entry] = &[
    Entry { name: shell::COMMAND, plan: shell::plan_command, conclude: shell::conclude },
    Entry { name: shell::SCRIPT, plan: shell::plan_script, conclude: shell::conclude },
    Entry { name: program::NAME, plan: program::plan, conclude: program::conclude },
];

/// The runner called `name`; the error is a sentence that names those there are.
pub fn find(name: &str) -> Result<&'static Entry, String> {
    ALL.iter().find(|entry| entry.name == name).ok_or_else(|| {
        // The program's own jobs are nothing that a pack could name.
        let known: Vec<&str> = ALL.iter().map(|entry| entry.name).filter(|name| *name != program::NAME).collect();
        format!("no runner has the name `{name}` here; there are noop, {}", known.join(", "))
    })
}

/// The outcome of an action that needs no process, at once; `None` for all others.
pub fn native(item: &WorkItem) -> Option<Outcome> {
    (item.runner == "noop").then(|| {
        Outcome::succeeded(Value::from_pairs([
            ("failed", Value::from(false)),
            ("succeeded", Value::from(true)),
            ("return_code", Value::from(0)),
        ]))
    })
}
