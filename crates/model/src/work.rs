//! What crosses to a runner and what comes back.
//!
//! Both directions are plain, serialisable values: on one machine the boundary is a channel, across
//! machines a work queue. An attempt starts only after its claim was answered with [`ClaimAnswer::Granted`],
//! so an item that is delivered twice cannot start twice; a report with an old attempt number is fenced.

use crate::{ActionRef, ExecutionId, Map, Status, Value};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One attempt of one execution: the fence that late reports are checked against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct WorkKey {
    /// The execution.
    pub execution: ExecutionId,
    /// Counts from 1.
    pub attempt: u32,
}

/// One attempt of one action, complete: a runner needs nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WorkItem {
    /// Whose attempt this is.
    pub key: WorkKey,
    /// The runner's name, e.g. `local-shell-cmd`.
    pub runner: String,
    /// The action.
    pub action: ActionRef,
    /// Absolute path of the pack's folder; empty for actions without files.
    pub pack_dir: String,
    /// The entry point relative to the pack's `actions/` folder; empty when there is none.
    pub entry_point: String,
    /// Final runner parameters: rendered, cast, defaults filled in.
    pub runner_params: Map,
    /// Final action parameters, in the order of the metadata.
    pub action_params: Map,
    /// Names of the action parameters that are positional, in order (script runners).
    pub positional: Vec<String>,
    /// Declared types of the action parameters (script runners serialise by type).
    pub types: Vec<(String, String)>,
    /// Environment variables set by the engine; they win over the `env` parameter.
    pub env: Vec<(String, String)>,
    /// When to give up.
    pub timeout: Duration,
    /// SHA-256 (hex) of the entry point, when people agreed to just those bytes: others must not run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sealed: Option<String>,
}

/// Which stream a piece of output was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Stream {
    Stdout,
    Stderr,
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// A final status, or `pending` for an action that waits for an answer.
    pub status: Status,
    /// What StackStorm would store as the result.
    pub result: Value,
}

impl Outcome {
    /// A failure with `{"error": text}` as its result.
    pub fn failed(error: impl Into<String>) -> Outcome {
        Outcome { status: Status::Failed, result: Value::from_pairs([("error", Value::from(error.into()))]) }
    }

    /// A success.
    pub fn succeeded(result: Value) -> Outcome {
        Outcome { status: Status::Succeeded, result }
    }
}

/// What a worker reports after its claim was granted, in this order: one `Started`, any `Output`, one `Finished`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WorkEvent {
    /// The process runs.
    Started {
        /// Its process id.
        pid: u32,
    },
    /// A piece of output, whole lines where possible, at most 64 KiB.
    Output {
        /// Which stream.
        stream: Stream,
        /// The text.
        text: String,
    },
    /// It ended.
    Finished(Outcome),
}

/// The engine's answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimAnswer {
    /// The claim is on disk: start.
    Granted {
        /// Environment that must not be stored with the item: the run's short-lived token.
        env: Vec<(String, String)>,
    },
    /// Somebody else has it, it was canceled, or it is over: do not start.
    Refused,
}

/// What happened to attempts that a crash or stop left behind; found in the spool at start.
#[derive(Debug, Clone, PartialEq)]
pub enum Leftover {
    /// It ended, and nobody was told: the true outcome.
    Finished(Outcome),
    /// It was claimed and certainly never started: it may be dispatched again with the same attempt number.
    NeverStarted,
    /// It ran and is gone, or nothing certain is known; no process of it is left.
    Lost,
}

/// A boxed future, as the traits of this boundary give them.
pub type Future<'a, T> = std::pin::Pin<Box<dyn std::future::Future<Output = T> + Send + 'a>>;

/// The side of the boundary that runs things. Implemented by `runners` (a channel on this machine), by the cluster's
/// work queue, and by simulations.
pub trait Runner: Send + Sync {
    /// Takes an item to run; never blocks. What is not claimed in time is simply dispatched again.
    fn dispatch(&self, item: WorkItem);
    /// Stops an attempt: terminate, grace time, kill, then a `Finished` with status `canceled`. Unknown keys are ignored.
    fn cancel(&self, key: WorkKey);
    /// What is known of an attempt that was claimed before this process started; stops what still lives of it first.
    fn leftover<'a>(&'a self, key: WorkKey, spool: &'a str) -> Future<'a, Leftover>;
    /// The attempt's end is on disk: its spool may go.
    fn settled(&self, key: WorkKey, spool: &str);
}

/// The side of the boundary that decides. Implemented by `engine`.
pub trait WorkSink: Send + Sync {
    /// May this attempt start? The answer comes after the claim was committed.
    fn claim<'a>(&'a self, key: WorkKey, worker: &'a str, spool: &'a str) -> Future<'a, ClaimAnswer>;
    /// Something happened to an attempt; returns when it is on disk (output aside). Late reports change nothing.
    fn report(&self, key: WorkKey, event: WorkEvent) -> Future<'_, ()>;
}
