//! The workers of this machine: a bounded queue, so many slots, and one task per attempt.
//!
//! Implements the model's `Runner`. Nothing here is durable: what is lost with the process is found again in the claims
//! and the spools.
//!
//! Start reading at [`Workers::new`]; the life of one attempt is in `attempt`.

use crate::attempt::{self, Stop};
use crate::environment;
use crate::spool::{self, Spool, Verdict};
use rustix::process::Signal;
use squall_model::{Future, Leftover, Runner, WorkItem, WorkKey, WorkSink};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;

/// More grace than this is a typing error, and sums of times stay in bounds.
const LONGEST_GRACE: Duration = Duration::from_secs(24 * 3600);

/// How the workers of a machine are set up.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where spools are made; on the volume of the database. Made when it is missing.
    pub spool_root: PathBuf,
    /// How long an attempt waits for space for its spool before it fails.
    pub spool_patience: Duration,
    /// The program that calls [`crate::supervise::main`] before anything else when its first argument says so.
    pub supervisor: PathBuf,
    /// Its arguments in front of the spool's path.
    pub supervisor_args: Vec<String>,
    /// Attempts at the same time.
    pub slots: usize,
    /// Items that wait for a slot in order; the turn of more than these is not kept.
    pub queue: usize,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// This worker's name, as the claim records it.
    pub worker: String,
    /// The user that commands run as, when it is not the one who runs the server.
    pub system_user: Option<String>,
    /// Where each attempt gets a control group of its own: what [`crate::cgroup::delegated`] gave.
    pub cgroup: Option<PathBuf>,
}

impl Config {
    /// The usual numbers: 60 slots, 10 s of grace, this very program as supervisor (by a path that stays right when
    /// the file is replaced during an upgrade).
    pub fn new(spool_root: impl Into<PathBuf>) -> Config {
        Config {
            spool_root: spool_root.into(),
            spool_patience: Duration::from_secs(10),
            supervisor: "/proc/self/exe".into(),
            supervisor_args: vec!["__run".into()],
            slots: 60,
            queue: 4096,
            grace: Duration::from_secs(10),
            worker: "local".into(),
            system_user: None,
            cgroup: None,
        }
    }
}

/// The workers of this machine. Dropping them starts nothing more and lets what runs go on.
pub struct Workers {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Queued>,
}

/// An item with the ear for its stop.
type Queued = (Admission, WorkItem, watch::Receiver<Stop>);

/// What every attempt needs.
pub(crate) struct Shared {
    pub(crate) config: Config,
    pub(crate) sink: Arc<dyn WorkSink>,
    pub(crate) environment: Vec<(OsString, OsString)>,
    admitted: Mutex<HashMap<WorkKey, watch::Sender<Stop>>>,
    /// An attempt has ended.
    ended: Notify,
    draining: AtomicBool,
}

impl Shared {
    fn admitted(&self) -> MutexGuard<'_, HashMap<WorkKey, watch::Sender<Stop>>> {
        self.admitted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the admitted; given up when dropped, however the attempt ends.
struct Admission {
    shared: Arc<Shared>,
    key: WorkKey,
}

impl Drop for Admission {
    fn drop(&mut self) {
        self.shared.admitted().remove(&self.key);
        self.shared.ended.notify_waiters();
    }
}

impl Workers {
    /// Starts the workers; to be called on a tokio runtime with I/O and time.
    pub fn new(mut config: Config, sink: Arc<dyn WorkSink>) -> Arc<Workers> {
        config.grace = config.grace.min(LONGEST_GRACE);
        let (queue, items) = mpsc::channel(config.queue.max(1));
        let shared = Arc::new(Shared {
            environment: environment::inherited(std::env::vars_os()),
            sink,
            admitted: Mutex::default(),
            ended: Notify::new(),
            draining: AtomicBool::new(false),
            config,
        });
        tokio::spawn(distribute(shared.clone(), items));
        Arc::new(Workers { shared, queue })
    }

    /// How many attempts wait or run.
    pub fn busy(&self) -> usize {
        self.shared.admitted().len()
    }

    /// Takes nothing new, lets what runs end until `deadline`, then stops the rest, which ends `abandoned`.
    pub async fn shutdown(&self, deadline: Instant) {
        self.shared.draining.store(true, Ordering::Release);
        if self.idle_by(deadline).await {
            return;
        }
        for stop in self.shared.admitted().values() {
            stop.send_if_modified(|now| now.tighten(Stop::Drain));
        }
        // The grace, a second for background processes, and the time to write results.
        if !self.idle_by(Instant::now() + self.shared.config.grace + Duration::from_secs(5)).await {
            tracing::error!(
                left = self.busy(),
                "some actions did not end; their supervisors go on without this server"
            );
        }
    }

    async fn idle_by(&self, deadline: Instant) -> bool {
        loop {
            let ended = self.shared.ended.notified();
            if self.busy() == 0 {
                return true;
            }
            if tokio::time::timeout_at(deadline, ended).await.is_err() {
                return self.busy() == 0;
            }
        }
    }

    /// Removes spools that no claim names and no supervisor holds: left by a crash between making one and claiming.
    /// To be called before recovery and before anything is dispatched. Answers how many there were.
    pub fn sweep(&self, is_known: &dyn Fn(&str) -> bool) -> usize {
        spool::sweep(&self.shared.config.spool_root, is_known)
    }
}

/// Gives each item a slot, in the order of arrival.
async fn distribute(shared: Arc<Shared>, mut items: mpsc::Receiver<Queued>) {
    let slots = Arc::new(Semaphore::new(shared.config.slots.max(1)));
    while let Some((admission, item, stop)) = items.recv().await {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        if shared.draining.load(Ordering::Acquire) {
            continue;
        }
        let shared = shared.clone();
        tokio::spawn(async move {
            attempt::run(&shared, item, stop).await;
            drop((slot, admission));
        });
    }
}

impl Runner for Workers {
    fn dispatch(&self, item: WorkItem) {
        if self.shared.draining.load(Ordering::Acquire) {
            return;
        }
        let key = item.key;
        let (stop, heard) = watch::channel(Stop::No);
        match self.shared.admitted().entry(key) {
            // Delivered twice: the first one is on its way.
            Entry::Occupied(_) => return,
            Entry::Vacant(place) => _ = place.insert(stop),
        }
        let admission = Admission { shared: self.shared.clone(), key };
        if let Err(TrySendError::Full(queued)) = self.queue.try_send((admission, item, heard)) {
            // Its execution is `scheduled` and nobody would dispatch it again before the next start.
            let queue = self.queue.clone();
            tokio::spawn(async move { queue.send(queued).await });
        }
    }

    fn cancel(&self, key: WorkKey) {
        if let Some(stop) = self.shared.admitted().get(&key) {
            stop.send_if_modified(|now| now.tighten(Stop::Cancel));
        }
    }

    fn leftover<'a>(&'a self, key: WorkKey, spool: &'a str) -> Future<'a, Leftover> {
        Box::pin(leftover(&self.shared, key, spool))
    }

    fn settled(&self, _key: WorkKey, spool: &str) {
        if let Some(spool) = Spool::find(&self.shared.config.spool_root, spool) {
            spool.remove();
        }
    }
}

/// First the lock, because a supervisor may still be about to write its marker; then what the spool says.
async fn leftover(shared: &Shared, key: WorkKey, id: &str) -> Leftover {
    let Some(spool) = Spool::find(&shared.config.spool_root, id) else {
        tracing::warn!(execution = %key.execution, spool = id, "no such spool: another machine, or restored data");
        return Leftover::Lost;
    };
    let lock = outlive(&spool, shared.config.grace).await;
    match attempt::outcome(spool.clone(), None).await {
        Ok(Some(outcome)) => return Leftover::Finished(outcome),
        Ok(None) => {}
        Err(error) => tracing::error!(spool = id, %error, "a result cannot be read"),
    }
    if lock.is_some() && spool.verdict() == Verdict::NeverStarted {
        return Leftover::NeverStarted;
    }
    attempt::hunt(shared, spool).await;
    Leftover::Lost
}

/// Waits for the supervisor of `spool` to go, with more and more pressure; gives its lock.
///
/// It hears of the server's death by its control pipe and needs no more than the grace. After that it is asked to stop,
/// after that it is killed, and what it leaves is hunted by the caller.
async fn outlive(spool: &Spool, grace: Duration) -> Option<std::fs::File> {
    let patience = grace + Duration::from_secs(3);
    for pressure in [None, Some(Signal::TERM), Some(Signal::KILL)] {
        if let Some((signal, pid)) = pressure.zip(spool.supervisor()) {
            tracing::warn!(spool = spool.id, pid, ?signal, "a supervisor of the last run lives on; it is stopped");
            crate::supervise::descendants::signal(&[pid].into(), signal);
        }
        let until = Instant::now() + patience;
        while Instant::now() < until {
            match spool.try_lock() {
                Ok(Some(lock)) => return Some(lock),
                Ok(None) => tokio::time::sleep(Duration::from_millis(10)).await,
                Err(error) => {
                    tracing::error!(spool = spool.id, %error, "cannot lock a spool");
                    return None;
                }
            }
        }
    }
    tracing::error!(spool = spool.id, "somebody holds the lock of a spool and cannot be stopped");
    None
}
