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
mod seal;

use crate::job::{Captured, Ended, Job, MAX_JOB, TAG, VERSION, Why, control, file, frame};
use crate::sys;
use capture::{Capture, KEEP};
use descendants::Reaped;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, Rlimit, Signal};
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time-outs end here, whatever was asked for: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long background processes may keep output open, or simply go on, after the action itself has exited.
const LINGER: Duration = Duration::from_secs(1);
/// Between two rounds of SIGKILL.
const KILL_AGAIN: Duration = Duration::from_millis(10);
/// Somebody who survives SIGKILL this long is worth an alarm.
const ALARM_AFTER: Duration = Duration::from_secs(30);

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
    let Some(job) = read_job()? else { return Ok(()) };
    if let Err(error) = seal::mark_spawned(spool) {
        let text = format!("cannot write to the spool {}: {error}", spool.display());
        return Outbox::open()?.report(spool, &not_spawned(&job, text));
    }
    match start(spool, &job) {
        Err(error) => Outbox::open()?.report(spool, &not_spawned(&job, why_not(&job, &error))),
        Ok(child) => Watch::new(spool, job, child, signals).and_then(Watch::run).inspect_err(|_| leave_nobody()),
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

/// Reads the job; `None` when the server went away before it was complete, so that nothing must be started.
fn read_job() -> io::Result<Option<Job>> {
    let mut stdin = rustix_file(io::stdin().as_fd())?;
    let mut length = [0; 4];
    if !read_whole(&mut stdin, &mut length)? {
        return Ok(None);
    }
    let length = u32::from_le_bytes(length) as usize;
    if length > MAX_JOB {
        return Err(io::Error::other(format!("the job has {length} bytes, more than {MAX_JOB}")));
    }
    let mut text = vec![0; length];
    if !read_whole(&mut stdin, &mut text)? {
        return Ok(None);
    }
    Ok(Some(serde_json::from_slice(&text)?))
}

/// An own handle on a standard stream, without the buffer that would swallow a stop byte.
fn rustix_file(fd: std::os::fd::BorrowedFd<'_>) -> io::Result<std::fs::File> {
    Ok(fd.try_clone_to_owned()?.into())
}

fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Starts the action. A machine that is out of processes for a moment gets three more chances.
fn start(spool: &Path, job: &Job) -> io::Result<Child> {
    let mut command = Command::new(&job.program);
    command.args(&job.args).env(TAG, spool.file_name().unwrap_or_default());
    command.envs(job.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &job.cwd {
        command.current_dir(cwd);
    }
    command.stdin(if job.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    sys::before_exec(&mut command, || {
        rustix::process::setsid()?;
        // If even the supervisor is killed, its main process goes with it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // An action is a better victim than the server when memory runs out; not every container allows saying so.
        let _ = std::fs::write("/proc/self/oom_score_adj", "500");
        Ok(())
    });
    for wait in [50, 200, 800] {
        match command.spawn() {
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => {
                std::thread::sleep(Duration::from_millis(wait));
            }
            settled => return settled,
        }
    }
    command.spawn()
}

/// Why a program could not be started: file, reason, hint.
fn why_not(job: &Job, error: &io::Error) -> String {
    let program = &job.program;
    let cwd = job.cwd.as_deref().filter(|cwd| !Path::new(cwd).is_dir());
    let reason = match (error.raw_os_error().unwrap_or(0), cwd) {
        (libc::ENOENT | libc::ENOTDIR, Some(cwd)) => {
            return format!("cannot run in the folder {cwd}: there is no such folder; check `cwd`");
        }
        (libc::ENOENT, None) if Path::new(program).exists() => {
            "the interpreter named in its first line does not exist; check the line that starts with `#!`"
        }
        (libc::ENOENT | libc::ENOTDIR, None) => "there is no such file; check the path, or install the program",
        (libc::EACCES, _) => "permission denied; check that the file is executable and the folder `cwd` may be entered",
        (libc::ENOEXEC, _) => {
            "the system cannot execute this format; check the architecture, or add a first line with `#!`"
        }
        (libc::E2BIG, _) => {
            "its arguments and environment are too large (128 KiB each, 2 MiB in all); pass large values in a file"
        }
        (libc::ETXTBSY, _) => "the file is being written at this moment; run it again when that is done",
        (libc::EAGAIN, _) => "the limit of processes is reached, after 3 more attempts; end some, or raise the limit",
        (libc::ENOMEM, _) => "there is not enough memory; end something else first",
        _ => return format!("cannot start {program}: {error}"),
    };
    format!("cannot start {program}: {reason}")
}

fn not_spawned(job: &Job, text: String) -> Ended {
    let nothing = Captured { total: 0, text: Some(String::new()) };
    Ended {
        version: VERSION,
        why: Why::NotSpawned(text),
        code: None,
        stdout: nothing.clone(),
        stderr: nothing,
        ended: wall_clock(),
        took: 0,
        stragglers: 0,
        finish: job.finish.clone(),
    }
}

fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

/// Frames on their way to the worker. Bounded by what a [`Capture`] streams, so a worker that does not read costs at
/// most some 10 MiB here and never holds the action up.
struct Outbox {
    pipe: std::fs::File,
    waiting: Vec<u8>,
    sent: usize,
    broken: bool,
}

impl Outbox {
    fn open() -> io::Result<Outbox> {
        let pipe = rustix_file(io::stdout().as_fd())?;
        set_nonblocking(&pipe, true)?;
        Ok(Outbox { pipe, waiting: Vec::new(), sent: 0, broken: false })
    }

    fn push(&mut self, tag: u8, payload: &[u8]) {
        if self.broken {
            return;
        }
        self.waiting.push(tag);
        self.waiting.extend_from_slice(&u32::try_from(payload.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.waiting.extend_from_slice(payload);
        self.send();
    }

    /// Writes what the pipe takes without waiting.
    fn send(&mut self) {
        while self.sent < self.waiting.len() {
            match self.pipe.write(&self.waiting[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The worker is gone; the control pipe says so too.
                Err(_) => {
                    self.broken = true;
                    break;
                }
            }
        }
        self.waiting.clear();
        self.sent = 0;
    }

    fn is_waiting(&self) -> bool {
        !self.broken && self.sent < self.waiting.len()
    }

    /// Seals the result and sees the last frame out; waits for the worker to read, however long that takes.
    fn report(mut self, spool: &Path, ended: &Ended) -> io::Result<()> {
        if let Err(error) = seal::seal(spool, ended) {
            eprintln!("cannot write the result to {}: {error}", spool.display());
            self.push(frame::RESULT, &serde_json::to_vec(ended)?);
        }
        set_nonblocking(&self.pipe, false)?;
        self.send();
        Ok(())
    }
}

fn set_nonblocking(fd: &impl AsFd, yes: bool) -> io::Result<()> {
    let mut flags = rustix::fs::fcntl_getfl(fd)?;
    flags.set(OFlags::NONBLOCK, yes);
    Ok(rustix::fs::fcntl_setfl(fd, flags)?)
}

/// One of the two streams of the action.
struct Tap {
    /// Absent after end-of-file.
    pipe: Option<std::fs::File>,
    capture: Capture,
    tag: u8,
    cut: bool,
}

impl Tap {
    fn new(pipe: Option<impl Into<OwnedFd>>, tag: u8) -> io::Result<Tap> {
        let pipe = pipe.map(|pipe| std::fs::File::from(pipe.into()));
        if let Some(pipe) = &pipe {
            set_nonblocking(pipe, true)?;
        }
        Ok(Tap { pipe, capture: Capture::new(KEEP), tag, cut: false })
    }

    /// Reads what is there, up to a megabyte, and passes the first part of the stream on live.
    fn drain(&mut self, buffer: &mut [u8], outbox: &mut Outbox) -> bool {
        for _ in 0..16 {
            let Some(pipe) = &mut self.pipe else { return false };
            match pipe.read(buffer) {
                Ok(0) => self.pipe = None,
                Ok(n) => self.take(&buffer[..n], outbox),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.pipe = None,
            }
        }
        true
    }

    fn take(&mut self, bytes: &[u8], outbox: &mut Outbox) {
        let live = self.capture.push(bytes);
        if live > 0 {
            outbox.push(self.tag, &bytes[..live]);
        }
        if live < bytes.len() && !std::mem::replace(&mut self.cut, true) {
            outbox.push(self.tag, b"\n[live output ends here; the last part follows with the result]\n");
        }
    }
}

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
struct Watch {
    spool: PathBuf,
    job: Job,
    signals: OwnedFd,
    /// Absent after end-of-file.
    control: Option<std::fs::File>,
    /// What the action has yet to read.
    input: Option<(std::fs::File, usize)>,
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
}

impl Watch {
    fn new(spool: &Path, job: Job, mut child: Child, signals: OwnedFd) -> io::Result<Watch> {
        let started = Instant::now();
        let input = child.stdin.take().map(|pipe| (std::fs::File::from(OwnedFd::from(pipe)), 0));
        if let Some((pipe, _)) = &input {
            set_nonblocking(pipe, true)?;
        }
        let mut outbox = Outbox::open()?;
        outbox.push(frame::STARTED, &child.id().to_le_bytes());
        Ok(Watch {
            spool: spool.to_owned(),
            signals,
            control: Some(rustix_file(io::stdin().as_fd())?),
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
            job,
        })
    }

    fn run(mut self) -> io::Result<()> {
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
        while self.stdout.drain(&mut buffer, &mut self.outbox) {}
        while self.stderr.drain(&mut buffer, &mut self.outbox) {}
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

    fn finish(self) -> io::Result<()> {
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

fn readable(fd: &std::fs::File) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::IN)];
    matches!(poll(&mut fds, Some(&Timespec::default())), Ok(n) if n > 0)
}
