//! Policies of concurrency: of an action only a few executions run at once, the others wait or are canceled.
//!
//! A place is a row that the store refuses to write when all are taken, so two trees that decide at the same moment cannot
//! both have the last one: one of them decides again. Who waits is `delayed` and has a row as well; who ends gives its
//! place back in the same commit, and wakes the first who waits. A start of the server wakes everybody, in case it died in
//! between.

use crate::Engine;
use crate::confirmation::digest::{canonical, sha256_hex};
use crate::turn::{Effect, Input, Turn};
use squall_content::{Action, Policy};
use squall_model::{Change, ExecutionId, Map, Outcome, Status, Value};
use squall_store::{Op, Slot};
use std::sync::atomic::Ordering;

/// Whether an execution may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It has its places, or needs none.
    Has,
    /// It waits for one, or is over.
    HasNot,
}

/// Who wait that are woken at a start or after a reload.
const ALL: usize = 100_000;

/// Among which executions the policy counts: those of the action, or those with the same values of some parameters.
///
/// Parameters that were not given do not tell executions apart, as in StackStorm.
fn name(policy: &Policy, params: &Map) -> String {
    let attributes = policy.parameters.get("attributes").and_then(Value::as_list);
    let Some(attributes) = attributes.filter(|_| &*policy.policy_type == "action.concurrency.attr") else {
        return policy.reference.to_string();
    };
    let given = attributes.iter().filter_map(Value::as_str).filter_map(|name| params.get_key_value(name));
    let given: Map = given.map(|(name, value)| (name.clone(), value.clone())).collect();
    format!("{}/{}", policy.reference, sha256_hex(&canonical(&given.into())))
}

fn threshold(policy: &Policy) -> u64 {
    policy.parameters.get("threshold").and_then(Value::as_int).and_then(|n| u64::try_from(n).ok()).unwrap_or(0)
}

impl Turn<'_> {
    /// Takes the places that an execution needs to start; without one it waits, or is canceled.
    pub(crate) fn take_places(&mut self, id: ExecutionId, action: &Action) -> Place {
        let policies = self.around.content.few(&action.reference);
        let Some(execution) = self.tree.executions.get(&id) else { return Place::HasNot };
        // What is scheduled has its places already.
        if policies.is_empty() || execution.status == Status::Scheduled {
            return Place::Has;
        }
        let params = execution.request.params.clone();
        let mut wanted = Vec::with_capacity(policies.len());
        for policy in policies {
            let (name, limit) = (name(policy, &params), threshold(policy));
            match self.places_taken(&name) {
                Ok(taken) if taken < limit => wanted.push((name, limit)),
                Ok(_) if policy.parameters.get("action").and_then(Value::as_str) == Some("cancel") => {
                    let text = format!("Policy `{}` lets {limit} of it run at once.", policy.reference);
                    let result = Value::from_pairs([("message", text)]);
                    self.end(id, Outcome { status: Status::Canceled, result });
                    return Place::HasNot;
                }
                Ok(_) => return self.wait_for_place(id, name),
                // A store that cannot be read refuses the commit as well.
                Err(error) => {
                    tracing::warn!(execution = %id, %error, "cannot count who runs");
                    return self.wait_for_place(id, name);
                }
            }
        }
        for (name, limit) in wanted {
            self.put_slot(id, name, true, limit);
        }
        if self.tree.executions.get(&id).is_some_and(|e| e.status == Status::Delayed) {
            self.become_status(id, Status::Requested, Change::default());
        }
        Place::Has
    }

    fn wait_for_place(&mut self, id: ExecutionId, name: String) -> Place {
        self.put_slot(id, name, false, 0);
        self.become_status(id, Status::Delayed, Change::default());
        Place::HasNot
    }

    fn put_slot(&mut self, id: ExecutionId, name: String, taken: bool, limit: u64) {
        let (root, at) = (self.tree.root, self.tree.executions.get(&id).map_or(self.around.now, |e| e.created));
        if taken {
            self.note_place(&name);
        }
        self.push(Op::PutSlot { slot: Box::new(Slot { name, execution: id, root, at, taken }), limit });
    }

    /// Gives back what an execution that ends has, and lets somebody else know.
    pub(crate) fn give_places_back(&mut self, id: ExecutionId) {
        if !self.around.few {
            return;
        }
        self.push(Op::FreeSlots { execution: id });
        let Some(execution) = self.tree.executions.get(&id) else { return };
        let policies = self.around.content.few(&execution.request.action);
        let names: Vec<String> = policies.iter().map(|policy| name(policy, &execution.request.params)).collect();
        if !names.is_empty() {
            self.after_commit(Effect::Freed(names));
        }
    }
}

impl Engine {
    /// Lets the first who waits for each of these places try.
    pub(crate) fn wake(&self, names: &[String]) {
        for name in names {
            match self.store().slots(name, 1) {
                Ok((_, waiting)) => self.start_all(&waiting),
                Err(error) => tracing::warn!(%name, %error, "cannot read who waits: the next end tries again"),
            }
        }
    }

    /// Lets everybody who waits for a place try.
    pub(crate) fn wake_all(&self) {
        let names = match self.store().slot_names() {
            Ok(names) => names,
            Err(error) => return tracing::warn!(%error, "cannot read who waits for a place"),
        };
        if !names.is_empty() {
            self.inner.few.store(true, Ordering::Relaxed);
        }
        for name in names {
            match self.store().slots(&name, ALL) {
                Ok((_, waiting)) => self.start_all(&waiting),
                Err(error) => tracing::warn!(%name, %error, "cannot read who waits"),
            }
        }
    }

    fn start_all(&self, waiting: &[Slot]) {
        for slot in waiting {
            let (engine, root, input) = (self.clone(), slot.root, Input::Start(slot.execution));
            self.inner.runtime.spawn(Box::pin(async move { drop(engine.insist(root, input).await) }));
        }
    }
}
