//! A store that was restored from a backup: a yes may have been given, and used, elsewhere since the backup was made.

use crate::desk::Desk;
use squall_engine::Request;
use squall_engine::confirmation::State;
use squall_store::{COPIED, Op, Store};
use std::time::Duration;

/// The server dies, and a copy of its store is started after a while.
fn restored_after(desk: &mut Desk, away: Duration) {
    desk.commit(Op::PutMeta { name: COPIED.into(), value: "yes".into() }.into());
    desk.restart_after(away);
    desk.pass(Duration::from_secs(1));
}

#[test]
fn what_was_open_is_void_and_what_is_over_expired() {
    let mut desk = Desk::new();
    let early = desk.say("alice", "burn db1");
    desk.pass(Duration::from_secs(40));
    let late = desk.say("alice", "burn db2");
    restored_after(&mut desk, Duration::from_secs(30));
    assert_eq!((desk.record_of(early).state, desk.status(early).as_str()), (State::Expired, "timeout"));
    assert_eq!((desk.record_of(late).state, desk.status(late).as_str()), (State::Void, "failed"));
    assert_eq!(desk.result(late), r#"{"error":"void","cause":"the server was restored from a backup"}"#);
    assert_eq!(desk.said("is void: the server was restored from a backup."), 1, "{:?}", desk.texts());
    let record = desk.record_of(late);
    assert!(desk.grant("alice", &record).contains("is already finished: void"));
    assert_eq!((desk.effects(), desk.events("restored")), (0, 1));
}

#[test]
fn it_is_noticed_once_and_asked_anew_it_is_another_thing() {
    let mut desk = Desk::new();
    let before = desk.say("alice", "burn db1");
    restored_after(&mut desk, Duration::from_secs(5));
    let after = desk.say("alice", "burn db1");
    assert_ne!(desk.record_of(before).digest, desk.record_of(after).digest, "the epoch is a part of it");
    desk.restart_after(Duration::from_secs(6));
    let record = desk.record_of(after);
    assert_eq!(record.state, State::Open, "an ordinary restart changes nothing");
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.effects(), desk.events("restored")), (1, 1));
    restored_after(&mut desk, Duration::from_secs(5));
    assert_eq!(desk.store.meta("epoch").unwrap().as_deref(), Some("2"));
}

#[test]
fn a_released_run_that_has_not_started_does_not_start() {
    let mut desk = Desk::new();
    let held = Request { delay_ms: 60_000, ..desk.requested("alice", "danger.burn", r#"{"what": "db1"}"#) };
    let free = Request { delay_ms: 60_000, ..desk.requested("alice", "core.noop", "{}") };
    let (held, free) = (desk.send(held).unwrap().id, desk.send(free).unwrap().id);
    let record = desk.record_of(held);
    desk.grant("alice", &record);
    restored_after(&mut desk, Duration::from_secs(5));
    desk.pass(Duration::from_secs(120));
    assert_eq!(desk.result(held), r#"{"error":"void","cause":"the server was restored from a backup"}"#);
    assert_eq!((desk.effects(), desk.status(free).as_str()), (0, "succeeded"));
}

/// The server dies at each commit of drawing the conclusions, and draws them again.
#[test]
fn a_crash_while_it_is_noticed_changes_nothing() {
    for point in 1..=6 {
        let mut desk = Desk::new();
        let (first, second) = (desk.say("alice", "burn db1"), desk.say("bob", "burn db2"));
        desk.commit(Op::PutMeta { name: COPIED.into(), value: "yes".into() }.into());
        desk.store.fault_at(desk.store.commits() + point, squall_store::memory::Fault::CrashBefore);
        desk.restart_after(Duration::from_secs(5));
        if desk.store.crashed() {
            desk.restart_after(Duration::from_secs(5));
        }
        desk.pass(Duration::from_secs(1));
        let states = [first, second].map(|id| desk.record_of(id).state);
        assert_eq!(states, [State::Void, State::Void], "commit {point}");
        assert_eq!(desk.store.meta("epoch").unwrap().as_deref(), Some("1"), "commit {point}");
    }
}
