//! One thread, virtual time, a seeded choice of who goes next. Dropping it is a crash: nothing that ran comes back.

use squall_engine::Runtime;
use squall_model::{Clock, ExecutionId, Future, Ids, Timestamp};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// SplitMix64: small, and the same everywhere.
#[derive(Debug)]
pub struct Dice(AtomicU64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(AtomicU64::new(seed))
    }

    pub fn roll(&self) -> u64 {
        let n = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    pub fn chance(&self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// The wall clock of the simulation; it goes on while the server is down.
#[derive(Debug)]
pub struct VirtualClock {
    now: AtomicI64,
    /// How far the wall clock was set back.
    back: AtomicI64,
}

/// Noon of the day on which the pack's author wrote his article.
const START: i64 = 1_453_377_600_000_000;

impl VirtualClock {
    pub fn new() -> Arc<VirtualClock> {
        Arc::new(VirtualClock { now: AtomicI64::new(START), back: AtomicI64::new(0) })
    }

    pub fn set(&self, at: Timestamp) {
        self.now.fetch_max(at.micros() + self.back.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub fn pass(&self, duration: Duration) {
        self.set(self.now().after(duration));
    }

    /// Somebody sets the wall clock back; the one that never goes back does not.
    pub fn step_back(&self, duration: Duration) {
        self.back.fetch_add(duration.as_micros() as i64, Ordering::Relaxed);
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.now.load(Ordering::Relaxed) - self.back.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        Timestamp::from_micros(self.now.load(Ordering::Relaxed)).since(Timestamp::from_micros(START))
    }
}

/// Ids that count, so that a run can be repeated and read.
#[derive(Debug)]
pub struct CountedIds {
    counter: AtomicU32,
    dice: Dice,
}

impl CountedIds {
    pub fn new(seed: u64) -> Arc<CountedIds> {
        Arc::new(CountedIds { counter: AtomicU32::new(1), dice: Dice::new(seed) })
    }
}

impl Ids for CountedIds {
    fn execution(&self) -> ExecutionId {
        ExecutionId::compose(0x56a0_1f46, [0; 5], self.counter.fetch_add(1, Ordering::Relaxed))
    }

    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.dice.roll() as u8;
        }
    }
}

#[derive(Default)]
struct Queues {
    new: Vec<Future<'static, ()>>,
    ready: Vec<u64>,
    timers: BTreeMap<(Timestamp, u64), Waker>,
    tickets: u64,
}

/// What the engine sees of the executor.
pub struct Handle {
    queues: Arc<Mutex<Queues>>,
    clock: Arc<VirtualClock>,
}

impl Runtime for Handle {
    fn spawn(&self, task: Future<'static, ()>) {
        self.queues.lock().unwrap().new.push(task);
    }

    fn sleep(&self, duration: Duration) -> Future<'static, ()> {
        let at = self.clock.now().after(duration);
        Box::pin(Sleep { at, queues: self.queues.clone(), clock: self.clock.clone() })
    }
}

struct Sleep {
    at: Timestamp,
    queues: Arc<Mutex<Queues>>,
    clock: Arc<VirtualClock>,
}

impl std::future::Future for Sleep {
    type Output = ();

    fn poll(self: std::pin::Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() >= self.at {
            return Poll::Ready(());
        }
        let mut queues = self.queues.lock().unwrap();
        queues.tickets += 1;
        let ticket = queues.tickets;
        queues.timers.insert((self.at, ticket), cx.waker().clone());
        Poll::Pending
    }
}

struct Wakeup {
    task: u64,
    queues: Arc<Mutex<Queues>>,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        let mut queues = self.queues.lock().unwrap();
        if !queues.ready.contains(&self.task) {
            queues.ready.push(self.task);
        }
    }
}

/// Runs futures on virtual time.
pub struct Executor {
    queues: Arc<Mutex<Queues>>,
    clock: Arc<VirtualClock>,
    tasks: BTreeMap<u64, Future<'static, ()>>,
    next: u64,
    dice: Dice,
    /// How many polls there were, and a running hash of who was polled when: equal for equal seeds.
    pub polls: u64,
    pub trace: u64,
}

impl Executor {
    pub fn new(clock: Arc<VirtualClock>, seed: u64) -> Executor {
        Executor {
            queues: Arc::default(),
            clock,
            tasks: BTreeMap::new(),
            next: 0,
            dice: Dice::new(seed),
            polls: 0,
            trace: 0,
        }
    }

    pub fn handle(&self) -> Arc<Handle> {
        Arc::new(Handle { queues: self.queues.clone(), clock: self.clock.clone() })
    }

    /// Runs until nothing can happen before `until`, or `stop` says so; answers whether it was stopped.
    pub fn run(&mut self, until: Timestamp, stop: impl Fn() -> bool) -> bool {
        loop {
            if stop() {
                return true;
            }
            self.adopt();
            let chosen = {
                let mut queues = self.queues.lock().unwrap();
                match queues.ready.len() {
                    0 => None,
                    n => {
                        let index = self.dice.below(n as u64) as usize;
                        Some(queues.ready.swap_remove(index))
                    }
                }
            };
            match chosen {
                Some(task) => self.poll(task),
                None if !self.advance(until) => return false,
                None => {}
            }
        }
    }

    fn adopt(&mut self) {
        let new = std::mem::take(&mut self.queues.lock().unwrap().new);
        for task in new {
            self.next += 1;
            self.tasks.insert(self.next, task);
            self.queues.lock().unwrap().ready.push(self.next);
        }
    }

    fn poll(&mut self, id: u64) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        self.polls += 1;
        self.trace = (self.trace ^ id).wrapping_mul(0x0100_0000_01b3) ^ self.clock.now().micros() as u64;
        let waker = Waker::from(Arc::new(Wakeup { task: id, queues: self.queues.clone() }));
        if task.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            self.tasks.remove(&id);
        }
    }

    /// Moves the clock to the next timer; answers whether there was one before `until`.
    fn advance(&mut self, until: Timestamp) -> bool {
        let woken = {
            let mut queues = self.queues.lock().unwrap();
            let Some((&(at, _), _)) = queues.timers.first_key_value() else { return false };
            if at > until {
                return false;
            }
            self.clock.set(at);
            let mut woken = Vec::new();
            while let Some(entry) = queues.timers.first_entry() {
                if entry.key().0 > at {
                    break;
                }
                woken.push(entry.remove());
            }
            woken
        };
        woken.into_iter().for_each(Waker::wake);
        true
    }
}
