//! Texts. Positions and lengths count code points, as in Python.

use crate::Error;
use crate::yaql::call::Args;
use crate::yaql::eval::{Eval, Outcome};
use crate::yaql::operators;
use crate::yaql::table::{Entry, Type, both, function, method, opt, req, rest};
use crate::yaql::value::{self, Val};
use squall_model::Value;

/// Python's `str.isspace`.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// The text `str` gives: like Python's but for null and Booleans.
pub(super) fn to_text(ev: &Eval<'_>, val: &Val<'_>) -> Result<squall_model::Str, Error> {
    let text = match val {
        Val::Plain(Value::Str(text)) => return Ok(text.clone()),
        Val::Plain(Value::Null) => "null".to_string(),
        Val::Plain(Value::Bool(b)) => b.to_string(),
        other => operators::text_of(other),
    };
    ev.budget.bytes(text.len() as u64)?;
    Ok(text.into())
}

fn str<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(value::text(to_text(ev, &args.val(0))?))
}

fn len<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    ev.budget.step(text.len() as u64 / 64)?;
    Ok(Val::from(text.chars().count()))
}

fn changed<'a>(ev: &'a Eval<'a>, text: &str, change: impl Fn(&str) -> String) -> Outcome<'a> {
    // Some characters grow to three when they change case.
    ev.budget.bytes(text.len() as u64 * 2)?;
    Ok(Val::from(change(text)))
}

fn to_upper<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    changed(ev, &args.text(0), str::to_uppercase)
}

fn to_lower<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    changed(ev, &args.text(0), str::to_lowercase)
}

fn texts<'a>(ev: &'a Eval<'a>, parts: &[&str]) -> Outcome<'a> {
    ev.budget.bytes(parts.iter().map(|part| part.len() as u64 + 40).sum())?;
    ev.mutable_list(parts.iter().map(|part| Val::from(*part)).collect())
}

/// How many splits: negative means all.
fn splits(most: i64) -> usize {
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn split<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    let separator = args.text_or_null(1);
    let most = splits(args.int(2, -1));
    let parts: Vec<&str> = match separator.as_deref() {
        Some("") => return Err(Error::new("ValueError", "empty separator")),
        Some(separator) => text.splitn(most.saturating_add(1), separator).collect(),
        None => split_blanks(&text, most),
    };
    texts(ev, &parts)
}

/// At runs of white space; what is left after the last split keeps its blanks inside.
fn split_blanks(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        let end = if parts.len() == most { None } else { rest.find(is_space) };
        let Some(end) = end else {
            parts.push(if parts.len() == most { rest.trim_end_matches(is_space) } else { rest });
            break;
        };
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after.trim_start_matches(is_space);
    }
    parts
}

fn right_split<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    let separator = args.text_or_null(1);
    let most = splits(args.int(2, -1));
    let mut parts: Vec<&str> = match separator.as_deref() {
        Some("") => return Err(Error::new("ValueError", "empty separator")),
        Some(separator) => text.rsplitn(most.saturating_add(1), separator).collect(),
        None => split_blanks_from_right(&text, most),
    };
    parts.reverse();
    texts(ev, &parts)
}

fn split_blanks_from_right(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        let start = if parts.len() == most { None } else { rest.rfind(is_space) };
        let Some(start) = start else {
            parts.push(if parts.len() == most { rest.trim_start_matches(is_space) } else { rest });
            break;
        };
        let after = start + rest.get(start..).and_then(|r| r.chars().next()).map_or(1, char::len_utf8);
        let (before, part) = rest.split_at(after);
        parts.push(part);
        rest = before.trim_end_matches(is_space);
    }
    parts
}

fn joined<'a>(ev: &'a Eval<'a>, items: &Val<'a>, separator: &str) -> Outcome<'a> {
    let mut cursor = ev.walk(items)?;
    let mut out = String::new();
    let mut first = true;
    while let Some(item) = cursor.next(ev)? {
        let text = to_text(ev, &item)?;
        ev.budget.bytes((text.len() + separator.len()) as u64)?;
        if !first {
            out.push_str(separator);
        }
        first = false;
        out.push_str(&text);
    }
    Ok(Val::from(out))
}

fn join<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let items = args.val(0);
    joined(ev, &items, &args.text(1))
}

fn join_from_separator<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let separator = args.text(0);
    joined(ev, &args.val(1), &separator)
}

fn concat<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let mut out = String::new();
    for part in args.rest_vals() {
        let part = to_text(ev, &part)?;
        ev.budget.bytes(part.len() as u64)?;
        out.push_str(&part);
    }
    Ok(Val::from(out))
}

/// Characters to take off both ends; none means white space.
fn stripped<'t>(text: &'t str, chars: Option<&str>, left: bool, right: bool) -> &'t str {
    let goes = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    let text = if left { text.trim_start_matches(goes) } else { text };
    if right { text.trim_end_matches(goes) } else { text }
}

fn strip<'a>(ev: &'a Eval<'a>, args: &mut Args<'a>, left: bool, right: bool) -> Outcome<'a> {
    let text = args.text(0);
    let chars = args.text_or_null(1);
    let out = stripped(&text, chars.as_deref(), left, right);
    ev.budget.bytes(out.len() as u64)?;
    Ok(Val::from(out))
}

fn trim<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    strip(ev, &mut args, true, true)
}

fn trim_left<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    strip(ev, &mut args, true, false)
}

fn trim_right<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    strip(ev, &mut args, false, true)
}

fn norm<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let Some(text) = args.text_or_null(0) else { return Ok(Val::NULL) };
    let chars = args.text_or_null(1);
    let out = stripped(&text, chars.as_deref(), true, true);
    ev.budget.bytes(out.len() as u64)?;
    Ok(if out.is_empty() { Val::NULL } else { Val::from(out) })
}

fn is_empty<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let Some(text) = args.text_or_null(0) else { return Ok(Val::from(true)) };
    let trims = args.flag(1, true);
    let chars = args.text_or_null(2);
    let left = if trims { stripped(&text, chars.as_deref(), true, true) } else { &text };
    Ok(Val::from(left.is_empty()))
}

/// Python's `str.replace`; an empty `old` stands between all characters.
fn replaced(ev: &Eval<'_>, text: &str, old: &str, new: &str, most: i64) -> Result<String, Error> {
    let most = splits(most);
    let times = if old.is_empty() { text.chars().count() + 1 } else { text.matches(old).take(most).count() };
    ev.budget.bytes(text.len() as u64 + (times.min(most) as u64).saturating_mul(new.len() as u64))?;
    Ok(text.replacen(old, new, most))
}

fn replace<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let (text, old, new) = (args.text(0), args.text(1), args.text(2));
    Ok(Val::from(replaced(ev, &text, &old, &new, args.int(3, -1))?))
}

fn replace_by_dict<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let mut text = args.text(0).to_string();
    let pairs = args.val(1).pairs();
    let most = args.int(2, -1);
    for (old, new) in pairs {
        text = replaced(ev, &text, &to_text(ev, &old)?, &to_text(ev, &new)?, most)?;
    }
    Ok(Val::from(text))
}

/// The text from code point `start`, at most `count` of them. Negative positions count from the end, and
/// what lies before the start is cut as Python's slices cut it.
fn slice(text: &str, start: i64, end: i64) -> &str {
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let count = if text.is_ascii() { length } else { i64::try_from(text.chars().count()).unwrap_or(length) };
    let place = |at: i64| if at < 0 { at.saturating_add(count).max(0) } else { at.min(count) };
    let (start, end) = (place(start), place(end));
    if start >= end {
        return "";
    }
    text.get(byte_of(text, start)..byte_of(text, end)).unwrap_or_default()
}

/// The byte offset of a code point.
fn byte_of(text: &str, at: i64) -> usize {
    let at = usize::try_from(at).unwrap_or(0);
    if text.is_ascii() {
        return at.min(text.len());
    }
    text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte)
}

fn count_of(text: &str) -> i64 {
    i64::try_from(text.chars().count()).unwrap_or(i64::MAX)
}

fn substring<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    let (mut start, mut length) = (args.int(1, 0), args.int(2, -1));
    let count = count_of(&text);
    if length < 0 {
        length = count;
    }
    if start < 0 {
        start = start.saturating_add(count);
    }
    let out = slice(&text, start, start.saturating_add(length));
    ev.budget.bytes(out.len() as u64)?;
    Ok(Val::from(out))
}

/// Python's `find` and `rfind` between two code points; -1 when there is none.
fn find(text: &str, part: &str, start: i64, end: i64, last: bool) -> i64 {
    let count = count_of(text);
    let place = |at: i64| if at < 0 { at.saturating_add(count).max(0) } else { at };
    let (from, to) = (place(start), place(end).min(count));
    if from > to {
        return -1;
    }
    let window = slice(text, from, to);
    let found = if last { window.rfind(part) } else { window.find(part) };
    match found.and_then(|byte| window.get(..byte)) {
        Some(before) => from + count_of(before),
        None => -1,
    }
}

fn find_within<'a>(args: &mut Args<'a>, last: bool) -> Outcome<'a> {
    let (text, part) = (args.text(0), args.text(1));
    let (mut start, mut length) = (args.int(2, 0), args.int(3, -1));
    let count = count_of(&text);
    if start < 0 {
        start = start.saturating_add(count);
    }
    if length < 0 {
        length = count.saturating_sub(start);
    }
    Ok(Val::from(find(&text, &part, start, start.saturating_add(length), last)))
}

fn find_from<'a>(args: &mut Args<'a>, last: bool) -> Outcome<'a> {
    let (text, part) = (args.text(0), args.text(1));
    Ok(Val::from(find(&text, &part, args.int(2, 0), i64::MAX, last)))
}

fn index_of<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    ev.budget.step(1)?;
    find_from(&mut args, false)
}

fn index_of_within<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    ev.budget.step(1)?;
    find_within(&mut args, false)
}

fn last_index_of<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    ev.budget.step(1)?;
    find_from(&mut args, true)
}

fn last_index_of_within<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    ev.budget.step(1)?;
    find_within(&mut args, true)
}

fn to_char_array<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = args.text(0);
    ev.budget.bytes(text.len() as u64 * 40)?;
    let mut buffer = [0; 4];
    ev.plain_list(text.chars().map(|c| Value::from(&*c.encode_utf8(&mut buffer))).collect())
}

const DIGITS: &str = "0123456789";
const HEX: &str = "0123456789abcdefABCDEF";
const LOWER: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPER: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const OCTAL: &str = "01234567";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";
const WHITE: &str = " \t\n\r\u{b}\u{c}";

fn characters<'a>(ev: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let sets: [&[&str]; 12] = [
        &[DIGITS],
        &[HEX],
        &[LOWER],
        &[UPPER],
        &[LOWER, UPPER],
        &[],
        &[OCTAL],
        &[PUNCTUATION],
        &[DIGITS, LOWER, UPPER, PUNCTUATION, WHITE],
        &[],
        &[],
        &[WHITE],
    ];
    let gone = [(5, "letters"), (9, "lowercase"), (10, "uppercase")];
    let mut chars: Vec<char> = Vec::new();
    for (at, set) in sets.iter().enumerate() {
        if !args.flag(at, false) {
            continue;
        }
        if let Some((_, name)) = gone.iter().find(|(gone, _)| *gone == at) {
            let message = format!("module 'string' has no attribute '{name}'");
            return Err(Error::new("AttributeError", message));
        }
        chars.extend(set.iter().flat_map(|part| part.chars()));
    }
    chars.sort_unstable();
    chars.dedup();
    ev.budget.bytes(chars.len() as u64 * 40)?;
    ev.plain_list(chars.into_iter().map(|c| Value::from(c.to_string())).collect())
}

fn any_part<'a>(args: &mut Args<'a>, test: impl Fn(&str, &str) -> bool) -> Outcome<'a> {
    let text = args.text(0);
    let parts = args.rest_vals();
    let found = parts.iter().any(|part| matches!(part, Val::Plain(Value::Str(part)) if test(&text, part)));
    Ok(Val::from(found))
}

fn starts_with<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    any_part(&mut args, |text, part| text.starts_with(part))
}

fn ends_with<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    any_part(&mut args, |text, part| text.ends_with(part))
}

fn is_string<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    Ok(Val::from(matches!(args.val(0), Val::Plain(Value::Str(_)))))
}

fn hex<'a>(_: &'a Eval<'a>, mut args: Args<'a>) -> Outcome<'a> {
    let text = match args.val(0) {
        Val::Plain(Value::Int(n)) if n < 0 => format!("-0x{:x}", n.unsigned_abs()),
        Val::Plain(Value::Int(n)) => format!("0x{n:x}"),
        Val::Plain(Value::Big(n)) => match n.to_str_radix(16) {
            digits if digits.starts_with('-') => format!("-0x{}", digits.trim_start_matches('-')),
            digits => format!("0x{digits}"),
        },
        Val::Plain(Value::Float(_)) => {
            return Err(Error::new("TypeError", "'float' object cannot be interpreted as an integer"));
        }
        _ => return Err(Error::new("TypeError", "'NoneType' object cannot be interpreted as an integer")),
    };
    Ok(Val::from(text))
}

const STRING: crate::yaql::table::Param = req("string", Type::Str);

pub(in crate::yaql) const TABLE: &[Entry] = &[
    function("str", &[req("value", Type::Any)], str),
    both("len", &[STRING], len),
    method("toUpper", &[STRING], to_upper),
    method("toLower", &[STRING], to_lower),
    method("split", &[STRING, opt("separator", Type::StrOrNull), opt("maxSplits", Type::Int)], split),
    method("rightSplit", &[STRING, opt("separator", Type::StrOrNull), opt("maxSplits", Type::Int)], right_split),
    method("join", &[req("sequence", Type::Iterable), req("separator", Type::Str)], join),
    method("join", &[req("separator", Type::Str), req("sequence", Type::Iterable)], join_from_separator),
    function("concat", &[rest("args", Type::Str)], concat),
    method("trim", &[STRING, opt("chars", Type::StrOrNull)], trim),
    method("trimLeft", &[STRING, opt("chars", Type::StrOrNull)], trim_left),
    method("trimRight", &[STRING, opt("chars", Type::StrOrNull)], trim_right),
    both("norm", &[req("string", Type::StrOrNull), opt("chars", Type::StrOrNull)], norm),
    both(
        "isEmpty",
        &[req("string", Type::StrOrNull), opt("trim", Type::Bool), opt("chars", Type::StrOrNull)],
        is_empty,
    ),
    method("replace", &[STRING, req("old", Type::Str), req("new", Type::Str), opt("count", Type::Int)], replace),
    method("replace", &[STRING, req("replacements", Type::Mapping), opt("count", Type::Int)], replace_by_dict),
    method("substring", &[STRING, req("start", Type::Int), opt("length", Type::Int)], substring),
    method("indexOf", &[STRING, req("sub", Type::Str), opt("start", Type::Int)], index_of),
    method(
        "indexOf",
        &[STRING, req("sub", Type::Str), req("start", Type::Int), req("length", Type::Int)],
        index_of_within,
    ),
    method("lastIndexOf", &[STRING, req("sub", Type::Str), opt("start", Type::Int)], last_index_of),
    method(
        "lastIndexOf",
        &[STRING, req("sub", Type::Str), req("start", Type::Int), req("length", Type::Int)],
        last_index_of_within,
    ),
    method("toCharArray", &[STRING], to_char_array),
    function(
        "characters",
        &[
            opt("digits", Type::BoolOrNull),
            opt("hexdigits", Type::BoolOrNull),
            opt("asciiLowercase", Type::BoolOrNull),
            opt("asciiUppercase", Type::BoolOrNull),
            opt("asciiLetters", Type::BoolOrNull),
            opt("letters", Type::BoolOrNull),
            opt("octdigits", Type::BoolOrNull),
            opt("punctuation", Type::BoolOrNull),
            opt("printable", Type::BoolOrNull),
            opt("lowercase", Type::BoolOrNull),
            opt("uppercase", Type::BoolOrNull),
            opt("whitespace", Type::BoolOrNull),
        ],
        characters,
    ),
    method("startsWith", &[STRING, rest("prefixes", Type::Str)], starts_with),
    method("endsWith", &[STRING, rest("suffixes", Type::Str)], ends_with),
    function("isString", &[req("arg", Type::Any)], is_string),
    function("hex", &[req("num", Type::NumberOrNull)], hex),
];
