//! The nouns of automation and their laws.
//!
//! Every other room speaks in these words. Nothing here does I/O, reads a clock or draws a random
//! number: time and identity come in through [`Clock`] and [`Ids`], which their owners implement.
//!
//! Start reading at [`Value`] (what flows through expressions and workflows), [`Status`] (the life of
//! an execution, as a table) and [`WorkItem`] (what crosses to a runner).
#![warn(missing_docs)]

mod clock;
#[doc(hidden)]
pub mod crash;
mod execution;
mod id;
mod json;
mod reference;
mod secret;
mod status;
mod value;
mod work;

pub use clock::{Clock, Ids, Timestamp};
pub use execution::{Again, Change, Execution, ReplyTo, Requested};
pub use id::{BadId, ExecutionId};
pub use json::{JsonError, MAX_DEPTH, from_json, to_json, to_json_pretty};
pub use reference::{ActionRef, BadRef, PackName};
pub use secret::{MASK, Secret};
pub use status::{RefusedTransition, Status};
pub use value::{Map, Special, Str, Value, member};
pub use work::{ClaimAnswer, Future, Leftover, Outcome, Runner, Stream, WorkEvent, WorkItem, WorkKey, WorkSink};
