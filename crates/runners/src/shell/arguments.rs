//! How a script gets the parameters of its action: named ones first, then the positional ones, each as one word.

use super::python_text::{literal, text};
use super::quote::{HasNul, quote};
use squall_model::{Value, WorkItem, to_json};

/// The script with its arguments, quoted for a shell.
pub(super) fn command_line(script: &str, item: &WorkItem) -> Result<String, HasNul> {
    let prefix = item.runner_params.get("kwarg_op").and_then(Value::as_str).unwrap_or("--");
    let mut words = vec![quote(script)?];
    for (name, value) in &item.action_params {
        if !item.positional.iter().any(|positional| **positional == **name) {
            words.extend(named(&format!("{prefix}{name}"), value)?);
        }
    }
    for name in &item.positional {
        let value = item.action_params.get(name.as_str()).unwrap_or(&Value::Null);
        let kind = item.types.iter().find(|(of, _)| of == name).map(|(_, kind)| kind.as_str());
        words.push(quote(&positional(value, kind.unwrap_or_default()))?);
    }
    Ok(words.join(" "))
}

/// `--name=value`; a Boolean is there or not, and nothing says nothing.
fn named(name: &str, value: &Value) -> Result<Option<String>, HasNul> {
    Ok(match value {
        Value::Null | Value::Bool(false) => None,
        Value::Str(text) if text.is_empty() => None,
        Value::Bool(true) => Some(quote(name)?),
        Value::List(_) | Value::Map(_) => Some(format!("{}={}", quote(name)?, quote(&literal(value))?)),
        other => Some(format!("{}={}", quote(name)?, quote(&text(other))?)),
    })
}

/// By declared type. StackStorm knows these and treats all others, `integer` included, alike: what is false is empty.
fn positional(value: &Value, kind: &str) -> String {
    match kind {
        "string" | "number" if value.is_null() => String::new(),
        "string" | "number" => text(value),
        "boolean" if value.is_null() => String::new(),
        "boolean" => if value.is_truthy() { "1" } else { "0" }.into(),
        "array" => match value {
            Value::List(items) => items.iter().map(text).collect::<Vec<_>>().join(","),
            other if other.is_truthy() => text(other),
            _ => String::new(),
        },
        "object" if value.is_truthy() => to_json(value),
        "object" | "null" => String::new(),
        _ if value.is_truthy() => text(value),
        _ => String::new(),
    }
}
