//! Which parts exist today and how they are wired.
//!
//! Start order: lock and store, content, engine, runners, recovery, lines that people had typed before, listeners, chat, what is
//! due. Whoever hears from the server hears from one that has recovered. The stop goes the other way round and never takes longer than it says.
#![warn(missing_docs)]

mod addresses;
mod admin;
mod credential;
mod machine;
mod packs;
mod sink;
mod start;

pub use addresses::{Endpoints, Listen};
pub use credential::Credential;
pub use machine::{Machine, RandomIds, SystemClock};
pub use packs::{PackJob, run_pack_job};
pub use squall_api::Reloaded;
pub use start::{Options, Server, StartError, rule_files};
