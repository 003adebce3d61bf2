//! `/v1/actionalias` and `/v1/aliasexecution`: what people can type, and bots that type it for them.

use crate::State;
use crate::answer;
use crate::attributes::Rules;
use crate::clothes::object;
use crate::confirmations;
use crate::credentials::Caller;
use crate::executions;
use crate::fault::Fault;
use crate::listing::{self, Shape, Shown, missing, named};
use crate::payload::{Is, Payload};
use crate::query::Query;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use squall_content::Alias;
use squall_engine::confirmation::people::Label;
use squall_engine::labelled;
use squall_engine::people::{Wish, authorize};
use squall_engine::{Command, Commanded, Refusal, limits};
use squall_expr::alias::{HelpQuery, representations};
use squall_model::{Map, Value};
use std::sync::Arc;

const SHAPE: Shape = Shape {
    limit: Some(100),
    offset: true,
    sort: true,
    whole: true,
    rules: Rules {
        known: &[
            "id",
            "uid",
            "ref",
            "pack",
            "name",
            "description",
            "enabled",
            "action_ref",
            "formats",
            "ack",
            "result",
            "extra",
            "immutable_parameters",
            "metadata_file",
        ],
        always: &["id", "ref"],
        excludable: &[],
        along: &[],
    },
};

fn all(api: &State, caller: &Caller) -> Result<Vec<Arc<Alias>>, Fault> {
    authorize(&caller.who, Wish::View)?;
    let packs = api.engine().content();
    let mut all: Vec<Arc<Alias>> = packs.registry().aliases.values().chain(labelled::aliases()).cloned().collect();
    all.sort_by(|a, b| a.reference.cmp(&b.reference));
    Ok(all)
}

/// `GET /v1/actionalias`.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    listing::page(all(&api, &caller)?.into_iter(), &query, &caller, &SHAPE)
}

/// `GET /v1/actionalias/{alias}`.
pub(crate) async fn one(api: State, caller: Caller, Path(alias): Path<String>) -> Result<Response, Fault> {
    let found = named(all(&api, &caller)?.into_iter(), &alias).ok_or_else(|| missing(&alias))?;
    Ok(answer::ok(found.show()))
}

/// `GET /v1/actionalias/help`.
pub(crate) async fn help(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let aliases: Vec<Value> = all(&api, &caller)?.iter().map(|a| a.show()).collect();
    let number = |name: &str, default: i64| -> Result<usize, Fault> {
        Ok(usize::try_from(query.integer(name)?.unwrap_or(default)).unwrap_or(0))
    };
    let wish = HelpQuery {
        filter: query.get("filter").unwrap_or_default().to_owned(),
        pack: query.get("pack").unwrap_or_default().to_owned(),
        limit: number("limit", 100)?,
        offset: number("offset", 0)?,
    };
    let found = squall_expr::alias::help(&aliases, &wish).map_err(|e| Fault::bad(e.message))?;
    let lines = found.entries.into_iter().map(|e| {
        object([("pack", e.pack.into()), ("display", e.display.into()), ("description", e.description.into())])
    });
    let lines: Vec<Value> = lines.collect();
    Ok(answer::ok(object([("available", found.available.into()), ("helpstrings", lines.into())])))
}

/// `POST /v1/actionalias/match`: the one alias that a command means.
pub(crate) async fn matching(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    let text = body.required_text("command")?;
    short("command", text, limits::COMMAND_BYTES)?;
    let content = api.engine().content();
    let found = content.strict().search(text);
    // A pack's own word with something like a mistyped code stays the pack's.
    let ours = labelled::matching(text).filter(|_| labelled::is_sure(text) || found.hits.is_empty());
    if let Some((alias, format)) = ours {
        let shown = representations(&alias.formats).unwrap_or_default();
        let display = shown.into_iter().find_map(|r| r.display).map_or_else(|| Value::from(format), Value::from);
        return Ok(answer::ok(object([
            ("actionalias", alias.show()),
            ("display", display),
            ("representation", format.into()),
        ])));
    }
    let hit = match found.hits.as_slice() {
        [one] => one,
        [] => return Err(Fault::bad(format!("Command '{text}' matched no patterns"))),
        _ => return Err(Fault::bad(format!("Command '{text}' matched more than 1 pattern"))),
    };
    let alias =
        content.registry().alias(hit.alias).ok_or_else(|| Fault::broken("a matched alias is not registered"))?;
    let shown = representations(&alias.formats).unwrap_or_default();
    let shown = shown.into_iter().find(|r| r.text == *hit.representation);
    let display = shown.and_then(|r| r.display).unwrap_or_else(|| hit.representation.clone());
    Ok(answer::ok(object([
        ("actionalias", alias.show()),
        ("display", display.into()),
        ("representation", hit.representation.clone().into()),
    ])))
}

/// The longest name of a person, a channel or a route.
const NAME_BYTES: u64 = 1_024;

fn short(name: &str, given: &str, bound: u64) -> Result<(), Fault> {
    match given.len() as u64 > bound {
        true => Err(Fault::bad(format!("`{name}` has {} bytes; {bound} are the most", given.len()))),
        false => Ok(()),
    }
}

/// The command in a body; only what belongs there may be there.
fn command(body: &Payload, caller: &Caller, allowed: &[&str]) -> Result<Command, Fault> {
    body.only(allowed)?;
    let chat = body.optional("source_context", Is::Object)?.cloned().unwrap_or_default();
    let text = body.required_text("command")?.to_owned();
    let channel = body.required_text("source_channel")?.to_owned();
    let speaker = body.text("user")?.unwrap_or(&caller.who.user).to_owned();
    let routes = body.text("notification_route")?.or(body.text("notification_channel")?);
    // They are kept, counted and told, so they are as short as names.
    let names = [("user", Some(&*speaker)), ("source_channel", Some(&*channel)), ("notification_route", routes)];
    for (name, given) in names {
        short(name, given.unwrap_or_default(), NAME_BYTES)?;
    }
    let data = object([
        ("user", speaker.as_str().into()),
        ("source_channel", channel.as_str().into()),
        ("source_context", chat.clone()),
    ]);
    let told = object([("data", data), ("routes", vec![Value::from(routes)].into())]);
    Ok(Command {
        text,
        who: caller.who.clone(),
        speaker,
        channel,
        reply_to: None,
        chat,
        key: None,
        kind: false,
        notify: object([("on-complete", told)]),
        reject_held: false,
    })
}

/// An answer to a confirmation that a bot forwards. What it says of people proves nothing.
async fn forwarded(api: &State, command: &Command) -> Result<Option<(Value, bool)>, Fault> {
    let route = command.notify.at(&["on-complete", "routes"]).and_then(Value::as_list).and_then(<[_]>::first);
    let label = Label {
        user: command.speaker.clone(),
        channel: command.channel.clone(),
        route: route.and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    let Some(done) = api.engine().forwarded(&command.text, label, &command.who).await? else { return Ok(None) };
    // Bots look into the execution, so there is always one, however empty.
    let execution = done.execution.map_or_else(Value::map, |execution| executions::shown(api, &execution, false));
    let shown =
        object([("execution", execution), ("actionalias", done.alias.show()), ("message", done.message.into())]);
    Ok(Some((shown, done.is_sure)))
}

/// What a command became, for bots.
fn shown(api: &State, done: &Commanded, caller: &Caller) -> Result<Value, Fault> {
    let mut map = Map::new();
    map.insert("execution".into(), executions::shown(api, &done.execution, false));
    let mut alias = done.alias.show();
    if let Some(record) = executions::waiting(api, &done.execution)? {
        map.insert("confirmation".into(), confirmations::held(api, &record, caller));
        map.insert("message".into(), api.engine().shown_to_bots(&record, &caller.who).into());
        alias = asked(alias);
    }
    map.insert("actionalias".into(), alias);
    if let Some(message) = &done.message {
        map.insert("message".into(), message.as_str().into());
    }
    if let Some(extra) = &done.extra {
        map.insert("extra".into(), extra.clone());
    }
    Ok(map.into())
}

/// An alias whose acknowledgement is a question: bots append the address of the execution to it unless the alias says no.
fn asked(alias: Value) -> Value {
    let Some(map) = alias.as_map() else { return alias };
    let (mut map, mut ack) = (map.clone(), map.get("ack").and_then(Value::as_map).cloned().unwrap_or_default());
    ack.insert("append_url".into(), false.into());
    map.insert("ack".into(), ack.into());
    map.into()
}

/// 201; the first run that waits for people is named in a header.
fn commanded(api: &State, done: &[Commanded], body: impl Into<Value>) -> Result<Response, Fault> {
    let mut response = answer::created(body);
    for one in done {
        if let Some(record) = executions::waiting(api, &one.execution)? {
            executions::mark_held(&mut response, &record);
            break;
        }
    }
    Ok(response)
}

/// `POST /v1/aliasexecution`: the bot chose alias and format.
pub(crate) async fn execute(api: State, caller: Caller, query: Query, body: Payload) -> Result<Response, Fault> {
    const ALLOWED: &[&str] = &[
        "name",
        "format",
        "command",
        "user",
        "source_channel",
        "source_context",
        "notification_route",
        "notification_channel",
    ];
    let (name, format) = (body.required_text("name")?, body.required_text("format")?);
    let mut command = command(&body, &caller, ALLOWED)?;
    command.reject_held = executions::reject_held(&query)?;
    let is_ours = labelled::matching(&command.text).is_some_and(|(a, f)| &*a.reference.name == name && f == format);
    if is_ours && let Some((done, _)) = forwarded(&api, &command).await? {
        return Ok(answer::created(done));
    }
    if !all(&api, &caller)?.iter().any(|a| &*a.reference.name == name) {
        let name = squall_expr::python::repr(&name.into());
        return Err(Fault::missing(format!("Unable to find the ActionAliasDB instance. {{'name': {name}}}")));
    }
    let done = api.engine().command_with(name, format, &command).await.map_err(refused)?;
    let body = shown(&api, &done, &caller)?;
    commanded(&api, &[done], body)
}

/// `POST /v1/aliasexecution/match_and_execute`: the bot passes the words on.
pub(crate) async fn match_and_execute(
    api: State,
    caller: Caller,
    query: Query,
    body: Payload,
) -> Result<Response, Fault> {
    const ALLOWED: &[&str] =
        &["command", "user", "source_channel", "source_context", "notification_route", "notification_channel"];
    let mut command = command(&body, &caller, ALLOWED)?;
    command.reject_held = executions::reject_held(&query)?;
    let answered = |done: Value| Ok(answer::created(object([("results", vec![done].into())])));
    let perhaps = match forwarded(&api, &command).await? {
        Some((done, true)) => return answered(done),
        Some((done, false)) => Some(done),
        None => None,
    };
    let done = match (api.engine().command(&command).await, perhaps) {
        (Ok(done), _) => done,
        (Err(Refusal::Unknown(_)), Some(perhaps)) => return answered(perhaps),
        (Err(refusal), _) => return Err(refused(refusal)),
    };
    let results = done.iter().map(|d| shown(&api, d, &caller)).collect::<Result<Vec<Value>, Fault>>()?;
    commanded(&api, &done, object([("results", results.into())]))
}

/// A command that matches nothing, or too much, is 400 for bots.
fn refused(refusal: Refusal) -> Fault {
    let wrong = matches!(refusal, Refusal::Unknown(_) | Refusal::Conflict(_));
    let fault = Fault::from(refusal);
    if wrong { fault.with_status(StatusCode::BAD_REQUEST) } else { fault }
}
