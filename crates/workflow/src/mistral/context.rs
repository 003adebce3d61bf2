//! What a task sees of the variables that others published, and how branches meet again.
//!
//! A context travels along transitions: a task takes its predecessor's and adds what it publishes. Contexts share what they
//! have in common, so handing one on costs a reference count, and adding to it what is added, however much is in it.
//!
//! Each leaf of a published variable (a path through nested maps) counts how often it was written along the way.
//! Where branches join, a leaf written more often wins; on a tie the one that arrived first stays, which content
//! cannot rely on, since arrival has no fixed order.

use crate::variables::{Numbers, Tree};
use indexmap::IndexMap;
use squall_model::{Map, Str, Value};
use std::sync::Arc;

/// Published variables with their counts, under the numbers of their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Context {
    vars: Tree<Option<Variable>>,
    count: u32,
}

#[derive(Debug, Clone, PartialEq)]
struct Variable {
    value: Value,
    version: Version,
    /// How many were there before it.
    place: u32,
}

type Versions = IndexMap<Str, Version>;

/// How often a variable, and what lies within it, was written.
#[derive(Debug, Clone, Default, PartialEq)]
struct Version {
    count: u32,
    within: Option<Arc<Versions>>,
}

impl Context {
    /// One variable.
    pub fn get(&self, numbers: &Numbers, name: &str) -> Option<&Value> {
        Some(&self.variable(numbers.find(name)?)?.value)
    }

    /// All variables, in the order in which they came.
    pub fn all(&self, numbers: &Numbers) -> Map {
        if self.count == 0 {
            return Map::new();
        }
        let known = |(number, name)| self.variable(number).map(|variable| (variable, name));
        let mut all: Vec<(&Variable, &Str)> = numbers.all().filter_map(known).collect();
        all.sort_unstable_by_key(|(variable, _)| variable.place);
        all.into_iter().map(|(variable, name)| (name.clone(), variable.value.clone())).collect()
    }

    fn variable(&self, number: u32) -> Option<&Variable> {
        self.vars.get(number)?.as_ref()
    }

    /// This context after somebody published `variables`; they replace what was there.
    pub fn with(&self, numbers: &mut Numbers, variables: &Map) -> Context {
        let mut context = self.clone();
        for (name, value) in variables {
            context.write(numbers.number(name), value);
        }
        context
    }

    fn write(&mut self, number: u32, value: &Value) {
        let count = self.count;
        let variable = self.vars.at(number).get_or_insert_with(|| {
            self.count += 1;
            Variable { value: Value::Null, version: Version::default(), place: count }
        });
        variable.version.written(value);
        variable.value = value.clone();
    }

    /// Takes another branch in.
    pub fn merge(&mut self, other: &Context) {
        if self.count == 0 {
            *self = other.clone();
            return;
        }
        let mut added: Vec<(u32, u32)> = Vec::new();
        self.vars.meet(&other.vars, &mut |number, mine, theirs| match (mine, theirs) {
            (_, None) => {}
            (None, Some(theirs)) => added.push((theirs.place, number)),
            (Some(mine), Some(theirs)) => mine.merge(theirs),
        });
        // What is new keeps the other branch's order.
        added.sort_unstable();
        for (_, number) in added {
            let theirs = other.variable(number).cloned();
            *self.vars.at(number) = theirs.map(|variable| Variable { place: self.count, ..variable });
            self.count += 1;
        }
    }
}

impl Variable {
    fn merge(&mut self, other: &Variable) {
        // Shared by both branches and written by neither since: nothing to compare.
        if !same(&self.value, &other.value) || self.version != other.version {
            self.value = merge_values(&self.value, &other.value, &mut self.version, &other.version);
        }
    }
}

impl Version {
    fn written(&mut self, value: &Value) {
        match value {
            Value::Map(map) => {
                let within = Arc::make_mut(self.within.get_or_insert_default());
                for (key, value) in map.iter() {
                    within.entry(key.clone()).or_default().written(value);
                }
            }
            _ => self.count = self.count.saturating_add(1),
        }
    }
}

fn merge_maps(into: &mut Arc<Map>, from: &Arc<Map>, mine: &mut Arc<Versions>, theirs: &Arc<Versions>) {
    for (key, value) in from.iter() {
        let their = theirs.get(key);
        match into.get(key) {
            None => {
                Arc::make_mut(into).insert(key.clone(), value.clone());
                if let Some(version) = their {
                    Arc::make_mut(mine).insert(key.clone(), version.clone());
                }
            }
            // Shared by both branches and written by neither since: nothing to compare.
            Some(old) if same(old, value) && mine.get(key) == their => {}
            Some(old) => {
                let mut version = mine.get(key).cloned().unwrap_or_default();
                let merged = merge_values(old, value, &mut version, their.unwrap_or(&Version::default()));
                Arc::make_mut(into).insert(key.clone(), merged);
                Arc::make_mut(mine).insert(key.clone(), version);
            }
        }
    }
}

fn merge_values(old: &Value, new: &Value, mine: &mut Version, theirs: &Version) -> Value {
    if let (Value::Map(a), Value::Map(b)) = (old, new) {
        let mut merged = a.clone();
        let mut within = mine.within.take().unwrap_or_default();
        let empty = Arc::default();
        merge_maps(&mut merged, b, &mut within, theirs.within.as_ref().unwrap_or(&empty));
        mine.within = Some(within);
        mine.count = mine.count.max(theirs.count);
        return Value::Map(merged);
    }
    if theirs.count > mine.count {
        mine.count = theirs.count;
        new.clone()
    } else {
        old.clone()
    }
}

/// Whether two values are one and the same, seen without looking inside.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::List(a), Value::List(b)) => Arc::ptr_eq(a, b),
        (Value::Map(a), Value::Map(b)) => Arc::ptr_eq(a, b),
        (Value::Str(a), Value::Str(b)) => Arc::ptr_eq(a, b) || a == b,
        (Value::List(_) | Value::Map(_), _) => false,
        _ => a == b,
    }
}

/// Merges `over` into `under`, maps deeply, `over` winning.
pub(crate) fn overlay(under: &Value, over: &Value) -> Value {
    let (Value::Map(a), Value::Map(b)) = (under, over) else { return over.clone() };
    let mut merged = (**a).clone();
    for (key, value) in b.iter() {
        let value = merged.get(key).map_or_else(|| value.clone(), |old| overlay(old, value));
        merged.insert(key.clone(), value);
    }
    Value::from(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::{from_json, to_json};

    /// Publishes each map of `left` and of `right` along two branches, joins them, and shows what came of it.
    fn check(left: &[&str], right: &[&str], expected: &str) {
        let mut numbers = Numbers::default();
        let mut branch = |steps: &[&str]| {
            steps.iter().fold(Context::default(), |context, step| {
                context.with(&mut numbers, from_json(step, false).unwrap().as_map().unwrap())
            })
        };
        let mut joined = branch(left);
        joined.merge(&branch(right));
        assert_eq!(to_json(&Value::from(joined.all(&numbers))), expected);
    }

    #[test]
    fn different_names_unite() {
        check(&[r#"{"a":1}"#], &[r#"{"b":2}"#], r#"{"a":1,"b":2}"#);
    }

    #[test]
    fn many_names_keep_the_order_of_their_branches() {
        let long: Vec<String> = (0..50).map(|n| format!(r#"{{"v{}":{n}}}"#, 99 - n)).collect();
        let steps: Vec<&str> = long.iter().map(String::as_str).collect();
        let shown: Vec<&str> = long.iter().map(|step| &step[1..step.len() - 1]).collect();
        check(&steps, &[r#"{"other":1}"#], &format!(r#"{{{},"other":1}}"#, shown.join(",")));
        check(&[r#"{"other":1}"#], &steps, &format!(r#"{{"other":1,{}}}"#, shown.join(",")));
    }

    #[test]
    fn what_was_written_more_often_wins() {
        check(&[r#"{"v":"a"}"#], &[r#"{"v":"b1"}"#, r#"{"v":"b2"}"#], r#"{"v":"b2"}"#);
        check(&[r#"{"v":"b1"}"#, r#"{"v":"b2"}"#], &[r#"{"v":"a"}"#], r#"{"v":"b2"}"#);
    }

    #[test]
    fn nested_maps_unite_leaf_by_leaf() {
        check(&[r#"{"d":{"x":1,"both":"a"}}"#], &[r#"{"d":{"y":2,"both":"b"}}"#], r#"{"d":{"x":1,"both":"a","y":2}}"#);
    }
}
