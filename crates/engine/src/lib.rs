//! The life of an execution, from request to report.
//!
//! Everybody who wants something run comes through [`Engine::request`] or, with words, through [`Engine::command`]:
//! REST, command line, chat, rules, workflows' tasks. What passes the gates is committed before anybody is told; what
//! follows from a commit can be derived from rows, so a crash at any point loses nothing.
//!
//! The engine decides and never waits: `now`, ids, the store, the runtime and the runner are arguments, so that a
//! simulation runs the same code on a virtual clock with a store that crashes on command.
//!
//! Start reading at [`turn`] (how a step is decided) and [`mailbox`](crate::Engine) (how it is committed).
#![warn(missing_docs)]

pub mod alias;
pub mod answers;
mod asking;
mod bots;
mod calls;
mod changes;
mod closure;
mod collected;
pub mod confirmation;
mod content;
mod definitions;
mod delivery;
mod due;
pub mod event;
mod gates;
pub mod history;
mod inbox;
pub mod inquiries;
mod items;
pub mod labelled;
pub mod limits;
mod looking;
mod lookup;
mod mailbox;
mod native;
mod noting;
mod params;
pub mod people;
mod policies;
pub mod preview;
mod recovery;
mod refusal;
pub mod report;
mod request;
mod rerun;
pub mod reviews;
mod settings;
mod slots;
mod spawn;
pub mod texts;
mod tree;
mod turn;
pub mod typed;
pub mod view;
mod work;

pub use alias::{Command, Commanded};
pub use content::Content;
pub use event::Event;
pub use inbox::Received;
pub use items::ItemWrite;
pub use people::{Principal, Role, Via, Wish, authorize};
pub use refusal::Refusal;
pub use request::{Earlier, OnHold, Request, Source};
pub use rerun::Rerun;
pub use settings::Settings;

use definitions::Definitions;
pub use squall_expr::Limits as ExpressionLimits;

use squall_content::Registry;
use squall_model::{Clock, ExecutionId, Ids, Runner, Timestamp};
use squall_store::Store;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, broadcast, oneshot};

/// What the engine needs of the world to go on by itself.
pub trait Runtime: Send + Sync {
    /// Runs a future to its end, whoever stops waiting for it.
    fn spawn(&self, task: squall_model::Future<'static, ()>);
    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> squall_model::Future<'static, ()>;
}

/// The parts that an engine is made of.
pub struct Parts {
    /// Where everything is kept.
    pub store: Arc<dyn Store>,
    /// Where `now` comes from.
    pub clock: Arc<dyn Clock>,
    /// Where ids come from.
    pub ids: Arc<dyn Ids>,
    /// What carries futures.
    pub runtime: Arc<dyn Runtime>,
    /// What does not change while it runs.
    pub settings: Settings,
    /// The packs as they are now.
    pub registry: Registry,
    /// The server's rules of confirmation.
    pub policy: Arc<confirmation::Policy>,
}

/// The engine: a cheap handle on one.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
    runtime: Arc<dyn Runtime>,
    settings: Settings,
    definitions: Definitions,
    content: RwLock<Arc<Content>>,
    runner: OnceLock<Arc<dyn Runner>>,
    trees: Mutex<mailbox::Trees>,
    events: broadcast::Sender<event::Shared>,
    due: Notify,
    outboxes: Mutex<HashMap<String, Arc<Notify>>>,
    waiting: Mutex<HashMap<ExecutionId, Vec<oneshot::Sender<()>>>>,
    guesses: Mutex<answers::Wrong>,
    draining: AtomicBool,
    paces: Mutex<confirmation::limits::Paces>,
    in_flight: Mutex<inbox::InFlight>,
    held: Mutex<HashSet<due::Key>>,
    anchor: Mutex<changes::Anchor>,
    /// Whether anybody may have a place among a few: nobody pays for giving back what nobody has.
    few: AtomicBool,
    seen: Mutex<Timestamp>,
    wrong_factors: Mutex<people::WrongFactors>,
    link_codes: Mutex<people::LinkCodes>,
}

impl Engine {
    /// Puts an engine together. It does nothing before [`Engine::attach`] and [`Engine::recover`].
    pub fn new(parts: Parts) -> Engine {
        let (events, _) = broadcast::channel(limits::STREAM_EVENTS as usize);
        Engine {
            inner: Arc::new(Inner {
                few: AtomicBool::new(false),
                anchor: Mutex::new(Engine::anchor(&*parts.clock)),
                store: parts.store,
                clock: parts.clock,
                ids: parts.ids,
                runtime: parts.runtime,
                settings: parts.settings,
                definitions: Definitions::default(),
                content: RwLock::new(Arc::new(Content::new(parts.registry, parts.policy))),
                runner: OnceLock::new(),
                trees: Mutex::default(),
                events,
                due: Notify::new(),
                outboxes: Mutex::default(),
                waiting: Mutex::default(),
                guesses: Mutex::default(),
                draining: AtomicBool::new(false),
                paces: Mutex::default(),
                in_flight: Mutex::default(),
                held: Mutex::default(),
                seen: Mutex::default(),
                wrong_factors: Mutex::default(),
                link_codes: Mutex::default(),
            }),
        }
    }

    /// Says who runs what needs a process. Once, before anything is requested.
    pub fn attach(&self, runner: Arc<dyn Runner>) {
        if self.inner.runner.set(runner).is_err() {
            tracing::error!("a runner is attached already; the second one is ignored");
        }
    }

    /// From now on nothing new is taken; what was taken goes on.
    pub fn drain(&self) {
        self.inner.draining.store(true, Ordering::Relaxed);
    }

    /// Why nothing new is taken, if so.
    pub fn unready(&self) -> Option<&'static str> {
        self.inner.draining.load(Ordering::Relaxed).then_some(texts::DRAINING)
    }

    /// The store, for reading what has no rule of its own.
    pub fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// The source of ids.
    pub fn ids(&self) -> &dyn Ids {
        &*self.inner.ids
    }

    /// The packs as they are now.
    pub fn content(&self) -> Arc<Content> {
        self.inner.content.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Puts new content in place of the old, whole. What runs keeps what it started with.
    pub fn swap(&self, registry: Registry, policy: Arc<confirmation::Policy>) {
        let content = Arc::new(Content::new(registry, policy));
        *self.inner.content.write().unwrap_or_else(PoisonError::into_inner) = content;
        // There may be more places now, or no bound any more.
        self.wake_all();
        self.review_soon();
    }

    /// Whether places among a few are in use.
    fn has_few(&self) -> bool {
        if self.content().has_few() {
            self.inner.few.store(true, Ordering::Relaxed);
        }
        self.inner.few.load(Ordering::Relaxed)
    }

    /// Hears every event from now on; whoever is too slow misses some and is told so.
    pub fn subscribe(&self) -> broadcast::Receiver<event::Shared> {
        self.inner.events.subscribe()
    }

    /// Is notified whenever something was put into the outbox of `network`.
    pub fn outbox(&self, network: &str) -> Arc<Notify> {
        locked(&self.inner.outboxes).entry(network.to_owned()).or_default().clone()
    }

    /// Puts a message into the outbox; one with the same `dedup` key is not put there twice.
    pub async fn post(&self, message: squall_store::Outgoing) -> Result<(), Refusal> {
        let network = message.network.clone();
        self.inner.store.commit(squall_store::Op::Post(Box::new(message)).into()).await?;
        self.outbox(&network).notify_one();
        Ok(())
    }

    /// Waits until an execution is final, at most `patience`; answers it as it is then.
    pub async fn wait(&self, id: ExecutionId, patience: Duration) -> Result<squall_model::Execution, Refusal> {
        let (tell, told) = oneshot::channel();
        locked(&self.inner.waiting).entry(id).or_default().push(tell);
        let read = || self.store().execution(id)?.ok_or_else(|| Refusal::no_execution(id));
        let now = read()?;
        if now.status.is_final() {
            return Ok(now);
        }
        let sleep = self.inner.runtime.sleep(patience);
        let _ = futures::future::select(told, sleep).await;
        locked(&self.inner.waiting).retain(|_, waiters| {
            waiters.retain(|w| !w.is_closed());
            !waiters.is_empty()
        });
        read()
    }

    fn tell_waiting(&self, id: ExecutionId) {
        for waiter in locked(&self.inner.waiting).remove(&id).unwrap_or_default() {
            // Whoever stopped waiting does not want to know.
            let _ = waiter.send(());
        }
    }

    fn runner(&self) -> Option<&Arc<dyn Runner>> {
        self.inner.runner.get()
    }
}

/// A lock that outlives a panic: what it guards is only changed whole.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
