//! The engine beside a small model of what a confirmation is, in random orders of answers, deadlines, reloads, other rules,
//! lost roles, crashes and restarts.
//!
//! After each step both must agree. Never two final states, never a run without its requirements, never a run of other
//! bytes than those that were shown. `SQUALL_SEED=n` plays one sequence again, `SQUALL_SEQUENCES=n` more of them.

use crate::desk::{Desk, rule, rules, token};
use crate::sim::executor::Dice;
use squall_content::Registry;
use squall_engine::Runtime;
use squall_engine::answers::Answering;
use squall_engine::confirmation::State;
use squall_engine::confirmation::decide::Verdict;
use squall_engine::confirmation::declare::Way;
use squall_model::{ExecutionId, Value};
use squall_store::memory::Fault;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const PEOPLE: [&str; 4] = ["bob", "carol", "dora", "alice"];

pub fn count(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(usual)
}

/// The sequences to play: one that is named, or the first so many.
pub fn seeds(many: u64) -> std::ops::Range<u64> {
    match std::env::var("SQUALL_SEED").ok().and_then(|n| n.parse().ok()) {
        Some(seed) => seed..seed + 1,
        None => 0..many,
    }
}

#[test]
fn the_engine_is_the_model() {
    let seeds = seeds(count("SQUALL_SEQUENCES", 1_000));
    let many = seeds.end - seeds.start;
    let mut ends = std::collections::BTreeMap::<&str, u64>::new();
    for seed in seeds {
        let state = Play::new(seed).play();
        *ends.entry(state.as_str()).or_default() += 1;
    }
    println!("{many} sequences: {ends:?}");
}

/// What a confirmation is, in a few lines.
#[derive(Debug, Clone)]
struct Model {
    state: State,
    /// How many of role sre, as it was frozen.
    needed: usize,
    yes: BTreeSet<&'static str>,
    expires_ms: u64,
    /// Which content was shown.
    shown: u8,
}

struct Play {
    seed: u64,
    dice: Dice,
    desk: Desk,
    id: ExecutionId,
    model: Model,
    /// Content and rules in force.
    content: u8,
    wanted: usize,
    sre: BTreeSet<&'static str>,
    alice: bool,
    now_ms: u64,
    trace: Vec<String>,
}

const TIMEOUT_MS: u64 = 900_000;

fn rules_of(needed: usize) -> String {
    rule("some", "danger.wipe", &format!("{{who: {{role: [sre]}}, count: {needed}}}"))
}

/// The usual content, or the one in which the action does something else.
fn registry(content: u8) -> Registry {
    if content == 0 { crate::desk::usual() } else { crate::desk::changed() }
}

impl Play {
    fn new(seed: u64) -> Play {
        let dice = Dice::new(seed ^ 0xface);
        let needed = 1 + dice.below(2) as usize;
        let mut desk = Desk::seeded(&rules_of(needed), seed);
        let id = desk.say("alice", "wipe db1");
        Play {
            seed,
            dice,
            desk,
            id,
            model: Model { state: State::Open, needed, yes: BTreeSet::new(), expires_ms: TIMEOUT_MS, shown: 0 },
            content: 0,
            wanted: needed,
            sre: ["bob", "carol", "dora"].into(),
            alice: true,
            now_ms: 0,
            trace: Vec::new(),
        }
    }

    fn play(mut self) -> State {
        let steps = 4 + self.dice.below(12);
        for _ in 0..steps {
            if self.dice.chance(15) {
                let faults = [Fault::CrashBefore, Fault::CrashAfter, Fault::CrashDuring];
                let at = self.desk.store.commits() + 1 + self.dice.below(4);
                self.desk.store.fault_at(at, faults[self.dice.below(3) as usize]);
            }
            self.step();
            self.agree();
        }
        // Whatever is left comes to its end.
        self.pass(TIMEOUT_MS + 1_000);
        self.agree();
        self.judge();
        self.model.state
    }

    fn step(&mut self) {
        match self.dice.below(12) {
            0..=3 => self.answer(Verdict::Grant),
            4 if self.dice.chance(50) => self.answer(Verdict::Deny),
            4 | 5 => self.answer(Verdict::Unconfirm),
            6 => {
                let near = self.model.expires_ms.saturating_sub(self.now_ms + 1);
                let ms = [1, 1_000, 60_000, near, near + 1][self.dice.below(5) as usize];
                self.pass(ms);
            }
            7 => {
                self.content = self.dice.below(4).saturating_sub(2) as u8;
                self.reload();
            }
            8 => {
                self.wanted = 1 + self.dice.below(4) as usize;
                self.reload();
            }
            9 => self.role(),
            10 if self.dice.chance(20) => self.cancel(),
            _ => self.restart(),
        }
    }

    fn note(&mut self, what: String) {
        self.trace.push(format!("{:>7} {what}", self.now_ms));
    }

    /// Runs something to its end; when the server dies meanwhile, it is started again and the same is done once more, as people do.
    fn insist<F: std::future::Future<Output = ()> + Send + 'static>(&mut self, make: impl Fn(&Desk) -> F) {
        loop {
            let done = Arc::new(Mutex::new(false));
            let (future, flag) = (make(&self.desk), done.clone());
            self.desk.executor.handle().spawn(Box::pin(async move {
                future.await;
                *flag.lock().unwrap() = true;
            }));
            let store = self.desk.store.clone();
            let crashed = self.desk.executor.run(self.desk.now(), || store.crashed());
            if !crashed {
                assert!(*done.lock().unwrap(), "seed {}: no answer\n{}", self.seed, self.trace.join("\n"));
                return;
            }
            self.note("crash".into());
            self.desk.restart_after(Duration::ZERO);
            self.settle();
        }
    }

    fn settle(&mut self) {
        let store = self.desk.store.clone();
        if self.desk.executor.run(self.desk.now(), || store.crashed()) {
            self.note("crash".into());
            self.desk.restart_after(Duration::ZERO);
            self.settle();
        }
    }

    fn answer(&mut self, verdict: Verdict) {
        let name = PEOPLE[self.dice.below(4) as usize];
        self.note(format!("{name} {verdict:?}"));
        if name == "alice" && !self.alice {
            // Whoever was deactivated cannot log in.
            return;
        }
        let id = self.desk.record_of(self.id).id.to_string();
        self.insist(|desk| {
            let (engine, id) = (desk.engine.clone(), id.clone());
            let given = Answering { verdict, rest: None, digest: None, response: None, way: Way::Api };
            async move { drop(engine.answer_by(&id, given, &token(name)).await) }
        });
        self.model_answer(name, verdict);
    }

    fn model_answer(&mut self, name: &'static str, verdict: Verdict) {
        if self.model.state != State::Open {
            return;
        }
        let counts = self.sre.contains(name);
        match verdict {
            Verdict::Grant if counts => {
                self.model.yes.insert(name);
                if self.model.yes.iter().filter(|n| self.sre.contains(**n)).count() >= self.model.needed {
                    let same = self.model.shown == self.content && self.alice;
                    self.model.state = if same { State::Released } else { State::Void };
                }
            }
            Verdict::Deny if name == "alice" => self.model.state = State::Withdrawn,
            Verdict::Deny if counts => self.model.state = State::Denied,
            Verdict::Unconfirm => drop(self.model.yes.remove(name)),
            _ => {}
        }
    }

    fn pass(&mut self, ms: u64) {
        self.note(format!("+{ms} ms"));
        let until = self.desk.now().after(Duration::from_millis(ms));
        loop {
            let store = self.desk.store.clone();
            if !self.desk.executor.run(until, || store.crashed()) {
                break;
            }
            self.note("crash".into());
            self.desk.restart_after(Duration::ZERO);
        }
        self.desk.clock.set(until);
        self.settle();
        self.time(ms);
    }

    fn time(&mut self, ms: u64) {
        self.now_ms += ms;
        if self.model.state == State::Open && self.now_ms >= self.model.expires_ms {
            self.model.state = State::Expired;
        }
    }

    fn reload(&mut self) {
        self.note(format!("reload: content {}, {} of sre", self.content, self.wanted));
        let (content, wanted) = (self.content, self.wanted);
        self.insist(|desk| {
            let engine = desk.engine.clone();
            async move {
                engine.swap(registry(content), rules(&rules_of(wanted)));
                drop(engine.review_open().await);
            }
        });
        self.model_review();
    }

    /// What a look at an open confirmation finds.
    fn model_review(&mut self) {
        if self.model.state != State::Open {
            return;
        }
        if !self.alice {
            self.model.state = State::Withdrawn;
        } else if self.model.shown != self.content {
            self.model.state = State::Void;
        } else if self.wanted > self.model.needed {
            self.model.yes.clear();
            if self.wanted > self.sre.len() {
                // Nobody could answer: void, and not asked anew.
                self.model.state = State::Void;
            } else {
                self.model.needed = self.wanted;
                self.model.expires_ms = self.now_ms + TIMEOUT_MS;
            }
        }
    }

    fn role(&mut self) {
        let name = ["bob", "carol", "dora", "alice"][self.dice.below(4) as usize];
        if name == "alice" {
            self.alice = self.dice.chance(70);
        } else if !self.sre.remove(name) {
            self.sre.insert(name);
        }
        let active = name != "alice" || self.alice;
        let has = self.sre.contains(name);
        self.note(format!("{name}: active {active}, sre {has}"));
        self.insist(|desk| {
            let user = squall_store::User {
                roles: ["operator", "sre"].iter().take(1 + usize::from(has)).map(|r| (*r).to_owned()).collect(),
                active,
                ..squall_store::User::new(name, desk.now())
            };
            let (engine, store) = (desk.engine.clone(), desk.store.clone());
            use squall_store::Store;
            async move {
                drop(store.commit(squall_store::Op::PutUser(Box::new(user)).into()).await);
                // As whoever changes an account does.
                drop(engine.review_open().await);
            }
        });
        self.model_review();
    }

    fn cancel(&mut self) {
        self.note("cancel".into());
        if self.model.state == State::Released {
            return;
        }
        let id = self.id;
        self.insist(|desk| {
            let engine = desk.engine.clone();
            async move { drop(engine.cancel(id, &token("admin")).await) }
        });
        if self.model.state == State::Open {
            self.model.state = State::Withdrawn;
        }
    }

    fn restart(&mut self) {
        let away = [0, 3_000, 40_000][self.dice.below(3) as usize];
        self.note(format!("restart after {away} ms"));
        self.desk.restart_after(Duration::from_millis(away));
        self.settle();
        self.time(away);
        if self.model.state == State::Open {
            self.model_review();
        }
    }

    #[track_caller]
    fn agree(&mut self) {
        if std::env::var("SQUALL_SEED").is_ok() {
            println!("{}  → {:?}", self.trace.last().cloned().unwrap_or_default(), self.model);
        }
        let record = self.desk.record_of(self.id);
        let yes: BTreeSet<_> = record
            .votes
            .iter()
            .filter(|v| v.withdrawn_at.is_none())
            .filter_map(|v| v.person.user_name().map(str::to_owned))
            .collect();
        let at = || format!("seed {}\n{}\nmodel {:?}, yes of {yes:?}", self.seed, self.trace.join("\n"), self.model);
        assert_eq!(record.state, self.model.state, "{}", at());
    }

    /// The promises, from what is stored alone.
    fn judge(&self) {
        let at = || format!("seed {}\n{}", self.seed, self.trace.join("\n"));
        let rows = squall_store::Store::audit(&self.desk.store, 1, 1_000_000).unwrap();
        for record in self.desk.records() {
            let of = |row: &&squall_store::AuditRow| row.confirmation.as_deref() == Some(&record.id.to_string());
            let is_final = |row: &&squall_store::AuditRow| {
                ["released", "denied", "expired", "withdrawn", "void"].contains(&row.event.as_str())
            };
            let finals = rows.iter().filter(of).filter(is_final).count();
            assert_eq!(finals, usize::from(record.state.is_final()), "{} ended {finals} times\n{}", record.code, at());
        }
        let starts = self.desk.effects();
        assert!(starts <= 1, "it ran {starts} times\n{}", at());
        assert!(starts == 0 || self.model.state == State::Released, "it ran without a release\n{}", at());
        let execution = self.desk.execution(self.id);
        if let Some(ran) = execution.result.get("stdout").and_then(Value::as_str) {
            let shown = if self.model.shown == 0 { "echo db1" } else { "echo really db1" };
            assert_eq!(ran, shown, "other bytes ran\n{}", at());
        }
    }
}
