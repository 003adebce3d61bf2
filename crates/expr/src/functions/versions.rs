//! Semantic versions.

use super::Given;
use crate::Error;
use num_bigint::BigInt;
use squall_model::Value;
use std::cmp::Ordering;

struct Version {
    numbers: [BigInt; 3],
    /// Dot-separated parts after the hyphen; none is above all.
    pre: Vec<String>,
}

fn parse(text: &str) -> Result<Version, Error> {
    let bad = || Error::new("ValueError", format!("{text} is not valid SemVer string"));
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    let (numbers, pre) = match rest.split_once('-') {
        Some((numbers, pre)) => (numbers, Some(pre)),
        None => (rest, None),
    };
    let word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let number = |part: &str| {
        let digits = !part.is_empty() && part.len() < 1000 && part.bytes().all(|b| b.is_ascii_digit());
        digits && (part == "0" || !part.starts_with('0'))
    };
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    let pre_parts: Vec<String> = pre.map(|pre| pre.split('.').map(str::to_string).collect()).unwrap_or_default();
    let well_formed = build.is_none_or(|build| build.split('.').all(word))
        && pre_parts.iter().all(|part| word(part) && (!is_digits(part) || number(part)));
    let mut parts = numbers.split('.').map(|part| part.parse::<BigInt>().ok().filter(|_| number(part)));
    let mut next = || parts.next().flatten();
    match (next(), next(), next(), next()) {
        (Some(major), Some(minor), Some(patch), None) if well_formed && numbers.split('.').count() == 3 => {
            Ok(Version { numbers: [major, minor, patch], pre: pre_parts })
        }
        _ => Err(bad()),
    }
}

fn order(a: &Version, b: &Version) -> Ordering {
    let numeric = |part: &str| part.parse::<BigInt>().ok().filter(|_| part.bytes().all(|b| b.is_ascii_digit()));
    let parts = |a: &String, b: &String| match (numeric(a), numeric(b)) {
        (Some(x), Some(y)) => x.cmp(&y),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.cmp(b),
    };
    a.numbers.cmp(&b.numbers).then_with(|| match (a.pre.is_empty(), b.pre.is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) => {
            let first = a.pre.iter().zip(&b.pre).map(|(a, b)| parts(a, b)).find(|o| o.is_ne());
            first.unwrap_or_else(|| a.pre.len().cmp(&b.pre.len()))
        }
    })
}

fn compared(given: &Given<'_>) -> Result<Ordering, Error> {
    Ok(order(&parse(&given.text(0))?, &parse(&given.text(1))?))
}

pub(super) fn compare(given: &Given<'_>) -> Result<Value, Error> {
    Ok(Value::Int(compared(given)? as i64))
}

pub(super) fn more_than(given: &Given<'_>) -> Result<Value, Error> {
    Ok(Value::Bool(compared(given)?.is_gt()))
}

pub(super) fn less_than(given: &Given<'_>) -> Result<Value, Error> {
    Ok(Value::Bool(compared(given)?.is_lt()))
}

pub(super) fn equal(given: &Given<'_>) -> Result<Value, Error> {
    Ok(Value::Bool(compared(given)?.is_eq()))
}

/// `>=1.2.0` and the like; a bare version means equality.
pub(super) fn matches(given: &Given<'_>) -> Result<Value, Error> {
    let wanted = given.text(1);
    type Test = fn(Ordering) -> bool;
    let operators: [(&str, Test); 6] = [
        (">=", Ordering::is_ge),
        ("<=", Ordering::is_le),
        ("==", Ordering::is_eq),
        ("!=", Ordering::is_ne),
        (">", Ordering::is_gt),
        ("<", Ordering::is_lt),
    ];
    let found = operators.iter().find_map(|(operator, test)| Some((wanted.strip_prefix(operator)?, *test)));
    let (version, test) = match found {
        Some(found) => found,
        None if wanted.starts_with(|c: char| c.is_ascii_digit()) => (&*wanted, Ordering::is_eq as Test),
        None => {
            let message = format!("match_expr parameter should be in format <op><ver>, got: {wanted}");
            return Err(Error::new("ValueError", message));
        }
    };
    Ok(Value::Bool(test(order(&parse(&given.text(0))?, &parse(version)?))))
}

fn bumped(given: &Given<'_>, at: usize) -> Result<Value, Error> {
    let [mut major, mut minor, mut patch] = parse(&given.text(0))?.numbers;
    match at {
        0 => (major, minor, patch) = (major + 1, BigInt::default(), BigInt::default()),
        1 => (minor, patch) = (minor + 1, BigInt::default()),
        _ => patch += 1,
    }
    Ok(Value::from(format!("{major}.{minor}.{patch}")))
}

pub(super) fn bump_major(given: &Given<'_>) -> Result<Value, Error> {
    bumped(given, 0)
}

pub(super) fn bump_minor(given: &Given<'_>) -> Result<Value, Error> {
    bumped(given, 1)
}

pub(super) fn bump_patch(given: &Given<'_>) -> Result<Value, Error> {
    bumped(given, 2)
}

pub(super) fn strip_patch(given: &Given<'_>) -> Result<Value, Error> {
    let [major, minor, _] = parse(&given.text(0))?.numbers;
    Ok(Value::from(format!("{major}.{minor}")))
}
