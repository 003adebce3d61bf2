//! A copy of a database that others may be writing at the same moment. Copying its files is not one: the newest changes are
//! in the log.

use super::open::{self, OpenError};
use crate::COPIED;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Writes the database of the data directory `from`, as it is at one moment, into the directory `to`, where none may be yet, and
/// marks it as a copy ([`crate::COPIED`]).
///
/// The file is on disk when this returns. Writers are not held up; the log grows while it is copied.
///
/// # Errors
/// When the one cannot be read or the other not be written.
pub fn copy(from: &Path, to: &Path) -> Result<(), OpenError> {
    let (source, target) = (from.join(open::FILE), to.join(open::FILE));
    let unwritten = |source| OpenError::Directory { path: target.clone(), source };
    let reader = open::connect(&source, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let schema = open::ours(&reader, &source)?;
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target).map_err(unwritten)?;
    let mut writer = open::connect(&target, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let copied = pages(&reader, &mut writer).and_then(|()| if schema > 0 { mark(&writer) } else { Ok(()) });
    copied.map_err(|error| open::database(&target, error))?;
    // What is in its log is carried over when it is closed.
    writer.close().map_err(|(_, error)| open::database(&target, error))?;
    File::open(&target).and_then(|file| file.sync_all()).map_err(unwritten)
}

/// All pages in one step, so that no writer makes it begin again.
fn pages(reader: &Connection, writer: &mut Connection) -> rusqlite::Result<()> {
    let backup = Backup::new(reader, writer)?;
    loop {
        match backup.step(-1)? {
            StepResult::Done => return Ok(()),
            _ => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
}

fn mark(copy: &Connection) -> rusqlite::Result<()> {
    copy.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?1, 'yes')", [COPIED])?;
    Ok(())
}
