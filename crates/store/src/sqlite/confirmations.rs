//! Confirmations in SQLite: one conditional write, and look-ups by what people know of one.
//!
//! Invariant: a code belongs to at most one open confirmation, and an execution's rows in `confirmation_runs` are those
//! of the lists in `confirmations`.
//!
//! Start reading at [`put`], then [`Listing::of`].

use super::apply::{Done, Failed, refuse, run};
use super::read::{all, bounds, id, natural, one, some_time, time};
use crate::{CODE_KEPT, Confirmation, ConfirmationFilter, Error, Page, Result};
use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension, Row, params, params_from_iter};
use squall_model::{ExecutionId, Timestamp};

/// The columns in the order of [`confirmation_row`].
macro_rules! columns {
    () => {
        "id, code, root, executions, state, version, requester, network, channel, held_at, expires_at, closed_at, json, \
         joins"
    };
}

const BY_ID: &str = concat!("SELECT ", columns!(), " FROM confirmations WHERE id = ?1");
const BY_CODE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM confirmations INDEXED BY confirmations_code WHERE code = ?1 \
     ORDER BY state = 'open' DESC, held_at DESC, id DESC LIMIT 1",
);
const OF: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM confirmations WHERE id IN (SELECT confirmation FROM confirmation_runs WHERE execution = ?1) \
     ORDER BY state = 'open' DESC, held_at DESC, id DESC LIMIT 1",
);
/// Another one with the code that is open or was not closed before a time.
const CODE_TAKEN: &str = "SELECT 1 FROM confirmations INDEXED BY confirmations_code WHERE code = ?1 AND id <> ?2 \
                          AND (state = 'open' OR closed_at IS NULL OR closed_at > ?3) LIMIT 1";
const CODE_OPEN: &str = "SELECT 1 FROM confirmations INDEXED BY confirmations_open_code \
                         WHERE code = ?1 AND state = 'open' AND id <> ?2 LIMIT 1";
const EQUAL_OPEN: &str = "SELECT 1 FROM confirmations INDEXED BY confirmations_open_joins \
                          WHERE joins = ?1 AND state = 'open' AND joins IS NOT NULL AND id <> ?2 LIMIT 1";
const STORED: &str = "SELECT version, state, executions FROM confirmations WHERE id = ?1";

/// Writes a confirmation on the condition of [`crate::Op::PutConfirmation`].
pub(super) fn put(c: &Connection, row: &Confirmation, expected: Option<u64>) -> Done {
    let stored = c
        .prepare_cached(STORED)?
        .query_row([&row.id], |row| Ok((natural(row, 0)?, row.get::<_, String>(1)?, row.get::<_, Vec<u8>>(2)?)))
        .optional()?;
    match (stored, expected) {
        (None, None) => insert(c, row),
        (Some(_), None) => refuse(|| format!("confirmation {}: it exists", row.id)),
        (None, Some(_)) => refuse(|| format!("version of confirmation {}: there is no such confirmation", row.id)),
        (Some((version, state, _)), Some(expected)) if version != expected => refuse(|| {
            format!("version of confirmation {}: decided on {expected}, but it is {version} ({state})", row.id)
        }),
        (Some((_, _, runs)), Some(_)) => update(c, row, &runs),
    }
}

fn code_taken(row: &Confirmation) -> Done {
    refuse(|| format!("code {}: another confirmation has it", row.code))
}

/// Refuses a second open one of those that are one.
fn alone(c: &Connection, row: &Confirmation) -> Done {
    if let Some(joins) = &row.joins
        && row.is_open()
        && c.prepare_cached(EQUAL_OPEN)?.exists(params![joins, row.id])?
    {
        return refuse(|| format!("equal of confirmation {}: it is open", row.id));
    }
    Ok(())
}

fn insert(c: &Connection, row: &Confirmation) -> Done {
    let old = row.held_at.micros().saturating_sub(CODE_KEPT);
    if c.prepare_cached(CODE_TAKEN)?.exists(params![row.code, row.id, old])? {
        return code_taken(row);
    }
    alone(c, row)?;
    let sql = concat!(
        "INSERT INTO confirmations (",
        columns!(),
        ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)"
    );
    write(c, sql, row)?;
    add_runs(c, row)
}

fn update(c: &Connection, row: &Confirmation, runs: &[u8]) -> Done {
    if row.is_open() && c.prepare_cached(CODE_OPEN)?.exists(params![row.code, row.id])? {
        return code_taken(row);
    }
    alone(c, row)?;
    let sql = "UPDATE confirmations SET code = ?2, root = ?3, executions = ?4, state = ?5, version = ?6, \
               requester = ?7, network = ?8, channel = ?9, held_at = ?10, expires_at = ?11, closed_at = ?12, json = ?13, \
               joins = ?14 \
               WHERE id = ?1";
    write(c, sql, row)?;
    if runs == bytes_of(&row.executions) {
        return Ok(());
    }
    for execution in runs.chunks(12) {
        let sql = "DELETE FROM confirmation_runs WHERE execution = ?1 AND confirmation = ?2";
        run(c, sql, params![execution, row.id])?;
    }
    add_runs(c, row)
}

fn write(c: &Connection, sql: &str, row: &Confirmation) -> std::result::Result<usize, Failed> {
    let values = params![
        row.id,
        row.code,
        row.root.0,
        bytes_of(&row.executions),
        row.state,
        // Checked when the batch was made ready.
        row.version.cast_signed(),
        row.requester,
        row.network,
        row.channel,
        row.held_at.micros(),
        row.expires_at.micros(),
        row.closed_at.map(Timestamp::micros),
        row.json,
        row.joins,
    ];
    Ok(run(c, sql, values)?)
}

fn add_runs(c: &Connection, row: &Confirmation) -> Done {
    for execution in &row.executions {
        // One execution twice in a list is one row.
        let sql = "INSERT INTO confirmation_runs (execution, confirmation) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
        run(c, sql, params![execution.0, row.id])?;
    }
    Ok(())
}

fn bytes_of(executions: &[ExecutionId]) -> Vec<u8> {
    executions.iter().flat_map(|id| id.0).collect()
}

fn confirmation_row(row: &Row) -> rusqlite::Result<Result<Confirmation>> {
    let name: String = row.get(0)?;
    let (ids, rest) = row.get_ref(3)?.as_blob()?.as_chunks::<12>();
    if !rest.is_empty() {
        let why = "its length is no multiple of 12".to_owned();
        return Ok(Err(Error::Damaged { what: format!("list of executions of confirmation {name}"), why }));
    }
    Ok(Ok(Confirmation {
        id: name,
        code: row.get(1)?,
        root: id(row, 2)?,
        executions: ids.iter().copied().map(ExecutionId).collect(),
        state: row.get(4)?,
        version: natural(row, 5)?,
        requester: row.get(6)?,
        network: row.get(7)?,
        channel: row.get(8)?,
        held_at: time(row, 9)?,
        expires_at: time(row, 10)?,
        closed_at: some_time(row, 11)?,
        json: row.get(12)?,
        joins: row.get(13)?,
    }))
}

pub(super) fn by_id(c: &Connection, id: &str) -> Result<Option<Confirmation>> {
    one(c, BY_ID, [id], confirmation_row)
}

pub(super) fn by_code(c: &Connection, code: &str) -> Result<Option<Confirmation>> {
    one(c, BY_CODE, [code], confirmation_row)
}

pub(super) fn of(c: &Connection, execution: ExecutionId) -> Result<Option<Confirmation>> {
    one(c, OF, [execution.0], confirmation_row)
}

/// A listing as SQL: which index fits and what must hold.
struct Listing {
    index: &'static str,
    conditions: String,
    values: Vec<Column>,
}

impl Listing {
    fn of(filter: &ConfirmationFilter) -> Listing {
        let mut listing = Listing { index: Self::index(filter), conditions: String::from("1"), values: Vec::new() };
        let ConfirmationFilter { state, requester, channel, root } = filter;
        if let Some(state) = state {
            listing.hold("state", Column::Text(state.clone()));
        }
        if let Some(requester) = requester {
            listing.hold("requester", Column::Text(requester.clone()));
        }
        if let Some((network, channel)) = channel {
            // The condition of the partial index, as it is.
            listing.conditions.push_str(" AND channel IS NOT NULL");
            listing.hold("network", Column::Text(network.clone()));
            listing.hold("channel", Column::Text(channel.clone()));
        }
        if let Some(root) = root {
            listing.hold("root", Column::Blob(root.0.to_vec()));
        }
        listing
    }

    /// The narrowest index first, named because SQLite knows nothing of how rows are spread.
    fn index(filter: &ConfirmationFilter) -> &'static str {
        match filter {
            ConfirmationFilter { root: Some(_), .. } => "confirmations_root",
            ConfirmationFilter { requester: Some(_), .. } => "confirmations_requester",
            ConfirmationFilter { channel: Some(_), .. } => "confirmations_channel",
            ConfirmationFilter { state: Some(_), .. } => "confirmations_state",
            _ => "confirmations_all",
        }
    }

    fn hold(&mut self, column: &str, value: Column) {
        self.values.push(value);
        self.conditions.push_str(&format!(" AND {column} = ?{}", self.values.len()));
    }

    fn page(&self) -> String {
        let Listing { index, conditions, values } = self;
        format!(
            "SELECT {} FROM confirmations INDEXED BY {index} WHERE {conditions} \
             ORDER BY held_at DESC, id DESC LIMIT ?{} OFFSET ?{}",
            columns!(),
            values.len() + 1,
            values.len() + 2,
        )
    }

    fn count(&self) -> String {
        format!("SELECT count(*) FROM confirmations INDEXED BY {} WHERE {}", self.index, self.conditions)
    }

    fn counted(&self, c: &Connection) -> Result<u64> {
        let count = one(c, &self.count(), params_from_iter(&self.values), |row| natural(row, 0).map(Ok))?;
        Ok(count.unwrap_or(0))
    }
}

pub(super) fn list(c: &Connection, filter: &ConfirmationFilter, page: Page) -> Result<(Vec<Confirmation>, u64)> {
    let mut listing = Listing::of(filter);
    let count = listing.counted(c)?;
    let sql = listing.page();
    let (limit, offset) = bounds(page);
    listing.values.extend([Column::Integer(limit), Column::Integer(offset)]);
    Ok((all(c, &sql, params_from_iter(&listing.values), confirmation_row)?, count))
}

pub(super) fn open(c: &Connection, requester: Option<&str>, channel: Option<(&str, &str)>) -> Result<u64> {
    let filter = ConfirmationFilter {
        state: Some(Confirmation::OPEN.to_owned()),
        requester: requester.map(str::to_owned),
        channel: channel.map(|(network, channel)| (network.to_owned(), channel.to_owned())),
        root: None,
    };
    Listing::of(&filter).counted(c)
}

/// Every statement of this file that looks something up, for the test that none walks a whole table.
pub(super) fn statements() -> Vec<String> {
    let text = || Some("x".to_owned());
    let channel = || Some(("x".to_owned(), "y".to_owned()));
    let listings = [
        ConfirmationFilter::default(),
        ConfirmationFilter { state: text(), ..Default::default() },
        ConfirmationFilter { requester: text(), ..Default::default() },
        ConfirmationFilter { state: text(), requester: text(), ..Default::default() },
        ConfirmationFilter { channel: channel(), ..Default::default() },
        ConfirmationFilter { state: text(), channel: channel(), ..Default::default() },
        ConfirmationFilter { root: Some(ExecutionId([0; 12])), ..Default::default() },
        ConfirmationFilter { state: text(), requester: text(), channel: channel(), root: Some(ExecutionId([0; 12])) },
    ];
    let fixed = [BY_ID, BY_CODE, OF, CODE_TAKEN, CODE_OPEN, EQUAL_OPEN, STORED];
    let listings = listings.iter().map(Listing::of).flat_map(|l| [l.page(), l.count()]);
    fixed.iter().map(|sql| (*sql).to_owned()).chain(listings).collect()
}
