//! Packs on disk become a checked, immutable snapshot.
//!
//! [`load`] reads every pack, reports every problem with its file, line and column, and gives a
//! [`Registry`] of what is sound; one bad file never hides the good ones. [`install`] fetches a pack from
//! a git repository or a directory, checks it aside and puts it in place in one rename.
//!
//! It has never heard of executions, permissions or the datastore, and it starts no process but `git`.
//! A registry never changes: whoever holds one keeps the content that it was made from.
//!
//! Start reading at [`load`] and [`Registry`]; what a file may contain is in the module of its kind.
#![warn(missing_docs)]

mod action;
mod alias;
mod builtin;
mod codes;
mod config;
mod definition;
mod files;
mod install;
mod load;
mod overrides;
mod pack;
mod policy;
mod reading;
mod registry;
mod rule;
mod runner_type;
mod schema;
mod sensor;
mod workflow;

pub use action::{Action, Tag};
pub use alias::Alias;
pub use builtin::{BUILTIN, unpack_builtin};
pub use codes::CODES;
pub use config::check_config;
pub use definition::Definition;
pub use install::{IndexEntry, Install, InstallError, Installed, InstalledPack, Limits, Origin, install, uninstall};
pub use install::{load_again, unload};
pub use load::{Loaded, Sources, check_pack, load};
pub use pack::Pack;
pub use policy::Policy;
pub use reading::Source;
pub use registry::{Contents, Registry};
pub use rule::{Rule, RuleKind};
pub use runner_type::{RunnerType, runner_type, runner_types};
pub use sensor::{Sensor, TriggerType};
pub use squall_yaml::{Diagnostic, Severity};
