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

/// What a worker reports, in this order: one `Claim`, one `Started`, any `Output`, one `Finished`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum WorkEvent {
    /// May I start it? Answered by [`ClaimAnswer`].
    Claim {
        /// Names the worker in messages.
        worker: String,
        /// Random id of the spool directory that will hold this attempt.
        spool: String,
    },
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimAnswer {
    /// The claim is on disk: start.
    Granted,
    /// Somebody else has it, it was canceled, or it is over: do not start.
    Refused,
}
