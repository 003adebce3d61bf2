//! What is said about an execution where it was asked for: acknowledgement, result, announcement.
//!
//! Texts are made here, in the step that commits what they tell, and go out through the outbox; `chat` only adapts them to a
//! network. A template that fails never hides a result: the default text is posted with the template's error.

use crate::Content;
use crate::settings::Settings;
use crate::texts;
use crate::turn::Turn;
use crate::view;
use squall_content::Alias;
use squall_expr::{Engine as Rules, Limits, NoHost, Scope, jinja};
use squall_model::{Execution, ExecutionId, Map, ReplyTo, Value};
use squall_store::Outgoing;

/// The result of an execution that came from chat; nothing when its alias says so, or when it did not come from there.
pub(crate) fn result(execution: &Execution, turn: &Turn<'_>) -> Option<Outgoing> {
    let reply = execution.request.reply_to.as_ref()?;
    if crate::asking::is_frozen(execution) && execution.started.is_none() {
        // It was held and never ran: whoever asked was told so, and a result format would say otherwise.
        return None;
    }
    let alias = reply.alias.as_ref().and_then(|r| turn.around.content.registry().alias(r));
    let (content, settings) = (turn.around.content, turn.around.settings);
    let mut body = result_body(execution, alias.map(|a| &**a), content, settings)?;
    body.insert("user".into(), reply.user.as_str().into());
    let dedup = format!("result/{}", execution.id);
    Some(outgoing(reply, body, dedup, turn.around.now))
}

/// The body of a result message.
pub(crate) fn result_body(
    execution: &Execution,
    alias: Option<&Alias>,
    content: &Content,
    settings: &Settings,
) -> Option<Map> {
    let declared = alias.and_then(|a| a.result.as_ref());
    if declared.is_some_and(|r| r.get("enabled").is_some_and(|e| !e.is_truthy())) {
        return None;
    }
    let shown = view::execution(execution, content, settings);
    let data = Value::from_pairs([("execution", shown.clone()), ("alias", alias.map_or(Value::Null, view::alias))]);
    let text = match declared.and_then(|r| r.get("format")).and_then(Value::as_str) {
        None => default_text(&shown),
        Some(format) => match render(format, &data, Rules::StackLax, &settings.expressions) {
            Ok(text) => text,
            Err(why) => format!("{}\n(the result format of the alias failed: {why})\n", default_text(&shown)),
        },
    };
    let mut body = Map::new();
    body.insert("kind".into(), "result".into());
    body.insert("message".into(), text.into());
    body.insert("execution".into(), execution.id.to_string().into());
    body.insert("status".into(), execution.status.as_str().into());
    if let Some(extra) = declared.and_then(|r| r.get("extra")) {
        body.insert("extra".into(), extra.clone());
    }
    Some(body)
}

/// The acknowledgement of a command; nothing when its alias says so.
pub(crate) fn acknowledgement(
    execution: &Execution,
    alias: &Alias,
    content: &Content,
    settings: &Settings,
) -> Option<Map> {
    if !is_acknowledged(alias) {
        return None;
    }
    let nothing = Value::Null;
    let ack = alias.ack.as_ref().unwrap_or(&nothing);
    let data = Value::from_pairs([
        ("execution", view::execution(execution, content, settings)),
        ("actionalias", view::alias(alias)),
    ]);
    let rendered = ack
        .get("format")
        .and_then(Value::as_str)
        .map(|format| render(format, &data, Rules::Stack, &settings.expressions));
    let mut message = match rendered {
        Some(Ok(text)) if !text.is_empty() => text,
        Some(Err(why)) => {
            let default = texts::acknowledged(&execution.request.action, execution.id);
            format!("{default} (the ack format of the alias failed: {why})")
        }
        Some(Ok(_)) | None => texts::acknowledged(&execution.request.action, execution.id),
    };
    let append = ack.get("append_url").is_none_or(Value::is_truthy);
    // Bots in front of squall append it themselves.
    if append
        && execution.request.reply_to.is_some()
        && let Some(url) = view::web_url(execution, settings)
    {
        message.push_str(&texts::details_at(&url));
    }
    let mut body = Map::new();
    body.insert("kind".into(), "ack".into());
    body.insert("message".into(), message.into());
    body.insert("execution".into(), execution.id.to_string().into());
    if let Some(extra) = ack.get("extra") {
        body.insert("extra".into(), extra.clone());
    }
    Some(body)
}

/// Whether an alias wants its commands acknowledged.
pub(crate) fn is_acknowledged(alias: &Alias) -> bool {
    alias.ack.as_ref().and_then(|ack| ack.get("enabled")).is_none_or(Value::is_truthy)
}

/// What an announcement posts: parameters with a channel and a message are meant for chat.
///
/// It goes to the network that the tree's command came from.
pub(crate) fn announcement(turn: &Turn<'_>, id: ExecutionId, own: &Map) -> Option<Outgoing> {
    let text = |name: &str| own.get(name).and_then(Value::as_str).filter(|s| !s.is_empty());
    let (channel, message) = (text("channel")?, text("message")?);
    let execution = turn.tree.executions.get(&id)?;
    let origin = turn.tree.executions.get(&turn.tree.root).and_then(|root| root.request.reply_to.as_ref());
    let mut body = Map::new();
    body.insert("kind".into(), "announcement".into());
    body.insert("message".into(), message.into());
    body.insert("execution".into(), execution.id.to_string().into());
    if let Some(user) = text("user") {
        body.insert("user".into(), user.into());
    }
    for key in ["extra", "context"] {
        if let Some(value) = own.get(key).filter(|v| !v.is_null()) {
            body.insert(key.into(), value.clone());
        }
    }
    if own.get("whisper").is_some_and(Value::is_truthy) {
        body.insert("whisper".into(), true.into());
    }
    let network = origin.map_or_else(|| turn.around.settings.network.clone(), |o| o.network.clone());
    let thread = origin.filter(|o| o.channel == channel).and_then(|o| o.thread.clone());
    let now = turn.around.now;
    Some(Outgoing {
        id: 0,
        network,
        channel: channel.to_owned(),
        thread,
        body: body.into(),
        dedup: format!("announcement/{id}"),
        created: now,
        not_before: now,
        tries: 0,
    })
}

/// A message to where a command came from.
pub(crate) fn outgoing(to: &ReplyTo, body: Map, dedup: String, now: squall_model::Timestamp) -> Outgoing {
    Outgoing {
        id: 0,
        network: to.network.clone(),
        channel: to.channel.clone(),
        thread: to.thread.clone(),
        body: body.into(),
        dedup,
        created: now,
        not_before: now,
        tries: 0,
    }
}

/// Renders a template of an alias. Pure: an alias template has no datastore.
pub(crate) fn render(
    template: &str,
    data: &Value,
    engine: Rules,
    limits: &Limits,
) -> Result<String, squall_expr::Error> {
    let compiled = jinja::Template::compile(template, engine)?;
    compiled.render(&Scope { engine, data, host: &NoHost, limits })
}

// ---- the default text, byte for byte StackStorm's ------------------------------------------------------------------

fn default_text(execution: &Value) -> String {
    let text = |path: &[&str]| execution.at(path).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut out = format!(
        "\nAction {} completed.\nstatus : {}\nexecution: {}\n\n",
        text(&["action", "ref"]),
        text(&["status"]),
        text(&["id"])
    );
    if let Some(url) = execution.get("web_url").and_then(Value::as_str) {
        out.push_str(&format!("web_url: {url}\n"));
    }
    out.push('\n');
    if let Some(Value::Float(seconds)) = execution.get("elapsed_seconds") {
        out.push_str(&format!("Took {} to complete.\n", texts::human_time(*seconds)));
    }
    out.push('\n');
    if let Some(result) = execution.get("result").filter(|r| r.is_truthy()) {
        let runner = text(&["action", "runner_type"]);
        out.push_str(&format!("result :\n--------\n{}\n\n", result_lines(&runner, result)));
    }
    out
}

/// Which fields of a result the default text shows, by runner.
fn result_lines(runner: &str, result: &Value) -> String {
    let Some(map) = result.as_map() else { return format!("{}\n", squall_expr::python::str(result)) };
    let shell = ["stdout", "stderr", "return_code", "error"];
    match runner {
        // Why something that was held does not run: no runner has seen it.
        _ if map.keys().all(|key| matches!(&**key, "error" | "cause")) => truthy_lines(map, &["error", "cause"], 0),
        "python-script" | "native" | "windows-cmd" | "windows-script" => {
            truthy_lines(map, &["result", "stdout", "stderr", "exit_code"], 0)
        }
        "local-shell-cmd" | "local-shell-script" => truthy_lines(map, &shell, 0),
        "remote-shell-cmd" | "remote-shell-script" => map
            .iter()
            .map(|(host, value)| match value.as_map() {
                Some(fields) => format!("{host} : \n{}", truthy_lines(fields, &shell, 2)),
                None => line(host, value, 0),
            })
            .collect(),
        _ => map.iter().map(|(key, value)| line(key, value, 0)).collect(),
    }
}

fn truthy_lines(map: &Map, keys: &[&str], indent: usize) -> String {
    keys.iter().filter_map(|key| map.get(*key).filter(|v| v.is_truthy()).map(|v| line(key, v, indent))).collect()
}

fn line(key: &str, value: &Value, indent: usize) -> String {
    let pad = " ".repeat(indent);
    match value {
        Value::Map(map) => {
            let inner: String = map.iter().map(|(k, v)| line(k, v, indent + 2)).collect();
            format!("{pad}{key} : \n{inner}")
        }
        // The original indents the first line only.
        Value::Str(text) if text.contains('\n') => format!("{pad}{key} :       \n{pad}  {text}\n"),
        other => format!("{pad}{key} : {}\n", squall_expr::python::str(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use squall_model::from_json;

    #[track_caller]
    fn check(runner: &str, json: &str, expected: &str) {
        assert_eq!(result_lines(runner, &from_json(json, false).unwrap()), expected);
    }

    #[test]
    fn default_bodies_are_stackstorms() {
        check("local-shell-cmd", r#"{"stdout":"hi","stderr":"","return_code":0}"#, "stdout : hi\n");
        check(
            "local-shell-cmd",
            r#"{"stdout":"a\nb","stderr":"w","return_code":1}"#,
            "stdout :       \n  a\nb\nstderr : w\nreturn_code : 1\n",
        );
        check(
            "python-script",
            r#"{"result":{"a":1,"b":{"c":"d"}},"exit_code":0}"#,
            "result : \n  a : 1\n  b : \n    c : d\n",
        );
        check("python-script", r#"{"error":"void","cause":"it changed"}"#, "error : void\ncause : it changed\n");
        check("orquesta", r#"{"output":{"note":"ok"}}"#, "output : \n  note : ok\n");
    }
}
