//! What a chain remembers, and its own facts.

use crate::RunId;
use serde::{Deserialize, Serialize};
use squall_model::{Map, Status, Str, Timestamp, Value};
use std::sync::Arc;

/// A fact of a chain. The stored format: a variant is never renamed, a new field gets a default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The variables of the chain were rendered.
    VarsSet {
        /// To what.
        vars: Map,
    },
    /// A node is next; its action is offered at once, or when the chain goes on.
    Reached {
        /// Its name.
        node: Str,
        /// When.
        at: Timestamp,
    },
    /// The child of the present node reached a status, which the list of tasks shows.
    Listed {
        /// The offer.
        run: RunId,
        /// Id of the child execution, if there is one.
        execution: Option<String>,
        /// Its status.
        state: Status,
        /// Its result.
        result: Value,
        /// When.
        at: Timestamp,
    },
    /// A node published.
    Published {
        /// What.
        vars: Map,
    },
    /// The chain stopped on request; what follows the present node waits.
    Held,
    /// It goes on.
    Released,
}

/// What a chain remembers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Variables, published ones included.
    pub(crate) vars: Arc<Map>,
    /// What was published.
    pub(crate) published: Arc<Map>,
    /// Results by node, as templates see them.
    pub(crate) results: Arc<Map>,
    entries: Vec<Entry>,
    /// The node that runs, or ran last.
    pub(crate) node: Option<Str>,
    reached: Timestamp,
    /// The offer of that node.
    pub(crate) run: Option<RunId>,
    /// A pause or a cancel was asked for.
    pub(crate) asked: Option<Status>,
    /// The message of a cancel.
    pub(crate) held: bool,
}

/// An entry of the list of tasks in a chain's result.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The node.
    pub node: Str,
    /// Its offer.
    pub run: RunId,
    /// Id of the child execution, if there is one.
    pub execution: Option<String>,
    /// Its status.
    pub state: Status,
    /// Its result.
    pub result: Value,
    /// When the node was reached.
    pub created: Timestamp,
    /// When its status was heard.
    pub updated: Timestamp,
}

impl State {
    /// The nodes that ran, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn apply(&mut self, fact: &crate::Fact) {
        match fact {
            crate::Fact::Offered { offer } => self.run = Some(offer.run),
            crate::Fact::PauseAsked => self.asked = Some(Status::Paused),
            crate::Fact::StopAsked { status, .. } => self.asked = Some(*status),
            crate::Fact::ResumeAsked { .. } => self.asked = None,
            crate::Fact::Chain(fact) => self.own(fact),
            _ => {}
        }
    }

    fn own(&mut self, fact: &Fact) {
        match fact {
            Fact::VarsSet { vars } => self.vars = Arc::new(vars.clone()),
            Fact::Reached { node, at } => {
                self.node = Some(node.clone());
                self.reached = *at;
                self.run = None;
            }
            Fact::Listed { run, execution, state, result, at } => {
                self.listed(*run, execution, *state, result, *at);
            }
            Fact::Published { vars } => {
                for map in [&mut self.vars, &mut self.published] {
                    Arc::make_mut(map).extend(vars.iter().map(|(k, v)| (k.clone(), v.clone())));
                }
            }
            Fact::Held => self.held = true,
            Fact::Released => self.held = false,
        }
    }

    fn listed(&mut self, run: RunId, execution: &Option<String>, state: Status, result: &Value, at: Timestamp) {
        let node = self.node.clone().unwrap_or_else(|| "".into());
        let entry = Entry {
            node: node.clone(),
            run,
            execution: execution.clone(),
            state,
            result: result.clone(),
            created: self.reached,
            updated: at,
        };
        let again = self.entries.last_mut().filter(|last| last.run == run);
        let seen = match &again {
            // A node that was pending and ended while the chain was paused shows its new result to templates one level
            // deeper, beside the old one. Content that reads answers of inquiries relies on `ask.result.response`.
            Some(last) if last.state == Status::Pending || self.held => {
                let mut seen = self.results.get(&node).and_then(Value::as_map).cloned().unwrap_or_default();
                seen.insert("result".into(), result.clone());
                Value::from(seen)
            }
            _ => result.clone(),
        };
        match again {
            Some(last) => *last = Entry { created: last.created, ..entry },
            None => self.entries.push(entry),
        }
        Arc::make_mut(&mut self.results).insert(node, seen);
    }
}
