//! Places among the few executions that may run at once.

use super::apply::{Done, refuse, run};
use super::read::{all, id, limit, natural, one, time};
use crate::{Result, Slot};
use rusqlite::{Connection, OptionalExtension, params};
use squall_model::ExecutionId;

const TAKEN: &str = "SELECT count(*) FROM slots INDEXED BY slots_order WHERE name = ?1 AND taken = 1";
const OTHERS: &str =
    "SELECT count(*) FROM slots INDEXED BY slots_order WHERE name = ?1 AND taken = 1 AND execution <> ?2";
const WAITING: &str = "SELECT name, execution, root, at FROM slots INDEXED BY slots_order \
                       WHERE name = ?1 AND taken = 0 ORDER BY at, execution LIMIT ?2";
const NEXT_NAME: &str = "SELECT name FROM slots WHERE name > ?1 ORDER BY name LIMIT 1";
const FREE: &str = "DELETE FROM slots WHERE execution = ?1";

/// Shown to the test that no statement walks a whole table.
pub(super) const STATEMENTS: [&str; 5] = [TAKEN, OTHERS, WAITING, NEXT_NAME, FREE];

pub(super) fn put(c: &Connection, slot: &Slot, limit: u64) -> Done {
    if slot.taken {
        let others: i64 =
            c.prepare_cached(OTHERS)?.query_row(params![slot.name, slot.execution.0], |row| row.get(0))?;
        if u64::try_from(others).unwrap_or(0) >= limit {
            return refuse(|| format!("place of `{}`: all {limit} are taken", slot.name));
        }
    }
    let sql = "INSERT OR REPLACE INTO slots (name, execution, root, at, taken) VALUES (?1, ?2, ?3, ?4, ?5)";
    run(c, sql, params![slot.name, slot.execution.0, slot.root.0, slot.at.micros(), slot.taken])?;
    Ok(())
}

pub(super) fn free(c: &Connection, execution: ExecutionId) -> Done {
    run(c, FREE, [execution.0])?;
    Ok(())
}

pub(super) fn of(c: &Connection, name: &str, most: usize) -> Result<(u64, Vec<Slot>)> {
    let taken = one(c, TAKEN, [name], |row| natural(row, 0).map(Ok))?.unwrap_or(0);
    let waiting = all(c, WAITING, params![name, limit(most)], |row| {
        let slot =
            Slot { name: row.get(0)?, execution: id(row, 1)?, root: id(row, 2)?, at: time(row, 3)?, taken: false };
        Ok(Ok(slot))
    })?;
    Ok((taken, waiting))
}

/// One step of an index for each name.
pub(super) fn names(c: &Connection) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::new();
    loop {
        let last = names.last().map_or("", String::as_str);
        let next = c
            .prepare_cached(NEXT_NAME)
            .and_then(|mut s| s.query_row([last], |row| row.get::<_, String>(0)).optional())
            .map_err(|e| super::classify(&e))?;
        match next {
            Some(name) => names.push(name),
            None => return Ok(names),
        }
    }
}
