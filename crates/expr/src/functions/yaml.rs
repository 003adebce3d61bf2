//! YAML in and out.

use super::Given;
use crate::Error;
use squall_model::Value;
use squall_yaml::{Layout, Options};

/// Reads one document as StackStorm's loader does.
pub(super) fn parse(given: &Given<'_>) -> Result<Value, Error> {
    let Value::Str(text) = given.value(0) else {
        return Err(Error::new("TypeError", "Given object is not typeof string."));
    };
    given.budget.bytes(text.len() as u64 * 4)?;
    match squall_yaml::parse(&text, &Options::default()) {
        Ok(document) => Ok(document.root.to_value()),
        Err(e) => Err(Error::new("YAMLError", e.to_string())),
    }
}

/// Block style with sorted keys.
pub(super) fn dump(given: &Given<'_>) -> Result<Value, Error> {
    dump_by(given, 2)
}

/// The same as Mistral knows it: by 4 unless told otherwise.
pub(super) fn dump_wide(given: &Given<'_>) -> Result<Value, Error> {
    dump_by(given, 4)
}

fn dump_by(given: &Given<'_>, default: u8) -> Result<Value, Error> {
    let indent = match given.value(1) {
        Value::Int(n) => u8::try_from(n).ok().filter(|n| (2..=9).contains(n)).unwrap_or(2),
        _ => default,
    };
    let unicode = !given.is_given(2) || given.flag(2);
    let layout = Layout { indent, unicode, sorted: true, ..Layout::default() };
    let text = squall_yaml::to_yaml_with(&given.value(0), layout);
    given.budget.bytes(text.len() as u64)?;
    Ok(Value::from(text))
}
