//! Putting a pack in its place: staging, the record of its origin, and the one rename that counts.

use super::{InstallError, Limits, tree, unloaded};
use squall_model::{Value, from_json, to_json};
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

/// The file inside a pack that says where it came from.
pub(super) const RECORD: &str = ".squall-origin.json";

/// How staging directories begin; the loader skips hidden ones.
const STAGING: &str = ".staging-";

/// Where an installed pack came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The repository or directory, without passwords.
    pub url: String,
    /// The version that was asked for.
    pub version: Option<String>,
    /// The commit, if it came from a repository.
    pub commit: Option<String>,
    /// SHA-256 of its names and contents.
    pub sha256: String,
    /// Who installed it.
    pub installed_by: String,
    /// When.
    pub installed_at: String,
}

impl Origin {
    /// The record of an installed pack, if it has one.
    pub fn of(pack_dir: &Path) -> Option<Origin> {
        let text = crate::files::read_regular(&pack_dir.join(RECORD)).ok()?;
        Origin::from_value(&from_json(&text, false).ok()?)
    }

    /// Whether the files of the pack are no longer those that were installed.
    ///
    /// Its configuration and what Python compiles on the way do not count.
    pub fn has_drifted(&self, pack_dir: &Path) -> Result<bool, InstallError> {
        Ok(tree::check(pack_dir, Limits::default())? != self.sha256)
    }

    fn to_value(&self) -> Value {
        Value::from_pairs([
            ("version", Value::Int(1)),
            ("url", self.url.as_str().into()),
            ("asked", self.version.as_deref().into()),
            ("commit", self.commit.as_deref().into()),
            ("sha256", self.sha256.as_str().into()),
            ("installed_by", self.installed_by.as_str().into()),
            ("installed_at", self.installed_at.as_str().into()),
        ])
    }

    fn from_value(value: &Value) -> Option<Origin> {
        let text = |key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        Some(Origin {
            url: text("url")?,
            version: text("asked"),
            commit: text("commit"),
            sha256: text("sha256").unwrap_or_default(),
            installed_by: text("installed_by").unwrap_or_default(),
            installed_at: text("installed_at").unwrap_or_default(),
        })
    }
}

/// A directory beside the packs that is gone when it is dropped.
pub(super) struct Stage {
    path: PathBuf,
}

impl Stage {
    pub(super) fn new(packs_dir: &Path) -> Result<Stage, InstallError> {
        sweep(packs_dir);
        let id = std::process::id();
        for n in 0..10_000 {
            let path = packs_dir.join(format!("{STAGING}{id}-{n}"));
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Stage { path }),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(InstallError::files("make", &path)(error)),
            }
        }
        let error = io::Error::new(io::ErrorKind::AlreadyExists, "too many left-over staging directories");
        Err(InstallError::files("stage in", packs_dir)(error))
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Moves a directory inside the stage.
    pub(super) fn rename(&self, from: &Path, to: &Path) -> Result<(), InstallError> {
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent).map_err(InstallError::files("make", parent))?;
        }
        fs::rename(from, to).map_err(InstallError::files("move", from))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What is left over is hidden and in nobody's way.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes what installers left over that died on the way.
fn sweep(packs_dir: &Path) {
    for entry in fs::read_dir(packs_dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(STAGING)?.split('-').next()?.parse::<i32>().ok());
        let Some(owner) = owner.and_then(rustix::process::Pid::from_raw) else { continue };
        if rustix::process::test_kill_process(owner) == Err(rustix::io::Errno::SRCH) {
            // It is hidden and in nobody's way if it cannot be removed.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Holds a pack's name while its directory changes.
struct Lock {
    _file: File,
}

impl Lock {
    fn take(name: &str, packs_dir: &Path) -> Result<Lock, InstallError> {
        let path = packs_dir.join(format!(".lock-{name}"));
        let file = File::options().create(true).append(true).open(&path).map_err(InstallError::files("lock", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(InstallError::Busy(name.to_owned())),
            Err(TryLockError::Error(error)) => Err(InstallError::files("lock", &path)(error)),
        }
    }
}

/// Puts the staged pack in place; answers whether it took the place of another version.
pub(super) fn put(
    staged: &Path,
    target: &Path,
    name: &str,
    record: &Origin,
    replace_origin: bool,
    stage: &Stage,
) -> Result<bool, InstallError> {
    let packs_dir = target.parent().unwrap_or(target);
    let _lock = Lock::take(name, packs_dir)?;
    let replaced = fs::symlink_metadata(target).is_ok();
    if replaced && !replace_origin {
        let there = Origin::of(target).map_or_else(|| "by hand".to_owned(), |origin| origin.url);
        if there != record.url {
            return Err(InstallError::OtherOrigin { name: name.to_owned(), there });
        }
    }
    let path = staged.join(RECORD);
    // The record must be ours, not a file or link that the pack brought.
    let _ = fs::remove_file(&path);
    fs::write(&path, to_json(&record.to_value())).map_err(InstallError::files("write", &path))?;
    keep_config(staged, target)?;
    if replaced {
        exchange(staged, target, stage)?;
    } else {
        fs::rename(staged, target).map_err(InstallError::files("put in place", target))?;
    }
    // A pack that is installed is wanted.
    unloaded::forget(name, packs_dir)?;
    if let Ok(dir) = File::open(packs_dir) {
        // The rename has happened; making it durable at once is a courtesy that some file systems refuse.
        let _ = dir.sync_all();
    }
    Ok(replaced)
}

/// Packs of 2016 carry their live configuration, which survives a new version.
fn keep_config(staged: &Path, target: &Path) -> Result<(), InstallError> {
    let (old, new) = (target.join("config.yaml"), staged.join("config.yaml"));
    if fs::symlink_metadata(&old).is_ok_and(|about| about.is_file()) {
        let _ = fs::remove_file(&new);
        fs::copy(&old, &new).map_err(InstallError::files("keep", &old))?;
    }
    Ok(())
}

/// Exchanges two names at once; where the file system cannot, the old one steps aside for a moment.
fn exchange(staged: &Path, target: &Path, stage: &Stage) -> Result<(), InstallError> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    if renameat_with(CWD, staged, CWD, target, RenameFlags::EXCHANGE).is_ok() {
        return Ok(());
    }
    let aside = stage.path().join("old");
    fs::rename(target, &aside).map_err(InstallError::files("move", target))?;
    fs::rename(staged, target).or_else(|error| {
        // Nothing is lost: the old version goes back.
        fs::rename(&aside, target).map_err(InstallError::files("put back", target))?;
        Err(InstallError::files("put in place", target)(error))
    })
}

/// Takes a pack away: first its name, then its files.
pub(super) fn remove(name: &str, packs_dir: &Path) -> Result<(), InstallError> {
    let target = packs_dir.join(name);
    let about = fs::symlink_metadata(&target).map_err(|_| InstallError::NotInstalled(name.to_owned()))?;
    let _lock = Lock::take(name, packs_dir)?;
    unloaded::forget(name, packs_dir)?;
    if about.is_symlink() {
        return fs::remove_file(&target).map_err(InstallError::files("remove", &target));
    }
    let stage = Stage::new(packs_dir)?;
    fs::rename(&target, stage.path().join("removed")).map_err(InstallError::files("remove", &target))
}
