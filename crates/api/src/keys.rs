//! `/v1/keys`: the datastore.

use crate::State;
use crate::answer;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::payload::Payload;
use crate::query::{MAX_PAGE, Query};
use axum::extract::Path;
use axum::response::Response;
use squall_engine::ItemWrite;
use squall_engine::people::{Wish, authorize};
use squall_engine::view::object_id;
use squall_model::{Map, Value};
use squall_store::{Item, ItemScope, Page, crypto};

/// What a scope in a request means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    System,
    User,
    All,
}

/// The prefix of full scope names.
const FULL: &str = "st2kv.";

fn wanted(text: Option<&str>) -> Option<Wanted> {
    match text.map(|t| t.strip_prefix(FULL).unwrap_or(t)) {
        None | Some("" | "system") => Some(Wanted::System),
        Some("user") => Some(Wanted::User),
        Some("all") => Some(Wanted::All),
        Some(_) => None,
    }
}

fn full_name(text: &str) -> String {
    if text.starts_with(FULL) { text.to_owned() } else { format!("{FULL}{text}") }
}

/// The scope of one item. Naming a user means that user's scope, and only oneself can be named.
fn scope(text: Option<&str>, user: Option<&str>, caller: &Caller) -> Result<ItemScope, Fault> {
    if user.is_some_and(|user| user != caller.who.user) {
        return Err(Fault::forbidden("\"user\" attribute can only be provided by admins when RBAC is enabled"));
    }
    match wanted(text) {
        Some(Wanted::User) => Ok(ItemScope::User(caller.who.user.clone())),
        Some(Wanted::System | Wanted::All) if user.is_some() && text.is_none() => {
            Ok(ItemScope::User(caller.who.user.clone()))
        }
        Some(Wanted::System | Wanted::All) => Ok(ItemScope::System),
        None => Err(Fault::bad(format!(
            "Scope {} is not in allowed scopes list: ['system', 'user', 'st2kv.system', 'st2kv.user'].",
            full_name(text.unwrap_or_default())
        ))),
    }
}

/// An item on the wire; `clear` tells that its value was decrypted.
fn shown(item: &Item, clear: bool) -> Value {
    let (scope, uid) = match &item.scope {
        ItemScope::System => ("st2kv.system", format!("key_value_pair:st2kv.system:{}", item.name)),
        ItemScope::User(user) => ("st2kv.user", format!("key_value_pair:st2kv.user:{user}:{}", item.name)),
    };
    let mut map = Map::new();
    let mut set = |name: &str, value: Value| drop(map.insert(name.into(), value));
    set("id", object_id(&uid).into());
    set("uid", uid.into());
    set("scope", scope.into());
    set("name", item.name.as_str().into());
    set("value", item.value.as_str().into());
    set("secret", item.secret.into());
    set("encrypted", (item.secret && !clear).into());
    if let ItemScope::User(user) = &item.scope {
        set("user", user.as_str().into());
    }
    if let Some(text) = &item.description {
        set("description", text.as_str().into());
    }
    if let Some(at) = item.expires {
        set("expire_timestamp", at.to_iso().into());
    }
    map.into()
}

fn missing(scope: &ItemScope, name: &str) -> Fault {
    let named = match scope {
        ItemScope::System => name.to_owned(),
        ItemScope::User(user) => format!("{user}:{name}"),
    };
    Fault::missing(format!("The key \"{named}\" does not exist in the StackStorm datastore."))
}

/// `GET /v1/keys`. With `scope=all` the limit holds for each part; there are no counts.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let text = query.filled("scope");
    let user = query.filled("user");
    let decrypt = query.is_set("decrypt")?;
    let paging = query.paging(Some(MAX_PAGE), caller.is_admin())?;
    let own = scope(Some("user"), user, &caller)?;
    let scopes = match wanted(text) {
        Some(Wanted::System) if user.is_some() && text.is_none() => vec![own],
        Some(Wanted::System) => vec![ItemScope::System],
        Some(Wanted::User) => vec![own],
        Some(Wanted::All) => vec![ItemScope::System, own],
        None => return Err(Fault::bad(format!("Invalid scope: {}", full_name(text.unwrap_or_default())))),
    };
    let prefix = query.get("prefix").unwrap_or_default();
    let page = Page { offset: paging.offset, limit: paging.limit.unwrap_or(crate::limits::UNPAGED_ROWS) };
    let named = query.filled("name");
    let mut rows = Vec::new();
    for scope in scopes {
        let (items, _) = api.engine().items(&scope, prefix, decrypt, page, &caller.who)?;
        let kept = items.iter().filter(|i| named.is_none_or(|name| i.name == name));
        rows.extend(kept.map(|i| shown(i, decrypt)));
    }
    Ok(answer::ok(rows))
}

/// `GET /v1/keys/{name}`.
pub(crate) async fn one(api: State, caller: Caller, query: Query, Path(name): Path<String>) -> Result<Response, Fault> {
    let scope = scope(query.filled("scope"), query.filled("user"), &caller)?;
    let decrypt = query.is_set("decrypt")?;
    let item = api.engine().item(&scope, &name, decrypt, &caller.who)?;
    item.map(|item| answer::ok(shown(&item, decrypt))).ok_or_else(|| missing(&scope, &name))
}

/// `PUT /v1/keys/{name}`: 200, also when it is new. The name in the path counts.
pub(crate) async fn put(
    api: State,
    caller: Caller,
    query: Query,
    Path(name): Path<String>,
    body: Payload,
) -> Result<Response, Fault> {
    let value = body.required_text("value")?;
    let text = body.text("scope")?.or(query.filled("scope"));
    let scope = scope(text, body.text("user")?.or(query.filled("user")), &caller)?;
    let is_encrypted = body.boolean("encrypted")?.unwrap_or(false);
    let value = if is_encrypted { decrypted(&api, &caller, &name, value)? } else { value.to_owned() };
    let write = ItemWrite {
        scope,
        name,
        value,
        secret: is_encrypted || body.boolean("secret")?.unwrap_or(false),
        ttl: body.integer("ttl")?.map(|seconds| u64::try_from(seconds).unwrap_or(0)),
        description: body.text("description")?.map(str::to_owned),
    };
    let item = api.engine().put_item(write, &caller.who).await?;
    Ok(answer::ok(shown(&item, false)))
}

/// A value that came encrypted: proof that it was made with our key.
fn decrypted(api: &State, caller: &Caller, name: &str, value: &str) -> Result<String, Fault> {
    authorize(&caller.who, Wish::DecryptSystemItem)?;
    let key = api.engine().settings().datastore_key.as_ref();
    let key =
        key.ok_or_else(|| Fault::bad("Crypto key not found. Unable to verify the value; no datastore key is loaded"))?;
    crypto::decrypt(key, value).map_err(|_| {
        Fault::bad(format!(
            "Failed to verify the integrity of the provided value for key \"{name}\". Ensure that the value is encrypted with the correct key and not corrupted."
        ))
    })
}

/// `DELETE /v1/keys/{name}`.
pub(crate) async fn delete(
    api: State,
    caller: Caller,
    query: Query,
    Path(name): Path<String>,
) -> Result<Response, Fault> {
    let scope = scope(query.filled("scope"), query.filled("user"), &caller)?;
    if api.engine().delete_item(&scope, &name, &caller.who).await? {
        Ok(answer::deleted())
    } else {
        Err(missing(&scope, &name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_engine::{Principal, Role, Via};

    fn ann() -> Caller {
        let who = Principal { user: "ann".into(), role: Role::Operator, via: Via::Token };
        Caller { who, credential: None, expires: None, claimed: None }
    }

    #[track_caller]
    fn check(text: Option<&str>, user: Option<&str>, expected: Result<ItemScope, (u16, &str)>) {
        let got = scope(text, user, &ann());
        assert_eq!(got.as_ref().map_err(|f| (f.status().as_u16(), f.text())), expected.as_ref().map_err(|e| *e));
    }

    #[test]
    fn scopes_have_short_and_full_names() {
        for text in [None, Some("system"), Some("st2kv.system"), Some("all")] {
            check(text, None, Ok(ItemScope::System));
        }
        for text in [Some("user"), Some("st2kv.user")] {
            check(text, None, Ok(ItemScope::User("ann".into())));
        }
        check(None, Some("ann"), Ok(ItemScope::User("ann".into())));
        let bad = "Scope st2kv.bogus is not in allowed scopes list: ['system', 'user', 'st2kv.system', 'st2kv.user'].";
        check(Some("bogus"), None, Err((400, bad)));
        check(Some("st2kv.bogus"), None, Err((400, bad)));
    }

    #[test]
    fn nobody_names_somebody_else() {
        let text = "\"user\" attribute can only be provided by admins when RBAC is enabled";
        check(Some("user"), Some("bob"), Err((403, text)));
        check(Some("system"), Some("bob"), Err((403, text)));
    }
}
