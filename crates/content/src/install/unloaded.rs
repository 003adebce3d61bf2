//! Packs that were taken out of service: their files stay where they are, and the loader leaves them out.
//!
//! That a pack is unloaded is an empty file beside it, so it survives a restart, as the records that StackStorm has removed do. A
//! new version of the pack, its removal, and loading it again take the mark away.

use super::{InstallError, RESERVED, source};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How marks begin; the pack's directory follows.
const MARK: &str = ".unloaded-";

fn mark(name: &str, packs_dir: &Path) -> PathBuf {
    packs_dir.join(format!("{MARK}{name}"))
}

/// Takes an installed pack out of service; in force from the next load on.
///
/// # Errors
/// When it is part of squall, not installed, or the mark cannot be written.
pub fn unload(name: &str, packs_dir: &Path) -> Result<(), InstallError> {
    if RESERVED.contains(&name) || name == "default" {
        return Err(InstallError::Unregisterable(name.to_owned()));
    }
    if !source::is_pack_dir_name(name) || !packs_dir.join(name).is_dir() {
        return Err(InstallError::NotInstalled(name.to_owned()));
    }
    let mark = mark(name, packs_dir);
    fs::write(&mark, "").map_err(InstallError::files("write", &mark))
}

/// Puts packs into service again, all of them when none is named; in force from the next load on.
///
/// # Errors
/// When a mark cannot be removed.
pub fn load_again<N: AsRef<str>>(names: &[N], packs_dir: &Path) -> Result<(), InstallError> {
    let marked = fs::read_dir(packs_dir).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().to_str()?.strip_prefix(MARK)?.to_owned();
        Some(name)
    });
    let wanted = |name: &String| names.is_empty() || names.iter().any(|wanted| wanted.as_ref() == name);
    marked.filter(wanted).try_for_each(|name| forget(&name, packs_dir))
}

/// Takes the mark of a pack away, if it has one.
pub(super) fn forget(name: &str, packs_dir: &Path) -> Result<(), InstallError> {
    let mark = mark(name, packs_dir);
    match fs::remove_file(&mark) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InstallError::files("remove", &mark)(error)),
        _ => Ok(()),
    }
}

/// Whether the pack of this directory is out of service.
pub(crate) fn is_unloaded(dir: &Path) -> bool {
    let name = dir.file_name().and_then(|name| name.to_str());
    name.zip(dir.parent()).is_some_and(|(name, packs_dir)| mark(name, packs_dir).exists())
}
