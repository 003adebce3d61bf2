//! Where a criterion looks: a JSON path, split beforehand where it is only names and indices.

use crate::functions::jsonpath;
use crate::{Budget, Error};
use squall_model::{Str, Value};

/// A path below one root name.
#[derive(Debug)]
pub(super) enum Path {
    /// Names and indices: looked up directly.
    Plain(Str, Vec<Step>),
    /// Anything else of the path language.
    General(Str),
}

#[derive(Debug)]
pub(super) enum Step {
    Name(Str),
    Index(usize),
}

impl Path {
    pub(super) fn read(text: &str) -> Path {
        plain(text).unwrap_or_else(|| Path::General(text.into()))
    }

    /// The first thing that the path finds in `{root: value}`; null when there is none.
    pub(super) fn first(&self, root: &str, value: &Value, budget: &Budget) -> Result<Value, Error> {
        match self {
            Path::Plain(name, steps) => {
                if **name != *root {
                    return Ok(Value::Null);
                }
                let mut found = value;
                for step in steps {
                    let next = match (step, found) {
                        (Step::Name(name), Value::Map(map)) => map.get(name),
                        (Step::Index(at), Value::List(items)) => items.get(*at),
                        _ => None,
                    };
                    match next {
                        Some(next) => found = next,
                        None => return Ok(Value::Null),
                    }
                }
                Ok(found.clone())
            }
            Path::General(text) => {
                let data = Value::from_pairs([(root, value.clone())]);
                Ok(jsonpath::select(&data, text, budget)?.into_iter().next().unwrap_or_default())
            }
        }
    }
}

/// `trigger.a-b[0]['c d']`; `None` for what needs the whole language.
fn plain(text: &str) -> Option<Path> {
    let name_end = |text: &str| {
        text.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '@'))).unwrap_or(text.len())
    };
    let starts = |text: &str| text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !starts(text) {
        return None;
    }
    let (root, mut rest) = text.split_at(name_end(text));
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if let Some(tail) = rest.strip_prefix('.').filter(|tail| starts(tail)) {
            let (name, tail) = tail.split_at(name_end(tail));
            steps.push(Step::Name(name.into()));
            rest = tail;
        } else if let Some((inside, tail)) = rest.strip_prefix('[').and_then(|tail| tail.split_once(']')) {
            let quoted = |q: char| inside.strip_prefix(q).and_then(|i| i.strip_suffix(q));
            if !inside.is_empty() && inside.bytes().all(|b| b.is_ascii_digit()) {
                steps.push(Step::Index(inside.parse().ok()?));
            } else if let Some(name) = quoted('\'').or_else(|| quoted('"')).filter(|n| !n.contains(['\'', '"', '\\'])) {
                steps.push(Step::Name(name.into()));
            } else {
                return None;
            }
            rest = tail;
        } else {
            return None;
        }
    }
    // Words of the path language are no names.
    let word = |name: &str| matches!(name, "parent" | "where" | "wherenot");
    let plain = !word(root) && !steps.iter().any(|step| matches!(step, Step::Name(name) if word(name)));
    plain.then(|| Path::Plain(root.into(), steps))
}
