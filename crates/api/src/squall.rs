//! `/v1/squall/…`: what squall can do and StackStorm has no word for. The command line lives on it.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::executions::{find, shown};
use crate::fault::Fault;
use crate::packs::counted;
use crate::payload::Payload;
use crate::query::Query;
use crate::{Reloaded, State, answer, tokens};
use axum::extract::Path;
use axum::response::Response;
use squall_content::{Diagnostic, Severity};
use squall_engine::limits::Limit;
use squall_engine::people::{Wish, authorize, hash_password};
use squall_engine::{Role, Via};
use squall_model::{Secret, Value, from_json};
use squall_store::{Batch, Op, User};
use std::time::Duration;

/// `POST /v1/squall/reload`: loads all content again.
pub(crate) async fn reload(api: State, caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePacks)?;
    let reloaded = api.admin().reload().await.map_err(Fault::bad)?;
    Ok(answer::ok(reported(&reloaded)))
}

/// `GET /v1/squall/diagnostics`: what the last load found.
pub(crate) async fn diagnostics(api: State, caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    Ok(answer::ok(reported(&api.admin().content())))
}

fn reported(reloaded: &Reloaded) -> Value {
    let all: Vec<Value> = reloaded.diagnostics.iter().map(diagnostic).collect();
    object([("counts", counted(reloaded)), ("diagnostics", all.into())])
}

fn diagnostic(of: &Diagnostic) -> Value {
    let severity = match of.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    object([
        ("severity", severity.into()),
        ("code", of.code.into()),
        ("message", of.message.as_str().into()),
        ("file", of.file.as_deref().into()),
        ("help", of.help.as_deref().into()),
        ("text", of.to_string().into()),
    ])
}

/// `GET /v1/squall/limits`: every bound, with what happens beyond it.
pub(crate) async fn limits(caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let one = |limit: &Limit| {
        object([("what", limit.what.into()), ("bound", limit.bound.into()), ("beyond", limit.beyond.into())])
    };
    let all = squall_engine::limits::ALL.iter().chain(crate::limits::ALL);
    Ok(answer::ok(all.map(one).collect::<Vec<_>>()))
}

/// How many facts one answer holds.
const FACTS: usize = 1_000;

/// `GET /v1/squall/executions/{id}/facts?from=0`: the log of a workflow, in order.
pub(crate) async fn facts(api: State, caller: Caller, query: Query, Path(id): Path<String>) -> Result<Response, Fault> {
    let execution = find(&api, &id, &caller, true)?;
    // A fact holds rendered inputs, secrets included.
    authorize(&caller.who, Wish::DecryptSystemItem)?;
    let from = u64::try_from(query.integer("from")?.unwrap_or(0)).unwrap_or(0);
    let facts = api.engine().store().facts(execution.id, from)?;
    let one = |fact: &squall_store::Fact| {
        let body =
            from_json(&fact.json, true).map_err(|e| Fault::broken(&format!("fact {} of {id}: {e}", fact.seq)))?;
        Ok(object([("seq", fact.seq.into()), ("at", fact.at.to_iso().into()), ("fact", body)]))
    };
    Ok(answer::ok(facts.iter().take(FACTS).map(one).collect::<Result<Vec<_>, Fault>>()?))
}

/// The longest wait: shorter than the time that a request may take.
const PATIENCE: i64 = 25;

/// `GET /v1/squall/executions/{id}/wait?timeout=25`: answers when it is final, or with its state then.
pub(crate) async fn wait(api: State, caller: Caller, query: Query, Path(id): Path<String>) -> Result<Response, Fault> {
    let execution = find(&api, &id, &caller, true)?;
    let seconds = query.integer("timeout")?.unwrap_or(PATIENCE).clamp(0, PATIENCE);
    let execution = api.engine().wait(execution.id, Duration::from_secs(seconds as u64)).await?;
    Ok(answer::ok(shown(&api, &execution, false)))
}

/// `POST /v1/squall/tokens` `{user?, ttl?}`: a token for oneself, or for others by whoever manages them.
pub(crate) async fn mint(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["user", "ttl"])?;
    let user = body.text("user")?.unwrap_or(&caller.who.user);
    if user != caller.who.user || matches!(caller.who.via, Via::Execution(_)) {
        authorize(&caller.who, Wish::ManagePeople)?;
    }
    if api.engine().store().user(user)?.is_none_or(|u| !u.active) {
        return Err(Fault::bad(format!("Could not locate user {user}")));
    }
    let minted = api.engine().mint(user, tokens::ttl(&api, &body)?, None, Value::map()).await?;
    Ok(answer::created(tokens::shown(user, minted.text.expose("handed to its owner"), minted.expires)))
}

/// `DELETE /v1/squall/tokens/current`: logs out.
pub(crate) async fn log_out(api: State, caller: Caller) -> Result<Response, Fault> {
    if let Some(credential) = &caller.credential {
        api.engine().revoke(&credential.text).await?;
    }
    Ok(answer::deleted())
}

/// The shortest password.
const PASSWORD: usize = 8;

/// `PUT /v1/squall/users/{name}` `{password?, role?, active?}`: makes or changes a user.
pub(crate) async fn put_user(
    api: State,
    caller: Caller,
    Path(name): Path<String>,
    body: Payload,
) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    plain(&name)?;
    body.only(&["password", "role", "active"])?;
    let old = api.engine().store().user(&name)?;
    let role =
        match body.text("role")? {
            None => None,
            Some(text) => Some(Role::parse(text).ok_or_else(|| {
                Fault::bad(format!("'{text}' is not one of ['guest', 'observer', 'operator', 'admin']"))
            })?),
        };
    let password = match body.text("password")? {
        None => old.as_ref().and_then(|u| u.password.clone()),
        Some(short) if short.chars().count() < PASSWORD => {
            return Err(Fault::bad(format!("a password has at least {PASSWORD} characters")));
        }
        Some(text) => {
            let (engine, text) = (api.engine().clone(), text.to_owned());
            let hash = tokio::task::spawn_blocking(move || hash_password(&text, engine.ids())).await;
            Some(Secret::new(hash.map_err(|e| Fault::broken(&format!("cannot hash: {e}")))??))
        }
    };
    let roles = role.map(|r| vec![r.as_str().to_owned()]).or(old.as_ref().map(|u| u.roles.clone())).unwrap_or_default();
    let active = body.boolean("active")?.or(old.as_ref().map(|u| u.active)).unwrap_or(true);
    let created = old.map_or_else(|| api.engine().now(), |u| u.created);
    let user = User { name: name.clone(), password, roles: roles.clone(), active, created };
    api.engine().store().commit(Batch::from(Op::PutUser(Box::new(user)))).await?;
    let roles: Vec<Value> = roles.into_iter().map(Value::from).collect();
    Ok(answer::ok(object([("name", name.into()), ("roles", roles.into()), ("active", active.into())])))
}

/// Names that mean something else, or that look like others, cannot be taken.
fn plain(name: &str) -> Result<(), Fault> {
    let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
    if name.is_empty() || name.len() > 64 || !name.chars().all(letters) {
        let text = "the name of a user has 1 to 64 characters: ASCII letters, digits, and . - _ @";
        return Err(Fault::bad(text));
    }
    let reserved = ["system", "root", squall_engine::people::SYSTEM_USER, squall_engine::people::CHAT_USER];
    if reserved.iter().any(|r| r.eq_ignore_ascii_case(name)) {
        return Err(Fault::bad(format!("the name `{name}` is reserved")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn names_of_people_are_plain() {
        for name in ["ann", "ann.b", "ops-1", "a@b.example"] {
            assert!(plain(name).is_ok(), "{name}");
        }
        for name in ["", "a:b", "Stanley", "root", "a b", "ａnn", "a\u{0}", &"x".repeat(65)] {
            assert!(plain(name).is_err(), "{name}");
        }
    }
}
