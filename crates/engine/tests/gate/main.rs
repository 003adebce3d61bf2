//! The gate of confirmation in the whole engine: real packs, virtual time, a store that can crash.
//!
//! `desk` is one server with its people; every other module is a chapter of what must hold.

mod bypass;
mod changes;
mod deadline;
mod desk;
mod hostile;
mod looks;
mod model;
mod names;
mod policy;
mod race;
mod restore;
mod tasks;

#[path = "../sim/mod.rs"]
mod sim;
