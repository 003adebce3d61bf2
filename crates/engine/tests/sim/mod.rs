//! The whole engine on virtual time: a store that crashes at a chosen commit, processes that survive it, people who
//! ask again when they got no answer.

#![allow(dead_code)] // each test file uses its part

pub mod executor;
pub mod runner;

use executor::{CountedIds, Dice, Executor, VirtualClock};
use runner::{Ground, SimRunner};
use squall_content::{Registry, Sources};
use squall_engine::people::CHAT_USER;
use squall_engine::{Command, Engine, Parts, Principal, Request, Role, Settings, Via};
use squall_model::{ActionRef, Clock, Execution, ExecutionId, Map, ReplyTo, Timestamp, Value};
use squall_store::memory::{Fault, Memory};
use squall_store::{Batch, Filter, Message, Op, Page, Store};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::sync::watch;

/// Something that somebody wants, and goes on wanting until there is an answer.
#[derive(Debug, Clone)]
pub enum Want {
    Run {
        action: &'static str,
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
    ids: Arc<CountedIds>,
    dice: Arc<Dice>,
    seed: u64,
}

/// One server between a start and a crash.
struct Life {
    executor: Executor,
    engine: Engine,
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
            registry: registry(),
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
        let (started, poster) = (engine.clone(), engine.clone());
        let again: Arc<dyn Runtime> = runtime.clone();
        runtime.spawn(Box::pin(async move {
            if started.recover().await.is_ok() {
                started.run_due(stopped).await;
            }
        }));
        runtime.spawn(Box::pin(async move { post(poster, again).await }));
        Life { executor, engine, _stop: stop }
    }

    /// Plays the steps, crashing at the given commits, and runs until nothing more can happen.
    pub fn play(&mut self, steps: &[Step], mut crashes: Vec<(u64, Fault)>) {
        let begun = self.clock.now();
        loop {
            if let Some((commit, fault)) = crashes.pop() {
                self.store.fault_at(commit, fault);
            }
            let mut life = self.begin();
            self.want(&life, steps, begun);
            let horizon = self.clock.now().after(self.horizon);
            let store = self.store.clone();
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

    /// Everybody who has no answer yet asks (again).
    fn want(&self, life: &Life, steps: &[Step], begun: Timestamp) {
        use squall_engine::Runtime;
        let runtime = life.executor.handle();
        let mut at = begun;
        for (number, step) in steps.iter().enumerate() {
            at = at.after(step.after);
            let (engine, outside, clock) = (life.engine.clone(), self.outside.clone(), self.clock.clone());
            let (want, timer) = (step.want.clone(), life.executor.handle());
            runtime.spawn(Box::pin(async move {
                let due = at;
                timer.sleep(due.since(clock.now())).await;
                ask(number, want, engine, outside, timer).await;
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

async fn ask(number: usize, want: Want, engine: Engine, outside: Arc<Outside>, timer: Arc<executor::Handle>) {
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
    }
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
            via: Via::Chat { network: "terminal".into(), user_id: user.to_owned() },
        },
        speaker: user.to_owned(),
        channel: "ops".into(),
        reply_to: Some(reply),
        chat: Value::Null,
        key: Some(format!("terminal/ops/{number}")),
        kind: true,
        notify: Value::Null,
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
