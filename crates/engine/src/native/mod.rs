//! Actions that run inside the engine: their effect and their end are one commit, so they are never `abandoned`.
//!
//! To add one: a function in the module of its family and a line in [`find`].

mod datastore;
mod records;

use crate::event::Event;
use crate::report;
use crate::turn::{Effect, Turn};
use squall_content::Action;
use squall_model::{ExecutionId, Map, Outcome, Status, Value};

/// Runs a native action: `(turn, execution, runner parameters, action parameters)`.
pub(crate) type Native = fn(&mut Turn<'_>, ExecutionId, &Map, &Map) -> Outcome;

/// The native implementation of an action, if it has one.
pub(crate) fn find(action: &Action) -> Option<Native> {
    match action.runner.name {
        "noop" => return Some(noop),
        "announcement" => return Some(announcement),
        "native" => {}
        _ => return None,
    }
    Some(match &*action.reference.to_string() {
        "chatops.format_execution_result" => records::format_result,
        "chatops.match" => records::match_alias,
        "core.uuid" => records::uuid,
        "packs.get" => records::pack,
        "packs.info" => records::pack_origin,
        "packs.show" => records::pack_entry,
        "st2.actions.list" => records::actions,
        "st2.executions.get" => records::execution,
        "st2.executions.get_root" => records::root,
        "st2.executions.list" => records::executions,
        "st2.kv.delete" => datastore::kv_delete,
        "st2.kv.get" => datastore::kv_get,
        "st2.kv.get_object" => datastore::kv_get_object,
        "st2.kv.grep" => datastore::kv_grep,
        "st2.kv.grep_object" => datastore::kv_grep_object,
        "st2.kv.set" => datastore::kv_set,
        "st2.kv.set_object" => datastore::kv_set_object,
        "st2.rules.list" => records::rules,
        "st2.sensors.list" => records::sensors,
        _ => return None,
    })
}

fn noop(_: &mut Turn<'_>, _: ExecutionId, _: &Map, _: &Map) -> Outcome {
    Outcome::succeeded(Value::from_pairs([
        ("failed", Value::from(false)),
        ("succeeded", true.into()),
        ("return_code", 0.into()),
    ]))
}

/// Publishes its parameters under its route, and posts them when they are meant for chat.
fn announcement(turn: &mut Turn<'_>, id: ExecutionId, runner: &Map, own: &Map) -> Outcome {
    let route = runner.get("route").and_then(Value::as_str).unwrap_or("general").to_owned();
    if route.is_empty() || route.len() > 255 {
        return Outcome::failed(format!("a route has 1 to 255 characters, this one has {}", route.len()));
    }
    let payload = Value::from(own.clone());
    if turn.around.heard {
        let event = Value::from_pairs([("payload", payload.clone())]);
        turn.after_commit(Effect::Publish(Event::new(format!("st2.announcement__{route}"), event)));
    }
    if let Some(message) = report::announcement(turn, id, own) {
        turn.post(message);
    }
    let mut result = Map::new();
    result.insert("output".into(), payload);
    result.extend(own.iter().map(|(k, v)| (k.clone(), v.clone())));
    Outcome::succeeded(result.into())
}

// Results have the shape of a Python action's, which is what these were: workflows read `task(x).result.result`.

pub(crate) fn python(result: Value) -> Outcome {
    Outcome::succeeded(Value::from_pairs([
        ("result", result),
        ("exit_code", 0.into()),
        ("stdout", "".into()),
        ("stderr", "".into()),
    ]))
}

pub(crate) fn python_error(message: &str) -> Outcome {
    let result = Value::from_pairs([
        ("result", Value::Null),
        ("exit_code", 1.into()),
        ("stdout", "".into()),
        ("stderr", message.into()),
        ("error", message.into()),
    ]);
    Outcome { status: Status::Failed, result }
}

pub(crate) fn text<'a>(own: &'a Map, name: &str) -> &'a str {
    own.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn truthy(own: &Map, name: &str) -> bool {
    own.get(name).is_some_and(Value::is_truthy)
}
