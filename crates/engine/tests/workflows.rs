//! Deterministic simulation of random workflows in all three languages: joins, items, retries, delays, time-outs,
//! workflows within workflows; people who pause, resume, cancel and run again; results by dice; crashes at random commits.
//!
//! A failing seed is printed; `SQUALL_SEED=n cargo test -p squall-engine --test workflows` plays it again, with its log
//! (`SQUALL_STORY=1`). `SQUALL_SEEDS=n` sets how many there are.

mod sim;

use sim::executor::Dice;
use sim::{Poke, Step, Want, World, generate, laws};
use squall_content::Registry;
use squall_model::Status;
use squall_store::memory::Fault;
use std::collections::BTreeMap;
use std::time::Duration;

/// Seeds of an ordinary test run.
const SEEDS: u64 = 1_000;
/// Failing seeds that are told at once.
const ENOUGH: usize = 5;
/// Seeds that share a pack: loading one takes longer than playing with it.
const SHARE: u64 = 20;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// What happened in all seeds together, to see that everything was tried.
#[derive(Debug, Default)]
struct Seen {
    crashes: u32,
    reruns: usize,
    executions: BTreeMap<String, usize>,
    statuses: BTreeMap<Status, usize>,
}

#[test]
fn every_workflow_ends_once_whatever_happens() {
    let seeds = match number("SQUALL_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SQUALL_SEEDS").unwrap_or(SEEDS),
    };
    let (mut seen, mut wrong) = (Seen::default(), Vec::new());
    let mut pack: Option<(u64, Registry)> = None;
    for seed in seeds.clone() {
        let block = seed / SHARE;
        let registry = match &pack {
            Some((of, registry)) if *of == block => registry.clone(),
            _ => generate::registry(block),
        };
        pack = Some((block, registry.clone()));
        let world = play(seed, registry);
        if let Err(broken) = laws::check(&world) {
            if number("SQUALL_STORY").is_some() {
                println!("{}", laws::story(&world));
            }
            wrong.push(format!("seed {seed} after {} crashes: {broken}", world.crashes));
            if wrong.len() == ENOUGH {
                break;
            }
        }
        seen.crashes += world.crashes;
        for execution in world.executions() {
            *seen.executions.entry(execution.request.runner.clone()).or_default() += 1;
            *seen.statuses.entry(execution.status).or_default() += 1;
            seen.reruns += usize::from(execution.request.again.is_some());
        }
    }
    println!("{} seeds, {seen:?}", seeds.end - seeds.start);
    assert!(wrong.is_empty(), "{}\nplay one again with SQUALL_SEED=…", wrong.join("\n"));
    if seeds.end - seeds.start >= 100 {
        assert!(seen.crashes > 0 && seen.reruns > 0, "something was never tried: {seen:?}");
        for runner in ["action-chain", "mistral-v2", "orquesta", "local-shell-cmd"] {
            assert!(seen.executions.contains_key(runner), "{runner} was never tried: {seen:?}");
        }
        for status in [Status::Succeeded, Status::Failed, Status::Canceled, Status::Abandoned, Status::Timeout] {
            assert!(seen.statuses.contains_key(&status), "nothing ended {status}: {seen:?}");
        }
    }
}

#[test]
fn equal_seeds_give_equal_runs() {
    let registry = generate::registry(0);
    for seed in 0..5 {
        let (one, two) = (play(seed, registry.clone()), play(seed, registry.clone()));
        assert_eq!((one.polls, one.trace), (two.polls, two.trace), "seed {seed}");
    }
}

fn play(seed: u64, registry: Registry) -> World {
    let dice = Dice::new(seed ^ 0x0f10);
    let names = generate::names(seed / SHARE);
    let mut steps = Vec::new();
    for _ in 0..2 + dice.below(8) {
        let run =
            Want::Run { action: format!("gen.{}", names[dice.below(names.len() as u64) as usize]), params: vec![] };
        let want = match dice.below(12) {
            10 | 11 => Want::Run { action: "sim.narrow".into(), params: vec![("cmd", "dice 50".into())] },
            0..5 => run,
            5 => Want::Poke(Poke::Pause),
            6 => Want::Poke(Poke::Resume),
            7 => Want::Poke(Poke::Cancel),
            _ => Want::Poke(Poke::Rerun),
        };
        let want = if steps.is_empty() {
            Want::Run { action: format!("gen.{}", names[names.len() - 1]), params: vec![] }
        } else {
            want
        };
        steps.push(Step { after: Duration::from_millis(dice.below(5_000)), want });
    }
    let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::CrashDuring];
    let crashes = (0..1 + dice.below(5)).map(|_| (1 + dice.below(40), faults[dice.below(3) as usize])).collect();
    let hiccups = [Fault::Full, Fault::Busy, Fault::Conflict];
    let mut world = World::new(seed);
    world.hiccups = (0..dice.below(3)).map(|_| (1 + dice.below(40), hiccups[dice.below(3) as usize])).collect();
    world.registry = registry;
    world.chat = false;
    world.horizon = Duration::from_secs(600);
    world.play(&steps, crashes);
    world.tidy_up();
    world
}
