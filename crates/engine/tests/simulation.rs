//! Deterministic simulation: random work, random order, a crash at random commits; what was promised must hold.
//!
//! A failing seed is printed; `SQUALL_SEED=n cargo test -p squall-engine --test simulation` plays it again, and
//! `SQUALL_SEEDS=n` sets how many there are (`make soak` takes many more than `make test`).

mod sim;

use sim::executor::Dice;
use sim::{Step, Want, World};
use squall_model::{Execution, Status, Value};
use squall_store::Store;
use squall_store::memory::Fault;
use squall_workflow::{Fact, State};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 500;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn nothing_is_lost_and_nothing_runs_twice() {
    let seeds = match number("SQUALL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SQUALL_SEEDS").unwrap_or(SEEDS),
    };
    let (mut crashes, mut executions) = (0, 0);
    for seed in seeds.clone() {
        let world = play(seed);
        crashes += world.crashes;
        executions += world.executions().len();
        if let Err(broken) = check(&world) {
            panic!("seed {seed} after {} crashes: {broken}\nplay it again with SQUALL_SEED={seed}", world.crashes);
        }
    }
    println!("{} seeds, {crashes} crashes, {executions} executions", seeds.end - seeds.start);
    assert!(seeds.end - seeds.start == 1 || crashes > 0, "no crash happened, so nothing was shown");
}

#[test]
fn equal_seeds_give_equal_runs() {
    for seed in 0..10 {
        let (one, two) = (play(seed), play(seed));
        assert_eq!((one.polls, one.trace), (two.polls, two.trace), "seed {seed}");
    }
}

fn play(seed: u64) -> World {
    let dice = Dice::new(seed ^ 0x5eed);
    let steps = scenario(&dice);
    let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::CrashDuring];
    let crashes = (0..dice.below(4)).map(|_| (1 + dice.below(60), faults[dice.below(3) as usize])).collect();
    let mut world = World::new(seed);
    world.play(&steps, crashes);
    world
}

fn scenario(dice: &Dice) -> Vec<Step> {
    let people = ["alice", "bob"];
    let count = 3 + dice.below(8) as usize;
    let mut steps = Vec::new();
    for number in 0..count {
        let user = people[dice.below(2) as usize];
        let earlier = dice.below(number.max(1) as u64) as usize;
        let word = |name: &'static str| (name, format!("w{number}"));
        let run = |action, params| Want::Run { action, params };
        let want = match dice.below(9) {
            0 => run("core.noop", vec![]),
            1 => run("sim.shell", vec![("cmd", "echo hi".into())]),
            2 => run("sim.steps", vec![word("word")]),
            3 => run("sim.fan", vec![word("word")]),
            4 | 5 => Want::Say { user, text: format!("ask about thing{number}") },
            6 => Want::Yes { user, nth: earlier },
            7 => Want::Say { user, text: format!("do sleep{number}") },
            _ => Want::Cancel { nth: earlier },
        };
        steps.push(Step { after: Duration::from_millis(dice.below(8_000)), want });
    }
    steps
}

/// The promises.
fn check(world: &World) -> Result<(), String> {
    let executions: BTreeMap<_, _> = world.executions().into_iter().map(|e| (e.id, e)).collect();
    for (number, id) in world.outside.acknowledged.lock().unwrap().iter() {
        if !executions.contains_key(id) {
            return Err(format!("request {number} was acknowledged as {id}, which is gone"));
        }
    }
    let twice = world.ground.started_twice();
    if !twice.is_empty() {
        return Err(format!("started twice: {twice:?}"));
    }
    for execution in executions.values() {
        legal(execution)?;
        if execution.request.definition.is_some() {
            folds(world, execution)?;
        }
    }
    let unique: BTreeSet<_> = world.messages("ops").iter().filter_map(|m| m.dedup.clone()).collect();
    if unique.len() != world.messages("ops").len() {
        return Err("a message was posted twice".into());
    }
    if !world.store.outgoing("terminal", 0, 10).map_err(|e| e.to_string())?.is_empty() {
        return Err("a message was never posted".into());
    }
    reported(world, &executions)
}

/// Every execution ended, by legal steps, and a child is never left behind by its parent.
fn legal(execution: &Execution) -> Result<(), String> {
    let id = execution.id;
    if !execution.status.is_final() {
        return Err(format!("{id} ({}) is stuck as {}", execution.request.action, execution.status));
    }
    for pair in execution.log.windows(2) {
        if let (Some((before, from)), Some((after, to))) = (pair.first(), pair.get(1)) {
            from.to(*to).map_err(|e| format!("{id}: {e}"))?;
            if before > after {
                return Err(format!("{id}: time goes back in its log"));
            }
        }
    }
    if execution.ended.is_none() || execution.result.is_null() {
        return Err(format!("{id} is {} without an end or a result", execution.status));
    }
    Ok(())
}

/// The log folds to what the execution says; timers never fired early.
fn folds(world: &World, execution: &Execution) -> Result<(), String> {
    let id = execution.id;
    let facts = world.store.facts(id, 0).map_err(|e| e.to_string())?;
    if facts.is_empty() {
        return Ok(());
    }
    let registry = sim::registry();
    let action = registry.action(&execution.request.action).ok_or("the action is gone")?;
    let source = action.definition.as_ref().ok_or("no definition")?;
    let options = squall_workflow::LoadOptions { reference: action.reference.clone(), path: source.path.to_string() };
    let language = match execution.request.runner.as_str() {
        "action-chain" => squall_workflow::Language::Chain,
        _ => squall_workflow::Language::Mistral,
    };
    let definition =
        squall_workflow::Definition::load(language, &source.text, &options).map_err(|e| format!("{e:?}"))?;
    let mut state = State::new(&definition);
    let mut set: BTreeMap<u32, (squall_model::Timestamp, u64)> = BTreeMap::new();
    for (number, stored) in facts.iter().enumerate() {
        if stored.seq != number as u64 {
            return Err(format!("{id}: fact {number} has number {}", stored.seq));
        }
        let fact: Fact = serde_json::from_str(&stored.json).map_err(|e| format!("{id}: fact {number}: {e}"))?;
        match &fact {
            Fact::TimerSet { timer, after_ms } => drop(set.insert(*timer, (stored.at, *after_ms))),
            Fact::TimerFired { timer } => {
                let (at, after) = set.get(timer).copied().ok_or("a timer fired that nobody set")?;
                if stored.at < at.after(Duration::from_millis(after)) {
                    return Err(format!("{id}: timer {timer} fired early"));
                }
            }
            _ => {}
        }
        squall_workflow::apply(&definition, &mut state, &fact);
    }
    if state.status() != execution.status || state.result() != &execution.result {
        let told = format!("the log says {} {:?}", state.status(), state.result());
        return Err(format!("{id} is {} {:?}, but {told}", execution.status, execution.result));
    }
    Ok(())
}

/// Whoever asked in chat was told: acknowledged and, once it was over, told of the result. The question of a
/// home-made confirmation was posted, and its answer told the truth.
fn reported(world: &World, executions: &BTreeMap<squall_model::ExecutionId, Execution>) -> Result<(), String> {
    let said: BTreeSet<String> = world.messages("ops").iter().filter_map(|m| m.dedup.clone()).collect();
    let texts: Vec<String> = world
        .messages("ops")
        .iter()
        .filter_map(|m| m.body.get("message").and_then(Value::as_str).map(str::to_owned))
        .collect();
    for execution in executions.values().filter(|e| e.parent.is_none() && e.request.reply_to.is_some()) {
        let id = execution.id;
        if !said.contains(&format!("ack/{id}")) {
            return Err(format!("{id} was never acknowledged in chat"));
        }
        if &*execution.request.action.name != "yes" && !said.contains(&format!("result/{id}")) {
            return Err(format!("the result of {id} was never told"));
        }
        let went = texts.contains(&format!("{id} goes on"));
        let off = texts.contains(&format!("{id} is off"));
        if &*execution.request.action.name == "ask" && execution.status == Status::Succeeded && went == off {
            return Err(format!("{id} ended, but the chat was told {went} and {off}"));
        }
        if went && !confirmed(executions, execution) {
            return Err(format!("{id} went on without a yes of the person who asked"));
        }
    }
    Ok(())
}

/// Whether the person who asked said yes to this very execution.
fn confirmed(executions: &BTreeMap<squall_model::ExecutionId, Execution>, asked: &Execution) -> bool {
    let user = |e: &Execution| e.request.context.get("api_user").cloned();
    executions.values().any(|e| {
        &*e.request.action.name == "yes"
            && user(e) == user(asked)
            && e.request.params.get("id").and_then(Value::as_str) == Some(&asked.id.to_string())
    })
}
