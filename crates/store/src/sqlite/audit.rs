//! The audit log in SQLite: rows are added at its end, read, and followed along their hashes.
//!
//! Triggers of the schema refuse every other change. The bytes that are hashed stand in `crate::audit`.

use super::apply::{Done, Failed, run};
use super::classify;
use super::read::{all, limit, natural, some_id, text, time};
use crate::audit::{Chain, FIRST, Link, NONE_BEFORE};
use crate::{AuditFilter, AuditRow, Error, Op, Result, stored};
use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};

const LAST: &str = "SELECT seq, sha FROM audit ORDER BY seq DESC LIMIT 1";
const COLUMNS: &str = "SELECT seq, at, event, person, confirmation, execution, data, previous, sha FROM audit WHERE 1";
const ROWS: &str = "SELECT seq, at, event, person, confirmation, execution, data, previous, sha FROM audit \
                    WHERE seq >= ?1 ORDER BY seq LIMIT ?2";
const OF: &str = "SELECT seq, at, event, person, confirmation, execution, data, previous, sha \
                  FROM audit INDEXED BY audit_confirmation WHERE confirmation = ?1 AND confirmation IS NOT NULL ORDER BY seq";

/// For the test that no statement walks a whole table.
pub(super) const STATEMENTS: [&str; 3] = [LAST, ROWS, OF];

/// Adds a row; `data` is the text of its value.
pub(super) fn append(c: &Connection, op: &Op, data: &str) -> Done {
    let Op::Audit { at, event, person, confirmation, execution, data: _ } = op else {
        return Err(Failed::Refused(Error::Fatal("another change came as an audit row".to_owned())));
    };
    let last: Option<(u64, [u8; 32])> =
        c.prepare_cached(LAST)?.query_row([], |row| Ok((natural(row, 0)?, row.get(1)?))).optional()?;
    let (seq, previous) = last.map_or((FIRST, NONE_BEFORE), |(seq, sha)| (seq.saturating_add(1), sha));
    let link = Link {
        seq,
        at: *at,
        event,
        person: person.as_deref(),
        confirmation: confirmation.as_deref(),
        execution: *execution,
        data,
    };
    let sha = link.sha(&previous);
    let sql = "INSERT INTO audit (seq, at, event, person, confirmation, execution, data, previous, sha) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    let execution = execution.map(|id| id.0);
    run(c, sql, params![seq.cast_signed(), at.micros(), event, person, confirmation, execution, data, previous, sha])?;
    Ok(())
}

fn audit_row(row: &Row) -> rusqlite::Result<Result<AuditRow>> {
    let seq = natural(row, 0)?;
    let data = match stored::read_value(text(row, 6)?, || format!("audit row {seq}")) {
        Ok(data) => data,
        Err(damaged) => return Ok(Err(damaged)),
    };
    Ok(Ok(AuditRow {
        seq,
        at: time(row, 1)?,
        event: row.get(2)?,
        person: row.get(3)?,
        confirmation: row.get(4)?,
        execution: some_id(row, 5)?,
        data,
        previous: row.get(7)?,
        sha: row.get(8)?,
    }))
}

pub(super) fn rows(c: &Connection, from: u64, count: usize) -> Result<Vec<AuditRow>> {
    let Ok(from) = i64::try_from(from) else { return Ok(Vec::new()) };
    all(c, ROWS, params![from, limit(count)], audit_row)
}

pub(super) fn of(c: &Connection, confirmation: &str) -> Result<Vec<AuditRow>> {
    all(c, OF, [confirmation], audit_row)
}

/// Newest first. The conditions are looked at row by row, from the end of the log on.
pub(super) fn found(c: &Connection, filter: &AuditFilter, count: usize) -> Result<Vec<AuditRow>> {
    let AuditFilter { event, person, confirmation, execution, since, until, before } = filter;
    let mut sql = String::from(COLUMNS);
    let mut values: Vec<Column> = Vec::new();
    let mut hold = |condition: &str, value: Option<Column>| {
        if let Some(value) = value {
            values.push(value);
            sql.push_str(&format!(" AND {condition} ?{}", values.len()));
        }
    };
    let text = |value: &Option<String>| value.clone().map(Column::Text);
    hold("event =", text(event));
    hold("person =", text(person));
    hold("confirmation =", text(confirmation));
    hold("execution =", execution.map(|id| Column::Blob(id.0.to_vec())));
    hold("at >=", since.map(|at| Column::Integer(at.micros())));
    hold("at <=", until.map(|at| Column::Integer(at.micros())));
    hold("seq <", before.map(|seq| Column::Integer(seq.min(i64::MAX.cast_unsigned()).cast_signed())));
    values.push(Column::Integer(limit(count)));
    sql.push_str(&format!(" ORDER BY seq DESC LIMIT ?{}", values.len()));
    all(c, &sql, params_from_iter(values), audit_row)
}

pub(super) fn head(c: &Connection) -> Result<Option<AuditRow>> {
    Ok(found(c, &AuditFilter::default(), 1)?.pop())
}

/// Row by row, so that a long log is not in memory at once.
pub(super) fn verify(c: &Connection) -> Result<u64> {
    let mut statement = c.prepare_cached(ROWS).map_err(|e| classify(&e))?;
    let mut rows = statement.query(params![i64::MIN, i64::MAX]).map_err(|e| classify(&e))?;
    let mut chain = Chain::new();
    while let Some(row) = rows.next().map_err(|e| classify(&e))? {
        follow(&mut chain, row).map_err(|e| classify(&e))??;
    }
    Ok(chain.rows())
}

fn follow(chain: &mut Chain, row: &Row) -> rusqlite::Result<Result<()>> {
    let optional = |column: usize| row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from);
    let link = Link {
        seq: natural(row, 0)?,
        at: time(row, 1)?,
        event: text(row, 2)?,
        person: optional(3)?,
        confirmation: optional(4)?,
        execution: some_id(row, 5)?,
        data: text(row, 6)?,
    };
    let (previous, sha) = (row.get_ref(7)?.as_blob()?, row.get_ref(8)?.as_blob()?);
    Ok(chain.follow(&link, previous, sha))
}
