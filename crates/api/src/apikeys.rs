//! `/v1/apikeys`: keys that do not expire. A key is shown once; after that only whose it is and whether it works.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::payload::{Is, Payload};
use crate::query::Query;
use crate::{State, answer};
use axum::Router;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use squall_engine::Wish;
use squall_engine::people::{NewKey, authorize};
use squall_model::Value;
use squall_store::ApiKey;

/// Every route of this file.
pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/api/apikeys", get(list).post(create))
        .route("/api/apikeys/{id}", get(one).put(change).delete(remove))
}

const MASK: &str = "********";

fn shown(key: &ApiKey, clear: bool) -> Value {
    let hash = if clear { key.hash.as_str() } else { MASK };
    let uid = if clear { format!("api_key:{}", key.hash) } else { MASK.to_owned() };
    object([
        ("id", key.id.as_str().into()),
        ("uid", uid.into()),
        ("user", key.user.as_str().into()),
        ("key_hash", hash.into()),
        ("metadata", key.metadata.clone()),
        ("created_at", key.created.to_iso().into()),
        ("enabled", key.enabled.into()),
    ])
}

/// Whether hashes may be shown.
fn clear(query: &Query, caller: &Caller) -> Result<bool, Fault> {
    Ok(query.is_set("show_secrets")? && authorize(&caller.who, Wish::ManagePeople).is_ok())
}

/// `GET /v1/apikeys`: one's own, or everybody's for whoever manages people.
async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let paging = query.paging(Some(50), caller.is_admin())?;
    let clear = clear(&query, &caller)?;
    let user = query.filled("user");
    let keys = api.engine().keys(&caller.who)?;
    let found: Vec<Value> = keys.iter().filter(|k| user.is_none_or(|u| u == k.user)).map(|k| shown(k, clear)).collect();
    let total = found.len() as u64;
    let limit = paging.limit.map_or(usize::MAX, |n| n as usize);
    Ok(answer::list(found.into_iter().skip(paging.offset as usize).take(limit).collect(), total, paging.limit))
}

/// `POST /v1/apikeys` `{user?, metadata?, enabled?, key_hash?}`: 201 with the key, this once.
async fn create(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["id", "uid", "user", "metadata", "enabled", "key_hash", "created_at"])?;
    let new = NewKey {
        user: body.text("user")?.unwrap_or(&caller.who.user).to_owned(),
        enabled: body.boolean("enabled")?.unwrap_or(true),
        metadata: body.optional("metadata", Is::Object)?.cloned().unwrap_or_else(Value::map),
        hash: body.text("key_hash")?.map(str::to_ascii_lowercase),
    };
    let (key, text) = api.engine().make_key(new, &caller.who).await?;
    let text = text.map(|text| text.expose("shown once to its owner").clone());
    Ok(answer::created(object([
        ("id", key.id.as_str().into()),
        ("uid", format!("api_key:{}", key.hash).into()),
        ("user", key.user.as_str().into()),
        ("metadata", key.metadata),
        ("created_at", key.created.to_iso().into()),
        ("enabled", key.enabled.into()),
        ("key", text.into()),
    ])))
}

/// `GET /v1/apikeys/{id or hash}`
async fn one(api: State, caller: Caller, query: Query, Path(id): Path<String>) -> Result<Response, Fault> {
    let found = api.engine().key(&id, &caller.who)?;
    let key = found.ok_or_else(|| Fault::missing(format!("ApiKey matching {id} for reference and id not found.")))?;
    Ok(answer::ok(shown(&key, clear(&query, &caller)?)))
}

fn unknown(id: &str) -> Fault {
    Fault::missing(format!("ApiKey with key or id={id} not found."))
}

/// `PUT /v1/apikeys/{id}`: clients send the masked object back, so of hash and owner the stored ones stay.
async fn change(api: State, caller: Caller, Path(id): Path<String>, body: Payload) -> Result<Response, Fault> {
    let mut key = api.engine().key(&id, &caller.who)?.ok_or_else(|| unknown(&id))?;
    if body.text("user")?.is_some_and(|user| user != key.user) {
        return Err(Fault::bad("an API key stays with its user; make another one"));
    }
    key.enabled = body.boolean("enabled")?.unwrap_or(key.enabled);
    if let Some(metadata) = body.optional("metadata", Is::Object)? {
        // A key of an agent stays one, whatever is written over it.
        let was_agent = key.metadata.get("actor").is_some();
        let mut map = metadata.as_map().cloned().unwrap_or_default();
        for field in ["actor", "agent"].iter().filter(|_| was_agent) {
            if let Some(value) = key.metadata.get(field) {
                map.insert((*field).into(), value.clone());
            }
        }
        key.metadata = map.into();
    }
    api.engine().change_key(&key, &caller.who).await?;
    Ok(answer::ok(shown(&key, false)))
}

/// `DELETE /v1/apikeys/{id}`
async fn remove(api: State, caller: Caller, Path(id): Path<String>) -> Result<Response, Fault> {
    let key = api.engine().key(&id, &caller.who)?.ok_or_else(|| unknown(&id))?;
    api.engine().delete_key(&key, &caller.who).await?;
    Ok(answer::deleted())
}
