//! Whether a request fits its action: JSON Schema draft 4, except that `required` stands on the property.
//!
//! Checks are made on a copy in which missing and null values have their defaults; the parameters themselves
//! are not completed here.

use super::{Kind, Schemas};
use crate::pattern::{Anchor, Flags, compile};
use crate::{Error, python};
use num_traits::ToPrimitive;
use squall_model::{Map, Str, Value};

/// How deep schemas may nest.
const MAX_DEPTH: u32 = 60;

/// Says what is wrong with `params`, in the original's words (class `ValidationError`).
///
/// An action without any parameters accepts everything.
pub fn validate(schemas: &Schemas, params: &Map) -> Result<(), Error> {
    if schemas.is_empty() {
        return Ok(());
    }
    let properties: Map = schemas.iter().map(|(name, s)| (name.clone(), Value::Map(s.raw.clone()))).collect();
    let schema =
        Value::from_pairs([("properties", Value::from(properties)), ("additionalProperties", Value::Bool(false))]);
    let completed = completed(&schema, &Value::from(params.clone()), 0);
    check(&schema, &completed, false, 0)
}

/// Says what is wrong with any value, by a schema that stands by itself. Keys that it does not name are fine unless it
/// says `additionalProperties: false`.
pub fn validate_value(schema: &Value, value: &Value) -> Result<(), Error> {
    if schema.as_map().is_none() {
        return Ok(());
    }
    check(schema, &completed(schema, value, 0), false, 0)
}

/// Refuses values for immutable parameters.
pub fn refuse_immutable(schemas: &Schemas, params: &Map) -> Result<(), Error> {
    let given: Vec<Value> = schemas
        .iter()
        .filter(|(name, schema)| schema.immutable && params.contains_key(*name))
        .map(|(name, _)| Value::Str(name.clone()))
        .collect();
    if given.is_empty() {
        return Ok(());
    }
    let message = format!("Override of immutable parameter(s) {} is unsupported.", python::repr(&given.into()));
    Err(Error::new("ValueError", message))
}

/// The value with defaults where something is missing or null.
fn completed(schema: &Value, value: &Value, depth: u32) -> Value {
    if depth > MAX_DEPTH {
        return value.clone();
    }
    match value {
        Value::Map(map) => {
            let Some(properties) = schema.get("properties").and_then(Value::as_map) else { return value.clone() };
            let mut map = (**map).clone();
            for (name, inner) in properties {
                let missing = map.get(name).is_none_or(Value::is_null);
                if let (true, Some(default)) = (missing, inner.get("default")) {
                    let companions = schema.get("dependencies").and_then(|d| d.get(name)).and_then(Value::as_list);
                    let held = companions
                        .is_some_and(|all| all.iter().any(|c| c.as_str().is_some_and(|c| !map.contains_key(c))));
                    if !held {
                        map.insert(name.clone(), default.clone());
                    }
                }
                if let Some(value) = map.get(name) {
                    let value = completed(inner, value, depth + 1);
                    map.insert(name.clone(), value);
                }
            }
            map.into()
        }
        Value::List(items) => match schema.get("items") {
            Some(inner @ Value::Map(_)) => {
                items.iter().map(|item| completed(inner, item, depth + 1)).collect::<Vec<_>>().into()
            }
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

fn wrong(message: String) -> Result<(), Error> {
    Err(Error::new("ValidationError", message))
}

fn repr(value: &Value) -> String {
    python::repr(value)
}

/// Whether a property may be null: its default is null or absent, and it is optional or has a default.
fn may_be_null(schema: &Value) -> bool {
    let default = schema.get("default");
    let required = schema.get("required").is_some_and(Value::is_truthy);
    default.is_none_or(Value::is_null) && (!required || default.is_some())
}

fn check(schema: &Value, value: &Value, nullable: bool, depth: u32) -> Result<(), Error> {
    if depth > MAX_DEPTH {
        return Err(Error::limit("schema is nested too deeply"));
    }
    let Some(keys) = schema.as_map() else { return Ok(()) };
    if let Some(Value::Str(kind)) = keys.get("type")
        && !(nullable && value.is_null())
        && !Kind::parse(kind).is_some_and(|kind| is_of(value, kind))
    {
        return wrong(format!("{} is not of type '{kind}'", repr(value)));
    }
    if let Some(Value::List(all)) = keys.get("enum")
        && !all.iter().any(|one| same(one, value))
    {
        return wrong(format!("{} is not one of {}", repr(value), repr(&Value::List(all.clone()))));
    }
    if let Some(x) = number(value) {
        check_number(keys, value, x)?;
    }
    match value {
        Value::Str(text) => check_text(keys, value, text)?,
        Value::List(items) => check_list(keys, value, items, depth)?,
        Value::Map(map) => check_map(keys, value, map, depth)?,
        _ => {}
    }
    check_combinations(keys, value, nullable, depth)
}

fn is_of(value: &Value, kind: Kind) -> bool {
    match kind {
        Kind::Array => matches!(value, Value::List(_)),
        Kind::Boolean => matches!(value, Value::Bool(_)),
        Kind::Integer => matches!(value, Value::Int(_) | Value::Big(_)),
        Kind::Null => value.is_null(),
        Kind::Number => matches!(value, Value::Int(_) | Value::Big(_) | Value::Float(_)),
        Kind::Object => matches!(value, Value::Map(_)),
        Kind::String => matches!(value, Value::Str(_)),
    }
}

/// Python's equality, but a Boolean is no number.
fn same(a: &Value, b: &Value) -> bool {
    match (number(a), number(b)) {
        (Some(x), Some(y)) => a == b || x == y,
        _ => a == b,
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(n) => Some(*n as f64),
        Value::Big(n) => n.to_f64(),
        Value::Float(x) => Some(*x),
        _ => None,
    }
}

fn check_number(keys: &Map, value: &Value, x: f64) -> Result<(), Error> {
    let bound = |key: &str| keys.get(key).and_then(|limit| Some((number(limit)?, limit)));
    let exclusive = |key: &str| keys.get(key).is_some_and(Value::is_truthy);
    if let Some((limit, shown)) = bound("minimum") {
        let (fails, words) = match exclusive("exclusiveMinimum") {
            true => (x <= limit, "less than or equal to the minimum of"),
            false => (x < limit, "less than the minimum of"),
        };
        if fails {
            return wrong(format!("{} is {words} {}", repr(value), repr(shown)));
        }
    }
    if let Some((limit, shown)) = bound("maximum") {
        let (fails, words) = match exclusive("exclusiveMaximum") {
            true => (x >= limit, "greater than or equal to the maximum of"),
            false => (x > limit, "greater than the maximum of"),
        };
        if fails {
            return wrong(format!("{} is {words} {}", repr(value), repr(shown)));
        }
    }
    if let Some((step, shown)) = bound("multipleOf")
        && step > 0.0
    {
        let times = x / step;
        if (times - times.round()).abs() > 1e-9 {
            return wrong(format!("{} is not a multiple of {}", repr(value), repr(shown)));
        }
    }
    Ok(())
}

fn size(keys: &Map, key: &str) -> Option<usize> {
    keys.get(key).and_then(number).map(|n| n.max(0.0) as usize)
}

fn check_text(keys: &Map, value: &Value, text: &str) -> Result<(), Error> {
    let len = text.chars().count();
    if size(keys, "minLength").is_some_and(|min| len < min) {
        return wrong(format!("{} is too short", repr(value)));
    }
    if size(keys, "maxLength").is_some_and(|max| len > max) {
        return wrong(format!("{} is too long", repr(value)));
    }
    if let Some(pattern @ Value::Str(source)) = keys.get("pattern")
        && !compile(source, Flags::default())?.is_match(text, Anchor::Anywhere)?
    {
        return wrong(format!("{} does not match {}", repr(value), repr(pattern)));
    }
    Ok(())
}

fn check_list(keys: &Map, value: &Value, items: &[Value], depth: u32) -> Result<(), Error> {
    if size(keys, "minItems").is_some_and(|min| items.len() < min) {
        return wrong(format!("{} is too short", repr(value)));
    }
    if size(keys, "maxItems").is_some_and(|max| items.len() > max) {
        return wrong(format!("{} is too long", repr(value)));
    }
    if keys.get("uniqueItems").is_some_and(Value::is_truthy) {
        let mut seen = std::collections::HashSet::new();
        // The printed form tells different values apart; 1 and 1.0 are taken for different.
        if !items.iter().all(|item| seen.insert(repr(item))) {
            return wrong(format!("{} has non-unique elements", repr(value)));
        }
    }
    match keys.get("items") {
        Some(Value::List(schemas)) => {
            for (schema, item) in schemas.iter().zip(items) {
                check(schema, item, false, depth + 1)?;
            }
            match keys.get("additionalItems") {
                Some(Value::Bool(false)) if items.len() > schemas.len() => {
                    let extra: Vec<String> = items[schemas.len()..].iter().map(repr).collect();
                    wrong(format!("Additional items are not allowed ({})", unexpected(&extra)))
                }
                Some(schema @ Value::Map(_)) => {
                    items.iter().skip(schemas.len()).try_for_each(|item| check(schema, item, false, depth + 1))
                }
                _ => Ok(()),
            }
        }
        Some(schema) => items.iter().try_for_each(|item| check(schema, item, false, depth + 1)),
        None => Ok(()),
    }
}

fn unexpected(names: &[String]) -> String {
    let verb = if names.len() == 1 { "was" } else { "were" };
    format!("{} {verb} unexpected", names.join(", "))
}

fn check_map(keys: &Map, value: &Value, map: &Map, depth: u32) -> Result<(), Error> {
    let none = Map::new();
    let properties = keys.get("properties").and_then(Value::as_map).unwrap_or(&none);
    for (name, schema) in properties {
        match map.get(name) {
            Some(value) => check(schema, value, may_be_null(schema), depth + 1)?,
            None if schema.get("required").is_some_and(Value::is_truthy) => {
                return wrong(format!("'{name}' is a required property"));
            }
            None => {}
        }
    }
    let patterns = keys.get("patternProperties").and_then(Value::as_map).unwrap_or(&none);
    let mut extra: Vec<&Str> = Vec::new();
    for (name, value) in map {
        let mut known = properties.contains_key(name);
        for (pattern, schema) in patterns {
            if compile(pattern, Flags::default())?.is_match(name, Anchor::Anywhere)? {
                known = true;
                check(schema, value, false, depth + 1)?;
            }
        }
        if !known {
            extra.push(name);
        }
    }
    match keys.get("additionalProperties") {
        Some(Value::Bool(false)) if !extra.is_empty() => {
            let mut names: Vec<String> = extra.iter().map(|name| format!("'{name}'")).collect();
            names.sort();
            return wrong(format!("Additional properties are not allowed ({})", unexpected(&names)));
        }
        Some(schema @ Value::Map(_)) => {
            for name in extra {
                check(schema, &map[name], false, depth + 1)?;
            }
        }
        _ => {}
    }
    if size(keys, "minProperties").is_some_and(|min| map.len() < min) {
        return wrong(format!("{} does not have enough properties", repr(value)));
    }
    if size(keys, "maxProperties").is_some_and(|max| map.len() > max) {
        return wrong(format!("{} has too many properties", repr(value)));
    }
    for (name, dependency) in keys.get("dependencies").and_then(Value::as_map).unwrap_or(&none) {
        if !map.contains_key(name) {
            continue;
        }
        match dependency {
            Value::List(needed) => {
                for needed in needed.iter().filter_map(Value::as_str) {
                    if !map.contains_key(needed) {
                        return wrong(format!("'{needed}' is a dependency of '{name}'"));
                    }
                }
            }
            schema => check(schema, value, false, depth + 1)?,
        }
    }
    Ok(())
}

fn check_combinations(keys: &Map, value: &Value, nullable: bool, depth: u32) -> Result<(), Error> {
    let list = |key: &str| keys.get(key).and_then(Value::as_list).unwrap_or_default();
    for schema in list("allOf") {
        check(schema, value, nullable, depth + 1)?;
    }
    let holds = |schema: &&Value| check(schema, value, nullable, depth + 1).is_ok();
    let any = list("anyOf");
    if !any.is_empty() && !any.iter().any(|schema| holds(&schema)) {
        return wrong(format!("{} is not valid under any of the given schemas", repr(value)));
    }
    let one = list("oneOf");
    if !one.is_empty() {
        let valid: Vec<&Value> = one.iter().filter(holds).collect();
        match valid[..] {
            [] => return wrong(format!("{} is not valid under any of the given schemas", repr(value))),
            [_] => {}
            [_, ref more @ ..] => {
                let shown: Vec<String> = more.iter().map(|schema| repr(schema)).collect();
                return wrong(format!("{} is valid under each of {}", repr(value), shown.join(", ")));
            }
        }
    }
    if let Some(schema) = keys.get("not")
        && holds(&schema)
    {
        return wrong(format!("{} is not allowed for {}", repr(schema), repr(value)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    /// Schemas, parameters and the complaint, if any.
    #[track_caller]
    fn check(schemas: &str, params: &str, complaint: Option<&str>) {
        let schemas = super::super::schemas(&from_json(schemas, false).unwrap()).unwrap();
        let params = from_json(params, false).unwrap();
        let found = validate(&schemas, params.as_map().unwrap()).err().map(|e| e.message);
        assert_eq!(found.as_deref(), complaint);
    }

    #[test]
    fn types() {
        check(r#"{"a": {"type": "integer"}}"#, r#"{"a": 1}"#, None);
        check(r#"{"a": {"type": "integer"}}"#, r#"{"a": true}"#, Some("True is not of type 'integer'"));
        check(r#"{"a": {"type": "integer"}}"#, r#"{"a": 1.0}"#, Some("1.0 is not of type 'integer'"));
        check(r#"{"a": {"type": "number"}}"#, r#"{"a": 1}"#, None);
    }

    #[test]
    fn names() {
        check(r#"{"a": {}}"#, r#"{"b": 1}"#, Some("Additional properties are not allowed ('b' was unexpected)"));
        check(r#"{"a": {"required": true}}"#, "{}", Some("'a' is a required property"));
        check("{}", r#"{"b": 1}"#, None);
    }

    #[test]
    fn null_and_defaults() {
        check(r#"{"a": {"type": "string"}}"#, r#"{"a": null}"#, None);
        check(r#"{"a": {"type": "string", "required": true}}"#, r#"{"a": null}"#, Some("None is not of type 'string'"));
        check(r#"{"a": {"type": "string", "required": true, "default": null}}"#, r#"{"a": null}"#, None);
        check(r#"{"a": {"type": "string", "enum": ["x"]}}"#, r#"{"a": null}"#, Some("None is not one of ['x']"));
        check(
            r#"{"a": {"type": "integer", "default": 5, "minimum": 6}}"#,
            "{}",
            Some("5 is less than the minimum of 6"),
        );
    }

    #[test]
    fn nested() {
        check(
            r#"{"o": {"type": "object", "properties": {"k": {"type": "string", "required": true}}}}"#,
            r#"{"o": {}}"#,
            Some("'k' is a required property"),
        );
        check(
            r#"{"l": {"type": "array", "items": {"type": "integer"}}}"#,
            r#"{"l": [1, "x"]}"#,
            Some("'x' is not of type 'integer'"),
        );
        check(r#"{"a": {"pattern": "^x"}}"#, r#"{"a": "yx"}"#, Some("'yx' does not match '^x'"));
    }
}
