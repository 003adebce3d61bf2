//! One attempt, from its spool to its end.
//!
//! Invariant: no process is started before the claim was granted, and after it was granted there is always a
//! `Finished`, whatever goes wrong.

use crate::cgroup::Group;
use crate::job::{Ended, Job, MAX_JOB, control, file, frame};
use crate::live::Live;
use crate::sealed;
use crate::spool::Spool;
use crate::workers::Shared;
use crate::worktree;
use crate::{Setting, Streams, find, native};
use squall_model::{ClaimAnswer, Outcome, Status, Stream, Value, WorkEvent, WorkItem, WorkKey, crash_point};
use std::fs::File;
use std::io;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::watch;
use tokio::time::Instant;

/// How long it takes from one try to make a spool to the next.
const SPOOL_AGAIN: Duration = Duration::from_secs(1);
/// How long a piece of live output may wait for more.
const COALESCE: Duration = Duration::from_millis(200);

/// How urgently an attempt is to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stop {
    /// Not at all.
    No,
    /// The server stops.
    Drain,
    /// Somebody canceled it.
    Cancel,
}

impl Stop {
    /// Takes the more urgent of both; answers whether that changed anything.
    pub(crate) fn tighten(&mut self, other: Stop) -> bool {
        let changed = other > *self;
        *self = other.max(*self);
        changed
    }
}

/// Runs one attempt to its end.
pub(crate) async fn run(shared: &Shared, item: WorkItem, mut stop: watch::Receiver<Stop>) {
    let key = item.key;
    let (spool, lock) = match spool(shared, &mut stop).await {
        Some(Ok(made)) => made,
        Some(Err(error)) => return unspooled(shared, key, &error).await,
        None => return,
    };
    let outcome = match shared.sink.claim(key, &shared.config.worker, &spool.id).await {
        ClaimAnswer::Refused => return spool.remove(),
        ClaimAnswer::Granted { env } => {
            crash_point!("K06");
            granted(shared, item, env, &spool, lock, stop).await
        }
    };
    crash_point!("K09");
    shared.sink.report(key, WorkEvent::Finished(outcome)).await;
}

/// A spool, or why there is none after some patience, because a full disk may have space again soon. Nothing when the attempt was
/// stopped meanwhile: it is not claimed, so there is nothing to report.
async fn spool(shared: &Shared, stop: &mut watch::Receiver<Stop>) -> Option<io::Result<(Spool, File)>> {
    let until = Instant::now() + shared.config.spool_patience;
    loop {
        let made = Spool::create(&shared.config.spool_root);
        if made.is_ok() || Instant::now() >= until {
            return Some(made);
        }
        tokio::select! {
            () = tokio::time::sleep(SPOOL_AGAIN) => {}
            _ = stop.changed() => return None,
        }
    }
}

/// Fails an attempt that has no place for its result: nothing was started, and whoever waits is told why.
async fn unspooled(shared: &Shared, key: WorkKey, error: &io::Error) {
    let root = shared.config.spool_root.display();
    tracing::error!(execution = %key.execution, %root, %error, "cannot make a spool");
    if let ClaimAnswer::Granted { .. } = shared.sink.claim(key, &shared.config.worker, "").await {
        let text = format!("not started: cannot write in {root}: {error}");
        shared.sink.report(key, WorkEvent::Finished(Outcome::failed(text))).await;
    }
}

async fn granted(
    shared: &Shared,
    mut item: WorkItem,
    env: Vec<(String, String)>,
    spool: &Spool,
    lock: File,
    stop: watch::Receiver<Stop>,
) -> Outcome {
    if let Some(outcome) = native(&item) {
        return outcome;
    }
    match *stop.borrow() {
        Stop::No => {}
        Stop::Cancel => return before_start(Status::Canceled, "canceled before it started"),
        Stop::Drain => return before_start(Status::Abandoned, "the server stopped before it started"),
    }
    item.env.extend(env);
    let worktree = match worktree::add(&mut item).await {
        Ok(worktree) => worktree,
        Err(text) => return Outcome::failed(text),
    };
    // A revision of the pack is what it is; the seal is of the file that lies in the pack.
    if worktree.is_none()
        && let Err(outcome) = sealed::copy(&mut item, &spool.path)
    {
        return outcome;
    }
    let outcome = planned(shared, &item, spool, lock, stop).await;
    if let Some(worktree) = worktree {
        worktree.remove().await;
    }
    outcome
}

async fn planned(shared: &Shared, item: &WorkItem, spool: &Spool, lock: File, stop: watch::Receiver<Stop>) -> Outcome {
    let config = &shared.config;
    let setting =
        Setting { grace: config.grace, system_user: config.system_user.as_deref(), cgroup: config.cgroup.as_deref() };
    let job = match find(&item.runner).and_then(|entry| (entry.plan)(item, &setting)) {
        Ok(job) => job,
        Err(text) => return Outcome::failed(text),
    };
    match supervised(shared, item.key, job, spool, lock, stop).await {
        Ok(outcome) => outcome,
        Err(error) => {
            hunt(shared, spool.clone()).await;
            unwatched(spool, format!("the supervision of this action failed: {error}"))
        }
    }
}

fn before_start(status: Status, text: &str) -> Outcome {
    Outcome { status, result: Value::from_pairs([("error", Value::from(text))]) }
}

/// The end of an attempt whose supervisor left no result: a failure when nothing can have started, else abandoned.
fn unwatched(spool: &Spool, text: String) -> Outcome {
    let complaints = spool.complaints();
    let text = if complaints.is_empty() { text } else { format!("{text}: {complaints}") };
    if spool.is_marked() { before_start(Status::Abandoned, &text) } else { Outcome::failed(text) }
}

async fn supervised(
    shared: &Shared,
    key: WorkKey,
    job: Job,
    spool: &Spool,
    lock: File,
    stop: watch::Receiver<Stop>,
) -> io::Result<Outcome> {
    let mut child = match start(shared, spool, lock).await {
        Ok(child) => child,
        Err(error) => {
            let program = shared.config.supervisor.display();
            return Ok(Outcome::failed(format!("cannot start the supervisor {program}: {error}")));
        }
    };
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("the supervisor has no pipes"));
    };
    let runner = job.finish.runner.clone();
    let control = tokio::spawn(command(stdin, job, stop));
    let stray = follow(shared, key, stdout).await;
    if stray.is_err() {
        // Nobody listens any more: the closed pipe makes the supervisor stop the action.
        control.abort();
    }
    let status = child.wait().await?;
    control.abort();
    match outcome(spool.clone(), stray?).await? {
        Some(outcome) => Ok(outcome),
        None => Err(io::Error::other(format!("the supervisor of {runner} {}", ending(status)))),
    }
}

fn ending(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (None, code) => format!("ended with code {} and left no result", code.unwrap_or(-1)),
    }
}

/// Starts the supervisor with the spool's lock as its standard error. A machine short of processes gets more chances.
async fn start(shared: &Shared, spool: &Spool, lock: File) -> io::Result<Child> {
    let mut command = Command::new(&shared.config.supervisor);
    command.args(&shared.config.supervisor_args).arg(&spool.path);
    command.arg0("squall").env_clear().envs(shared.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(lock);
    for wait in [50, 200, 800] {
        match command.spawn() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
            settled => return settled,
        }
    }
    command.spawn()
}

/// Writes the job, then a byte for each request to stop. Dropping the pipe stops the action as well.
async fn command(mut pipe: ChildStdin, job: Job, mut stop: watch::Receiver<Stop>) -> io::Result<()> {
    let text = serde_json::to_vec(&job)?;
    drop(job);
    let length = u32::try_from(text.len()).ok().filter(|length| *length as usize <= MAX_JOB);
    let length = length.ok_or_else(|| io::Error::other("the job is too large"))?;
    pipe.write_all(&length.to_le_bytes()).await?;
    pipe.write_all(&text).await?;
    drop(text);
    loop {
        let byte = match *stop.borrow_and_update() {
            Stop::No => None,
            Stop::Drain => Some(control::DRAIN),
            Stop::Cancel => Some(control::CANCEL),
        };
        if let Some(byte) = byte {
            pipe.write_all(&[byte]).await?;
        }
        if stop.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Reports what the supervisor says until it has no more to say; gives the result if it came this way.
async fn follow(shared: &Shared, key: WorkKey, mut pipe: ChildStdout) -> io::Result<Option<Ended>> {
    let mut bytes = Vec::new();
    let mut stdout = Live::default();
    let mut stderr = Live::default();
    let mut due: Option<Instant> = None;
    let mut stray = None;
    loop {
        bytes.reserve(frame::USUAL);
        let read = tokio::select! {
            read = pipe.read_buf(&mut bytes) => Some(read?),
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
        };
        let mut at = 0;
        while let Some((tag, payload)) = next_frame(&bytes[at..])? {
            match tag {
                frame::STDOUT => stdout.push(payload),
                frame::STDERR => stderr.push(payload),
                frame::STARTED => {
                    let pid = payload.try_into().map_or(0, u32::from_le_bytes);
                    crash_point!("K07");
                    shared.sink.report(key, WorkEvent::Started { pid }).await;
                }
                frame::ALARM => {
                    tracing::error!(execution = %key.execution, "{}", String::from_utf8_lossy(payload));
                }
                frame::RESULT => stray = Some(serde_json::from_slice(payload)?),
                _ => return Err(io::Error::other(format!("the supervisor sent a frame of unknown kind {tag}"))),
            }
            at += HEADER + payload.len();
        }
        bytes.drain(..at);
        for (stream, live) in [(Stream::Stdout, &mut stdout), (Stream::Stderr, &mut stderr)] {
            let next = match read {
                Some(0) => Live::rest,
                Some(_) => Live::full,
                None => Live::due,
            };
            while let Some(text) = next(live) {
                crash_point!("K08");
                shared.sink.report(key, WorkEvent::Output { stream, text }).await;
                if read.is_none() {
                    break;
                }
            }
        }
        let waiting = !stdout.is_empty() || !stderr.is_empty();
        due = match (waiting, due, read) {
            (false, ..) => None,
            (true, Some(due), Some(_)) => Some(due),
            (true, ..) => Some(Instant::now() + COALESCE),
        };
        if read == Some(0) {
            return Ok(stray);
        }
    }
}

const HEADER: usize = 5;

/// The first frame, if it is whole.
fn next_frame(bytes: &[u8]) -> io::Result<Option<(u8, &[u8])>> {
    let Some((&[tag, a, b, c, d], rest)) = bytes.split_first_chunk::<HEADER>() else { return Ok(None) };
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if length > MAX_JOB {
        return Err(io::Error::other(format!("the supervisor sent a frame of {length} bytes")));
    }
    Ok(rest.get(..length).map(|payload| (tag, payload)))
}

/// The outcome of a spool with a result (or of the one that could not be written there). Reads and parses up to 20 MiB,
/// so it works on a thread of its own.
pub(crate) async fn outcome(spool: Spool, stray: Option<Ended>) -> io::Result<Option<Outcome>> {
    let conclude = move || {
        let Some(ended) = stray.map_or_else(|| spool.ended(), |ended| Ok(Some(ended)))? else { return Ok(None) };
        if ended.stragglers > 0 {
            tracing::warn!(
                spool = spool.id,
                stragglers = ended.stragglers,
                "background processes of an action were stopped after it had exited; `detach: true` lets them live"
            );
        }
        let entry = match find(&ended.finish.runner) {
            Ok(entry) => entry,
            Err(text) => return Ok(Some(Outcome::failed(text))),
        };
        let stdout = spool.text(&ended.stdout, file::STDOUT)?;
        let stderr = spool.text(&ended.stderr, file::STDERR)?;
        Ok(Some((entry.conclude)(&ended, Streams { stdout, stderr })))
    };
    tokio::task::spawn_blocking(conclude).await.map_err(io::Error::other)?
}

/// Ends every process of the attempt that nobody watches any more.
pub(crate) async fn hunt(shared: &Shared, spool: Spool) {
    let group = shared.config.cgroup.as_deref().and_then(|parent| Group::find(parent, &spool.id));
    if let Some(group) = &group {
        group.kill();
    }
    let hunt = tokio::task::spawn_blocking(move || spool.hunt(Duration::from_secs(30)));
    if let Err(error) = hunt.await {
        tracing::error!(%error, "looking for the processes of an attempt failed");
    }
}
