//! Questions inside of workflows: held tasks, `squall.confirm` in three languages, `core.ask`.

use crate::desk::{Desk, token};
use squall_engine::confirmation::State;
use squall_model::{ExecutionId, Value, from_json};
use std::time::Duration;

fn run(desk: &mut Desk, user: &str, action: &str) -> ExecutionId {
    desk.request(user, action, "{}").unwrap().id
}

fn respond(desk: &mut Desk, user: &str, id: ExecutionId, response: &str) -> Result<(), String> {
    let response = from_json(response, false).unwrap().as_map().cloned().unwrap();
    let (engine, who) = (desk.engine.clone(), token(user));
    let done = desk.wait(async move { engine.respond(id, &response, &who).await });
    desk.settle();
    done.map_err(|refusal| refusal.to_string())
}

#[test]
fn a_held_task_does_not_stop_the_other_branches() {
    let mut desk = Desk::new();
    let id = run(&mut desk, "alice", "danger.branches");
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.status(id), "running");
    let done = desk.executions().iter().any(|e| &*e.request.action.name == "noop" && e.status.as_str() == "succeeded");
    assert!(done, "the other branch went on");
    let record = desk.one_open();
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn each_item_has_a_question_of_its_own() {
    let text = "version: 1\nrules:\n  - {id: each, when: {action: [danger.wipe], params: [{path: what, op: exists}]}, require: [{who: requester}]}\n";
    let mut desk = Desk::with(text);
    let id = run(&mut desk, "alice", "danger.each");
    assert_eq!(desk.open().len(), 2);
    for record in desk.open() {
        desk.grant("alice", &record);
    }
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 2));
}

#[test]
fn a_retry_is_a_new_question() {
    let text = "version: 1\nrules:\n  - {id: each, when: {action: [danger.wipe], params: [{path: what, op: exists}]}, require: [{who: {role: [sre]}}]}\n";
    let mut desk = Desk::with(text);
    let id = run(&mut desk, "alice", "danger.retried");
    let first = desk.one_open();
    desk.deny("bob", &first);
    desk.pass(Duration::from_secs(2));
    let second = desk.one_open();
    assert_ne!((first.id, first.code), (second.id, second.code));
    desk.grant("bob", &second);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn the_task_in_three_languages_granted_and_refused() {
    for action in ["danger.asks_orq", "danger.asks_mis", "danger.asks_chain"] {
        let mut desk = Desk::new();
        let id = run(&mut desk, "alice", action);
        let record = desk.one_open();
        assert_eq!(desk.status(id), "running", "{action}");
        assert!(desk.engine.shown(&record).contains("Go on with it?"), "{}", desk.engine.shown(&record));
        desk.grant("bob", &record);
        desk.pass(Duration::from_secs(10));
        assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1), "{action}: {}", desk.result(id));
        let task = desk.execution(record.runs[0].0);
        assert_eq!(task.status.as_str(), "succeeded");
        assert_eq!(task.result.get("confirmed"), Some(&Value::from(true)));
        // Refused: the error path is taken, and the action is not run.
        let id = run(&mut desk, "alice", action);
        let record = desk.one_open();
        desk.deny("bob", &record);
        desk.pass(Duration::from_secs(10));
        assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1), "{action}: {}", desk.result(id));
        assert_eq!(desk.status(record.runs[0].0), "failed");
        // Silence.
        let id = run(&mut desk, "alice", action);
        let record = desk.one_open();
        desk.pass(Duration::from_secs(130));
        assert_eq!((desk.status(record.runs[0].0).as_str(), desk.effects()), ("timeout", 1), "{action}");
        assert_eq!(desk.status(id), "succeeded", "{action}: {}", desk.result(id));
    }
}

/// A workflow that a timer started has no account behind it; its question is answered all the same.
#[test]
fn a_workflow_of_the_engine_itself_asks_too() {
    let mut desk = Desk::new();
    let request = squall_engine::Request {
        source: squall_engine::Source::Timer,
        who: squall_engine::Principal::internal(),
        ..desk.requested("alice", "danger.asks_orq", "{}")
    };
    let id = desk.send(request).unwrap().id;
    let record = desk.one_open();
    let engine = desk.engine.clone();
    desk.wait(async move { engine.review_open().await }).unwrap();
    desk.grant("bob", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn one_question_for_all_items() {
    let mut desk = Desk::new();
    let id = run(&mut desk, "alice", "danger.once");
    let record = desk.one_open();
    assert_eq!(record.runs.len(), 3);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.status(id), "succeeded");
    assert_eq!(desk.records().len(), 1);
}

#[test]
fn cancel_execution_withdraws() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    desk.cancel(id);
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Withdrawn, "canceled"));
}

#[test]
fn workflow_end_withdraws() {
    let mut desk = Desk::new();
    let id = run(&mut desk, "alice", "danger.asks_orq");
    let record = desk.one_open();
    desk.cancel(id);
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.record_of(record.runs[0].0).state, State::Withdrawn);
    assert_eq!(desk.status(id), "canceled");
}

#[test]
fn a_pause_withdraws() {
    let mut desk = Desk::new();
    let id = run(&mut desk, "alice", "danger.asks_orq");
    let record = desk.one_open();
    let engine = desk.engine.clone();
    desk.wait(async move { engine.pause(id, &token("admin")).await }).unwrap();
    desk.settle();
    assert_eq!(desk.record_of(record.runs[0].0).state, State::Withdrawn);
}

// ---- inquiries -------------------------------------------------------------------------------------------------------

#[test]
fn an_inquiry_pauses_and_its_answer_resumes() {
    for action in ["danger.inquires", "danger.inquires_chain"] {
        let mut desk = Desk::new();
        let id = run(&mut desk, "alice", action);
        let record = desk.one_open();
        let task = record.runs[0].0;
        assert_eq!((desk.status(task).as_str(), desk.status(id).as_str()), ("pending", "paused"), "{action}");
        let result = desk.execution(task).result;
        for key in ["schema", "roles", "users", "route", "ttl"] {
            assert!(result.get(key).is_some(), "{key} of {}", desk.result(task));
        }
        let wrong = respond(&mut desk, "bob", task, r#"{"continue": "yes"}"#).unwrap_err();
        assert!(wrong.contains("did not pass schema validation"), "{wrong}");
        let stranger = respond(&mut desk, "carol", task, r#"{"continue": true}"#).unwrap_err();
        assert_eq!(stranger, format!("User \"carol\" does not have permission to respond to inquiry \"{task}\"."));
        respond(&mut desk, "bob", task, r#"{"continue": true}"#).unwrap();
        desk.pass(Duration::from_secs(10));
        assert_eq!((desk.status(task).as_str(), desk.status(id).as_str()), ("succeeded", "succeeded"), "{action}");
        let result = desk.execution(task).result;
        assert_eq!(result.at(&["response", "continue"]), Some(&Value::from(true)));
        assert_eq!(result.get("responder").and_then(Value::as_str), Some("bob"));
        let again = respond(&mut desk, "bob", task, r#"{"continue": true}"#).unwrap_err();
        assert_eq!(again, format!("Inquiry \"{task}\" has already been responded to."));
    }
}

#[test]
fn an_inquiry_ends_exactly_at_its_minutes() {
    let mut desk = Desk::new();
    let id = run(&mut desk, "alice", "danger.inquires");
    let task = desk.one_open().runs[0].0;
    desk.pass_ms(2 * 60_000 - 1);
    assert_eq!(desk.status(task), "pending");
    desk.pass_ms(1);
    assert_eq!(desk.status(task), "timeout");
    desk.pass(Duration::from_secs(5));
    assert!(desk.execution(id).status.is_final(), "{}", desk.status(id));
    let late = respond(&mut desk, "bob", task, r#"{"continue": true}"#).unwrap_err();
    assert_eq!(late, format!("Inquiry \"{task}\" timed out and cannot be responded to."));
}

#[test]
fn inquiry_respond_grants() {
    let mut desk = Desk::new();
    let id = desk.request("alice", "danger.burn", r#"{"what": "x"}"#).unwrap().id;
    let wrong = respond(&mut desk, "alice", id, r#"{"confirm": "true"}"#).unwrap_err();
    assert!(wrong.contains("`confirm` must be true or false"), "a text is no yes: {wrong}");
    assert!(respond(&mut desk, "bob", id, r#"{"confirm": true}"#).is_err());
    respond(&mut desk, "alice", id, r#"{"confirm": true}"#).unwrap();
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 1);
    let plain = desk.request("alice", "core.noop", "{}").unwrap().id;
    let none = respond(&mut desk, "alice", plain, r#"{"continue": true}"#).unwrap_err();
    assert_eq!(none, format!("Action execution \"{plain}\" is not an inquiry."));
}

#[test]
fn a_question_survives_a_restart() {
    let mut desk = Desk::new();
    let id = run(&mut desk, "alice", "danger.asks_mis");
    let record = desk.one_open();
    desk.restart_after(Duration::from_secs(3));
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}
