//! Contexts: what a task sees, as the sum of what was published on the ways to it.
//!
//! A view is a node in a tree of small additions: the root holds inputs and variables, a publish adds its own
//! names, a join adds everything its next branch brought. Nothing is copied when a task starts; the sum of a view is kept only
//! while some task stands on it, and made again from the tree when somebody asks later.
//!
//! Sums are deep: maps merge key by key, everything else replaces. A branch that arrives at a join applies all of
//! its history again, so its `tail`, the sum of a view without the root, is kept beside the whole.

use squall_model::{Map, Str, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Numbers views; 0 is the root.
pub type ViewId = u32;

/// How deep maps merge. Deeper ones replace: only a loop that wraps a variable into itself gets there.
const MAX_DEPTH: u32 = 100;

/// `new` over `old`: maps merge, everything else replaces.
pub fn merge(old: &Value, new: &Value) -> Value {
    merge_within(old, new, 0)
}

fn merge_within(old: &Value, new: &Value, depth: u32) -> Value {
    let (Value::Map(old), Value::Map(added)) = (old, new) else {
        return new.clone();
    };
    if old.is_empty() || depth >= MAX_DEPTH {
        return new.clone();
    }
    if Arc::ptr_eq(old, added) {
        return new.clone();
    }
    let mut map = (**old).clone();
    for (key, value) in added.iter() {
        match map.get_mut(key) {
            Some(slot) => *slot = merge_within(slot, value, depth + 1),
            None => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
    Value::from(map)
}

/// Merges all of `new` into `map`.
pub fn merge_into(map: &mut Map, new: &Map) {
    for (key, value) in new {
        set(map, key, value);
    }
}

fn set(map: &mut Map, key: &Str, value: &Value) {
    match map.get_mut(key) {
        Some(slot) => *slot = merge(slot, value),
        None => {
            map.insert(key.clone(), value.clone());
        }
    }
}

/// A variable of a tail: `hard` when it replaces whatever was below, although it is a map.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    value: Value,
    hard: bool,
}

impl Change {
    fn over(&self, below: Option<&Value>) -> Value {
        match below {
            Some(below) if !self.hard => merge(below, &self.value),
            _ => self.value.clone(),
        }
    }

    fn then(&self, next: &Change) -> Change {
        if next.hard {
            return next.clone();
        }
        Change {
            value: merge(&self.value, &next.value),
            // A map over a text: what lay below the text must stay hidden.
            hard: self.hard || (next.value.as_map().is_some() && self.value.as_map().is_none()),
        }
    }
}

/// The sum of a view.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sum {
    whole: Arc<Map>,
    tail: Arc<HashMap<Str, Change>>,
    /// The order in which the tail's names came, for a stable order of names in joins.
    order: Arc<Vec<Str>>,
}

impl Sum {
    /// All variables, private ones included.
    pub fn whole(&self) -> &Arc<Map> {
        &self.whole
    }

    fn root(map: Arc<Map>) -> Sum {
        Sum { whole: map, ..Sum::default() }
    }

    fn publish(mut self, added: &Map) -> Sum {
        merge_into(Arc::make_mut(&mut self.whole), added);
        for (name, value) in added {
            self.change(name, &Change { value: value.clone(), hard: false });
        }
        self
    }

    fn arrive(mut self, branch: &Sum) -> Sum {
        if branch.order.is_empty() {
            return self;
        }
        for name in branch.order.iter() {
            let Some(change) = branch.tail.get(name) else { continue };
            let below = self.whole.get(name);
            let value = change.over(below);
            Arc::make_mut(&mut self.whole).insert(name.clone(), value);
            self.change(name, change);
        }
        self
    }

    fn change(&mut self, name: &Str, change: &Change) {
        let tail = Arc::make_mut(&mut self.tail);
        match tail.get_mut(name) {
            Some(slot) => *slot = slot.then(change),
            None => {
                tail.insert(name.clone(), change.clone());
                Arc::make_mut(&mut self.order).push(name.clone());
            }
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Made {
    Root(Arc<Map>),
    Published { on: ViewId, added: Arc<Map> },
    Joined { on: ViewId, branch: ViewId },
}

#[derive(Debug, Clone, PartialEq)]
struct View {
    made: Made,
    sum: Option<Arc<Sum>>,
    users: u32,
}

/// All views of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views(Vec<View>);

impl Views {
    /// Begins with the root.
    pub fn open(&mut self, root: Map) {
        let root = Arc::new(root);
        self.0 = vec![View { made: Made::Root(root.clone()), sum: Some(Arc::new(Sum::root(root))), users: 1 }];
    }

    /// Gives names of the root other values; every sum at hand is made again.
    pub fn amend_root(&mut self, added: &Map) {
        let Some(Made::Root(root)) = self.0.first_mut().map(|view| &mut view.made) else { return };
        Arc::make_mut(root).extend(added.iter().map(|(k, v)| (k.clone(), v.clone())));
        self.0.iter_mut().for_each(|view| view.sum = None);
        for id in 0..self.0.len() {
            if self.0[id].users > 0 {
                let sum = self.sum(u32::try_from(id).unwrap_or(u32::MAX));
                self.0[id].sum = Some(sum);
            }
        }
    }

    fn add(&mut self, made: Made) -> ViewId {
        self.0.push(View { made, sum: None, users: 0 });
        u32::try_from(self.0.len() - 1).unwrap_or(u32::MAX)
    }

    /// The number that the next view gets.
    pub fn next(&self) -> ViewId {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// `added` over a view.
    pub fn publish(&mut self, on: ViewId, added: Map) -> ViewId {
        self.add(Made::Published { on, added: Arc::new(added) })
    }

    /// A further branch at a join.
    pub fn join(&mut self, on: ViewId, branch: ViewId) -> ViewId {
        if branch == 0 {
            return on;
        }
        self.add(Made::Joined { on, branch })
    }

    /// Somebody stands on `view` from now on: its sum is kept.
    pub fn hold(&mut self, view: ViewId) {
        let sum = self.sum(view);
        if let Some(view) = self.0.get_mut(view as usize) {
            view.users += 1;
            view.sum.get_or_insert(sum);
        }
    }

    /// One of them has gone.
    pub fn release(&mut self, view: ViewId) {
        if let Some(view) = self.0.get_mut(view as usize) {
            view.users = view.users.saturating_sub(1);
            if view.users == 0 {
                view.sum = None;
            }
        }
    }

    /// The sum of a view: at hand while somebody stands on it.
    pub fn sum(&self, view: ViewId) -> Arc<Sum> {
        if let Some(sum) = self.0.get(view as usize).and_then(|v| v.sum.clone()) {
            return sum;
        }
        self.rebuild(view)
    }

    fn rebuild(&self, wanted: ViewId) -> Arc<Sum> {
        let mut made: HashMap<ViewId, Arc<Sum>> = HashMap::new();
        let mut pending = vec![wanted];
        while let Some(id) = pending.last().copied() {
            let Some(view) = self.0.get(id as usize) else { break };
            let at_hand = |id: ViewId| {
                let kept = self.0.get(id as usize).and_then(|v| v.sum.clone());
                kept.or_else(|| made.get(&id).cloned())
            };
            let sum = match &view.made {
                Made::Root(root) => Ok(Sum::root(root.clone())),
                Made::Published { on, added } => match at_hand(*on) {
                    Some(below) => Ok(Arc::unwrap_or_clone(below).publish(added)),
                    None => Err(*on),
                },
                Made::Joined { on, branch } => match (at_hand(*on), at_hand(*branch)) {
                    (Some(below), Some(branch)) => Ok(Arc::unwrap_or_clone(below).arrive(&branch)),
                    (None, _) => Err(*on),
                    (_, None) => Err(*branch),
                },
            };
            match sum {
                Ok(sum) => {
                    made.insert(id, Arc::new(sum));
                    pending.pop();
                }
                Err(missing) => pending.push(missing),
            }
        }
        made.remove(&wanted).unwrap_or_default()
    }

    /// What several views give together, each arriving after the ones before it.
    pub fn together(&self, views: impl IntoIterator<Item = ViewId>) -> Option<Arc<Sum>> {
        let mut views = views.into_iter();
        let mut last = views.next()?;
        let mut sum = self.sum(last);
        for view in views {
            // Arriving twice in a row changes nothing.
            if view != last {
                sum = Arc::new(Arc::unwrap_or_clone(sum).arrive(&self.sum(view)));
                last = view;
            }
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::{from_json, to_json};

    fn map(json: &str) -> Map {
        from_json(json, false).unwrap().as_map().unwrap().clone()
    }

    #[test]
    fn a_late_branch_applies_its_history_again() {
        let mut views = Views::default();
        views.open(map(r#"{"v": "initial"}"#));
        let s = views.publish(0, map(r#"{"v": "from-s"}"#));
        let a = views.publish(s, map(r#"{"v": "from-a"}"#));
        let b = views.publish(s, map(r#"{"other": 1}"#));
        let j = views.join(a, b);
        assert_eq!(to_json(&Value::Map(views.sum(j).whole().clone())), r#"{"v":"from-s","other":1}"#);
        views.hold(j);
        views.release(j);
        assert_eq!(views.sum(j).whole().len(), 2);
    }

    #[test]
    fn maps_merge_and_a_text_in_between_hides_what_was_below() {
        let mut views = Views::default();
        views.open(map(r#"{"d": {"keep": 1}}"#));
        let merged = views.publish(0, map(r#"{"d": {"x": 2}}"#));
        assert_eq!(to_json(&views.sum(merged).whole()["d"]), r#"{"keep":1,"x":2}"#);
        let text = views.publish(merged, map(r#"{"d": "t"}"#));
        let again = views.publish(text, map(r#"{"d": {"y": 3}}"#));
        let joined = views.join(merged, again);
        assert_eq!(to_json(&views.sum(joined).whole()["d"]), r#"{"y":3}"#);
    }
}
