//! A bot on an engine on the store in memory, with a clock that only moves when it is told to.
#![allow(dead_code)] // each test file uses its part

use squall_chat::{Bot, Heard, Heed};
use squall_content::Sources;
use squall_engine::confirmation::Identity;
use squall_engine::{Engine, Parts, Principal, Role, Runtime, Settings, Via};
use squall_model::{Clock, ExecutionId, Future, Ids, Timestamp, Value};
use squall_store::memory::Memory;
use squall_store::{Batch, Op, User};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

pub struct House {
    pub engine: Engine,
    pub bot: Bot,
    pub clock: Arc<Hand>,
    pub store: Memory,
    said: AtomicU32,
}

/// Something that the bot wants posted.
#[derive(Debug, Clone)]
pub struct Post {
    pub channel: String,
    pub thread: Option<String>,
    pub kind: String,
    pub text: String,
    pub body: Value,
}

impl House {
    pub fn new() -> House {
        House::on(Memory::new(), Arc::new(Hand(AtomicI64::new(1_769_950_940_000_000))))
    }

    /// Another process on what is left of the store after this one died.
    pub fn after_a_crash(&self) -> House {
        House::on(self.store.crash(), self.clock.clone())
    }

    fn on(store: Memory, clock: Arc<Hand>) -> House {
        let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packs");
        let loaded = squall_content::load(&Sources { builtin: true, packs: vec![packs], ..Sources::default() });
        let process = PROCESSES.fetch_add(1, Ordering::Relaxed);
        let engine = Engine::new(Parts {
            store: Arc::new(store.clone()),
            clock: clock.clone(),
            ids: Arc::new(Counted(AtomicU32::new(process * 1_000), [1, 2, 3, 4, process as u8])),
            runtime: Arc::new(Tokio),
            settings: Settings::default(),
            registry: loaded.registry,
            policy: Arc::default(),
        });
        House { bot: Bot::new(engine.clone()), engine, clock, store, said: AtomicU32::new(0) }
    }

    /// Something said in #ops, on the network `test`.
    pub fn heard(&self, who: &str, text: &str) -> Heard {
        self.clock.forward(Duration::from_millis(1));
        Heard {
            network: "test".into(),
            channel: "ops".into(),
            user_id: format!("U-{who}"),
            user_name: who.into(),
            message_id: self.said.fetch_add(1, Ordering::Relaxed).to_string(),
            text: text.into(),
            at: self.engine.now(),
            ..Heard::default()
        }
    }

    pub async fn says(&self, who: &str, text: &str) -> Heed {
        self.bot.hear(self.heard(who, text)).await
    }

    pub async fn says_in_private(&self, who: &str, text: &str) -> Heed {
        let heard = self.heard(who, text);
        self.bot.hear(Heard { channel: format!("@U-{who}"), private: true, ..heard }).await
    }

    /// Something said in #ops of the terminal network.
    pub async fn says_in_terminal(&self, who: &str, text: &str) -> Heed {
        let heard = self.heard(who, text);
        self.bot.hear(Heard { network: "terminal".into(), user_id: who.into(), ..heard }).await
    }

    /// Something said in the thread that a question began.
    pub async fn replies(&self, who: &str, text: &str, question: &Post) -> Heed {
        let heard = self.heard(who, text);
        let thread = Some("7".to_owned());
        self.bot.hear(Heard { thread, question: Some(question.confirmation()), ..heard }).await
    }

    /// Everything that waits to be posted or was, oldest first.
    pub fn posts(&self) -> Vec<Post> {
        self.posts_on("test")
    }

    pub fn posts_on(&self, network: &str) -> Vec<Post> {
        let rows = self.engine.store().outgoing(network, 0, 1_000).unwrap();
        rows.into_iter()
            .map(|row| {
                let text = |key: &str| row.body.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
                Post {
                    channel: row.channel.clone(),
                    thread: row.thread.clone(),
                    kind: text("kind"),
                    text: text("message"),
                    body: row.body.clone(),
                }
            })
            .collect()
    }

    /// The last thing that the bot said.
    #[track_caller]
    pub fn last(&self) -> Post {
        self.posts().into_iter().rfind(|post| post.kind != "edit").expect("the bot said something")
    }

    /// The newest question.
    #[track_caller]
    pub fn question(&self) -> Post {
        self.posts().into_iter().rfind(|post| post.kind == "question").expect("the bot asked")
    }

    /// What a key holds: the effect of the commands of these tests.
    pub fn key(&self, name: &str) -> Option<String> {
        let scope = squall_store::ItemScope::System;
        self.engine.store().item(&scope, name, self.engine.now()).unwrap().map(|item| item.value)
    }

    /// A user with a role, linked to the identity of the same name.
    pub async fn person(&self, name: &str, role: &str) {
        let user = User { roles: vec![role.into()], ..User::new(name, self.engine.now()) };
        self.engine.store().commit(Batch::from(Op::PutUser(Box::new(user)))).await.unwrap();
        let identity = Identity { network: "test".into(), workspace: None, user_id: format!("U-{name}") };
        let admin = Principal { user: "root".into(), role: Role::Admin, via: Via::Token };
        self.engine.link(&identity, name, &admin).await.unwrap();
    }
}

impl Post {
    pub fn confirmation(&self) -> String {
        self.body.get("confirmation").and_then(Value::as_str).expect("it is about a confirmation").to_owned()
    }

    pub fn code(&self) -> String {
        self.body.get("code").and_then(Value::as_str).expect("it has a code").to_owned()
    }
}

/// A clock with a hand.
pub struct Hand(AtomicI64);

impl Hand {
    pub fn forward(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::SeqCst) as u64)
    }
}

/// Ids that count; each process has others.
struct Counted(AtomicU32, [u8; 5]);

static PROCESSES: AtomicU32 = AtomicU32::new(1);

impl Ids for Counted {
    fn execution(&self) -> ExecutionId {
        ExecutionId::compose(1_769_950_940, self.1, self.0.fetch_add(1, Ordering::Relaxed))
    }
    fn fill(&self, bytes: &mut [u8]) {
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = (number.wrapping_mul(2_654_435_761).rotate_left(at as u32 * 5) >> 8) as u8
                ^ (at as u8).wrapping_mul(29);
        }
    }
}

struct Tokio;

impl Runtime for Tokio {
    fn spawn(&self, task: Future<'static, ()>) {
        tokio::spawn(task);
    }
    fn sleep(&self, duration: Duration) -> Future<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
