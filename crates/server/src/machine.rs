//! The real world behind the engine's traits: the machine's clocks, its random source, its runtime.

use squall_engine::Runtime;
use squall_model::{Clock, ExecutionId, Future, Ids, Timestamp};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The machine's clocks. The only place that reads them for the engine.
#[derive(Debug)]
pub struct SystemClock {
    start: Instant,
}

impl Default for SystemClock {
    fn default() -> SystemClock {
        SystemClock { start: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// Ids from the machine's random source.
#[derive(Debug)]
pub struct RandomIds {
    process: [u8; 5],
    counter: AtomicU32,
}

impl RandomIds {
    /// A source whose ids differ from those of every other process.
    ///
    /// # Errors
    /// When the machine has no randomness to give.
    pub fn new() -> Result<RandomIds, getrandom::Error> {
        let mut raw = [0u8; 9];
        getrandom::fill(&mut raw)?;
        let [a, b, c, d, e, counter @ ..] = raw;
        Ok(RandomIds { process: [a, b, c, d, e], counter: AtomicU32::new(u32::from_be_bytes(counter)) })
    }
}

impl Ids for RandomIds {
    fn execution(&self) -> ExecutionId {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        // Wraps in 2106, as these ids do everywhere.
        ExecutionId::compose(seconds as u32, self.process, self.counter.fetch_add(1, Ordering::Relaxed))
    }

    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the random source gave bytes at start and does not stop");
    }
}

/// Futures on the tokio runtime that the program runs in.
#[derive(Debug)]
pub struct Machine {
    handle: tokio::runtime::Handle,
}

impl Machine {
    /// For the runtime that calls this.
    pub fn current() -> Machine {
        Machine { handle: tokio::runtime::Handle::current() }
    }
}

impl Runtime for Machine {
    fn spawn(&self, task: Future<'static, ()>) {
        self.handle.spawn(task);
    }

    fn sleep(&self, duration: Duration) -> Future<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
