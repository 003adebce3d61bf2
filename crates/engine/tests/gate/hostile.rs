//! What people with bad intentions try: to have less asked than the rules want, to read what is not theirs, to be in the way of others.

use crate::desk::{Desk, rule, token};
use squall_engine::confirmation::State;
use squall_engine::people::Principal;
use squall_engine::{Command, OnHold, Request, Role, Source, Via};
use squall_model::{ReplyTo, Value, from_json};
use squall_store::{Item, ItemScope, Op, crypto};
use std::time::Duration;

const WIPE: &str = r#"{"what": "db1"}"#;

fn json(text: &str) -> Value {
    from_json(text, false).expect("JSON")
}

/// A rule of the server about `danger.wipe`.
fn sre() -> Desk {
    Desk::with(&rule("r", "danger.wipe", "{who: {role: [sre]}}"))
}

// ---- less asked than the rules want --------------------------------------------------------------------------------

/// Content and callers only add requirements: their escalation lets nobody answer in the place of whom a rule names.
#[test]
fn an_escalation_widens_no_requirement_but_its_own() {
    let mut desk = sre();
    let confirm = json(r#"{"by": "user:erin", "escalate": [{"after": "1s", "add_who": "anyone"}]}"#);
    let request = Request { confirm, ..desk.requested("alice", "danger.wipe", WIPE) };
    let id = desk.send(request).unwrap().id;
    desk.pass(Duration::from_secs(2));
    let record = desk.record_of(id);
    assert_eq!(record.need(), "1 of role sre and 1 of erin or anyone who may run it");
    for name in ["erin", "mallory"] {
        desk.grant(name, &record);
    }
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("pending", 0));
    desk.grant("bob", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 1);
}

/// Where two rules ask the same people, the escalation of one of them is not the other's.
#[test]
fn an_escalation_of_one_rule_does_not_widen_what_another_asks_of_the_same_people() {
    let mut desk = sre();
    let confirm = json(r#"{"by": "role:sre", "escalate": [{"after": "1s", "add_who": "anyone"}]}"#);
    let request = Request { confirm, ..desk.requested("alice", "danger.wipe", WIPE) };
    let id = desk.send(request).unwrap().id;
    desk.pass(Duration::from_secs(2));
    let record = desk.record_of(id);
    desk.grant("mallory", &record);
    assert_eq!(desk.status(id), "pending");
}

/// A yes with a second factor or a typed name is more than a plain one, and no caller may offer a way around it.
#[test]
fn a_caller_breaks_no_glass_of_a_strict_rule() {
    let mut desk = Desk::with(&rule("r", "danger.wipe", "{who: requester, phrase: really}"));
    let confirm = json(r#"{"by": "user:erin", "break_glass": "anyone"}"#);
    let request = Request { confirm, ..desk.requested("alice", "danger.wipe", WIPE) };
    let id = desk.send(request).unwrap().id;
    assert!(desk.record_of(id).break_glass.is_empty());
}

/// Finding something out runs an action unasked and with all rights: rules and packs may want that, callers may not.
#[test]
fn a_caller_has_nothing_run_to_find_something_out() {
    for confirm in [
        r#"{"show": {"dry_run": "danger.plan"}}"#,
        r#"{"by": "on_call:danger.rota"}"#,
        r#"{"by": "user:erin", "escalate": [{"after": "1s", "add_who": "on_call:danger.rota"}]}"#,
    ] {
        let mut desk = Desk::new();
        let request = Request { confirm: json(confirm), ..desk.requested("alice", "danger.wipe", WIPE) };
        let refused = desk.send(request).map(|e| e.status).unwrap_err().to_string();
        desk.pass(Duration::from_secs(10));
        assert!(refused.contains("a caller cannot have an action run"), "{confirm}: {refused}");
        assert_eq!((desk.executions().len(), desk.effects()), (0, 0), "{confirm}");
    }
}

/// Two requirements are not both met by one that was frozen, however much smaller its set is.
#[test]
fn a_new_rule_beside_a_narrower_one_is_more() {
    let mut desk = sre();
    let id = desk.request("alice", "danger.wipe", WIPE).unwrap().id;
    let before = desk.one_open();
    desk.new_rules(
        "version: 1\nrules:\n  - {id: r, why: because, when: {action: [danger.wipe]}, require: [{who: {role: [sre]}}]}\n  \
         - {id: s, when: {action: [danger.wipe]}, require: [{who: {role: [sre, lead]}}]}\n",
    );
    let now = desk.record_of(id);
    assert_ne!(now.id, before.id, "it is asked anew");
    assert_eq!(now.need(), "1 of role sre and 1 of role lead or role sre");
    desk.grant("bob", &now);
    assert_eq!(desk.status(id), "pending");
}

fn agent() -> Principal {
    Principal { user: "alice".into(), role: Role::Operator, via: Via::Agent("helper".into()) }
}

/// What a program starts through an action is still started by a program.
#[test]
fn a_program_stays_one_through_its_runs() {
    let rules = "version: 1\nrules:\n  - {id: r, when: {action: [danger.wipe], source: [mcp]}, require: [{who: {role: [sre]}}]}\n";
    let by_create = r#"{"action": "danger.wipe", "parameters": {"what": "db1"}}"#;
    let ways = [("st2.executions.create", by_create), ("chatops.match_and_execute", r#"{"text": "wipe db1"}"#)];
    for (action, params) in ways {
        let mut desk = Desk::with(rules);
        let request = desk.requested("alice", action, params);
        desk.send(Request { source: Source::Mcp, who: agent(), ..request }).unwrap();
        desk.pass(Duration::from_secs(10));
        assert_eq!(desk.effects(), 0, "{action}");
        let record = desk.one_open();
        assert_eq!((record.source, record.requester.agent.as_deref()), (Source::Mcp, Some("helper")), "{action}");
    }
    // With an alias that it names itself.
    let mut desk = Desk::with(rules);
    let command = Command { who: agent(), reply_to: None, chat: Value::Null, ..desk.command("alice", "wipe db1", "x") };
    let engine = desk.engine.clone();
    desk.wait(async move { engine.command(&command).await }).unwrap();
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.effects(), desk.one_open().source), (0, Source::Mcp));
}

/// The account whose token carried a bot's request loses its rights while people are asked.
#[test]
fn a_bot_that_may_no_longer_run_it_releases_nothing() {
    let mut desk = Desk::with(&rule("r", "danger.wipe", "{who: {role: [sre]}}"));
    let mut command = desk.command("somebody", "wipe db1", "b1");
    command.who = token("mallory");
    (command.reply_to, command.chat) = (None, Value::Null);
    let engine = desk.engine.clone();
    let id = desk.wait(async move { engine.command(&command).await }).unwrap()[0].execution.id;
    let record = desk.record_of(id);
    desk.user("mallory", &["guest"], true);
    desk.grant("bob", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Void, 0));
}

/// Variables of its environment let a shell run anything, so they are not for those who may not run anything.
#[test]
fn the_environment_of_a_process_is_not_for_everybody() {
    let params = r#"{"what": "db1", "env": {"BASH_ENV": "$(touch /tmp/owned)"}}"#;
    let mut desk = Desk::new();
    let refused = desk.request("alice", "danger.wipe", params).unwrap_err().to_string();
    let text = "`alice` may not give `danger.wipe` an environment by its runner's parameter `env`: this needs the role `admin`";
    assert_eq!(refused, text);
    let engine = desk.engine.clone();
    let mut command = desk.command("alice", r#"wipe db1 env={"BASH_ENV": "x"}"#, "b1");
    command.who = token("alice");
    let refused = desk.wait(async move { engine.command(&command).await }).map(|_| ()).unwrap_err().to_string();
    assert_eq!((refused.as_str(), desk.executions().len()), (text, 0));
    assert!(desk.request("admin", "danger.wipe", params).is_ok());
}

// ---- reading what is not theirs ------------------------------------------------------------------------------------

/// A secret item of the datastore, of the system or of a user.
fn secret(desk: &mut Desk, scope: ItemScope, name: &str, value: &str) {
    let key = desk.engine.settings().datastore_key.clone().expect("a key");
    let value = crypto::encrypt(&key, value, desk.engine.ids());
    let (created, name) = (desk.now(), name.to_owned());
    let item = Item { scope, name, value, secret: true, description: None, created, expires: None };
    desk.commit(Op::SetItem { item: Box::new(item), now: created }.into());
}

/// An operator is not allowed to see secrets of the system, whichever way they ask.
#[test]
fn decrypting_by_an_action_needs_the_right_to_decrypt() {
    for action in ["st2.kv.get", "st2.kv.get_object"] {
        let mut desk = Desk::new();
        secret(&mut desk, ItemScope::System, "pin", "\"hunter2\"");
        let params = r#"{"key": "pin", "decrypt": true}"#;
        let id = desk.request("alice", action, params).unwrap().id;
        assert!(!desk.result(id).contains("hunter2"), "{}", desk.result(id));
        assert!(desk.result(id).contains("`alice` may not see the secret datastore item `pin`"), "{}", desk.result(id));
        assert_eq!(desk.status(id), "failed");
        let id = desk.request("admin", action, params).unwrap().id;
        assert!(desk.result(id).contains("hunter2"), "{}", desk.result(id));
    }
    // What a workflow reads was decided by whoever installed it.
    let mut desk = Desk::new();
    secret(&mut desk, ItemScope::System, "pin", "hunter2");
    let id = desk.request("alice", "danger.tells", "{}").unwrap().id;
    assert!(desk.result(id).contains("hunter2"), "{}", desk.result(id));
}

/// The name that a chat network shows for somebody opens no secret of the account of that name.
#[test]
fn a_name_in_chat_opens_no_secrets_of_an_account() {
    let mut desk = Desk::new();
    secret(&mut desk, ItemScope::User("erin".into()), "token", "hunter2");
    let mut command = desk.command("erin", "my token", "b1");
    command.who = token("mallory");
    (command.reply_to, command.chat) = (None, Value::Null);
    let engine = desk.engine.clone();
    drop(desk.wait(async move { engine.command(&command).await }));
    desk.pass(Duration::from_secs(10));
    for execution in desk.executions() {
        assert!(!desk.result(execution.id).contains("hunter2"), "{}", desk.result(execution.id));
    }
    assert_eq!(desk.effects(), 0, "it cannot be rendered");
    let id = desk.request("erin", "danger.token_of", "{}").unwrap().id;
    desk.pass(Duration::from_secs(10));
    assert!(desk.result(id).contains("hunter2"), "their own they get: {}", desk.result(id));
}

/// What is told elsewhere does not repeat a secret that was typed.
#[test]
fn a_typed_secret_is_not_told_again() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "nest hunter2");
    let record = desk.record_of(id);
    assert_eq!(record.command.as_deref(), Some("!nest ••••••"));
    desk.pass(Duration::from_secs(61));
    assert_eq!(desk.said("Ask again: !nest ••••••"), 1, "{:?}", desk.texts());
    assert_eq!(desk.said("hunter2"), 0, "{:?}", desk.texts());
}

/// A secret inside of something else is one all the same.
#[test]
fn what_holds_a_secret_is_named_to_the_store() {
    let mut desk = Desk::new();
    let id = desk.request("alice", "danger.nested", r#"{"login": {"user": "a", "password": "hunter2"}}"#).unwrap().id;
    assert_eq!(desk.execution(id).request.secret, ["sudo_password", "login", "token"]);
}

// ---- in the way of others ------------------------------------------------------------------------------------------

fn in_ops(desk: &Desk) -> Request {
    let reply = ReplyTo {
        network: "terminal".into(),
        channel: "ops".into(),
        thread: None,
        user: "mallory".into(),
        alias: None,
        message: None,
    };
    Request { source: Source::Chat, reply_to: Some(reply), ..desk.requested("mallory", "danger.burn", WIPE) }
}

/// Looking what would be asked, and asking for nothing that waits, take no place in a channel.
#[test]
fn what_is_not_asked_delays_no_question() {
    let mut desk = Desk::new();
    for _ in 0..50 {
        let request = in_ops(&desk);
        desk.engine.preview(&request).unwrap();
        assert!(desk.send(Request { on_hold: OnHold::Reject, ..request }).is_err());
    }
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    assert_eq!((record.copies[0].not_before, record.moved), (None, false));
}

/// One step of a workflow opens no more questions than anybody may have open.
#[test]
fn a_workflow_opens_no_more_than_its_requester_may() {
    for action in ["danger.many", "danger.each_of_many"] {
        let mut desk = Desk::new();
        desk.request("alice", action, "{}").unwrap();
        desk.pass(Duration::from_secs(5));
        assert_eq!(desk.open().len(), 20, "{action}");
        assert_eq!(desk.effects(), 0);
    }
}

/// Many items that wait for one answer cost what they are, not their square.
#[test]
fn once_for_many_items_is_one_small_record() {
    let mut desk = Desk::new();
    let id = desk.request("alice", "danger.once_of_many", "{}").unwrap().id;
    desk.pass(Duration::from_secs(5));
    let record = desk.one_open();
    assert_eq!(record.runs.len(), 2_000);
    assert!(record.to_json().len() < 250_000, "{} bytes", record.to_json().len());
    assert!(record.version <= 4, "one change for all that joined in one commit: {}", record.version);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(5));
    assert_eq!(desk.status(id), "succeeded");
}

/// Runs of one message run together or not at all, also when one of them cannot be made.
#[test]
fn one_that_cannot_be_made_starts_none_of_a_message() {
    let mut desk = Desk::new();
    for (words, effects) in [("P-0 P-1", 2), ("P-0 P-5", 0)] {
        let command = desk.command("alice", words, words);
        let engine = desk.engine.clone();
        let said = desk.wait(async move { engine.command(&command).await });
        desk.pass(Duration::from_secs(10));
        assert_eq!(desk.effects(), effects, "{words}");
        assert_eq!(said.is_ok(), effects > 0, "{words}");
        desk.ground.starts.lock().unwrap().clear();
    }
}
