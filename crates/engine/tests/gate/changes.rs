//! What may change while people are asked, and that what runs is what was shown.

use crate::desk::{Desk, rule};
use squall_engine::answers::Answering;
use squall_engine::confirmation::State;
use squall_engine::confirmation::decide::{Outcome, Refused, Verdict};
use squall_engine::confirmation::declare::Way;
use squall_engine::{OnHold, Refusal, Request};
use squall_model::Value;
use squall_store::{Item, ItemScope, Op};
use std::time::Duration;

#[test]
fn param_change_new_digest() {
    let mut desk = Desk::new();
    let one = desk.say("alice", "burn db1");
    let two = desk.say("alice", "burn db2");
    assert_ne!(desk.record_of(one).digest, desk.record_of(two).digest);
}

#[test]
fn pack_reload_voids() {
    let mut desk = Desk::new().own_packs();
    let id = desk.say("alice", "burn db1");
    let same = desk.say("alice", "incinerate db2");
    desk.reload();
    assert_eq!(desk.record_of(id).state, State::Open, "a reload of the same changes nothing");
    desk.edit("actions/burn.yaml", "echo", "echo really");
    desk.reload();
    for id in [id, same] {
        let record = desk.record_of(id);
        assert_eq!(record.state, State::Void);
        assert_eq!(desk.status(id), "failed");
    }
    assert_eq!(desk.said("is void: the action changed since you were asked"), 2);
    assert_eq!(desk.effects(), 0);
}

/// The bytes of a script are looked at when it is released, reload or not.
#[test]
fn a_script_that_was_swapped_is_not_run() {
    let mut desk = Desk::new().own_packs();
    let id = desk.request("alice", "danger.script", "{}").unwrap().id;
    let record = desk.record_of(id);
    desk.edit("actions/script.sh", "one", "two");
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Void, 0));
}

/// A branch moves; only the id of a commit says which bytes people agree to.
#[test]
fn a_revision_is_named_by_its_commit() {
    let mut desk = Desk::new();
    let request = |version: &str| format!(r#"{{"content_version": "{version}"}}"#);
    for name in ["main", "v1.0", "HEAD", "0123abc"] {
        let refused = desk.request("alice", "danger.script", &request(name)).unwrap_err().to_string();
        assert!(refused.contains(&format!("`{name}` may be something else by the time it runs")), "{refused}");
    }
    assert!(desk.executions().is_empty(), "nothing was stored");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let id = desk.request("alice", "danger.script", &request(commit)).unwrap().id;
    assert!(desk.engine.shown(&desk.record_of(id)).contains(commit));
}

#[test]
fn closure_change_voids() {
    let mut desk = Desk::new().own_packs();
    let id = desk.request("alice", "danger.deep_orq", "{}").unwrap().id;
    desk.edit("actions/burn.yaml", "echo", "echo really");
    desk.reload();
    assert_eq!(desk.record_of(id).state, State::Void);
}

#[test]
fn disabled_action_voids() {
    let mut desk = Desk::new().own_packs();
    let id = desk.say("alice", "burn db1");
    desk.edit("actions/burn.yaml", "runner_type", "enabled: false\nrunner_type");
    desk.reload();
    assert_eq!(desk.record_of(id).state, State::Void);
}

fn item(desk: &Desk, name: &str, value: &str, secret: bool) -> Op {
    let value = match secret {
        true => squall_store::crypto::encrypt(
            desk.engine.settings().datastore_key.as_ref().unwrap(),
            value,
            desk.engine.ids(),
        ),
        false => value.to_owned(),
    };
    let item = Item {
        scope: ItemScope::System,
        name: name.to_owned(),
        value,
        secret,
        description: None,
        created: desk.now(),
        expires: None,
    };
    Op::SetItem { item: Box::new(item), now: desk.now() }
}

#[test]
fn secret_rotation_voids() {
    let mut desk = Desk::new();
    let ops = [item(&desk, "sealed", "first", true), item(&desk, "plain", "p1", false)];
    desk.commit(squall_store::Batch { ops: ops.into() });
    let id = desk.request("admin", "danger.sealed", "{}").unwrap().id;
    let kept = desk.request("admin", "danger.sealed", r#"{"what": "y"}"#).unwrap().id;
    // A plain value is frozen: what was shown runs.
    let op = item(&desk, "plain", "p2", false);
    desk.commit(op.into());
    let record = desk.record_of(kept);
    desk.grant("admin", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.status(kept), "succeeded");
    assert!(desk.result(kept).contains("p1"));
    // A secret has a version.
    let op = item(&desk, "sealed", "second", true);
    desk.commit(op.into());
    let record = desk.record_of(id);
    desk.grant("admin", &record);
    assert_eq!(desk.record_of(id).state, State::Void);
    assert_eq!(desk.effects(), 1);
}

#[test]
fn role_lost_vote_ignored() {
    let mut desk = Desk::with(&rule("two", "danger.wipe", "{who: {role: [sre]}, count: 2}"));
    let id = desk.say("alice", "wipe db1");
    let record = desk.record_of(id);
    desk.grant("bob", &record);
    desk.user("bob", &["operator"], true);
    assert!(desk.grant("carol", &record).contains("(1 of 2)"));
    assert_eq!(desk.record_of(id).state, State::Open);
    assert!(desk.grant("dora", &record).contains("Confirmed by carol, dora"));
}

#[test]
fn a_requester_who_may_not_run_it_any_more_voids() {
    let mut desk = Desk::with(&rule("one", "danger.wipe", "{who: {role: [sre]}}"));
    let id = desk.request("alice", "danger.wipe", r#"{"what": "x"}"#).unwrap().id;
    let record = desk.record_of(id);
    desk.user("alice", &["observer"], true);
    desk.grant("bob", &record);
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Void, 0));
}

#[test]
fn a_deactivated_requester_withdraws_at_once() {
    let mut desk = Desk::with(&rule("one", "danger.wipe", "{who: {role: [sre]}}"));
    let id = desk.request("alice", "danger.wipe", r#"{"what": "x"}"#).unwrap().id;
    desk.user("alice", &["operator"], false);
    let engine = desk.engine.clone();
    desk.wait(async move { engine.review_open().await }).unwrap();
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Withdrawn, "canceled"));
}

#[test]
fn stricter_rules_ask_anew_and_carry_no_votes_over() {
    let mut desk = Desk::with(&rule("one", "danger.wipe", "{who: {role: [sre]}, count: 2}"));
    let id = desk.say("alice", "wipe db1");
    let first = desk.record_of(id);
    desk.grant("bob", &first);
    desk.new_rules(&rule("one", "danger.wipe", "{who: {role: [sre]}, count: 3}"));
    let second = desk.record_of(id);
    assert_ne!(first.id, second.id);
    assert_eq!(second.retry_of, Some(first.id));
    assert_eq!((second.state, second.votes.len()), (State::Open, 0));
    let old = desk.records().into_iter().find(|r| r.id == first.id).unwrap();
    assert_eq!(old.state, State::Void);
    assert_eq!(desk.status(id), "pending", "the run waits for the new question");
    for name in ["bob", "carol", "dora"] {
        desk.grant(name, &second);
    }
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn looser_and_reworded_rules_leave_the_question() {
    let mut desk = Desk::with(&rule("one", "danger.wipe", "{who: {role: [sre]}, count: 2}"));
    let id = desk.say("alice", "wipe db1");
    let first = desk.record_of(id);
    desk.new_rules(&rule("one", "danger.wipe", "{who: {role: [sre]}}"));
    desk.new_rules("");
    let record = desk.record_of(id);
    assert_eq!((record.id, record.state, record.need()), (first.id, State::Open, "2 of role sre".to_owned()));
}

#[test]
fn button_with_old_digest_412() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    let given = Answering {
        verdict: Verdict::Grant,
        rest: None,
        digest: Some("0123456789abcdef".into()),
        response: None,
        way: Way::Button,
    };
    let outcome = desk.answer_with("alice", &record, given).unwrap().outcome;
    assert_eq!(outcome, Outcome::Refused(Refused::DigestDiffers));
    assert_eq!((outcome.http(), desk.effects()), (412, 0));
}

#[test]
fn yes_too_old_not_started() {
    let mut desk = Desk::new();
    let id = desk.request("alice", "danger.burn", r#"{"what": "x"}"#).unwrap().id;
    let record = desk.record_of(id);
    // The decision reaches the disk, the machine dies before anything starts, and comes back in two hours.
    let commits = desk.store.commits();
    desk.store.fault_at(commits + 2, squall_store::memory::Fault::CrashAfter);
    let (engine, code) = (desk.engine.clone(), record.id.to_string());
    let given = Answering { verdict: Verdict::Grant, rest: None, digest: None, response: None, way: Way::Api };
    let spawned = async move { drop(engine.answer_by(&code, given, &crate::desk::token("alice")).await) };
    squall_engine::Runtime::spawn(&*desk.executor.handle(), Box::pin(spawned));
    let store = desk.store.clone();
    desk.executor.run(desk.now(), || store.crashed());
    let started = desk.effects();
    desk.restart_after(Duration::from_secs(7_200));
    desk.pass(Duration::from_secs(10));
    let after = desk.record_of(id);
    if after.state == State::Released {
        assert_eq!((started, desk.effects()), (0, 0), "{:?}", desk.execution(id).result);
        assert_eq!(desk.status(id), "failed");
        assert!(desk.result(id).contains("confirmation too old"));
    } else {
        assert_eq!(desk.effects(), 0);
    }
}

#[test]
fn a_run_that_waited_too_long_for_a_worker_is_not_started() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    desk.grant("alice", &record);
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("scheduled", 0));
    desk.clock.pass(Duration::from_secs(7_200));
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("failed", 0));
    assert!(desk.result(id).contains("confirmation too old"));
    assert!(desk.result(id).contains("a yes counts for 1 h, and it waited for a worker"), "{}", desk.result(id));
}

/// Waiting for a turn counts as well, and whoever asked reads that it was the policy.
#[test]
fn a_run_that_waited_too_long_for_its_turn_is_not_started_and_says_why() {
    let mut desk = Desk::new();
    let (first, second) = (desk.say("alice", "single db1"), desk.say("alice", "single db2"));
    for id in [first, second] {
        let record = desk.record_of(id);
        desk.grant("alice", &record);
    }
    assert_eq!((desk.status(first).as_str(), desk.status(second).as_str()), ("scheduled", "delayed"));
    desk.clock.pass(Duration::from_secs(7_200));
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(second).as_str(), desk.effects()), ("failed", 0));
    let why =
        "a yes counts for 1 h, and it waited for its turn, because policy `danger.single` lets 1 of it run at once";
    assert!(desk.result(second).contains(why), "{}", desk.result(second));
    assert_eq!(desk.said(why), 1, "{:?}", desk.texts());
    assert_eq!(desk.record_of(second).state, State::Released);
}

/// Looser rules leave a question as it was asked; an administrator may have it asked anew.
#[test]
fn reevaluate_asks_anew_under_the_rules_of_now() {
    let two = rule("two", "danger.wipe", "{who: {role: [sre]}, count: 2}");
    let mut desk = Desk::with(&two);
    let id = desk.say("alice", "wipe db1");
    let old = desk.record_of(id);
    desk.grant("bob", &old);
    let refused = reevaluate(&mut desk, "alice", &old).unwrap_err();
    assert!(matches!(refused, Refusal::Forbidden { .. }), "{refused}");
    // The same rules: another code, and no votes carried over.
    let told = reevaluate(&mut desk, "admin", &old).unwrap();
    let same = desk.record_of(id);
    assert_eq!(told, format!("It is asked anew as {}, and needs 2 of role sre.", same.code));
    assert_eq!((same.retry_of, same.votes.len(), same.digest), (Some(old.id), 0, old.digest));
    assert_eq!(desk.records().iter().find(|r| r.id == old.id).unwrap().state, State::Withdrawn);
    desk.new_rules(&rule("two", "danger.wipe", "{who: {role: [sre]}}"));
    assert_eq!(desk.record_of(id).need(), "2 of role sre", "it stays as it was asked");
    let told = reevaluate(&mut desk, "admin", &same).unwrap();
    let own = desk.record_of(id);
    assert_eq!(told, format!("It is asked anew as {}, and needs 1 of role sre.", own.code));
    assert!(matches!(reevaluate(&mut desk, "admin", &same).unwrap_err(), Refusal::Conflict(_)), "finished");
    desk.grant("bob", &own);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects(), desk.events("withdrawn")), ("succeeded", 1, 2));
}

#[test]
fn reevaluate_never_starts_anything_and_keeps_what_the_caller_wanted() {
    let mut desk = Desk::with(&rule("two", "danger.wipe", "{who: {role: [sre]}, count: 2}"));
    let call = Value::from_pairs([("by", "role:lead")]);
    let asked = Request { confirm: call, ..desk.requested("alice", "danger.wipe", r#"{"what": "db1"}"#) };
    let id = desk.send(asked).unwrap().id;
    let gone = desk.say("alice", "wipe db2");
    desk.new_rules("version: 1\nrules: []\n");
    let record = desk.record_of(id);
    reevaluate(&mut desk, "admin", &record).unwrap();
    assert_eq!(desk.record_of(id).need(), "1 of role lead");
    let record = desk.record_of(gone);
    let told = reevaluate(&mut desk, "admin", &record).unwrap();
    assert_eq!(told, "It cannot be asked about anew: nothing asks about it any more, so run it again.");
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(gone).as_str(), desk.effects()), ("canceled", 0));
}

fn reevaluate(desk: &mut Desk, who: &str, record: &squall_engine::confirmation::Record) -> Result<String, Refusal> {
    let (engine, who, id) = (desk.engine.clone(), crate::desk::token(who), record.id.to_string());
    let done = desk.wait(async move { engine.reevaluate(&id, &who).await });
    desk.settle();
    done.map(|done| done.told)
}

/// Thirty questions an hour; what comes on top is told in one message after ten minutes, and can be answered all the same.
#[test]
fn an_approver_is_not_asked_more_than_thirty_times_an_hour() {
    let text = "version: 1\nrules:\n  - {id: one, when: {action: [danger.wipe]}, require: [{who: {role: [sre]}}], ask: {dm: true}, timeout: 30m}\n";
    let mut desk = Desk::with(text);
    let ask = |desk: &mut Desk, n: usize| {
        let who = ["alice", "erin", "mallory"][n % 3];
        desk.request(who, "danger.wipe", &format!(r#"{{"what": "db{n}"}}"#)).unwrap().id
    };
    let ids: Vec<_> = (0..33).map(|n| ask(&mut desk, n)).collect();
    let asked = |desk: &Desk| desk.texts_in("@bob").iter().filter(|text| text.contains("wants to run")).count();
    assert_eq!(asked(&desk), 30);
    let late = desk.record_of(ids[32]);
    assert_eq!(late.expires_at.since(late.held_at), Duration::from_secs(40 * 60), "its time begins when it is told");
    desk.pass(Duration::from_secs(300));
    let one_more = ask(&mut desk, 33);
    let answered = desk.record_of(ids[30]);
    assert!(desk.grant("carol", &answered).contains("Confirmed by"), "it can be answered before it is told");
    let before = desk.texts_in("@bob").len();
    desk.pass(Duration::from_secs(301));
    let told = desk.texts_in("@bob").split_off(before);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].starts_with("You were asked often within an hour, so these are told together:\n"), "{}", told[0]);
    for (id, is_told) in [(ids[29], false), (ids[30], false), (ids[31], true), (ids[32], true), (one_more, true)] {
        let code = desk.record_of(id).code.to_string();
        assert_eq!(told[0].contains(&code), is_told, "{code}: {}", told[0]);
    }
    desk.grant("bob", &late);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 2);
    assert_eq!(desk.texts_in("@bob").len(), before + 1, "nor is he told each step");
    // What was collected when the server died is told when it is back.
    let last = ask(&mut desk, 34);
    desk.restart_after(Duration::from_secs(660));
    desk.pass(Duration::from_secs(1));
    let code = desk.record_of(last).code.to_string();
    assert_eq!(desk.texts_in("@bob").iter().filter(|text| text.contains(&code)).count(), 1);
    desk.clock.pass(Duration::from_secs(3_600));
    ask(&mut desk, 35);
    assert_eq!(asked(&desk), 31, "an hour later he is asked again");
}

const SECRET: &str = r#"{"what": "db1", "token": "hush"}"#;

/// What people were shown stays; the secrets behind the dots go thirty days after the end.
#[test]
fn secret_parameters_are_erased_after_thirty_days() {
    let days = |n: u64| Duration::from_secs(n * 86_400);
    for granted in [true, false] {
        let mut desk = Desk::with(&rule("own", "danger.wipe", "{who: requester}"));
        let id = desk.request("alice", "danger.wipe", SECRET).unwrap().id;
        let record = desk.record_of(id);
        match granted {
            true => desk.grant("alice", &record),
            false => desk.deny("alice", &record),
        };
        desk.pass(Duration::from_secs(10));
        let params = |desk: &Desk| squall_model::to_json(&desk.execution(id).request.params.clone().into());
        desk.clock.pass(days(30) - Duration::from_secs(60));
        desk.pass(Duration::from_secs(1));
        assert!(params(&desk).contains("hush"), "not before");
        let whole = desk.execution(id);
        desk.pass(Duration::from_secs(120));
        assert!(!params(&desk).contains("hush") && params(&desk).contains("db1"), "{}", params(&desk));
        let now = desk.execution(id);
        assert_eq!((now.status, &now.result, &now.log), (whole.status, &whole.result, &whole.log));
        assert_eq!(desk.record_of(id).runs, record.runs, "what was shown stays");
        let again = |desk: &mut Desk, params: &[(&str, &str)]| {
            let params = params.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
            let (engine, wish) = (desk.engine.clone(), squall_engine::Rerun { params, ..Default::default() });
            desk.wait(async move { engine.rerun(id, wish, &crate::desk::token("alice")).await })
        };
        let refused = again(&mut desk, &[]).unwrap_err().to_string();
        assert!(
            refused.starts_with(&format!("the secret parameters token of execution {id} were erased")),
            "{refused}"
        );
        let given = again(&mut desk, &[("token", "anew")]).unwrap();
        assert_eq!(given.request.params.get("token"), Some(&Value::from("anew")));
    }
}

/// What was confirmed for a later time keeps what it needs until it has run.
#[test]
fn secrets_of_what_has_not_ended_are_kept() {
    let mut desk = Desk::with(&rule("own", "danger.wipe", "{who: requester}"));
    let delay_ms = 40 * 86_400_000;
    let request = Request { delay_ms, ..desk.requested("alice", "danger.wipe", SECRET) };
    let id = desk.send(request).unwrap().id;
    let record = desk.record_of(id);
    desk.grant("alice", &record);
    let params = |desk: &Desk| squall_model::to_json(&desk.execution(id).request.params.clone().into());
    desk.clock.pass(Duration::from_secs(31 * 86_400));
    desk.pass(Duration::from_secs(10));
    assert!(params(&desk).contains("hush"));
    desk.clock.pass(Duration::from_secs(9 * 86_400));
    desk.pass(Duration::from_secs(60));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
    desk.clock.pass(Duration::from_secs(86_400));
    desk.pass(Duration::from_secs(10));
    assert!(!params(&desk).contains("hush"), "{}", params(&desk));
}

#[test]
fn scheduled_recheck_at_start() {
    let mut desk = Desk::new().own_packs();
    let mut request = desk.requested("alice", "danger.burn", r#"{"what": "x"}"#);
    request.delay_ms = 3 * 3_600_000;
    let id = desk.send(request).unwrap().id;
    let record = desk.record_of(id);
    desk.grant("alice", &record);
    // Released now, started at its time, which is within an hour of that time although three after the yes.
    assert_eq!(desk.status(id), "delayed");
    desk.edit("actions/burn.yaml", "echo", "echo really");
    desk.reload();
    desk.pass(Duration::from_secs(3 * 3_600 + 10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("failed", 0));
    assert!(desk.result(id).contains("void"));
}

#[test]
fn a_scheduled_run_starts_at_its_time() {
    let mut desk = Desk::new();
    let mut request = desk.requested("alice", "danger.burn", r#"{"what": "x"}"#);
    request.delay_ms = 3 * 3_600_000;
    let id = desk.send(request).unwrap().id;
    let record = desk.record_of(id);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(3 * 3_600 + 10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}

#[test]
fn equal_requests_join() {
    let mut desk = Desk::new();
    let one = desk.request("alice", "danger.burn", r#"{"what": "x"}"#).unwrap();
    let two = desk.request("alice", "danger.burn", r#"{"what": "x"}"#).unwrap();
    assert_eq!(one.id, two.id);
    let other = desk.request("bob", "danger.burn", r#"{"what": "x"}"#).unwrap();
    assert_ne!(one.id, other.id, "somebody else asked");
    let impatient = Request { on_hold: OnHold::Reject, ..desk.requested("alice", "danger.burn", r#"{"what": "x"}"#) };
    let Err(Refusal::Held(waits)) = desk.send(impatient) else { panic!("it was taken") };
    let record = desk.record_of(one.id);
    assert_eq!(waits.get("id").and_then(Value::as_str), Some(record.id.to_string().as_str()), "the one that waits");
    desk.say("alice", "burn db1");
    let told = desk.try_say("alice", "burn db1").unwrap_err().to_string();
    assert!(told.contains("The same request is already waiting as"), "{told}");
}

#[test]
fn a_requester_has_twenty_open_questions() {
    let mut desk = Desk::new();
    for n in 0..20 {
        desk.say("alice", &format!("burn db{n}"));
    }
    let refusal = desk.try_say("alice", "burn db20").unwrap_err().to_string();
    assert!(refusal.contains("20 confirmations of yours wait already"), "{refusal}");
    assert_eq!(desk.executions().len(), 20);
    desk.say("bob", "burn db1");
}

#[test]
fn guess_limit_and_limit_does_not_lock_record() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    let wrong = ["T4KQ72", "9FHXRT", "BR7KDW", "W3N8P9", "K7Q4M9"];
    for code in wrong {
        desk.answers("mallory", &format!("confirm {code}"));
    }
    let silent = desk.answers("mallory", "confirm T4KQ72");
    assert_eq!(silent, squall_engine::typed::Reply::Silence);
    // The requester is not locked out of the record.
    desk.grant("alice", &record);
    assert_eq!(desk.record_of(id).state, State::Released);
}

#[test]
fn an_answer_that_is_delivered_twice_counts_once() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let text = format!("confirm {}", desk.record_of(id).code);
    desk.answers_as("alice", &text, "again");
    let before = desk.texts().len();
    assert_eq!(desk.answers_as("alice", &text, "again"), squall_engine::typed::Reply::Silence);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.effects(), 1);
    assert_eq!(desk.texts()[before..].iter().filter(|text| text.contains("already")).count(), 0);
}

#[test]
fn break_glass_is_counted_and_reviewed() {
    let text = "version: 1\nrules:\n  - {id: two, when: {action: [danger.wipe]}, require: [{who: {role: [sre]}, count: 2}], break_glass: {role: [lead]}}\n";
    let mut desk = Desk::with(text);
    let smash = |desk: &mut Desk, n: usize| {
        let id = desk.say("alice", &format!("wipe db{n}"));
        let record = desk.record_of(id);
        let given = Answering {
            verdict: Verdict::BreakGlass,
            rest: Some("the site is down, nobody answers".into()),
            digest: None,
            response: None,
            way: Way::Api,
        };
        let outcome = desk.answer_with("erin", &record, given).unwrap().outcome;
        (record, outcome)
    };
    let mut records = Vec::new();
    for n in 0..3 {
        let (record, outcome) = smash(&mut desk, n);
        assert_eq!(outcome, Outcome::Ended(State::Released));
        records.push(record);
    }
    let (_, outcome) = smash(&mut desk, 3);
    assert_eq!(outcome, Outcome::Refused(Refused::Limited), "three a day");
    let (engine, first) = (desk.engine.clone(), records[0].id.to_string());
    let review = |by: &'static str| {
        let (engine, first) = (engine.clone(), first.clone());
        async move { engine.review(&first, "it was right", &crate::desk::token(by)).await }
    };
    assert!(desk.wait(review("erin")).is_err(), "not by whoever broke it");
    assert!(desk.wait(review("mallory")).is_err(), "not by whoever has no say");
    assert_eq!(desk.wait(review("bob")).unwrap().verdict.as_deref(), Some("it was right"));
    assert!(desk.wait(review("carol")).is_err(), "once");
    assert_eq!((desk.events("bypassed"), desk.events("review_closed")), (3, 1));
    // Two reviews are open; after their 72 hours and 14 days the right is gone.
    desk.pass(Duration::from_secs(17 * 86_400 + 3_600));
    let (_, outcome) = smash(&mut desk, 4);
    assert_eq!(outcome, Outcome::Refused(Refused::Limited));
}

/// A record of the version before is answered by this one: fields that came later have their defaults.
#[test]
fn a_record_of_the_version_before_is_answered() {
    let mut desk = Desk::new();
    let id = desk.say("alice", "burn db1");
    let record = desk.record_of(id);
    let mut json: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
    let fields = json.as_object_mut().unwrap();
    for later in ["secrets", "task", "bypassed", "moved", "retry_of", "editors"] {
        fields.remove(later);
    }
    let row = desk.store_confirmation(&record.id.to_string());
    let old = squall_store::Confirmation { json: json.to_string(), version: row.version + 1, ..row.clone() };
    let mut changed: serde_json::Value = serde_json::from_str(&old.json).unwrap();
    changed["version"] = (row.version + 1).into();
    let old = squall_store::Confirmation { json: changed.to_string(), ..old };
    desk.commit(Op::PutConfirmation { row: Box::new(old), expected: Some(row.version) }.into());
    desk.restart_after(Duration::from_secs(1));
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 1));
}
