//! Text with holes in, values out.
//!
//! Two languages (YAQL and Jinja), texts that mix them with literal characters, and the small grammars
//! around them: parameter rendering and casting, rule operators, alias formats. Everything here is pure:
//! what an expression needs from outside (datastore, task records, the time) comes in through [`Host`],
//! what it may cost is bounded by [`Limits`], and what goes wrong is one [`Error`] with a stable class.
//!
//! Parse once ([`yaql::parse`], [`jinja::Template::compile`], [`text::Template::compile`]), when content is loaded; evaluate often.

mod error;
mod escapes;
mod host;
mod limits;

pub mod alias;
pub mod batch;
pub mod functions;
pub mod jinja;
pub mod operators;
pub mod params;
pub mod pattern;
pub mod python;
pub mod text;
pub mod yaql;

pub use error::Error;
pub use host::{Host, NoHost};
pub use limits::{Budget, Limits};

/// Whose rules an expression follows: options, extra functions and output conversion differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Mistral v2 workflows.
    Mistral,
    /// Orquesta workflows.
    Orquesta,
    /// StackStorm's own Jinja: action parameters, rules, aliases. Strict about undefined names.
    Stack,
    /// The same, but an undefined name is an empty text, as in `result.format` of an alias.
    StackLax,
}

/// What one evaluation works with.
pub struct Scope<'a> {
    /// Whose rules.
    pub engine: Engine,
    /// What `$` is in YAQL and where top-level names come from in Jinja.
    pub data: &'a squall_model::Value,
    /// Functions and facts from outside.
    pub host: &'a dyn Host,
    /// What it may cost.
    pub limits: &'a Limits,
}
