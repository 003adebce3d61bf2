//! The folder of one attempt, and what can be read from it after a crash.
//!
//! A spool lies on the volume of the database, so that both survive or neither. It is named by a random id which the
//! claim's row repeats: another id means another machine or restored data, and then nothing is certain. The lock is
//! taken before the supervisor is started and handed on to it; whoever gets it later knows that the marker is final.
//!
//! Start reading at [`verdict`].

use crate::job::{Captured, Ended, TAG, boot_id, file};
use crate::supervise::descendants;
use rustix::process::Signal;
use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A spool's folder, made or found.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    /// 32 hexadecimal digits.
    pub(crate) id: String,
    /// Its folder.
    pub(crate) path: PathBuf,
}

impl Spool {
    /// Makes a new one below `root`, with the boot id in it and its lock held by the file given back.
    pub(crate) fn create(root: &Path) -> io::Result<(Spool, File)> {
        let mut random = [0; 16];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let path = root.join(&id);
        let mut builder = DirBuilder::new();
        builder.mode(0o700);
        if let Err(error) = builder.create(&path) {
            if error.kind() != io::ErrorKind::NotFound {
                return Err(error);
            }
            builder.recursive(true).create(&path)?;
        }
        let lock = locked(&path).inspect_err(|_| {
            // There may be no space for more than the folder itself.
            let _ = fs::remove_dir_all(&path);
        })?;
        Ok((Spool { id, path }, lock))
    }

    /// The one with this id, if there is such a folder. What is no id names no folder.
    pub(crate) fn find(root: &Path, id: &str) -> Option<Spool> {
        let path = root.join(id);
        (is_id(id) && path.is_dir()).then(|| Spool { id: id.to_owned(), path })
    }

    /// Takes its lock if nobody holds it.
    pub(crate) fn try_lock(&self) -> io::Result<Option<File>> {
        let lock = File::options().append(true).create(true).open(self.path.join(file::LOCK))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// The result, if the supervisor got that far.
    pub(crate) fn ended(&self) -> io::Result<Option<Ended>> {
        match fs::read(self.path.join(file::RESULT)) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A stream's text, wherever it lies.
    pub(crate) fn text(&self, captured: &Captured, name: &str) -> io::Result<String> {
        match &captured.text {
            Some(text) => Ok(text.clone()),
            None => Ok(String::from_utf8_lossy(&fs::read(self.path.join(name))?).into_owned()),
        }
    }

    /// Boot id at the time of the claim, and what the supervisor complained about, at most 2 KiB of it.
    fn log(&self) -> (String, String) {
        let mut text = Vec::new();
        let _ = File::open(self.path.join(file::LOCK)).and_then(|log| log.take(2048).read_to_end(&mut text));
        let text = String::from_utf8_lossy(&text);
        let (boot, complaints) = text.split_once('\n').unwrap_or_default();
        (boot.to_owned(), complaints.trim().to_owned())
    }

    /// What the supervisor complained about, at most 2 KiB of it.
    pub(crate) fn complaints(&self) -> String {
        self.log().1
    }

    /// Boot id and supervisor of the marker.
    fn marker(&self) -> Option<(String, Option<u32>)> {
        let text = fs::read_to_string(self.path.join(file::SPAWNED)).ok()?;
        let mut lines = text.lines();
        Some((lines.next().unwrap_or_default().to_owned(), lines.next().and_then(|pid| pid.parse().ok())))
    }

    /// Whether the action was about to start, at least.
    pub(crate) fn is_marked(&self) -> bool {
        self.marker().is_some()
    }

    /// What is certain about an attempt without a result; only to be asked with the lock in hand.
    pub(crate) fn verdict(&self) -> Verdict {
        verdict(self.is_marked(), &self.log().0, &boot_id())
    }

    /// The supervisor, if it still lives (its pid may belong to somebody else by now).
    pub(crate) fn supervisor(&self) -> Option<u32> {
        let pid = self.marker()?.1?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        contains(&line, self.id.as_bytes()).then_some(pid)
    }

    /// Kills every process of this attempt that its supervisor can no longer see, found by the tag in their
    /// environment. Answers whether none is left. What sudo gave to another user is out of reach here; a control group
    /// gets that too.
    pub(crate) fn hunt(&self, patience: Duration) -> bool {
        let tag = format!("{TAG}={}", self.id);
        let started = Instant::now();
        loop {
            let found: BTreeSet<u32> = descendants::pids().filter(|pid| is_tagged(*pid, &tag)).collect();
            if found.is_empty() {
                return true;
            }
            if started.elapsed() > patience {
                let names: Vec<String> = found.into_iter().map(descendants::describe).collect();
                tracing::error!(spool = self.id, left = names.join("; "), "processes of an attempt cannot be killed");
                return false;
            }
            descendants::signal(&found, Signal::KILL);
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes it; gone is as good.
    pub(crate) fn remove(&self) {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(path = %self.path.display(), %error, "cannot remove a spool");
            }
            _ => {}
        }
    }
}

fn is_id(id: &str) -> bool {
    id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The lock of a new spool, with the boot that it belongs to.
fn locked(path: &Path) -> io::Result<File> {
    let mut lock = File::create(path.join(file::LOCK))?;
    lock.try_lock()?;
    writeln!(lock, "{}", boot_id())?;
    Ok(lock)
}

/// Removes the spools below `root` that no claim names and no supervisor holds. Answers how many.
pub(crate) fn sweep(root: &Path, is_known: &dyn Fn(&str) -> bool) -> usize {
    let names =
        fs::read_dir(root).into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    let unknown = names.filter(|name| !is_known(name)).filter_map(|name| Spool::find(root, &name));
    unknown.filter(|spool| matches!(spool.try_lock(), Ok(Some(_)))).map(|spool| spool.remove()).count()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn is_tagged(pid: u32, tag: &str) -> bool {
    fs::read(format!("/proc/{pid}/environ"))
        .is_ok_and(|environ| environ.split(|byte| *byte == 0).any(|entry| entry == tag.as_bytes()))
}

/// What is certain about an attempt that left no result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Certainly never started.
    NeverStarted,
    /// It started, or nobody can tell.
    Unknown,
}

/// An absent marker proves something only within the boot in which the claim was made: a reboot may have lost it with
/// the page cache. A kernel without boot ids proves nothing.
fn verdict(is_marked: bool, claimed: &str, now: &str) -> Verdict {
    if !is_marked && claimed == now && !now.is_empty() { Verdict::NeverStarted } else { Verdict::Unknown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_only_an_absent_marker_within_one_boot_is_proof() {
        for (marker, claim, expected) in [
            (false, "boot", Verdict::NeverStarted),
            (false, "other", Verdict::Unknown),
            (false, "", Verdict::Unknown),
            (true, "boot", Verdict::Unknown),
        ] {
            assert_eq!(verdict(marker, claim, "boot"), expected, "{marker:?} {claim:?}");
        }
        assert_eq!(verdict(false, "", ""), Verdict::Unknown);
    }

    #[test]
    fn c1_only_an_id_names_a_spool() {
        let root = tempfile::tempdir().unwrap();
        let (spool, _lock) = Spool::create(root.path()).unwrap();
        assert!(Spool::find(root.path(), &spool.id).is_some());
        for wrong in ["", ".", "..", "../..", "/", "0123"] {
            assert!(Spool::find(root.path(), wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn sweeping_spares_the_known_and_the_living() {
        let root = tempfile::tempdir().unwrap();
        let (known, lock) = Spool::create(root.path()).unwrap();
        drop(lock);
        let (living, _lock) = Spool::create(root.path()).unwrap();
        let (unknown, lock) = Spool::create(root.path()).unwrap();
        drop(lock);
        assert_eq!(sweep(root.path(), &|id| id == known.id), 1);
        assert!(known.path.exists() && living.path.exists() && !unknown.path.exists());
    }
}
