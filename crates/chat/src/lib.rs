//! People talk, squall listens and answers.
//!
//! The [`Bot`] knows what is addressed to it and hands it to the engine; an adapter knows one network: how a message
//! arrives, who said it, how one is posted. Neither decides anything about executions, and all texts about them come
//! from the engine's outbox, where they were committed with what they tell.
//!
//! To add a network: a module in [`adapters`] (connect, heard, post) and a line in its list.
#![warn(missing_docs)]

pub mod adapters;
pub mod address;
pub mod bot;
pub mod format;
pub mod help;
mod inbox;
mod pace;

pub use bot::{Bot, Heard, Heed};
