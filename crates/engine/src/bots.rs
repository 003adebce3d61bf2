//! What bots in front of squall hear: results, and what becomes of questions, as announcements on the event stream.
//!
//! A bot of StackStorm posts whatever is announced on its route. StackStorm makes an announcement of a result by a rule and three
//! more executions; here the turn that ends the execution does it. As in StackStorm nothing is stored: a bot that is away when
//! an announcement passes does not hear it.
//!
//! Start reading at [`results`] and [`told`].

use crate::confirmation::Record;
use crate::confirmation::people::Label;
use crate::event::Event;
use crate::turn::Turn;
use crate::{asking, report};
use squall_model::{Execution, Map, Status, Value};

/// The `network` and, as its `workspace`, the route of somebody whom only a bot knows, for links to accounts: `bot:hubot:alice`.
pub(crate) const NETWORK: &str = "bot";

/// Routes of one section that are told.
const ROUTES: usize = 100;

/// What the end of an execution makes bots post: one announcement for each route that waits for it.
pub(crate) fn results(execution: &Execution, turn: &Turn<'_>) -> Vec<Event> {
    let (around, request) = (turn.around, &execution.request);
    // Squall's own adapters get theirs through the outbox.
    if !around.heard || request.notify.is_null() || request.reply_to.is_some() || is_silent(execution, turn) {
        return Vec::new();
    }
    let routes: Vec<_> = wanted(&request.notify, execution.status).collect();
    if routes.is_empty() {
        return Vec::new();
    }
    let alias = asking::alias_of(execution, around.content);
    let Some(body) = report::result_body(execution, alias.as_deref(), around.content, around.settings) else {
        return Vec::new();
    };
    routes.into_iter().map(|(route, data)| announcement(route, data, &body)).collect()
}

/// Whether nothing is said about an end, for the reasons for which nothing would be said in squall's own chat.
fn is_silent(execution: &Execution, turn: &Turn<'_>) -> bool {
    // It was held and never ran: whoever asked was told so, and a result format would say otherwise.
    if asking::is_frozen(execution) && execution.started.is_none() && asking::source(execution) == crate::Source::Chat {
        return true;
    }
    let Some(parent) = execution.parent.and_then(|id| turn.tree.executions.get(&id)) else { return false };
    execution.request.runner == "announcement"
        || (parent.request.runner == "mistral-v2" && !turn.around.settings.mistral_notify)
}

/// The routes that hear of an end with this status, with what was given for them. Only what names a channel can be posted.
fn wanted(notify: &Value, status: Status) -> impl Iterator<Item = (&str, &Value)> {
    let failed = matches!(status, Status::Failed | Status::Timeout | Status::Abandoned);
    let sections = [("on-complete", true), ("on-success", status == Status::Succeeded), ("on-failure", failed)];
    let sections = sections.into_iter().filter(|(_, applies)| *applies);
    sections.filter_map(|(name, _)| notify.get(name)).flat_map(|section| {
        let data = section.get("data").filter(|data| text(data, "source_channel").is_some());
        let routes = section.get("routes").and_then(Value::as_list).unwrap_or_default();
        let routes = routes.iter().take(ROUTES).filter_map(Value::as_str).filter(|route| !route.is_empty());
        data.into_iter().flat_map(move |data| routes.clone().map(move |route| (route, data)))
    })
}

/// Whether a bot waits for what becomes of a command.
pub(crate) fn is_listening(notify: &Value) -> bool {
    wanted(notify, Status::Succeeded).next().is_some()
}

fn announcement(route: &str, data: &Value, body: &Map) -> Event {
    let mut payload = Map::new();
    payload.insert("user".into(), text(data, "user").into());
    payload.insert("whisper".into(), false.into());
    payload.insert("channel".into(), text(data, "source_channel").into());
    payload.insert("message".into(), body.get("message").cloned().unwrap_or_default());
    let context = data.get("source_context").filter(|context| context.is_truthy());
    payload.insert("context".into(), context.cloned().unwrap_or_else(Value::map));
    payload.insert("extra".into(), body.get("extra").cloned().unwrap_or_else(Value::map));
    event(route, payload)
}

/// Something about a confirmation, to the room in which a bot heard the command.
///
/// It names people itself, so there is no `user`, whom bots would mention in front of it.
pub(crate) fn told(label: &Label, message: String) -> Option<Event> {
    if label.route.is_empty() || label.channel.is_empty() {
        return None;
    }
    let payload = [
        ("whisper", Value::from(false)),
        ("channel", label.channel.as_str().into()),
        ("message", message.into()),
        ("context", Value::map()),
        ("extra", Value::map()),
    ];
    Some(event(&label.route, payload.into_iter().map(|(key, value)| (key.into(), value)).collect()))
}

/// The route of the stream for a route of notification: StackStorm's rule for Hubot posts on `chatops`, those of others under
/// their own names.
fn event(route: &str, payload: Map) -> Event {
    let stream = if route == "hubot" { "chatops" } else { route };
    Event::new(format!("st2.announcement__{stream}"), Value::from_pairs([("payload", Value::from(payload))]))
}

/// What a bot posts for a command that waits, where its answers do not count: no code invites them.
pub(crate) fn question(record: &Record) -> String {
    let run = record.runs.first().map(|(_, run)| run.action.as_str()).unwrap_or_default();
    let mut text = format!(
        "{run} waits for a confirmation, and nothing has been started. It cannot be answered through this bot: \
         `squall confirmations` shows it, `squall confirm` and the terminal chat answer it."
    );
    // Nobody knows who a name in a request is, unless it was said before.
    if let Some(label) = record.requester.label.as_ref().filter(|_| record.requirements.iter().all(|r| r.is_self())) {
        text.push_str(&format!(
            " Only whoever asked may, by an account that was linked before: `squall link {NETWORK}:{}:{} ACCOUNT`.",
            label.route, label.user
        ));
    }
    text
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}
