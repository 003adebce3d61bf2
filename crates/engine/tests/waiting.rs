//! A home-made confirmation waits on the virtual clock: when it looks, whose yes counts, and what a crash or a full disk
//! at any commit of the conversation changes, which is nothing.

mod sim;

use sim::{Step, Want, World};
use squall_model::{Execution, ExecutionId, Status, Timestamp, Value};
use squall_store::memory::Fault;
use squall_store::{ItemScope, Store};
use std::collections::BTreeSet;
use std::time::Duration;

/// Somebody asks for something dangerous.
fn ask(user: &'static str) -> Want {
    Want::Say { user, text: "ask about web1".into() }
}

/// A step at a time after the one before.
fn after(milliseconds: u64, want: Want) -> Step {
    Step { after: Duration::from_millis(milliseconds), want }
}

/// A world that is looked at for twice as long as anything in it takes.
fn world() -> World {
    let mut world = World::new(7);
    world.horizon = Duration::from_secs(150);
    world
}

fn play(steps: &[Step], crashes: Vec<(u64, Fault)>) -> World {
    let mut world = world();
    world.play(steps, crashes);
    world
}

fn id_of(world: &World, step: usize) -> ExecutionId {
    world.outside.acknowledged.lock().unwrap()[&step]
}

fn execution(world: &World, id: ExecutionId) -> Execution {
    world.store.execution(id).unwrap().unwrap()
}

/// Milliseconds between the request and each look for the key.
fn looks(world: &World, asked: ExecutionId) -> Vec<u128> {
    let begun = execution(world, asked).created;
    let of_it = |e: &Execution| e.root == asked && e.request.action.to_string() == "st2.kv.get";
    let mut looks: Vec<u128> =
        world.executions().iter().filter(|e| of_it(e)).map(|e| e.created.since(begun).as_millis()).collect();
    looks.sort_unstable();
    looks
}

fn texts(world: &World) -> Vec<String> {
    let text = |body: &Value| body.get("message").and_then(Value::as_str).unwrap_or_default().to_owned();
    world.messages("ops").iter().map(|m| text(&m.body)).collect()
}

#[track_caller]
fn went_on(world: &World, asked: ExecutionId, expected: bool) {
    let texts = texts(world);
    assert_eq!(texts.contains(&format!("{asked} goes on")), expected, "{texts:?}");
    assert_eq!(texts.contains(&format!("{asked} is off")), !expected, "{texts:?}");
}

#[test]
fn unconfirmed_looks_eleven_times_three_seconds_apart() {
    let world = play(&[after(0, ask("alice"))], vec![]);
    let asked = id_of(&world, 0);
    assert_eq!(looks(&world, asked), (0..=10).map(|n| n * 3_000).collect::<Vec<_>>());
    went_on(&world, asked, false);
    let ended = execution(&world, asked).ended.unwrap();
    assert_eq!(ended.since(execution(&world, asked).created), Duration::from_secs(30));
}

#[test]
fn confirmed_between_looks_goes_on_at_the_next() {
    for (at, last) in [(1, 3_000), (2_999, 3_000), (3_001, 6_000), (7_500, 9_000), (29_999, 30_000)] {
        let world = play(&[after(0, ask("alice")), after(at, Want::Yes { user: "alice", nth: 0 })], vec![]);
        let asked = id_of(&world, 0);
        assert_eq!(looks(&world, asked).last(), Some(&last), "a yes after {at} ms");
        went_on(&world, asked, true);
    }
}

#[test]
fn a_yes_after_the_last_look_is_too_late() {
    let world = play(&[after(0, ask("alice")), after(30_001, Want::Yes { user: "alice", nth: 0 })], vec![]);
    went_on(&world, id_of(&world, 0), false);
}

#[test]
fn a_yes_at_the_very_last_look_is_told_one_thing() {
    let world = play(&[after(0, ask("alice")), after(30_000, Want::Yes { user: "alice", nth: 0 })], vec![]);
    let asked = id_of(&world, 0);
    let on = texts(&world).contains(&format!("{asked} goes on"));
    went_on(&world, asked, on);
}

#[test]
fn the_yes_of_somebody_else_does_not_count() {
    let world = play(&[after(0, ask("alice")), after(5_000, Want::Yes { user: "bob", nth: 0 })], vec![]);
    let asked = id_of(&world, 0);
    assert_eq!(looks(&world, asked).len(), 11);
    went_on(&world, asked, false);
    assert_eq!(execution(&world, id_of(&world, 1)).status, Status::Succeeded, "bob's yes itself is no error");
}

#[test]
fn a_yes_to_another_execution_does_not_count() {
    let steps = [after(0, ask("alice")), after(500, ask("alice")), after(1_000, Want::Yes { user: "alice", nth: 1 })];
    let world = play(&steps, vec![]);
    went_on(&world, id_of(&world, 0), false);
    let (asked, texts) = (id_of(&world, 1), texts(&world));
    assert!(texts.contains(&format!("{asked} goes on")), "{texts:?}");
}

/// Writes a key for a minute and looks for it just before and at its end; in between something happens.
fn minute() -> Vec<Step> {
    let run = |action: &str, params| Want::Run { action: action.into(), params };
    let get = || run("st2.kv.get", vec![("key", "answer".to_owned())]);
    let set = vec![("key", "answer".to_owned()), ("value", "yes".into()), ("ttl", "60".into())];
    vec![
        after(0, run("st2.kv.set", set)),
        after(20_000, run("core.noop", vec![])),
        after(39_999, get()),
        after(1, get()),
    ]
}

#[track_caller]
fn gone_at_sixty_seconds(world: &World) {
    let status = |step: usize| execution(world, id_of(world, step)).status;
    assert_eq!(status(2), Status::Succeeded, "there after 59.999 s");
    assert_eq!(status(3), Status::Failed, "gone after 60 s");
    let why = execution(world, id_of(world, 3)).result.get("error").cloned();
    assert_eq!(why, Some("Key does not exist".into()));
    let set = execution(world, id_of(world, 0)).created;
    assert_eq!(execution(world, id_of(world, 2)).created.since(set), Duration::from_millis(59_999));
    assert_eq!(execution(world, id_of(world, 3)).created.since(set), Duration::from_secs(60));
}

#[test]
fn a_key_is_gone_exactly_at_its_end() {
    gone_at_sixty_seconds(&play(&minute(), vec![]));
}

#[test]
fn a_key_is_gone_exactly_at_its_end_after_a_crash() {
    // The commits of the request in the middle: those after the ones of the first and before those of the third.
    let noops = play(&minute()[..2], vec![]).store.commits();
    let sets = play(&minute()[..1], vec![]).store.commits();
    assert!(noops > sets);
    for number in sets + 1..=noops {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let world = play(&minute(), vec![(number, fault)]);
            assert_eq!(world.crashes, 1, "commit {number}");
            gone_at_sixty_seconds(&world);
        }
    }
}

#[test]
fn a_yes_is_kept_for_a_minute_and_no_longer() {
    let world = play(&[after(0, ask("alice")), after(7_500, Want::Yes { user: "alice", nth: 0 })], vec![]);
    let (asked, yes) = (id_of(&world, 0), execution(&world, id_of(&world, 1)).created);
    let there = |at: Timestamp| world.store.item(&ItemScope::System, &format!("alice_{asked}"), at).unwrap().is_some();
    assert!(there(yes.after(Duration::from_millis(59_999))));
    assert!(!there(yes.after(Duration::from_secs(60))));
}

/// What everybody could see in the end, without ids and times.
fn outcome(world: &World) -> (Vec<String>, Vec<String>) {
    let mut executions: Vec<Execution> = world.executions();
    // How often it looked depends on how long the server was away.
    executions.retain(|e| e.request.action.to_string() != "st2.kv.get");
    let ids: Vec<String> = executions.iter().map(|e| e.id.to_string()).collect();
    let bare = |text: String| ids.iter().fold(text, |text, id| text.replace(id, "ID"));
    let mut said: Vec<String> = texts(world).into_iter().map(bare).collect();
    said.sort();
    let mut ended: Vec<String> = executions.iter().map(|e| format!("{} {}", e.request.action, e.status)).collect();
    ended.sort();
    (said, ended)
}

#[track_caller]
fn nothing_twice(world: &World, what: &str) {
    let keys: Vec<String> = world.messages("ops").into_iter().filter_map(|m| m.dedup).collect();
    assert_eq!(keys.iter().collect::<BTreeSet<_>>().len(), keys.len(), "{what}: {keys:?}");
    assert!(world.store.outgoing("terminal", 0, 10).unwrap().is_empty(), "{what}: something was never posted");
}

fn confirmed() -> Vec<Step> {
    vec![after(0, ask("alice")), after(7_500, Want::Yes { user: "alice", nth: 0 })]
}

fn unconfirmed() -> Vec<Step> {
    vec![after(0, ask("alice"))]
}

#[track_caller]
fn crash_at_every_commit(steps: &[Step]) -> u64 {
    let calm = play(steps, vec![]);
    let (expected, commits) = (outcome(&calm), calm.store.commits());
    for number in 1..=commits {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let what = format!("{fault:?} at commit {number} of {commits}");
            let world = play(steps, vec![(number, fault)]);
            assert_eq!(world.crashes, 1, "{what}");
            assert_eq!(outcome(&world), expected, "{what}");
            nothing_twice(&world, &what);
            let asked = id_of(&world, 0);
            if steps.len() == 1 {
                assert_eq!(looks(&world, asked).len(), 11, "{what}");
            }
        }
    }
    commits
}

#[test]
fn a_crash_at_any_commit_of_a_confirmed_conversation_changes_nothing() {
    assert!(crash_at_every_commit(&confirmed()) >= 8);
}

#[test]
fn a_crash_at_any_commit_of_an_unconfirmed_conversation_changes_nothing() {
    assert!(crash_at_every_commit(&unconfirmed()) >= 12);
}

#[test]
fn two_crashes_in_a_row_change_nothing() {
    let steps = confirmed();
    let calm = play(&steps, vec![]);
    let expected = outcome(&calm);
    for first in 1..=calm.store.commits() {
        for second in 1..6 {
            // The last one comes first.
            let world = play(&steps, vec![(second, Fault::CrashDuring), (first, Fault::CrashAfter)]);
            assert_eq!(outcome(&world), expected, "crashes at {first} and then {second}");
            nothing_twice(&world, &format!("crashes at {first} and then {second}"));
        }
    }
}

/// The store takes nothing for some commits, from each commit on.
#[track_caller]
fn outage_at_every_commit(fault: Fault, refusal: &str) {
    let calm = play(&confirmed(), vec![]);
    let off = outcome(&play(&unconfirmed(), vec![]));
    let mut refused_once = false;
    for number in 1..=calm.store.commits() {
        let what = format!("{fault:?} from commit {number} on");
        let mut world = world();
        (number..number + 4).for_each(|n| world.store.fault_at(n, fault));
        world.play(&confirmed(), vec![]);
        assert_eq!(world.crashes, 0);
        nothing_twice(&world, &what);
        let refused = world.outside.refused.lock().unwrap().clone();
        refused_once |= !refused.is_empty();
        assert!(refused.iter().all(|text| text.contains(refusal)), "{what}: {refused:?}");
        let stuck: Vec<String> =
            world.executions().iter().filter(|e| !e.status.is_final()).map(|e| e.request.action.to_string()).collect();
        assert!(stuck.is_empty(), "{what}: {stuck:?} are stuck");
        match refused.first().map(|text| text.split_once(':').unwrap().0) {
            // Nothing is left of what was refused.
            Some("0") => assert!(world.executions().is_empty() && texts(&world).is_empty(), "{what}"),
            Some(_) => assert_eq!(outcome(&world), off, "{what}"),
            None => assert_eq!(outcome(&world), outcome(&calm), "{what}"),
        }
    }
    assert!(refused_once, "no request met the outage");
}

#[test]
fn a_full_disk_refuses_requests_and_loses_nothing() {
    outage_at_every_commit(Fault::Full, "disk full");
}

#[test]
fn an_overloaded_store_refuses_requests_and_loses_nothing() {
    outage_at_every_commit(Fault::Busy, "overloaded");
}
