//! The whole engine on virtual time: a store that crashes at a chosen commit, processes that survive it, people who
//! ask again when they got no answer.

#![allow(dead_code)] // each test file uses its part

pub mod executor;
pub mod generate;
pub mod laws;
pub mod runner;

use executor::{CountedIds, Dice, Executor, VirtualClock};
use runner::{Ground, SimRunner};
use squall_content::{Registry, Sources};
use squall_engine::confirmation::Identity;
use squall_engine::people::CHAT_USER;
use squall_engine::{Command, Engine, Parts, Principal, Request, Rerun, Role, Settings, Via};
use squall_model::{ActionRef, Clock, Execution, ExecutionId, Map, ReplyTo, Timestamp, Value};
use squall_store::memory::{Fault, Memory};
use squall_store::{Batch, Filter, Message, Op, Page, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Something that somebody wants, and goes on wanting until there is an answer.
#[derive(Debug, Clone)]
pub enum Want {
    Run {
        action: String,
        params: Vec<(&'static str, String)>,
    },
    Say {
        user: &'static str,
        text: String,
    },
    /// Says yes to the nth thing that was asked for, as `user`.
    Yes {
        user: &'static str,
        nth: usize,
    },
    Cancel {
        nth: usize,
    },
    /// Does something to whatever execution the dice choose.
    Poke(Poke),
}

/// What is done to an execution without being asked.
#[derive(Debug, Clone, Copy)]
pub enum Poke {
    Pause,
    Resume,
    Cancel,
    /// Runs again what failed in a workflow that ended.
    Rerun,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub after: Duration,
    pub want: Want,
}

/// What is known to the people outside: answers that they got.
#[derive(Debug, Default)]
pub struct Outside {
    pub acknowledged: Mutex<BTreeMap<usize, ExecutionId>>,
    pub refused: Mutex<Vec<String>>,
}

pub fn registry() -> Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY
        .get_or_init(|| {
            let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs");
            let loaded = squall_content::load(&Sources { builtin: true, packs: vec![packs], ..Sources::default() });
            let problems: Vec<String> = loaded.diagnostics.iter().map(|d| d.to_string()).collect();
            assert!(problems.is_empty(), "{}", problems.join("\n"));
            loaded.registry
        })
        .clone()
}

/// One world: everything that lasts longer than a server.
pub struct World {
    pub clock: Arc<VirtualClock>,
    pub store: Memory,
    pub ground: Arc<Ground>,
    pub outside: Arc<Outside>,
    pub crashes: u32,
    pub polls: u64,
    pub trace: u64,
    /// After so long nothing more is expected.
    pub horizon: Duration,
    pub registry: Registry,
    /// Whether somebody posts what is in the outbox.
    pub chat: bool,
    /// Faults without a crash in each life: a full disk for a moment, a full queue, somebody who was faster.
    pub hiccups: Vec<(u64, Fault)>,
    ids: Arc<CountedIds>,
    dice: Arc<Dice>,
    seed: u64,
}

/// One server between a start and a crash.
struct Life {
    executor: Executor,
    engine: Engine,
    /// Set when recovery is through: only then do people reach the server.
    recovered: Arc<AtomicBool>,
    _stop: watch::Sender<bool>,
}

impl World {
    pub fn new(seed: u64) -> World {
        World {
            clock: VirtualClock::new(),
            store: Memory::seeded(seed),
            ground: Arc::default(),
            outside: Arc::default(),
            crashes: 0,
            polls: 0,
            trace: 0,
            horizon: Duration::from_secs(900),
            registry: registry(),
            chat: true,
            hiccups: Vec::new(),
            ids: CountedIds::new(seed ^ 1),
            dice: Arc::new(Dice::new(seed ^ 2)),
            seed,
        }
    }

    fn begin(&self) -> Life {
        let executor = Executor::new(self.clock.clone(), self.seed ^ (u64::from(self.crashes) << 32) ^ 3);
        let runtime = executor.handle();
        let engine = Engine::new(Parts {
            store: Arc::new(self.store.clone()),
            clock: self.clock.clone(),
            ids: self.ids.clone(),
            runtime: runtime.clone(),
            settings: Settings::default(),
            registry: self.registry.clone(),
            policy: Arc::default(),
        });
        let runner = Arc::new(SimRunner {
            ground: self.ground.clone(),
            runtime: runtime.clone(),
            sink: Mutex::default(),
            dice: self.dice.clone(),
        });
        *runner.sink.lock().unwrap() = Some(Arc::new(engine.clone()));
        engine.attach(runner);
        let (stop, stopped) = watch::channel(false);
        use squall_engine::Runtime;
        let recovered = Arc::new(AtomicBool::new(false));
        let told = recovered.clone();
        let (started, poster) = (engine.clone(), engine.clone());
        let again: Arc<dyn Runtime> = runtime.clone();
        runtime.spawn(Box::pin(async move {
            if started.recover().await.is_ok() {
                told.store(true, Ordering::Relaxed);
                started.run_due(stopped).await;
            }
        }));
        if self.chat {
            runtime.spawn(Box::pin(async move { post(poster, again).await }));
        }
        Life { executor, engine, recovered, _stop: stop }
    }

    /// Plays the steps, crashing at the given commits, and runs until nothing more can happen.
    pub fn play(&mut self, steps: &[Step], mut crashes: Vec<(u64, Fault)>) {
        let begun = self.clock.now();
        loop {
            if let Some((commit, fault)) = crashes.pop() {
                self.store.fault_at(commit, fault);
            }
            for (commit, fault) in &self.hiccups {
                self.store.fault_at(*commit, *fault);
            }
            let mut life = self.begin();
            let store = self.store.clone();
            let recovered = life.recovered.clone();
            let horizon = self.clock.now().after(self.horizon);
            life.executor.run(horizon, || store.crashed() || recovered.load(Ordering::Relaxed));
            if !store.crashed() {
                self.want(&life, steps, begun);
            }
            let horizon = self.clock.now().after(self.horizon);
            let crashed = life.executor.run(horizon, || store.crashed());
            self.polls += life.executor.polls;
            self.trace ^= life.executor.trace;
            drop(life);
            if !crashed {
                return;
            }
            self.crashes += 1;
            self.store = self.store.crash();
            self.clock.pass(Duration::from_millis(self.dice.below(5_000)));
        }
    }

    /// Lets everything that waits for a person go on, and cancels what then still waits, until nothing is left.
    pub fn tidy_up(&mut self) {
        // Faults that were ordered and not met are over.
        self.store = self.store.fork();
        for round in 0..8 {
            let left: Vec<Execution> = self.executions().into_iter().filter(|e| !e.status.is_final()).collect();
            if left.is_empty() {
                return;
            }
            let mut life = self.begin();
            use squall_engine::Runtime;
            let engine = life.engine.clone();
            life.executor.handle().spawn(Box::pin(async move {
                for execution in left {
                    // What is over by then, or cannot be paused, says so.
                    if round < 6 && execution.status == squall_model::Status::Paused {
                        drop(engine.resume(execution.id, &Principal::internal()).await);
                    } else if round >= 6 && execution.parent.is_none() {
                        drop(engine.cancel(execution.id, &Principal::internal()).await);
                    }
                }
            }));
            let horizon = self.clock.now().after(self.horizon);
            life.executor.run(horizon, || false);
            self.polls += life.executor.polls;
            self.trace ^= life.executor.trace;
        }
    }

    /// Everybody who has no answer yet asks (again).
    fn want(&self, life: &Life, steps: &[Step], begun: Timestamp) {
        use squall_engine::Runtime;
        let runtime = life.executor.handle();
        let mut at = begun;
        for (number, step) in steps.iter().enumerate() {
            at = at.after(step.after);
            let (engine, outside, clock) = (life.engine.clone(), self.outside.clone(), self.clock.clone());
            let (want, timer, dice) = (step.want.clone(), life.executor.handle(), self.dice.clone());
            runtime.spawn(Box::pin(async move {
                let due = at;
                timer.sleep(due.since(clock.now())).await;
                ask(number, want, engine, outside, timer, dice).await;
            }));
        }
    }

    pub fn executions(&self) -> Vec<Execution> {
        let page = Page { offset: 0, limit: 1_000_000 };
        self.store.executions(&Filter::default(), page).unwrap().0
    }

    pub fn messages(&self, channel: &str) -> Vec<Message> {
        self.store.messages(channel, 0, 1_000_000).unwrap()
    }
}

async fn ask(
    number: usize,
    want: Want,
    engine: Engine,
    outside: Arc<Outside>,
    timer: Arc<executor::Handle>,
    dice: Arc<Dice>,
) {
    use squall_engine::Runtime;
    let known = |nth: usize| outside.acknowledged.lock().unwrap().get(&nth).copied();
    if known(number).is_some() {
        return;
    }
    let answered = |id: ExecutionId| {
        outside.acknowledged.lock().unwrap().insert(number, id);
    };
    let refused = |why: String| outside.refused.lock().unwrap().push(format!("{number}: {why}"));
    match want {
        Want::Run { action, params } => {
            let who = Principal { user: "admin".into(), role: Role::Admin, via: Via::Token };
            let params: Map = params.into_iter().map(|(k, v)| (k.into(), Value::from(v))).collect();
            let reference: ActionRef = action.parse().unwrap();
            let request = Request { key: Some(format!("request/{number}")), ..Request::new(reference, params, who) };
            match engine.request(request).await {
                Ok(execution) => answered(execution.id),
                Err(refusal) => refused(refusal.to_string()),
            }
        }
        Want::Say { user, text } => say(number, user, text, &engine).await.map_or_else(refused, answered),
        Want::Yes { user, nth } => {
            let Some(id) = known(nth) else { return };
            say(number, user, format!("yes {id}"), &engine).await.map_or_else(refused, answered);
        }
        Want::Cancel { nth } => {
            for _ in 0..3 {
                if let Some(id) = known(nth) {
                    // It may be over by then, which is an answer too.
                    drop(engine.cancel(id, &Principal::internal()).await);
                    return;
                }
                timer.sleep(Duration::from_millis(300)).await;
            }
        }
        Want::Poke(poke) => {
            if let Some(id) = chosen(&engine, poke, &dice) {
                let who = Principal::internal();
                // A refusal is an answer too: it may be over by then.
                match poke {
                    Poke::Pause => drop(engine.pause(id, &who).await),
                    Poke::Resume => drop(engine.resume(id, &who).await),
                    Poke::Cancel => drop(engine.cancel(id, &who).await),
                    Poke::Rerun => {
                        let wish = Rerun { tasks: Some(Vec::new()), ..Rerun::default() };
                        drop(engine.rerun(id, wish, &who).await);
                    }
                }
            }
        }
    }
}

/// An execution to which something can be done.
fn chosen(engine: &Engine, poke: Poke, dice: &Dice) -> Option<ExecutionId> {
    let (all, _) = engine.store().executions(&Filter::default(), Page { offset: 0, limit: 1_000_000 }).ok()?;
    let fits = |e: &&Execution| match poke {
        Poke::Rerun => e.status.is_failure() && e.request.definition.is_some(),
        Poke::Resume => e.status == squall_model::Status::Paused,
        Poke::Pause => !e.status.is_final() && e.request.definition.is_some(),
        Poke::Cancel => !e.status.is_final(),
    };
    let fitting: Vec<ExecutionId> = all.iter().filter(fits).map(|e| e.id).collect();
    fitting.get(dice.below(fitting.len() as u64) as usize).copied()
}

async fn say(number: usize, user: &str, text: String, engine: &Engine) -> Result<ExecutionId, String> {
    let reply = ReplyTo {
        network: "terminal".into(),
        channel: "ops".into(),
        thread: None,
        user: user.to_owned(),
        alias: None,
        message: Some(number.to_string()),
    };
    let command = Command {
        text,
        who: Principal {
            user: CHAT_USER.into(),
            role: Role::Operator,
            via: Via::Chat(Identity { network: "terminal".into(), workspace: None, user_id: user.to_owned() }),
        },
        speaker: user.to_owned(),
        channel: "ops".into(),
        reply_to: Some(reply),
        chat: Value::Null,
        key: Some(format!("terminal/ops/{number}")),
        kind: true,
        notify: Value::Null,
        reject_held: false,
    };
    let all = engine.command(&command).await.map_err(|e| e.to_string())?;
    Ok(all[0].execution.id)
}

/// What the terminal adapter does: the message and the end of its outbox row in one commit.
async fn post(engine: Engine, runtime: Arc<dyn squall_engine::Runtime>) {
    loop {
        let Ok(rows) = engine.store().outgoing("terminal", 0, 100) else { return };
        for row in rows {
            let message = Message {
                channel: row.channel.clone(),
                seq: 0,
                at: engine.now(),
                author: "squall".into(),
                bot: true,
                whisper: None,
                thread: None,
                body: row.body.clone(),
                dedup: Some(row.dedup.clone()),
            };
            let batch = Batch { ops: vec![Op::Say(Box::new(message)), Op::Posted { id: row.id }] };
            if engine.store().commit(batch).await.is_err() {
                break;
            }
        }
        runtime.sleep(Duration::from_millis(100)).await;
    }
}
