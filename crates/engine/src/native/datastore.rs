//! The datastore actions of the `st2` pack: `st2.kv.*`, in the system scope, as the original pack used it.

use super::{python, python_error, text, truthy};
use crate::asking;
use crate::people::{Role, SYSTEM_USER, role_of};
use crate::turn::Turn;
use squall_model::{ExecutionId, Map, Outcome, Timestamp, Value, from_json, to_json};
use squall_store::{Item, ItemScope, Op, Page};
use std::time::Duration;

/// What a missing key says, in the words of the original pack.
const MISSING: &str = "Key does not exist";

fn read(turn: &Turn<'_>, name: &str) -> Result<Option<Item>, String> {
    turn.datastore().item(&ItemScope::System, name).map_err(|e| e.to_string())
}

/// What is read in clear by a workflow was decided by whoever installed it; by itself, the action reads what its user may.
fn read_for(turn: &Turn<'_>, id: ExecutionId, own: &Map) -> Result<Option<String>, String> {
    let name = text(own, "key");
    let Some(item) = read(turn, name)? else { return Ok(None) };
    if !truthy(own, "decrypt") {
        return Ok(Some(item.value));
    }
    let run = turn.tree.executions.get(&id).filter(|run| item.secret && run.parent.is_none());
    if let Some(user) = run.map(asking::user).filter(|user| !may_decrypt(turn, user)) {
        return Err(format!(
            "`{user}` may not see the secret datastore item `{name}` in clear: this needs the role `admin`; a workflow of a pack \
             may read it"
        ));
    }
    turn.datastore().clear_text(&item).map(Some)
}

fn may_decrypt(turn: &Turn<'_>, user: &str) -> bool {
    let account = || turn.around.store.user(user).ok().flatten().filter(|account| account.active);
    user == SYSTEM_USER || account().is_some_and(|account| role_of(&account) >= Role::Admin)
}

pub(super) fn kv_get(turn: &mut Turn<'_>, id: ExecutionId, _: &Map, own: &Map) -> Outcome {
    if truthy(own, "decompress") {
        return python_error("compressed items are not supported: store the value as it is");
    }
    match read_for(turn, id, own) {
        Ok(Some(value)) => python(value.into()),
        Ok(None) => python_error(MISSING),
        Err(why) => python_error(&why),
    }
}

pub(super) fn kv_get_object(turn: &mut Turn<'_>, id: ExecutionId, _: &Map, own: &Map) -> Outcome {
    match read_for(turn, id, own) {
        Ok(Some(value)) => match from_json(&value, false) {
            Ok(value) => python(value),
            Err(e) => python_error(&format!("the value of `{}` is {e}", text(own, "key"))),
        },
        Ok(None) => python_error(MISSING),
        Err(why) => python_error(&why),
    }
}

pub(super) fn kv_set(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    if truthy(own, "compress") {
        return python_error("compressed items are not supported: store the value as it is");
    }
    let value = own.get("value").cloned().unwrap_or_default();
    write(turn, own, text(own, "value").to_owned(), value)
}

pub(super) fn kv_set_object(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
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

pub(super) fn kv_delete(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    let name = text(own, "key").to_owned();
    match read(turn, &name) {
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

pub(super) fn kv_grep(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    grep(turn, own, false)
}

pub(super) fn kv_grep_object(turn: &mut Turn<'_>, _: ExecutionId, _: &Map, own: &Map) -> Outcome {
    grep(turn, own, true)
}
