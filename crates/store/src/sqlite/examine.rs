//! Looking at a database without changing it, also while a server has it open: what `squall doctor` tells.

use super::open::{self, OpenError};
use super::{audit, read};
use rusqlite::{Connection, OpenFlags};
use squall_model::ExecutionId;
use std::path::Path;

/// Damage that is listed at most, of each kind.
const LISTED: usize = 20;

/// What was found in a data directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Examined {
    /// Version of SQLite.
    pub sqlite: &'static str,
    /// The database's schema.
    pub schema: i64,
    /// The newest schema that this program knows.
    pub known: i64,
    /// Size of the database and of its log.
    pub bytes: (u64, u64),
    /// Executions.
    pub executions: u64,
    /// What SQLite found wrong with pages and indexes.
    pub pages: Vec<String>,
    /// Facts of workflows whose checksum does not fit.
    pub facts: Vec<String>,
    /// Entries of the audit log, or where its chain is broken.
    pub audit: Result<u64, String>,
}

/// Reads everything in the database of `dir`; `None` when there is none.
///
/// # Errors
/// When it cannot be opened for reading, or is not ours.
pub fn examine(dir: &Path) -> Result<Option<Examined>, OpenError> {
    let path = dir.join(open::FILE);
    let size = |name: &str| std::fs::metadata(dir.join(name)).map(|m| m.len());
    let Ok(bytes) = size(open::FILE) else { return Ok(None) };
    let connection = open::connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let failed = |error| open::database(&path, error);
    open::ours(&connection, &path)?;
    Ok(Some(Examined {
        sqlite: rusqlite::version(),
        schema: open::number(&connection, &path, "user_version")?,
        known: open::known(),
        bytes: (bytes, size(open::WAL).unwrap_or(0)),
        executions: count(&connection).map_err(failed)?,
        pages: pages(&connection).map_err(failed)?,
        facts: damaged_facts(&connection).map_err(failed)?,
        audit: audit::verify(&connection).map_err(|e| e.to_string()),
    }))
}

fn count(c: &Connection) -> rusqlite::Result<u64> {
    c.query_row("SELECT count(*) FROM executions", [], |row| row.get::<_, i64>(0))
        .map(|n| u64::try_from(n).unwrap_or(0))
}

fn pages(c: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = c.prepare(&format!("PRAGMA integrity_check({LISTED})"))?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

fn damaged_facts(c: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut statement = c.prepare("SELECT execution, seq, crc, json FROM facts")?;
    let mut rows = statement.query([])?;
    let mut damaged = Vec::new();
    while let Some(row) = rows.next()? {
        let execution = ExecutionId(row.get(0)?);
        let (seq, crc, json): (i64, u32, String) = (row.get(1)?, row.get(2)?, row.get(3)?);
        let seq = u64::try_from(seq).unwrap_or(0);
        if crc != crate::crc::fact(execution, seq, &json) && damaged.len() < LISTED {
            damaged.push(read::damaged_fact(execution, seq, "its checksum does not fit").to_string());
        }
    }
    Ok(damaged)
}
