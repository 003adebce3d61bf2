//! `/v1/squall/…`: what squall can do and StackStorm has no word for. The command line lives on it.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::executions::{find, shown};
use crate::fault::Fault;
use crate::packs::{bring_back, counted};
use crate::payload::Payload;
use crate::query::Query;
use crate::{Reloaded, State, answer, tokens};
use axum::extract::Path;
use axum::response::Response;
use squall_content::{Diagnostic, Severity};
use squall_engine::limits::Limit;
use squall_engine::people::{Wish, authorize};
use squall_model::{Value, from_json};
use std::time::Duration;

/// `POST /v1/squall/reload`: loads all content again.
pub(crate) async fn reload(api: State, caller: Caller) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePacks)?;
    bring_back(&api, &[])?;
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

/// `GET /v1/squall/policy/problems`: what is wrong with confirmations as they are declared, the people as they are now.
pub(crate) async fn policy_problems(api: State, caller: Caller) -> Result<Response, Fault> {
    let found = api.engine().policy_problems(&caller.who)?;
    Ok(answer::ok(found.iter().map(diagnostic).collect::<Vec<_>>()))
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

/// `POST /v1/squall/tokens` `{user?, ttl?, agent?}`: a token for oneself, or for others by whoever manages them. With
/// `agent` it is for a program of that name, which never answers confirmations.
pub(crate) async fn mint(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["user", "ttl", "agent"])?;
    let user = body.text("user")?.unwrap_or(&caller.who.user);
    let ttl = tokens::ttl(&api, &body)?;
    let minted = api.engine().mint_for(user, ttl, body.text("agent")?, &caller.who).await?;
    Ok(answer::created(tokens::shown(user, minted.text.expose("handed to its owner"), minted.expires)))
}

/// `DELETE /v1/squall/tokens/current`: logs out.
pub(crate) async fn log_out(api: State, caller: Caller) -> Result<Response, Fault> {
    if let Some(credential) = &caller.credential {
        api.engine().revoke(&credential.text, &caller.who).await?;
    }
    Ok(answer::deleted())
}
