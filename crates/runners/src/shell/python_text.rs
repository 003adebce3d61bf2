//! Values as Python's `str()` and `repr()` print them: what scripts of StackStorm packs get as arguments.

use squall_model::{Special, Value, to_json};
use std::fmt::Write;

/// Deeper than any parameter that came in as JSON; what lies below is printed as `...`.
const DEEPEST: usize = 200;

/// `str(value)`.
pub(crate) fn text(value: &Value) -> String {
    match value {
        Value::Str(text) => text.to_string(),
        other => literal(other),
    }
}

/// `repr(value)`.
pub(crate) fn literal(value: &Value) -> String {
    let mut out = String::new();
    write_literal(&mut out, value, DEEPEST);
    out
}

fn write_literal(out: &mut String, value: &Value, depth: usize) {
    if depth == 0 {
        return out.push_str("...");
    }
    match value {
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Big(n) => out.push_str(&n.to_string()),
        Value::Float(x) => out.push_str(&float(*x)),
        Value::Str(text) => write_quoted(out, text),
        Value::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_literal(out, item, depth - 1);
            }
            out.push(']');
        }
        Value::Map(map) => {
            out.push('{');
            for (i, (key, item)) in map.iter().enumerate() {
                out.push_str(if i == 0 { "" } else { ", " });
                write_quoted(out, key);
                out.push_str(": ");
                write_literal(out, item, depth - 1);
            }
            out.push('}');
        }
        Value::Special(special) => match &**special {
            Special::Regex(text) => write_quoted(out, text),
            // Parameters are JSON when they get here; the rest has no form that a script could expect.
            _ => out.push_str(&to_json(value)),
        },
    }
}

/// Single quotes, or double ones when that saves escaping, as Python chooses.
fn write_quoted(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c.is_control() && (c as u32) < 0x100 => _ = write!(out, "\\x{:02x}", c as u32),
            c => out.push(c),
        }
    }
    out.push(quote);
}

/// The shortest digits that read back, in Python's layout: an exponent below 1e-4 and from 1e16 on.
fn float(x: f64) -> String {
    if x.is_nan() {
        return "nan".into();
    }
    if x.is_infinite() {
        return if x > 0.0 { "inf".into() } else { "-inf".into() };
    }
    let scientific = format!("{x:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i32 = exponent.parse().unwrap_or(0);
    if x != 0.0 && !(-4..16).contains(&power) {
        let sign = if power < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", power.abs());
    }
    let plain = format!("{x}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    #[track_caller]
    fn check(json: &str, expected: &str) {
        assert_eq!(text(&from_json(json, false).unwrap()), expected);
    }

    #[test]
    fn as_python_prints_it() {
        check("null", "None");
        check(r#""it's""#, "it's");
        check(r#"[1, "q", true, null, 1.5]"#, "[1, 'q', True, None, 1.5]");
        check(r#"{"k": "it's", "n": "\"'\n\u0001é"}"#, r#"{'k': "it's", 'n': '"\'\n\x01é'}"#);
        check(
            "[1.0, 1e16, 1e15, 0.0001, 0.00001, -0.0, 1.5e300]",
            "[1.0, 1e+16, 1000000000000000.0, 0.0001, 1e-05, -0.0, 1.5e+300]",
        );
    }
}
