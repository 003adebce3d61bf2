//! The watch over one action: a small state machine that sleeps in `poll`.
//!
//! Start reading at [`Watch::step`].

use super::descendants::{self, Reaped};
use super::outbox::{Outbox, own, set_nonblocking};
use super::start::wall_clock;
use super::tap::Tap;
use super::{KILL_AGAIN, seal};
use crate::cgroup::Group;
use crate::job::{Captured, Ended, Job, VERSION, Why, control, file, frame};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time-outs end here, whatever was asked for: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long background processes may keep output open, or simply go on, after the action itself has exited.
const LINGER: Duration = Duration::from_secs(1);
/// Somebody who survives SIGKILL this long is worth an alarm.
const ALARM_AFTER: Duration = Duration::from_secs(30);

/// Where the watch stands.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// The action's main process lives.
    Running,
    /// It exited; its background processes have until then to go by themselves.
    Lingering { until: Instant },
    /// Everybody was asked to end.
    Terminating { until: Instant },
    /// Everybody is made to end.
    Killing { next: Instant, alarm: Instant },
    /// Nobody is left.
    Over,
}

/// An action that runs.
pub(super) struct Watch {
    spool: PathBuf,
    job: Job,
    signals: OwnedFd,
    /// Absent after end-of-file.
    control: Option<File>,
    /// What the action has yet to read.
    input: Option<(File, usize)>,
    stdout: Tap,
    stderr: Tap,
    outbox: Outbox,
    main: u32,
    code: Option<i32>,
    nobody: bool,
    why: Why,
    phase: Phase,
    started: Instant,
    deadline: Instant,
    stragglers: u32,
    asked_sudo: Option<Instant>,
    group: Option<Group>,
}

impl Watch {
    pub(super) fn new(
        spool: &Path,
        job: Job,
        mut child: Child,
        signals: OwnedFd,
        group: Option<Group>,
    ) -> io::Result<Watch> {
        let started = Instant::now();
        let input = child.stdin.take().map(|pipe| (File::from(OwnedFd::from(pipe)), 0));
        if let Some((pipe, _)) = &input {
            set_nonblocking(pipe, true)?;
        }
        let mut outbox = Outbox::open()?;
        outbox.push(frame::STARTED, &child.id().to_le_bytes());
        Ok(Watch {
            spool: spool.to_owned(),
            signals,
            control: Some(own(io::stdin().as_fd())?),
            input,
            stdout: Tap::new(child.stdout.take(), frame::STDOUT)?,
            stderr: Tap::new(child.stderr.take(), frame::STDERR)?,
            outbox,
            main: child.id(),
            code: None,
            nobody: false,
            why: Why::Exited,
            phase: Phase::Running,
            started,
            deadline: started + job.timeout.min(LONGEST),
            stragglers: 0,
            asked_sudo: None,
            group,
            job,
        })
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        let mut buffer = vec![0; 64 << 10];
        while self.phase != Phase::Over {
            self.wait()?;
            self.feed();
            self.stdout.drain(&mut buffer, &mut self.outbox);
            self.stderr.drain(&mut buffer, &mut self.outbox);
            self.outbox.send();
            self.listen();
            self.collect();
            while self.step(Instant::now()) {}
        }
        // Once each: a pipe holds less than that, and a detached process may write for ever.
        self.stdout.drain(&mut buffer, &mut self.outbox);
        self.stderr.drain(&mut buffer, &mut self.outbox);
        self.finish()
    }

    /// Sleeps until something happens or the phase's time is up.
    fn wait(&self) -> io::Result<()> {
        let mut fds = vec![PollFd::new(&self.signals, PollFlags::IN)];
        let readable = [&self.control, &self.stdout.pipe, &self.stderr.pipe];
        fds.extend(readable.into_iter().flatten().map(|fd| PollFd::new(fd, PollFlags::IN)));
        fds.extend(self.input.iter().map(|(fd, _)| PollFd::new(fd, PollFlags::OUT)));
        if self.outbox.is_waiting() {
            fds.push(PollFd::new(&self.outbox.pipe, PollFlags::OUT));
        }
        let until = match self.phase {
            Phase::Running => self.deadline,
            Phase::Lingering { until } | Phase::Terminating { until } => until,
            Phase::Killing { next, .. } => next,
            Phase::Over => return Ok(()),
        };
        let left = Timespec::try_from(until.saturating_duration_since(Instant::now())).unwrap_or(Timespec::default());
        match poll(&mut fds, Some(&left)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives the action more of its input; closes it at the end, or when the action no longer reads.
    fn feed(&mut self) {
        let Some((pipe, given)) = &mut self.input else { return };
        let text = self.job.stdin.as_deref().unwrap_or_default().as_bytes();
        while *given < text.len() {
            match pipe.write(&text[*given..]) {
                Ok(n) => *given += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.input = None;
    }

    /// Hears signals and the control pipe.
    fn listen(&mut self) {
        let mut record = [0u8; size_of::<libc::signalfd_siginfo>()];
        while let Ok(n) = rustix::io::read(&self.signals, &mut record)
            && n == record.len()
        {
            let number = u32::from_ne_bytes([record[0], record[1], record[2], record[3]]);
            if number != libc::SIGCHLD.unsigned_abs() {
                self.stop(Why::Orphaned);
            }
        }
        if !self.control.as_ref().is_some_and(readable) {
            return;
        }
        let mut byte = [0];
        match self.control.as_mut().map(|pipe| pipe.read(&mut byte)) {
            Some(Ok(1)) if byte[0] == control::CANCEL => self.stop(Why::Canceled),
            Some(Ok(1)) if byte[0] == control::DRAIN => self.stop(Why::Orphaned),
            Some(Ok(1)) => {}
            _ => {
                self.control = None;
                self.stop(Why::Orphaned);
            }
        }
    }

    /// Reaps whoever has ended.
    fn collect(&mut self) {
        loop {
            match descendants::reap() {
                Reaped::Child(pid, code) if pid == self.main => self.code = Some(code),
                Reaped::Child(..) => {}
                Reaped::Alive => return self.nobody = false,
                Reaped::Nobody => return self.nobody = true,
            }
        }
    }

    /// One step of the life above; answers whether another may follow at once.
    fn step(&mut self, now: Instant) -> bool {
        let before = self.phase;
        match self.phase {
            Phase::Running if self.code.is_some() => self.phase = Phase::Lingering { until: now + LINGER },
            Phase::Running if now >= self.deadline => self.stop(Why::TimedOut),
            Phase::Lingering { until } => {
                let silent = self.stdout.pipe.is_none() && self.stderr.pipe.is_none();
                if (silent || now >= until) && (self.nobody || self.job.detach) {
                    self.phase = Phase::Over;
                } else if now >= until {
                    self.stragglers = descendants::below(std::process::id()).len() as u32;
                    self.terminate(LINGER);
                }
            }
            Phase::Terminating { .. } | Phase::Killing { .. } if self.nobody => self.phase = Phase::Over,
            Phase::Terminating { until } if now >= until => self.kill(now, now + ALARM_AFTER),
            Phase::Killing { next, alarm } if now >= next => {
                let alarm = if now >= alarm { self.alarm(now) } else { alarm };
                self.kill(now, alarm);
            }
            Phase::Running | Phase::Terminating { .. } | Phase::Killing { .. } | Phase::Over => {}
        }
        // A round of killing changes the phase every time; the others are worth another look.
        self.phase != before && !matches!(self.phase, Phase::Killing { .. } | Phase::Over)
    }

    /// Begins the stop sequence, unless the action has ended already or is being stopped for another reason.
    fn stop(&mut self, why: Why) {
        self.collect();
        if self.phase == Phase::Running && self.code.is_none() {
            self.why = why;
            self.terminate(self.job.grace);
        }
    }

    /// SIGTERM to everybody, once each; SIGCONT so that the stopped ones hear it.
    fn terminate(&mut self, grace: Duration) {
        for signal in [Signal::TERM, Signal::CONT] {
            self.signal_all(signal);
        }
        self.phase = Phase::Terminating { until: Instant::now() + grace.min(LONGEST) };
    }

    /// SIGKILL to everybody, again as long as somebody new turns up: faster than a process that forks in a loop.
    fn kill(&mut self, now: Instant, alarm: Instant) {
        if let Some(group) = &self.group {
            group.kill();
        }
        let mut seen = BTreeSet::new();
        for _ in 0..50 {
            let found = self.signal_all(Signal::KILL);
            let known = seen.len();
            seen.extend(found);
            if seen.len() == known {
                break;
            }
        }
        self.collect();
        self.phase = Phase::Killing { next: now + KILL_AGAIN, alarm };
    }

    fn signal_all(&mut self, signal: Signal) -> BTreeSet<u32> {
        // Only while the main process is not reaped can its group's number not belong to somebody else.
        let group = if self.code.is_none() { descendants::to_pid(self.main) } else { None };
        if group.is_some() {
            descendants::signal_group(self.main, signal);
        }
        let found = descendants::below(std::process::id());
        let in_group = |pid: &u32| {
            group.is_some()
                && rustix::process::getpgid(descendants::to_pid(*pid)).ok() == group
                && descendants::to_pid(*pid)
                    .is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::PERM))
        };
        let others: BTreeSet<u32> = found.iter().copied().filter(|pid| !in_group(pid)).collect();
        let refused = descendants::signal(&others, signal);
        if !refused.is_empty() {
            self.signal_by_sudo(&refused, signal);
        }
        found
    }

    /// Signals processes that sudo turned into somebody else's, by the same sudo; at most once a second.
    fn signal_by_sudo(&mut self, pids: &[u32], signal: Signal) {
        if self.asked_sudo.is_some_and(|last| last.elapsed() < LINGER) && signal == Signal::KILL {
            return;
        }
        self.asked_sudo = Some(Instant::now());
        let password = self.job.stdin.as_deref().filter(|_| self.job.finish.sudo_user.is_some());
        let mut command = Command::new("sudo");
        command.args(if password.is_some() { ["-S", "--"] } else { ["-n", "--"] });
        command.arg("kill").arg(format!("-{}", signal.as_raw())).arg("--").args(pids.iter().map(u32::to_string));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let Ok(mut child) = command.spawn() else { return };
        if let (Some(pipe), Some(password)) = (&mut child.stdin, password) {
            let _ = pipe.write_all(password.as_bytes());
        }
        drop(child.stdin.take());
        let started = Instant::now();
        while matches!(child.try_wait(), Ok(None)) && started.elapsed() < 2 * LINGER {
            std::thread::sleep(KILL_AGAIN);
        }
        let _ = child.kill();
    }

    /// Names those who will not die; answers when to do so again.
    fn alarm(&mut self, now: Instant) -> Instant {
        let alive: Vec<String> =
            descendants::below(std::process::id()).into_iter().map(descendants::describe).collect();
        let text = format!("still alive after {} s of SIGKILL: {}", ALARM_AFTER.as_secs(), alive.join("; "));
        self.outbox.push(frame::ALARM, text.as_bytes());
        now + ALARM_AFTER
    }

    fn finish(mut self) -> io::Result<()> {
        self.group = None;
        let took = self.started.elapsed();
        let mut trouble = Vec::new();
        let mut keep = |tap: Tap, name: &str| {
            let total = tap.capture.total();
            let bytes = tap.capture.finish();
            seal::keep_stream(&self.spool, name, bytes, total).unwrap_or_else(|error| {
                trouble.push(format!("cannot write {name} to the spool: {error}"));
                Captured { total, text: Some(format!("[{total} bytes of output lost: {error}]")) }
            })
        };
        let ended = Ended {
            version: VERSION,
            stdout: keep(self.stdout, file::STDOUT),
            stderr: keep(self.stderr, file::STDERR),
            why: self.why,
            code: self.code,
            ended: wall_clock(),
            took: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            stragglers: self.stragglers,
            finish: self.job.finish,
        };
        let mut outbox = self.outbox;
        for text in trouble {
            outbox.push(frame::ALARM, text.as_bytes());
        }
        outbox.report(&self.spool, &ended)
    }
}

fn readable(fd: &File) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
}
