//! Confirmations: an execution held back until enough of the right people agree.
//!
//! Everything in this folder decides and does nothing else. It does not ask (the outbox does), store (the engine
//! does) or wait: deadlines are rows with a due time, and expiry arrives as one more [`Event`].
//!
//! - [`declare`]: what an alias, an action, a pack policy or a call may say about confirmation.
//! - [`policy`]: the server's rules in `confirm.d`, and which of all rules ask about a request.
//! - [`record`]: the record that waits, and its states.
//! - [`decide`]: the one function through which a record changes.
//! - [`looks`]: what is found out before anybody is asked: dry runs, who is on call.
//! - [`people`], [`code`], [`digest`], [`answer`], [`limits`], [`texts`]: who answers, what they type, what they agree
//!   to, how it is read, how often it may be tried, what everybody is told.
//!
//! Invariants: silence, error, doubt and drift mean no. A record leaves `open` once, and only [`decide`] takes it there.

pub mod answer;
pub mod code;
pub mod decide;
pub mod declare;
pub mod digest;
pub mod limits;
pub mod lint;
pub mod looks;
pub mod people;
pub mod policy;
pub mod record;
#[cfg(test)]
pub(crate) mod testing;
pub mod texts;

pub use code::Code;
pub use decide::{Decision, Event, World, decide};
pub use digest::Digest;
pub use people::{Assurance, Directory, Identity, Person, PersonId, Requirement, Who};
pub use policy::Policy;
pub use record::{Record, State};
