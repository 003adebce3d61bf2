//! What is found out before people are asked: dry runs, and who is on call.

use crate::desk::{Desk, rules, token, usual};
use squall_engine::answers::Answering;
use squall_engine::confirmation::decide::Verdict;
use squall_engine::confirmation::declare::Way;
use squall_engine::confirmation::{Record, State, policy};
use squall_engine::preview::{self, Preview};
use squall_engine::{OnHold, Refusal, Request, Runtime};
use squall_model::ExecutionId;
use squall_store::{Item, ItemScope, Op, Store};
use std::time::Duration;

/// One rule about an action, with what it shows and whom it asks.
fn asks(action: &str, show: &str, who: &str) -> String {
    format!(
        "version: 1\nrules:\n  - {{id: r, why: because, when: {{action: [{action}]}}, require: [{{who: {who}}}], show: {show}}}\n"
    )
}

fn dry(show: &str) -> Desk {
    Desk::with(&asks("danger.wipe", show, "requester"))
}

/// Writes a datastore item that the actions of these tests say.
fn set(desk: &mut Desk, name: &str, value: &str) {
    let item = Item {
        scope: ItemScope::System,
        name: name.to_owned(),
        value: value.to_owned(),
        secret: false,
        expires: None,
        description: None,
        created: desk.now(),
    };
    let now = desk.now();
    desk.commit(Op::SetItem { item: Box::new(item), now }.into());
}

fn wipe(desk: &mut Desk) -> ExecutionId {
    desk.request("alice", "danger.wipe", r#"{"what": "db1"}"#).unwrap().id
}

fn shown(record: &Record) -> String {
    record.runs.iter().flat_map(|(_, run)| run.impact.clone()).collect::<Vec<_>>().join("\n")
}

/// How many runs of an action there are.
fn runs(desk: &Desk, name: &str) -> usize {
    desk.executions().iter().filter(|e| &*e.request.action.name == name).count()
}

#[test]
fn a_dry_run_is_shown_with_the_question() {
    let mut desk = dry("{dry_run: danger.plan}");
    let id = desk.say("alice", "wipe db1");
    assert_eq!((desk.status(id).as_str(), desk.open().len()), ("pending", 0), "first it is looked, then asked");
    desk.pass(Duration::from_secs(6));
    let record = desk.one_open();
    assert!(
        shown(&record).starts_with("Dry run (") && shown(&record).contains("s): would wipe db1"),
        "{}",
        shown(&record)
    );
    assert_eq!(desk.said("would wipe db1"), 1, "people read it: {:?}", desk.texts());
    assert_eq!(desk.effects(), 1, "the dry run alone");
    let answers = desk.grant("alice", &record);
    desk.pass(Duration::from_secs(6));
    assert_eq!((desk.status(id).as_str(), desk.effects()), ("succeeded", 2), "{answers}");
}

#[test]
fn the_caller_gets_the_confirmation_once_people_are_asked() {
    let mut desk = dry("{dry_run: danger.plan}");
    let execution = desk.request("alice", "danger.wipe", r#"{"what": "db1"}"#).unwrap();
    let record = desk.one_open();
    assert_eq!(execution.result.at(&["confirmation", "id"]).and_then(|v| v.as_str()), Some(&*record.id.to_string()));
    assert_eq!(execution.result.at(&["confirmation", "state"]).and_then(|v| v.as_str()), Some("open"));
}

#[test]
fn an_action_names_its_own_dry_run() {
    for show in ["{dry_run: auto}", "{dry_run: required}"] {
        let mut desk = Desk::with(&asks("danger.planned", show, "requester"));
        desk.request("alice", "danger.planned", r#"{"what": "db1"}"#).unwrap();
        assert!(shown(&desk.one_open()).contains("would wipe db1"), "{show}");
    }
    let mut desk = dry("{dry_run: auto}");
    wipe(&mut desk);
    assert_eq!(shown(&desk.one_open()), "", "an action without one is asked about without one");
}

#[test]
fn required_dry_run_refuses_without_one() {
    let mut desk = dry("{dry_run: required}");
    let refused = desk.request("alice", "danger.wipe", r#"{"what": "db1"}"#).unwrap_err().to_string();
    assert!(
        refused.contains("needs a dry run before anybody is asked") && refused.contains("squall.dry_run"),
        "{refused}"
    );
    assert_eq!((desk.executions().len(), desk.records().len()), (0, 0));
}

#[test]
fn a_dry_run_that_fails_is_shown_as_failed() {
    let mut desk = dry("{dry_run: danger.broken_plan}");
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    let text = shown(&record);
    assert!(
        text.starts_with("Dry run failed: danger.broken_plan is failed: it returned 1")
            && text.ends_with("— you decide without it."),
        "{text}"
    );
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(6));
    assert_eq!(desk.status(id), "succeeded");
}

#[test]
fn required_dry_run_that_fails_refuses_the_run() {
    let mut desk = dry("{dry_run: {action: danger.broken_plan, required: true}}");
    let id = wipe(&mut desk);
    assert_eq!((desk.status(id).as_str(), desk.records().len()), ("failed", 0));
    assert!(
        desk.result(id).contains("needs a dry run") && desk.result(id).contains("danger.broken_plan"),
        "{}",
        desk.result(id)
    );
}

#[test]
fn a_dry_run_over_20_s_is_shown_as_failed() {
    let mut desk = dry("{dry_run: danger.slow_plan}");
    let id = desk.say("alice", "wipe db1");
    desk.pass(Duration::from_secs(19));
    assert_eq!(desk.open().len(), 0);
    desk.pass(Duration::from_secs(2));
    let text = shown(&desk.one_open());
    assert!(text.contains("took longer than 20 s"), "{text}");
    let slow = desk.executions().into_iter().find(|e| &*e.request.action.name == "slow_plan").unwrap();
    assert!(slow.status.is_final(), "it was stopped, not left running: {}", slow.status);
    assert_eq!(desk.status(id), "pending");
}

#[test]
fn only_what_is_tagged_read_only_is_run() {
    let mut desk = dry("{dry_run: danger.burn}");
    wipe(&mut desk);
    let text = shown(&desk.one_open());
    assert!(text.contains("does not carry the tag"), "{text}");
    assert_eq!((desk.effects(), runs(&desk, "burn")), (0, 0));
    let mut desk = Desk::with(&asks("danger.wipe", "{}", "{on_call: danger.burn}"));
    let id = desk.say("alice", "wipe db1");
    desk.pass(Duration::from_secs(1));
    assert_eq!((desk.status(id).as_str(), desk.effects(), runs(&desk, "burn")), ("failed", 0, 0));
}

#[test]
fn a_dangerous_dry_run_is_a_rule_load_error_with_its_place() {
    let text = "version: 1\nrules:\n  - id: r\n    when: {action: [danger.wipe]}\n    show: {dry_run: danger.burn}\n    require:\n      - {who: {on_call: [danger.rota, danger.script]}}\n      - {who: {on_call: danger.nowhere}}\n";
    let files = [("confirm.d/r.yaml".to_owned(), text.to_owned())];
    let registry = usual();
    let found = policy::reload(None, &files, &registry).expect_err("without an earlier set nothing is started");
    let told: Vec<String> = found.iter().map(ToString::to_string).collect();
    let all = told.join("\n");
    assert!(all.contains("error[SQ1706]: the action `danger.burn` does not carry the tag `read_only`"), "{all}");
    assert!(all.contains("confirm.d/r.yaml:5:21") && all.contains("confirm.d/r.yaml:7:39"), "{all}");
    assert!(all.contains("warning[SQ1706]: the action `danger.nowhere` does not exist"), "{all}");
    let earlier = rules(&asks("danger.wipe", "{}", "requester"));
    let (kept, _) = policy::reload(Some(earlier), &files, &registry).expect("the earlier set stays");
    assert_eq!(kept.rule("r").unwrap().require.len(), 1);
}

#[test]
fn what_was_typed_is_data_for_the_dry_run_as_well() {
    let mut desk = dry("{dry_run: danger.plan}");
    desk.say("alice", "wipe {{1+1}}`<!channel>");
    desk.pass(Duration::from_secs(6));
    let text = shown(&desk.one_open());
    assert!(text.contains("would wipe {{1+1}}") && !text.contains("<!channel>"), "{text}");
}

#[test]
fn secrets_do_not_come_out_by_the_dry_run() {
    let mut desk = Desk::with(&asks("danger.planned", "{dry_run: auto}", "requester"));
    desk.request("alice", "danger.planned", r#"{"what": "x hush x", "token": "hush"}"#).unwrap();
    let text = shown(&desk.one_open());
    assert!(text.contains("would wipe x •••••• x") && !text.contains("hush"), "{text}");
    let dry = desk.executions().into_iter().find(|e| &*e.request.action.name == "plan").unwrap();
    assert!(!dry.request.params.contains_key("token"), "a secret goes only where it is one too");
}

#[test]
fn what_the_dry_run_showed_is_in_the_digest() {
    let digest = |plan: &str| {
        let mut desk = dry("{dry_run: danger.plan}");
        set(&mut desk, "plan", plan);
        let id = wipe(&mut desk);
        desk.record_of(id).digest
    };
    assert_eq!(digest("3 disks"), digest("3 disks"));
    assert_ne!(digest("3 disks"), digest("4 disks"));
}

#[test]
fn an_equal_request_joins_while_it_is_looked_and_afterwards() {
    let mut desk = dry("{dry_run: danger.plan}");
    let first = desk.say("alice", "wipe db1");
    let told = desk.try_say("alice", "wipe db1").unwrap_err().to_string();
    assert!(told.contains("waits already"), "{told}");
    desk.pass(Duration::from_secs(6));
    set(&mut desk, "plan", "something else by now");
    let told = desk.try_say("alice", "wipe db1").unwrap_err().to_string();
    assert!(told.contains("already waiting as"), "{told}");
    assert_eq!((desk.one_open().runs[0].0, runs(&desk, "plan")), (first, 1));
}

/// A crash at any moment of the dry run: the request is kept, and asked about once.
#[test]
fn a_crash_during_the_dry_run_loses_nothing_and_asks_once() {
    for after in [0, 1, 3, 5, 50, 500, 1_500, 3_000, 6_000] {
        let mut desk = dry("{dry_run: danger.plan}");
        let id = desk.say("alice", "wipe db1");
        desk.pass_ms(after);
        desk.restart_after(Duration::from_secs(2));
        desk.pass(Duration::from_secs(20));
        let record = desk.one_open();
        assert_eq!((record.runs[0].0, desk.records().len()), (id, 1), "after {after} ms");
        assert!(shown(&record).contains("would wipe db1"), "after {after} ms: {}", shown(&record));
        assert_eq!(desk.said("please confirm"), 1, "after {after} ms");
        desk.grant("alice", &record);
        desk.pass(Duration::from_secs(6));
        assert_eq!(desk.status(id), "succeeded", "after {after} ms");
    }
}

#[test]
fn canceled_while_it_is_looked_asks_nobody() {
    let mut desk = dry("{dry_run: danger.plan}");
    let id = desk.say("alice", "wipe db1");
    desk.cancel(id);
    desk.pass(Duration::from_secs(30));
    assert_eq!((desk.status(id).as_str(), desk.records().len()), ("canceled", 0));
    assert_eq!(desk.said("please confirm"), 0);
}

#[test]
fn two_runs_of_one_message_show_a_dry_run_each() {
    let mut desk = Desk::with(&asks("danger.burn", "{dry_run: danger.plan}", "requester"));
    let ids = desk.try_say("alice", "T-1 T-2").unwrap();
    assert_eq!(ids.len(), 2);
    desk.pass(Duration::from_secs(8));
    let record = desk.one_open();
    assert_eq!(record.runs.iter().filter(|(_, run)| run.impact.iter().any(|l| l.starts_with("Dry run ("))).count(), 2);
}

#[test]
fn a_held_task_shows_its_dry_run() {
    let text = "version: 1\nrules:\n  - {id: r, when: {action: [danger.wipe], params: [{path: what, op: exists}]}, require: [{who: requester}], show: {dry_run: danger.plan}}\n";
    let mut desk = Desk::with(text);
    let id = desk.request("alice", "danger.each", "{}").unwrap().id;
    desk.pass(Duration::from_secs(12));
    assert_eq!(desk.open().len(), 2);
    for record in desk.open() {
        assert!(shown(&record).contains("would wipe"), "{}", shown(&record));
        desk.grant("alice", &record);
    }
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.status(id), "succeeded");
}

#[test]
fn preview_says_that_a_dry_run_would_be_made_and_makes_none() {
    let mut desk = dry("{dry_run: danger.plan}");
    let request = desk.requested("alice", "danger.wipe", r#"{"what": "db1"}"#);
    let found = desk.engine.preview(&request).unwrap();
    let Preview::Asks(asked) = &found else { panic!("{found:?}") };
    assert!(asked.text.contains("Dry run: danger.plan would be run first"), "{}", asked.text);
    let value = squall_model::to_json(&preview::to_value(&found));
    assert!(value.contains(r#""looks":[{"what":"dry run","action":"danger.plan"}]"#), "{value}");
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.executions().len(), desk.records().len()), (0, 0));
}

#[test]
fn whoever_does_not_want_to_wait_starts_no_dry_run() {
    let mut desk = dry("{dry_run: danger.plan}");
    let request = Request { on_hold: OnHold::Reject, ..desk.requested("alice", "danger.wipe", r#"{"what": "db1"}"#) };
    assert!(matches!(desk.send(request), Err(Refusal::Held(_))));
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.executions().len(), desk.effects()), (0, 0));
}

// ---- once more before the release ---------------------------------------------------------------------------------

const AGAIN: &str = "{dry_run: danger.plan, recheck_dry_run: true}";

#[test]
fn the_dry_run_must_show_the_same_at_the_release() {
    let mut desk = dry(AGAIN);
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    assert!(desk.grant("alice", &record).contains("whether the dry run still shows the same"));
    assert_eq!(desk.status(id), "pending", "the yes is there, and it is looked once more");
    desk.pass(Duration::from_secs(12));
    assert_eq!((desk.status(id).as_str(), runs(&desk, "plan")), ("succeeded", 2));
}

#[test]
fn a_dry_run_that_shows_something_else_voids() {
    let mut desk = dry(AGAIN);
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    set(&mut desk, "plan", "and db2");
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(12));
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Void, "failed"));
    assert!(desk.result(id).contains("the dry run gives another result now"), "{}", desk.result(id));
}

#[test]
fn a_no_while_it_is_looked_once_more_counts() {
    let mut desk = Desk::with(&asks("danger.wipe", AGAIN, "{role: [sre]}"));
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    desk.grant("bob", &record);
    desk.deny("carol", &record);
    desk.pass(Duration::from_secs(12));
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Denied, "failed"));
}

/// A yes in time is not lost to the deadline while it is looked once more.
#[test]
fn the_deadline_waits_while_it_is_looked_once_more() {
    let mut desk = dry(AGAIN);
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    let left = record.expires_at.since(desk.now()) - Duration::from_millis(1);
    desk.pass(left);
    desk.grant("alice", &record);
    desk.pass(Duration::from_secs(15));
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Released, "succeeded"));
}

#[test]
fn a_crash_while_it_is_looked_once_more_decides_once() {
    for after in [0, 1, 50, 500, 2_000, 6_000] {
        for (plan, expected) in [("", State::Released), ("and db2", State::Void)] {
            let mut desk = dry(AGAIN);
            let id = wipe(&mut desk);
            let record = desk.record_of(id);
            set(&mut desk, "plan", plan);
            desk.grant("alice", &record);
            desk.pass_ms(after);
            desk.restart_after(Duration::from_secs(120));
            desk.pass(Duration::from_secs(20));
            assert_eq!(desk.record_of(id).state, expected, "after {after} ms, `{plan}`");
        }
    }
}

// ---- on call ------------------------------------------------------------------------------------------------------

fn on_call(who: &str) -> Desk {
    let mut desk = Desk::with(&asks("danger.wipe", "{}", "{on_call: danger.rota}"));
    set(&mut desk, "rota", who);
    desk
}

#[test]
fn whoever_is_on_call_is_asked() {
    let mut desk = on_call("bob, terminal:carol");
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    assert!(desk.grant("mallory", &record).contains("no open confirmation"), "others may not even know of it");
    assert_eq!(record.found.on_call.values().map(Vec::len).sum::<usize>(), 2);
    desk.grant("carol", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.status(id).as_str(), runs(&desk, "rota")), ("succeeded", 3));
}

#[test]
fn who_is_on_call_is_found_out_anew_for_every_answer() {
    let mut desk = on_call(r#"["bob"]"#);
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    set(&mut desk, "rota", "carol");
    let told = desk.grant("bob", &record);
    assert_eq!((desk.record_of(id).state, desk.effects()), (State::Open, 2), "bob's shift is over: {told}");
    desk.grant("carol", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.status(id), "succeeded");
}

#[test]
fn a_failed_on_call_lookup_is_nobody() {
    let mut desk = on_call("exit 1");
    let id = wipe(&mut desk);
    assert_eq!((desk.status(id).as_str(), desk.records().len()), ("failed", 0));
    assert!(desk.result(id).contains("only 0 such people exist"), "{}", desk.result(id));
    // Beside others it stays open for those.
    let mut desk = Desk::with(&asks("danger.wipe", "{}", "[{on_call: danger.rota}, {role: [sre]}]"));
    set(&mut desk, "rota", "exit 1");
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    desk.grant("bob", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.status(id), "succeeded");
}

/// The time at which an answer was received counts, also while it is looked who is on call.
#[test]
fn an_answer_in_time_wins_although_it_is_looked_who_is_on_call() {
    let mut desk = on_call("bob");
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    desk.pass(record.expires_at.since(desk.now()) - Duration::from_millis(1));
    desk.grant("bob", &record);
    desk.pass(Duration::from_secs(10));
    assert_eq!(desk.record_of(id).state, State::Released);
}

/// The deadline of a question waits for an answer that came before it, however long it is looked who is on call. The deadlines of
/// others do not wait with it.
#[test]
fn other_deadlines_do_not_wait_for_a_look_up() {
    let mut desk = on_call("bob");
    let id = wipe(&mut desk);
    let record = desk.record_of(id);
    desk.pass(record.expires_at.since(desk.now()) - Duration::from_secs(59));
    let other = desk.say("alice", "burn db2");
    set(&mut desk, "rota", "slow");
    desk.pass(record.expires_at.since(desk.now()) - Duration::from_millis(1));
    let (engine, slot) = (desk.engine.clone(), record.id.to_string());
    let answering = Answering { verdict: Verdict::Grant, rest: None, digest: None, response: None, way: Way::Api };
    desk.executor
        .handle()
        .spawn(Box::pin(async move { drop(engine.answer_by(&slot, answering, &token("bob")).await) }));
    let late = desk.record_of(other).expires_at.since(desk.now()) + Duration::from_millis(50);
    desk.pass(late);
    assert_eq!(desk.record_of(other).state, State::Expired, "its time is up, whoever else is being looked for");
    assert_eq!(desk.record_of(id).state, State::Open, "an answer is on its way");
    desk.pass(Duration::from_secs(10));
    assert_eq!((desk.record_of(id).state, desk.status(id).as_str()), (State::Expired, "timeout"), "nobody is on call");
    assert!(desk.store.due(desk.now(), 10).unwrap().is_empty(), "and nothing waits any more");
}

#[test]
fn preview_names_the_look_up_and_makes_none() {
    let desk = on_call("bob");
    let request = desk.requested("alice", "danger.wipe", r#"{"what": "db1"}"#);
    let Preview::Asks(asked) = desk.engine.preview(&request).unwrap() else { panic!("it asks") };
    assert_eq!(asked.candidates, [["whoever is on call (danger.rota)"]]);
    assert_eq!(desk.executions().len(), 0);
}

/// Whoever is asked about the look-up itself is not asked: it finds nothing.
#[test]
fn a_look_up_that_would_be_asked_about_finds_nothing() {
    let text = "version: 1\nrules:\n  - {id: r, when: {action: [danger.wipe]}, require: [{who: requester}], show: {dry_run: danger.plan}}\n  - {id: i, when: {action: [danger.plan], source: [internal]}, require: [{who: {role: [sre]}}]}\n";
    let mut desk = Desk::with(text);
    let id = wipe(&mut desk);
    let text = shown(&desk.record_of(id));
    assert!(text.starts_with("Dry run failed: it would have to be confirmed first"), "{text}");
    assert_eq!((desk.effects(), runs(&desk, "plan")), (0, 0));
}

#[test]
fn exclude_editor_is_refused_with_its_place() {
    let text = "version: 1\nrules:\n  - id: r\n    require:\n      - {who: {role: [sre]}, exclude_editor: true}\n";
    let (read, found) = policy::read(&[("confirm.d/r.yaml".to_owned(), text.to_owned())]);
    let told = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(read.is_none() && told.contains("confirm.d/r.yaml:5:30"), "{told}");
    assert!(told.contains("who last edited an action, an alias or a rule is not known"), "{told}");
}

#[test]
fn a_pack_that_names_a_dangerous_dry_run_is_told_where() {
    let mut desk = Desk::new().own_packs();
    desk.edit("actions/planned.yaml", "danger.plan", "danger.burn");
    desk.edit("aliases/wipe.yaml", "formats", "confirm: {by: \"on_call:danger.script\"}\nformats");
    desk.reload();
    let content = desk.engine.content();
    let found = squall_engine::confirmation::lint::check(content.registry(), None, None);
    let told = found.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    assert!(told.contains("error[SQ1706]: the action `danger.burn`") && told.contains("planned.yaml:5:"), "{told}");
    assert!(told.contains("error[SQ1706]: the action `danger.script`") && told.contains("wipe.yaml:4:"), "{told}");
}
