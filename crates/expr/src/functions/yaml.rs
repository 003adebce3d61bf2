//! YAML in and out.

use super::Given;
use crate::Error;
use squall_model::Value;
use squall_yaml::{Layout, Options};

/// Reads one document as StackStorm's loader does.
pub(super) fn parse(given: &Given<'_>) -> Result<Value, Error> {
    // StackStorm prints whatever it is given and reads that.
    let text = given.text(0);
    given.budget.bytes(text.len() as u64 * 4)?;
    match squall_yaml::parse(&text, &Options::default()) {
        Ok(document) => Ok(document.root.to_value()),
        Err(e) => Err(Error::new("YAMLError", e.to_string())),
    }
}

/// StackStorm's `to_yaml_string`: a bare scalar has no document end mark.
pub(super) fn dump(given: &Given<'_>) -> Result<Value, Error> {
    let text = document(given, 2)?;
    Ok(Value::from(text.strip_suffix("...\n").unwrap_or(&text)))
}

/// The same for Mistral: indented by 4 unless told otherwise.
pub(super) fn dump_wide(given: &Given<'_>) -> Result<Value, Error> {
    let text = document(given, 4)?;
    Ok(Value::from(text.strip_suffix("...\n").unwrap_or(&text)))
}

/// Mistral's `yaml_dump`: the whole document.
pub(super) fn dump_document(given: &Given<'_>) -> Result<Value, Error> {
    document(given, 2).map(Value::from)
}

/// Block style with sorted keys.
fn document(given: &Given<'_>, default: u8) -> Result<String, Error> {
    let indent = match given.value(1) {
        Value::Int(n) => u8::try_from(n).ok().filter(|n| (2..=9).contains(n)).unwrap_or(2),
        Value::Null | Value::Bool(_) => default,
        _ => return Err(Error::new("TypeError", "an integer is required")),
    };
    let unicode = !given.is_given(2) || given.flag(2);
    let layout = Layout { indent, unicode, narrow: true, sorted: true, ..Layout::default() };
    let text = squall_yaml::to_yaml_with(&given.value(0), layout);
    given.budget.bytes(text.len() as u64)?;
    Ok(text)
}
