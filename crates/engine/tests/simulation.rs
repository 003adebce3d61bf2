//! Deterministic simulation: random work, random order, a crash at random commits; what was promised must hold.
//!
//! A failing seed is printed; `SQUALL_SEED=n cargo test -p squall-engine --test simulation` plays it again, and
//! `SQUALL_SEEDS=n` sets how many there are (`make soak` takes many more than `make test`).

mod sim;

use sim::executor::Dice;
use sim::{Step, Want, World, laws};
use squall_model::{Execution, Status, Value};
use squall_store::Store;
use squall_store::memory::Fault;
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
        let run = |action: &str, params| Want::Run { action: action.into(), params };
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
    let executions = laws::check(world)?;
    let unique: BTreeSet<_> = world.messages("ops").iter().filter_map(|m| m.dedup.clone()).collect();
    if unique.len() != world.messages("ops").len() {
        return Err("a message was posted twice".into());
    }
    if !world.store.outgoing("terminal", 0, 10).map_err(|e| e.to_string())?.is_empty() {
        return Err("a message was never posted".into());
    }
    reported(world, &executions)
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
