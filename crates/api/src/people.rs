//! `/v1/squall/users`, `roles`, `links`, `factor`: who there is, what they may, who they are in chat, what proves it.
//!
//! What somebody may do here is decided by the engine. No answer holds a password, its hash, or the secret of a second
//! factor, except the one that makes a factor.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::payload::{Is, Payload};
use crate::query::Query;
use crate::{State, answer};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post, put};
use squall_engine::confirmation::Identity;
use squall_engine::people::{Account, Make, NotProved, UserChange, hash_password};
use squall_engine::{Role, Wish, authorize};
use squall_model::{Secret, Value};
use squall_store::{Linked, Page, User};
use std::collections::BTreeMap;

/// Every route of this file.
pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/api/squall/users", get(list).post(create))
        .route("/api/squall/users/{name}", get(one).put(put_user).delete(remove))
        .route("/api/squall/users/{name}/password", post(password))
        .route("/api/squall/users/{name}/roles/{role}", put(grant).delete(revoke))
        .route("/api/squall/roles", get(roles))
        .route("/api/squall/factor", post(enrol).put(confirm_factor))
        .route("/api/squall/factor/removal", post(remove_factor))
        .route("/api/squall/links", get(links).put(link).post(link_by_code).delete(unlink))
}

/// The shortest password.
const PASSWORD: usize = 8;

fn texts(names: &[String]) -> Value {
    names.iter().map(|name| Value::from(name.as_str())).collect::<Vec<_>>().into()
}

fn shown(user: &User) -> Value {
    object([
        ("name", user.name.as_str().into()),
        ("shown", user.shown.clone().into()),
        ("roles", texts(&user.roles)),
        ("groups", texts(&user.groups)),
        ("active", user.active.into()),
        ("has_password", user.password.is_some().into()),
        ("created", user.created.to_iso().into()),
    ])
}

fn whole(account: &Account) -> Value {
    let mut value = shown(&account.user).as_map().cloned().unwrap_or_default();
    let factor = match account.factor {
        None => "none",
        Some(false) => "waits for its first code",
        Some(true) => "active",
    };
    value.insert("factor".into(), factor.into());
    value.insert("links".into(), account.linked.iter().map(linked).collect::<Vec<_>>().into());
    value.into()
}

fn linked(row: &Linked) -> Value {
    object([
        ("network", row.network.as_str().into()),
        ("workspace", Some(row.workspace.as_str()).filter(|w| !w.is_empty()).into()),
        ("user_id", row.user_id.as_str().into()),
        ("user", row.user.as_str().into()),
        ("linked", row.linked.to_iso().into()),
        ("how", row.how.as_str().into()),
    ])
}

/// `GET /v1/squall/users?role=&active=`: by name.
async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let paging = query.paging(Some(100), true)?;
    let active = query.boolean("active")?;
    let role = query.filled("role");
    if role.is_none() && active.is_none() {
        let page = Page { offset: paging.offset, limit: paging.limit.unwrap_or(crate::limits::UNPAGED_ROWS) };
        let (users, total) = api.engine().users(page, &caller.who)?;
        return Ok(answer::list(users.iter().map(shown).collect(), total, paging.limit));
    }
    let all = Page { offset: 0, limit: crate::limits::UNPAGED_ROWS };
    let (users, _) = api.engine().users(all, &caller.who)?;
    let fits = |u: &&User| {
        role.is_none_or(|role| u.roles.iter().any(|r| r == role)) && active.is_none_or(|active| u.active == active)
    };
    let found: Vec<Value> = users.iter().filter(fits).map(shown).collect();
    let total = found.len() as u64;
    let limit = paging.limit.map_or(usize::MAX, |n| n as usize);
    Ok(answer::list(found.into_iter().skip(paging.offset as usize).take(limit).collect(), total, paging.limit))
}

/// `GET /v1/squall/users/{name}`: oneself, or anybody for whoever manages people.
async fn one(api: State, caller: Caller, Path(name): Path<String>) -> Result<Response, Fault> {
    Ok(answer::ok(whole(&api.engine().account(&name, &caller.who)?)))
}

const FIELDS: &[&str] = &["name", "password", "role", "roles", "groups", "shown", "active"];

/// `POST /v1/squall/users` `{name, password?, roles?, groups?, shown?, active?}`: a new user.
async fn create(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    body.only(FIELDS)?;
    let name = body.required_text("name")?.to_owned();
    let change = change(&api, &body, None).await?;
    let user = api.engine().change_user(&name, Make::New, change, &caller.who).await?;
    Ok(answer::created(shown(&user)))
}

/// `PUT /v1/squall/users/{name}` with the same fields: makes or changes a user.
async fn put_user(api: State, caller: Caller, Path(name): Path<String>, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    body.only(FIELDS)?;
    let was = api.engine().store().user(&name)?;
    let change = change(&api, &body, was.as_ref()).await?;
    let user = api.engine().change_user(&name, Make::Either, change, &caller.who).await?;
    Ok(answer::ok(shown(&user)))
}

async fn change(api: &State, body: &Payload, was: Option<&User>) -> Result<UserChange, Fault> {
    let names = |field: &str| -> Result<Option<Vec<String>>, Fault> {
        let given = body.optional(field, Is::Array)?.is_some();
        let names = body.texts(field)?.into_iter().map(str::to_owned).collect();
        Ok(given.then_some(names))
    };
    let mut roles = names("roles")?;
    if let Some(text) = body.text("role")? {
        let role = Role::parse(text)
            .ok_or_else(|| Fault::bad(format!("'{text}' is not one of ['guest', 'observer', 'operator', 'admin']")))?;
        // One of the four instead of the others of the four; free roles stay.
        let free = roles.or_else(|| was.map(|u| u.roles.clone())).unwrap_or_default();
        let free = free.into_iter().filter(|r| Role::parse(r).is_none());
        roles = Some(free.chain([role.as_str().to_owned()]).collect());
    }
    Ok(UserChange {
        password: match body.text("password")? {
            None => None,
            Some(text) => Some(hashed(api, text).await?),
        },
        roles,
        groups: names("groups")?,
        shown: body.optional("shown", Is::Text)?.and_then(Value::as_str).map(str::to_owned),
        active: body.boolean("active")?,
    })
}

/// The hash of a new password, made where blocking is fine.
async fn hashed(api: &State, password: &str) -> Result<Secret<String>, Fault> {
    if password.chars().count() < PASSWORD {
        return Err(Fault::bad(format!("a password has at least {PASSWORD} characters")));
    }
    let (engine, text) = (api.engine().clone(), password.to_owned());
    let hash = tokio::task::spawn_blocking(move || hash_password(&text, engine.ids())).await;
    Ok(Secret::new(hash.map_err(|e| Fault::broken(&format!("cannot hash: {e}")))??))
}

/// `DELETE /v1/squall/users/{name}`
async fn remove(api: State, caller: Caller, Path(name): Path<String>) -> Result<Response, Fault> {
    api.engine().delete_user(&name, &caller.who).await?;
    Ok(answer::deleted())
}

/// `POST /v1/squall/users/{name}/password` `{password, old?}`: one's own with the old one, another's by whoever manages
/// people. All tokens of the user end.
async fn password(api: State, caller: Caller, Path(name): Path<String>, body: Payload) -> Result<Response, Fault> {
    body.only(&["password", "old"])?;
    let new = body.required_text("password")?;
    if let (true, Some(old)) = (name == caller.who.user, body.text("old")?) {
        authorize(&caller.who, Wish::Credentials { owner: &name })?;
        let right = api.inner.logins.check(api.engine(), &name, old, None).await?;
        if right.is_none() {
            return Err(Fault::forbidden("the old password is wrong"));
        }
        api.engine().change_own_password(hashed(&api, new).await?, &caller.who).await?;
    } else {
        authorize(&caller.who, Wish::ManagePeople)?;
        let change = UserChange { password: Some(hashed(&api, new).await?), ..UserChange::default() };
        api.engine().change_user(&name, Make::Change, change, &caller.who).await?;
    }
    Ok(answer::ok(object([("name", name.into())])))
}

/// `PUT /v1/squall/users/{name}/roles/{role}`
async fn grant(api: State, caller: Caller, Path((name, role)): Path<(String, String)>) -> Result<Response, Fault> {
    let changed = api.engine().grant_role(&name, &role, &caller.who).await?;
    Ok(answer::ok(object([("name", name.into()), ("role", role.into()), ("changed", changed.into())])))
}

/// `DELETE /v1/squall/users/{name}/roles/{role}`
async fn revoke(api: State, caller: Caller, Path((name, role)): Path<(String, String)>) -> Result<Response, Fault> {
    let changed = api.engine().revoke_role(&name, &role, &caller.who).await?;
    Ok(answer::ok(object([("name", name.into()), ("role", role.into()), ("changed", changed.into())])))
}

/// `GET /v1/squall/roles`: every role with its members; the four that say what somebody may do are always there.
async fn roles(api: State, caller: Caller) -> Result<Response, Fault> {
    let all = Page { offset: 0, limit: crate::limits::UNPAGED_ROWS };
    let (users, _) = api.engine().users(all, &caller.who)?;
    let built_in = [Role::Guest, Role::Observer, Role::Operator, Role::Admin];
    let mut members: BTreeMap<&str, Vec<Value>> = built_in.iter().map(|r| (r.as_str(), Vec::new())).collect();
    for user in &users {
        for role in &user.roles {
            members.entry(role).or_default().push(user.name.as_str().into());
        }
    }
    let one = |(name, members): (&str, Vec<Value>)| {
        object([("name", name.into()), ("built_in", Role::parse(name).is_some().into()), ("members", members.into())])
    };
    Ok(answer::ok(members.into_iter().map(one).collect::<Vec<_>>()))
}

// ---- second factor -------------------------------------------------------------------------------------------------

impl From<NotProved> for Fault {
    fn from(why: NotProved) -> Fault {
        let text = why.to_string();
        match why {
            NotProved::None | NotProved::Wrong => Fault::new(StatusCode::PRECONDITION_REQUIRED, text),
            NotProved::TooMany(seconds) => Fault::later(StatusCode::TOO_MANY_REQUESTS, seconds, text),
            NotProved::Refused(refusal) => refusal.into(),
        }
    }
}

/// `POST /v1/squall/factor` `{code?}`: a new second factor of the caller, shown once.
async fn enrol(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["code"])?;
    let enrolled = api.engine().enrol(body.text("code")?, &caller.who).await?;
    Ok(answer::created(object([
        ("user", caller.who.user.as_str().into()),
        ("secret", enrolled.secret.expose("shown once to its owner").as_str().into()),
        ("uri", enrolled.uri.expose("shown once to its owner").as_str().into()),
    ])))
}

/// `PUT /v1/squall/factor` `{code}`: the first code of a new factor; from now on it counts.
async fn confirm_factor(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["code"])?;
    api.engine().confirm_factor(body.required_text("code")?, &caller.who).await?;
    Ok(answer::ok(object([("user", caller.who.user.as_str().into()), ("factor", "active".into())])))
}

/// `POST /v1/squall/factor/removal` `{user?, code?}`
async fn remove_factor(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["user", "code"])?;
    let user = body.text("user")?.unwrap_or(&caller.who.user);
    api.engine().remove_factor(user, body.text("code")?, &caller.who).await?;
    Ok(answer::deleted())
}

// ---- links ---------------------------------------------------------------------------------------------------------

/// `GET /v1/squall/links`: one's own, or everybody's for whoever manages people.
async fn links(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let paging = query.paging(Some(100), true)?;
    let page = Page { offset: paging.offset, limit: paging.limit.unwrap_or(crate::limits::UNPAGED_ROWS) };
    let (rows, total) = api.engine().links(page, &caller.who)?;
    Ok(answer::list(rows.iter().map(linked).collect(), total, paging.limit))
}

/// `PUT /v1/squall/links` `{network, workspace?, user_id, user}`: says that somebody on a chat network is a squall user.
async fn link(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    body.only(&["network", "workspace", "user_id", "user"])?;
    let identity = Identity {
        network: body.required_text("network")?.to_owned(),
        workspace: body.text("workspace")?.map(str::to_owned),
        user_id: body.required_text("user_id")?.to_owned(),
    };
    let user = body.required_text("user")?;
    api.engine().link(&identity, user, &caller.who).await?;
    Ok(answer::ok(told(&identity, user)))
}

/// `POST /v1/squall/links` `{code}`: the code that `!link` gave in chat, with the caller's token.
async fn link_by_code(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    body.only(&["code"])?;
    let identity = api.engine().link_by_code(body.required_text("code")?, &caller.who).await?;
    Ok(answer::created(told(&identity, &caller.who.user)))
}

/// `DELETE /v1/squall/links?network=&workspace=&user_id=`
async fn unlink(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let needed = |name: &str| {
        let value = query.filled(name).map(str::to_owned);
        value.ok_or_else(|| Fault::bad(format!("the query parameter `{name}` is needed")))
    };
    let workspace = query.filled("workspace").map(str::to_owned);
    let identity = Identity { network: needed("network")?, workspace, user_id: needed("user_id")? };
    let user = api.engine().unlink(&identity, &caller.who).await?;
    Ok(answer::ok(told(&identity, &user)))
}

fn told(identity: &Identity, user: &str) -> Value {
    object([
        ("network", identity.network.as_str().into()),
        ("workspace", identity.workspace.clone().into()),
        ("user_id", identity.user_id.as_str().into()),
        ("user", user.into()),
    ])
}
