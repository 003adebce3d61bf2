//! Given what has happened, what must happen next.
//!
//! A workflow run is a log of [`Fact`]s. [`advance`] looks at the [`State`] and at one [`Stimulus`], and says
//! which facts follow; [`apply`] folds a fact into the state. Neither does I/O, reads a clock or waits: a delay
//! is a [`Fact::TimerSet`] that the engine keeps as a row, its end comes back as [`Stimulus::Due`]. Recovery folds
//! the log and evaluates no expression a second time, because what was rendered is part of the fact.
//!
//! `decide` may look at everything and change nothing; `apply` may change everything and decide nothing. That
//! rule is kept by a type: while a language decides it holds a [`step`], which shows the state but changes it
//! through `emit` alone, and `emit` applies the fact that it records. So a decision can be written as a story (offer
//! this, then look, then end that) whose every line sees the lines before it, at O(1) for each fact, and the
//! facts of one stimulus, committed together, fold to the very same state.
//!
//! Three front ends ([`chain`], [`mistral`], [`orquesta`]) differ in which transition follows and which context a
//! task sees. Offers, timers, pause, cancel and re-run are shared: see [`fact`].
//!
//! ```
//! use squall_expr::NoHost;
//! use squall_model::{ActionRef, Status, Value};
//! use squall_workflow::{Begin, Definition, Fact, Language, LoadOptions, State, Stimulus, advance};
//!
//! let text = "chain: [{name: look, ref: core.ping, params: {host: '{{ host }}'}}]";
//! let options = LoadOptions { reference: ActionRef::new("ops", "look"), path: "look.yaml".into() };
//! let definition = Definition::load(Language::Chain, text, &options).unwrap();
//! let mut state = State::new(&definition);
//!
//! let begin = Begin { input: [("host".into(), Value::from("web1"))].into_iter().collect(), ..Begin::default() };
//! let facts = advance(&definition, &mut state, Stimulus::Begin(Box::new(begin)), &NoHost);
//! let Some(Fact::Offered { offer }) = facts.last() else { panic!("an action is offered") };
//! assert_eq!(offer.input.get("host"), Some(&Value::from("web1")));
//!
//! // The engine runs the action, and tells how it ended.
//! let (run, result) = (offer.run, Value::from("up"));
//! advance(&definition, &mut state, Stimulus::Finished { run, status: Status::Succeeded, result }, &NoHost);
//! assert_eq!(state.status(), Status::Succeeded);
//! ```
#![warn(missing_docs)]

pub mod chain;
mod codes;
pub mod definition;
mod expressions;
pub mod fact;
mod fixed_keys;
pub mod history;
pub mod host;
pub mod inspection;
pub mod mistral;
pub mod orquesta;
pub mod simulate;
pub mod standard;
pub mod state;
pub mod step;
mod variables;
mod weight;

pub use codes::CODES;
pub use definition::{Definition, LoadOptions};
pub use fact::{Begin, Child, Fact, Offer, RunId, Stimulus, TimerId};
pub use host::{Host, Parameter, Parameters, Registered};
pub use standard::{Answer, standard};
pub use state::{OpenOffer, Run, State};
pub use step::{advance, apply, decide};

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
