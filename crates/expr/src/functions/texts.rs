//! Regular expressions, file names, times for people.

use super::Given;
use crate::Error;
use crate::pattern::{Anchor, Flags, Pattern, compile};
use squall_model::{Str, Value};

/// Stands for null where only text can pass; StackStorm turns it back.
const NONE: &str = "%*****__%NONE%__*****%";

pub(super) fn basename(given: &Given<'_>) -> Result<Value, Error> {
    let path = path(given)?;
    Ok(Value::from(path.rsplit('/').next().unwrap_or_default()))
}

pub(super) fn dirname(given: &Given<'_>) -> Result<Value, Error> {
    let path = path(given)?;
    let Some(slash) = path.rfind('/') else { return Ok(Value::from("")) };
    let head = path.get(..=slash).unwrap_or_default();
    let trimmed = head.trim_end_matches('/');
    Ok(Value::from(if trimmed.is_empty() { head } else { trimmed }))
}

fn path(given: &Given<'_>) -> Result<Str, Error> {
    match given.value(0) {
        Value::Str(path) => Ok(path),
        _ => Err(Error::new("TypeError", "expected str, bytes or os.PathLike object")),
    }
}

fn pattern(given: &Given<'_>, ignore_case: usize) -> Result<Pattern, Error> {
    compile(&given.text(1), Flags { ignore_case: given.flag(ignore_case), ..Flags::default() })
}

pub(super) fn regex_match(given: &Given<'_>) -> Result<Value, Error> {
    Ok(Value::Bool(pattern(given, 2)?.is_match(&given.text(0), Anchor::Start)?))
}

pub(super) fn regex_search(given: &Given<'_>) -> Result<Value, Error> {
    Ok(Value::Bool(pattern(given, 2)?.is_match(&given.text(0), Anchor::Anywhere)?))
}

pub(super) fn regex_replace(given: &Given<'_>) -> Result<Value, Error> {
    let replaced = pattern(given, 3)?.replace(&given.text(0), &given.text(2), 0, given.budget)?;
    Ok(Value::from(replaced))
}

/// The n-th of all matches: the text, the only group, or a list of the groups.
pub(super) fn regex_substring(given: &Given<'_>) -> Result<Value, Error> {
    let text = given.text(0);
    let found = pattern(given, 3)?.find_all(&text, 0, given.budget)?;
    let index = match given.value(2) {
        Value::Null => 0,
        Value::Int(n) => n,
        Value::Bool(b) => i64::from(b),
        _ => return Err(Error::new("TypeError", "list indices must be integers")),
    };
    let length = i64::try_from(found.len()).unwrap_or(i64::MAX);
    let at = usize::try_from(if index < 0 { index + length } else { index }).ok();
    let one = at.and_then(|at| found.get(at)).ok_or_else(|| Error::new("IndexError", "list index out of range"))?;
    let part = |span: &Option<std::ops::Range<usize>>| {
        Value::from(span.clone().and_then(|span| text.get(span)).unwrap_or_default())
    };
    Ok(match one.groups.as_slice() {
        [whole] => part(whole),
        [_, only] => part(only),
        groups => Value::from(groups.iter().skip(1).map(part).collect::<Vec<_>>()),
    })
}

pub(super) fn use_none(given: &Given<'_>) -> Result<Value, Error> {
    Ok(match given.value(0) {
        Value::Null => Value::from(NONE),
        value => value,
    })
}

/// `1h2m5s`; units above the largest one needed are left out, those below it are not.
pub(super) fn human_time(given: &Given<'_>) -> Result<Value, Error> {
    let seconds = match given.value(0) {
        Value::Int(n) => n,
        Value::Bool(b) => i64::from(b),
        Value::Float(x) if x.is_finite() => x.trunc() as i64,
        _ => return Err(Error::new("AssertionError", "")),
    };
    let (minutes, seconds) = (seconds.div_euclid(60), seconds.rem_euclid(60));
    let (hours, minutes) = (minutes.div_euclid(60), minutes.rem_euclid(60));
    let (days, hours) = (hours.div_euclid(24), hours.rem_euclid(24));
    let (years, days) = (days.div_euclid(365), days.rem_euclid(365));
    let parts = [(years, 'y'), (days, 'd'), (hours, 'h'), (minutes, 'm'), (seconds, 's')];
    let first = parts.iter().position(|(n, _)| *n > 0).unwrap_or(parts.len() - 1);
    Ok(Value::from(parts.iter().skip(first).map(|(n, unit)| format!("{n}{unit}")).collect::<String>()))
}
