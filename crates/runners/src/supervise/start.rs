//! From the job on the control pipe to a running action, or to the reason why there is none.

use super::outbox::own;
use crate::cgroup::Group;
use crate::job::{Captured, Ended, Job, MAX_JOB, TAG, VERSION, Why};
use crate::sys;
use rustix::process::Signal;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Reads the job; `None` when the server went away before it was complete, so that nothing must be started.
pub(super) fn read_job() -> io::Result<Option<Job>> {
    let mut stdin = own(io::stdin().as_fd())?;
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

fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// Starts the action. A machine that is out of processes for a moment gets three more chances.
pub(super) fn start(spool: &Path, job: &Job, group: Option<&Group>) -> io::Result<Child> {
    let mut command = Command::new(&job.program);
    command.args(&job.args).env(TAG, spool.file_name().unwrap_or_default());
    command.envs(job.env.iter().map(|(name, value)| (name, value)));
    if let Some(cwd) = &job.cwd {
        command.current_dir(cwd);
    }
    command.stdin(if job.stdin.is_some() { Stdio::piped() } else { Stdio::null() });
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let group = group.map(Group::members);
    sys::before_exec(&mut command, move || {
        rustix::process::setsid()?;
        // If even the supervisor is killed, its main process goes with it.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // An action is a better victim than the server when memory runs out; not every container allows saying so.
        let _ = std::fs::write("/proc/self/oom_score_adj", "500");
        if let Some(members) = &group {
            let _ = std::fs::write(members, "0");
        }
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
pub(super) fn why_not(job: &Job, error: &io::Error) -> String {
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

/// The end of an action that never began.
pub(super) fn not_spawned(job: &Job, text: String) -> Ended {
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

pub(super) fn wall_clock() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::Finish;

    #[test]
    fn c10_every_reason_names_file_and_way_out() {
        let job = |program: &str, cwd: Option<&str>| Job {
            program: program.into(),
            args: Vec::new(),
            env: Vec::new(),
            cwd: cwd.map(str::to_owned),
            stdin: None,
            timeout: Duration::ZERO,
            grace: Duration::ZERO,
            cgroup: None,
            detach: false,
            finish: Finish { runner: String::new(), seconds: 0, sudo_user: None },
        };
        for (program, cwd, errno, expected) in [
            (
                "/no/such",
                None,
                libc::ENOENT,
                "cannot start /no/such: there is no such file; check the path, or install the program",
            ),
            (
                "/no/such",
                Some("/"),
                libc::ENOENT,
                "cannot start /no/such: there is no such file; check the path, or install the program",
            ),
            (
                "/no/such",
                Some("/nowhere"),
                libc::ENOENT,
                "cannot run in the folder /nowhere: there is no such folder; check `cwd`",
            ),
            (
                "/bin/sh",
                None,
                libc::ENOENT,
                "cannot start /bin/sh: the interpreter named in its first line does not exist; check the line that starts with `#!`",
            ),
            (
                "x",
                None,
                libc::EACCES,
                "cannot start x: permission denied; check that the file is executable and the folder `cwd` may be entered",
            ),
            (
                "x",
                None,
                libc::ENOEXEC,
                "cannot start x: the system cannot execute this format; check the architecture, or add a first line with `#!`",
            ),
            (
                "x",
                None,
                libc::E2BIG,
                "cannot start x: its arguments and environment are too large (128 KiB each, 2 MiB in all); pass large values in a file",
            ),
            (
                "x",
                None,
                libc::ETXTBSY,
                "cannot start x: the file is being written at this moment; run it again when that is done",
            ),
            (
                "x",
                None,
                libc::EAGAIN,
                "cannot start x: the limit of processes is reached, after 3 more attempts; end some, or raise the limit",
            ),
            ("x", None, libc::ENOMEM, "cannot start x: there is not enough memory; end something else first"),
            ("x", None, libc::EIO, "cannot start x: Input/output error (os error 5)"),
        ] {
            assert_eq!(why_not(&job(program, cwd), &io::Error::from_raw_os_error(errno)), expected);
        }
    }
}
