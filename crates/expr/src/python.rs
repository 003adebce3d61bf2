//! Values as Python prints them: `str()` and `repr()`.
//!
//! Mixed texts, `str` and `join` of YAQL and Jinja's output all show values in this notation, because the
//! original engines are written in Python and content relies on it. Nothing here reads Python.
//!
//! Nesting beyond [`DEEPEST`] prints as `[...]`, as Python does for a list within itself; nothing recurses further.

use squall_model::{Special, Value};
use std::fmt::Write;
use std::sync::LazyLock;

/// Where printing stops descending.
pub const DEEPEST: usize = 400;

/// How lists, sets and nested mappings look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// `[1, 2]` and `{1}`: ordinary Python data.
    Lists,
    /// `(1, 2)` and `frozenset({1})`: the immutable data that YAQL works with inside.
    Tuples,
}

/// Python's `str(value)`: a text is itself, everything else as by [`repr`], except times.
pub fn str(value: &Value) -> String {
    match value {
        Value::Str(s) => s.to_string(),
        Value::Special(special) => match &**special {
            Special::DateTime { micros, offset_seconds } => datetime(*micros, *offset_seconds),
            Special::Timespan(us) => timespan(*us),
            _ => repr(value),
        },
        _ => repr(value),
    }
}

/// Python's `repr(value)`.
pub fn repr(value: &Value) -> String {
    repr_as(value, Style::Lists)
}

/// Python's `repr(value)` with a choice of collections.
pub fn repr_as(value: &Value, style: Style) -> String {
    let mut out = String::new();
    write_repr(&mut out, value, style, 0);
    out
}

fn write_repr(out: &mut String, value: &Value, style: Style, depth: usize) {
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(n) => put(out, format_args!("{n}")),
        Value::Big(n) => put(out, format_args!("{n}")),
        Value::Float(x) => out.push_str(&float(*x)),
        Value::Str(s) => quote(out, s),
        _ if depth >= DEEPEST => out.push_str("[...]"),
        Value::List(items) => write_list(out, items, style, depth),
        Value::Map(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                separate(out, i);
                quote(out, key);
                out.push_str(": ");
                write_repr(out, item, style, depth + 1);
            }
            out.push('}');
        }
        Value::Special(special) => write_special(out, special, style, depth),
    }
}

fn write_list(out: &mut String, items: &[Value], style: Style, depth: usize) {
    let (open, close) = if style == Style::Lists { ('[', ']') } else { ('(', ')') };
    out.push(open);
    for (i, item) in items.iter().enumerate() {
        separate(out, i);
        write_repr(out, item, style, depth + 1);
    }
    if items.len() == 1 && style == Style::Tuples {
        out.push(',');
    }
    out.push(close);
}

fn write_special(out: &mut String, special: &Special, style: Style, depth: usize) {
    match special {
        Special::Set(items) => {
            let frozen = style == Style::Tuples;
            match (items.is_empty(), frozen) {
                (true, true) => return out.push_str("frozenset()"),
                (true, false) => return out.push_str("set()"),
                (false, true) => out.push_str("frozenset("),
                (false, false) => {}
            }
            out.push('{');
            for (i, item) in items.iter().enumerate() {
                separate(out, i);
                write_repr(out, item, style, depth + 1);
            }
            out.push_str(if frozen { "})" } else { "}" });
        }
        Special::Dict(pairs) => {
            out.push('{');
            for (i, (key, item)) in pairs.iter().enumerate() {
                separate(out, i);
                // A list cannot be a key in Python, so keys are always tuples.
                write_repr(out, key, Style::Tuples, depth + 1);
                out.push_str(": ");
                write_repr(out, item, style, depth + 1);
            }
            out.push('}');
        }
        Special::DateTime { micros, offset_seconds } => write_datetime(out, *micros, *offset_seconds),
        Special::Timespan(us) => write_timedelta(out, *us),
        Special::Regex(source) => write_regex(out, source),
        Special::Bytes(bytes) => write_bytes(out, bytes),
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn separate(out: &mut String, index: usize) {
    if index > 0 {
        out.push_str(", ");
    }
}

/// A float as Python prints it: the shortest digits that read back the same, `1.0` for whole numbers,
/// an exponent below 1e-4 and from 1e16.
pub fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    if x == 0.0 {
        return if x.is_sign_negative() { "-0.0".into() } else { "0.0".into() };
    }
    let text = format!("{x:e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let plain = format!("{x}");
        return if plain.contains('.') { plain } else { plain + ".0" };
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

/// What Python's `str.isprintable` refuses beyond ASCII: control, format, unassigned, and separators.
static UNPRINTABLE: LazyLock<Option<regex::Regex>> = LazyLock::new(|| regex::Regex::new(r"[\p{C}\p{Z}]").ok());

fn printable(c: char) -> bool {
    if c.is_ascii() {
        return !c.is_ascii_control();
    }
    let mut buffer = [0; 4];
    let text: &str = c.encode_utf8(&mut buffer);
    UNPRINTABLE.as_ref().is_none_or(|unprintable| !unprintable.is_match(text))
}

/// A text in Python's quotes: single ones, unless only single ones occur inside.
pub fn quote(out: &mut String, text: &str) {
    let delimiter = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(delimiter);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == delimiter => {
                out.push('\\');
                out.push(c);
            }
            c if printable(c) => out.push(c),
            c => match u32::from(c) {
                n @ ..=0xff => put(out, format_args!("\\x{n:02x}")),
                n @ ..=0xffff => put(out, format_args!("\\u{n:04x}")),
                n => put(out, format_args!("\\U{n:08x}")),
            },
        }
    }
    out.push(delimiter);
}

fn write_bytes(out: &mut String, bytes: &[u8]) {
    let delimiter = if bytes.contains(&b'\'') && !bytes.contains(&b'"') { '"' } else { '\'' };
    out.push('b');
    out.push(delimiter);
    for &byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            b if char::from(b) == delimiter => {
                out.push('\\');
                out.push(delimiter);
            }
            0x20..=0x7e => out.push(char::from(byte)),
            b => put(out, format_args!("\\x{b:02x}")),
        }
    }
    out.push(delimiter);
}

/// The flags are kept as a group in front of the source; Python prints them by name.
fn write_regex(out: &mut String, source: &str) {
    let (flags, pattern) = crate::pattern::split_flags(source);
    out.push_str("re.compile(");
    quote(out, pattern);
    let names = [
        (flags.ignore_case, "re.IGNORECASE"),
        (flags.multi_line, "re.MULTILINE"),
        (flags.dot_all, "re.DOTALL"),
        (flags.verbose, "re.VERBOSE"),
    ];
    let set: Vec<&str> = names.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    if !set.is_empty() {
        out.push_str(", ");
        out.push_str(&set.join("|"));
    }
    out.push(')');
}

/// The parts of a local time: year, month, day, hour, minute, second, microsecond.
pub(crate) fn civil(micros: i64, offset_seconds: i32) -> Option<jiff::civil::DateTime> {
    let moment = jiff::Timestamp::from_microsecond(micros).ok()?;
    Some(jiff::tz::Offset::from_seconds(offset_seconds).ok()?.to_datetime(moment))
}

/// `+05:30`, with seconds only when there are some.
fn zone(offset_seconds: i32) -> String {
    let sign = if offset_seconds < 0 { '-' } else { '+' };
    let east = offset_seconds.unsigned_abs();
    let seconds = match east % 60 {
        0 => String::new(),
        s => format!(":{s:02}"),
    };
    format!("{sign}{:02}:{:02}{seconds}", east / 3600, east / 60 % 60)
}

/// `2016-01-21 17:28:39.000120+00:00`.
fn datetime(micros: i64, offset_seconds: i32) -> String {
    let Some(local) = civil(micros, offset_seconds) else {
        return format!("{micros}us");
    };
    let date = format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        local.year(),
        local.month(),
        local.day(),
        local.hour(),
        local.minute(),
        local.second()
    );
    let part = match micros.rem_euclid(1_000_000) {
        0 => String::new(),
        part => format!(".{part:06}"),
    };
    format!("{date}{part}{}", zone(offset_seconds))
}

fn write_datetime(out: &mut String, micros: i64, offset_seconds: i32) {
    let Some(local) = civil(micros, offset_seconds) else {
        return put(out, format_args!("{micros}us"));
    };
    put(
        out,
        format_args!(
            "datetime.datetime({}, {}, {}, {}, {}",
            local.year(),
            local.month(),
            local.day(),
            local.hour(),
            local.minute()
        ),
    );
    let part = micros.rem_euclid(1_000_000);
    if local.second() != 0 || part != 0 {
        put(out, format_args!(", {}", local.second()));
    }
    if part != 0 {
        put(out, format_args!(", {part}"));
    }
    match offset_seconds {
        0 => out.push_str(", tzinfo=tzutc())"),
        offset => put(out, format_args!(", tzinfo=tzoffset(None, {offset}))")),
    }
}

/// `1 day, 2:00:00`: days apart and possibly negative, the rest positive.
fn timespan(us: i64) -> String {
    let (days, rest) = (us.div_euclid(86_400_000_000), us.rem_euclid(86_400_000_000));
    let (seconds, part) = (rest / 1_000_000, rest % 1_000_000);
    let mut out = match days {
        0 => String::new(),
        1 | -1 => format!("{days} day, "),
        _ => format!("{days} days, "),
    };
    put(&mut out, format_args!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60));
    if part != 0 {
        put(&mut out, format_args!(".{part:06}"));
    }
    out
}

fn write_timedelta(out: &mut String, us: i64) {
    let (days, rest) = (us.div_euclid(86_400_000_000), us.rem_euclid(86_400_000_000));
    let parts = [("days", days), ("seconds", rest / 1_000_000), ("microseconds", rest % 1_000_000)];
    let set: Vec<String> = parts.iter().filter(|(_, n)| *n != 0).map(|(name, n)| format!("{name}={n}")).collect();
    let inside = if set.is_empty() { "0".to_string() } else { set.join(", ") };
    put(out, format_args!("datetime.timedelta({inside})"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    #[track_caller]
    fn check(json: &str, expected_repr: &str, expected_str: &str) {
        let value = from_json(json, true).unwrap();
        assert_eq!(repr(&value), expected_repr);
        assert_eq!(str(&value), expected_str);
    }

    #[track_caller]
    fn same(json: &str, expected: &str) {
        check(json, expected, expected);
    }

    #[test]
    fn scalars() {
        same("null", "None");
        same("true", "True");
        same("123456789012345678901234567890", "123456789012345678901234567890");
        check(r#""it's""#, r#""it's""#, "it's");
        check(r#""a'b\"c\n\u0000é\u200b🚀""#, r#"'a\'b"c\n\x00é\u200b🚀'"#, "a'b\"c\n\0é\u{200b}🚀");
    }

    #[test]
    fn floats_as_python_prints_them() {
        for (x, text) in [
            (1.0, "1.0"),
            (-0.0, "-0.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "1e+16"),
            (123456789012345680.0, "1.2345678901234568e+17"),
            (9007199254740993.0, "9007199254740992.0"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (1.5e300, "1.5e+300"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(float(x), text);
        }
    }

    #[test]
    fn collections() {
        same(r#"[1, "a", null, {"k": [true, 1.0]}]"#, "[1, 'a', None, {'k': [True, 1.0]}]");
        same(r#"{"$set": [1]}"#, "{1}");
        same(r#"{"$set": []}"#, "set()");
        same(r#"{"$dict": [[1, "a"], [[1], 2]]}"#, "{1: 'a', (1,): 2}");
        let value = from_json(r#"[[1], [], {"$set": [1]}]"#, true).unwrap();
        assert_eq!(repr_as(&value, Style::Tuples), "((1,), (), frozenset({1}))");
    }

    #[test]
    fn times() {
        check(
            r#"{"$datetime": "2016-01-21T17:28:39+00:00"}"#,
            "datetime.datetime(2016, 1, 21, 17, 28, 39, tzinfo=tzutc())",
            "2016-01-21 17:28:39+00:00",
        );
        check(r#"{"$timespan_us": 93600000000}"#, "datetime.timedelta(days=1, seconds=7200)", "1 day, 2:00:00");
        check(
            r#"{"$timespan_us": -1}"#,
            "datetime.timedelta(days=-1, seconds=86399, microseconds=999999)",
            "-1 day, 23:59:59.999999",
        );
    }

    #[test]
    fn deep_values_print_without_recursing_forever() {
        let mut value = Value::Null;
        for _ in 0..2000 {
            value = Value::from(vec![value]);
        }
        assert!(repr(&value).contains("[...]"));
    }
}
