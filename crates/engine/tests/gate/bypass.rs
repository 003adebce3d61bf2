//! Every way to start a run, each of which stays held until the right person says yes.
//!
//! Two tables: [`WAYS`] tries each way; [`DOORS`] counts the places in the code through which something can start. A new
//! place fails the second test until it has a way in the first.

use crate::desk::{Desk, identity, token};
use squall_engine::people::CHAT_USER;
use squall_engine::{OnHold, Principal, Request, Rerun, Role, Source, Via};
use squall_model::{Status, Value};
use squall_store::{Item, ItemScope, Op};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// Tries to start something.
type Way = fn(&mut Desk);

/// A way to start something, by name. Afterwards the action must not have run, and must be held or refused.
const WAYS: &[(&str, Way)] = &[
    ("chat", |desk| drop(desk.try_say("alice", "burn db1"))),
    ("another alias of the same action", |desk| drop(desk.try_say("alice", "incinerate db1"))),
    ("several in one message", |desk| drop(desk.try_say("alice", "T-1 T-2"))),
    ("an alias and format that the caller chose", chosen_format),
    ("an old bot that says who typed it", old_bot),
    ("an old bot that forges where it was typed", forged_context),
    ("REST and `st2 run`", |desk| drop(desk.request("alice", "danger.burn", BURN))),
    ("the command line", |desk| from(desk, Source::Cli)),
    ("the web page", |desk| from(desk, Source::Web)),
    ("an agent's tool", |desk| from(desk, Source::Mcp)),
    ("a run's own token", own_token),
    ("an administrator", |desk| drop(desk.request("admin", "danger.burn", BURN))),
    ("header st2-context with keys of the engine", forged_header),
    ("header st2-context that calls it a rule", forged_rule),
    ("a request with a key, twice", with_key),
    ("a re-run", rerun),
    ("a delayed start", delayed),
    ("a delayed start across a restart", delayed_restart),
    ("an Orquesta workflow", |desk| workflow(desk, "danger.orq")),
    ("a Mistral workflow", |desk| workflow(desk, "danger.mis")),
    ("an action-chain", |desk| workflow(desk, "danger.chain")),
    ("a sub-workflow", |desk| workflow(desk, "danger.deep_orq")),
    ("a list of items", |desk| workflow(desk, "danger.items")),
    ("a task with a retry", |desk| workflow(desk, "danger.again_mis")),
    ("a policy that retries what has failed", retried_by_policy),
    ("a name computed at run time", |desk| workflow(desk, "danger.computed")),
    ("chatops.run", |desk| builtin(desk, "chatops.run", r#"{"text": "burn db1", "channel": "ops"}"#)),
    ("chatops.match_and_execute", |desk| builtin(desk, "chatops.match_and_execute", r#"{"text": "burn db1"}"#)),
    ("st2.executions.create", |desk| {
        let params = r#"{"action": "danger.burn", "parameters": {"what": "db1"}}"#;
        builtin(desk, "st2.executions.create", params);
    }),
    ("st2.executions.re_run", builtin_rerun),
    ("datastore keys as a home-made confirmation writes them", datastore_key),
    ("an inquiry answered by somebody else", foreign_inquiry),
    ("a forged announcement of a second factor", forged_announcement),
    ("resuming what is held", resumed),
    ("a restart while it is held", restarted),
    ("a caller who asks for nothing", asks_for_nothing),
    ("a refused hold", rejected),
    ("a dry run of something that may change things", dry_run),
    ("whoever is on call, looked up by something that may change things", looked_up),
];

/// What this version has no way for; a request for it is refused, so there is nothing to hold.
const ABSENT: &[&str] = &["webhook", "sensor and rule engine", "timer", "MCP server", "import of a backup"];

const BURN: &str = r#"{"what": "db1"}"#;

fn dry_run(desk: &mut Desk) {
    looks(desk, "show: {dry_run: danger.burn}, require: [{who: requester}]");
}

fn looked_up(desk: &mut Desk) {
    looks(desk, "require: [{who: {on_call: danger.burn}}]");
}

fn looks(desk: &mut Desk, body: &str) {
    desk.new_rules(&format!("version: 1\nrules:\n  - {{id: r, when: {{action: [danger.wipe]}}, {body}}}\n"));
    drop(desk.request("alice", "danger.wipe", BURN));
}

#[test]
fn every_way_stays_held() {
    for (name, way) in WAYS {
        let mut desk = Desk::new();
        way(&mut desk);
        desk.pass(Duration::from_secs(5));
        assert_eq!(desk.effects(), 0, "{name}: something ran");
        for execution in desk.executions() {
            let is_it = ["danger.burn", "danger.frail"].contains(&execution.request.action.to_string().as_str());
            let waits = matches!(execution.status, Status::Pending | Status::Canceled | Status::Failed);
            assert!(!is_it || waits, "{name}: it is {}", execution.status);
        }
    }
    assert!(!ABSENT.is_empty());
}

/// The tables are honest: what is held by each way runs once the requester says yes.
#[test]
fn what_is_held_runs_after_the_yes() {
    let ways = [
        "chat",
        "REST and `st2 run`",
        "an Orquesta workflow",
        "a Mistral workflow",
        "an action-chain",
        "a delayed start",
    ];
    for (name, way) in WAYS.iter().filter(|(name, _)| ways.contains(name)) {
        let mut desk = Desk::new();
        way(&mut desk);
        let record = desk.one_open();
        desk.grant("alice", &record);
        desk.pass(Duration::from_secs(120));
        assert_eq!(desk.effects(), 1, "{name}");
    }
}

fn from(desk: &mut Desk, source: Source) {
    let request = Request { source, ..desk.requested("alice", "danger.burn", BURN) };
    drop(desk.send(request));
}

fn chosen_format(desk: &mut Desk) {
    let command = desk.command("alice", "burn db1", "chosen");
    let engine = desk.engine.clone();
    drop(desk.wait(async move { engine.command_with("burn", "burn {{ what }}", &command).await }));
}

fn bot_command(desk: &Desk, chat: Value) -> squall_engine::Command {
    let mut command = desk.command("alice", "burn db1", "bot");
    command.who = token("mallory");
    command.reply_to = None;
    command.chat = chat;
    command
}

fn old_bot(desk: &mut Desk) {
    let command = bot_command(desk, Value::Null);
    let engine = desk.engine.clone();
    let id = desk.wait(async move { engine.command(&command).await }).unwrap()[0].execution.id;
    let record = desk.record_of(id);
    // Neither the person whose name was written nor the account that wrote it.
    for name in ["alice", "mallory"] {
        desk.grant(name, &record);
    }
    let said = format!("confirm {}", record.code);
    desk.answers("alice", &said);
}

fn forged_context(desk: &mut Desk) {
    let forged = Value::from_pairs([("network", "terminal"), ("user_id", "mallory")]);
    let command = bot_command(desk, forged);
    let engine = desk.engine.clone();
    let id = desk.wait(async move { engine.command(&command).await }).unwrap()[0].execution.id;
    let record = desk.record_of(id);
    desk.answers("mallory", &format!("confirm {}", record.code));
}

fn own_token(desk: &mut Desk) {
    let held = desk.request("alice", "danger.burn", BURN).unwrap().id;
    let record = desk.record_of(held);
    let agent = Principal { user: "alice".into(), role: Role::Operator, via: Via::Execution(held) };
    let request = Request { who: agent.clone(), ..desk.requested("alice", "danger.burn", r#"{"what": "db2"}"#) };
    drop(desk.send(request));
    let (engine, id) = (desk.engine.clone(), record.id.to_string());
    let yes = squall_engine::answers::Answering {
        verdict: squall_engine::confirmation::decide::Verdict::Grant,
        rest: None,
        digest: None,
        response: None,
        way: squall_engine::confirmation::declare::Way::Api,
    };
    drop(desk.wait(async move { engine.answer_by(&id, yes, &agent).await }));
}

fn forged_header(desk: &mut Desk) {
    let forged = ["user", "api_user", "chat", "confirmation", "parent", "action_alias_ref", "rule", "source_channel"];
    for key in forged {
        let mut request = desk.requested("mallory", "danger.burn", BURN);
        request.context.insert(key.into(), Value::from_pairs([("id", "x")]));
        assert!(desk.send(request).is_err(), "{key} was taken");
    }
}

fn forged_rule(desk: &mut Desk) {
    for key in ["rule", "trigger_instance"] {
        let mut request = desk.requested("mallory", "danger.burn", BURN);
        request.context.insert(key.into(), "x".into());
        drop(desk.send(request));
    }
}

fn with_key(desk: &mut Desk) {
    for _ in 0..2 {
        let request = Request { key: Some("k".into()), ..desk.requested("alice", "danger.burn", BURN) };
        drop(desk.send(request));
    }
    assert_eq!(desk.records().len(), 1);
}

fn rerun(desk: &mut Desk) {
    let first = desk.request("alice", "danger.burn", BURN).unwrap().id;
    desk.cancel(first);
    let engine = desk.engine.clone();
    let again = desk.wait(async move { engine.rerun(first, Rerun::default(), &token("alice")).await }).unwrap();
    assert_eq!(again.status, Status::Pending, "a re-run is asked about");
}

fn builtin_rerun(desk: &mut Desk) {
    let first = desk.request("alice", "danger.burn", BURN).unwrap().id;
    desk.cancel(first);
    builtin(desk, "st2.executions.re_run", &format!(r#"{{"id": "{first}"}}"#));
}

/// The first run was confirmed and has failed; the policy wants a second one, for which nobody said yes.
fn retried_by_policy(desk: &mut Desk) {
    let id = desk.request("alice", "danger.frail", BURN).unwrap().id;
    let record = desk.record_of(id);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("failed", 1));
    assert_eq!(desk.one_open().retry_of, None, "a question of its own");
    desk.ground.starts.lock().unwrap().clear();
}

/// A release is for one run: a retry is a new question with a new code, about what the caller wanted asked as well.
#[test]
fn a_retry_by_policy_is_asked_about_again() {
    let mut desk = Desk::new();
    let confirm = Value::from_pairs([("by", "role:sre")]);
    let request = Request { confirm, ..desk.requested("alice", "danger.frail", BURN) };
    let first = desk.send(request).unwrap().id;
    let record = desk.record_of(first);
    assert_eq!(record.need(), "1 of the requester and 1 of role sre");
    for name in ["alice", "bob"] {
        desk.grant(name, &record);
    }
    desk.pass(Duration::from_secs(10));
    let again = desk.one_open();
    assert_ne!((again.id, again.code), (record.id, record.code));
    assert_eq!(again.need(), "1 of the requester and 1 of role sre");
    assert_eq!((desk.effects(), desk.status(again.runs[0].0).as_str()), (1, "pending"));
    for name in ["alice", "bob"] {
        desk.grant(name, &again);
    }
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.effects(), desk.open().len()), (2, 0), "once again, and then no more");
}

/// What was released once is asked about again when its tasks are run again; another set of tasks is another question.
#[test]
fn tasks_run_again_are_asked_about_again() {
    let mut desk = Desk::new();
    let first = desk.request("alice", "danger.orq", "{}").unwrap().id;
    let record = desk.one_open();
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(120));
    assert_eq!(desk.effects(), 1);
    let wish = Rerun { tasks: Some(vec!["first".into()]), ..Rerun::default() };
    let engine = desk.engine.clone();
    let again = desk.wait(async move { engine.rerun(first, wish, &token("alice")).await }).unwrap();
    desk.pass(Duration::from_secs(5));
    assert_eq!((desk.effects(), again.status), (1, Status::Pending), "it waits for people again");
    let record = desk.record_of(again.id);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(120));
    assert_eq!(desk.effects(), 2);
}

fn delayed(desk: &mut Desk) {
    let request = Request { delay_ms: 1_000, ..desk.requested("alice", "danger.burn", BURN) };
    drop(desk.send(request));
}

fn delayed_restart(desk: &mut Desk) {
    delayed(desk);
    desk.restart_after(Duration::from_secs(3));
}

fn workflow(desk: &mut Desk, action: &str) {
    drop(desk.request("alice", action, "{}"));
}

fn builtin(desk: &mut Desk, action: &str, params: &str) {
    drop(desk.request("alice", action, params));
}

fn datastore_key(desk: &mut Desk) {
    let id = desk.request("alice", "danger.burn", BURN).unwrap().id;
    for name in [format!("alice_{id}"), format!("None_{id}"), format!("{CHAT_USER}_{id}")] {
        let item = Item {
            scope: ItemScope::System,
            name,
            value: "confirmed".into(),
            secret: false,
            description: None,
            created: desk.now(),
            expires: None,
        };
        let op = Op::SetItem { item: Box::new(item), now: desk.now() };
        desk.commit(op.into());
    }
}

fn foreign_inquiry(desk: &mut Desk) {
    let id = desk.request("alice", "danger.burn", BURN).unwrap().id;
    let engine = desk.engine.clone();
    let yes = [("confirm".into(), Value::from(true))].into_iter().collect();
    assert!(desk.wait(async move { engine.respond(id, &yes, &token("mallory")).await }).is_err());
}

fn forged_announcement(desk: &mut Desk) {
    let id = desk.request("alice", "danger.burn", BURN).unwrap().id;
    let params = format!(r#"{{"route": "2fa", "experimental": true, "id": "{id}", "user": "alice"}}"#);
    drop(desk.request("mallory", "core.announcement", &params));
}

fn resumed(desk: &mut Desk) {
    let id = desk.request("alice", "danger.orq", "{}").unwrap().id;
    let engine = desk.engine.clone();
    drop(desk.wait(async move { engine.resume(id, &token("admin")).await }));
}

fn restarted(desk: &mut Desk) {
    drop(desk.request("alice", "danger.burn", BURN));
    desk.restart_after(Duration::from_secs(2));
}

fn asks_for_nothing(desk: &mut Desk) {
    let request = Request { confirm: false.into(), ..desk.requested("alice", "danger.burn", BURN) };
    drop(desk.send(request));
}

fn rejected(desk: &mut Desk) {
    let request = Request { on_hold: OnHold::Reject, ..desk.requested("alice", "danger.burn", BURN) };
    assert!(desk.send(request).is_err());
    assert!(desk.executions().is_empty());
    assert_eq!(identity("alice").network, "terminal");
}

/// Places in the code through which something comes to be started, and the ways above that go through them.
const DOORS: &[(&str, &str, usize, &str)] = &[
    ("api/src/executions.rs", ".request(", 1, "REST and `st2 run`"),
    ("api/src/executions.rs", ".rerun(", 1, "a re-run"),
    ("engine/src/rerun.rs", ".request(", 1, "a re-run; tasks run again, in a test of its own"),
    ("engine/src/calls.rs", ".request(", 1, "st2.executions.create"),
    ("engine/src/calls.rs", ".rerun(", 1, "st2.executions.re_run"),
    ("engine/src/calls.rs", ".command(", 1, "chatops.match_and_execute"),
    ("engine/src/policies.rs", "Execution::new(", 1, "a policy that retries what has failed; once more in `passes`"),
    ("engine/src/looking.rs", ".request(", 1, "a dry run of something that may change things"),
    ("api/src/packs.rs", ".request(", 1, "an administrator"),
    ("api/src/aliases.rs", ".command(", 1, "an old bot that says who typed it"),
    ("api/src/aliases.rs", ".command_with(", 1, "an alias and format that the caller chose"),
    ("chat/src/bot.rs", ".command(", 1, "chat"),
    ("engine/src/request.rs", "Execution::new(", 3, "REST and `st2 run`; stored as failed; looked at and not stored"),
    ("engine/src/preview.rs", "Execution::new(", 1, "looked at and not stored"),
    ("engine/src/alias.rs", "Execution::new(", 1, "chat"),
    ("engine/src/spawn.rs", "Execution::new(", 1, "an Orquesta workflow"),
    ("engine/src/turn.rs", "starts.push_back(", 2, "chat; a restart while it is held"),
    ("engine/src/turn/steering.rs", "starts.push_back(", 1, "a delayed start"),
    ("engine/src/turn/held.rs", "starts.push_back(", 1, "the release itself"),
    ("engine/src/turn/ends.rs", "starts.push_back(", 1, "an attempt that certainly never started"),
    ("engine/src/turn/workflows.rs", "starts.push_back(", 1, "an Orquesta workflow"),
    ("engine/src/turn/start.rs", "Effect::Dispatch(", 1, "everything, behind `passes`"),
];

#[test]
fn every_door_has_a_way() {
    let needles = [
        ".request(",
        ".rerun(",
        ".command(",
        ".command_with(",
        "Execution::new(",
        "starts.push_back(",
        "Effect::Dispatch(",
    ];
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("crates");
    let mut found: BTreeMap<(String, &str), usize> = BTreeMap::new();
    for room in ["api", "chat", "server", "engine", "cli"] {
        for file in sources(&crates.join(room).join("src")) {
            let text = std::fs::read_to_string(&file).expect("a source");
            let name = file.strip_prefix(crates).expect("below").to_string_lossy().into_owned();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
                for needle in needles.iter().filter(|needle| line.contains(**needle)) {
                    *found.entry((name.clone(), needle)).or_default() += 1;
                }
            }
        }
    }
    // The command line's own client and processes have words of the same name.
    found.retain(|(file, needle), _| !(file.starts_with("cli/") || is_other(file, needle)));
    let known: BTreeMap<(String, &str), usize> =
        DOORS.iter().map(|(file, needle, count, _)| (((*file).to_owned(), *needle), *count)).collect();
    assert_eq!(found, known, "a new way to start something needs a row in DOORS and in WAYS of this file");
}

/// The same letters with another meaning: reading an answer of the mailbox, not making a start.
fn is_other(file: &str, needle: &str) -> bool {
    file == "engine/src/mailbox.rs" && needle == "Effect::Dispatch("
}

fn sources(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(dir).expect("a directory of sources") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => all.extend(sources(&path)),
            false if path.extension().is_some_and(|e| e == "rs") => all.push(path),
            false => {}
        }
    }
    all
}
