//! Whatever comes in whatever order: no panic, no difference after a crash, and never a run that waits for nothing.
//!
//! Every recorded definition is driven by random news: ends of all kinds, late and repeated ones, timers out of order,
//! pauses, cancels and re-runs.

mod random;

use squall_expr::NoHost;
use squall_model::{ActionRef, Map, Status, Value, from_json};
use squall_workflow::{
    Begin, Definition, Fact, Language, LoadOptions, RunId, State, Stimulus, TimerId, advance, apply, chain, mistral,
};
use std::sync::Arc;

/// How often each definition is driven; forty of them were tried once and take half a minute.
const SEEDS: u64 = 6;

/// A predictable source of choices.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % sides.max(1)
    }
}

fn vectors(file: &str) -> Vec<serde_json::Value> {
    let path = format!("{}/../../tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn map(json: &serde_json::Value) -> Map {
    from_json(&json.to_string(), false).unwrap().as_map().cloned().unwrap_or_default()
}

/// A run with all that was ever offered, so that news can come late and twice.
struct Run<'d> {
    name: &'d str,
    definition: &'d Definition,
    state: State,
    log: Vec<String>,
    offered: Vec<RunId>,
    timers: Vec<TimerId>,
    trail: Vec<String>,
}

impl Run<'_> {
    fn hear(&mut self, stimulus: Stimulus) {
        self.trail.push(format!("{stimulus:?}").chars().take(120).collect());
        let before = self.state.clone();
        let facts = advance(self.definition, &mut self.state, stimulus, &NoHost);
        assert!(!facts.is_empty() || before == self.state, "{}: changed without a fact", self.name);
        for fact in &facts {
            match fact {
                Fact::Offered { offer } => self.offered.push(offer.run),
                Fact::TimerSet { timer, .. } => self.timers.push(*timer),
                _ => {}
            }
            self.log.push(serde_json::to_string(fact).unwrap());
        }
        let mut folded = before;
        for line in &self.log[self.log.len() - facts.len()..] {
            apply(self.definition, &mut folded, &serde_json::from_str::<Fact>(line).unwrap());
        }
        assert_eq!(folded, self.state, "{}: recovery differs", self.name);
        self.must_wait_for_something();
    }

    fn must_wait_for_something(&self) {
        let status = self.state.status();
        let waits = self.state.open_offers().next().is_some() || self.state.open_timers().next().is_some();
        let resting = status.is_final() || status == Status::Paused || status == Status::Requested;
        assert!(waits || resting, "{}: {status} and waits for nothing after\n{}", self.name, self.trail.join("\n"));
    }

    fn random(&mut self, dice: &mut Dice) {
        let run = self.offered.get(dice.roll(self.offered.len())).copied().unwrap_or(7);
        let timer = self.timers.get(dice.roll(self.timers.len())).copied().unwrap_or(7);
        let open: Vec<RunId> = self.state.open_offers().map(|o| o.offer.run).collect();
        let next = open.get(dice.roll(open.len())).copied().unwrap_or(run);
        let result = Value::from_pairs([("stdout", "x")]);
        let end = |run, status| Stimulus::Finished { run, status, result: result.clone() };
        self.hear(match dice.roll(24) {
            0 => end(run, Status::Succeeded),
            1 => end(next, Status::Canceled),
            2 => end(next, Status::Timeout),
            3 => end(next, Status::Paused),
            4 => end(next, Status::Pending),
            5 => Stimulus::Started { run: next },
            6 => Stimulus::Refused { run: next, message: "no".into() },
            7 => Stimulus::Pause,
            8 | 9 => Stimulus::Resume { env: Map::new() },
            10 if dice.roll(4) == 0 => {
                let status = [Status::Canceled, Status::Canceled, Status::Failed, Status::Succeeded][dice.roll(4)];
                Stimulus::Stop { status, message: None }
            }
            11 => Stimulus::Rerun { tasks: Vec::new(), reset: Vec::new(), skip: dice.roll(2) == 0, env: Map::new() },
            12..=14 => Stimulus::Due { timer },
            15 | 16 => end(next, Status::Failed),
            _ => end(next, Status::Succeeded),
        });
    }
}

fn drive(name: &str, definition: &Definition, begin: &Begin, seed: u64) {
    let (state, log, offered, timers, trail) = (State::new(definition), vec![], vec![], vec![], vec![]);
    let mut run = Run { name, definition, state, log, offered, timers, trail };
    let mut dice = Dice(seed);
    run.hear(Stimulus::Begin(Box::new(begin.clone())));
    for _ in 0..60 {
        run.random(&mut dice);
    }
}

#[test]
fn mistral_stands_any_news() {
    for vector in vectors("mistral.jsonl") {
        let text = |key: &str| vector[key].as_str();
        let loaded =
            mistral::Definition::bare(text("definition").unwrap(), text("kind") == Some("workbook"), text("actions"));
        let Ok(definition) = loaded else { continue };
        let mut runner = map(&vector["params"]);
        runner.insert("workflow".into(), text("workflow").unwrap_or_default().into());
        let (input, env) = (map(&vector["input"]), map(&vector["env"]));
        let begin = Begin { execution: "chaos".into(), input, env, runner, ..Begin::default() };
        let definition = Definition::Mistral(Arc::new(definition));
        for seed in 0..SEEDS {
            drive(text("id").unwrap(), &definition, &begin, seed);
        }
    }
}

#[test]
fn chains_stand_any_news() {
    let options = LoadOptions { reference: ActionRef::new("demo", "chain"), path: "chain.yaml".into() };
    for vector in vectors("action_chain.jsonl") {
        let Ok(definition) = chain::Definition::load(vector["definition"].as_str().unwrap(), &options) else {
            continue;
        };
        let begin = Begin {
            execution: "chaos".into(),
            input: map(&vector["params"]),
            runner: map(&vector["runner"]),
            ..Begin::default()
        };
        let definition = Definition::Chain(Arc::new(definition));
        for seed in 0..SEEDS {
            drive(vector["id"].as_str().unwrap(), &definition, &begin, seed);
        }
    }
}

#[test]
fn orquesta_stands_any_news() {
    for vector in vectors("orquesta.jsonl") {
        let text = vector["definition"].as_str().unwrap();
        let Ok(spec) = squall_workflow::orquesta::Spec::read(text) else { continue };
        let context = map(&vector["context"]);
        if !squall_workflow::orquesta::inspect(&spec, context.keys().map(|name| &**name)).is_empty() {
            continue;
        }
        let definition =
            squall_workflow::orquesta::Definition::compile(spec, squall_workflow::orquesta::Habits::SERVER);
        let definition = Definition::Orquesta(Arc::new(definition));
        let begin = Begin { input: map(&vector["input"]), env: context, ..Begin::default() };
        for seed in 0..SEEDS {
            drive(vector["id"].as_str().unwrap(), &definition, &begin, seed);
        }
    }
}

/// How many random definitions of each language; 20,000 were tried once.
const DEFINITIONS: u64 = 300;

/// Definitions that nobody would write are refused or run, and stand any news as well.
fn random_definitions(language: Language, write: fn(&mut Dice) -> String) {
    let options = LoadOptions { reference: ActionRef::new("ops", "w"), path: "w.yaml".into() };
    let mut sound = 0;
    for seed in 0..DEFINITIONS {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let text = write(&mut dice);
        let Ok(definition) = Definition::load(language, &text, &options) else { continue };
        sound += 1;
        let begin = Begin { execution: "chaos".into(), ..Begin::default() };
        drive(&format!("{language:?} {seed}\n{text}"), &definition, &begin, seed);
    }
    assert!(sound > DEFINITIONS / 10, "only {sound} of {DEFINITIONS} definitions are sound");
}

#[test]
fn random_mistral_definitions() {
    random_definitions(Language::Mistral, random::mistral);
}

#[test]
fn random_orquesta_definitions() {
    random_definitions(Language::Orquesta, random::orquesta);
}

#[test]
fn random_chains() {
    random_definitions(Language::Chain, random::chain);
}
