//! What only Mistral says. The stored format: a variant is never renamed, a new field gets a default.

use crate::{RunId, TimerId};
use serde::{Deserialize, Serialize};
use squall_model::{Map, Status, Str, Timestamp, Value};
use std::sync::{Arc, LazyLock};

/// Numbers the task records of a run, from 0; a loop makes several of one task.
pub type TaskId = u32;

/// Numbers the executions of a run, from 0, which is the workflow itself; the others are its sub-workflows.
pub type ExecutionId = u32;

/// States of tasks and workflows, as Mistral names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum TaskState {
    /// Not yet: held by `pause-before`.
    Idle,
    /// A join that waits for its inbound tasks.
    Waiting,
    /// Under way.
    Running,
    /// Between tries, or in one of the waits.
    Delayed,
    /// Held.
    Paused,
    /// Over, well.
    Success,
    /// Over, badly.
    Error,
    /// Over, by request.
    Cancelled,
    /// Passed over by request.
    Skipped,
}

/// All of them, in order.
const STATES: [TaskState; 9] = [
    TaskState::Idle,
    TaskState::Waiting,
    TaskState::Running,
    TaskState::Delayed,
    TaskState::Paused,
    TaskState::Success,
    TaskState::Error,
    TaskState::Cancelled,
    TaskState::Skipped,
];

impl TaskState {
    /// Whether nothing more happens by itself.
    pub fn is_completed(self) -> bool {
        matches!(self, TaskState::Success | TaskState::Error | TaskState::Cancelled | TaskState::Skipped)
    }

    /// The name that people and expressions see.
    pub fn as_str(self) -> &'static str {
        match self {
            TaskState::Idle => "IDLE",
            TaskState::Waiting => "WAITING",
            TaskState::Running => "RUNNING",
            TaskState::Delayed => "DELAYED",
            TaskState::Paused => "PAUSED",
            TaskState::Success => "SUCCESS",
            TaskState::Error => "ERROR",
            TaskState::Cancelled => "CANCELLED",
            TaskState::Skipped => "SKIPPED",
        }
    }

    /// The same, shared.
    pub(crate) fn shown(self) -> Str {
        static SHOWN: LazyLock<[Str; 9]> = LazyLock::new(|| STATES.map(|state| state.as_str().into()));
        SHOWN[self as usize].clone()
    }

    /// The state that the end of a child with `status` stands for; `None` while it goes on.
    pub(crate) fn of(status: Status) -> Option<TaskState> {
        match status {
            Status::Succeeded => Some(TaskState::Success),
            Status::Failed | Status::Timeout | Status::Abandoned => Some(TaskState::Error),
            Status::Canceled => Some(TaskState::Cancelled),
            _ => None,
        }
    }
}

/// The clause of a task by which another was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Via {
    /// `on-success`.
    OnSuccess,
    /// `on-error`.
    OnError,
    /// `on-complete`.
    OnComplete,
    /// `on-skip`.
    OnSkip,
}

impl Via {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Via::OnSuccess => "on-success",
            Via::OnError => "on-error",
            Via::OnComplete => "on-complete",
            Via::OnSkip => "on-skip",
        }
    }
}

/// Tasks that follow another, each with the clause that names it; with none in reverse workflows.
pub type Next = Arc<[(Str, Option<Via>)]>;

/// Why a task waits for a timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// `wait-before`.
    Before,
    /// `wait-after`.
    After,
    /// Between two tries.
    Retry,
}

/// The policies of one task run, evaluated at its first start.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// Seconds before the start.
    pub wait_before: u64,
    /// Seconds between end and what follows.
    pub wait_after: u64,
    /// How often it is tried again.
    pub retry: Option<Retries>,
    /// Seconds until it is given up; 0 for never.
    pub timeout: u64,
    /// Items at a time; 0 for all.
    pub concurrency: u64,
}

/// How often a task is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retries {
    /// Retries at most.
    pub count: u64,
    /// Seconds between two tries.
    pub delay: u64,
}

/// Which item of which task a sub-workflow is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The task.
    pub task: TaskId,
    /// The item's index; 0 for a task without items.
    pub item: u32,
}

/// Something that waits for a paused execution to go on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// A task whose action is to be offered.
    Run(TaskId),
    /// A task that is over and whose transitions were not looked at.
    Follow(TaskId),
    /// A transition that was taken: the task by that name, from that one.
    Next(Str, TaskId),
    /// The command `fail` or `succeed`, behind a `pause`.
    End(TaskState, Option<Str>),
}

/// How an execution begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Began {
    /// For a sub-workflow: whose.
    pub parent: Option<Parent>,
    /// Full name of the workflow.
    pub workflow: Str,
    /// Its input, complete.
    pub input: Map,
    /// Start parameters; those of a sub-workflow without the env, which is that of the run.
    pub params: Map,
    /// The env, evaluated; only the first execution has one.
    pub env: Option<Arc<Map>>,
    /// Its `vars`, evaluated.
    pub vars: Map,
    /// The target of a reverse workflow.
    pub target: Option<Str>,
    /// When.
    pub at: Timestamp,
}

/// A fact of a Mistral run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// An execution began under the next number.
    Began(Box<Began>),
    /// There is a task record under the next number; its inbound context is what `by` publish together.
    Made {
        /// Whose.
        execution: ExecutionId,
        /// The task's name.
        name: Str,
        /// The records that led here.
        by: Vec<TaskId>,
        /// It joins, and waits for others.
        waiting: bool,
        /// When.
        at: Timestamp,
    },
    /// Another inbound task led to a join.
    Arrived {
        /// The join.
        join: TaskId,
        /// Which record led here.
        by: TaskId,
    },
    /// The policies of a task were evaluated.
    Prepared {
        /// Which.
        task: TaskId,
        /// To what.
        policies: Policies,
    },
    /// A task waits for a timer.
    Waits {
        /// Which.
        task: TaskId,
        /// Its timer.
        timer: TimerId,
        /// Why.
        why: Wait,
        /// What people see of it.
        info: Option<Str>,
    },
    /// A task is given up when that timer fires.
    Watched {
        /// Which.
        task: TaskId,
        /// Its timer.
        timer: TimerId,
    },
    /// A task changed its state without ending.
    Became {
        /// Which.
        task: TaskId,
        /// To.
        state: TaskState,
        /// Why.
        info: Option<Str>,
    },
    /// The items of a task were listed.
    Listed {
        /// Which.
        task: TaskId,
        /// Variable and its values, all of one length.
        items: Vec<(Str, Value)>,
    },
    /// The result of a run is another than its action gave: an ad-hoc action has an `output`.
    Reshaped {
        /// Which run.
        run: RunId,
        /// The new result.
        result: Value,
    },
    /// All actions of a task are through, or it failed otherwise.
    Settled {
        /// Which.
        task: TaskId,
        /// How.
        state: TaskState,
        /// Why.
        info: Option<Str>,
        /// When.
        at: Timestamp,
    },
    /// A task published.
    Published {
        /// Which.
        task: TaskId,
        /// For its own branch.
        branch: Arc<Map>,
        /// For everybody in its execution.
        global: Arc<Map>,
        /// It has something to publish, but not for its branch: Mistral shows null then.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        nothing: bool,
    },
    /// A task forgot its result (`keep-result: false`).
    Forgot {
        /// Which.
        task: TaskId,
    },
    /// A task tries again: its results do not count any more.
    Retried {
        /// Which.
        task: TaskId,
    },
    /// The transitions of a task were looked at.
    Followed {
        /// Which.
        task: TaskId,
        /// Tasks that follow, with the clause; none in reverse workflows.
        next: Next,
        /// It failed, and somebody takes care of it.
        handled: bool,
    },
    /// Something waits until the execution goes on.
    Held {
        /// Which.
        execution: ExecutionId,
        /// What.
        what: Held,
    },
    /// What waited goes on.
    Released {
        /// Of which execution.
        execution: ExecutionId,
    },
    /// A task is run again from outside.
    Restarted {
        /// Which.
        task: TaskId,
        /// All items afresh, not only those that failed.
        reset: bool,
    },
    /// An execution changed its state without ending, or opened again.
    ExecutionBecame {
        /// Which.
        execution: ExecutionId,
        /// To.
        state: TaskState,
        /// Why.
        info: Option<Str>,
    },
    /// An execution is over.
    ExecutionEnded {
        /// Which.
        execution: ExecutionId,
        /// How.
        state: TaskState,
        /// Why.
        info: Option<Str>,
        /// What it gives.
        output: Value,
        /// When.
        at: Timestamp,
    },
}
