//! The text forms of what is stored: values, requests and status logs.
//!
//! A value is stored as JSON. Ordinary data may well hold an object like `{"$regex": "…"}`, which must come back as
//! the object it was; so the one-key forms of values without a JSON form are only read from a text that begins
//! with a space. What would be nested too deep to be read back is refused before it is written.

use crate::secrets::Secrets;
use crate::{Error, Result};
use squall_model::{
    ActionRef, Again, Change, Execution, ExecutionId, Map, ReplyTo, Requested, Special, Status, Timestamp, Value,
    from_json, to_json,
};
use std::fmt::Write;
use std::sync::Arc;

/// How deep a value may nest: what the reader takes, less the levels that a request adds around it.
const DEEPEST: usize = squall_model::MAX_DEPTH - 8;

/// What a walk over a value found.
#[derive(Default)]
struct Shape {
    special: bool,
    looks_special: bool,
    too_deep: bool,
}

impl Shape {
    fn walk(&mut self, value: &Value, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else {
            self.too_deep = true;
            return;
        };
        match value {
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Big(_) | Value::Str(_) => {}
            Value::Float(x) => self.special |= !x.is_finite(),
            Value::List(items) => items.iter().for_each(|item| self.walk(item, depth)),
            Value::Map(map) => self.walk_map(map, depth),
            Value::Special(special) => {
                self.special = true;
                // The one-key object and the list in it are levels of their own.
                let depth = depth.saturating_sub(2);
                match &**special {
                    Special::Set(items) => items.iter().for_each(|item| self.walk(item, depth)),
                    Special::Dict(pairs) => pairs.iter().for_each(|(key, value)| {
                        self.walk(key, depth);
                        self.walk(value, depth);
                    }),
                    Special::DateTime { .. } | Special::Timespan(_) | Special::Regex(_) | Special::Bytes(_) => {}
                }
            }
        }
    }

    fn walk_map(&mut self, map: &Map, depth: usize) {
        self.looks_special |= map.len() == 1 && map.first().is_some_and(|(key, _)| key.starts_with('$'));
        map.values().for_each(|value| self.walk(value, depth));
    }

    /// The text with its mark, unless it could not be read back.
    ///
    /// A value that holds both special values and objects that look like one is stored as ordinary data: the
    /// objects keep their meaning, the special values become objects.
    fn finish(self, json: impl FnOnce() -> String, what: impl FnOnce() -> String) -> Result<String> {
        if self.too_deep {
            return Err(Error::Damaged { what: what(), why: format!("nested deeper than {DEEPEST} levels") });
        }
        let json = json();
        Ok(if self.special && !self.looks_special { format!(" {json}") } else { json })
    }
}

fn is_special(text: &str) -> bool {
    text.starts_with(' ')
}

/// The stored text of a value; `what` names the row in the refusal.
pub(crate) fn value_text(value: &Value, what: impl FnOnce() -> String) -> Result<String> {
    let mut shape = Shape::default();
    shape.walk(value, DEEPEST);
    shape.finish(|| to_json(value), what)
}

/// The stored text of a map; `None` for an empty one.
pub(crate) fn map_text(map: &Map, what: impl FnOnce() -> String) -> Result<Option<String>> {
    if map.is_empty() {
        return Ok(None);
    }
    let mut shape = Shape::default();
    shape.walk_map(map, DEEPEST);
    shape.finish(|| serde_json::to_string(map).unwrap_or_else(|e| format!("{{\"$error\":\"{e}\"}}")), what).map(Some)
}

/// Reads a stored value.
pub(crate) fn read_value(text: &str, what: impl FnOnce() -> String) -> Result<Value> {
    from_json(text, is_special(text)).map_err(|e| Error::Damaged { what: what(), why: e.to_string() })
}

/// Reads a stored map.
pub(crate) fn read_map(text: Option<&str>, what: impl FnOnce() -> String) -> Result<Map> {
    let Some(text) = text else { return Ok(Map::new()) };
    match from_json(text, is_special(text)) {
        Ok(Value::Map(map)) => Ok(Arc::unwrap_or_clone(map)),
        Ok(_) => Err(Error::Damaged { what: what(), why: "not an object".to_owned() }),
        Err(e) => Err(Error::Damaged { what: what(), why: e.to_string() }),
    }
}

/// The stored text of a request.
pub(crate) fn request_text(id: ExecutionId, request: &Requested) -> Result<String> {
    let mut shape = Shape::default();
    shape.walk_map(&request.params, DEEPEST);
    shape.walk_map(&request.context, DEEPEST);
    shape.walk(&request.notify, DEEPEST);
    shape.finish(
        || serde_json::to_string(request).unwrap_or_else(|e| format!("{{\"$error\":\"{e}\"}}")),
        || format!("request of {id}"),
    )
}

/// Reads a stored request.
pub(crate) fn read_request(id: ExecutionId, text: &str) -> Result<Requested> {
    let damaged = |why: String| Error::Damaged { what: format!("request of {id}"), why };
    let value = from_json(text, is_special(text)).map_err(|e| damaged(e.to_string()))?;
    let Value::Map(fields) = value else { return Err(damaged("not an object".to_owned())) };
    requested(Arc::unwrap_or_clone(fields)).ok_or_else(|| damaged("a field is missing or of another kind".to_owned()))
}

/// A field that may be missing, but not of another kind.
fn optional<T>(value: Option<Value>, read: impl FnOnce(&Value) -> Option<T>) -> Option<Option<T>> {
    match value {
        None | Some(Value::Null) => Some(None),
        Some(value) => read(&value).map(Some),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn requested(mut fields: Map) -> Option<Requested> {
    // The texts that this reads were written by `Requested`'s own `Serialize`: same names, same defaults.
    let mut take = |name: &str| fields.swap_remove(name);
    let map = |value: Value| match value {
        Value::Map(map) => Some(Arc::unwrap_or_clone(map)),
        _ => None,
    };
    Some(Requested {
        action: take("action")?.as_str()?.parse().ok()?,
        runner: take("runner")?.as_str()?.to_owned(),
        params: map(take("params")?)?,
        context: map(take("context")?)?,
        notify: take("notify").unwrap_or_default(),
        definition: optional(take("definition"), text)?,
        reply_to: optional(take("reply_to"), reply_to)?,
        delay_ms: match take("delay_ms") {
            None => 0,
            Some(Value::Int(n)) => u64::try_from(n).ok()?,
            Some(Value::Big(n)) => u64::try_from(&*n).ok()?,
            Some(_) => return None,
        },
        source: optional(take("source"), text)?.unwrap_or_default(),
        again: optional(take("again"), again)?,
        secret: match take("secret") {
            None => Vec::new(),
            Some(names) => names.as_list()?.iter().map(text).collect::<Option<_>>()?,
        },
    })
}

fn again(value: &Value) -> Option<Again> {
    let texts = |name: &str| match value.get(name) {
        None => Some(Vec::new()),
        Some(list) => list.as_list()?.iter().map(text).collect(),
    };
    Some(Again { of: text(value.get("of")?)?.parse().ok()?, tasks: texts("tasks")?, reset: texts("reset")? })
}

fn reply_to(value: &Value) -> Option<ReplyTo> {
    let field = |name: &str| value.get(name).cloned();
    Some(ReplyTo {
        network: text(value.get("network")?)?,
        channel: text(value.get("channel")?)?,
        thread: optional(field("thread"), text)?,
        user: text(value.get("user")?)?,
        alias: optional(field("alias"), |v| v.as_str()?.parse::<ActionRef>().ok())?,
        message: optional(field("message"), text)?,
    })
}

/// The stored text of a status log: entries joined by spaces, so that it grows by appending.
pub(crate) fn log_text(log: &[(Timestamp, Status)]) -> String {
    let mut text = String::with_capacity(28 * log.len());
    for (at, status) in log {
        let gap = if text.is_empty() { "" } else { " " };
        // Writing into a String cannot fail.
        let _ = write!(text, "{gap}{}:{status}", at.micros());
    }
    text
}

/// Reads a stored status log.
pub(crate) fn read_log(id: ExecutionId, text: &str) -> Result<Vec<(Timestamp, Status)>> {
    let entry = |word: &str| {
        let (at, status) = word.split_once(':')?;
        Some((Timestamp::from_micros(at.parse().ok()?), status.parse().ok()?))
    };
    text.split_ascii_whitespace()
        .map(|word| {
            entry(word).ok_or_else(|| Error::Damaged {
                what: format!("status log of {id}"),
                why: format!("`{word}` is no entry"),
            })
        })
        .collect()
}

/// The user whose execution it is, as listings filter by it.
pub(crate) fn user_of(request: &Requested) -> Option<&str> {
    request.context.get("user").and_then(Value::as_str)
}

/// Where recovery files it: 0 when something is to be done, 1 when it only waits for a person or a due row, none
/// when it is final.
pub(crate) fn stage(status: Status) -> Option<i64> {
    match status {
        Status::Requested
        | Status::Scheduled
        | Status::Running
        | Status::Canceling
        | Status::Pausing
        | Status::Resuming => Some(0),
        Status::Delayed | Status::Pending | Status::Paused => Some(1),
        Status::Succeeded | Status::Failed | Status::Timeout | Status::Abandoned | Status::Canceled => None,
    }
}

/// The texts of a new execution, made by the caller's thread so that the writer only writes.
#[derive(Debug)]
pub(crate) struct NewTexts {
    pub(crate) request: String,
    pub(crate) result: Option<String>,
    pub(crate) log: String,
    pub(crate) notes: Option<String>,
}

impl NewTexts {
    pub(crate) fn of(e: &Execution, secrets: Option<&Secrets>) -> Result<NewTexts> {
        let hidden = secrets.map(|secrets| secrets.hide(&e.request)).transpose()?.flatten();
        Ok(NewTexts {
            request: request_text(e.id, hidden.as_ref().unwrap_or(&e.request))?,
            result: result_text(e.id, &e.result)?,
            log: log_text(&e.log),
            notes: map_text(&e.notes, || format!("notes of {}", e.id))?,
        })
    }
}

/// The stored text of a result; null is stored as none.
pub(crate) fn result_text(id: ExecutionId, result: &Value) -> Result<Option<String>> {
    if result.is_null() { Ok(None) } else { value_text(result, || format!("result of {id}")).map(Some) }
}

/// Whether a change can be read back once it is written: what the memory store checks in place of the texts.
pub(crate) fn check_change(id: ExecutionId, change: &Change) -> Result<()> {
    if let Some(result) = &change.result {
        check(|shape| shape.walk(result, DEEPEST), || format!("result of {id}"))?;
    }
    if let Some(request) = &change.erased {
        check_request(id, request)?;
    }
    check(|shape| shape.walk_map(&change.notes, DEEPEST), || format!("notes of {id}"))
}

fn check_request(id: ExecutionId, request: &Requested) -> Result<()> {
    let walk = |shape: &mut Shape| {
        shape.walk_map(&request.params, DEEPEST);
        shape.walk_map(&request.context, DEEPEST);
        shape.walk(&request.notify, DEEPEST);
    };
    check(walk, || format!("request of {id}"))
}

/// The same for a new execution.
pub(crate) fn check_new(e: &Execution) -> Result<()> {
    check(|shape| shape.walk(&e.result, DEEPEST), || format!("result of {}", e.id))?;
    check(|shape| shape.walk_map(&e.notes, DEEPEST), || format!("notes of {}", e.id))?;
    check_request(e.id, &e.request)
}

/// The same for one value.
pub(crate) fn check_value(value: &Value, what: impl FnOnce() -> String) -> Result<()> {
    check(|shape| shape.walk(value, DEEPEST), what)
}

/// Whether a confirmation can be written: its version has to fit in a column.
pub(crate) fn check_confirmation(row: &crate::Confirmation) -> Result<()> {
    match i64::try_from(row.version) {
        Ok(_) => Ok(()),
        Err(_) => Err(Error::Damaged {
            what: format!("version of confirmation {}", row.id),
            why: format!("{} is too large", row.version),
        }),
    }
}

fn check(walk: impl FnOnce(&mut Shape), what: impl FnOnce() -> String) -> Result<()> {
    let mut shape = Shape::default();
    walk(&mut shape);
    shape.finish(String::new, what).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn same(value: Value) {
        let text = value_text(&value, || "it".to_owned()).unwrap();
        assert_eq!(read_value(&text, || "it".to_owned()).unwrap(), value, "{text}");
    }

    #[test]
    fn data_that_looks_special_stays_data() {
        same(from_json(r#"{"query": {"$regex": "^web"}, "update": {"$set": [1]}}"#, false).unwrap());
        same(from_json(r#"{"$bytes": "00"}"#, false).unwrap());
    }

    #[test]
    fn special_values_come_back() {
        same(Value::special(Special::Set(vec![Value::Int(1)])));
        same(Value::from_pairs([("at", Value::special(Special::Timespan(5)))]));
        same(Value::from_pairs([("x", Value::Float(f64::INFINITY))]));
    }

    #[test]
    fn nul_and_big_numbers_come_back() {
        same(Value::from("a\u{0}b\u{10ffff}"));
        same(from_json("123456789012345678901234567890", false).unwrap());
    }

    #[test]
    fn too_deep_is_refused_before_it_is_written() {
        let deep = |n: usize| (0..n).fold(Value::Null, |inner, _| Value::from(vec![inner]));
        same(deep(DEEPEST - 1));
        let refused = value_text(&deep(5000), || "result of x".to_owned()).unwrap_err();
        assert_eq!(refused.to_string(), "damaged result of x: nested deeper than 120 levels");
    }

    #[test]
    fn a_whole_request_comes_back() {
        let request = Requested {
            action: "core.local".parse().unwrap(),
            runner: "local-shell-cmd".to_owned(),
            params: Map::from_iter([("$set".into(), Value::from(vec![Value::Int(1)]))]),
            context: Map::from_iter([("user".into(), Value::from("ada"))]),
            notify: Value::Null,
            definition: Some("ab".to_owned()),
            reply_to: Some(ReplyTo {
                network: "terminal".to_owned(),
                channel: "ops".to_owned(),
                thread: None,
                user: "ada".to_owned(),
                alias: Some("core.local".parse().unwrap()),
                message: Some("7".to_owned()),
            }),
            delay_ms: u64::MAX,
            source: "chat".to_owned(),
            again: Some(Again { of: ExecutionId([2; 12]), tasks: vec!["a".to_owned()], reset: vec!["b".to_owned()] }),
            secret: vec!["$set".to_owned()],
        };
        let id = ExecutionId([1; 12]);
        let text = request_text(id, &request).unwrap();
        assert_eq!(read_request(id, &text).unwrap(), request);
        assert!(read_request(id, &text.replace("core.local", "core")).is_err());
    }
}
