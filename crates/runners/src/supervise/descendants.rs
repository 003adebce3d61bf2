//! Everything that lives below this process, and how it is stopped.
//!
//! A supervisor is the subreaper of what it started, so every escapee hangs below it in the process tree. The list is a
//! snapshot and may miss a process that forks right now; that is why it is read again and again until the kernel says
//! that no child is left ([`reap`] answering [`Reaped::Nobody`]), which alone is proof.

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use std::collections::BTreeSet;
use std::fs;

/// The pids of everything below `root`, itself not included.
pub(crate) fn below(root: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root];
    let mut by_parent: Option<Vec<(u32, u32)>> = None;
    while let Some(pid) = pending.pop() {
        let children = listed_children(pid).unwrap_or_else(|| {
            let all = by_parent.get_or_insert_with(parents);
            all.iter().filter(|(_, parent)| *parent == pid).map(|(child, _)| *child).collect()
        });
        pending.extend(children.into_iter().filter(|child| found.insert(*child)));
    }
    found
}

/// The children by the kernel's own list; `None` when the kernel was built without it.
fn listed_children(pid: u32) -> Option<Vec<u32>> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return Some(Vec::new()) };
    let mut children = Vec::new();
    for task in tasks.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(text) => children.extend(text.split_ascii_whitespace().filter_map(|pid| pid.parse::<u32>().ok())),
            // The task ended meanwhile, or there is no such file at all.
            Err(_) if task.path().exists() => return None,
            Err(_) => {}
        }
    }
    Some(children)
}

/// Every process with its parent, the slow way.
fn parents() -> Vec<(u32, u32)> {
    pids().filter_map(|pid| Some((pid, stat(pid)?.parent))).collect()
}

/// Every process on the machine that this one may see.
pub(crate) fn pids() -> impl Iterator<Item = u32> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The part of `/proc/PID/stat` that matters here.
struct Stat {
    name: String,
    state: String,
    parent: u32,
}

fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may contain any of them: the last one counts.
    let (front, back) = text.rsplit_once(')')?;
    let mut fields = back.split_ascii_whitespace();
    let state = fields.next()?.to_owned();
    let parent = fields.next()?.parse().ok()?;
    Some(Stat { name: front.split_once('(')?.1.to_owned(), state, parent })
}

/// `pid name state wait-channel uid`, for the alarm about somebody who cannot be killed.
pub(crate) fn describe(pid: u32) -> String {
    let Some(stat) = stat(pid) else { return format!("{pid} (gone)") };
    let channel = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")?.split_ascii_whitespace().next());
    let channel = if channel.is_empty() { "-" } else { &channel };
    format!("pid {pid} `{}`, user {}, state {}, waiting in {channel}", stat.name, uid.unwrap_or("?"), stat.state)
}

/// Sends `signal` to each; gives back those that this user may not signal.
pub(crate) fn signal(pids: &BTreeSet<u32>, signal: Signal) -> Vec<u32> {
    let refused = |pid: &u32| match to_pid(*pid).map(|pid| rustix::process::kill_process(pid, signal)) {
        Some(Err(rustix::io::Errno::PERM)) => Some(*pid),
        _ => None,
    };
    pids.iter().filter_map(refused).collect()
}

/// Sends `signal` to the whole process group of `leader`; gone is as good as done.
pub(crate) fn signal_group(leader: u32, signal: Signal) {
    if let Some(leader) = to_pid(leader) {
        let _ = rustix::process::kill_process_group(leader, signal);
    }
}

pub(crate) fn to_pid(pid: u32) -> Option<Pid> {
    // Process 1 and "everybody" (0, negative numbers) are never meant.
    i32::try_from(pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
}

/// One answer of the kernel about children.
pub(crate) enum Reaped {
    /// This one ended, with its exit code or minus its signal.
    Child(u32, i32),
    /// There are children, and none has ended.
    Alive,
    /// There is no child: nothing that was started is left.
    Nobody,
}

/// Collects one ended child, without waiting.
pub(crate) fn reap() -> Reaped {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => return Reaped::Child(pid.as_raw_nonzero().get().unsigned_abs(), code(status)),
            Ok(None) => return Reaped::Alive,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return Reaped::Nobody,
        }
    }
}

fn code(status: WaitStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => -signal,
        (None, None) => -1,
    }
}
