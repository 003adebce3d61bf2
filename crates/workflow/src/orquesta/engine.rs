//! The reference conductor's six verbs: request, next, report, rerun, render and reload.
//!
//! For tools and tests: they drive a run by hand, where the engine of squall drives it by stimuli. Both go through the
//! same decisions and leave the same facts.

use super::decide::{self, Refusal, RerunRequest, Told};
use super::offer::{self, Offered};
use super::status::Status;
use super::{Definition, Front, State};
use crate::{Fact, Host};
use squall_model::{Map, Value};
use std::sync::Arc;

/// News about a task or an item.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// The task's name.
    pub task: String,
    /// Its route.
    pub route: u32,
    /// Its item.
    pub item: Option<u32>,
    /// The status.
    pub status: Status,
    /// The result, null where there is none.
    pub result: Value,
    /// The results of all items so far, where the caller keeps them.
    pub accumulated: Option<Value>,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Report {
    /// The task's status now.
    pub task: Status,
    /// The workflow's.
    pub workflow: Status,
}

/// A run, driven by hand.
pub struct Engine<'h> {
    definition: Arc<Definition>,
    host: &'h dyn Host,
    state: crate::State,
    log: Vec<Fact>,
}

impl<'h> Engine<'h> {
    /// Begins: renders inputs and variables.
    pub fn new(definition: Arc<Definition>, input: &Map, context: &Map, host: &'h dyn Host) -> Engine<'h> {
        let state = crate::State::new(&crate::Definition::Orquesta(definition.clone()));
        let mut engine = Engine { definition, host, state, log: Vec::new() };
        engine.decide(|step| decide::open(step, input, context));
        engine
    }

    fn decide<R>(&mut self, f: impl FnOnce(&mut decide::Stage<'_>) -> R) -> R {
        let crate::State { run, own } = &mut self.state;
        let crate::state::Own::Orquesta(own) = own else {
            unreachable!("made for this language in `new`");
        };
        let (facts, answer) = crate::step::drive::<Front, R>(&self.definition, run, own, self.host, f);
        self.log.extend(facts);
        answer
    }

    /// Where the run stands.
    pub fn state(&self) -> &State {
        self.state.orquesta().expect("made for this language in `new`")
    }

    /// The definition.
    pub fn definition(&self) -> &Definition {
        &self.definition
    }

    /// The facts so far.
    pub fn log(&self) -> &[Fact] {
        &self.log
    }

    /// Asks for a status of the workflow.
    pub fn request(&mut self, status: Status) -> Result<(), Refusal> {
        self.decide(|step| decide::request(step, status))
    }

    /// The tasks that may start.
    pub fn offers(&mut self) -> Vec<Offered> {
        self.decide(offer::offers)
    }

    /// Whether anything can be reported about a task.
    pub fn knows(&self, task: &str, route: u32) -> Result<(), Refusal> {
        let Some(node) = self.definition.graph.by_name.get(task).copied() else {
            return Err(decide::no_such_task(task));
        };
        let known = self.state().latest(node, route).is_some() || self.state().staged(node, route).is_some();
        if known { Ok(()) } else { Err(decide::not_started(task)) }
    }

    /// Reports news about a task or an item.
    pub fn report(&mut self, event: &Event) -> Result<Report, Refusal> {
        let told = Told {
            task: &event.task,
            route: event.route,
            item: event.item,
            status: event.status,
            result: &event.result,
            accumulated: event.accumulated.as_ref(),
            heard: false,
        };
        self.decide(|step| decide::report(step, &told))?;
        let node = self.definition.graph.by_name.get(event.task.as_str());
        let entry = node.and_then(|node| self.state().latest(*node, event.route));
        Ok(Report { task: entry.map_or(Status::Unset, |(_, entry)| entry.status), workflow: self.state().status() })
    }

    /// Runs tasks again.
    pub fn rerun(&mut self, requests: Option<&[RerunRequest]>) -> Result<(), Refusal> {
        self.decide(|step| decide::rerun(step, requests))
    }

    /// Renders the output if the workflow has ended.
    pub fn render(&mut self) {
        self.decide(decide::render);
    }

    /// Forgets everything but the log, written out and read back, and folds that.
    ///
    /// # Errors
    /// When the log cannot be read back, or folds to something else: a bug, told in words.
    pub fn reload(&mut self) -> Result<(), String> {
        let text = serde_json::to_string(&self.log).map_err(|e| e.to_string())?;
        let log: Vec<Fact> = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        let definition = crate::Definition::Orquesta(self.definition.clone());
        let mut state = crate::State::new(&definition);
        for fact in &log {
            crate::apply(&definition, &mut state, fact);
        }
        if state != self.state {
            return Err(format!("the log folds to another state:\n{state:?}\ninstead of\n{:?}", self.state));
        }
        self.state = state;
        self.log = log;
        Ok(())
    }
}
