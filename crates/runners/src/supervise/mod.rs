//! The supervisor: one small process per attempt, which starts the action, watches it, and leaves only when nothing of
//! it is left.
//!
//! It is the squall program itself, started again as `squall __run SPOOL`. **`main()` must come here before it sets up
//! anything else** (runtime, logging, configuration): a start costs about a millisecond that way, and descriptors above
//! 2 are closed on entry. One thread, no async runtime. Standard input is the control pipe (the job, then stop bytes;
//! end-of-file means that the server died), standard output carries frames to the worker (`job::frame`), standard
//! error is the spool's locked log: whoever gets that lock knows that this supervisor is gone.
//!
//! Invariant: the result is written only after the kernel said that no child is left (or the action is declared
//! `detach`), so what it says is final.
//!
//! A server that made itself undumpable does not pass that on: `exec` makes a process dumpable again, so a supervisor's
//! memory can be read by other processes of the same user for as long as it runs.
//!
//! Start reading at [`main`], then `Watch::step`.

mod capture;
pub(crate) mod descendants;
mod outbox;
mod seal;
mod start;
mod tap;
mod watch;

use crate::cgroup::Group;
use crate::sys;
use descendants::Reaped;
use outbox::Outbox;
use rustix::fs::Mode;
use rustix::process::{Resource, Rlimit, Signal};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use watch::Watch;

/// Between two rounds of SIGKILL.
const KILL_AGAIN: Duration = Duration::from_millis(10);

/// Runs the attempt of the spool `spool`; the exit code is 0 when the job was read, whatever became of it.
pub fn main(spool: &Path) -> ExitCode {
    match supervise(spool) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("supervisor of {}: {error}", spool.display());
            ExitCode::FAILURE
        }
    }
}

fn supervise(spool: &Path) -> io::Result<()> {
    sys::close_inherited();
    sys::default_signals();
    let signals = sys::signal_fd()?;
    // Fails only for a group leader, which then already has what matters.
    let _ = rustix::process::setsid();
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?;
    set_limits()?;
    let Some(job) = start::read_job()? else { return Ok(()) };
    if let Err(error) = seal::mark_spawned(spool) {
        let text = format!("cannot write to the spool {}: {error}", spool.display());
        return Outbox::open()?.report(spool, &start::not_spawned(&job, text));
    }
    let group = job.cgroup.as_deref().and_then(|parent| {
        let id = spool.file_name().unwrap_or_default().to_string_lossy();
        Group::create(parent, &id).inspect_err(|e| eprintln!("no control group in {}: {e}", parent.display())).ok()
    });
    match start::start(spool, &job, group.as_ref()) {
        Err(error) => Outbox::open()?.report(spool, &start::not_spawned(&job, start::why_not(&job, &error))),
        Ok(child) => Watch::new(spool, job, child, signals, group).and_then(Watch::run).inspect_err(|_| leave_nobody()),
    }
}

/// Kills whatever was started, when watching it has become impossible.
fn leave_nobody() {
    loop {
        match descendants::reap() {
            Reaped::Nobody => return,
            Reaped::Child(..) => {}
            Reaped::Alive => {
                descendants::signal(&descendants::below(std::process::id()), Signal::KILL);
                std::thread::sleep(KILL_AGAIN);
            }
        }
    }
}

/// What the action inherits: umask 022, no core files, and the 1024 descriptors that old programs count on.
fn set_limits() -> io::Result<()> {
    rustix::process::umask(Mode::from_bits_truncate(0o022));
    rustix::process::setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let current = Some(maximum.map_or(1024, |most| most.min(1024)));
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current, maximum })?;
    Ok(())
}
