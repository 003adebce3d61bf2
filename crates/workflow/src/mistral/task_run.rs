//! A task record and the slots in which its actions and sub-workflows run.
//!
//! A plain task has one slot for each run that counts, a task over items one for each item. A new try clears the slots and
//! raises the generation, so that a late result of an earlier try finds its place taken and is not counted.

use super::context::Context;
use super::decide::RUNNING;
use super::definition::TaskIndex;
use super::fact::{ExecutionId, Next, Policies, TaskId, TaskState};
use crate::{RunId, TimerId};
use squall_model::{Map, Str, Timestamp, Value};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A task record: one passage through a task, its retries included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TaskRun {
    pub id: TaskId,
    /// The id that expressions and results show.
    pub uuid: Str,
    pub execution: ExecutionId,
    pub index: TaskIndex,
    pub name: Str,
    pub state: TaskState,
    pub info: Option<Str>,
    /// What it was handed.
    pub inbound: Context,
    /// What it hands on.
    pub outbound: Context,
    pub published: Arc<Map>,
    /// What it published was not for its branch.
    pub published_nothing: bool,
    pub policies: Policies,
    pub prepared: bool,
    /// The lists of a task over items.
    pub items: Option<Arc<Vec<(Str, Value)>>>,
    /// What its last action was given.
    pub input: Value,
    /// Actions and sub-workflows of this try, by item.
    pub slots: Vec<Slot>,
    /// The next item that was never offered.
    pub next_item: u32,
    /// Slots that run.
    pub running: u32,
    /// Slots that failed.
    pub failed: u32,
    /// Slots that were cancelled.
    pub cancelled: u32,
    /// The result, once it is settled; a late answer makes it stale.
    pub result: Option<Value>,
    pub forgot: bool,
    /// Runs and sub-executions of all tries.
    pub attempts: u32,
    /// Which try this is; earlier tries' results do not count.
    pub generation: u32,
    /// Retries made, once there was one.
    pub retries: Option<u32>,
    pub failures: Vec<Failure>,
    pub children: Vec<ExecutionId>,
    /// Joins: which inbound tasks led here.
    pub arrived: BTreeSet<TaskIndex>,
    pub next: Next,
    pub handled: bool,
    /// Its transitions were looked at.
    pub followed: bool,
    pub delay: Option<TimerId>,
    pub watch: Option<TimerId>,
    /// What it will be after `wait-after`.
    pub after: Option<(TaskState, Option<Str>)>,
    pub waited_after: bool,
    pub created: Timestamp,
    pub updated: Timestamp,
}

/// One action or sub-workflow of the current try.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Slot {
    pub state: Option<TaskState>,
    pub value: Value,
}

/// A failed run, for the sentence that explains a failed workflow.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Failure {
    /// Its number among the runs of the task.
    pub index: u32,
    pub of: FailureOf,
    pub error: Value,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum FailureOf {
    Run(RunId),
    Execution(ExecutionId),
}

impl TaskRun {
    /// The result as `task().result` shows it: of a plain task its one answer, of several (or of items) a list.
    pub fn result(&self) -> Value {
        self.result.clone().unwrap_or_else(|| self.compute_result())
    }

    pub fn compute_result(&self) -> Value {
        if self.forgot {
            return Value::Null;
        }
        let mut done = self.slots.iter().filter(|slot| slot.state.is_some());
        if self.items.is_none() && done.clone().count() == 1 {
            return done.next().map(|slot| slot.value.clone()).unwrap_or_default();
        }
        Value::from(done.map(|slot| slot.value.clone()).collect::<Vec<_>>())
    }

    /// What it published, as Mistral shows it.
    pub fn shown_published(&self) -> Value {
        if self.published_nothing { Value::Null } else { Value::Map(self.published.clone()) }
    }

    /// How many items there are; one for a plain task.
    pub fn item_count(&self) -> u32 {
        match &self.items {
            Some(lists) => lists.first().and_then(|(_, list)| list.as_list()).map_or(0, <[Value]>::len) as u32,
            None => 1,
        }
    }

    /// Retries made; nothing where the policy was never looked at.
    pub fn retries_made(&self) -> Option<u32> {
        let may_retry = self.policies.retry.is_some_and(|retry| retry.count > 0);
        let at_fault = self.attempts == 0 && self.info.as_deref().is_some_and(|info| info.starts_with(RUNNING));
        let was_reached = may_retry && !at_fault && self.state.is_completed();
        self.retries.or((was_reached && self.state != TaskState::Cancelled).then_some(0))
    }

    /// The error of a slot, for a plain task's `state_info`.
    pub fn last_value(&self) -> Value {
        self.slots.last().map(|slot| slot.value.clone()).unwrap_or_default()
    }

    /// Whether the item's slot has to be offered (again).
    pub fn is_vacant(&self, item: u32) -> bool {
        self.slots.get(item as usize).is_none_or(|slot| *slot == Slot::default())
    }

    pub fn list(&mut self, items: &[(Str, Value)]) {
        self.items = Some(Arc::new(items.to_vec()));
        self.slots = vec![Slot::default(); self.item_count() as usize];
    }

    pub fn open_slot(&mut self, slot: u32) -> u32 {
        let place = slot as usize;
        if self.slots.len() <= place {
            // Nearly always one: a vector that grows by itself would begin with four.
            self.slots.reserve_exact(place + 1 - self.slots.len());
            self.slots.resize(place + 1, Slot::default());
        }
        self.slots[place] = Slot::default();
        self.next_item = self.next_item.max(slot + 1);
        self.running += 1;
        self.attempts += 1;
        slot
    }

    pub fn close_slot(&mut self, slot: u32, state: TaskState, value: Value) {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        *slot = Slot { state: Some(state), value };
        self.result = None;
        self.running = self.running.saturating_sub(1);
        self.failed += u32::from(state == TaskState::Error);
        self.cancelled += u32::from(state == TaskState::Cancelled);
    }

    /// A sub-workflow that had ended goes on.
    pub fn reopen_slot(&mut self, slot: u32) {
        let Some(slot) = self.slots.get_mut(slot as usize) else { return };
        self.failed -= u32::from(slot.state == Some(TaskState::Error)).min(self.failed);
        self.cancelled -= u32::from(slot.state == Some(TaskState::Cancelled)).min(self.cancelled);
        *slot = Slot::default();
        self.result = None;
        self.running += 1;
    }

    /// The slot that the next run of a plain task takes.
    pub fn next_slot(&self) -> u32 {
        self.slots.len() as u32
    }

    pub fn forget(&mut self) {
        self.forgot = true;
        self.result = Some(Value::Null);
    }

    pub fn retry(&mut self) {
        self.restart(true);
        self.retries = Some(self.retries.unwrap_or(0) + 1);
    }

    /// Takes the results of the last try back: all of them, or those of items that did not succeed.
    pub fn restart(&mut self, reset: bool) {
        if reset || self.items.is_none() {
            self.generation += 1;
            let kept = if self.items.is_some() { self.slots.len() } else { 0 };
            self.slots = vec![Slot::default(); kept];
            (self.running, self.next_item) = (0, 0);
        } else {
            for slot in self.slots.iter_mut().filter(|slot| slot.state != Some(TaskState::Success)) {
                *slot = Slot::default();
            }
            self.next_item = 0;
        }
        (self.failed, self.cancelled, self.result, self.forgot) = (0, 0, None, false);
    }
}
