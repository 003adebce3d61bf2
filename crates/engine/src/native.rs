//! Actions that run inside the engine: their effect and their end are one commit, so they are never `abandoned`.
//!
//! To add one: a function here and a line in [`find`].

use crate::event::Event;
use crate::lookup::Datastore;
use crate::report;
use crate::turn::{Effect, Turn};
use squall_content::Action;
use squall_model::{ExecutionId, Map, Outcome, Status, Timestamp, Value, from_json, to_json};
use squall_store::{Item, ItemScope, Op, Page};
use std::time::Duration;

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
        "st2.kv.get" => kv_get,
        "st2.kv.set" => kv_set,
        "st2.kv.get_object" => kv_get_object,
        "st2.kv.set_object" => kv_set_object,
        "st2.kv.delete" => kv_delete,
        "st2.kv.grep" => kv_grep,
        "st2.kv.grep_object" => kv_grep_object,
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

// ---- datastore -----------------------------------------------------------------------------------------------------
// Results have the shape of a Python action's, which is what these were: workflows read `task(x).result.result`.

fn python(result: Value) -> Outcome {
    Outcome::succeeded(Value::from_pairs([
        ("result", result),
        ("exit_code", 0.into()),
        ("stdout", "".into()),
        ("stderr", "".into()),
    ]))
}

fn python_error(message: &str) -> Outcome {
    let result = Value::from_pairs([
        ("result", Value::Null),
        ("exit_code", 1.into()),
        ("stdout", "".into()),
        ("stderr", message.into()),
        ("error", message.into()),
    ]);
    Outcome { status: Status::Failed, result }
}

fn text<'a>(own: &'a Map, name: &str) -> &'a str {
    own.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn truthy(own: &Map, name: &str) -> bool {
    own.get(name).is_some_and(Value::is_truthy)
}

/// What a missing key says, in the words of the original pack.
const MISSING: &str = "Key does not exist";

fn read(turn: &Turn<'_>, name: &str, decrypt: bool) -> Result<Option<String>, String> {
    let data: Datastore<'_> = turn.datastore();
    let Some(item) = data.item(&ItemScope::System, name).map_err(|e| e.to_string())? else { return Ok(None) };
    if decrypt { data.clear_text(&item).map(Some) } else { Ok(Some(item.value)) }
}

fn kv_get(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    if truthy(own, "decompress") {
        return python_error("compressed items are not supported: store the value as it is");
    }
    match read(turn, text(own, "key"), truthy(own, "decrypt")) {
        Ok(Some(value)) => python(value.into()),
        Ok(None) => python_error(MISSING),
        Err(why) => python_error(&why),
    }
}

fn kv_get_object(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    match read(turn, text(own, "key"), truthy(own, "decrypt")) {
        Ok(Some(value)) => match from_json(&value, false) {
            Ok(value) => python(value),
            Err(e) => python_error(&format!("the value of `{}` is {e}", text(own, "key"))),
        },
        Ok(None) => python_error(MISSING),
        Err(why) => python_error(&why),
    }
}

fn kv_set(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    if truthy(own, "compress") {
        return python_error("compressed items are not supported: store the value as it is");
    }
    let value = own.get("value").cloned().unwrap_or_default();
    write(turn, own, text(own, "value").to_owned(), value)
}

fn kv_set_object(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let value = own.get("value").cloned().unwrap_or_default();
    write(turn, own, to_json(&value), value)
}

fn write(turn: &mut Turn<'_>, own: &Map, stored: String, shown: Value) -> Outcome {
    let now = turn.around.now;
    let ttl = own.get("ttl").and_then(Value::as_int).filter(|n| *n > 0);
    let expires: Option<Timestamp> = ttl.map(|n| now.after(Duration::from_secs(n as u64)));
    let item = Item {
        scope: ItemScope::System,
        name: text(own, "key").to_owned(),
        value: stored,
        secret: false,
        description: None,
        created: now,
        expires,
    };
    turn.overlay.borrow_mut().insert((item.scope.clone(), item.name.clone()), Some(item.clone()));
    turn.push(Op::SetItem { item: Box::new(item), now });
    python(Value::from_pairs([
        ("key", Value::from(text(own, "key"))),
        ("value", shown),
        ("ttl", own.get("ttl").cloned().unwrap_or_default()),
    ]))
}

fn kv_delete(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let name = text(own, "key").to_owned();
    match read(turn, &name, false) {
        Ok(None) => python(false.into()),
        Err(why) => python_error(&why),
        Ok(Some(_)) => {
            turn.overlay.borrow_mut().insert((ItemScope::System, name.clone()), None);
            turn.push(Op::DeleteItem { scope: ItemScope::System, name });
            python(true.into())
        }
    }
}

/// How many items a search looks at.
const GREP: u64 = 10_000;

fn grep(turn: &Turn<'_>, own: &Map, parse: bool) -> Outcome {
    let query = text(own, "query");
    let prefix = if truthy(own, "prefix") { query } else { "" };
    let page = Page { offset: 0, limit: GREP };
    let found = match turn.around.store.items(&ItemScope::System, prefix, turn.around.now, page) {
        Ok((items, _)) => items,
        Err(e) => return python_error(&e.to_string()),
    };
    let value = |item: &Item| {
        if parse { from_json(&item.value, false).unwrap_or_default() } else { Value::from(item.value.clone()) }
    };
    let hits = found.iter().filter(|i| i.name.contains(query)).map(|i| (i.name.as_str().into(), value(i)));
    python(Value::from(hits.collect::<Map>()))
}

fn kv_grep(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    grep(turn, own, false)
}

fn kv_grep_object(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    grep(turn, own, true)
}
