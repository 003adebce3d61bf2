//! The deadline, to the millisecond and in every order, with crashes at every commit.

use crate::desk::{Desk, rule, token};
use squall_engine::Runtime;
use squall_engine::answers::Answering;
use squall_engine::confirmation::decide::{Outcome, Refused, Verdict};
use squall_engine::confirmation::declare::Way;
use squall_engine::confirmation::{Record, State};
use squall_model::ExecutionId;
use squall_store::Store;
use squall_store::memory::Fault;
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn yes() -> Answering {
    Answering { verdict: Verdict::Grant, rest: None, digest: None, response: None, way: Way::Api }
}

/// The same over the API, where it can be answered as well.
fn request(desk: &mut Desk) -> ExecutionId {
    desk.request("alice", "danger.burn", r#"{"what": "db1"}"#).unwrap().id
}

/// A question of alice, and the server at `before` milliseconds before its deadline.
fn asked(before: i64) -> (Desk, ExecutionId, Record) {
    let mut desk = Desk::new();
    let id = request(&mut desk);
    let record = desk.record_of(id);
    desk.pass_ms((60_000 - before) as u64);
    (desk, id, record)
}

#[test]
fn a_millisecond_before_wins_at_and_after_lose() {
    for (before, state, effects) in [(1, State::Released, 1), (0, State::Expired, 0), (-1, State::Expired, 0)] {
        let (mut desk, id, record) = asked(before);
        let answered = desk.answer("alice", &record, Verdict::Grant).unwrap();
        desk.pass(Duration::from_secs(10));
        assert_eq!((desk.record_of(id).state, desk.effects()), (state, effects), "{before} ms before");
        if state == State::Expired {
            assert_eq!(answered.outcome, Outcome::Refused(Refused::Late));
            assert!(answered.told.contains("Too late"), "{}", answered.told);
            assert_eq!(desk.status(id), "timeout");
        }
    }
}

/// An answer that was received in time wins although the deadline passed before anybody looked at it.
#[test]
fn received_before_processed_ten_seconds_after_wins() {
    let (mut desk, id, record) = asked(1);
    let received = desk.engine.receive();
    desk.pass(Duration::from_secs(3));
    assert_eq!(desk.record_of(id).state, State::Open, "the deadline waits for what was received before it");
    let typed = squall_engine::typed::Typed {
        raw: format!("!confirm {}", record.code),
        command: Some(format!("confirm {}", record.code)),
        identity: crate::desk::identity("alice"),
        name: "alice".into(),
        place: record.copies[0].place.clone(),
        message: "slow".into(),
        at: None,
        heard_at: received.at,
        is_bot: false,
        is_edited: false,
        is_forwarded: false,
        label: None,
    };
    let engine = desk.engine.clone();
    desk.wait(async move {
        let reply = engine.typed(&typed).await;
        drop(received);
        reply
    })
    .unwrap();
    desk.pass(Duration::from_secs(20));
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Released, 1));
}

/// The sweeper is late: the answer after the deadline loses all the same.
#[test]
fn a_late_sweeper_changes_nothing() {
    let (mut desk, id, record) = asked(1);
    desk.clock.pass(Duration::from_millis(5));
    let (engine, slot) = (desk.engine.clone(), record.id.to_string());
    let answered = desk.wait(async move { engine.answer_by(&slot, yes(), &token("alice")).await }).unwrap();
    assert!(matches!(answered.outcome, Outcome::Refused(Refused::Late | Refused::Final)));
    desk.pass(Duration::from_secs(1));
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Expired, 0));
}

#[test]
fn a_hundred_answerers_and_the_deadline_end_it_once() {
    let mut desk = Desk::with(&rule("two", "danger.wipe", "{who: {role: [sre]}, count: 2}"));
    let id = desk.say("alice", "wipe db1");
    let record = desk.record_of(id);
    desk.clock.pass(Duration::from_millis(899_999));
    let told: Arc<Mutex<Vec<Outcome>>> = Arc::default();
    for n in 0..100 {
        let name = ["bob", "carol", "dora", "alice", "mallory"][n % 5];
        let (engine, slot, told) = (desk.engine.clone(), record.id.to_string(), told.clone());
        desk.executor.handle().spawn(Box::pin(async move {
            if let Ok(answered) = engine.answer_by(&slot, yes(), &token(name)).await {
                told.lock().unwrap().push(answered.outcome);
            }
        }));
    }
    desk.pass(Duration::from_secs(20));
    let ends = told.lock().unwrap().iter().filter(|o| matches!(o, Outcome::Ended(_))).count();
    assert_eq!((ends, desk.record_of(id).state, desk.effects()), (1, State::Released, 1));
    let finals = ["released", "denied", "expired", "withdrawn", "void"].map(|event| desk.events(event));
    assert_eq!(finals.iter().sum::<usize>(), 1, "{finals:?}");
}

#[test]
fn expiry_and_denial_in_the_same_millisecond_end_it_once() {
    for seed in 0..50 {
        let mut desk = Desk::seeded("", seed);
        let id = request(&mut desk);
        let record = desk.record_of(id);
        desk.clock.pass(Duration::from_millis(60_000));
        let (engine, slot) = (desk.engine.clone(), record.id.to_string());
        let no = Answering { verdict: Verdict::Deny, ..yes() };
        desk.executor.handle().spawn(Box::pin(async move { drop(engine.answer_by(&slot, no, &token("alice")).await) }));
        desk.pass(Duration::from_secs(1));
        assert_eq!(desk.record_of(id).state, State::Expired, "equal time: the deadline wins");
        assert_eq!(desk.events("expired") + desk.events("withdrawn") + desk.events("denied"), 1);
    }
}

#[test]
fn clock_back_voids() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    desk.pass(Duration::from_secs(10));
    desk.clock.step_back(Duration::from_secs(4));
    desk.say("bob", "burn db2");
    assert_eq!(desk.record_of(id).state, State::Open, "a correction of four seconds is none");
    desk.clock.step_back(Duration::from_secs(6));
    desk.grant("alice", &record);
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Void, 0));
    assert_eq!(desk.said("the server clock was set back"), 2, "both questions");
}

#[test]
fn a_start_before_the_question_voids() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    desk.clock.step_back(Duration::from_secs(60));
    desk.restart_after(Duration::ZERO);
    assert_eq!(desk.record_of(id).state, State::Void);
}

#[test]
fn restart_m23() {
    let mut desk = Desk::with(&rule("one", "danger.wipe", "{who: {role: [sre]}}"));
    let id = desk.say("alice", "wipe db1");
    desk.pass(Duration::from_secs(60));
    desk.restart_after(Duration::from_secs(120));
    assert_eq!(desk.said("is still open"), 1, "{:?}", desk.texts());
    let record = desk.record_of(id);
    assert_eq!(record.expires_at.since(record.held_at), Duration::from_secs(900), "being away does not extend it");
    desk.grant("bob", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 1);
}

/// The time that is left is what it is, and the time away is never told as more than it was without saying so.
#[test]
fn restart_m23_tells_the_truth() {
    let mut desk = Desk::with(&rule("one", "danger.wipe", "{who: {role: [sre]}}"));
    let code = {
        let id = desk.say("alice", "wipe db1");
        desk.record_of(id).code
    };
    desk.pass(Duration::from_secs(90));
    desk.stop_for(Duration::from_secs(120));
    let exact = format!("I was away for 2 min. {code} is still open, 11 min 30 s left.");
    assert_eq!(desk.said(&exact), 1, "{:?}", desk.texts());
    // What a dead server saw last was up to a minute ago.
    desk.pass(Duration::from_secs(100));
    desk.restart_after(Duration::from_secs(120));
    let told = desk.texts().into_iter().rfind(|text| text.contains("I was away")).unwrap();
    assert!(told.starts_with("I was away for at most "), "{told}");
    assert!(told.ends_with(&format!("{code} is still open, 7 min 50 s left.")), "{told}");
    // A quick restart is not worth a word.
    desk.stop_for(Duration::from_secs(2));
    assert_eq!(desk.said("I was away"), 2);
}

#[test]
fn a_deadline_that_passed_while_the_server_was_away_expires_it() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    desk.restart_after(Duration::from_secs(61));
    desk.pass(Duration::from_secs(1));
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Expired, "timeout"));
}

/// The server dies at every commit from the question to the end, before, in and after it; then somebody answers again.
#[test]
fn a_crash_at_any_commit_releases_once_or_not_at_all() {
    for fault in [Fault::CrashBefore, Fault::CrashAfter, Fault::CrashDuring] {
        for point in 1..=20 {
            let mut desk = Desk::seeded("", point);
            let first = desk.store.commits();
            desk.store.fault_at(first + point, fault);
            let wanted = |desk: &Desk| squall_engine::Request {
                key: Some("once".into()),
                ..desk.requested("alice", "danger.burn", r#"{"what": "db1"}"#)
            };
            let (engine, request) = (desk.engine.clone(), wanted(&desk));
            desk.executor.handle().spawn(Box::pin(async move { drop(engine.request(request).await) }));
            run_or_crash(&mut desk);
            // Whoever got no answer asks again.
            let (engine, request) = (desk.engine.clone(), wanted(&desk));
            desk.executor.handle().spawn(Box::pin(async move { drop(engine.request(request).await) }));
            run_or_crash(&mut desk);
            let request = wanted(&desk);
            drop(desk.send(request));
            let record = desk.records().into_iter().next().expect("asked");
            let id = record.runs[0].0;
            let (engine, slot) = (desk.engine.clone(), record.id.to_string());
            desk.executor.handle().spawn(Box::pin(async move {
                drop(engine.answer_by(&slot, yes(), &token("alice")).await);
            }));
            run_or_crash(&mut desk);
            if desk.record_of(id).state == State::Open {
                desk.grant("alice", &record);
            }
            for _ in 0..20 {
                desk.pass(Duration::from_secs(1));
                if desk.store.crashed() {
                    desk.restart_after(Duration::from_secs(1));
                }
            }
            let at = format!("{fault:?} at commit {point}");
            assert_eq!(desk.records().len(), 1, "{at}");
            assert_eq!(desk.record_of(id).state, State::Released, "{at}");
            assert!(desk.effects() <= 1, "{at}: started {} times", desk.effects());
            assert!(["succeeded", "abandoned"].contains(&desk.status(id).as_str()), "{at}: {}", desk.status(id));
            assert_eq!(desk.events("released"), 1, "{at}");
            assert!(desk.store.entries("inbox", 10).unwrap().is_empty(), "{at}: an answer was left");
        }
    }
}

fn run_or_crash(desk: &mut Desk) {
    let store = desk.store.clone();
    let until = desk.now().after(Duration::from_millis(1));
    if desk.executor.run(until, || store.crashed()) {
        desk.restart_after(Duration::from_secs(1));
    }
}

/// An answer that was received and not decided before the crash is decided after it, by the time at which it was received.
#[test]
fn an_answer_in_the_inbox_survives_the_crash_and_the_deadline() {
    let (mut desk, id, record) = asked(1);
    let commits = desk.store.commits();
    desk.store.fault_at(commits + 2, Fault::CrashBefore);
    let (engine, slot) = (desk.engine.clone(), record.id.to_string());
    desk.executor.handle().spawn(Box::pin(async move { drop(engine.answer_by(&slot, yes(), &token("alice")).await) }));
    let store = desk.store.clone();
    assert!(desk.executor.run(desk.now(), || store.crashed()), "the decision crashed");
    desk.restart_after(Duration::from_secs(30));
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Released, 1));
}

#[test]
fn a_full_disk_tells_and_starts_nothing() {
    let (mut desk, id, record) = asked(30_000);
    desk.store.fault_next(Fault::Full);
    assert_eq!(desk.grant("alice", &record), "I could not store your answer, nothing was started.");
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Open, 0));
    assert!(desk.grant("alice", &record).contains("Confirmed by"));
}

#[test]
fn reminders_and_escalation_fire_at_their_times() {
    let text = "version: 1\nrules:\n  - {id: one, when: {action: [danger.wipe]}, require: [{who: {role: [sre]}}], timeout: 10m, \
                remind: [50%, 2m-left], escalate: [{after: 3m, add_who: {role: [lead]}}]}\n";
    let mut desk = Desk::with(text);
    let id = desk.say("alice", "wipe db1");
    let record = desk.record_of(id);
    assert!(desk.grant("erin", &record).contains("no open confirmation"), "not before she is asked");
    desk.pass(Duration::from_secs(181));
    assert_eq!(desk.said("now also asks role lead"), 1);
    desk.pass(Duration::from_secs(120));
    assert_eq!(desk.said("still waits for"), 1);
    desk.pass(Duration::from_secs(180));
    assert_eq!(desk.said("still waits for"), 2);
    desk.grant("erin", &record);
    assert_eq!(desk.record_of(id).state, State::Released);
}
