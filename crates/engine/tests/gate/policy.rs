//! Which rules ask, where they are written, and what they cover.

use crate::desk::{Desk, rule, token, usual};
use squall_engine::confirmation::{State, policy};
use squall_engine::{Principal, Request, Source, Via};
use squall_model::{Status, Value};
use std::time::Duration;

const SRE: &str = "{who: {role: [sre]}}";

#[test]
fn true_shorthand() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    assert_eq!(record.need(), "1 of the requester");
    assert_eq!(record.timeout_ms, 60_000);
    assert_eq!(desk.status(id), "pending");
    assert_eq!(
        desk.grant("bob", &record),
        format!("bob (@bob), you cannot approve {}: it needs alice (@alice).", record.code)
    );
    assert!(desk.grant("alice", &record).contains("Confirmed by alice (@alice)"));
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.effects(), desk.status(id).as_str()), (1, "succeeded"));
}

#[test]
fn role_shorthand() {
    let mut desk = Desk::with(&rule("two", "danger.wipe", "{who: {role: [sre]}, count: 2}"));
    let id = desk.say("alice", "wipe db1");
    let record = desk.record_of(id);
    assert_eq!(record.timeout_ms, 900_000);
    assert!(desk.grant("bob", &record).contains("(1 of 2)"));
    assert!(desk.grant("bob", &record).contains("You already approved"));
    assert_eq!(desk.status(id), "pending");
    assert!(desk.grant("carol", &record).contains("Confirmed by"));
}

#[test]
fn join_strictest() {
    let text = "version: 1\nrules:\n  - {id: self, when: {action: [danger.wipe]}, require: [{who: requester}], timeout: 5m}\n  \
                - {id: sre, when: {action: ['danger.*']}, require: [{who: {role: [sre]}}], timeout: 2m}\n";
    let mut desk = Desk::with(text);
    let id = desk.say("alice", "wipe db1");
    let record = desk.record_of(id);
    assert_eq!(record.need(), "1 of the requester and 1 of role sre");
    assert_eq!(record.timeout_ms, 120_000);
    assert!(desk.grant("alice", &record).contains("(1 of 2)"));
    assert!(desk.grant("bob", &record).contains("Confirmed by"));
}

#[test]
fn expr_error_matches() {
    let text = "version: 1\nrules:\n  - {id: broken, when: {action: [danger.wipe], expr: \"<% ctx().target.nothing.more %>\"}, require: [{who: requester}]}\n";
    let mut desk = Desk::with(text);
    let id = desk.say("alice", "wipe db1");
    assert_eq!(desk.record_of(id).rules[0].id, "broken");
}

/// Conditions see the final parameters: defaults too, and never what was typed before it was cast.
#[test]
fn conditions_look_at_final_parameters() {
    let text = "version: 1\nrules:\n  - {id: test, when: {action: [danger.wipe], params: [{path: target, op: eq, value: test}]}, require: [{who: requester}]}\n";
    let mut desk = Desk::with(text);
    let by_default = desk.request("alice", "danger.wipe", r#"{"what": "x"}"#).unwrap();
    assert_eq!(by_default.status.as_str(), "pending");
    let other = desk.request("alice", "danger.wipe", r#"{"what": "x", "target": "prod"}"#).unwrap();
    assert_ne!(other.status.as_str(), "pending");
    let rendered = desk
        .request("alice", "danger.wipe", r#"{"what": "y", "target": "{{ what | replace('y', 'test') }}"}"#)
        .unwrap();
    assert_eq!(rendered.status.as_str(), "pending");
}

#[test]
fn secret_invisible() {
    let text = "version: 1\nrules:\n  - {id: there, when: {action: [danger.wipe], params: [{path: token, op: exists}]}, require: [{who: requester}]}\n";
    let mut desk = Desk::with(text);
    let id = desk.request("alice", "danger.wipe", r#"{"what": "x", "token": "hunter2"}"#).unwrap().id;
    let record = desk.record_of(id);
    assert!(!record.to_json().contains("hunter2"), "the record shows the secret");
    assert!(!desk.texts().join("\n").contains("hunter2"));
    assert!(desk.engine.shown(&record).contains("••••••"));
}

#[test]
fn exempt_logged() {
    let text = "version: 1\nrules:\n  - {id: all, when: {action: ['danger.*']}, require: [{who: {role: [sre]}}]}\nexempt:\n  \
                - {id: ci, when: {requester: {user: [mallory]}, action: [danger.wipe]}, reason: nightly, expires: 2016-02-01}\n";
    let mut desk = Desk::with(text);
    let free = desk.request("mallory", "danger.wipe", r#"{"what": "x"}"#).unwrap();
    assert_ne!(free.status.as_str(), "pending");
    assert_eq!(desk.events("exemption_used"), 1);
    let row = desk.store_row("exemption_used");
    assert_eq!(row.get("reason").and_then(Value::as_str), Some("nightly"));
    let held = desk.request("alice", "danger.wipe", r#"{"what": "x"}"#).unwrap();
    assert_eq!(held.status.as_str(), "pending");
    // It ends at its date, in eleven days.
    desk.pass(Duration::from_secs(12 * 86_400));
    let later = desk.request("mallory", "danger.wipe", r#"{"what": "x"}"#).unwrap();
    assert_eq!(later.status.as_str(), "pending");
    assert_eq!(desk.events("exemption_used"), 1);
}

#[test]
fn deep_pull_up_one_question() {
    let mut desk = Desk::new();
    for action in ["danger.orq", "danger.mis", "danger.chain", "danger.deep_orq"] {
        let id = desk.request("alice", action, "{}").unwrap().id;
        let record = desk.record_of(id);
        assert_eq!(record.rules[0].includes, ["danger.burn"], "{action}");
        let before = desk.effects();
        desk.grant("alice", &record);
        desk.pass(Duration::from_secs(10));
        assert_eq!(desk.status(id), "succeeded", "{action}: {:?}", desk.execution(id).result);
        assert_eq!(desk.effects(), before + 1, "{action}");
    }
    assert_eq!(desk.records().len(), 4, "each asked once");
}

#[test]
fn computed_child_held_at_start() {
    let mut desk = Desk::new();
    let id = desk.request("alice", "danger.computed", "{}").unwrap().id;
    desk.settle();
    // The workflow runs; the task whose name nobody could know waits.
    assert_eq!(desk.status(id), "running");
    let record = desk.one_open();
    assert_ne!(record.runs[0].0, id);
    assert_eq!(desk.status(record.runs[0].0), "pending");
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn deep_task_held() {
    // A condition on parameters is known when the task starts, so it is asked then.
    let text = "version: 1\nrules:\n  - {id: big, when: {action: [danger.burn], params: [{path: what, op: eq, value: orq}]}, require: [{who: {role: [sre]}}]}\n";
    let mut desk = Desk::with(text);
    let id = desk.request("alice", "danger.orq", "{}").unwrap().id;
    // The root asks what can be known before; the requester says yes to that.
    let first = desk.record_of(id);
    assert_eq!(first.need(), "1 of the requester");
    desk.grant("alice", &first);
    let second = desk.one_open();
    assert_eq!(second.rules.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["big"]);
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("running", 0));
    desk.grant("bob", &second);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn release_covers_children_same_rule_only() {
    // Covered: `burn` by itself, pulled up. Not covered: the rule with a condition.
    let text = "version: 1\nrules:\n  - {id: extra, when: {action: [danger.burn], expr: \"<% true %>\"}, require: [{who: {role: [sre]}}]}\n";
    let mut desk = Desk::with(text);
    let id = desk.request("alice", "danger.orq", "{}").unwrap().id;
    let first = desk.record_of(id);
    desk.grant("alice", &first);
    let second = desk.one_open();
    assert_eq!(second.rules.iter().map(|r| r.id.as_str()).collect::<Vec<_>>(), ["extra"], "its own rule is covered");
}

#[test]
fn alias_confirm_does_not_guard_action() {
    // An alias guards its words alone; the action has its own declaration here, so it is held whichever way.
    let mut desk = Desk::new();
    let id = desk.request("alice", "danger.wipe", r#"{"what": "x"}"#).unwrap();
    assert_ne!(id.status.as_str(), "pending");
}

#[test]
fn rule_source_not_held() {
    let mut desk = Desk::new();
    let request = squall_engine::Request {
        source: squall_engine::Source::Rule,
        ..desk.requested("alice", "danger.burn", r#"{"what": "x"}"#)
    };
    assert_ne!(desk.send(request).unwrap().status.as_str(), "pending");
    let text = "version: 1\nrules:\n  - {id: rules, when: {action: [danger.burn], source: [rule]}, require: [{who: {role: [sre]}}]}\n";
    desk.new_rules(text);
    let request = squall_engine::Request {
        source: squall_engine::Source::Rule,
        ..desk.requested("alice", "danger.burn", r#"{"what": "y"}"#)
    };
    assert_eq!(desk.send(request).unwrap().status.as_str(), "pending");
}

/// What a client calls itself only ever makes it asked more; a program is known by its token, whatever it calls itself.
#[test]
fn a_claimed_source_only_adds() {
    let rest = |source: &str| {
        format!(
            "version: 1\nrules:\n  - {{id: one, when: {{action: [danger.wipe], source: [{source}]}}, require: [{{who: requester}}]}}\n"
        )
    };
    let free = |source: &str| {
        let rule = rule("one", "danger.wipe", "{who: requester}");
        format!("{rule}exempt:\n  - {{id: none, when: {{source: [{source}]}}, reason: r, expires: 2999-01-31}}\n")
    };
    // Whether a plain client, the command line, the web page and a program are asked.
    for (text, asked) in [
        (rest("api"), [true, true, true, true]),
        (rest("cli"), [false, true, false, false]),
        (rest("web"), [false, false, true, false]),
        (rest("mcp"), [false, false, false, true]),
        (rest("chat"), [false, false, false, false]),
        (free("api"), [false, false, false, true]),
        (free("cli"), [true, true, true, true]),
        (free("mcp"), [true, true, true, false]),
    ] {
        for (n, claim, via) in [
            (0, None, Via::Token),
            (1, Some(Source::Cli), Via::Token),
            (2, Some(Source::Web), Via::Token),
            (3, Some(Source::Cli), Via::Agent("bot".into())),
            (0, Some(Source::Rule), Via::Token),
        ] {
            let mut desk = Desk::with(&text);
            let who = Principal { via, ..token("alice") };
            let plain = desk.requested("alice", "danger.wipe", r#"{"what": "db1"}"#);
            let request = Request::new(plain.action, plain.params, who).from_client(claim);
            let status = desk.send(request).unwrap().status;
            assert_eq!(status == Status::Pending, asked[n], "{n}, claiming {claim:?}:\n{text}");
        }
    }
}

#[test]
fn rerun_rechecks() {
    let mut desk = Desk::new();
    let first = desk.request("alice", "danger.burn", r#"{"what": "x"}"#).unwrap().id;
    let record = desk.record_of(first);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    // What `re_run` does: the same action with the parameters of the first.
    let params = desk.execution(first).request.params.clone();
    let mut request = desk.requested("alice", "danger.burn", "{}");
    request.params = params.into_iter().filter(|(name, _)| &**name == "what").collect();
    let again = desk.send(request).unwrap();
    assert_eq!(again.status.as_str(), "pending");
    assert_ne!(desk.record_of(again.id).id, record.id);
}

#[test]
fn impossible_set_refused() {
    let mut desk = Desk::with(&rule("none", "danger.wipe", "{who: {role: [nobody]}, count: 2}"));
    let refusal = desk.try_say("alice", "wipe db1").unwrap_err().to_string();
    assert!(refusal.contains("needs 2 of role nobody, but only 0 such people exist"), "{refusal}");
    assert!(desk.executions().is_empty() && desk.records().is_empty());
}

#[test]
fn the_caller_can_ask_for_more() {
    let mut desk = Desk::new();
    let mut request = desk.requested("alice", "danger.wipe", r#"{"what": "x"}"#);
    request.confirm = squall_model::from_json(r#"{"by": "role:sre"}"#, false).unwrap();
    let id = desk.send(request).unwrap().id;
    assert_eq!(desk.record_of(id).need(), "1 of role sre");
    let mut request = desk.requested("alice", "danger.burn", r#"{"what": "x"}"#);
    request.on_hold = squall_engine::OnHold::Reject;
    let before = desk.records().len();
    assert!(matches!(desk.send(request), Err(squall_engine::Refusal::Held(_))));
    assert_eq!(desk.records().len(), before, "nothing is stored");
}

#[test]
fn content_cannot_weaken() {
    // Nothing that a pack or a caller says takes away what the server's rules want.
    let mut desk = Desk::with(&rule("two", "danger.burn", "{who: {role: [sre]}, count: 2}"));
    let mut request = desk.requested("alice", "danger.burn", r#"{"what": "x"}"#);
    request.confirm = false.into();
    let id = desk.send(request).unwrap().id;
    assert_eq!(desk.record_of(id).need(), "2 of role sre and 1 of the requester");
}

#[test]
fn bad_file_keeps_old() {
    let good = policy::read(&[("a.yaml".into(), rule("a", "danger.wipe", SRE))]).0.expect("good");
    let old = std::sync::Arc::new(good);
    let broken = [("a.yaml".to_owned(), "version: 1\nrules: [{id: a, wen: {}}]\n".to_owned())];
    let (kept, found) = policy::reload(Some(old.clone()), &broken, &usual()).expect("the earlier set stays");
    assert!(std::sync::Arc::ptr_eq(&kept, &old) && found.iter().any(|d| d.is_error()));
}

#[test]
fn bad_file_first_start_refuses() {
    let broken = [("a.yaml".to_owned(), "version: 2\n".to_owned())];
    assert!(policy::reload(None, &broken, &usual()).is_err());
}

#[test]
fn parameters_that_cannot_be_rendered_start_nothing() {
    let mut desk = Desk::new();
    assert!(desk.request("admin", "danger.sealed", "{}").is_err());
    desk.pass(Duration::from_secs(5));
    assert!(desk.executions().iter().all(|e| e.status.as_str() == "failed"));
    assert!(desk.effects() == 0 && desk.records().is_empty());
}

/// What nobody had to be asked about when it was requested, and would have to when it starts, does not start.
#[test]
fn a_rule_that_comes_before_a_delayed_start_is_heeded() {
    let mut desk = Desk::new();
    let mut request = desk.requested("alice", "danger.wipe", r#"{"what": "x"}"#);
    request.delay_ms = 60_000;
    let id = desk.send(request).unwrap().id;
    assert_eq!(desk.status(id), "delayed");
    desk.new_rules(&rule("late", "danger.wipe", SRE));
    desk.pass(Duration::from_secs(70));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("failed", 0));
    let told = desk.result(id);
    assert!(told.contains("late") && told.contains("run it again"), "{told}");
}

#[test]
fn multi_run_all_or_none() {
    let mut desk = Desk::new();
    let ids = desk.try_say("alice", "T-1 T-2 T-3").unwrap();
    assert_eq!(ids.len(), 3);
    let record = desk.one_open();
    assert_eq!(record.runs.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    let shown = desk.engine.shown(&record);
    assert!(["T-1", "T-2", "T-3"].iter().all(|ticket| shown.contains(ticket)), "{shown}");
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 3);
    assert!(ids.iter().all(|id| desk.status(*id) == "succeeded"));
    // None of another one.
    let ids = desk.try_say("alice", "T-4 T-5").unwrap();
    let record = desk.one_open();
    desk.deny("alice", &record);
    assert_eq!(record.runs.len(), 2);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 3);
    assert!(ids.iter().all(|id| desk.status(*id) == "canceled"));
    assert_eq!(desk.record_of(ids[1]).state, State::Withdrawn);
}
