//! The event stream: `/stream/v1/stream` and the live output of one execution.
//!
//! A stream listens first and looks at the store afterwards, so that nothing falls between. It ends when its reader is
//! too slow, with a word about it; it never holds up the engine. Whoever lost the right to look is cut off in half a minute.

use crate::State;
use crate::answer;
use crate::clothes::{live_action, object, scheduled_before};
use crate::credentials::{self, Caller};
use crate::executions::{find, shown, shown_event};
use crate::fault::Fault;
use crate::limits::STREAMS_OF_USER;
use crate::output::pieces;
use crate::query::Query;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures::stream;
use squall_engine::Principal;
use squall_engine::event::Shared;
use squall_engine::people::{Wish, authorize};
use squall_model::{Execution, ExecutionId, Status, Value, to_json};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

/// What is sent when no events are named.
const DEFAULT: &[&str] = &[
    "st2.announcement__*",
    "st2.execution__create",
    "st2.execution__update",
    "st2.execution__delete",
    "st2.liveaction__create",
    "st2.liveaction__update",
    "st2.liveaction__delete",
];

/// Which events somebody wants, and when it is enough.
#[derive(Debug, Default)]
struct Wanted {
    events: Vec<String>,
    actions: Vec<String>,
    executions: Vec<String>,
    /// The name of an event, and the execution whose final state ends the stream.
    end: Option<(String, String)>,
}

impl Wanted {
    fn of(query: &Query) -> Wanted {
        let owned = |name: &str| query.list(name).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let mut events = owned("events");
        if events.is_empty() {
            events = DEFAULT.iter().map(|e| (*e).to_owned()).collect();
        }
        let end = query.filled("end_event").zip(query.filled("end_execution_id"));
        Wanted {
            events,
            actions: owned("action_refs"),
            executions: owned("execution_ids"),
            end: end.map(|(event, id)| (event.to_owned(), id.to_owned())),
        }
    }

    /// Whether an event of this name may be sent at all: cheap, before anything is rendered.
    fn names(&self, event: &str) -> bool {
        self.events.iter().any(|glob| fits(glob, event))
    }

    fn passes(&self, event: &str, data: &Value) -> bool {
        let text = |path: &[&str]| data.at(path).and_then(Value::as_str);
        let action = text(&["action", "ref"]).or_else(|| text(&["action"])).or_else(|| text(&["action_ref"]));
        let execution = match event.split("__").next() {
            Some("st2.execution") => text(&["id"]),
            Some("st2.execution.output") => text(&["execution_id"]),
            _ => None,
        };
        let listed = |list: &[String], value: Option<&str>| {
            list.is_empty() || value.is_some_and(|value| list.iter().any(|item| item == value))
        };
        self.names(event) && listed(&self.actions, action) && listed(&self.executions, execution)
    }

    fn ends(&self, event: &str, data: &Value) -> bool {
        let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default();
        let is_final = || text("status").parse::<Status>().is_ok_and(Status::is_final);
        self.end.as_ref().is_some_and(|(name, id)| name == event && text("id") == id && is_final())
    }
}

/// Whether a name fits a glob; `*` stands for anything.
fn fits(glob: &str, name: &str) -> bool {
    let Some((start, rest)) = glob.split_once('*') else { return glob == name };
    let (middle, end) = rest.rsplit_once('*').map_or(("", rest), |(middle, end)| (middle, end));
    let inner = name.strip_prefix(start).and_then(|n| n.strip_suffix(end));
    let Some(mut inner) = inner else { return false };
    // Taking each part at its first place leaves the most room for the others.
    middle.split('*').all(|part| match inner.split_once(part) {
        Some((_, rest)) => {
            inner = rest;
            true
        }
        None => part.is_empty(),
    })
}

/// One event on the wire.
fn frame(event: &str, data: &Value) -> String {
    format!("event: {event}\ndata: {}\n\n", to_json(data))
}

/// How many streams each user has open.
#[derive(Default)]
pub(crate) struct Readers(Mutex<HashMap<String, u64>>);

/// A place among the streams of a user, given back with the stream.
struct Place {
    readers: Arc<Readers>,
    user: String,
}

impl Readers {
    /// One more stream of somebody, unless they have too many.
    fn take(readers: &Arc<Readers>, caller: &Caller) -> Result<Place, Fault> {
        let user = caller.who.user.clone();
        let mut open = readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.get(&user).copied().unwrap_or_default();
        if count >= STREAMS_OF_USER && !caller.is_admin() {
            let text =
                format!("`{user}` has {count} event streams open, the most for one user: close some of them first");
            return Err(Fault::later(StatusCode::TOO_MANY_REQUESTS, 10, text));
        }
        open.insert(user.clone(), count + 1);
        Ok(Place { readers: readers.clone(), user })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.readers.0.lock().unwrap_or_else(PoisonError::into_inner);
        match open.get_mut(&self.user) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(open.remove(&self.user)),
        }
    }
}

/// A stream under way.
struct Open<R> {
    api: State,
    caller: Caller,
    _place: Place,
    events: Receiver<Shared>,
    checked: Instant,
    /// What is to be sent before anything else.
    first: Option<String>,
    over: bool,
    /// Makes frames of an event, and says whether it was the last one.
    render: R,
}

impl<R: FnMut(&State, &Principal, &Shared) -> (String, bool)> Open<R> {
    /// The next piece of text; `None` at the end.
    async fn next(mut self) -> Option<(Result<String, Infallible>, Self)> {
        if let Some(first) = self.first.take() {
            return Some((Ok(first), self));
        }
        let (beat, recheck) = (self.api.settings().heartbeat, self.api.settings().recheck);
        while !self.over {
            if self.checked.elapsed() >= recheck && !self.may_look() {
                return None;
            }
            match tokio::time::timeout(beat, self.events.recv()).await {
                Err(_) => return Some((Ok("\n".into()), self)),
                Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(missed))) => {
                    self.over = true;
                    let missed = object([("missed", missed.into())]);
                    return Some((Ok(frame("squall.overflow", &missed)), self));
                }
                Ok(Ok(event)) => {
                    let (text, is_last) = (self.render)(&self.api, &self.caller.who, &event);
                    self.over = is_last;
                    if !text.is_empty() {
                        return Some((Ok(text), self));
                    }
                }
            }
        }
        None
    }

    fn may_look(&mut self) -> bool {
        self.checked = Instant::now();
        let Some(credential) = &self.caller.credential else { return true };
        let Ok(who) = credentials::owner(&self.api, credential) else { return false };
        // With the rights of now.
        self.caller.who = who;
        authorize(&self.caller.who, Wish::View).is_ok()
    }
}

fn respond<R>(open: Open<R>) -> Response
where
    R: FnMut(&State, &Principal, &Shared) -> (String, bool) + Send + 'static,
{
    let pieces = stream::unfold(open, Open::next);
    let mut response = answer::text(StatusCode::OK, "text/event-stream; charset=UTF-8", Body::from_stream(pieces));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

/// `GET /v1/stream`.
pub(crate) async fn events(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let place = Readers::take(&api.inner.readers, &caller)?;
    let events = api.engine().subscribe();
    let wanted = Wanted::of(&query);
    let mut first = "\n".to_owned();
    let mut over = false;
    // The execution whose end is waited for may have ended before this stream was opened: then this is the end.
    if let Some((event, id)) = &wanted.end
        && let Ok(id) = id.parse::<ExecutionId>()
        && let Some(execution) = api.engine().store().execution(id)?.filter(|e| e.status.is_final())
    {
        first.push_str(&frame(event, &shown(&api, &execution, false)));
        over = true;
    }
    let render = move |api: &State, reader: &Principal, event: &Shared| match is_for(api, event, reader) {
        true => frames(api, event, &wanted),
        false => (String::new(), false),
    };
    let (checked, first) = (Instant::now(), Some(first));
    Ok(respond(Open { api, caller, _place: place, events, checked, first, over, render }))
}

/// Confirmations are told to those who may see them; everything else to whoever may look.
fn is_for(api: &State, event: &Shared, reader: &Principal) -> bool {
    if !event.name.starts_with("squall.confirmation__") {
        return true;
    }
    let id = event.payload.get("id").and_then(Value::as_str).unwrap_or_default();
    api.engine().may_see(id, reader)
}

/// The frames of one event of the engine: executions are told twice, as live action and as themselves.
fn frames(api: &State, event: &Shared, wanted: &Wanted) -> (String, bool) {
    let name = event.name.as_str();
    let mut text = String::new();
    let Some(verb) = name.strip_prefix("st2.execution__") else {
        if wanted.names(name) {
            let data = payload(api, event);
            if wanted.passes(name, &data) {
                text = frame(name, &data);
            }
        }
        return (text, false);
    };
    let live_name = format!("st2.liveaction__{verb}");
    let is_end = wanted.end.as_ref().is_some_and(|(end, _)| end == name || *end == live_name);
    if !is_end && !wanted.names(name) && !wanted.names(&live_name) {
        return (text, false);
    }
    let mut is_last = false;
    for plain in scheduled_before(&event.payload).iter().chain([&event.payload]) {
        let data = shown_event(api, plain);
        let live = live_action(&data);
        if wanted.passes(&live_name, &live) {
            text.push_str(&frame(&live_name, &live));
        }
        if wanted.passes(name, &data) {
            text.push_str(&frame(name, &data));
        }
        is_last = wanted.ends(name, &data) || wanted.ends(&live_name, &live);
    }
    (text, is_last)
}

/// The data of an event that is no execution.
fn payload(api: &State, event: &Shared) -> Value {
    let mut data = event.payload.as_map().cloned().unwrap_or_default();
    if event.name.starts_with("st2.announcement__") {
        data.entry("trace_context".into()).or_insert(Value::Null);
    } else if event.name == "st2.execution.output__create" {
        let id = data.get("execution_id").and_then(Value::as_str).and_then(|id| id.parse::<ExecutionId>().ok());
        let execution = id.and_then(|id| api.engine().store().execution(id).ok().flatten());
        if let Some(execution) = execution {
            data.insert("action_ref".into(), execution.request.action.to_string().into());
            data.insert("runner_ref".into(), execution.request.runner.as_str().into());
        }
        data.insert("id".into(), api.engine().ids().execution().to_string().into());
    }
    data.into()
}

// ---- live output ---------------------------------------------------------------------------------------------------

const OUTPUT: &str = "st2.execution.output__create";
/// The data is two apostrophes, as StackStorm sends it.
const EOF: &str = "event: EOF\ndata: ''\n\n";

/// `GET /stream/v1/executions/{id}/output`.
pub(crate) async fn output(
    api: State,
    caller: Caller,
    query: Query,
    Path(id): Path<String>,
) -> Result<Response, Fault> {
    let place = Readers::take(&api.inner.readers, &caller)?;
    let events = api.engine().subscribe();
    let execution = find(&api, &id, &caller, true)?;
    let kind = query.filled("output_type").filter(|kind| *kind != "all").map(str::to_owned);
    let mut first = "\n".to_owned();
    let over = execution.status.is_final();
    if over {
        for (name, text) in pieces(&execution.result, kind.as_deref()) {
            first.push_str(&frame(OUTPUT, &chunk(&api, &execution, name, text)));
        }
        first.push_str(EOF);
    }
    let wanted = execution.id.to_string();
    let render = move |api: &State, _: &Principal, event: &Shared| live(api, event, &wanted, kind.as_deref());
    let (checked, first) = (Instant::now(), Some(first));
    Ok(respond(Open { api, caller, _place: place, events, checked, first, over, render }))
}

fn live(api: &State, event: &Shared, id: &str, kind: Option<&str>) -> (String, bool) {
    let text = |name: &str| event.payload.get(name).and_then(Value::as_str).unwrap_or_default();
    if event.name == OUTPUT && text("execution_id") == id && kind.is_none_or(|kind| text("output_type") == kind) {
        return (frame(OUTPUT, &payload(api, event)), false);
    }
    let stops = |status: Status| status.is_final() || matches!(status, Status::Paused | Status::Resuming);
    let is_end = event.name == "st2.execution__update" && text("id") == id && text("status").parse().is_ok_and(stops);
    if is_end { (EOF.to_owned(), true) } else { (String::new(), false) }
}

fn chunk(api: &State, of: &Execution, kind: &str, text: String) -> Value {
    object([
        ("id", api.engine().ids().execution().to_string().into()),
        ("execution_id", of.id.to_string().into()),
        ("action_ref", of.request.action.to_string().into()),
        ("runner_ref", of.request.runner.as_str().into()),
        ("timestamp", of.ended.unwrap_or(of.created).to_iso().into()),
        ("output_type", kind.into()),
        ("data", text.into()),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    #[test]
    fn globs_fit_names() {
        for (glob, name, expected) in [
            ("st2.execution__*", "st2.execution__create", true),
            ("st2.execution__*", "st2.execution.output__create", false),
            ("*", "anything", true),
            ("*__create", "st2.execution__create", true),
            ("*__create", "st2.execution__update", false),
            ("st2.*__create", "st2.liveaction__create", true),
            ("st2.*.out*__create", "st2.execution.output__create", true),
            ("st2.*.xyz*__create", "st2.execution.output__create", false),
            ("st2.execution__create", "st2.execution__create", true),
            ("st2.execution__create", "st2.execution__created", false),
            ("", "x", false),
            ("a*a", "a", false),
        ] {
            assert_eq!(fits(glob, name), expected, "{glob} {name}");
        }
    }

    #[track_caller]
    fn passes(query: &str, event: &str, data: &str, expected: bool) {
        let data = from_json(data, false).unwrap();
        assert_eq!(Wanted::of(&Query::parse(query)).passes(event, &data), expected, "{query} {event}");
    }

    #[test]
    fn filters_drop_what_has_no_such_attribute() {
        let execution = r#"{"id": "e1", "action": {"ref": "core.noop"}, "status": "running"}"#;
        let live = r#"{"id": "l1", "action": "core.noop", "status": "running"}"#;
        let output = r#"{"execution_id": "e1", "action_ref": "core.noop"}"#;
        passes("", "st2.execution__create", execution, true);
        passes("", "st2.liveaction__update", live, true);
        passes("", "st2.announcement__chatops", "{}", true);
        passes("", "st2.execution.output__create", output, false);
        passes("", "st2.actionalias__create", "{}", false);
        passes("events=st2.execution.output__create", "st2.execution.output__create", output, true);
        passes("action_refs=core.noop", "st2.liveaction__update", live, true);
        passes("action_refs=core.local", "st2.execution__create", execution, false);
        passes("action_refs=core.noop", "st2.announcement__chatops", "{}", false);
        passes("execution_ids=e1", "st2.execution__create", execution, true);
        passes("execution_ids=e1", "st2.liveaction__update", live, false);
    }

    #[test]
    fn only_the_final_update_ends_a_stream() {
        let wanted = Wanted::of(&Query::parse("end_event=st2.execution__update&end_execution_id=e1"));
        let data = |status: &str| from_json(&format!(r#"{{"id": "e1", "status": "{status}"}}"#), false).unwrap();
        assert!(!wanted.ends("st2.execution__update", &data("running")));
        assert!(!wanted.ends("st2.execution__create", &data("succeeded")));
        assert!(wanted.ends("st2.execution__update", &data("succeeded")));
        let half = Wanted::of(&Query::parse("end_execution_id=e1"));
        assert!(!half.ends("st2.execution__update", &data("succeeded")));
    }
}
