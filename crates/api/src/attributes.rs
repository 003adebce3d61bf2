//! `include_attributes` and `exclude_attributes`: which fields of an object a client wants to see.
//!
//! A dotted name keeps its top-level field with the named part of it, plus the parts that StackStorm itself always adds:
//! clients tolerate more than they asked for, never less.

use crate::fault::Fault;
use crate::limits::LISTED_NAMES;
use crate::query::Query;
use squall_model::{Map, Value};

/// What a resource allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Its fields.
    pub known: &'static [&'static str],
    /// Those that are always there.
    pub always: &'static [&'static str],
    /// Those that may be left out; all when empty.
    pub excludable: &'static [&'static str],
    /// Parts of a field that come along with any part of it; a field that is not listed comes whole.
    pub along: &'static [(&'static str, &'static [&'static str])],
}

/// What one request wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Attributes {
    include: Vec<String>,
    exclude: Vec<String>,
    is_filtered: bool,
}

impl Attributes {
    /// Reads and checks both parameters.
    pub fn of(query: &Query, rules: &Rules) -> Result<Attributes, Fault> {
        let (include, exclude) = (query.list("include_attributes"), query.list("exclude_attributes"));
        if !include.is_empty() && !exclude.is_empty() {
            return Err(Fault::bad(
                "exclude_attributes and include_attributes arguments are mutually exclusive. You need to provide either one or another, but not both.",
            ));
        }
        if include.len().max(exclude.len()) as u64 > LISTED_NAMES {
            return Err(Fault::bad(format!("more than {LISTED_NAMES} attributes are named")));
        }
        for name in &include {
            if !rules.known.contains(&top(name)) {
                let why =
                    format!("Invalid or unsupported include attribute specified: Cannot resolve field \"{name}\"");
                return Err(Fault::bad(why));
            }
        }
        for name in &exclude {
            let allowed = if rules.excludable.is_empty() { rules.known } else { rules.excludable };
            if !allowed.contains(&top(name)) {
                return Err(Fault::bad(format!("Invalid or unsupported exclude attribute specified: {name}")));
            }
        }
        let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
        let is_filtered = !include.is_empty() || !exclude.is_empty();
        Ok(Attributes { include: owned(include), exclude: owned(exclude), is_filtered })
    }

    /// Leaves out what was not asked for.
    pub fn trim(&self, value: Value, rules: &Rules) -> Value {
        let Some(map) = value.as_map().filter(|_| self.is_filtered) else { return value };
        let kept = map.iter().filter_map(|(name, value)| {
            let shown = if self.include.is_empty() {
                (!self.exclude.iter().any(|e| **e == **name)).then(|| value.clone())
            } else {
                self.included(name, value, rules)
            };
            shown.map(|value| (name.clone(), value))
        });
        kept.collect::<Map>().into()
    }

    fn included(&self, name: &str, value: &Value, rules: &Rules) -> Option<Value> {
        let mut wanted = self.include.iter().filter(|i| top(i) == name).peekable();
        if rules.always.contains(&name) {
            return Some(value.clone());
        }
        wanted.peek()?;
        let along = rules.along.iter().find(|(field, _)| *field == name).map(|(_, parts)| *parts);
        let parts: Option<Vec<&str>> = wanted.map(|i| i.split_once('.').map(|(_, rest)| top(rest))).collect();
        match (along, parts, value.as_map()) {
            (Some(along), Some(parts), Some(map)) => {
                let keep = |key: &str| along.contains(&key) || parts.contains(&key);
                Some(map.iter().filter(|(k, _)| keep(k)).map(|(k, v)| (k.clone(), v.clone())).collect::<Map>().into())
            }
            _ => Some(value.clone()),
        }
    }
}

fn top(name: &str) -> &str {
    name.split('.').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::{from_json, to_json};

    const RULES: Rules = Rules {
        known: &["id", "a", "action", "context"],
        always: &["id"],
        excludable: &["a"],
        along: &[("action", &["pack"])],
    };
    const OBJECT: &str =
        r#"{"id": 1, "a": 2, "action": {"ref": "p.n", "pack": "p", "name": "n"}, "context": {"user": "u", "x": 1}}"#;

    #[track_caller]
    fn check(query: &str, expected: &str) {
        let got = Attributes::of(&Query::parse(query), &RULES)
            .map(|a| to_json(&a.trim(from_json(OBJECT, false).unwrap(), &RULES)))
            .unwrap_or_else(|f| f.text().to_owned());
        assert_eq!(got, expected);
    }

    #[test]
    fn shows_what_was_asked_for() {
        check("", &to_json(&from_json(OBJECT, false).unwrap()));
        check("include_attributes=a,a", r#"{"id":1,"a":2}"#);
        check("include_attributes=action.ref", r#"{"id":1,"action":{"ref":"p.n","pack":"p"}}"#);
        check("include_attributes=action.ref,action", r#"{"id":1,"action":{"ref":"p.n","pack":"p","name":"n"}}"#);
        check("include_attributes=context.user", r#"{"id":1,"context":{"user":"u","x":1}}"#);
        check(
            "exclude_attributes=a",
            r#"{"id":1,"action":{"ref":"p.n","pack":"p","name":"n"},"context":{"user":"u","x":1}}"#,
        );
    }

    #[test]
    fn refuses_what_is_not_there() {
        check(
            "include_attributes=nosuch",
            "Invalid or unsupported include attribute specified: Cannot resolve field \"nosuch\"",
        );
        check("exclude_attributes=action", "Invalid or unsupported exclude attribute specified: action");
        check(
            "include_attributes=id&exclude_attributes=a",
            "exclude_attributes and include_attributes arguments are mutually exclusive. You need to provide either one or another, but not both.",
        );
    }
}
