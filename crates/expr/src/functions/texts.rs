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
    if !matches!(given.value(1), Value::Str(_)) {
        return Err(Error::new("TypeError", "first argument must be string or compiled pattern"));
    }
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
///
/// The original adds the seconds to the first day of year 1 and reads the date: months are lost, so that 40 days
/// are `9d`. Below one second the number stands as it is, with a unit that it does not have.
pub(super) fn human_time(given: &Given<'_>) -> Result<Value, Error> {
    let value = given.value(0);
    let seconds = match &value {
        Value::Int(n) => *n as f64,
        Value::Bool(b) => f64::from(u8::from(*b)),
        Value::Float(x) => *x,
        Value::Big(_) => f64::INFINITY,
        _ => return Err(Error::new("AssertionError", "the seconds must be a number")),
    };
    if seconds == 0.0 {
        return Ok(Value::from("0s"));
    }
    if seconds < 1.0 {
        return Ok(Value::from(format!("{}\u{3bc}s", crate::python::str(&value))));
    }
    let too_long = || Error::new("OverflowError", "date value out of range");
    if seconds.is_nan() || seconds > 4e11 {
        return Err(too_long());
    }
    let seconds = seconds.round_ties_even() as i64;
    let (minutes, seconds) = (seconds / 60, seconds % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let (days, hours) = (hours / 24, hours % 24);
    let date = jiff::civil::date(1, 1, 1).checked_add(jiff::Span::new().days(days)).map_err(|_| too_long())?;
    let parts = [
        (i64::from(date.year()) - 1, 'y'),
        (i64::from(date.day()) - 1, 'd'),
        (hours, 'h'),
        (minutes, 'm'),
        (seconds, 's'),
    ];
    let Some(first) = parts.iter().position(|(n, _)| *n > 0) else { return Ok(Value::from("0s")) };
    Ok(Value::from(parts.iter().skip(first).map(|(n, unit)| format!("{n}{unit}")).collect::<String>()))
}
