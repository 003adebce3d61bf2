//! Scripts that people agreed to: the very bytes are run, whatever becomes of the file in the pack meanwhile.
//!
//! The file is read once and compared, and what was read is run from the spool of the attempt. There it stands in a mirror of its
//! pack, in which everything but the script and the folders on the way to it is a link to what lies in the pack: so
//! `$(dirname "$0")` has the same neighbours as in the pack, and `..` leads to the same places. The neighbours are not compared.

use sha2::{Digest, Sha256};
use squall_model::{Outcome, Status, Value, WorkItem};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::{fs, io};

/// Makes the copy that `item` asks for, if it does, in the folder `spool`, and points the item to it.
///
/// # Errors
/// The end of the attempt, when the bytes are others or there can be no copy.
pub(crate) fn copy(item: &mut WorkItem, spool: &Path) -> Result<(), Outcome> {
    let Some(sealed) = &item.sealed else { return Ok(()) };
    let inside = Path::new("actions").join(&item.entry_point);
    let script = Path::new(&item.pack_dir).join(&inside);
    let unreadable = |error: io::Error| Outcome::failed(format!("cannot read {}: {error}", script.display()));
    let bytes = fs::read(&script).map_err(unreadable)?;
    let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found != *sealed {
        let result = Value::from_pairs([("error", "void"), ("cause", "the action changed since it was confirmed")]);
        return Err(Outcome { status: Status::Failed, result });
    }
    // What lies outside of the pack has the neighbours of its own folder.
    let is_inside = inside.components().all(|part| matches!(part, Component::Normal(_)));
    let (pack, inside) = match (script.parent(), script.file_name()) {
        (Some(folder), Some(name)) if !is_inside => (folder, PathBuf::from(name)),
        _ => (Path::new(&item.pack_dir), inside),
    };
    let private = mirror(pack, &inside, &spool.join("entry"), &bytes);
    let private =
        private.map_err(|error| Outcome::failed(format!("cannot keep a copy of {}: {error}", script.display())))?;
    item.entry_point = private.to_string_lossy().into_owned();
    Ok(())
}

/// Writes `bytes` as the file `inside` of a mirror of `pack`, below `at`; answers where.
fn mirror(pack: &Path, inside: &Path, at: &Path, bytes: &[u8]) -> io::Result<PathBuf> {
    let (mut from, mut to) = (pack.to_owned(), at.join(pack.file_name().unwrap_or(OsStr::new("pack"))));
    fs::create_dir_all(&to)?;
    let mut names = inside.iter().peekable();
    while let Some(name) = names.next() {
        link_others(&from, &to, name)?;
        (from, to) = (from.join(name), to.join(name));
        match names.peek() {
            Some(_) => fs::create_dir(&to)?,
            None => fs::write(&to, bytes)?,
        }
    }
    Ok(to)
}

/// Links everything in a folder but what is mirrored itself.
fn link_others(from: &Path, to: &Path, own: &OsStr) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        if name != own {
            std::os::unix::fs::symlink(from.join(&name), to.join(&name))?;
        }
    }
    Ok(())
}
