//! Contexts: what a task sees, as the sum of what was published on the ways to it.
//!
//! A view is made of the one before it by a publish, or of two by a join. This *origin* is kept for ever, since a rerun may
//! ask for any view, and costs what was published. What a task reads is the *sum* of it all, which is kept
//! only as long as somebody holds the view; asked for later, it is made again from the origins. So ten thousand tasks that
//! publish a variable each cost ten thousand variables, however much each of them sees.
//!
//! Sums are deep: maps merge key by key, everything else replaces. A branch that arrives at a join applies all of
//! its history again. Each variable therefore knows, besides its value, its *tail*: what was published into it, without
//! what lay there at the start. Where two branches share variables, applying them again would change nothing, and is left out.

use crate::variables::{Numbers, Tree};
use squall_model::{Map, Str, Value};
use std::collections::{BTreeMap, HashMap};
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
pub struct Slot {
    value: Value,
    tail: Tail,
}

impl Slot {
    fn value(&self) -> Option<&Value> {
        (self.tail != Tail::Absent).then_some(&self.value)
    }

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
        self.value = match &self.tail {
            Tail::Absent | Tail::Whole { .. } => total.value.clone(),
            Tail::Root | Tail::Part(_) => change.over(&self.value),
        };
        let is_whole = match (&self.value, &total.value) {
            (Value::Map(a), Value::Map(b)) => Arc::ptr_eq(a, b),
            _ => true,
        };
        self.tail = if is_whole { Tail::Whole { hard: total.hard } } else { Tail::Part(Arc::new(total)) };
    }
}

/// The variables of a view.
pub type Sum = Tree<Slot>;

/// What lies there at the start.
fn start(values: &[(u32, Value)]) -> Sum {
    let mut sum = Sum::default();
    for (number, value) in values {
        *sum.at(*number) = Slot { value: value.clone(), tail: Tail::Root };
    }
    sum
}

fn publish(mut sum: Sum, values: &[(u32, Value)]) -> Sum {
    for (number, value) in values {
        sum.at(*number).apply(&Change { value: value.clone(), hard: false });
    }
    sum
}

/// Applies everything that `branch` published.
fn arrive(mut sum: Sum, branch: &Sum) -> Sum {
    sum.meet(branch, &mut |_, mine: &mut Slot, theirs: &Slot| {
        if let Some(change) = theirs.change() {
            mine.apply(&change);
        }
    });
    sum
}

/// How a view came about. Variables go by their numbers.
#[derive(Debug, Clone, PartialEq)]
enum Origin {
    Start(Box<[(u32, Value)]>),
    Publish { on: ViewId, values: Box<[(u32, Value)]> },
    Join { on: ViewId, branch: ViewId },
}

impl Origin {
    fn parents(&self) -> impl Iterator<Item = ViewId> {
        let (first, second) = match self {
            Origin::Start(_) => (None, None),
            Origin::Publish { on, .. } => (Some(*on), None),
            Origin::Join { on, branch } => (Some(*on), Some(*branch)),
        };
        first.into_iter().chain(second)
    }

    /// The sum, given those of the parents.
    fn sum(&self, mut parent: impl FnMut(ViewId) -> Sum) -> Sum {
        match self {
            Origin::Start(values) => start(values),
            Origin::Publish { on, values } => publish(parent(*on), values),
            Origin::Join { on, branch } => arrive(parent(*on), &parent(*branch)),
        }
    }
}

/// A view; its sum is there while it has holders.
#[derive(Debug, Clone, PartialEq)]
struct View {
    origin: Origin,
    holders: u32,
    sum: Option<Sum>,
}

/// All views of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Views {
    views: Vec<View>,
    numbers: Numbers,
}

impl Views {
    /// Begins with the root.
    pub fn open(&mut self, root: &Map) {
        let values = self.numbers.numbered(root);
        self.views.clear();
        self.add(Origin::Start(values));
    }

    /// The caller holds the new view.
    fn add(&mut self, origin: Origin) -> ViewId {
        let id = self.next();
        let sum = Some(origin.sum(|parent| self.sum(parent)));
        self.views.push(View { origin, holders: 1, sum });
        id
    }

    /// The number that the next view gets.
    pub fn next(&self) -> ViewId {
        u32::try_from(self.views.len()).unwrap_or(u32::MAX)
    }

    /// `added` over a view; the caller holds what comes of it.
    pub fn publish(&mut self, on: ViewId, added: &Map) -> ViewId {
        let values = self.numbers.numbered(added);
        self.add(Origin::Publish { on, values })
    }

    /// A further branch at a join: the caller holds what comes of it instead of `on`.
    pub fn join(&mut self, on: ViewId, branch: ViewId) -> ViewId {
        if branch == 0 || branch == on {
            return on;
        }
        let joined = self.add(Origin::Join { on, branch });
        self.release(on);
        joined
    }

    /// Somebody will read a view.
    pub fn hold(&mut self, view: ViewId) {
        let missing = self.kept(view).is_none().then(|| self.sum(view));
        let Some(view) = self.views.get_mut(view as usize) else { return };
        view.holders += 1;
        view.sum = missing.or(view.sum.take());
    }

    /// One of those who hold a view does not read it any more.
    pub fn release(&mut self, view: ViewId) {
        let Some(view) = self.views.get_mut(view as usize) else { return };
        view.holders = view.holders.saturating_sub(1);
        if view.holders == 0 {
            view.sum = None;
        }
    }

    fn kept(&self, view: ViewId) -> Option<&Sum> {
        self.views.get(view as usize)?.sum.as_ref()
    }

    /// The variables of a view.
    pub fn sum(&self, view: ViewId) -> Sum {
        match self.kept(view) {
            Some(sum) => sum.clone(),
            None => self.sums([view]).remove(&view).unwrap_or_default(),
        }
    }

    /// The variables of several views. What nobody keeps is made again, each step on the way once.
    fn sums(&self, wanted: impl IntoIterator<Item = ViewId>) -> HashMap<ViewId, Sum> {
        let mut uses: BTreeMap<ViewId, u32> = BTreeMap::new();
        let mut pending: Vec<ViewId> = wanted.into_iter().collect();
        while let Some(view) = pending.pop() {
            let count = uses.entry(view).or_default();
            *count += 1;
            if *count == 1 && self.kept(view).is_none() {
                pending.extend(self.views.get(view as usize).into_iter().flat_map(|view| view.origin.parents()));
            }
        }
        // Parents have lower numbers. A sum that nobody else needs is changed in place.
        let mut sums = HashMap::new();
        for view in uses.keys().copied().collect::<Vec<_>>() {
            let made = self.views.get(view as usize).map(|view| match &view.sum {
                Some(sum) => sum.clone(),
                None => view.origin.sum(|parent| hand_out(&mut sums, &mut uses, parent)),
            });
            sums.insert(view, made.unwrap_or_default());
        }
        sums
    }

    /// One variable.
    pub fn get<'a>(&self, sum: &'a Sum, name: &str) -> Option<&'a Value> {
        sum.get(self.numbers.find(name)?)?.value()
    }

    /// All variables, private ones included, in the order of their first appearance.
    pub fn all(&self, sum: &Sum) -> Map {
        let value = |(number, name): (u32, &Str)| Some((name.clone(), sum.get(number)?.value()?.clone()));
        self.numbers.all().filter_map(value).collect()
    }

    /// What several views give together, each arriving after the ones before it.
    pub fn together(&self, views: impl IntoIterator<Item = ViewId>) -> Option<Sum> {
        let mut views: Vec<ViewId> = views.into_iter().collect();
        // Arriving twice in a row changes nothing.
        views.dedup();
        let sums = self.sums(views.iter().copied());
        let mut arriving = views.iter().filter_map(|view| sums.get(view));
        let first = arriving.next()?.clone();
        Some(arriving.fold(first, arrive))
    }

    /// Gives variables of the root other values, in all views.
    pub fn amend_root(&mut self, added: &Map) {
        let added = self.numbers.numbered(added);
        let Some(View { origin: Origin::Start(values), .. }) = self.views.first_mut() else { return };
        let amended: BTreeMap<u32, Value> = std::mem::take(values).into_iter().chain(added).collect();
        *values = amended.into_iter().collect();
        let held: Vec<ViewId> = (0..self.next()).filter(|view| self.kept(*view).is_some()).collect();
        self.views.iter_mut().for_each(|view| view.sum = None);
        let mut sums = self.sums(held.iter().copied());
        for view in held {
            self.views[view as usize].sum = sums.remove(&view);
        }
    }
}

/// A sum for one who needs it; the last one gets it alone.
fn hand_out(sums: &mut HashMap<ViewId, Sum>, uses: &mut BTreeMap<ViewId, u32>, view: ViewId) -> Sum {
    let left = uses.get_mut(&view).map_or(0, |count| {
        *count -= 1;
        *count
    });
    let sum = if left == 0 { sums.remove(&view) } else { sums.get(&view).cloned() };
    sum.unwrap_or_default()
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

    /// Publishes and joins at random; a run that keeps every sum and one that keeps none see the same.
    #[test]
    fn what_nobody_held_is_made_again() {
        for seed in 1..100_u64 {
            let (mut kept, mut forgotten) = (Views::default(), Views::default());
            let root = map(r#"{"st2": {"user": "a"}, "v0": {"deep": {"a": 1}}}"#);
            [&mut kept, &mut forgotten].into_iter().for_each(|views| views.open(&root));
            let mut dice = seed;
            let mut roll = |sides: u32| {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                u32::try_from((dice >> 33) % u64::from(sides)).unwrap()
            };
            for step in 0..60 {
                let (on, other, variable) = (roll(kept.next()), roll(kept.next()), roll(20));
                let added = match roll(3) {
                    0 => map(&format!(r#"{{"v{variable}": {step}}}"#)),
                    _ => map(&format!(r#"{{"v{variable}": {{"deep": {{"k{step}": 1}}, "n": {step}}}}}"#)),
                };
                let is_join = roll(3) == 0;
                for (views, forgets) in [(&mut kept, false), (&mut forgotten, true)] {
                    // A join takes the place of the view that was there.
                    views.hold(on);
                    let new = if is_join { views.join(on, other) } else { views.publish(on, &added) };
                    if !is_join || new == on {
                        views.release(on);
                    }
                    if forgets {
                        views.release(new);
                    }
                }
            }
            let amended = map(r#"{"st2": {"user": "b"}}"#);
            [&mut kept, &mut forgotten].into_iter().for_each(|views| views.amend_root(&amended));
            for view in 0..kept.next() {
                let expected = to_json(&Value::from(kept.all(&kept.sum(view))));
                check(&forgotten, view, &expected);
            }
            let together = |views: &Views| views.all(&views.together(0..views.next()).unwrap());
            assert_eq!(together(&kept), together(&forgotten));
        }
    }

    #[test]
    fn a_sum_goes_with_its_last_holder() {
        let mut views = Views::default();
        views.open(&map("{}"));
        let first = views.publish(0, &map(r#"{"a": 1}"#));
        let second = views.publish(first, &map(r#"{"b": 2}"#));
        views.hold(first);
        views.release(first);
        assert!(views.kept(first).is_some());
        views.release(first);
        assert!(views.kept(first).is_none());
        check(&views, second, r#"{"a":1,"b":2}"#);
        views.hold(first);
        assert!(views.kept(first).is_some());
        check(&views, first, r#"{"a":1}"#);
    }
}
