//! Where an Orquesta run stands, and the facts that got it there.
//!
//! [`State`] is the fold of [`Fact`]s: nothing here evaluates an expression or chooses a way. Counts are kept beside the
//! lists that they count (who is active, which branches have reached a join), so that a decision costs the same in
//! a run of ten tasks and of ten thousand.
//!
//! An *entry* is one run of a task in the list that StackStorm calls the sequence; a cycle or a rerun adds
//! another. A task is *staged* from the moment a transition names it until it starts; one over items stays staged
//! until all of them have ended.

use super::Definition;
use super::status::{Outlook, Status, Tally};
use super::view::{ViewId, Views};
use serde::{Deserialize, Serialize};
use squall_model::{Map, Str, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An entry of the log of errors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ErrorEntry {
    /// What went wrong, with its class before the first colon; the fixed text for an action that failed.
    pub message: Str,
    /// The task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_id: Option<Str>,
    /// Its route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route: Option<u32>,
    /// The transition, as `target__tN`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task_transition_id: Option<Str>,
    /// The result of the action.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
}

/// How often a task may be tried again, rendered when it was entered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tries {
    /// Tries after the first.
    pub count: i64,
    /// Seconds before each of them.
    pub delay: i64,
    /// How many there were.
    #[serde(default)]
    pub done: i64,
}

/// What only Orquesta says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// Inputs and variables are rendered; the start tasks are staged.
    Opened {
        /// The first context.
        context: Map,
    },
    /// An error was noted.
    Logged {
        /// Which.
        error: ErrorEntry,
    },
    /// The workflow's status is another.
    Became {
        /// Which.
        status: Status,
    },
    /// A staged task has a new entry.
    Entered {
        /// Its name.
        task: Str,
        /// Its route.
        route: u32,
        /// Its tries, if it has any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tries: Option<Tries>,
    },
    /// A task is no longer staged.
    Unstaged {
        /// Its name.
        task: Str,
        /// Its route.
        route: u32,
    },
    /// A task's items are known.
    Itemized {
        /// Its name.
        task: Str,
        /// Its route.
        route: u32,
        /// What `item()` gives for each.
        items: Vec<Value>,
        /// How many may run at once.
        #[serde(default)]
        concurrency: Option<i64>,
    },
    /// A task's status is another.
    Moved {
        /// Its entry.
        entry: u32,
        /// Which.
        status: Status,
    },
    /// An item's status is another.
    ItemMoved {
        /// The task's name.
        task: Str,
        /// Its route.
        route: u32,
        /// The item's index.
        item: u32,
        /// Which status.
        status: Status,
        /// Its result.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        result: Value,
        /// Whether the result is that of the end reported just before, which is not repeated.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        heard: bool,
    },
    /// A transition published variables: the next view.
    Published {
        /// The entry of the task that ended.
        entry: u32,
        /// The variables.
        values: Map,
    },
    /// There is a new route.
    Routed {
        /// The transitions that lead to it.
        transitions: Vec<Str>,
    },
    /// A transition is taken.
    Taken {
        /// The entry of the task that ended.
        entry: u32,
        /// The index among the edges of its task.
        edge: u32,
        /// The route of the task that it leads to.
        route: u32,
        /// What that task will see.
        view: ViewId,
    },
    /// A staged task may start.
    Ready {
        /// Its name.
        task: Str,
        /// Its route.
        route: u32,
        /// Even though the workflow has failed, because `fail` stood beside it.
        #[serde(default)]
        despite_failure: bool,
    },
    /// A task will be tried again.
    Retried {
        /// Its entry.
        entry: u32,
    },
    /// A task's context counts for the output.
    Terminal {
        /// Its entry.
        entry: u32,
        /// Whether it does.
        counts: bool,
    },
    /// A task was entered and staged again, because somebody asked for it.
    Reentered {
        /// Its last entry.
        entry: u32,
        /// Whether all items start afresh.
        reset: bool,
    },
    /// The output is forgotten, because the workflow goes on.
    OutputForgotten,
    /// The output is rendered.
    Rendered {
        /// It.
        output: Value,
    },
    /// A resume or rerun gave the first context other values (`st2`, `parent`).
    Recontexted {
        /// Them.
        context: Map,
    },
}

/// The items of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Items {
    /// What `item()` gives for each.
    pub values: Arc<Vec<Value>>,
    /// How many may run at once.
    pub concurrency: Option<i64>,
    /// The status of each.
    pub statuses: Vec<Status>,
    /// The result of each, null where there is none.
    pub results: Vec<Value>,
    /// The statuses, counted.
    pub tally: Tally,
    /// Before it, all have started.
    pub cursor: usize,
}

impl Items {
    fn new(values: Vec<Value>, concurrency: Option<i64>) -> Items {
        let count = values.len();
        let waiting = u32::try_from(count).unwrap_or(u32::MAX);
        Items {
            values: Arc::new(values),
            concurrency,
            statuses: vec![Status::Unset; count],
            results: vec![Value::Null; count],
            tally: Tally { waiting, ..Tally::default() },
            cursor: 0,
        }
    }

    fn set(&mut self, item: usize, status: Status) {
        let Some(slot) = self.statuses.get_mut(item) else { return };
        let old = std::mem::replace(slot, status);
        let count = self.tally.of(old);
        *count = count.saturating_sub(1);
        *self.tally.of(status) += 1;
        while self.statuses.get(self.cursor).is_some_and(|s| *s != Status::Unset) {
            self.cursor += 1;
        }
    }

    /// Lets items that ended badly, or all of them, start again.
    fn reset(&mut self, all: bool, hang: bool) {
        for i in 0..self.statuses.len() {
            // An item that was paused when its task failed would be waited for by nobody.
            let is_lost = !hang && !self.statuses[i].is_completed() && !self.statuses[i].is_active();
            if all || is_lost || self.statuses[i].is_abended() {
                self.cursor = self.cursor.min(i);
                self.set(i, Status::Unset);
            }
        }
        if self.statuses.iter().all(|status| *status == Status::Unset) {
            self.results.fill(Value::Null);
        }
    }

    /// How many may start now.
    pub fn places(&self) -> usize {
        let waiting = self.tally.waiting as usize;
        match self.concurrency {
            None => waiting,
            Some(limit) => {
                let free = limit.saturating_sub(i64::from(self.tally.active));
                waiting.min(usize::try_from(free).unwrap_or(0))
            }
        }
    }

    /// The items that may start now.
    pub fn next(&self) -> Vec<usize> {
        (self.cursor..self.statuses.len()).filter(|i| self.statuses[*i] == Status::Unset).take(self.places()).collect()
    }

    /// The counts without one item.
    pub fn others(&self, item: usize) -> Tally {
        let mut tally = self.tally;
        if let Some(status) = self.statuses.get(item) {
            let count = tally.of(*status);
            *count = count.saturating_sub(1);
        }
        tally
    }
}

/// One run of a task.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The task, by its place in the graph.
    pub node: usize,
    /// Its route.
    pub route: u32,
    /// What it sees.
    pub view: ViewId,
    /// The entries whose transitions led to it.
    pub prev: Vec<u32>,
    /// Its status.
    pub status: Status,
    /// The transitions taken, by their place among the task's edges.
    pub taken: Vec<u32>,
    /// Whether its context counts for the output.
    pub terminal: bool,
    /// Its tries.
    pub tries: Option<Tries>,
    /// Its items, once it has ended.
    pub items: Option<Box<Items>>,
}

impl Entry {
    /// Whether something will read what it sees: its own expressions, or those of the output.
    fn is_read(&self) -> bool {
        self.terminal || !self.status.is_completed()
    }
}

/// A task that a transition named and that has not started, or whose items are not all done.
#[derive(Debug, Clone, PartialEq)]
pub struct Staged {
    /// The task, by its place in the graph.
    pub node: usize,
    /// Its route.
    pub route: u32,
    /// What it will see.
    pub view: ViewId,
    /// The entries whose transitions led to it.
    pub prev: Vec<u32>,
    /// Whether its inbound criteria are met.
    pub ready: bool,
    /// Whether it runs although the workflow has failed.
    pub despite_failure: bool,
    /// Seconds to wait, for another try.
    pub retry_delay: Option<i64>,
    /// Its items, once they are known.
    pub items: Option<Box<Items>>,
}

impl Staged {
    /// Whether there is something to offer.
    fn is_offerable(&self) -> bool {
        self.ready && self.items.as_ref().is_none_or(|items| items.places() > 0)
    }
}

/// What a run remembers.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    pub(super) status: Status,
    pub(super) entries: Vec<Entry>,
    latest: HashMap<(usize, u32), u32>,
    staged: BTreeMap<u64, Staged>,
    staged_at: HashMap<(usize, u32), u64>,
    next_staged: u64,
    offerable: BTreeSet<u64>,
    ready: u32,
    pub(super) routes: Vec<Arc<[Str]>>,
    /// Held by what is staged, by the entries that are read, and by `ended`.
    pub(super) views: Views,
    /// What the transitions of the entry that ended last see, and what they published.
    ended: Vec<ViewId>,
    pub(super) errors: Vec<ErrorEntry>,
    pub(super) output: Value,
    arrivals: HashMap<(usize, u32), u32>,
    standing: Tally,
    heard: Value,
    /// Runs of the engine, by their numbers: entry place (task, route) and item.
    pub(super) units: Vec<Unit>,
}

/// What an offer of the engine is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// The task.
    pub task: Str,
    /// Its route.
    pub route: u32,
    /// Its item.
    pub item: Option<u32>,
}

impl State {
    /// The workflow's status.
    pub fn status(&self) -> Status {
        self.status
    }

    /// The rendered output; null before, and when there is none.
    pub fn output(&self) -> &Value {
        &self.output
    }

    /// The errors, in the order of their appearance.
    pub fn errors(&self) -> &[ErrorEntry] {
        &self.errors
    }

    /// Runs of tasks in the order of their start.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// For each route the transitions that lead to it.
    pub fn routes(&self) -> &[Arc<[Str]>] {
        &self.routes
    }

    /// The last run of a task on a route.
    pub fn latest(&self, node: usize, route: u32) -> Option<(u32, &Entry)> {
        let index = *self.latest.get(&(node, route))?;
        Some((index, self.entries.get(index as usize)?))
    }

    /// Runs of tasks that some run of the same task, on its route, led to.
    pub fn led_to(&self, entry: u32) -> impl Iterator<Item = u32> {
        let mine = self.entries.get(entry as usize).map(|entry| (entry.node, entry.route));
        let is_mine = move |prev: &u32| self.entries.get(*prev as usize).map(|e| (e.node, e.route)) == mine;
        (0..).zip(&self.entries).filter(move |(_, entry)| entry.prev.iter().any(is_mine)).map(|(i, _)| i)
    }

    /// The task as it is staged on a route.
    pub fn staged(&self, node: usize, route: u32) -> Option<&Staged> {
        self.staged.get(self.staged_at.get(&(node, route))?)
    }

    /// Everything staged, in the order of staging.
    pub fn all_staged(&self) -> impl Iterator<Item = &Staged> {
        self.staged.values()
    }

    /// What may be offered, in the order of staging.
    pub fn offerable(&self) -> impl Iterator<Item = &Staged> {
        self.offerable.iter().filter_map(|key| self.staged.get(key))
    }

    /// How many distinct tasks have taken a transition to the join `node`.
    pub fn arrivals(&self, node: usize, route: u32) -> u32 {
        self.arrivals.get(&(node, route)).copied().unwrap_or(0)
    }

    /// What the workflow's status depends on.
    pub fn outlook(&self) -> Outlook {
        Outlook {
            active: self.standing.active > 0,
            paused: self.standing.paused > 0,
            canceled: self.standing.canceled > 0,
            staged: self.ready > 0,
        }
    }

    /// The context of the whole run: what its terminal tasks see, in the order of their start.
    pub fn final_context(&self) -> Map {
        let views = self.entries.iter().filter(|e| e.terminal).map(|e| e.view);
        self.views.together(views).map(|sum| self.views.all(&sum)).unwrap_or_default()
    }

    /// What tasks see so far: the contexts of all runs of tasks, in the order of their start.
    pub fn whole_context(&self) -> Map {
        let views = self.entries.iter().map(|e| e.view);
        self.views.together(views).map(|sum| self.views.all(&sum)).unwrap_or_default()
    }

    // ---- folding ----------------------------------------------------------------------------------------------------

    pub(super) fn apply(&mut self, definition: &Definition, fact: &Fact) {
        let node = |task: &Str| definition.graph.by_name.get(task).copied();
        match fact {
            Fact::Opened { context } => self.open(definition, context),
            Fact::Logged { error } => self.errors.push(error.clone()),
            Fact::Became { status } => self.status = *status,
            Fact::Entered { task, route, tries } => {
                if let Some(node) = node(task) {
                    self.enter(definition, node, *route, *tries);
                }
            }
            Fact::Unstaged { task, route } => {
                if let Some(node) = node(task) {
                    self.unstage(node, *route);
                }
            }
            Fact::Itemized { task, route, items, concurrency } => {
                let items = Items::new(items.clone(), *concurrency);
                self.with_staged(node(task), *route, |staged| staged.items = Some(Box::new(items)));
            }
            Fact::Moved { entry, status } => self.settle(*entry, *status),
            Fact::ItemMoved { task, route, item, status, result, heard } => {
                let result = if *heard { std::mem::take(&mut self.heard) } else { result.clone() };
                self.with_staged(node(task), *route, |staged| {
                    if let Some(items) = &mut staged.items {
                        items.set(*item as usize, *status);
                        if let (true, Some(slot)) = (status.is_completed(), items.results.get_mut(*item as usize)) {
                            *slot = result;
                        }
                    }
                });
            }
            Fact::Published { entry, values } => {
                let on = self.entries.get(*entry as usize).map_or(0, |e| e.view);
                self.ended.push(self.views.publish(on, values));
            }
            Fact::Routed { transitions } => self.routes.push(transitions.clone().into()),
            Fact::Taken { entry, edge, route, view } => self.take(definition, *entry, *edge, *route, *view),
            Fact::Ready { task, route, despite_failure } => {
                self.with_staged(node(task), *route, |staged| {
                    staged.ready = true;
                    staged.despite_failure |= despite_failure;
                });
            }
            Fact::Retried { entry } => self.retry(*entry),
            Fact::Terminal { entry, counts } => self.change(*entry, |entry| entry.terminal = *counts),
            Fact::Reentered { entry, reset } => self.reenter(definition, *entry, *reset),
            Fact::OutputForgotten => self.output = Value::Null,
            Fact::Rendered { output } => self.output = output.clone(),
            Fact::Recontexted { context } => self.views.amend_root(context),
        }
    }

    /// Remembers a result that the next [`Fact::ItemMoved`] speaks of.
    pub(super) fn hear(&mut self, result: &Value) {
        self.heard = result.clone();
    }

    /// Remembers which run of the engine an offer is about.
    pub(super) fn offered(&mut self, offer: &crate::Offer) {
        let index = offer.run as usize;
        if self.units.len() <= index {
            self.units.resize_with(index + 1, Unit::default);
        }
        self.units[index] = Unit { task: offer.task.clone(), route: offer.route, item: offer.item };
    }

    fn open(&mut self, definition: &Definition, context: &Map) {
        self.views.open(context);
        self.routes = vec![Arc::from([])];
        for node in &definition.graph.starts {
            self.stage(Staged {
                node: *node,
                route: 0,
                view: 0,
                prev: Vec::new(),
                ready: true,
                despite_failure: false,
                retry_delay: None,
                items: None,
            });
        }
    }

    fn stage(&mut self, staged: Staged) {
        let key = self.next_staged;
        self.next_staged += 1;
        self.ready += u32::from(staged.ready);
        if staged.is_offerable() {
            self.offerable.insert(key);
        }
        self.views.hold(staged.view);
        self.staged_at.insert((staged.node, staged.route), key);
        self.staged.insert(key, staged);
    }

    fn with_staged(&mut self, node: Option<usize>, route: u32, change: impl FnOnce(&mut Staged)) {
        let Some(key) = node.and_then(|node| self.staged_at.get(&(node, route))) else { return };
        let Some(staged) = self.staged.get_mut(key) else { return };
        let was_ready = staged.ready;
        change(staged);
        if staged.ready && !was_ready {
            self.ready += 1;
        }
        if staged.is_offerable() {
            self.offerable.insert(*key);
        } else {
            self.offerable.remove(key);
        }
    }

    fn unstage(&mut self, node: usize, route: u32) -> Option<()> {
        let key = self.staged_at.remove(&(node, route))?;
        let staged = self.staged.remove(&key)?;
        self.offerable.remove(&key);
        self.ready -= u32::from(staged.ready);
        self.views.release(staged.view);
        if let (Some(items), Some(index)) = (staged.items, self.latest.get(&(node, route))) {
            self.entries.get_mut(*index as usize)?.items = Some(items);
        }
        Some(())
    }

    fn enter(&mut self, definition: &Definition, node: usize, route: u32, tries: Option<Tries>) {
        let (view, prev) =
            self.staged(node, route).map(|staged| (staged.view, staged.prev.clone())).unwrap_or_default();
        self.push_entry(
            definition,
            Entry {
                node,
                route,
                view,
                prev,
                status: Status::Unset,
                taken: Vec::new(),
                terminal: false,
                tries,
                items: None,
            },
        );
    }

    fn push_entry(&mut self, definition: &Definition, entry: Entry) {
        let index = u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
        if let Some(old) = self.latest.insert((entry.node, entry.route), index) {
            self.forget_arrivals(definition, old);
            let count = self.standing.of(self.entries[old as usize].status);
            *count = count.saturating_sub(1);
        }
        *self.standing.of(entry.status) += 1;
        if entry.is_read() {
            self.views.hold(entry.view);
        }
        self.entries.push(entry);
    }

    /// Changes an entry. What it sees is not let go of before the next one ends: its transitions are yet to be taken.
    fn change(&mut self, index: u32, change: impl FnOnce(&mut Entry)) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let was_read = entry.is_read();
        change(entry);
        match (was_read, entry.is_read()) {
            (false, true) => self.views.hold(entry.view),
            (true, false) => {
                self.ended.drain(..).for_each(|view| self.views.release(view));
                self.ended.push(entry.view);
            }
            _ => {}
        }
    }

    /// Only the last run of a task counts at the joins that it leads to.
    fn forget_arrivals(&mut self, definition: &Definition, entry: u32) {
        let Some(entry) = self.entries.get(entry as usize) else { return };
        let edges = &definition.graph.nodes[entry.node].edges;
        let targets: BTreeSet<usize> =
            entry.taken.iter().filter_map(|i| edges.get(*i as usize)).map(|e| e.target).collect();
        for target in targets {
            if let Some(count) = self.arrivals.get_mut(&(target, entry.route)) {
                *count = count.saturating_sub(1);
            }
        }
    }

    fn settle(&mut self, index: u32, status: Status) {
        let Some(entry) = self.entries.get(index as usize) else { return };
        let old = entry.status;
        if self.latest.get(&(entry.node, entry.route)) == Some(&index) {
            let count = self.standing.of(old);
            *count = count.saturating_sub(1);
            *self.standing.of(status) += 1;
        }
        self.change(index, |entry| entry.status = status);
    }

    fn take(&mut self, definition: &Definition, index: u32, edge: u32, route: u32, view: ViewId) {
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        let edges = &definition.graph.nodes[entry.node].edges;
        let Some(target) = edges.get(edge as usize).map(|e| e.target) else { return };
        let again = entry.taken.iter().any(|i| edges.get(*i as usize).is_some_and(|e| e.target == target));
        entry.taken.push(edge);
        let from_route = entry.route;
        if !again && definition.graph.nodes[target].is_join {
            *self.arrivals.entry((target, from_route)).or_default() += 1;
        }
        let Some(key) = self.staged_at.get(&(target, route)).copied() else {
            return self.stage(Staged {
                node: target,
                route,
                view,
                prev: vec![index],
                ready: !definition.graph.nodes[target].is_join,
                despite_failure: false,
                retry_delay: None,
                items: None,
            });
        };
        let Some(on) = self.staged.get(&key).map(|staged| staged.view) else { return };
        let joined = self.views.join(on, view);
        self.with_staged(Some(target), route, |staged| {
            staged.view = joined;
            staged.prev.push(index);
            // A task over items that is entered again begins with its items again.
            staged.items = None;
        });
    }

    fn retry(&mut self, index: u32) {
        self.settle(index, Status::Retrying);
        let Some(entry) = self.entries.get_mut(index as usize) else { return };
        entry.items = None;
        let delay = entry.tries.as_mut().map_or(0, |tries| {
            tries.done += 1;
            tries.delay
        });
        let staged = Staged {
            node: entry.node,
            route: entry.route,
            view: entry.view,
            prev: entry.prev.clone(),
            ready: true,
            despite_failure: false,
            retry_delay: Some(delay),
            items: None,
        };
        self.stage(staged);
    }

    fn reenter(&mut self, definition: &Definition, index: u32, reset: bool) {
        self.change(index, |entry| entry.terminal = false);
        let Some(old) = self.entries.get(index as usize).cloned() else { return };
        let name = &definition.graph.nodes[old.node].name;
        self.errors.retain(|error| error.task_id.as_ref() != Some(name));
        if definition.plan(old.node).is_some_and(|plan| plan.with.is_some()) {
            return self.restage_items(definition, old, reset);
        }
        let entry = Entry {
            status: Status::Unset,
            taken: Vec::new(),
            tries: old.tries.map(|tries| Tries { done: 0, ..tries }),
            items: None,
            ..old
        };
        let staged = Staged {
            node: entry.node,
            route: entry.route,
            view: entry.view,
            prev: entry.prev.clone(),
            ready: true,
            despite_failure: false,
            retry_delay: None,
            items: None,
        };
        self.push_entry(definition, entry);
        self.unstage(staged.node, staged.route);
        self.stage(staged);
    }

    /// A task over items is entered again only when it starts. Items that still run stay as they are.
    fn restage_items(&mut self, definition: &Definition, old: Entry, reset: bool) {
        let hang = definition.habits.hang;
        if self.staged(old.node, old.route).is_some() {
            return self.with_staged(Some(old.node), old.route, |staged| {
                if let Some(items) = &mut staged.items {
                    items.reset(reset, hang);
                }
            });
        }
        let mut items = old.items;
        if let Some(items) = &mut items {
            items.reset(reset, hang);
        }
        self.stage(Staged {
            node: old.node,
            route: old.route,
            view: old.view,
            prev: old.prev,
            ready: true,
            despite_failure: false,
            retry_delay: None,
            items,
        });
    }
}
