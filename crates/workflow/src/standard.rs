//! Actions that need no runner: Mistral's `std.*` and tasks without an action.

use crate::Offer;
use squall_model::{Map, Outcome, Status, Value};
use std::sync::Arc;

/// The standard actions with the parameters that they require and those that they also take.
pub(crate) const STANDARD: &[(&str, &[&str], &[&str])] = &[
    ("std.noop", &[], &[]),
    ("std.echo", &["output"], &["delay"]),
    ("std.fail", &[], &["error_data"]),
    ("std.sleep", &[], &["seconds"]),
    ("std.async_noop", &[], &[]),
    ("std.test_dict", &[], &["size", "key_prefix", "val"]),
];

/// How a standard action ends.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// How long it takes, in milliseconds; the engine keeps longer ones as due rows.
    pub after_ms: u64,
    /// Status and result; `None` when it never ends by itself (`std.async_noop`).
    pub outcome: Option<Outcome>,
}

/// What the engine answers to an offer without making a child execution: for `std.*` and for a task
/// without an action. `None` means that the offer names an action of a pack.
pub fn standard(offer: &Offer) -> Option<Answer> {
    let Some(action) = offer.action.as_deref() else {
        return Some(done(Value::Null));
    };
    let name = action.strip_prefix("std.")?;
    let input = |key: &str| offer.input.get(key).cloned().unwrap_or_default();
    Some(match name {
        "noop" => done(Value::Null),
        "echo" => Answer { after_ms: seconds(&input("delay"), 0), ..done(input("output")) },
        "sleep" => Answer { after_ms: seconds(&input("seconds"), 1), ..done(Value::Null) },
        "fail" => failed(match input("error_data") {
            Value::Null => Value::from(format!(
                "The action raised an exception [action=Fail action, action_ex_id=00000000-0000-4000-8000-{:012x}, msg='Fail action expected exception.']",
                offer.run
            )),
            data => data,
        }),
        "test_dict" => done(test_dict(&input("size"), &input("key_prefix"), &input("val"))),
        "async_noop" => Answer { after_ms: 0, outcome: None },
        _ => failed(Value::from(format!("`{action}` is not offered here; use an action of a pack instead"))),
    })
}

fn done(result: Value) -> Answer {
    Answer { after_ms: 0, outcome: Some(Outcome::succeeded(result)) }
}

fn failed(result: Value) -> Answer {
    Answer { after_ms: 0, outcome: Some(Outcome { status: Status::Failed, result }) }
}

/// Seconds as milliseconds; what is no number counts as `default` seconds.
fn seconds(value: &Value, default: u64) -> u64 {
    match value {
        Value::Int(n) => u64::try_from(*n).unwrap_or(0).saturating_mul(1000),
        Value::Float(x) if *x > 0.0 => (*x * 1000.0) as u64,
        _ => default * 1000,
    }
}

/// The largest map that `std.test_dict` makes: it exists to make test data, not to fill the memory.
const MAX_TEST_KEYS: i64 = 100_000;

fn test_dict(size: &Value, prefix: &Value, val: &Value) -> Value {
    let size = size.as_int().unwrap_or(0).clamp(0, MAX_TEST_KEYS);
    let prefix = prefix.as_str().unwrap_or("");
    let val = if val.is_null() { Value::from("") } else { val.clone() };
    let map: Map = (0..size).map(|i| (format!("{prefix}{i}").into(), val.clone())).collect();
    Value::Map(Arc::new(map))
}
