//! Given what has happened, what must happen next.
//!
//! A workflow run is a log of [`Fact`]s. [`decide`] looks at the [`State`] and at one [`Stimulus`] and says
//! which facts follow; [`apply`] folds a fact into the state. Neither does I/O, reads a clock or waits: a delay
//! is a [`Fact::TimerSet`] that the engine keeps as a row, its end comes back as [`Stimulus::Due`]. Recovery folds
//! the log and evaluates no expression a second time, because what was rendered is part of the fact.
//!
//! `decide` may look at everything and change nothing; `apply` may change everything and decide nothing. What
//! one fact makes necessary next stands on an agenda inside the state and is decided by [`Stimulus::Continue`];
//! [`advance`] runs the two in turn until nothing is left to do.
//!
//! Three front ends (`chain`, `mistral`, `orquesta`) differ in which transition follows and which context a
//! task sees. Offers, timers, retries, items, pause, cancel and re-run are shared: see [`fact`].
#![warn(missing_docs)]

pub mod fact;

pub use fact::{Begin, Child, Fact, Offer, RunId, Stimulus, TimerId};

/// The language of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Language {
    /// Runner `action-chain`.
    Chain,
    /// Runner `mistral-v2`.
    Mistral,
    /// Runner `orquesta`.
    Orquesta,
}
