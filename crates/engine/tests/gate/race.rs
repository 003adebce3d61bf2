//! Two people, the deadline, a cancel and a reload in the same millisecond: one outcome, and everybody is told the truth.

use crate::desk::{Desk, rule, rules, token};
use crate::model::{count, seeds};
use squall_engine::answers::{Answered, Answering};
use squall_engine::confirmation::State;
use squall_engine::confirmation::decide::{Outcome, Refused, Verdict};
use squall_engine::confirmation::declare::Way;
use squall_engine::{Refusal, Runtime};
use squall_model::Execution;
use squall_store::Store;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What each of them was told.
#[derive(Default)]
struct Told {
    answers: Vec<Result<Answered, Refusal>>,
    cancel: Option<Result<Execution, Refusal>>,
}

#[test]
fn everything_in_one_millisecond() {
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for seed in seeds(count("SQUALL_RACES", 300)) {
        let state = one(seed);
        *ends.entry(state.as_str().to_owned()).or_default() += 1;
    }
    println!("{ends:?}");
}

fn one(seed: u64) -> State {
    let one_sre = rule("one", "danger.wipe", "{who: {role: [sre]}}");
    let mut desk = Desk::seeded(&one_sre, seed);
    let id = desk.say("alice", "wipe db1");
    let record = desk.record_of(id);
    // Half of the time all but the deadline come one millisecond before it.
    let before = seed % 2;
    desk.clock.pass(Duration::from_millis(900_000 - before));
    let told: Arc<Mutex<Told>> = Arc::default();
    for (name, verdict) in [("bob", Verdict::Grant), ("carol", Verdict::Deny)] {
        let (engine, slot, told) = (desk.engine.clone(), record.id.to_string(), told.clone());
        let given = Answering { verdict, rest: None, digest: None, response: None, way: Way::Api };
        desk.executor.handle().spawn(Box::pin(async move {
            let answer = engine.answer_by(&slot, given, &token(name)).await;
            told.lock().unwrap().answers.push(answer);
        }));
    }
    let (engine, mine) = (desk.engine.clone(), told.clone());
    desk.executor.handle().spawn(Box::pin(async move {
        let done = engine.cancel(id, &token("admin")).await;
        mine.lock().unwrap().cancel = Some(done);
    }));
    let engine = desk.engine.clone();
    let stricter = rules(&rule("one", "danger.wipe", "{who: {role: [nobody]}}"));
    desk.executor.handle().spawn(Box::pin(async move {
        // Rules that nobody can meet: void, and nothing to ask anew.
        let registry = engine.content().registry().clone();
        engine.swap(registry, stricter);
    }));
    desk.pass_ms(before);
    desk.pass(Duration::from_secs(20));
    let last = desk.record_of(id);
    let at = format!("seed {seed}: {}", last.state.as_str());
    assert!(last.state.is_final(), "{at}");
    let finals = ["released", "denied", "expired", "withdrawn", "void"].map(|event| desk.events(event));
    assert_eq!(finals.iter().sum::<usize>(), 1, "{at}: {finals:?}");
    if last.state != State::Released {
        assert_eq!(desk.effects(), 0, "{at}");
    }
    let told = told.lock().unwrap();
    assert_eq!(told.answers.len(), 2, "{at}: somebody was told nothing");
    for answer in &told.answers {
        let answer = answer.as_ref().unwrap_or_else(|refusal| panic!("{at}: {refusal}"));
        truth(answer, last.state, &at);
    }
    match told.cancel.as_ref().expect("the cancel was answered") {
        Ok(execution) => {
            assert!(execution.status.is_final() || last.state == State::Released, "{at}: {}", execution.status)
        }
        Err(refusal) => assert!(refusal.to_string().contains("cannot cancel"), "{at}: {refusal}"),
    }
    last.state
}

/// Equal requests of one instant are one question, in whatever order they are stored; so are equal commands.
#[test]
fn equal_requests_of_one_instant_are_one_question() {
    for seed in seeds(100) {
        let mut desk = Desk::seeded("", seed);
        let got: Arc<Mutex<Vec<Result<Execution, Refusal>>>> = Arc::default();
        for n in 0..6 {
            let (engine, got) = (desk.engine.clone(), got.clone());
            let request = desk.requested("alice", "danger.burn", r#"{"what": "db1"}"#);
            let command = desk.command("bob", "burn db1", &format!("m{n}"));
            desk.executor.handle().spawn(Box::pin(async move {
                let done = match n % 2 {
                    0 => engine.request(request).await,
                    _ => engine.command(&command).await.map(|mut done| done.remove(0).execution),
                };
                got.lock().unwrap().push(done);
            }));
        }
        desk.pass(Duration::from_secs(1));
        let records = desk.records();
        assert_eq!((records.len(), desk.executions().len()), (2, 2), "seed {seed}: one of alice and one of bob");
        assert_eq!(desk.said("please confirm"), 2, "seed {seed}: each was asked once");
        let (taken, told): (Vec<_>, Vec<_>) = got.lock().unwrap().drain(..).partition(Result::is_ok);
        let held: Vec<_> = records.iter().map(|r| r.runs[0].0).collect();
        assert!(taken.iter().flatten().all(|e| held.contains(&e.id)), "seed {seed}");
        assert_eq!((taken.len(), told.len()), (4, 2), "seed {seed}");
        for refusal in told.into_iter().filter_map(Result::err) {
            let text = refusal.to_string();
            assert!(text.starts_with("The same request is already waiting as "), "seed {seed}: {text}");
        }
        for record in &records {
            let name = record.requester.person.user_name().expect("both have accounts");
            desk.grant(name, record);
        }
        desk.pass(Duration::from_secs(10));
        assert_eq!(desk.effects(), 2, "seed {seed}: each ran once");
    }
}

/// The same where something is looked up before anybody is asked: it is looked up once for each of the two people.
#[test]
fn equal_requests_of_one_instant_are_looked_up_once() {
    let text = "version: 1\nrules:\n  - {id: r, why: because, when: {action: [danger.wipe]}, require: [{who: requester}], show: {dry_run: danger.plan}}\n";
    for seed in seeds(100) {
        let mut desk = Desk::seeded(text, seed);
        let got: Arc<Mutex<Vec<Result<Execution, Refusal>>>> = Arc::default();
        for n in 0..6 {
            let (engine, got) = (desk.engine.clone(), got.clone());
            let request = desk.requested("alice", "danger.wipe", r#"{"what": "db1"}"#);
            let command = desk.command("bob", "wipe db1", &format!("m{n}"));
            desk.executor.handle().spawn(Box::pin(async move {
                let done = match n % 2 {
                    0 => engine.request(request).await,
                    _ => engine.command(&command).await.map(|mut done| done.remove(0).execution),
                };
                got.lock().unwrap().push(done);
            }));
        }
        desk.pass(Duration::from_secs(12));
        let records = desk.records();
        let looked = desk.executions().iter().filter(|e| &*e.request.action.name == "plan").count();
        assert_eq!((records.len(), looked), (2, 2), "seed {seed}: one question and one dry run of each");
        assert_eq!(desk.executions().len(), 4, "seed {seed}: nothing else is stored");
        assert_eq!(desk.said("please confirm"), 2, "seed {seed}: each was asked once");
        let (taken, told): (Vec<_>, Vec<_>) = got.lock().unwrap().drain(..).partition(Result::is_ok);
        let held: Vec<_> = records.iter().map(|r| r.runs[0].0).collect();
        assert!(taken.iter().flatten().all(|e| held.contains(&e.id)), "seed {seed}");
        assert_eq!((taken.len(), told.len()), (4, 2), "seed {seed}: {told:?}");
        for record in &records {
            let name = record.requester.person.user_name().expect("both have accounts");
            desk.grant(name, record);
        }
        desk.pass(Duration::from_secs(12));
        assert_eq!(desk.effects(), 4, "seed {seed}: two dry runs, and each ran once");
        assert!(desk.store.slot_names().unwrap().is_empty(), "seed {seed}: the next equal request is a new one");
    }
}

/// What an answerer was told fits what became of it.
fn truth(answer: &Answered, last: State, at: &str) {
    let said = &answer.told;
    match answer.outcome {
        Outcome::Ended(state) => assert_eq!(state, last, "{at}: {said}"),
        Outcome::Refused(Refused::Late) => assert_eq!(last, State::Expired, "{at}: {said}"),
        Outcome::Refused(Refused::Final) => assert!(said.contains(last.as_str()), "{at}: {said}"),
        other => panic!("{at}: {other:?} {said}"),
    }
}
