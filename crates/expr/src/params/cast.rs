//! Values become what their schema says: numbers from text, lists from JSON or Python notation.

use super::{Schema, python_literal, python_number};
use crate::jinja::NONE_TEXT;
use crate::{Error, python};
use num_bigint::BigInt;
use num_traits::FromPrimitive;
use squall_model::Value;

/// Casts a value by its schema; null stays null, and without a type nothing happens.
pub fn cast_parameter(value: Value, schema: Option<&Schema>) -> Result<Value, Error> {
    match schema.and_then(|s| s.kind) {
        Some(kind) if !value.is_null() => cast(&value, kind.name()),
        _ => Ok(value),
    }
}

/// Casts to the type called `kind`; a type without a cast leaves the value alone.
pub fn cast(value: &Value, kind: &str) -> Result<Value, Error> {
    // The marker stands for null, which numbers refuse like any other null.
    let value = if value.as_str() == Some(NONE_TEXT) && kind != "null" { &Value::Null } else { value };
    match kind {
        "integer" => integer(value),
        "number" => number(value),
        "boolean" => match value {
            Value::Str(text) => python_literal(&capitalized(text)),
            other => Ok(other.clone()),
        },
        "string" => match value {
            Value::Str(_) | Value::Null => Ok(value.clone()),
            other => {
                let message = format!(
                    "Value \"{}\" must either be a string or None. Got \"{}\".",
                    python::str(other),
                    type_name(other)
                );
                Err(Error::new("ValueError", message))
            }
        },
        "array" | "object" => match value {
            Value::Str(text) => squall_model::from_json(text, false).or_else(|_| python_literal(text)),
            other => Ok(other.clone()),
        },
        _ => Ok(value.clone()),
    }
}

/// Casts what somebody typed: a list is written with commas. With `json_lists` a text that is a JSON list
/// is read as one, which StackStorm does not do.
pub fn cast_from_chat(value: &Value, kind: &str, json_lists: bool) -> Result<Value, Error> {
    match (kind, value) {
        ("array", Value::Str(text)) => {
            if json_lists
                && text.trim_start().starts_with('[')
                && let Ok(list @ Value::List(_)) = squall_model::from_json(text, false)
            {
                return Ok(list);
            }
            Ok(text.split(',').map(|part| Value::from(part.trim())).collect::<Vec<_>>().into())
        }
        ("array", Value::List(_)) => Ok(value.clone()),
        ("array", other) => {
            Err(Error::new("AttributeError", format!("'{}' object has no attribute 'split'", type_name(other))))
        }
        (kind, value) => cast(value, kind),
    }
}

fn integer(value: &Value) -> Result<Value, Error> {
    match value {
        Value::Int(_) | Value::Big(_) => Ok(value.clone()),
        Value::Bool(b) => Ok(Value::Int(i64::from(*b))),
        Value::Float(x) => match BigInt::from_f64(x.trunc()) {
            Some(n) => Ok(Value::big(n)),
            None if x.is_nan() => Err(Error::new("ValueError", "cannot convert float NaN to integer")),
            None => Err(Error::new("OverflowError", "cannot convert float infinity to integer")),
        },
        Value::Str(text) => python_number::int(text, 10).map(Value::big).ok_or_else(|| {
            let message = format!("invalid literal for int() with base 10: {}", python::repr(value));
            Error::new("ValueError", message)
        }),
        other => {
            let message = format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                type_name(other)
            );
            Err(Error::new("TypeError", message))
        }
    }
}

fn number(value: &Value) -> Result<Value, Error> {
    match value {
        Value::Float(_) => Ok(value.clone()),
        Value::Int(n) => Ok(Value::Float(*n as f64)),
        Value::Bool(b) => Ok(Value::Float(f64::from(u8::from(*b)))),
        Value::Big(n) => match n.to_string().parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(Value::Float(x)),
            _ => Err(Error::new("OverflowError", "int too large to convert to float")),
        },
        Value::Str(text) => python_number::float(text).map(Value::Float).ok_or_else(|| {
            Error::new("ValueError", format!("could not convert string to float: {}", python::repr(value)))
        }),
        other => {
            let message = format!("float() argument must be a string or a real number, not '{}'", type_name(other));
            Err(Error::new("TypeError", message))
        }
    }
}

/// Python's `str.capitalize`.
fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect(),
        None => String::new(),
    }
}

/// The name of Python's type.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Int(_) | Value::Big(_) => "int",
        Value::Float(_) => "float",
        Value::Str(_) => "str",
        Value::List(_) => "list",
        Value::Map(_) => "dict",
        Value::Special(special) => match &**special {
            squall_model::Special::Set(_) => "set",
            squall_model::Special::Dict(_) => "dict",
            squall_model::Special::DateTime { .. } => "datetime",
            squall_model::Special::Timespan(_) => "timedelta",
            squall_model::Special::Regex(_) => "Pattern",
            squall_model::Special::Bytes(_) => "bytes",
        },
    }
}
