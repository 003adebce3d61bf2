//! A copy of a database that others may be writing at the same moment. Copying its files is not one: the newest changes are
//! in the log.

use super::open::{self, OpenError};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the database of the data directory `from`, as it is at one moment, into the directory `to`, where none may be yet.
///
/// The file is on disk when this returns. Writers are not held up; the log grows while it is copied.
///
/// # Errors
/// When the one cannot be read or the other not be written.
pub fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let (source, target) = (from.join(open::FILE), to.join(open::FILE));
    let unwritten = |source| OpenError::Directory { path: target.clone(), source };
    let reader = open::connect(&source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    open::ours(&reader, &source)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target).map_err(unwritten)?;
    pages(&reader, &target).map_err(|error| open::database(&target, error))?;
    File::open(&target).and_then(|file| file.sync_all()).map_err(unwritten)
}

/// All pages in one step, so that no writer makes it begin again.
fn pages(reader: &Connection, target: &Path) -> rusqlite::Result<()> {
    let mut writer = Connection::open(target)?;
    let backup = Backup::new(reader, &mut writer)?;
    loop {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
}
