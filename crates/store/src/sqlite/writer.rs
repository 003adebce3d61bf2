//! The thread that writes.
//!
//! It takes whatever batches wait, carries them out in one transaction, commits once and answers them all; what
//! arrives meanwhile is the next group. With `synchronous=FULL` a commit costs one sync of the disk, so the group is
//! worth two orders of magnitude.
//!
//! Invariant: an answer `Ok` is sent after `COMMIT` returned. A refused batch fails alone: it is rolled back to its
//! savepoint, its neighbours go through. When the disk is full or a page is damaged, the group is undone and its
//! batches are tried one by one. When a commit fails in any other way the thread never acknowledges anything again.

use super::apply::{Failed, apply};
use super::prepare::{Known, Prepared, Write, prepare};
use super::{Fatal, Options, classify};
use crate::secrets::Secrets;
use crate::{Batch, Error, Result};
use futures::channel::oneshot;
use rusqlite::Connection;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// What is said when the thread has ended.
pub(super) const GONE: &str = "the writer has ended; whether this batch was written is not known";

/// Pages of the log above which readers are waited for, and above which its file is cut (64 and 256 MiB).
const RESTART_PAGES: u32 = 16_384;
const TRUNCATE_PAGES: u32 = 65_536;
/// How long a checkpoint waits for readers.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);
/// After so long without work the log is carried over, so that a start after a crash is quick.
const IDLE: Duration = Duration::from_secs(1);

struct Job {
    writes: Vec<Write>,
    bytes: usize,
    answer: oneshot::Sender<Result<()>>,
}

enum Order {
    Commit(Job),
    Tamper(String, SyncSender<Result<()>>),
}

/// A batch on its way.
pub(super) struct Submitted {
    pub(super) answered: oneshot::Receiver<Result<()>>,
    /// Blobs that are stored once it is.
    pub(super) shas: Vec<[u8; 32]>,
}

/// The other side of the writer's queue.
pub(super) struct Handle {
    queue: Option<SyncSender<Order>>,
    waiting_bytes: Arc<AtomicUsize>,
    max_bytes: usize,
    fatal: Arc<Fatal>,
    pub(super) known: Known,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Handle {
    pub(super) fn start(mut connection: Connection, options: &Options, fatal: Arc<Fatal>) -> std::io::Result<Handle> {
        let (queue, orders) = sync_channel(options.queue.max(1));
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let pages = Arc::new(AtomicU32::new(0));
        let seen = pages.clone();
        let hook = move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            seen.store(u32::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(hook)).map_err(std::io::Error::other)?;
        let writer = Writer {
            connection,
            orders,
            later: None,
            group: options.group.max(1),
            checkpoint_pages: options.checkpoint_pages.max(1),
            pages,
            carried: 0,
            waiting_bytes: waiting_bytes.clone(),
            fatal: fatal.clone(),
        };
        let thread = std::thread::Builder::new().name("store writer".to_owned()).spawn(move || writer.run())?;
        Ok(Handle {
            queue: Some(queue),
            waiting_bytes,
            max_bytes: options.queue_bytes,
            fatal,
            known: Known::default(),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Puts a batch into the queue; none is returned for an empty one.
    pub(super) fn submit(&self, batch: Batch, secrets: Option<&Secrets>) -> Result<Option<Submitted>> {
        if batch.is_empty() {
            return Ok(None);
        }
        let Prepared { writes, bytes, shas } = prepare(batch, &self.known, secrets)?;
        let waiting = self.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        // A batch that is larger than the bound alone still goes through an empty queue.
        if waiting > 0 && waiting.saturating_add(bytes) > self.max_bytes {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            return Err(Error::Busy);
        }
        let (answer, answered) = oneshot::channel();
        self.send(Order::Commit(Job { writes, bytes, answer })).inspect_err(|_| {
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        })?;
        Ok(Some(Submitted { answered, shas }))
    }

    fn send(&self, order: Order) -> Result<()> {
        if let Some(why) = self.fatal.first.get() {
            return Err(Error::Fatal(why.clone()));
        }
        let gone = || Error::Fatal(GONE.to_owned());
        self.queue.as_ref().ok_or_else(gone)?.try_send(order).map_err(|e| match e {
            TrySendError::Full(_) => Error::Busy,
            TrySendError::Disconnected(_) => gone(),
        })
    }

    pub(super) fn tamper(&self, sql: String) -> Result<()> {
        let (answer, answered) = sync_channel(1);
        self.send(Order::Tamper(sql, answer))?;
        answered.recv().unwrap_or_else(|_| Err(Error::Fatal(GONE.to_owned())))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        drop(self.queue.take());
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            // A panic of the thread was reported by its guard.
            let _ = thread.join();
        }
    }
}

struct Writer {
    connection: Connection,
    orders: Receiver<Order>,
    /// Taken from the queue, but not fit for the group that was being made.
    later: Option<Order>,
    group: usize,
    checkpoint_pages: u32,
    /// Pages in the log after the last commit, set by SQLite's hook.
    pages: Arc<AtomicU32>,
    /// Pages in the log at the last checkpoint.
    carried: u32,
    waiting_bytes: Arc<AtomicUsize>,
    fatal: Arc<Fatal>,
}

/// Reports a panic of the thread as what it is: the end of this process.
struct PanicGuard(Arc<Fatal>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.raise("the writer thread panicked");
        }
    }
}

impl Writer {
    /// Until the handle is dropped and everything that waits is written.
    fn run(mut self) {
        let _guard = PanicGuard(self.fatal.clone());
        loop {
            let order = self.later.take().map_or_else(|| self.orders.recv_timeout(IDLE), Ok);
            match order {
                Ok(Order::Commit(job)) => self.commit_group(job),
                Ok(Order::Tamper(sql, answer)) => {
                    let _ = answer.send(self.connection.execute_batch(&sql).map_err(|e| classify(&e)));
                }
                Err(RecvTimeoutError::Timeout) => self.checkpoint_when_idle(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn commit_group(&mut self, first: Job) {
        let mut jobs = Vec::with_capacity(16);
        jobs.push(first);
        let answers = match self.fatal.first.get() {
            Some(why) => vec![Err(Error::Fatal(why.clone()))],
            None => self.transaction(&mut jobs),
        };
        let bytes = jobs.iter().map(|job| job.bytes).sum();
        self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
        for (job, answer) in jobs.into_iter().zip(answers) {
            // Nobody may be waiting any more: the batch is written all the same.
            let _ = job.answer.send(answer);
        }
        self.checkpoint_when_long();
    }

    /// One transaction with `jobs` and what arrives while they are carried out. One answer for each of `jobs`.
    fn transaction(&mut self, jobs: &mut Vec<Job>) -> Vec<Result<()>> {
        let error = match self.attempt(jobs) {
            Ok(answers) => return answers,
            Err(error) => error,
        };
        self.undo();
        match self.verdict(&error) {
            // Perhaps one batch alone is to blame, because it is large or meets a damaged page: each for itself.
            Error::Full(_) | Error::Damaged { .. } if jobs.len() > 1 => {
                jobs.iter().map(|job| self.alone(job)).collect()
            }
            error => vec![Err(error); jobs.len()],
        }
    }

    /// Carries out `jobs`, and takes more of them as long as some wait.
    fn attempt(&mut self, jobs: &mut Vec<Job>) -> rusqlite::Result<Vec<Result<()>>> {
        self.run_cached("BEGIN IMMEDIATE")?;
        let mut answers = Vec::with_capacity(jobs.len());
        loop {
            while let Some(job) = jobs.get(answers.len()) {
                answers.push(self.batch(&job.writes)?);
            }
            if jobs.len() >= self.group {
                break;
            }
            match self.orders.try_recv() {
                Ok(Order::Commit(job)) => jobs.push(job),
                Ok(order @ Order::Tamper(..)) => {
                    self.later = Some(order);
                    break;
                }
                Err(_) => break,
            }
        }
        self.run_cached("COMMIT")?;
        Ok(answers)
    }

    /// One batch in a transaction of its own.
    fn alone(&self, job: &Job) -> Result<()> {
        let attempt = || {
            self.run_cached("BEGIN IMMEDIATE")?;
            let answer = self.batch(&job.writes)?;
            self.run_cached("COMMIT")?;
            Ok(answer)
        };
        attempt().unwrap_or_else(|error| {
            self.undo();
            Err(self.verdict(&error))
        })
    }

    /// One batch: all of it or, when it is refused, nothing.
    fn batch(&self, writes: &[Write]) -> rusqlite::Result<Result<()>> {
        // A single statement is atomic by itself, and a savepoint copies every page that it touches.
        if let [write] = writes
            && write.is_one_statement()
        {
            return settled(apply(&self.connection, write));
        }
        self.run_cached("SAVEPOINT batch")?;
        let outcome = settled(writes.iter().try_for_each(|write| apply(&self.connection, write)))?;
        if outcome.is_err() {
            self.run_cached("ROLLBACK TO batch")?;
        }
        self.run_cached("RELEASE batch")?;
        Ok(outcome)
    }

    fn run_cached(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Leaves the transaction, which SQLite may have done already.
    fn undo(&self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.run_cached("ROLLBACK")
        {
            self.fatal.raise(&format!("cannot roll back: {error}"));
        }
    }

    fn verdict(&self, error: &rusqlite::Error) -> Error {
        let error = classify(error);
        if let Error::Fatal(why) = &error {
            self.fatal.raise(why);
        }
        error
    }

    fn checkpoint_when_long(&mut self) {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.carried {
            // The log began anew.
            self.carried = 0;
        }
        if pages - self.carried >= self.checkpoint_pages {
            self.checkpoint(match pages {
                TRUNCATE_PAGES.. => "PRAGMA wal_checkpoint(TRUNCATE)",
                RESTART_PAGES.. => "PRAGMA wal_checkpoint(RESTART)",
                _ => "PRAGMA wal_checkpoint(PASSIVE)",
            });
        }
    }

    fn checkpoint_when_idle(&mut self) {
        if self.pages.load(Ordering::Relaxed) > self.carried {
            self.checkpoint("PRAGMA wal_checkpoint(PASSIVE)");
        }
    }

    /// Carries the log over into the database. What cannot be carried now stays in the log.
    fn checkpoint(&mut self, sql: &str) {
        if self.fatal.first.get().is_some() {
            return;
        }
        self.carried = self.pages.load(Ordering::Relaxed);
        let attempt = || {
            self.connection.busy_timeout(CHECKPOINT_WAIT)?;
            let outcome = self.connection.prepare_cached(sql)?.query_row([], |_| Ok(()));
            self.connection.busy_timeout(super::open::BUSY_TIMEOUT)?;
            outcome
        };
        if let Err(error) = attempt()
            && let Error::Fatal(why) = classify(&error)
        {
            self.fatal.raise(&format!("cannot carry the log over into the database: {why}"));
        }
    }
}

/// Tells a batch that is refused from a database that fails.
fn settled(done: std::result::Result<(), Failed>) -> rusqlite::Result<Result<()>> {
    match done {
        Ok(()) => Ok(Ok(())),
        Err(Failed::Refused(error)) => Ok(Err(error)),
        Err(Failed::Broken(error)) => Err(error),
    }
}
