//! JSON as Python's `json` module writes and reads it.

use super::Given;
use crate::{Budget, Error, python};
use num_traits::ToPrimitive;
use squall_model::{Special, Value};
use std::fmt::Write;

/// How JSON is laid out.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Spaces per level; `None` keeps all on one line.
    pub indent: Option<usize>,
    /// Keys in order.
    pub sorted: bool,
    /// Between members.
    pub comma: String,
    /// Between key and value.
    pub colon: String,
}

/// `{"a": 1, "b": 2}`: Python's default.
impl Default for Layout {
    fn default() -> Layout {
        Layout { indent: None, sorted: false, comma: ", ".into(), colon: ": ".into() }
    }
}

/// Writes `value` with every character beyond ASCII escaped; pays for the text while it grows.
pub fn write(value: &Value, layout: &Layout, budget: &Budget) -> Result<String, Error> {
    let mut out = String::new();
    let mut writer = Writer { layout, budget, paid: 0 };
    writer.value(&mut out, value, 0)?;
    writer.pay(&out)?;
    Ok(out)
}

struct Writer<'w> {
    layout: &'w Layout,
    budget: &'w Budget,
    paid: usize,
}

impl Writer<'_> {
    fn pay(&mut self, out: &str) -> Result<(), Error> {
        self.budget.bytes((out.len() - self.paid) as u64)?;
        self.paid = out.len();
        Ok(())
    }

    fn value(&mut self, out: &mut String, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > python::DEEPEST {
            return Err(Error::limit("values nested too deeply"));
        }
        if out.len() > self.paid + 4096 {
            self.pay(out)?;
        }
        match value {
            Value::Null => out.push_str("null"),
            Value::Bool(b) => put(out, format_args!("{b}")),
            Value::Int(n) => put(out, format_args!("{n}")),
            Value::Big(n) => put(out, format_args!("{n}")),
            Value::Float(x) if x.is_nan() => out.push_str("NaN"),
            Value::Float(x) if x.is_infinite() => out.push_str(if *x > 0.0 { "Infinity" } else { "-Infinity" }),
            Value::Float(x) => out.push_str(&python::float(*x)),
            Value::Str(text) => quote(out, text),
            Value::List(items) => {
                let items: Vec<(Option<String>, &Value)> = items.iter().map(|item| (None, item)).collect();
                self.members(out, ('[', ']'), &items, depth)?;
            }
            Value::Map(map) => {
                let mut items: Vec<(Option<String>, &Value)> =
                    map.iter().map(|(key, item)| (Some(key.to_string()), item)).collect();
                self.sort(&mut items);
                self.members(out, ('{', '}'), &items, depth)?;
            }
            Value::Special(special) => match &**special {
                Special::Dict(pairs) => {
                    let mut items = Vec::with_capacity(pairs.len());
                    for (key, item) in pairs {
                        items.push((Some(key_text(key)?), item));
                    }
                    self.sort(&mut items);
                    self.members(out, ('{', '}'), &items, depth)?;
                }
                // StackStorm's encoder gives times as text.
                Special::DateTime { .. } => quote(out, &python::str(value)),
                Special::Set(_) => return Err(not_serializable("set")),
                Special::Timespan(_) => return Err(not_serializable("timedelta")),
                Special::Regex(_) => return Err(not_serializable("Pattern")),
                Special::Bytes(_) => return Err(not_serializable("bytes")),
            },
        }
        Ok(())
    }

    fn sort(&self, items: &mut [(Option<String>, &Value)]) {
        if self.layout.sorted {
            items.sort_by(|a, b| a.0.cmp(&b.0));
        }
    }

    fn members(
        &mut self,
        out: &mut String,
        brackets: (char, char),
        items: &[(Option<String>, &Value)],
        depth: usize,
    ) -> Result<(), Error> {
        out.push(brackets.0);
        for (i, (key, item)) in items.iter().enumerate() {
            if i > 0 {
                // With an indent the line feed takes the place of the blank.
                let comma = &self.layout.comma;
                out.push_str(if self.layout.indent.is_some() { comma.trim_end() } else { comma });
            }
            self.new_line(out, depth + 1);
            if let Some(key) = key {
                quote(out, key);
                out.push_str(&self.layout.colon);
            }
            self.value(out, item, depth + 1)?;
        }
        if !items.is_empty() {
            self.new_line(out, depth);
        }
        out.push(brackets.1);
        Ok(())
    }

    fn new_line(&self, out: &mut String, depth: usize) {
        if let Some(indent) = self.layout.indent {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent * depth));
        }
    }
}

fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}

fn not_serializable(kind: &str) -> Error {
    Error::new("TypeError", format!("Object of type {kind} is not JSON serializable"))
}

fn key_text(key: &Value) -> Result<String, Error> {
    Ok(match key {
        Value::Str(text) => text.to_string(),
        Value::Null => "null".into(),
        Value::Bool(b) => b.to_string(),
        Value::Int(_) | Value::Big(_) | Value::Float(_) => python::str(key),
        _ => return Err(Error::new("TypeError", "keys must be str, int, float, bool or None")),
    })
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    put(out, format_args!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
}

/// `to_json_string`: items apart by a bare comma.
pub(super) fn dump(given: &Given<'_>) -> Result<Value, Error> {
    let layout = Layout { indent: indent(&given.value(1)), comma: ",".into(), ..Layout::default() };
    dump_as(given, layout)
}

/// `to_json_string` of Mistral: indented by 4 unless told otherwise, and no blank after a colon.
pub(super) fn dump_tight(given: &Given<'_>) -> Result<Value, Error> {
    let indent = if given.is_given(1) { indent(&given.value(1)) } else { Some(4) };
    dump_as(given, Layout { indent, comma: ",".into(), colon: ":".into(), ..Layout::default() })
}

fn dump_as(given: &Given<'_>, mut layout: Layout) -> Result<Value, Error> {
    layout.sorted = given.flag(2);
    if let Value::List(separators) = given.value(3)
        && let [Value::Str(comma), Value::Str(colon)] = separators.as_slice()
    {
        layout.comma = comma.to_string();
        layout.colon = colon.to_string();
    }
    write(&given.value(0), &layout, given.budget).map(Value::from)
}

fn indent(value: &Value) -> Option<usize> {
    match value {
        // More is only good for making texts large.
        Value::Int(n) => Some(usize::try_from(*n).unwrap_or(0).min(64)),
        _ => None,
    }
}

/// `to_complex`: Python's default layout, for parameters that take JSON.
pub(super) fn complex(given: &Given<'_>) -> Result<Value, Error> {
    write(&given.value(0), &Layout::default(), given.budget).map(Value::from)
}

/// Mistral's `json_dump`.
pub(super) fn dump_indented(given: &Given<'_>) -> Result<Value, Error> {
    let layout = Layout { indent: Some(4), ..Layout::default() };
    write(&given.value(0), &layout, given.budget).map(Value::from)
}

/// The older `json_pp`: for reading, not for parsing, since written line feeds become real ones.
pub(super) fn pretty(given: &Given<'_>) -> Result<Value, Error> {
    let Value::Str(text) = dump_indented(given)? else { return Ok(Value::Null) };
    given.budget.bytes(text.len() as u64)?;
    Ok(Value::from(text.replace("\\n", "\n").replace(" \n", "\n")))
}

/// JSON of a text without the quotes around it.
pub(super) fn escape(given: &Given<'_>) -> Result<Value, Error> {
    let text = write(&given.value(0), &Layout::default(), given.budget)?;
    // All quote characters at the ends go, as in the original: a text that ends in one loses it.
    Ok(Value::from(text.trim_matches('"')))
}

/// Reads JSON.
pub(super) fn parse(given: &Given<'_>) -> Result<Value, Error> {
    let Value::Str(text) = given.value(0) else {
        return Err(Error::new("TypeError", "the JSON object must be str, bytes or bytearray"));
    };
    given.budget.bytes(text.len() as u64 * 4)?;
    squall_model::from_json(&text, false).map_err(|e| Error::new("JSONDecodeError", e.to_string()))
}

/// StackStorm's `from_json_string`: whatever is given is printed first.
pub(super) fn parse_text(given: &Given<'_>) -> Result<Value, Error> {
    let text = given.text(0);
    given.budget.bytes(text.len() as u64 * 4)?;
    let value = squall_model::from_json(&text, false).map_err(|e| Error::new("JSONDecodeError", e.to_string()))?;
    if has_large_number(&value) { as_read_by_orjson(value) } else { Ok(value) }
}

fn has_large_number(value: &Value) -> bool {
    match value {
        Value::Big(_) => true,
        Value::Float(x) => x.is_infinite(),
        Value::List(items) => items.iter().any(has_large_number),
        Value::Map(map) => map.values().any(has_large_number),
        _ => false,
    }
}

/// StackStorm's reader knows whole numbers of 64 bits, with or without sign; others are floats, and too large ones errors.
fn as_read_by_orjson(value: Value) -> Result<Value, Error> {
    Ok(match value {
        Value::Big(n) if u64::try_from(&*n).is_ok() => Value::Big(n),
        Value::Big(n) => as_read_by_orjson(Value::Float(n.to_f64().unwrap_or(f64::INFINITY)))?,
        Value::Float(x) if x.is_infinite() => {
            return Err(Error::new("JSONDecodeError", "number is infinity when parsed as double"));
        }
        Value::List(items) => Value::from(items.iter().cloned().map(as_read_by_orjson).collect::<Result<Vec<_>, _>>()?),
        Value::Map(map) => {
            let mut own = squall_model::Map::with_capacity(map.len());
            for (key, value) in map.iter() {
                own.insert(key.clone(), as_read_by_orjson(value.clone())?);
            }
            Value::from(own)
        }
        other => other,
    })
}

/// Orquesta's `json`: a dictionary is given back.
pub(super) fn read(given: &Given<'_>) -> Result<Value, Error> {
    match given.value(0) {
        Value::Str(_) => parse(given),
        map @ Value::Map(_) => Ok(map),
        _ => Err(Error::new("TypeError", "Given object is not typeof string.")),
    }
}
