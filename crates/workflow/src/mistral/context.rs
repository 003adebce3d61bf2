//! What a task sees of the variables that others published, and how branches meet again.
//!
//! A context travels along transitions: a task takes its predecessor's and adds what it publishes. Values are
//! shared, so handing a context on costs a reference count, and adding to it one entry for each variable.
//!
//! Each leaf of a published variable (a path through nested maps) counts how often it was written along the way.
//! Where branches join, a leaf written more often wins; on a tie the one that arrived first stays, which content
//! cannot rely on, since arrival has no fixed order.

use super::scope::NOTHING;
use indexmap::IndexMap;
use squall_model::{Map, Str, Value};
use std::sync::{Arc, LazyLock};

/// Published variables with their counts.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Context {
    vars: Arc<Map>,
    /// One for each variable, in their order.
    versions: Arc<Vec<Version>>,
}

impl Default for Context {
    fn default() -> Context {
        static NO_VERSIONS: LazyLock<Arc<Vec<Version>>> = LazyLock::new(Arc::default);
        Context { vars: NOTHING.clone(), versions: NO_VERSIONS.clone() }
    }
}

/// How often a variable, and what lies within it, was written.
#[derive(Debug, Clone, Default, PartialEq)]
struct Version {
    count: u32,
    within: Option<Arc<Versions>>,
}

type Versions = IndexMap<Str, Version>;

impl Context {
    /// The variables.
    pub fn vars(&self) -> &Arc<Map> {
        &self.vars
    }

    /// This context after somebody published `variables`; they replace what was there.
    pub fn with(&self, variables: &Arc<Map>) -> Context {
        if variables.is_empty() {
            return self.clone();
        }
        let mut versions = (*self.versions).clone();
        let mut wrote = |place: usize, value: &Value| {
            versions.resize(versions.len().max(place + 1), Version::default());
            versions[place].written(value);
        };
        let vars = if replaces_all(variables, &self.vars) {
            variables.values().enumerate().for_each(|(place, value)| wrote(place, value));
            variables.clone()
        } else {
            let mut vars = (*self.vars).clone();
            for (name, value) in variables.iter() {
                wrote(vars.insert_full(name.clone(), value.clone()).0, value);
            }
            Arc::new(vars)
        };
        Context { vars, versions: Arc::new(versions) }
    }

    /// Takes another branch in.
    pub fn merge(&mut self, other: &Context) {
        if self.vars.is_empty() {
            *self = other.clone();
            return;
        }
        if Arc::ptr_eq(&self.vars, &other.vars) {
            return;
        }
        for ((name, value), their) in other.vars.iter().zip(other.versions.iter()) {
            let Some((place, _, old)) = self.vars.get_full(name) else {
                Arc::make_mut(&mut self.vars).insert(name.clone(), value.clone());
                Arc::make_mut(&mut self.versions).push(their.clone());
                continue;
            };
            // Shared by both branches and written by neither since: nothing to compare.
            if same(old, value) && self.versions[place] == *their {
                continue;
            }
            let merged = merge_values(old, value, &mut Arc::make_mut(&mut self.versions)[place], their);
            Arc::make_mut(&mut self.vars)[place] = merged;
        }
    }
}

/// Whether nothing of `old`, not even the order, is left when `new` is written over it.
fn replaces_all(new: &Map, old: &Map) -> bool {
    new.len() >= old.len() && old.keys().zip(new.keys()).all(|(old, new)| old == new)
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
        let branch = |steps: &[&str]| {
            steps.iter().fold(Context::default(), |context, step| {
                context.with(&Arc::new(from_json(step, false).unwrap().as_map().unwrap().clone()))
            })
        };
        let mut joined = branch(left);
        joined.merge(&branch(right));
        assert_eq!(to_json(&Value::Map(joined.vars.clone())), expected);
    }

    #[test]
    fn different_names_unite() {
        check(&[r#"{"a":1}"#], &[r#"{"b":2}"#], r#"{"a":1,"b":2}"#);
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
