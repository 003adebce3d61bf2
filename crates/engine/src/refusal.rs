//! Why the engine said no: one enum, from which HTTP statuses, exit codes and chat texts are made.

use squall_model::{ExecutionId, Status, Value};
use squall_store as store;

/// A request that was not carried out; nothing of it was stored, unless the variant says so.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// Something in the request is wrong.
    #[error("{0}")]
    Invalid(String),
    /// There is no such thing.
    #[error("{0}")]
    Unknown(String),
    /// They may not.
    #[error("`{who}` may not {what}: this needs the role `{needed}`")]
    Forbidden {
        /// Who.
        who: String,
        /// What they wanted.
        what: String,
        /// What they would have to be.
        needed: &'static str,
    },
    /// They may not answer.
    #[error("{0}")]
    MayNotRespond(String),
    /// They may not, whatever their role: the whole sentence.
    #[error("{0}")]
    NotAllowed(String),
    /// It does not fit the state that the thing is in.
    #[error("{0}")]
    Conflict(String),
    /// The execution was stored and failed at once (its parameters could not be rendered).
    #[error("{message}")]
    Stillborn {
        /// Which.
        execution: ExecutionId,
        /// Why.
        message: String,
    },
    /// The same chat message or request was taken before.
    #[error("already taken as {0}")]
    Duplicate(ExecutionId),
    /// People would have to be asked first, and the caller does not want to wait: who, in the form of the API.
    #[error("it would have to be confirmed first, and was not started")]
    Held(Box<Value>),
    /// A limit was reached.
    #[error("too many: {0}")]
    TooMany(String),
    /// Tried too often: the whole sentence, and after how many seconds it is looked at again.
    #[error("{text}")]
    Limited {
        /// What to tell.
        text: String,
        /// Seconds.
        seconds: u64,
    },
    /// The server cannot take it now.
    #[error("{0}")]
    Unavailable(String),
    /// The disk is full.
    #[error("disk full: {0}; nothing was started")]
    Full(String),
    /// A bug or a broken machine; told in full in the log.
    #[error("{0}")]
    Broken(String),
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Refusal {
        match error {
            store::Error::Duplicate { execution } => Refusal::Duplicate(execution),
            store::Error::Full(what) => Refusal::Full(what),
            store::Error::Busy => Refusal::Unavailable(error.to_string()),
            store::Error::Conflict { what } => {
                Refusal::Conflict(format!("somebody else changed it at the same moment ({what}); try again"))
            }
            store::Error::Fatal(_) | store::Error::Damaged { .. } => Refusal::Broken(error.to_string()),
        }
    }
}

impl Refusal {
    /// An action that does not exist, in StackStorm's words.
    pub fn no_action(reference: &str) -> Refusal {
        Refusal::Invalid(format!("Action \"{reference}\" cannot be found."))
    }

    /// An execution that does not exist, in StackStorm's words.
    pub fn no_execution(id: impl std::fmt::Display) -> Refusal {
        Refusal::Unknown(format!("ActionExecution with id \"{id}\" not found."))
    }

    /// A change that the status does not allow.
    pub fn status(id: ExecutionId, wish: &str, status: Status) -> Refusal {
        Refusal::Conflict(format!("cannot {wish} execution {id}: it is {status}"))
    }
}
