//! What a supervisor writes to its spool: the marker before the action starts, the result after it ended.
//!
//! A result is either whole or absent, after a power cut too: temporary name, sync, rename, sync of the folder.

use crate::job::{Captured, Ended, boot_id, file};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A stream up to this size lies in the result itself, which spares two syncs.
const INLINE: usize = 64 << 10;

/// Says that the action is about to start. From here on "never started" is no longer certain.
pub(crate) fn mark_spawned(spool: &Path) -> io::Result<()> {
    fs::write(spool.join(file::SPAWNED), format!("{}\n{}\n", boot_id(), std::process::id()))
}

/// Puts a stream away: short ones into the result, long ones into a file beside it.
pub(crate) fn keep_stream(spool: &Path, name: &str, bytes: Vec<u8>, total: u64) -> io::Result<Captured> {
    if bytes.len() <= INLINE {
        return Ok(Captured { total, text: Some(text(bytes)) });
    }
    let mut file = File::create(spool.join(name))?;
    file.write_all(&bytes)?;
    file.sync_all()?;
    Ok(Captured { total, text: None })
}

/// Bytes as text: what is not UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

/// Writes the result, durably.
pub(crate) fn seal(spool: &Path, ended: &Ended) -> io::Result<()> {
    let temporary = spool.join("result.json.part");
    let mut file = File::create(&temporary)?;
    file.write_all(&serde_json::to_vec(ended)?)?;
    file.sync_all()?;
    fs::rename(&temporary, spool.join(file::RESULT))?;
    File::open(spool)?.sync_all()
}
