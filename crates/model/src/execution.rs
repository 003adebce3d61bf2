//! The record of one run of one action: what people see as an execution.

use crate::{ActionRef, ExecutionId, Map, Status, Timestamp, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One run of one action.
///
/// The request part never changes after it was committed, but for secrets that are erased from it, and is shared; the rest changes only through
/// [`Change`]s, each of which is checked against [`Execution::version`].
#[derive(Debug, Clone, PartialEq)]
pub struct Execution {
    /// Its public id.
    pub id: ExecutionId,
    /// The topmost execution of its tree; its own id when nobody started it as a child.
    pub root: ExecutionId,
    /// The workflow that started it.
    pub parent: Option<ExecutionId>,
    /// The offer of the parent's conductor that it carries out.
    pub run: Option<u32>,
    /// What was asked for.
    pub request: Arc<Requested>,
    /// Where it stands.
    pub status: Status,
    /// Attempts that were claimed so far.
    pub attempt: u32,
    /// When it was asked for.
    pub created: Timestamp,
    /// When its first attempt started.
    pub started: Option<Timestamp>,
    /// When it reached a final status.
    pub ended: Option<Timestamp>,
    /// What came out; null until then.
    pub result: Value,
    /// Every status it had, with times.
    pub log: Vec<(Timestamp, Status)>,
    /// The spool directory of the attempt that was claimed last.
    pub spool: Option<String>,
    /// Additions to the context made after the request (`cancelled_by`, …), over [`Requested::context`].
    pub notes: Map,
    /// Counts the changes; a change names the version that it was decided on.
    pub version: u32,
}

/// The part of an execution that is fixed when it is requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Requested {
    /// The action.
    pub action: ActionRef,
    /// Its runner.
    pub runner: String,
    /// The parameters as stored: what the caller gave and what the live pass rendered.
    pub params: Map,
    /// The execution's context: `user`, `pack`, `api_user`, `parent`, …
    pub context: Map,
    /// Notification settings in StackStorm's form, or null.
    #[serde(default)]
    pub notify: Value,
    /// SHA-256 (hex) of the workflow definition it runs, so that it keeps that version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Where its answers go, when it came from chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<ReplyTo>,
    /// Start no earlier than this many milliseconds after the request.
    #[serde(default)]
    pub delay_ms: u64,
    /// Through which door it came (`chat`, `api`, `rule`, …), as the engine saw it; tasks have that of their root. Empty in rows
    /// of older programs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// What it goes on with, when tasks of an ended workflow are run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<Again>,
    /// The names of its secret parameters, which the store encrypts. Missing in rows of older programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secret: Vec<String>,
}

/// Tasks of an ended workflow that are run again by a new execution, which goes on with the log of the old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Again {
    /// The execution that ended.
    pub of: ExecutionId,
    /// Task names; none for all that failed.
    pub tasks: Vec<String>,
    /// Those of them whose items all start afresh.
    #[serde(default)]
    pub reset: Vec<String>,
}

/// The place in chat where a command was typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplyTo {
    /// The chat network, e.g. `terminal`.
    pub network: String,
    /// The channel on it.
    pub channel: String,
    /// The thread, where the network has threads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Who typed it: the name to mention.
    pub user: String,
    /// The alias that matched, as `pack.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alias: Option<ActionRef>,
    /// The message, as the network numbers it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A change of an execution; `None` leaves a field as it is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Change {
    /// The statuses it went through, with times for the log; the last one is where it stands.
    pub statuses: Vec<(Timestamp, Status)>,
    /// The attempt that was claimed.
    pub attempt: Option<u32>,
    /// When the first attempt started.
    pub started: Option<Timestamp>,
    /// When it ended; `Some(None)` when a re-run opens it again.
    pub ended: Option<Option<Timestamp>>,
    /// The result.
    pub result: Option<Value>,
    /// The spool directory of the claimed attempt.
    pub spool: Option<String>,
    /// Additions to the context.
    pub notes: Map,
    /// The request with its secrets erased: another one in parameters and context alone.
    pub erased: Option<Arc<Requested>>,
}

impl Execution {
    /// A fresh one, `requested` at `now`.
    pub fn new(id: ExecutionId, request: Requested, now: Timestamp) -> Execution {
        Execution {
            id,
            root: id,
            parent: None,
            run: None,
            request: Arc::new(request),
            status: Status::Requested,
            attempt: 0,
            created: now,
            started: None,
            ended: None,
            result: Value::Null,
            log: vec![(now, Status::Requested)],
            spool: None,
            notes: Map::new(),
            version: 0,
        }
    }

    /// Carries out a change and counts the version up. Checks nothing: who decides uses [`Status::to`] first.
    pub fn apply(&mut self, change: &Change) {
        if let Some((_, status)) = change.statuses.last() {
            self.status = *status;
            self.log.extend(change.statuses.iter().copied());
        }
        if let Some(attempt) = change.attempt {
            self.attempt = attempt;
        }
        if let Some(started) = change.started {
            self.started = Some(started);
        }
        if let Some(ended) = change.ended {
            self.ended = ended;
        }
        if let Some(result) = &change.result {
            self.result = result.clone();
        }
        if let Some(spool) = &change.spool {
            self.spool = Some(spool.clone());
        }
        for (key, value) in &change.notes {
            self.notes.insert(key.clone(), value.clone());
        }
        if let Some(request) = &change.erased {
            self.request = request.clone();
        }
        self.version += 1;
    }

    /// The context as people and templates see it: the request's, with later notes over it.
    pub fn context(&self) -> Map {
        let mut context = self.request.context.clone();
        for (key, value) in &self.notes {
            context.insert(key.clone(), value.clone());
        }
        context
    }
}
