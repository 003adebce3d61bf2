//! Orquesta's own `zip`.

use super::Given;
use crate::Error;
use squall_model::Value;
use std::borrow::Cow;

/// Rows to the longest list, filled with `pad`; null counts as empty, a single argument is given back. A text counts
/// as its characters, a map as its keys.
pub(super) fn zip(given: &Given<'_>) -> Result<Value, Error> {
    if let [only] = given.rest.as_slice() {
        return Ok(only.clone());
    }
    let mut columns = Vec::with_capacity(given.rest.len());
    for column in &given.rest {
        columns.push(column_of(column)?);
    }
    let longest = columns.iter().map(|column| column.len()).max().unwrap_or(0);
    given.budget.bytes((longest * (columns.len() + 2)) as u64 * 24)?;
    let pad = given.value(0);
    let row = |at: usize| columns.iter().map(|column| column.get(at).unwrap_or(&pad).clone()).collect::<Vec<_>>();
    Ok(Value::from((0..longest).map(|at| Value::from(row(at))).collect::<Vec<_>>()))
}

fn column_of(value: &Value) -> Result<Cow<'_, [Value]>, Error> {
    Ok(match value {
        Value::List(items) => Cow::Borrowed(items.as_slice()),
        Value::Null => Cow::Borrowed(&[]),
        Value::Str(text) => Cow::Owned(text.chars().map(|c| Value::from(c.to_string())).collect()),
        Value::Map(map) => Cow::Owned(map.keys().cloned().map(Value::Str).collect()),
        _ => return Err(Error::new("TypeError", "zip argument must be a list")),
    })
}
