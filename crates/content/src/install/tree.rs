//! The files of a pack before anything is done with them: how many, how large, and of which kinds.
//!
//! Symbolic links stay inside or the pack is refused; nothing but files, directories and links may be there.

use super::place::RECORD;
use super::{InstallError, Limits};
use sha2::Digest as _;
use std::collections::HashSet;
use std::fs::{self, Metadata};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

/// The set-user-id, set-group-id and sticky bits.
const SPECIAL_BITS: u32 = 0o7000;

/// Checks the tree below `root` and gives the SHA-256 of its names and contents; `.git` and what
/// changes in the life of a pack are left out.
pub(super) fn check(root: &Path, limits: Limits) -> Result<String, InstallError> {
    let refused = |path: &Path, why: &str| InstallError::Tree(format!("`{}` {why}", path.display()));
    let mut folded = HashSet::new();
    let mut hash = sha2::Sha256::new();
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        let mut names: Vec<_> = fs::read_dir(root.join(&dir))
            .and_then(|entries| entries.map(|entry| entry.map(|e| e.file_name())).collect::<Result<_, _>>())
            .map_err(InstallError::files("read", &root.join(&dir)))?;
        names.sort();
        for name in names {
            let path = dir.join(&name);
            let full = root.join(&path);
            let about = fs::symlink_metadata(&full).map_err(InstallError::files("look at", &full))?;
            entries += 1;
            bytes = bytes.saturating_add(if about.is_file() { about.len() } else { 0 });
            if entries > limits.entries || bytes > limits.bytes {
                return Err(InstallError::Tree(format!(
                    "more than {} files or {} bytes",
                    limits.entries, limits.bytes
                )));
            }
            let Some(text) = path.to_str() else { return Err(refused(&path, "has a name that is not UTF-8")) };
            if !folded.insert(text.to_lowercase()) {
                return Err(refused(&path, "differs from another name only by upper and lower case"));
            }
            let is_git = path.starts_with(".git");
            if about.is_dir() {
                pending.push(path);
                continue;
            }
            if is_git {
                continue;
            }
            let content = match about.is_symlink() {
                true => link(root, &path)?.into_bytes(),
                false => file(&full, &path, &about)?,
            };
            if is_uncounted(&path) {
                continue;
            }
            hash.update((text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
            hash.update((content.len() as u64).to_be_bytes());
            hash.update(&content);
        }
    }
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What changes in the life of a pack: our record, its configuration of 2016, what Python compiles.
fn is_uncounted(path: &Path) -> bool {
    path == Path::new(RECORD)
        || path == Path::new("config.yaml")
        || path.components().any(|part| part.as_os_str() == "__pycache__")
}

/// A link's target, if it stays inside.
fn link(root: &Path, path: &Path) -> Result<String, InstallError> {
    let full = root.join(path);
    let target = fs::read_link(&full).map_err(InstallError::files("look at", &full))?;
    let outside = || InstallError::Tree(format!("the link `{}` leads out of the pack", path.display()));
    if target.is_absolute() {
        return Err(outside());
    }
    let mut depth = path.components().count() as i64 - 1;
    let mut went_down = false;
    for part in target.components() {
        match part {
            // After another link `..` leads who knows where, so it may only stand in front.
            Component::ParentDir if went_down => return Err(outside()),
            Component::ParentDir => depth -= 1,
            _ => went_down = true,
        }
        if depth < 0 {
            return Err(outside());
        }
    }
    // Links to links: where it really leads counts, if it leads anywhere.
    if let (Ok(real), Ok(root)) = (full.canonicalize(), root.canonicalize())
        && !real.starts_with(root)
    {
        return Err(outside());
    }
    Ok(target.to_string_lossy().into_owned())
}

/// A file's content.
fn file(full: &Path, path: &Path, about: &Metadata) -> Result<Vec<u8>, InstallError> {
    if !about.is_file() {
        return Err(InstallError::Tree(format!("`{}` is neither a file nor a directory nor a link", path.display())));
    }
    if about.nlink() > 1 {
        return Err(InstallError::Tree(format!("`{}` is a hard link", path.display())));
    }
    fs::read(full).map_err(InstallError::files("read", full))
}

/// Takes the special bits off every file and directory of a tree that was checked.
pub(super) fn drop_special_bits(root: &Path) -> Result<(), InstallError> {
    let mut pending = vec![root.to_owned()];
    while let Some(path) = pending.pop() {
        let about = fs::symlink_metadata(&path).map_err(InstallError::files("look at", &path))?;
        let mode = about.permissions().mode();
        if !about.is_symlink() && mode & SPECIAL_BITS != 0 {
            let plain = fs::Permissions::from_mode(mode & !SPECIAL_BITS);
            fs::set_permissions(&path, plain).map_err(InstallError::files("change", &path))?;
        }
        if about.is_dir() {
            let entries = fs::read_dir(&path).map_err(InstallError::files("read", &path))?;
            pending.extend(entries.flatten().map(|entry| entry.path()));
        }
    }
    Ok(())
}

/// Copies a plain directory. Links are copied as links; what is neither file, directory nor link is refused.
pub(super) fn copy(from: &Path, to: &Path, limits: Limits) -> Result<(), InstallError> {
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    let mut pending = vec![PathBuf::new()];
    while let Some(dir) = pending.pop() {
        let target = to.join(&dir);
        fs::create_dir(&target).map_err(InstallError::files("make", &target))?;
        let source = from.join(&dir);
        for entry in fs::read_dir(&source).map_err(InstallError::files("read", &source))? {
            let entry = entry.map_err(InstallError::files("read", &source))?;
            let path = dir.join(entry.file_name());
            let (source, target) = (from.join(&path), to.join(&path));
            let about = fs::symlink_metadata(&source).map_err(InstallError::files("look at", &source))?;
            entries += 1;
            bytes = bytes.saturating_add(about.len());
            if entries > limits.entries || bytes > limits.bytes {
                return Err(InstallError::Tree(format!(
                    "more than {} files or {} bytes",
                    limits.entries, limits.bytes
                )));
            }
            if about.is_dir() {
                pending.push(path);
            } else if about.is_symlink() {
                let link = fs::read_link(&source).map_err(InstallError::files("look at", &source))?;
                std::os::unix::fs::symlink(link, &target).map_err(InstallError::files("make", &target))?;
            } else if about.is_file() {
                fs::copy(&source, &target).map_err(InstallError::files("copy", &source))?;
            } else {
                return Err(InstallError::Tree(format!(
                    "`{}` is neither a file nor a directory nor a link",
                    path.display()
                )));
            }
        }
    }
    Ok(())
}

/// Whether the files below `root` are larger than `limit`; stops counting when they are.
pub(super) fn is_larger(root: &Path, limit: u64) -> bool {
    let mut bytes = 0_u64;
    let mut pending = vec![root.to_owned()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else { continue };
            if about.is_dir() {
                pending.push(entry.path());
            } else {
                bytes = bytes.saturating_add(about.len());
            }
            if bytes > limit {
                return true;
            }
        }
    }
    false
}
