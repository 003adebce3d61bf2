//! What leaves an evaluation: plain data again.
//!
//! Generators and tuples become lists, sets stay sets. What Python could not put into a set or use as a key
//! once it is a list or dictionary is an error here as well.

use super::eval::Eval;
use super::value::Val;
use crate::Error;
use squall_model::{Map, Special, Value};

fn unhashable(value: &Value) -> Option<&'static str> {
    match value {
        Value::List(_) => Some("list"),
        Value::Map(_) => Some("dict"),
        Value::Special(special) => match &**special {
            Special::Set(_) => Some("set"),
            Special::Dict(_) => Some("dict"),
            _ => None,
        },
        _ => None,
    }
}

fn hashable(value: Value) -> Result<Value, Error> {
    match unhashable(&value) {
        Some(kind) => Err(Error::new("TypeError", format!("unhashable type: '{kind}'"))),
        None => Ok(value),
    }
}

/// The value as data.
pub(super) fn convert<'a>(ev: &'a Eval<'a>, val: Val<'a>) -> Result<Value, Error> {
    match val {
        // A pattern is known outside by its source alone.
        Val::Plain(Value::Special(special)) if matches!(*special, Special::Regex(_)) => Ok(match &*special {
            Special::Regex(source) => Value::special(Special::Regex(crate::pattern::split_flags(source).1.into())),
            _ => Value::Special(special),
        }),
        Val::Plain(value) => Ok(value),
        Val::List(_) | Val::Iter(_) | Val::Ordering(_) => list(ev, &val),
        Val::View(view) if !view.is_set() => list(ev, &Val::View(view)),
        Val::Dict(dict) => {
            let _deeper = ev.enter()?;
            let mut pairs = Vec::with_capacity(dict.items.len());
            for (key, value) in &dict.items {
                ev.budget.bytes(48)?;
                // The value first, as Python does it: its error is the one that is seen.
                let value = convert(ev, value.clone())?;
                pairs.push((hashable(convert(ev, key.0.clone())?)?, value));
            }
            Ok(dictionary(pairs))
        }
        Val::Set(_) | Val::View(_) => {
            let _deeper = ev.enter()?;
            let mut members = Vec::new();
            for item in super::value::members(&val) {
                ev.budget.bytes(24)?;
                members.push(hashable(convert(ev, item)?)?);
            }
            Ok(Value::special(Special::Set(members)))
        }
        Val::Context(_) => Err(Error::new("TypeError", "a context is no value: `-> expression` must follow it")),
    }
}

fn list<'a>(ev: &'a Eval<'a>, val: &Val<'a>) -> Result<Value, Error> {
    let _deeper = ev.enter()?;
    let mut cursor = ev.walk(val)?;
    let mut items = Vec::with_capacity(cursor.size_hint());
    while let Some(item) = cursor.next(ev)? {
        ev.budget.bytes(24)?;
        items.push(convert(ev, item)?);
    }
    Ok(Value::from(items))
}

fn dictionary(pairs: Vec<(Value, Value)>) -> Value {
    if pairs.iter().all(|(key, _)| matches!(key, Value::Str(_))) {
        let texts = pairs.into_iter().filter_map(|(key, value)| match key {
            Value::Str(key) => Some((key, value)),
            _ => None,
        });
        return Value::from(texts.collect::<Map>());
    }
    Value::special(Special::Dict(pairs))
}
