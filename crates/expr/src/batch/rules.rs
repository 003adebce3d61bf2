//! `squall rule test --batch`.

use super::params::Datastore;
use super::{answer, bad, field, text, value};
use crate::operators::{Criteria, Operator};
use crate::{Error, Limits};
use serde_json::{Map as Json, Value as Line};
use squall_model::{Map, Timestamp, Value};

/// Answers a line of kind `operator` or `filter`.
pub fn rule_test(line: &Line) -> Line {
    let outcome = match line.get("kind").and_then(Line::as_str) {
        Some("operator") => operator(line),
        Some("filter") => filter(line),
        _ => Err(bad("`kind`: operator or filter")),
    };
    answer(line, outcome)
}

fn operator(line: &Line) -> Result<Json<String, Line>, Error> {
    let name = text(line, "op")?;
    let operator = Operator::parse(name).ok_or_else(|| Error::new("Exception", format!("Invalid operator: {name}")))?;
    let now = super::host::now();
    let subject = moment(&field(line, "value"), now).unwrap_or_else(|| field(line, "value"));
    Ok(value(&Value::Bool(operator.apply(&subject, &field(line, "pattern"), now)?)))
}

fn filter(line: &Line) -> Result<Json<String, Line>, Error> {
    let items = match field(line, "kv") {
        Value::Map(items) => (*items).clone(),
        _ => Map::new(),
    };
    let host = Datastore { items, user: "stanley".into() };
    let criteria = Criteria::compile(&field(line, "criteria"));
    let verdict = criteria.test(&field(line, "payload"), &host, &Limits::default())?;
    let mut out = value(&Value::Bool(verdict.fires));
    out.insert("enforcement_failed".into(), verdict.failure.is_some().into());
    if let Some(failure) = verdict.failure {
        out.insert("reason".into(), failure.message.into());
    }
    Ok(out)
}

/// `{"$seconds_before_now": n, "format": f}`: the text of a moment before now.
fn moment(value: &Value, now: Timestamp) -> Option<Value> {
    let seconds = value.get("$seconds_before_now")?.as_int()?;
    let then = now.micros().checked_sub(seconds.checked_mul(1_000_000)?)?;
    let offset = if value.get("format")?.as_str()? == "iso-offset" { 19_800 } else { 0 };
    let local = crate::python::civil(then, offset)?;
    let format = match value.get("format")?.as_str()? {
        "iso-z" => "%Y-%m-%dT%H:%M:%S.%6fZ",
        "iso-offset" => "%Y-%m-%dT%H:%M:%S.%6f+05:30",
        "iso-naive" => "%Y-%m-%dT%H:%M:%S",
        "space" => "%Y-%m-%d %H:%M:%S",
        "rfc2822" => "%a, %d %b %Y %H:%M:%S +0000",
        _ => return None,
    };
    Some(local.strftime(format).to_string().into())
}
