//! A run under simulation: definition, state, log.

use super::bound::Bound;
use crate::{Definition, Fact, Host, Parameter, Parameters, Registered, RunId, State, Stimulus, advance, apply};
use squall_expr::Error;
use squall_model::{Map, Str, Timestamp, Value, from_json};
use std::cell::Cell;
use std::sync::Arc;

/// Whether the state survives in memory or is folded afresh after each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Crash {
    /// The state is kept.
    #[default]
    Never,
    /// After each step the state is thrown away and folded from the whole log as it was written.
    AfterEachStep,
}

/// A run with its log.
pub(super) struct Machine {
    pub definition: Definition,
    pub state: State,
    crash: Crash,
    log: Vec<String>,
    /// What differed after a crash; nothing when squall keeps its promise.
    pub broken: Option<String>,
    /// What it has cost.
    pub bound: Bound,
}

impl Machine {
    pub fn new(definition: Definition, crash: Crash) -> Machine {
        let state = State::new(&definition);
        Machine { definition, state, crash, log: Vec::new(), broken: None, bound: Bound::default() }
    }

    /// One step.
    pub fn step(&mut self, stimulus: Stimulus, host: &dyn Host) -> Vec<Fact> {
        self.bound.hear();
        let facts = advance(&self.definition, &mut self.state, stimulus, host);
        if self.crash == Crash::AfterEachStep {
            self.recover(&facts);
        }
        facts.iter().for_each(|fact| self.bound.keep(fact));
        facts
    }

    fn recover(&mut self, facts: &[Fact]) {
        for fact in facts {
            match serde_json::to_string(fact) {
                Ok(line) => self.log.push(line),
                Err(error) => self.broken = Some(format!("cannot write {fact:?}: {error}")),
            }
        }
        let mut state = State::new(&self.definition);
        for line in &self.log {
            match serde_json::from_str::<Fact>(line) {
                Ok(fact) => apply(&self.definition, &mut state, &fact),
                Err(error) => self.broken = Some(format!("cannot read {line}: {error}")),
            }
        }
        if state != self.state && self.broken.is_none() {
            self.broken = Some(format!("recovered state differs\n  was {:?}\n  is  {state:?}", self.state));
        }
        self.state = state;
    }
}

/// What expressions and catalogue questions get during a simulation.
pub(super) struct Scripted {
    /// Datastore: `system.<key>` and `user.<key>`.
    pub kv: Map,
    /// Answers by reference.
    pub actions: Box<dyn Fn(&str) -> Registered>,
    pub now: Cell<i64>,
    pub draws: Cell<u64>,
}

impl squall_expr::Host for Scripted {
    fn call(&self, _: &str, _: &[Value], _: &[(Str, Value)]) -> Option<Result<Value, Error>> {
        None
    }
    fn has(&self, _: &str) -> bool {
        false
    }
    fn kv(&self, scope: &str, key: &str, _: bool) -> Result<Option<Value>, Error> {
        Ok(self.kv.get(format!("{scope}.{key}").as_str()).cloned())
    }
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.get())
    }
    fn random(&self, bytes: &mut [u8]) {
        for byte in bytes {
            let draw = self.draws.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            self.draws.set(draw);
            *byte = (draw >> 33) as u8;
        }
    }
}

impl Host for Scripted {
    fn action(&self, reference: &str) -> Registered {
        (self.actions)(reference)
    }
    fn child(&self, run: RunId) -> Option<String> {
        Some(format!("child-{run}"))
    }
}

/// An action that takes whatever it is given.
pub(super) fn open() -> Registered {
    Registered::Yes(Arc::new(Parameters { open: true, ..Parameters::default() }))
}

/// An action with these parameters: name, type, required.
pub(super) fn closed(parameters: impl IntoIterator<Item = (Str, Option<Str>, bool)>) -> Registered {
    let known = parameters.into_iter().map(|(name, kind, required)| (name, Parameter { kind, required })).collect();
    Registered::Yes(Arc::new(Parameters { known, open: false }))
}

/// A JSON value as ours.
pub(super) fn value(json: &serde_json::Value) -> Value {
    from_json(&json.to_string(), false).unwrap_or_default()
}

/// A JSON object as ours; anything else is empty.
pub(super) fn map(json: Option<&serde_json::Value>) -> Map {
    json.map(value).and_then(|value| value.as_map().cloned()).unwrap_or_default()
}

/// Ours as JSON.
pub(super) fn json(value: &Value) -> serde_json::Value {
    serde_json::to_value(value).unwrap_or_default()
}
