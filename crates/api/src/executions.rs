//! `/v1/executions`: asking for runs, looking at them, steering them.

use crate::State;
use crate::answer;
use crate::attributes::{Attributes, Rules};
use crate::clothes::{Wardrobe, json_size};
use crate::confirmations;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::limits::{SCANNED_ROWS, UNPAGED_ROWS};
use crate::listing::ids;
use crate::payload::{Is, Payload};
use crate::query::{self, Paging, Query};
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::stream;
use squall_engine::confirmation::Record;
use squall_engine::confirmation::record::Kind;
use squall_engine::history::{self, Wanted};
use squall_engine::people::{Wish, authorize};
use squall_engine::{OnHold, Principal, Refusal, Request, Rerun, Role, view};
use squall_model::{
    ActionRef, Execution, ExecutionId, Map, Status, Timestamp, Value, from_json, to_json, to_json_pretty,
};
use squall_store::{Filter, Order, Page};
use std::collections::BTreeSet;
use std::time::Duration;

const RULES: Rules = Rules {
    known: &[
        "id",
        "status",
        "start_timestamp",
        "end_timestamp",
        "action",
        "runner",
        "liveaction",
        "parameters",
        "context",
        "result",
        "result_size",
        "log",
        "web_url",
        "parent",
        "children",
        "workflow_execution",
        "task_execution",
        "delay",
        "rule",
        "trigger",
        "trigger_type",
        "trigger_instance",
    ],
    always: &["id"],
    excludable: &["result", "trigger_instance", "status"],
    along: &[
        ("action", &["parameters", "output_schema", "pack", "uid"]),
        ("runner", &["runner_parameters", "output_key"]),
    ],
};

/// The largest result that a client may ask to have inline.
const MAX_RESULT_SIZE: i64 = 14_680_064;

/// An execution as this caller may see it.
pub(crate) fn shown(api: &State, execution: &Execution, clear: bool) -> Value {
    let content = api.engine().content();
    let settings = api.engine().settings();
    let plain = view::execution(execution, &content, settings);
    let wardrobe = Wardrobe { registry: content.registry(), web: &api.settings().public_url, host: &settings.worker };
    wardrobe.execution(
        execution,
        children_ids(api, execution.id, execution.request.definition.is_some()),
        clear,
        &plain,
    )
}

/// The engine's view of an execution in an event, dressed.
pub(crate) fn shown_event(api: &State, plain: &Value) -> Value {
    let content = api.engine().content();
    let settings = api.engine().settings();
    let wardrobe = Wardrobe { registry: content.registry(), web: &api.settings().public_url, host: &settings.worker };
    let id = plain.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    let is_workflow = plain.at(&["liveaction", "action_is_workflow"]).is_some_and(Value::is_truthy);
    let children = id.map(|id| children_ids(api, id, is_workflow)).unwrap_or_default();
    wardrobe.dress(plain, children, false)
}

/// Children are left out when they cannot be read: the execution itself is worth more.
fn children_ids(api: &State, id: ExecutionId, is_workflow: bool) -> Vec<Value> {
    if !is_workflow {
        return Vec::new();
    }
    let children = api.engine().store().children(id).unwrap_or_default();
    children.into_iter().map(|id| Value::from(id.to_string())).collect()
}

/// Whether secrets may be shown: somebody asks for it who may see them.
fn clear(query: &Query, caller: &Caller) -> Result<bool, Fault> {
    Ok(query.is_set("show_secrets")? && authorize(&caller.who, Wish::DecryptSystemItem).is_ok())
}

/// 404 in the words that clients know.
fn unidentified(id: &str) -> Fault {
    Fault::missing(format!("Unable to identify resource with id \"{id}\"."))
}

/// The execution that a path names; `last` is the newest, where `last` is taken.
pub(crate) fn find(api: &State, id: &str, caller: &Caller, last: bool) -> Result<Execution, Fault> {
    if last && id == "last" {
        let page = Page { offset: 0, limit: 1 };
        let (mut newest, _) = api.engine().executions(&Filter::default(), page, &caller.who)?;
        return newest.pop().ok_or_else(|| unidentified(id));
    }
    let parsed: ExecutionId = id.parse().map_err(|_| unidentified(id))?;
    match api.engine().execution(parsed, &caller.who) {
        Err(Refusal::Unknown(_)) => Err(unidentified(id)),
        other => Ok(other?),
    }
}

// ---- asking --------------------------------------------------------------------------------------------------------

/// `POST /v1/executions`.
pub(crate) async fn create(
    api: State,
    caller: Caller,
    query: Query,
    headers: HeaderMap,
    body: Payload,
) -> Result<Response, Fault> {
    let action = body.required_text("action")?;
    let action: ActionRef = action.parse().map_err(|_| Refusal::no_action(action))?;
    let params = body.map("parameters", true)?;
    let who = principal(&api, &caller, body.text("user")?)?;
    let mut request = Request::new(action, params, who).from_client(caller.claimed);
    request.context = body.map("context", false)?;
    if let Some(more) = headers.get("st2-context") {
        request.context.extend(context_header(more)?);
    }
    request.notify = body.optional("notify", Is::Object)?.cloned().unwrap_or_default();
    request.delay_ms = u64::try_from(body.integer("delay")?.unwrap_or(0)).unwrap_or(0);
    let key = headers.get("idempotency-key").and_then(|k| k.to_str().ok());
    request.key = key.map(|key| format!("api/{}/{key}", caller.who.user));
    let clear = clear(&query, &caller)?;
    request.confirm = body.object()?.get("confirm").cloned().unwrap_or_default();
    request.on_hold = if reject_held(&query)? { OnHold::Reject } else { OnHold::Wait };
    let execution = api.engine().request(request).await?;
    requested(&api, &execution, &caller, clear)
}

/// `?on_hold=reject`: rather a 409 than something that waits for people.
pub(crate) fn reject_held(query: &Query) -> Result<bool, Fault> {
    match query.filled("on_hold") {
        None | Some("wait") => Ok(false),
        Some("reject") => Ok(true),
        Some(other) => Err(Fault::bad(format!("'{other}' is not one of ['wait', 'reject']"))),
    }
}

/// 201 with the execution; one that waits for people says so, in its body and in a header.
fn requested(api: &State, execution: &Execution, caller: &Caller, clear: bool) -> Result<Response, Fault> {
    let shown = shown(api, execution, clear);
    let Some(record) = waiting(api, execution)? else { return Ok(answer::created(shown)) };
    let mut map = shown.as_map().cloned().unwrap_or_default();
    map.insert("confirmation".into(), confirmations::held(api, &record, caller));
    let mut response = answer::created(map);
    mark_held(&mut response, &record);
    Ok(response)
}

/// The confirmation that an execution waits for.
pub(crate) fn waiting(api: &State, execution: &Execution) -> Result<Option<Record>, Fault> {
    if execution.status != Status::Pending {
        return Ok(None);
    }
    Ok(api.engine().confirmation_of(execution.id)?)
}

/// Names the confirmation in a header, for clients that do not look into bodies.
pub(crate) fn mark_held(response: &mut Response, record: &Record) {
    if let Ok(id) = HeaderValue::try_from(record.id.to_string()) {
        response.headers_mut().insert(HELD, id);
    }
}

const HELD: HeaderName = HeaderName::from_static("squall-confirmation");

/// The header that callers add context with.
fn context_header(value: &HeaderValue) -> Result<Map, Fault> {
    let parsed = value.to_str().ok().and_then(|text| from_json(text, false).ok());
    match parsed.as_ref().and_then(Value::as_map) {
        Some(map) => Ok(map.clone()),
        None => Err(Fault::bad("Header `St2-Context` is not a JSON object")),
    }
}

/// Whose rights a request runs with: the caller's, or somebody else's when the caller may speak for them. Never more
/// than the caller has.
fn principal(api: &State, caller: &Caller, user: Option<&str>) -> Result<Principal, Fault> {
    let Some(user) = user.filter(|user| *user != caller.who.user) else { return Ok(caller.who.clone()) };
    authorize(&caller.who, Wish::Impersonate)?;
    let known = api.engine().store().user(user)?.filter(|u| u.active);
    let known = known.ok_or_else(|| Fault::bad(format!("Could not locate user {user}")))?;
    let role = known.roles.iter().filter_map(|r| Role::parse(r)).max().unwrap_or(Role::Guest);
    Ok(Principal { user: known.name, role: role.min(caller.who.role), via: caller.who.via.clone() })
}

/// `POST /v1/executions/{id}/re_run`: the same again, as a whole with other parameters over the old ones, or from some
/// `tasks` of a workflow. `failed: true` (squall's own) means all tasks that failed.
pub(crate) async fn re_run(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Response, Fault> {
    let old = find(&api, &id, &caller, false)?;
    let owned = |names: Vec<&str>| names.into_iter().map(str::to_owned).collect::<Vec<_>>();
    let (tasks, reset) = (owned(body.texts("tasks")?), owned(body.texts("reset")?));
    let by_tasks = !tasks.is_empty() || !reset.is_empty() || body.boolean("failed")? == Some(true);
    let wish = Rerun {
        params: body.map("parameters", false)?,
        afresh: query.is_set("no_merge")?,
        tasks: by_tasks.then_some(tasks),
        reset,
        delay_ms: u64::try_from(body.integer("delay")?.unwrap_or(0)).unwrap_or(0),
        key: None,
        claimed: caller.claimed,
    };
    let who = principal(&api, &caller, body.text("user")?)?;
    let clear = clear(&query, &caller)?;
    let execution = api.engine().rerun(old.id, wish, &who).await?;
    requested(&api, &execution, &caller, clear)
}

// ---- looking -------------------------------------------------------------------------------------------------------

/// `GET /v1/executions/{id}`.
pub(crate) async fn one(api: State, caller: Caller, query: Query, Path(id): Path<String>) -> Result<Response, Fault> {
    let attributes = Attributes::of(&query, &RULES)?;
    let most = query.integer("max_result_size")?;
    if most.is_some_and(|most| !(1..=MAX_RESULT_SIZE).contains(&most)) {
        return Err(Fault::bad(format!("max_result_size query parameter must be between 1 and {MAX_RESULT_SIZE}")));
    }
    let execution = find(&api, &id, &caller, true)?;
    let value = attributes.trim(shown(&api, &execution, clear(&query, &caller)?), &RULES);
    let too_large = most.is_some_and(|most| json_size(&execution.result) > most as u64);
    match value.as_map() {
        Some(map) if too_large => {
            let mut map = map.clone();
            map.shift_remove("result");
            Ok(answer::ok(map))
        }
        _ => Ok(answer::ok(value)),
    }
}

/// What a listing asks for.
struct Listing {
    filter: Filter,
    /// Fields without an index, with the value that each must have.
    slow: Vec<(String, String)>,
    /// Nothing can match.
    nothing: bool,
}

/// `GET /v1/executions`.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let attributes = Attributes::of(&query, &RULES)?;
    let paging = query.paging(Some(query::MAX_PAGE), caller.is_admin())?;
    let clear = clear(&query, &caller)?;
    let wanted = wanted(&query)?;
    if wanted.nothing {
        return Ok(answer::list(Vec::new(), 0, paging.limit));
    }
    let render = move |api: &State, e: &Execution| attributes.trim(shown(api, e, clear), &RULES);
    if !wanted.slow.is_empty() {
        return scan(&api, &caller, &wanted, paging, render);
    }
    let Some(limit) = paging.limit else {
        return everything(api, caller, wanted.filter, paging.offset, render);
    };
    let page = Page { offset: paging.offset, limit };
    let (found, total) = api.engine().executions(&wanted.filter, page, &caller.who)?;
    let rows = found.iter().map(|e| render(&api, e)).collect();
    Ok(answer::list(rows, total, Some(limit)))
}

fn wanted(query: &Query) -> Result<Listing, Fault> {
    let mut wanted = Listing { filter: Filter::default(), slow: Vec::new(), nothing: false };
    let filter = &mut wanted.filter;
    let plain = |name: &str| query.filled(name).map(str::to_owned);
    filter.action = plain("action");
    filter.runner = plain("runner");
    filter.user = plain("user");
    filter.ids = ids(query)?.into_iter().filter_map(|id| id.parse().ok()).collect();
    if let Some(status) = query.filled("status") {
        match status.parse() {
            Ok(status) => filter.status.push(status),
            Err(_) => wanted.nothing = true,
        }
    }
    match query.filled("parent") {
        None => {}
        Some(none) if none.eq_ignore_ascii_case("null") => filter.parent = Some(None),
        Some(id) => match id.parse() {
            Ok(id) => filter.parent = Some(Some(id)),
            Err(_) => wanted.nothing = true,
        },
    }
    if let Some(id) = query.filled("liveaction") {
        match id.parse() {
            Ok(id) => filter.ids.push(id),
            Err(_) => wanted.nothing = true,
        }
    }
    for (name, path) in [
        ("rule", "context.rule.name"),
        ("trigger", "context.trigger.name"),
        ("trigger_type", "context.trigger_type.name"),
        ("trigger_instance", "context.trigger_instance.id"),
    ] {
        match query.filled(name) {
            Some(none) if none.eq_ignore_ascii_case("null") => wanted.slow.push((path.into(), String::new())),
            Some(value) => wanted.slow.push((path.into(), value.to_owned())),
            None => {}
        }
    }
    let tick = Duration::from_micros(1);
    let earlier = |t: Timestamp| Timestamp::from_micros(t.micros().saturating_sub(1));
    filter.since = query.time("timestamp_gt")?.map(|t| t.after(tick));
    filter.until = query.time("timestamp_lt")?.map(earlier);
    filter.order = order(query);
    range(query, filter)?;
    free_filter(query, &mut wanted)?;
    Ok(wanted)
}

/// Newest first, unless somebody asks to begin at a time or says so.
fn order(query: &Query) -> Order {
    let given = |name: &str| query.filled(name).is_some();
    if given("timestamp_lt") || given("sort_desc") {
        return Order::Newest;
    }
    if given("timestamp_gt") || given("sort_asc") {
        return Order::Oldest;
    }
    let by_time = |wish: &&str| matches!(wish.trim_start_matches(['-', '+']), "start_timestamp" | "id" | "timestamp");
    match query.list("sort").into_iter().find(by_time) {
        Some(wish) if !wish.starts_with('-') => Order::Oldest,
        _ => Order::Newest,
    }
}

/// `timestamp=<t1>..<t2>`: inclusive; from the later to the earlier means newest first.
fn range(query: &Query, filter: &mut Filter) -> Result<(), Fault> {
    let Some(text) = query.filled("timestamp") else { return Ok(()) };
    let (from, to) = text.split_once("..").unwrap_or((text, text));
    let (from, to) = (query::time(from)?, query::time(to)?);
    (filter.since, filter.until) = (Some(from.min(to)), Some(from.max(to)));
    filter.order = if from < to { Order::Oldest } else { Order::Newest };
    Ok(())
}

/// `filter=field:value field:value`, over all other filters.
fn free_filter(query: &Query, wanted: &mut Listing) -> Result<(), Fault> {
    for token in query.filled("filter").unwrap_or_default().split_whitespace() {
        let Some((field, value)) = token.split_once(':') else {
            return Err(Fault::bad(format!("invalid format for filter \"{token}\"")));
        };
        match field {
            "status" => match value.parse() {
                Ok(status) => wanted.filter.status = vec![status],
                Err(_) => wanted.nothing = true,
            },
            "action.ref" => wanted.filter.action = Some(value.to_owned()),
            "runner.name" => wanted.filter.runner = Some(value.to_owned()),
            "context.user" => wanted.filter.user = Some(value.to_owned()),
            other => {
                let top = other.split('.').next().unwrap_or_default();
                if !RULES.known.contains(&top) {
                    return Err(Fault::bad(format!("Cannot resolve field \"{other}\"")));
                }
                wanted.slow.push((other.to_owned(), value.to_owned()));
            }
        }
    }
    Ok(())
}

/// Looks at the newest executions one by one, for filters that have no index.
fn scan(
    api: &State,
    caller: &Caller,
    wanted: &Listing,
    paging: Paging,
    render: impl Fn(&State, &Execution) -> Value,
) -> Result<Response, Fault> {
    let fits = |e: &Execution| {
        let plain = shown(api, e, false);
        wanted.slow.iter().all(|(path, value)| {
            let path: Vec<&str> = path.split('.').collect();
            match plain.at(&path) {
                None | Some(Value::Null) => value.is_empty(),
                Some(Value::Str(text)) => **text == **value,
                Some(other) => to_json(other) == *value,
            }
        })
    };
    let end = paging.limit.map_or(u64::MAX, |limit| paging.offset.saturating_add(limit));
    let (mut rows, mut found) = (Vec::new(), 0);
    for offset in (0..SCANNED_ROWS).step_by(CHUNK as usize) {
        let page = Page { offset, limit: CHUNK.min(SCANNED_ROWS - offset) };
        let (all, _) = api.engine().executions(&wanted.filter, page, &caller.who)?;
        for execution in all.iter().filter(|execution| fits(execution)) {
            if (paging.offset..end).contains(&found) {
                rows.push(render(api, execution));
            }
            found += 1;
        }
        if (all.len() as u64) < CHUNK {
            break;
        }
    }
    Ok(answer::list(rows, found, paging.limit))
}

/// How many executions of a long list are in memory at once: results may be large.
const CHUNK: u64 = 50;

/// Everything, written piece by piece from short reads. What is requested meanwhile is not part of it.
fn everything(
    api: State,
    caller: Caller,
    mut filter: Filter,
    offset: u64,
    render: impl Fn(&State, &Execution) -> Value + Send + 'static,
) -> Result<Response, Fault> {
    let now = api.engine().now();
    filter.until = Some(filter.until.map_or(now, |until| until.min(now)));
    let (_, total) = api.engine().executions(&filter, Page { offset: 0, limit: 1 }, &caller.who)?;
    if total > UNPAGED_ROWS {
        return Err(Fault::bad(format!(
            "{total} executions match, more than {UNPAGED_ROWS} at once: use limit and offset"
        )));
    }
    let chunks = stream::unfold(Some(offset), move |state| {
        let next = state.map(|offset| {
            let page = Page { offset, limit: CHUNK };
            let found = api.engine().executions(&filter, page, &caller.who);
            let Ok((found, _)) = found else {
                // Too late for another status: cut the answer short, so that no client takes it for whole.
                return (Err(std::io::Error::other("the store failed")), None);
            };
            let mut text = String::new();
            for (number, execution) in found.iter().enumerate() {
                if number > 0 || offset > 0 {
                    text.push(',');
                }
                text.push_str(&to_json(&render(&api, execution)));
            }
            let more = (found.len() as u64 == CHUNK).then_some(offset + CHUNK);
            if more.is_none() {
                text.push(']');
            }
            (Ok(text), more)
        });
        std::future::ready(next)
    });
    let whole = futures::StreamExt::chain(stream::iter([Ok::<_, std::io::Error>("[".to_owned())]), chunks);
    let response = answer::text(StatusCode::OK, "application/json", Body::from_stream(whole));
    Ok(answer::with_counts(response, total, None))
}

/// `GET /v1/executions/{id}/attribute/{name}`.
pub(crate) async fn attribute(
    api: State,
    caller: Caller,
    Path((id, name)): Path<(String, String)>,
) -> Result<Response, Fault> {
    if !RULES.excludable.contains(&name.as_str()) {
        let text =
            format!("Invalid attribute \"{name}\" specified. Valid attributes are: {}", RULES.excludable.join(", "));
        return Err(Fault::bad(text));
    }
    let execution = find(&api, &id, &caller, true)?;
    Ok(answer::ok(shown(&api, &execution, false).get(&name).cloned().unwrap_or_default()))
}

/// `GET /v1/executions/{id}/result`: the result alone, for downloads.
pub(crate) async fn result(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let execution = find(&api, &id, &caller, true)?;
    let result = shown(&api, &execution, false).get("result").cloned().unwrap_or_else(Value::map);
    let text = if query.is_set("pretty_format")? { to_json_pretty(&result) } else { to_json(&result) };
    let mut response = answer::text(StatusCode::OK, "text/json", text);
    if query.is_set("download")? {
        let name = format!("attachment; filename=execution_{}_result.json", execution.id);
        if let Ok(name) = HeaderValue::try_from(name) {
            response.headers_mut().insert(header::CONTENT_DISPOSITION, name);
        }
    }
    Ok(response)
}

/// `GET /v1/executions/{id}/history?all=&from=&limit=`: the log of a workflow as a story; with `at=N` where it stood after
/// fact N. Squall's own.
pub(crate) async fn history(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let execution = find(&api, &id, &caller, true)?;
    let wanted = Wanted {
        all: query.is_set("all")?,
        at: query.integer("at")?,
        from: query.integer("from")?,
        limit: query.integer("limit")?.and_then(|n| usize::try_from(n).ok()).unwrap_or(history::MOST),
    };
    Ok(answer::ok(api.engine().history(execution.id, wanted, &caller.who)?))
}

/// How many executions of one tree are answered.
const TREE: usize = 10_000;

/// `GET /v1/executions/{id}/children`: depth first, siblings by age.
pub(crate) async fn children(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let attributes = Attributes::of(&query, &RULES)?;
    let depth = query.integer("depth")?.unwrap_or(-1);
    let top = find(&api, &id, &caller, false)?;
    let store = api.engine().store();
    let mut found: Vec<Execution> = Vec::new();
    let mut pending: Vec<(ExecutionId, i64)> = Vec::new();
    let add = |pending: &mut Vec<(ExecutionId, i64)>, parent, level: i64| -> Result<(), Fault> {
        if depth < 0 || level <= depth {
            pending.extend(store.children(parent)?.into_iter().rev().map(|child| (child, level)));
        }
        Ok(())
    };
    add(&mut pending, top.id, 1)?;
    while let Some((child, level)) = pending.pop() {
        if found.len() >= TREE {
            break;
        }
        let Some(execution) = store.execution(child)? else { continue };
        if execution.request.definition.is_some() {
            add(&mut pending, child, level + 1)?;
        }
        found.push(execution);
    }
    if query.get("result_fmt") == Some("sorted") {
        found.sort_by_key(|e| (e.created, e.id));
    }
    let clear = clear(&query, &caller)?;
    Ok(answer::ok(found.iter().map(|e| attributes.trim(shown(&api, e, clear), &RULES)).collect::<Vec<_>>()))
}

/// How many of the newest executions the filters of the history page come from.
const FILTER_ROWS: u64 = 1_000;

/// `GET /v1/executions/views/filters`: what the history page can be narrowed by.
pub(crate) async fn filters(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let page = Page { offset: 0, limit: FILTER_ROWS };
    let (newest, _) = api.engine().executions(&Filter::default(), page, &caller.who)?;
    let text = |map: &Map, path: &[&str]| Value::from(map.clone()).at(path).and_then(Value::as_str).map(str::to_owned);
    let of = |name: &str, e: &Execution| match name {
        "action" => Some(e.request.action.to_string()),
        "status" => Some(e.status.to_string()),
        "runner" => Some(e.request.runner.clone()),
        "user" => text(&e.request.context, &["user"]),
        _ => text(&e.request.context, &[name, "name"]),
    };
    let wanted = query.list("types");
    let all = ["action", "status", "rule", "runner", "trigger", "trigger_type", "user"];
    let chosen = all.into_iter().filter(|name| wanted.is_empty() || wanted.contains(name));
    let answer = chosen.map(|name| {
        let values: BTreeSet<String> = newest.iter().filter_map(|e| of(name, e)).collect();
        (name, Value::from(values.into_iter().map(Value::from).collect::<Vec<_>>()))
    });
    Ok(answer::ok(Value::from_pairs(answer)))
}

// ---- steering ------------------------------------------------------------------------------------------------------

/// `DELETE /v1/executions/{id}`: cancels. What cannot be canceled is told with status 200, because clients expect it so.
pub(crate) async fn cancel(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let execution = find(&api, &id, &caller, false)?;
    let refused = |status: Status| {
        Fault::new(StatusCode::OK, format!("Action cannot be canceled. State = {status}.")).into_response()
    };
    let clear = clear(&query, &caller)?;
    match execution.status {
        Status::Canceled | Status::Canceling => Ok(answer::ok(shown(&api, &execution, clear))),
        status if status.is_final() => Ok(refused(status)),
        // As in StackStorm. What waits for a confirmation is withdrawn with it.
        Status::Pending if waiting(&api, &execution)?.is_some_and(|r| r.kind == Kind::Inquiry) => {
            Ok(refused(execution.status))
        }
        _ => match api.engine().cancel(execution.id, &caller.who).await {
            Ok(execution) => Ok(answer::ok(shown(&api, &execution, clear))),
            // It ended while we asked.
            Err(Refusal::Conflict(_)) => Ok(refused(find(&api, &id, &caller, false)?.status)),
            Err(refusal) => Err(refusal.into()),
        },
    }
}

/// `PUT /v1/executions/{id}`: pause, resume, cancel.
pub(crate) async fn change(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Response, Fault> {
    body.only(&["status", "result"])?;
    let wish = body.required_text("status")?;
    let wish: Status = wish.parse().map_err(|_| {
        let all: Vec<String> = Status::ALL.iter().map(|s| format!("'{s}'")).collect();
        Fault::bad(format!("'{wish}' is not one of [{}]", all.join(", ")))
    })?;
    let execution = find(&api, &id, &caller, false)?;
    if execution.status.is_final() {
        return Err(Fault::bad("Execution is already in completed state."));
    }
    let (engine, who) = (api.engine(), &caller.who);
    let changed = match wish {
        Status::Pausing | Status::Paused => {
            may_pause(&execution)?;
            engine.pause(execution.id, who).await
        }
        Status::Resuming => match may_resume(&execution)? {
            true => engine.resume(execution.id, who).await,
            false => Ok(execution),
        },
        Status::Canceling | Status::Canceled => engine.cancel(execution.id, who).await,
        other => return Err(Fault::not_yet(&format!("setting an execution to `{other}`"))),
    };
    let changed = changed.map_err(|refusal| match refusal {
        Refusal::Conflict(why) => Fault::bad(format!("Failed updating execution. {why}")),
        other => other.into(),
    })?;
    Ok(answer::ok(shown(&api, &changed, clear(&query, &caller)?)))
}

fn unsupported(verb: &str, execution: &Execution) -> Fault {
    Fault::bad(format!(
        "Failed updating execution. Unable to {verb} liveaction \"{}\" because it is not supported by the \"{}\" runner.",
        execution.id, execution.request.runner
    ))
}

fn may_pause(execution: &Execution) -> Result<(), Fault> {
    if execution.request.definition.is_none() {
        return Err(unsupported("pause", execution));
    }
    match execution.status {
        Status::Running | Status::Pausing | Status::Paused => Ok(()),
        _ => Err(Fault::bad(format!(
            "Failed updating execution. Unable to pause liveaction \"{}\" because it is not in a running state.",
            execution.id
        ))),
    }
}

/// Whether there is anything to resume; an error when it makes no sense.
fn may_resume(execution: &Execution) -> Result<bool, Fault> {
    if execution.request.definition.is_none() {
        return Err(unsupported("resume", execution));
    }
    match execution.status {
        Status::Paused => Ok(true),
        Status::Running | Status::Resuming => Ok(false),
        status => Err(Fault::bad(format!(
            "Failed updating execution. Unable to resume liveaction \"{}\" because it is in \"{status}\" state and not in \"paused\" state.",
            execution.id
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(query: &str) -> Result<Listing, Fault> {
        wanted(&Query::parse(query))
    }

    #[test]
    fn order_follows_the_question() {
        for (query, expected) in [
            ("", Order::Newest),
            ("sort_asc=True", Order::Oldest),
            ("sort_desc=True&sort_asc=True", Order::Newest),
            ("timestamp_gt=2016-01-21T00:00:00Z", Order::Oldest),
            ("timestamp_gt=2016-01-21T00:00:00Z&sort_desc=True", Order::Newest),
            ("timestamp=2016-01-21T00:00:00Z..2016-01-22T00:00:00Z", Order::Oldest),
            ("timestamp=2016-01-22T00:00:00Z..2016-01-21T00:00:00Z", Order::Newest),
            ("sort=%2Bstart_timestamp", Order::Oldest),
            ("sort=-id", Order::Newest),
            ("sort=bogus", Order::Newest),
        ] {
            assert_eq!(asked(query).unwrap().filter.order, expected, "{query}");
        }
    }

    #[test]
    fn parents_and_statuses() {
        assert_eq!(asked("parent=null").unwrap().filter.parent, Some(None));
        assert!(asked("parent=x").unwrap().nothing);
        assert!(asked("status=bogus").unwrap().nothing);
        assert_eq!(asked("status=failed").unwrap().filter.status, [Status::Failed]);
        assert_eq!(
            asked("filter=status:failed+runner.name:orquesta").unwrap().filter.runner.as_deref(),
            Some("orquesta")
        );
        let text = |q: &str| asked(q).err().map(|f| f.text().to_owned()).unwrap_or_default();
        assert_eq!(text("filter=statuss:failed"), "Cannot resolve field \"statuss\"");
        assert_eq!(text("filter=x"), "invalid format for filter \"x\"");
        assert_eq!(text("timestamp_gt=yesterday"), "Datetime value does not match expected format.");
    }
}
