//! What the worker tells a supervisor, and what the supervisor leaves behind.
//!
//! A [`Job`] travels down the supervisor's control pipe and never touches the disk, because it may carry a
//! password or a token. An [`Ended`] is the spool's `result.json`: everything needed to tell the true outcome
//! later, by a worker that never saw the job.
//!
//! Both are written and read by the same program on the same machine; `Ended` alone may be read by a newer
//! one, so it has a version and unknown fields are ignored.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Written into [`Ended::version`].
pub(crate) const VERSION: u32 = 1;

/// The attempt's spool id, set for every process of the action: how processes are found whose supervisor was killed.
pub(crate) const TAG: &str = "SQUALL_ATTEMPT";

/// A job's largest encoded size: Linux takes 2 MiB of arguments, and an input may come on top.
pub(crate) const MAX_JOB: usize = 64 << 20;

/// Bytes on the control pipe after the job. End-of-file means that the server is gone.
pub(crate) mod control {
    /// Somebody canceled the attempt.
    pub(crate) const CANCEL: u8 = b'c';
    /// The server stops and did not want to wait any longer.
    pub(crate) const DRAIN: u8 = b'd';
}

/// Tags of the frames from supervisor to worker: one byte, four bytes of length (little endian), the payload.
pub(crate) mod frame {
    /// A frame is rarely longer: what a pipe holds.
    pub(crate) const USUAL: usize = 64 << 10;
    /// The action runs; payload: its process id as four bytes, little endian.
    pub(crate) const STARTED: u8 = b'S';
    /// Bytes of standard output.
    pub(crate) const STDOUT: u8 = b'o';
    /// Bytes of standard error.
    pub(crate) const STDERR: u8 = b'e';
    /// Something an operator should know; a text.
    pub(crate) const ALARM: u8 = b'A';
    /// An [`super::Ended`] as JSON, only when it could not be written to the spool.
    pub(crate) const RESULT: u8 = b'R';
}

/// One process to start, and the bounds to watch it by.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Job {
    /// Absolute path, or a name looked up in the child's `PATH`.
    pub program: String,
    /// Its arguments, without the program's own name. Readable by everybody on the machine: no secrets.
    pub args: Vec<String>,
    /// Added to the supervisor's own environment, later entries winning.
    pub env: Vec<(String, String)>,
    /// Working folder; the supervisor's when absent.
    pub cwd: Option<String>,
    /// Written to standard input, which is then closed; `/dev/null` when absent.
    pub stdin: Option<String>,
    /// When to give up, from the start of the process.
    pub timeout: Duration,
    /// From SIGTERM to SIGKILL.
    pub grace: Duration,
    /// The delegated control group in which the attempt gets one of its own.
    pub cgroup: Option<std::path::PathBuf>,
    /// Background processes may outlive the action (`nohup` style).
    pub detach: bool,
    /// For the one who turns the end into an outcome.
    pub finish: Finish,
}

/// Without the values that may be secret.
impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.env.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Job")
            .field("program", &self.program)
            .field("env", &names)
            .field("cwd", &self.cwd)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// What turning an end into an outcome needs to know of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finish {
    /// Name of the runner.
    pub runner: String,
    /// The time-out as it was asked for, in whole seconds, for the text.
    pub seconds: u64,
    /// The user whose sudo was used, when it was.
    pub sudo_user: Option<String>,
}

/// Why a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Why {
    /// By itself (or by a stranger's signal).
    Exited,
    /// It ran into its time-out.
    TimedOut,
    /// Somebody canceled it.
    Canceled,
    /// The server was gone, or stopped: nobody was left to tell.
    Orphaned,
    /// It never ran; the text names file, reason and hint.
    NotSpawned(String),
}

/// One stream, within its bounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Captured {
    /// Bytes written by the action.
    pub total: u64,
    /// The text when it is short; otherwise it lies in a file of the spool named after the stream.
    pub text: Option<String>,
}

/// The end of an attempt, as its supervisor saw it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ended {
    /// The writer's version of this format.
    pub version: u32,
    /// Why.
    pub why: Why,
    /// The exit code, or minus the number of the signal; absent when it never ran.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: Captured,
    /// Standard error.
    pub stderr: Captured,
    /// Wall-clock end, microseconds since 1970.
    pub ended: i64,
    /// How long it ran, by the monotonic clock, in microseconds.
    pub took: u64,
    /// Background processes that were still there after the main one had exited, and had to be killed.
    pub stragglers: u32,
    /// What the job wanted to have remembered.
    pub finish: Finish,
}

/// Tells one boot of the machine from the next; empty where the kernel has no such file.
pub(crate) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// Names in a spool.
pub(crate) mod file {
    /// Boot id and the supervisor's process id; written before the action is started.
    pub(crate) const SPAWNED: &str = "spawned";
    /// Held (`flock`) as long as a supervisor lives. Its first line, written by the worker before the claim, is the boot
    /// id; the supervisor's complaints follow.
    pub(crate) const LOCK: &str = "supervisor.log";
    /// [`super::Ended`].
    pub(crate) const RESULT: &str = "result.json";
    /// A long standard output.
    pub(crate) const STDOUT: &str = "stdout";
    /// A long standard error.
    pub(crate) const STDERR: &str = "stderr";
}
