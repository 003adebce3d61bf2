//! The batch interfaces as pure functions: one JSON line in, one JSON line out.
//!
//! `squall eval|rule test|alias match|action render --batch` read and print; what a line means is decided
//! here, so that the vectors run without a process. Every answer carries the `id` of its line and either
//! `value` or `error` (class) and `message`. Values without a JSON form have their one-key forms both ways.

mod alias;
mod eval;
mod host;
mod params;
mod rules;

use crate::Error;
use serde_json::{Map as Json, Value as Line};
use squall_model::Value;

pub use alias::match_line as alias_match;
pub use eval::{eval, eval_within, evaluate};
pub use params::render_line as action_render;
pub use rules::rule_test;

/// Wraps an outcome with the id of its line.
fn answer(line: &Line, outcome: Result<Json<String, Line>, Error>) -> Line {
    let mut out = Json::new();
    out.insert("id".into(), line.get("id").cloned().unwrap_or(Line::Null));
    match outcome {
        Ok(fields) => out.extend(fields),
        Err(error) => {
            out.insert("error".into(), error.class.as_ref().into());
            out.insert("message".into(), error.message.into());
        }
    }
    Line::Object(out)
}

/// The field `value` alone.
fn value(value: &Value) -> Json<String, Line> {
    Json::from_iter([("value".to_owned(), Line::from(value))])
}

/// A line that lacks a field or has a wrong one.
fn bad(what: &str) -> Error {
    Error::new("BadLine", format!("the line needs {what}"))
}

fn text<'a>(line: &'a Line, field: &str) -> Result<&'a str, Error> {
    line.get(field).and_then(Line::as_str).ok_or_else(|| bad(&format!("the text `{field}`")))
}

/// A field as a value, one-key forms read.
fn field(line: &Line, name: &str) -> Value {
    match line.get(name) {
        None => Value::Null,
        Some(json) => squall_model::from_json(&json.to_string(), true).unwrap_or_default(),
    }
}
