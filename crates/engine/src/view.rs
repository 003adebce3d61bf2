//! An execution as StackStorm's clients and templates know it: one value, made in one place.
//!
//! Secret parameters are masked here, so whatever is rendered from this value shows none.

use crate::Content;
use crate::event::Event;
use crate::settings::Settings;
use crate::turn::Surroundings;
use squall_content::{Action, Alias};
use squall_model::{Execution, MASK, Map, Status, Timestamp, Value};

/// The execution as the API answers it and as `result.format` sees it. Empty fields are left out.
pub fn execution(execution: &Execution, content: &Content, settings: &Settings) -> Value {
    let request = &execution.request;
    let action = content.registry().action(&request.action);
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| {
        if !value.is_null() {
            map.insert(key.into(), value);
        }
    };
    set("id", execution.id.to_string().into());
    set("status", execution.status.as_str().into());
    let released = released(execution);
    let start = released.unwrap_or(execution.created);
    set("start_timestamp", start.to_iso().into());
    set("held_at", released.map(|_| execution.created.to_iso()).into());
    set("end_timestamp", execution.ended.map(|t| t.to_iso()).into());
    set("elapsed_seconds", execution.ended.map(|t| t.since(start).as_secs_f64()).into());
    set("action", action_value(execution, action.map(|a| &**a)));
    set(
        "runner",
        Value::from_pairs([("name", Value::from(&*request.runner)), ("runner_module", (&*request.runner).into())]),
    );
    set("parameters", masked(&request.params, action.map(|a| &**a), content));
    set("context", execution.context().into());
    set("result", execution.result.clone());
    set("parent", execution.parent.map(|id| id.to_string()).into());
    set("log", log(execution));
    set("liveaction", live_action(execution));
    set("delay", (request.delay_ms > 0).then_some(request.delay_ms).into());
    set("web_url", web_url(execution, settings).into());
    map.into()
}

/// An alias as the API answers it and as templates see it.
pub fn alias(alias: &Alias) -> Value {
    let uid = alias_uid(alias);
    let mut map = Map::new();
    let mut set = |key: &str, value: Value| drop(map.insert(key.into(), value));
    set("id", object_id(&uid).into());
    set("uid", uid.into());
    set("ref", alias.reference.to_string().into());
    set("name", (&*alias.reference.name).into());
    set("pack", (&*alias.reference.pack).into());
    set("description", alias.description.clone().into());
    set("enabled", alias.enabled.into());
    set("action_ref", alias.action_ref.clone().into());
    set("formats", alias.formats.clone().into());
    set("ack", alias.ack.clone().unwrap_or_else(Value::map));
    set("result", alias.result.clone().unwrap_or_else(Value::map));
    set("extra", alias.extra.clone().unwrap_or_else(Value::map));
    set("immutable_parameters", alias.immutable_parameters.clone().unwrap_or_else(Value::map));
    set("metadata_file", alias.metadata_file.clone().into());
    map.into()
}

/// StackStorm's unique id of an alias.
pub fn alias_uid(alias: &Alias) -> String {
    format!("action_alias:{}:{}", alias.reference.pack, alias.reference.name)
}

/// The 24-digit id of a piece of content: made from its unique id, so that it is the same after every start.
pub fn object_id(uid: &str) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(uid.as_bytes()).iter().take(12).map(|b| format!("{b:02x}")).collect()
}

/// Where people look at it, when there is such a place.
pub fn web_url(execution: &Execution, settings: &Settings) -> Option<String> {
    settings.web_url.as_ref().map(|base| format!("{}/#/history/{}/general", base.trim_end_matches('/'), execution.id))
}

/// When a run that people were asked about was released: from then on it counts as started.
fn released(execution: &Execution) -> Option<Timestamp> {
    let held = execution.log.iter().position(|(_, status)| *status == Status::Pending)?;
    execution.log.iter().skip(held).find(|(_, status)| *status == Status::Requested).map(|(at, _)| *at)
}

fn action_value(execution: &Execution, action: Option<&Action>) -> Value {
    let request = &execution.request;
    let mut map = Map::new();
    map.insert("ref".into(), request.action.to_string().into());
    map.insert("name".into(), (&*request.action.name).into());
    map.insert("pack".into(), (&*request.action.pack).into());
    map.insert("uid".into(), format!("action:{}:{}", request.action.pack, request.action.name).into());
    map.insert("runner_type".into(), (&*request.runner).into());
    if let Some(action) = action {
        map.insert("description".into(), action.description.as_deref().into());
        map.insert("enabled".into(), action.enabled.into());
        map.insert("entry_point".into(), action.entry_point.to_string().into());
    }
    map.into()
}

/// Parameters with secrets masked. Those of an action that is gone are all masked, because nobody can tell any more.
pub fn masked(params: &Map, action: Option<&Action>, content: &Content) -> Value {
    match action {
        Some(action) => content.prepared(action).masked(params).into(),
        None => Value::from(params.keys().map(|name| (name.clone(), Value::from(MASK))).collect::<Map>()),
    }
}

fn log(execution: &Execution) -> Value {
    let entries = execution.log.iter().map(|(at, status)| {
        Value::from_pairs([("timestamp", Value::from(at.to_iso())), ("status", status.as_str().into())])
    });
    Value::from(entries.collect::<Vec<_>>())
}

fn live_action(execution: &Execution) -> Value {
    let request = &execution.request;
    let mut map = Map::new();
    map.insert("id".into(), execution.id.to_string().into());
    map.insert("action".into(), request.action.to_string().into());
    map.insert("action_is_workflow".into(), request.definition.is_some().into());
    if !request.notify.is_null() {
        map.insert("notify".into(), request.notify.clone());
    }
    map.into()
}

/// An event of the stream about an execution.
pub(crate) fn event(name: &str, of: &Execution, around: &Surroundings<'_>) -> Event {
    Event::new(name, execution(of, around.content, around.settings))
}
