//! One value against one pattern.

use super::wildcard;
use crate::functions::moments;
use crate::params::{cast, type_name};
use crate::pattern::{self, Anchor, Flags};
use crate::{Error, jinja, python};
use squall_model::{Special, Timestamp, Value};
use std::cmp::Ordering;

/// The comparisons that rules know. `search` is not here: it needs criteria of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// Python's `==`.
    Equals,
    /// Python's `!=`.
    NotEquals,
    /// Texts without regard to case.
    EqualsIgnoringCase,
    /// The pattern is in the value.
    Contains,
    /// The same for texts, without regard to case.
    ContainsIgnoringCase,
    /// The pattern is not in the value.
    ContainsNot,
    /// The same for texts, without regard to case.
    ContainsNotIgnoringCase,
    /// The text begins with the pattern.
    StartsWith,
    /// The same without regard to case.
    StartsWithIgnoringCase,
    /// The text ends with the pattern.
    EndsWith,
    /// The same without regard to case.
    EndsWithIgnoringCase,
    /// Python's `<`.
    LessThan,
    /// Python's `>`.
    GreaterThan,
    /// A shell wildcard over the whole text.
    Wildcard,
    /// A regular expression at the start; the dot matches line feeds.
    MatchRegex,
    /// A regular expression anywhere.
    Regex,
    /// The same without regard to case.
    RegexIgnoringCase,
    /// The date lies less than so many seconds back.
    TimeDiffLess,
    /// The date lies more than so many seconds back.
    TimeDiffGreater,
    /// The value is there.
    Exists,
    /// The value is not there.
    NotExists,
    /// The value is in the pattern.
    Inside,
    /// The value is not in the pattern.
    NotInside,
}

/// All names with their operators.
pub(super) const NAMES: &[(&str, Operator)] = &[
    ("matchwildcard", Operator::Wildcard),
    ("matchregex", Operator::MatchRegex),
    ("regex", Operator::Regex),
    ("iregex", Operator::RegexIgnoringCase),
    ("equals", Operator::Equals),
    ("eq", Operator::Equals),
    ("nequals", Operator::NotEquals),
    ("neq", Operator::NotEquals),
    ("iequals", Operator::EqualsIgnoringCase),
    ("ieq", Operator::EqualsIgnoringCase),
    ("contains", Operator::Contains),
    ("icontains", Operator::ContainsIgnoringCase),
    ("ncontains", Operator::ContainsNot),
    ("incontains", Operator::ContainsNotIgnoringCase),
    ("startswith", Operator::StartsWith),
    ("istartswith", Operator::StartsWithIgnoringCase),
    ("endswith", Operator::EndsWith),
    ("iendswith", Operator::EndsWithIgnoringCase),
    ("lessthan", Operator::LessThan),
    ("lt", Operator::LessThan),
    ("greaterthan", Operator::GreaterThan),
    ("gt", Operator::GreaterThan),
    ("timediff_lt", Operator::TimeDiffLess),
    ("td_lt", Operator::TimeDiffLess),
    ("timediff_gt", Operator::TimeDiffGreater),
    ("td_gt", Operator::TimeDiffGreater),
    ("exists", Operator::Exists),
    ("nexists", Operator::NotExists),
    ("inside", Operator::Inside),
    ("in", Operator::Inside),
    ("ninside", Operator::NotInside),
    ("nin", Operator::NotInside),
];

impl Operator {
    /// The operator of a name, in any case.
    pub fn parse(name: &str) -> Option<Operator> {
        let name = name.to_lowercase();
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, operator)| *operator)
    }

    /// Compares. An error (class as in Python) means that the two cannot be compared: it does not match.
    pub fn apply(self, value: &Value, pattern: &Value, now: Timestamp) -> Result<bool, Error> {
        self.apply_with(value, pattern, None, now)
    }

    /// The same with the pattern's regular expression, if somebody compiled it before.
    pub(super) fn apply_with(
        self,
        value: &Value,
        pattern: &Value,
        compiled: Option<&pattern::Pattern>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        match self {
            Operator::Exists => return Ok(!value.is_null()),
            Operator::NotExists => return Ok(value.is_null()),
            Operator::NotEquals => {}
            _ if pattern.is_null() => return Ok(false),
            Operator::LessThan => return Ok(order(value, pattern, "<")? == Some(Ordering::Less)),
            Operator::GreaterThan => return Ok(order(value, pattern, ">")? == Some(Ordering::Greater)),
            Operator::TimeDiffLess => return Ok(age(value, now)? < seconds(pattern)?),
            Operator::TimeDiffGreater => return Ok(age(value, now)? > seconds(pattern)?),
            _ => {}
        }
        let (decoded_value, decoded_pattern) = (decoded(value)?, decoded(pattern)?);
        let value = decoded_value.as_ref().unwrap_or(value);
        let pattern = decoded_pattern.as_ref().unwrap_or(pattern);
        match self {
            Operator::Equals => Ok(equal(value, pattern)),
            Operator::NotEquals => Ok(!equal(value, pattern)),
            Operator::EqualsIgnoringCase => Ok(lower(value)? == lower(pattern)?),
            Operator::Contains => contains(value, pattern),
            Operator::ContainsNot => contains(value, pattern).map(|found| !found),
            Operator::ContainsIgnoringCase => Ok(lower(value)?.contains(&lower(pattern)?)),
            Operator::ContainsNotIgnoringCase => Ok(!lower(value)?.contains(&lower(pattern)?)),
            Operator::StartsWith => Ok(method(value, "startswith")?.starts_with(affix(pattern, "startswith")?)),
            Operator::EndsWith => Ok(method(value, "endswith")?.ends_with(affix(pattern, "endswith")?)),
            Operator::StartsWithIgnoringCase => Ok(lower(value)?.starts_with(&lower(pattern)?)),
            Operator::EndsWithIgnoringCase => Ok(lower(value)?.ends_with(&lower(pattern)?)),
            Operator::Wildcard => Ok(wildcard::matches(path(pattern)?, path(value)?)),
            Operator::MatchRegex | Operator::Regex | Operator::RegexIgnoringCase => {
                self.search(value, pattern, compiled)
            }
            Operator::Inside => contains(pattern, value),
            Operator::NotInside => contains(pattern, value).map(|found| !found),
            // Answered above.
            Operator::LessThan
            | Operator::GreaterThan
            | Operator::TimeDiffLess
            | Operator::TimeDiffGreater
            | Operator::Exists
            | Operator::NotExists => Ok(false),
        }
    }

    /// Compiles a pattern for the operators that take a regular expression.
    pub(super) fn compile(self, pattern: &str) -> Option<Result<pattern::Pattern, Error>> {
        let flags = match self {
            Operator::MatchRegex => Flags { dot_all: true, ..Flags::default() },
            Operator::Regex => Flags::default(),
            Operator::RegexIgnoringCase => Flags { ignore_case: true, ..Flags::default() },
            _ => return None,
        };
        Some(pattern::compile(pattern, flags))
    }

    fn search(self, value: &Value, pattern: &Value, compiled: Option<&pattern::Pattern>) -> Result<bool, Error> {
        let Value::Str(source) = pattern else {
            return Err(Error::new("TypeError", "first argument must be string or compiled pattern"));
        };
        let own;
        let compiled = match compiled {
            Some(compiled) => compiled,
            None => {
                own = self.compile(source).unwrap_or_else(|| Err(Error::new("error", "no regular expression")))?;
                &own
            }
        };
        let Value::Str(text) = value else {
            return Err(Error::new("TypeError", "expected string or bytes-like object"));
        };
        compiled.is_match(text, if self == Operator::MatchRegex { Anchor::Start } else { Anchor::Anywhere })
    }
}

/// Bytes are compared as the text they spell.
fn decoded(value: &Value) -> Result<Option<Value>, Error> {
    let Value::Special(special) = value else { return Ok(None) };
    let Special::Bytes(bytes) = &**special else { return Ok(None) };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.into())),
        Err(_) => Err(Error::new("UnicodeDecodeError", "'utf-8' codec can't decode the bytes")),
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Str(a), Value::Str(b)) => a == b,
        (a, b) => jinja::equal(a, b),
    }
}

fn order(a: &Value, b: &Value, sign: &str) -> Result<Option<Ordering>, Error> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (a, b) => jinja::order(a, b, sign),
    }
}

/// `item in container`, with Python's complaints about what cannot be looked into or looked for.
fn contains(container: &Value, item: &Value) -> Result<bool, Error> {
    match (container, item) {
        (Value::Str(text), Value::Str(part)) => Ok(text.contains(&**part)),
        (Value::Map(_), Value::List(_) | Value::Map(_)) => {
            Err(Error::new("TypeError", format!("unhashable type: '{}'", type_name(item))))
        }
        (container, item) => jinja::contains(container, item),
    }
}

fn no_method(value: &Value, name: &str) -> Error {
    Error::new("AttributeError", format!("'{}' object has no attribute '{name}'", type_name(value)))
}

fn lower(value: &Value) -> Result<String, Error> {
    value.as_str().map(str::to_lowercase).ok_or_else(|| no_method(value, "lower"))
}

fn method<'v>(value: &'v Value, name: &str) -> Result<&'v str, Error> {
    value.as_str().ok_or_else(|| no_method(value, name))
}

fn affix<'v>(pattern: &'v Value, name: &str) -> Result<&'v str, Error> {
    pattern.as_str().ok_or_else(|| {
        let message = format!("{name} first arg must be str or a tuple of str, not {}", type_name(pattern));
        Error::new("TypeError", message)
    })
}

fn path(value: &Value) -> Result<&str, Error> {
    value.as_str().ok_or_else(|| {
        let message = format!("expected str, bytes or os.PathLike object, not {}", type_name(value));
        Error::new("TypeError", message)
    })
}

fn seconds(pattern: &Value) -> Result<f64, Error> {
    match cast(pattern, "number")? {
        Value::Float(x) => Ok(x),
        _ => Err(Error::new("TypeError", "the pattern must be a number of seconds")),
    }
}

/// How many seconds the date in a text lies back; without a zone it is UTC.
fn age(value: &Value, now: Timestamp) -> Result<f64, Error> {
    let parsed = moments::parse_free(&python::str(value), now.micros())?;
    let [year, month, day, hour, minute, second, micro] = parsed.fields;
    let days = moments::days_from_civil(year, month, day)
        .ok_or_else(|| Error::new("ParserError", format!("no such day: {}", python::str(value))))?;
    let local = ((days * 24 + hour) * 60 + minute) * 60 + second - i64::from(parsed.offset_seconds.unwrap_or(0));
    Ok((now.micros() - micro) as f64 / 1e6 - local as f64)
}
