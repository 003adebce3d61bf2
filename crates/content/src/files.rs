//! The files of one pack: on disk, or inside the program.
//!
//! Reading from disk never leaves the pack's directory, whatever symbolic links say, and never opens
//! anything but a regular file, so a pipe named `a.yaml` cannot make the loader wait.

use std::fs;
use std::io::Read as _;
use std::path::{Component, Path, PathBuf};

/// Largest file that is read: that of a workflow definition. Metadata is bounded further by the YAML reader.
const MAX_FILE: u64 = 4 << 20;

/// Where the files of a pack are.
#[derive(Clone, Debug)]
pub(crate) enum PackFiles {
    /// A directory.
    Disk {
        /// As it was named, for messages.
        shown: PathBuf,
        /// With symbolic links resolved.
        root: PathBuf,
    },
    /// Paths relative to the pack, and their texts.
    Builtin { pack: &'static str, files: &'static [(&'static str, &'static str)] },
}

impl PackFiles {
    pub(crate) fn on_disk(dir: &Path) -> Result<PackFiles, String> {
        let root = dir.canonicalize().map_err(|e| e.to_string())?;
        Ok(PackFiles::Disk { shown: dir.to_owned(), root })
    }

    /// The name of a file in messages.
    pub(crate) fn shown(&self, path: &str) -> String {
        match self {
            PackFiles::Disk { shown, .. } => shown.join(path).display().to_string(),
            PackFiles::Builtin { pack, .. } => format!("built-in/{pack}/{path}"),
        }
    }

    /// The metadata files directly inside `folder`, sorted.
    pub(crate) fn metadata(&self, folder: &str) -> Vec<String> {
        let mut found = match self {
            PackFiles::Disk { root, .. } => list(&root.join(folder)),
            PackFiles::Builtin { files, .. } => files
                .iter()
                .filter_map(|(path, _)| path.strip_prefix(folder)?.strip_prefix('/'))
                .filter(|name| !name.contains('/'))
                .map(str::to_owned)
                .collect(),
        };
        found.retain(|name| {
            is_metadata(name) && !(folder == "actions" && matches!(name.as_str(), "config.yaml" | "config.yml"))
        });
        found.sort();
        found.into_iter().map(|name| format!("{folder}/{name}")).collect()
    }

    pub(crate) fn exists(&self, path: &str) -> bool {
        match self {
            PackFiles::Disk { root, .. } => root.join(path).exists(),
            PackFiles::Builtin { files, .. } => files.iter().any(|(known, _)| *known == path),
        }
    }

    /// Whether a file that exists lies outside of the pack when symbolic links are followed.
    pub(crate) fn leads_out(&self, path: &str) -> bool {
        match self {
            PackFiles::Disk { root, .. } => root.join(path).canonicalize().is_ok_and(|real| !real.starts_with(root)),
            PackFiles::Builtin { .. } => false,
        }
    }

    /// The text of a file. The error is a fragment that says why not.
    pub(crate) fn read(&self, path: &str) -> Result<String, String> {
        match self {
            PackFiles::Disk { root, .. } => read_inside(root, Path::new(path)),
            PackFiles::Builtin { files, .. } => files
                .iter()
                .find(|(known, _)| *known == path)
                .map(|(_, text)| (*text).to_owned())
                .ok_or_else(|| "there is no such file".to_owned()),
        }
    }
}

fn list(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Only these two endings, in lower case, are metadata.
fn is_metadata(name: &str) -> bool {
    name.ends_with(".yaml") || name.ends_with(".yml")
}

/// Reads a regular file below `root`, which is canonical.
pub(crate) fn read_inside(root: &Path, path: &Path) -> Result<String, String> {
    let full = root.join(path).canonicalize().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => e.to_string(),
    })?;
    if !full.starts_with(root) {
        return Err("it leads out of the pack's directory".to_owned());
    }
    read_regular(&full)
}

/// Reads a regular file of bounded size as UTF-8, without waiting for pipes.
pub(crate) fn read_regular(path: &Path) -> Result<String, String> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, rustix::fs::Mode::empty()).map_err(|e| e.to_string())?;
    let file = fs::File::from(file);
    let about = file.metadata().map_err(|e| e.to_string())?;
    if !about.is_file() {
        return Err("it is no regular file".to_owned());
    }
    if about.len() > MAX_FILE {
        return Err(format!("it has {} bytes, the limit is {MAX_FILE}", about.len()));
    }
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    String::from_utf8(bytes).map_err(|e| format!("it is not UTF-8 from byte {} on", e.utf8_error().valid_up_to()))
}

/// Whether a path that content names is relative and plain: no `..`, no `.`, no double slash.
pub(crate) fn is_plain(path: &str) -> bool {
    !path.is_empty()
        && !path.contains("//")
        && !path.contains('\0')
        && !path.ends_with('/')
        && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
        && !path.split('/').any(|part| part == ".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_paths() {
        for good in ["a", "workflows/x.yaml", "a.b/c"] {
            assert!(is_plain(good), "{good}");
        }
        for bad in ["", "../x", "./x", "a//b", "a/../b", "/etc/passwd", "a/", "a/./b"] {
            assert!(!is_plain(bad), "{bad}");
        }
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("a.yaml");
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        assert_eq!(read_regular(&pipe), Err("it is no regular file".to_owned()));
    }

    #[test]
    fn a_link_out_of_the_pack_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let pack = dir.path().join("pack");
        fs::create_dir(&pack).unwrap();
        fs::write(dir.path().join("secret.yaml"), "x").unwrap();
        std::os::unix::fs::symlink("../secret.yaml", pack.join("a.yaml")).unwrap();
        let files = PackFiles::on_disk(&pack).unwrap();
        assert_eq!(files.read("a.yaml"), Err("it leads out of the pack's directory".to_owned()));
    }
}
