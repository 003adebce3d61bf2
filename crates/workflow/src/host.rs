//! What a conductor may ask of the engine while it decides.

use crate::RunId;
use indexmap::IndexMap;
use squall_expr::NoHost;
use squall_model::{Map, Str};
use std::sync::Arc;

/// Everything that expressions may ask for, and which actions there are.
///
/// Answers may change from day to day; what a decision made of them stands in its facts, so replay asks nothing.
pub trait Host: squall_expr::Host {
    /// Looks an action up by reference (`core.local`). Standard actions (`std.…`) are not asked for.
    fn action(&self, reference: &str) -> Registered;

    /// The id of the child execution that an offer became; it stands in the result of chains.
    fn child(&self, run: RunId) -> Option<String> {
        let _ = run;
        None
    }
}

/// What is known of an action.
#[derive(Debug, Clone)]
pub enum Registered {
    /// There is one of that name, with these parameters.
    Yes(Arc<Parameters>),
    /// There is none.
    No,
    /// Nobody knows: it is offered as it is and its parameters are not checked.
    Unchecked,
}

/// The parameters of an action and of its runner, as a caller sees them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    /// By name, in the order of the metadata.
    pub known: IndexMap<Str, Parameter>,
    /// Whether others are taken as well.
    pub open: bool,
}

/// One parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parameter {
    /// Its declared type (`integer`, `object`, …), if it has one.
    pub kind: Option<Str>,
    /// Whether a caller must give it: required, and without a default.
    pub required: bool,
}

impl Parameters {
    /// What `given` lacks and what it has too much, in this order.
    pub(crate) fn misfits(&self, given: &Map) -> (Vec<Str>, Vec<Str>) {
        let missing = self.known.iter().filter(|(name, p)| p.required && !given.contains_key(*name));
        let unexpected = given.keys().filter(|name| !self.open && !self.known.contains_key(*name));
        (missing.map(|(name, _)| name.clone()).collect(), unexpected.cloned().collect())
    }
}

impl Host for NoHost {
    fn action(&self, _: &str) -> Registered {
        Registered::Unchecked
    }
}
