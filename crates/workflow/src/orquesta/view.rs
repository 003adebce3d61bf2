//! Contexts: what a task sees, as the sum of what was published on the ways to it.
//!
//! A view is made of the one before it by a publish, or of two by a join. Views share everything that they have in common: a
//! view is a tree with the variables in its leaves, and a change copies one leaf and the way to it. So a run may keep
//! the view of each of its ten thousand tasks, with a thousand variables in each.
//!
//! Sums are deep: maps merge key by key, everything else replaces. A branch that arrives at a join applies all of
//! its history again. Each variable therefore knows, besides its value, its *tail*: what was published into it, without
//! what lay there at the start. Where two branches share a subtree, applying it again would change nothing, and is left out.

use squall_model::{Map, Str, Value};
use std::collections::HashMap;
use std::sync::Arc;

/// Numbers views; 0 is the root.
pub type ViewId = u32;

/// How deep maps merge. Deeper ones replace: only a loop that wraps a variable into itself gets there.
const MAX_DEPTH: u32 = 100;

/// Children of a node of the tree, and variables of a leaf.
const WIDTH: usize = 8;

/// `new` over `old`: maps merge, everything else replaces.
pub fn merge(old: &Value, new: &Value) -> Value {
    merge_within(old, new, 0)
}

fn merge_within(old: &Value, new: &Value, depth: u32) -> Value {
    let (Value::Map(old), Value::Map(added)) = (old, new) else {
        return new.clone();
    };
    if old.is_empty() || depth >= MAX_DEPTH || Arc::ptr_eq(old, added) {
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
        match map.get_mut(key) {
            Some(slot) => *slot = merge(slot, value),
            None => {
                map.insert(key.clone(), value.clone());
            }
        }
    }
}

/// What was published into a variable; `hard` when it replaces whatever was below, although it is a map.
#[derive(Debug, Clone, PartialEq)]
struct Change {
    value: Value,
    hard: bool,
}

impl Change {
    fn over(&self, below: &Value) -> Value {
        if self.hard { self.value.clone() } else { merge(below, &self.value) }
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

#[derive(Debug, Clone, Default, PartialEq)]
enum Tail {
    /// There is no such variable.
    #[default]
    Absent,
    /// Nobody has published it.
    Root,
    /// The value itself was published.
    Whole { hard: bool },
    /// This was, and lies over what was there at the start.
    Part(Arc<Change>),
}

/// One variable of a view.
#[derive(Debug, Clone, Default, PartialEq)]
struct Slot {
    value: Value,
    tail: Tail,
}

impl Slot {
    fn change(&self) -> Option<Change> {
        match &self.tail {
            Tail::Absent | Tail::Root => None,
            Tail::Whole { hard } => Some(Change { value: self.value.clone(), hard: *hard }),
            Tail::Part(change) => Some((**change).clone()),
        }
    }

    fn apply(&mut self, change: &Change) {
        let total = match self.change() {
            Some(before) => before.then(change),
            None => change.clone(),
        };
        self.value = change.over(&self.value);
        let is_whole = match (&self.value, &total.value) {
            (Value::Map(a), Value::Map(b)) => Arc::ptr_eq(a, b),
            _ => true,
        };
        self.tail = if is_whole { Tail::Whole { hard: total.hard } } else { Tail::Part(Arc::new(total)) };
    }
}

// Seven nodes in eight are leaves, so a box around each would cost more than the room that the others waste.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq)]
enum Node {
    Leaf([Slot; WIDTH]),
    Inner([Option<Arc<Node>>; WIDTH]),
}

impl Node {
    fn empty(height: u32) -> Node {
        if height == 0 { Node::Leaf(Default::default()) } else { Node::Inner(Default::default()) }
    }

    fn slot(&mut self, height: u32, index: usize) -> &mut Slot {
        match self {
            Node::Leaf(slots) => &mut slots[index % WIDTH],
            Node::Inner(children) => {
                let child = &mut children[index / WIDTH.pow(height) % WIDTH];
                let child = child.get_or_insert_with(|| Arc::new(Node::empty(height - 1)));
                Arc::make_mut(child).slot(height - 1, index)
            }
        }
    }
}

/// The variables of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct Sum {
    root: Arc<Node>,
    height: u32,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { root: Arc::new(Node::empty(0)), height: 0 }
    }
}

impl Sum {
    fn get(&self, index: usize) -> Option<&Value> {
        if index >= WIDTH.pow(self.height + 1) {
            return None;
        }
        let (mut node, mut height) = (&*self.root, self.height);
        loop {
            match node {
                Node::Leaf(slots) => {
                    let slot = &slots[index % WIDTH];
                    return (slot.tail != Tail::Absent).then_some(&slot.value);
                }
                Node::Inner(children) => {
                    node = children[index / WIDTH.pow(height) % WIDTH].as_deref()?;
                    height -= 1;
                }
            }
        }
    }

    fn slot(&mut self, index: usize) -> &mut Slot {
        while index >= WIDTH.pow(self.height + 1) {
            let mut children: [Option<Arc<Node>>; WIDTH] = Default::default();
            children[0] = Some(self.root.clone());
            self.root = Arc::new(Node::Inner(children));
            self.height += 1;
        }
        let height = self.height;
        Arc::make_mut(&mut self.root).slot(height, index)
    }

    /// Applies everything that `branch` published.
    fn arrive(&mut self, branch: &Sum) {
        if self.height < branch.height {
            self.slot(WIDTH.pow(branch.height + 1) - 1);
        }
        arrive(&mut self.root, self.height, &branch.root, branch.height);
    }
}

fn arrive(on: &mut Arc<Node>, height: u32, branch: &Arc<Node>, branch_height: u32) {
    if Arc::ptr_eq(on, branch) {
        return;
    }
    match (Arc::make_mut(on), &**branch) {
        (Node::Inner(mine), _) if height > branch_height => {
            let first = mine[0].get_or_insert_with(|| Arc::new(Node::empty(height - 1)));
            arrive(first, height - 1, branch, branch_height);
        }
        (Node::Inner(mine), Node::Inner(theirs)) => {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                if let Some(theirs) = theirs {
                    let mine = mine.get_or_insert_with(|| Arc::new(Node::empty(height - 1)));
                    arrive(mine, height - 1, theirs, branch_height - 1);
                }
            }
        }
        (Node::Leaf(mine), Node::Leaf(theirs)) => {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                if let Some(change) = theirs.change() {
                    mine.apply(&change);
                }
            }
        }
        _ => {}
    }
}

/// All views of a run, and the variables' numbers in the order of their first appearance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views {
    views: Vec<Sum>,
    names: Vec<Str>,
    numbers: HashMap<Str, usize>,
}

impl Views {
    /// Begins with the root.
    pub fn open(&mut self, root: &Map) {
        let mut sum = Sum::default();
        for (name, value) in root {
            let number = self.number(name);
            *sum.slot(number) = Slot { value: value.clone(), tail: Tail::Root };
        }
        self.views = vec![sum];
    }

    fn number(&mut self, name: &Str) -> usize {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        let number = self.names.len();
        self.names.push(name.clone());
        self.numbers.insert(name.clone(), number);
        number
    }

    fn add(&mut self, sum: Sum) -> ViewId {
        let id = self.next();
        self.views.push(sum);
        id
    }

    /// The number that the next view gets.
    pub fn next(&self) -> ViewId {
        u32::try_from(self.views.len()).unwrap_or(u32::MAX)
    }

    /// `added` over a view.
    pub fn publish(&mut self, on: ViewId, added: &Map) -> ViewId {
        let mut sum = self.sum(on);
        for (name, value) in added {
            let number = self.number(name);
            sum.slot(number).apply(&Change { value: value.clone(), hard: false });
        }
        self.add(sum)
    }

    /// A further branch at a join.
    pub fn join(&mut self, on: ViewId, branch: ViewId) -> ViewId {
        if branch == 0 || branch == on {
            return on;
        }
        let mut sum = self.sum(on);
        sum.arrive(&self.sum(branch));
        self.add(sum)
    }

    /// The variables of a view.
    pub fn sum(&self, view: ViewId) -> Sum {
        self.views.get(view as usize).cloned().unwrap_or_default()
    }

    /// One variable.
    pub fn get<'a>(&self, sum: &'a Sum, name: &str) -> Option<&'a Value> {
        sum.get(*self.numbers.get(name)?)
    }

    /// All variables, private ones included.
    pub fn all(&self, sum: &Sum) -> Map {
        let value = |(number, name): (usize, &Str)| Some((name.clone(), sum.get(number)?.clone()));
        self.names.iter().enumerate().filter_map(value).collect()
    }

    /// What several views give together, each arriving after the ones before it.
    pub fn together(&self, views: impl IntoIterator<Item = ViewId>) -> Option<Sum> {
        let mut views = views.into_iter();
        let mut last = views.next()?;
        let mut sum = self.sum(last);
        for view in views {
            // Arriving twice in a row changes nothing.
            if view != last {
                sum.arrive(&self.sum(view));
                last = view;
            }
        }
        Some(sum)
    }

    /// Gives variables of the root other values, in all views.
    pub fn amend_root(&mut self, added: &Map) {
        let root = self.sum(0);
        for (name, value) in added {
            let number = self.number(name);
            if root.get(number) == Some(value) {
                continue;
            }
            // Views that share a leaf go on sharing it.
            let old = self.views.clone();
            let mut amended: HashMap<usize, Sum> = HashMap::new();
            for (sum, old) in self.views.iter_mut().zip(&old) {
                let place = Arc::as_ptr(&old.root) as usize;
                let new = amended.entry(place).or_insert_with(|| {
                    let mut new = old.clone();
                    let slot = new.slot(number);
                    match slot.change() {
                        None => *slot = Slot { value: value.clone(), tail: Tail::Root },
                        Some(change) => slot.value = change.over(value),
                    }
                    new
                });
                *sum = new.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::{from_json, to_json};

    fn map(json: &str) -> Map {
        from_json(json, false).unwrap().as_map().unwrap().clone()
    }

    fn check(views: &Views, view: ViewId, expected: &str) {
        assert_eq!(to_json(&Value::from(views.all(&views.sum(view)))), expected);
    }

    #[test]
    fn a_late_branch_applies_its_history_again() {
        let mut views = Views::default();
        views.open(&map(r#"{"v": "initial"}"#));
        let s = views.publish(0, &map(r#"{"v": "from-s"}"#));
        let a = views.publish(s, &map(r#"{"v": "from-a"}"#));
        let b = views.publish(s, &map(r#"{"other": 1}"#));
        let j = views.join(a, b);
        check(&views, j, r#"{"v":"from-s","other":1}"#);
        check(&views, a, r#"{"v":"from-a"}"#);
    }

    #[test]
    fn maps_merge_and_a_text_in_between_hides_what_was_below() {
        let mut views = Views::default();
        views.open(&map(r#"{"d": {"keep": 1}}"#));
        let merged = views.publish(0, &map(r#"{"d": {"x": 2}}"#));
        check(&views, merged, r#"{"d":{"keep":1,"x":2}}"#);
        let text = views.publish(merged, &map(r#"{"d": "t"}"#));
        let again = views.publish(text, &map(r#"{"d": {"y": 3}}"#));
        let joined = views.join(merged, again);
        check(&views, joined, r#"{"d":{"y":3}}"#);
    }

    #[test]
    fn many_variables_meet_at_a_join() {
        let mut views = Views::default();
        views.open(&map(r#"{"first": 0}"#));
        let mut long = 0;
        for i in 0..100 {
            long = views.publish(long, &map(&format!(r#"{{"v{i}": {i}}}"#)));
        }
        let short = views.publish(0, &map(r#"{"v7": "short"}"#));
        for (on, branch, v7) in [(short, long, "7"), (long, short, "\"short\"")] {
            let joined = views.join(on, branch);
            let sum = views.sum(joined);
            assert_eq!(views.all(&sum).len(), 101);
            assert_eq!(to_json(views.get(&sum, "v7").unwrap()), v7);
            assert_eq!(to_json(views.get(&sum, "v99").unwrap()), "99");
        }
    }

    #[test]
    fn a_new_root_shows_through() {
        let mut views = Views::default();
        views.open(&map(r#"{"st2": {"user": "a"}, "n": 1}"#));
        let next = views.publish(0, &map(r#"{"n": 2}"#));
        views.amend_root(&map(r#"{"st2": {"user": "b"}}"#));
        check(&views, next, r#"{"st2":{"user":"b"},"n":2}"#);
    }
}
