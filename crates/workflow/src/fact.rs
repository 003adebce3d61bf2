//! What a conductor hears and what it says: the vocabulary that the three languages share.
//!
//! Facts are past-tense and complete, and they are the stored format: a new field gets a serde default, a
//! variant is never renamed. One step of the conductor gives a list of facts, which the engine commits together
//! with what they cause (child executions for offers, rows for timers).
//!
//! In JSON a fact is an object with one key, its name: `{"finished": {"run": 3, …}}`. A tag beside the fields would
//! need buffering while reading, which numbers of any size do not survive.

use serde::{Deserialize, Serialize};
use squall_model::{Map, Status, Str, Value};
use std::sync::Arc;

/// Numbers the action runs of one workflow execution, from 0, in the order of their offers. Retries and
/// items are runs of their own.
pub type RunId = u32;

/// Numbers the timers of one workflow execution, from 0.
pub type TimerId = u32;

/// What a run starts with. All of it is data that somebody rendered already.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Begin {
    /// The workflow's own execution id, as text.
    pub execution: String,
    /// `pack.action` of the workflow's action.
    pub action: String,
    /// Action parameters: the input of the workflow.
    pub input: Map,
    /// Runner parameters (`skip_notify`, `task_name`, `context`, `notify`, `display_published`, …).
    pub runner: Map,
    /// The execution's context (`user`, `pack`, `api_user`, `source_channel`, `parent`, …).
    pub context: Map,
    /// Configuration of the action's pack.
    pub config: Map,
    /// Start parameters of the language: Mistral's `env`, Orquesta's parent context (`st2`, `parent`).
    pub env: Map,
}

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Stimulus {
    /// The run starts.
    Begin(Box<Begin>),
    /// The child of an offer started to run. Only languages that record it care.
    Started {
        /// Which offer.
        run: RunId,
    },
    /// The child of an offer reached `status` (a final one, or `paused` or `pending`, which may be followed by another).
    Finished {
        /// Which offer.
        run: RunId,
        /// Its status.
        status: Status,
        /// Its result as the language sees it.
        result: Value,
    },
    /// The engine could not make a child of an offer, for instance because its parameters break the action's
    /// schema. Languages that do not tell this apart hear `Finished` with status `failed` and `{"error": message}`.
    Refused {
        /// Which offer.
        run: RunId,
        /// Why, as a sentence.
        message: String,
    },
    /// A timer is due.
    Due {
        /// Which timer.
        timer: TimerId,
    },
    /// Somebody asks for a pause.
    Pause,
    /// Somebody asks to go on; `env` is merged over the old one (Mistral).
    Resume {
        /// Additions to the env.
        env: Map,
    },
    /// Somebody cancels, or ends the run from outside with `status`.
    Stop {
        /// `canceled`, or `succeeded`/`failed` (Mistral's stop).
        status: Status,
        /// A message for the result.
        message: Option<String>,
    },
    /// Run again from failed tasks (all of them when the list is empty).
    Rerun {
        /// Task names (`task` or, in Mistral, `workflow/task`).
        tasks: Vec<String>,
        /// Those of them whose items all start afresh.
        reset: Vec<String>,
        /// Skip the tasks instead (Mistral).
        skip: bool,
        /// Additions to the env.
        env: Map,
    },
}

/// One action that must run now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Offer {
    /// Its number; the child execution remembers it.
    pub run: RunId,
    /// The task's name as people wrote it.
    pub task: Str,
    /// Which run of the task this belongs to: Orquesta's route, the number of Mistral's task record; 0 in chains.
    #[serde(default)]
    pub route: u32,
    /// The item's index for a task over items.
    #[serde(default)]
    pub item: Option<u32>,
    /// Which try of the task (and item) this is, from 1.
    pub attempt: u32,
    /// `pack.action`, `std.…`, or nothing for a task that only transitions: such an offer ends at once.
    pub action: Option<Str>,
    /// The rendered input; a map, or null when the task has none.
    pub input: Value,
    /// What the child execution gets besides.
    #[serde(default)]
    pub child: Child,
}

impl Default for Offer {
    fn default() -> Offer {
        Offer {
            run: 0,
            task: "".into(),
            route: 0,
            item: None,
            attempt: 1,
            action: None,
            input: Value::Null,
            child: Child::default(),
        }
    }
}

/// What a child execution gets besides its parameters.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// What the child finds in its context under the language's key: the value of `chain`, `mistral` or `orquesta`.
    pub context: Map,
    /// Notification settings of the task, when the language has them.
    #[serde(default)]
    pub notify: Option<Value>,
    /// The child must not inherit the notification settings of its workflow.
    #[serde(default)]
    pub skip_notify: bool,
    /// Start no earlier than this many milliseconds from now (Orquesta's delay).
    #[serde(default)]
    pub delay_ms: u64,
}

/// Something that is so now. The stored format of a workflow's history.
///
/// Small, since a step makes a list of them: what is large or rare stands behind a pointer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The run has begun.
    Begun {
        /// With what.
        begin: Box<Begin>,
    },
    /// An action must run: the engine makes a child execution of it.
    Offered {
        /// Which.
        offer: Arc<Offer>,
    },
    /// A child started to run.
    Started {
        /// Which offer.
        run: RunId,
    },
    /// A child reached a status.
    Finished {
        /// Which offer.
        run: RunId,
        /// The status.
        status: Status,
        /// Its result.
        result: Value,
    },
    /// The engine could not make a child.
    Refused {
        /// Which offer.
        run: RunId,
        /// Why.
        message: String,
    },
    /// A timer runs: the engine keeps it as a row.
    TimerSet {
        /// Its number.
        timer: TimerId,
        /// How long from the commit of this fact, in milliseconds.
        after_ms: u64,
    },
    /// A timer was due.
    TimerFired {
        /// Its number.
        timer: TimerId,
    },
    /// A timer is not needed any more.
    TimerCleared {
        /// Its number.
        timer: TimerId,
    },
    /// The children of these runs must be canceled.
    ChildrenStopped {
        /// Which offers.
        runs: Vec<RunId>,
    },
    /// The children of these runs, if they are workflows, must be paused.
    ChildrenPaused {
        /// Which offers.
        runs: Vec<RunId>,
    },
    /// The children of these runs, which are paused, must go on.
    ChildrenResumed {
        /// Which offers.
        runs: Vec<RunId>,
    },
    /// Somebody asked for a pause.
    PauseAsked,
    /// Somebody asked to go on.
    ResumeAsked {
        /// Additions to the env.
        env: Box<Map>,
    },
    /// Somebody ended the run from outside.
    StopAsked {
        /// With which status.
        status: Status,
        /// And why.
        message: Option<String>,
    },
    /// Somebody asked to run again from failed tasks.
    RerunAsked {
        /// Task names; empty for all that failed.
        tasks: Vec<String>,
        /// Those whose items all start afresh.
        reset: Vec<String>,
        /// Skip them instead.
        skip: bool,
        /// Additions to the env.
        env: Box<Map>,
    },
    /// The workflow's status changed to one that is not final.
    Became {
        /// `running`, `pausing`, `paused`, `canceling`, `pending`.
        status: Status,
    },
    /// The workflow is over.
    Ended {
        /// A final status.
        status: Status,
        /// The result of the execution, in the form of the language (`reference`: Mistral's output map with `extra` and `tasks`,
        /// Orquesta's `{output, errors?}`, a chain's `{tasks, published?}`).
        result: Value,
    },
    /// What only action chains say.
    Chain(crate::chain::Fact),
    /// What only Mistral says.
    Mistral(crate::mistral::Fact),
    /// What only Orquesta says.
    Orquesta(crate::orquesta::Fact),
}
