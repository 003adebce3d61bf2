//! The reads, each one a look-up in an index.

use super::apply::scope_text;
use super::classify;
use crate::{
    Due, DueKind, Entry, Error, Fact, Filter, Item, ItemScope, Message, Order, Outgoing, Page, Result, Token, blobs,
    stored,
};
use rusqlite::types::Value as Column;
use rusqlite::{Connection, OptionalExtension, Params, Row, params, params_from_iter};
use squall_model::{Execution, ExecutionId, Status, Timestamp};
use std::borrow::Cow;
use std::sync::Arc;

/// The columns of an execution in the order of [`row`].
macro_rules! columns {
    () => {
        "id, root, parent, run, status, attempt, created, started, ended, version, spool, log, notes, result, request"
    };
}

const EXECUTION: &str = concat!("SELECT ", columns!(), " FROM executions WHERE id = ?1");
/// The root itself, workflows, and what is not final: each by its own index, no row twice.
const TREE: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM executions WHERE id = ?1 UNION ALL SELECT ",
    columns!(),
    " FROM executions INDEXED BY executions_workflows WHERE root = ?1 AND workflow IS NOT NULL AND id <> ?1 ",
    "UNION ALL SELECT ",
    columns!(),
    " FROM executions INDEXED BY executions_open WHERE stage IN (0, 1) AND stage IS NOT NULL AND root = ?1 ",
    "AND workflow IS NULL AND id <> ?1",
);
const CHILDREN: &str = "SELECT id FROM executions INDEXED BY executions_children \
                        WHERE parent = ?1 AND parent IS NOT NULL ORDER BY created, id";
const UNFINISHED: &str = "SELECT DISTINCT root FROM executions INDEXED BY executions_open \
                          WHERE stage = 0 AND stage IS NOT NULL AND root > ?1 ORDER BY root LIMIT ?2";
const FACTS: &str = "SELECT seq, at, crc, json FROM facts WHERE execution = ?1 AND seq >= ?2 ORDER BY seq";
const DEFINITION: &str = "SELECT text FROM definitions WHERE sha = ?1";
const DUE: &str = "SELECT owner, kind, number, root, at FROM due INDEXED BY due_at \
                   WHERE at <= ?1 ORDER BY at, owner, kind, number LIMIT ?2";
const NEXT_DUE: &str = "SELECT min(at) FROM due";
const ITEM: &str = "SELECT scope, name, value, secret, description, created, expires FROM items \
                    WHERE scope = ?1 AND name = ?2 AND (expires IS NULL OR expires > ?3)";
const ITEMS: &str = "SELECT scope, name, value, secret, description, created, expires FROM items \
                     WHERE scope = ?1 AND name >= ?2 AND name < ?3 AND (expires IS NULL OR expires > ?4) \
                     ORDER BY name LIMIT ?5 OFFSET ?6";
const ITEMS_COUNT: &str = "SELECT count(*) FROM items \
                           WHERE scope = ?1 AND name >= ?2 AND name < ?3 AND (expires IS NULL OR expires > ?4)";
const OUTGOING: &str = "SELECT id, network, channel, thread, body, dedup, created, not_before, tries \
                        FROM outbox INDEXED BY outbox_network WHERE network = ?1 AND id > ?2 ORDER BY id LIMIT ?3";
const MESSAGES: &str = "SELECT channel, seq, at, author, bot, whisper, thread, body, dedup FROM messages \
                        WHERE channel = ?1 AND seq > ?2 ORDER BY seq DESC LIMIT ?3";
const TOKEN: &str = "SELECT sha, user, created, expires, execution, data FROM tokens WHERE sha = ?1 AND expires > ?2";
const ENTRIES: &str =
    "SELECT list, key, at, value FROM entries INDEXED BY entries_order WHERE list = ?1 ORDER BY at, key LIMIT ?2";
const BLOB: &str = "SELECT text FROM blobs WHERE sha = ?1";
const META: &str = "SELECT value FROM meta WHERE name = ?1";

/// How SQLite carries out every statement that reads: (statement, plan line).
pub(super) fn explain(c: &Connection) -> Result<Vec<(String, String)>> {
    let id = ExecutionId([0; 12]);
    let listings = [
        Filter::default(),
        Filter { parent: Some(None), ..Filter::default() },
        Filter { parent: Some(Some(id)), ..Filter::default() },
        Filter { action: Some("a.b".to_owned()), ..Filter::default() },
        Filter { action: Some("a.b".to_owned()), status: vec![Status::Running], ..Filter::default() },
        Filter { user: Some("u".to_owned()), order: Order::Oldest, ..Filter::default() },
        Filter { status: vec![Status::Running, Status::Pending], ..Filter::default() },
        Filter { status: vec![Status::Failed], ..Filter::default() },
        Filter { status: vec![Status::Failed, Status::Timeout], parent: Some(None), ..Filter::default() },
        Filter { ids: vec![id, id], ..Filter::default() },
        Filter { since: Some(Timestamp::default()), until: Some(Timestamp::default()), ..Filter::default() },
    ];
    let fixed = [
        EXECUTION,
        TREE,
        CHILDREN,
        UNFINISHED,
        FACTS,
        DEFINITION,
        DUE,
        NEXT_DUE,
        ITEM,
        ITEMS,
        ITEMS_COUNT,
        OUTGOING,
        MESSAGES,
        TOKEN,
        ENTRIES,
        BLOB,
        META,
    ];
    let mut statements: Vec<String> = fixed.iter().map(|sql| (*sql).to_owned()).collect();
    for filter in &listings {
        let listing = Listing::of(filter);
        statements.push(listing.page());
        statements.push(listing.count());
    }
    statements.push(super::apply::TOKENS_OF.to_owned());
    statements.extend(super::confirmations::statements());
    statements.extend(super::slots::STATEMENTS.iter().map(|sql| (*sql).to_owned()));
    statements.extend(super::people::STATEMENTS.iter().map(|sql| (*sql).to_owned()));
    statements.extend(super::audit::STATEMENTS.iter().map(|sql| (*sql).to_owned()));
    let mut plans = Vec::new();
    for sql in statements {
        let mut explained = c.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).map_err(|e| classify(&e))?;
        let nulls = vec![rusqlite::types::Null; explained.parameter_count()];
        let lines = explained
            .query_map(params_from_iter(nulls), |row| row.get::<_, String>(3))
            .and_then(Iterator::collect::<rusqlite::Result<Vec<_>>>)
            .map_err(|e| classify(&e))?;
        plans.extend(lines.into_iter().map(|line| (sql.clone(), line)));
    }
    Ok(plans)
}

/// All rows of a statement; `read` may find one damaged.
pub(super) fn all<T>(
    c: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row) -> rusqlite::Result<Result<T>>,
) -> Result<Vec<T>> {
    let mut statement = c.prepare_cached(sql).map_err(|e| classify(&e))?;
    let mut rows = statement.query(params).map_err(|e| classify(&e))?;
    let mut out = Vec::new();
    while let Some(row) = rows.next().map_err(|e| classify(&e))? {
        out.push(read(row).map_err(|e| classify(&e))??);
    }
    Ok(out)
}

/// The one row of a statement.
pub(super) fn one<T>(
    c: &Connection,
    sql: &str,
    params: impl Params,
    read: impl Fn(&Row) -> rusqlite::Result<Result<T>>,
) -> Result<Option<T>> {
    let mut statement = c.prepare_cached(sql).map_err(|e| classify(&e))?;
    statement.query_row(params, read).optional().map_err(|e| classify(&e))?.transpose()
}

pub(super) fn id(row: &Row, column: usize) -> rusqlite::Result<ExecutionId> {
    row.get(column).map(ExecutionId)
}

pub(super) fn some_id(row: &Row, column: usize) -> rusqlite::Result<Option<ExecutionId>> {
    row.get::<_, Option<[u8; 12]>>(column).map(|id| id.map(ExecutionId))
}

pub(super) fn time(row: &Row, column: usize) -> rusqlite::Result<Timestamp> {
    row.get(column).map(Timestamp::from_micros)
}

pub(super) fn some_time(row: &Row, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    row.get::<_, Option<i64>>(column).map(|micros| micros.map(Timestamp::from_micros))
}

/// A count or a sequence number: never negative.
pub(super) fn natural(row: &Row, column: usize) -> rusqlite::Result<u64> {
    let number: i64 = row.get(column)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, number))
}

/// A text column, borrowed from the row for parsing.
pub(super) fn text<'r>(row: &'r Row, column: usize) -> rusqlite::Result<&'r str> {
    row.get_ref(column)?.as_str().map_err(rusqlite::Error::from)
}

fn some_text<'r>(row: &'r Row, column: usize) -> rusqlite::Result<Option<&'r str>> {
    row.get_ref(column)?.as_str_or_null().map_err(rusqlite::Error::from)
}

pub(super) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The limit and offset of a page.
pub(super) fn bounds(page: Page) -> (i64, i64) {
    (i64::try_from(page.limit).unwrap_or(i64::MAX), i64::try_from(page.offset).unwrap_or(i64::MAX))
}

/// A text with its large parts, which are kept apart.
pub(super) fn whole<'t>(c: &Connection, text: &'t str) -> Result<Cow<'t, str>> {
    if !blobs::is_shrunk(text) {
        return Ok(Cow::Borrowed(text));
    }
    blobs::expand(text, &mut blobs_of(c)).map(Cow::Owned)
}

/// Finds parts that are kept apart.
pub(super) fn blobs_of(c: &Connection) -> impl FnMut(&[u8; 32]) -> Result<Option<String>> {
    |sha| one(c, BLOB, [sha.as_slice()], |row| row.get(0).map(Ok))
}

fn execution_row(c: &Connection, row: &Row) -> rusqlite::Result<Result<Execution>> {
    let id = id(row, 0)?;
    let (status, log, notes) = (text(row, 4)?, text(row, 11)?, some_text(row, 12)?);
    let (result, request) = (some_text(row, 13)?, text(row, 14)?);
    let parsed = (|| {
        let status: Status = status.parse().map_err(|why| Error::Damaged { what: format!("status of {id}"), why })?;
        let result = match result {
            Some(text) => stored::read_value(&whole(c, text)?, || format!("result of {id}"))?,
            None => squall_model::Value::Null,
        };
        let notes = stored::read_map(notes, || format!("notes of {id}"))?;
        Ok((status, stored::read_log(id, log)?, notes, result, stored::read_request(id, &whole(c, request)?)?))
    })();
    let (status, log, notes, result, request) = match parsed {
        Ok(parsed) => parsed,
        Err(damaged) => return Ok(Err(damaged)),
    };
    Ok(Ok(Execution {
        id,
        root: self::id(row, 1)?,
        parent: some_id(row, 2)?,
        run: row.get(3)?,
        request: Arc::new(request),
        status,
        attempt: row.get(5)?,
        created: time(row, 6)?,
        started: some_time(row, 7)?,
        ended: some_time(row, 8)?,
        result,
        log,
        spool: row.get(10)?,
        notes,
        version: row.get(9)?,
    }))
}

pub(super) fn execution(c: &Connection, id: ExecutionId) -> Result<Option<Execution>> {
    one(c, EXECUTION, [id.0], |row| execution_row(c, row))
}

pub(super) fn tree(c: &Connection, root: ExecutionId) -> Result<Vec<Execution>> {
    let mut tree = all(c, TREE, [root.0], |row| execution_row(c, row))?;
    tree.sort_by_key(|e| (e.created, e.id));
    Ok(tree)
}

pub(super) fn children(c: &Connection, parent: ExecutionId) -> Result<Vec<ExecutionId>> {
    all(c, CHILDREN, [parent.0], |row| id(row, 0).map(Ok))
}

pub(super) fn unfinished(c: &Connection, after: Option<ExecutionId>, count: usize) -> Result<Vec<ExecutionId>> {
    // Every id is greater than the empty one.
    let after = after.map_or(Vec::new(), |id| id.0.to_vec());
    all(c, UNFINISHED, params![after, limit(count)], |row| id(row, 0).map(Ok))
}

/// A listing as SQL: which index fits, what must hold, in which order.
struct Listing {
    index: &'static str,
    conditions: String,
    order: &'static str,
    values: Vec<Column>,
}

/// The statuses of the partial index `executions_bad`, in the words of its condition.
const BAD: &str = "status IN ('failed', 'timeout', 'abandoned', 'canceled')";

impl Listing {
    fn of(filter: &Filter) -> Listing {
        let mut listing = Listing {
            index: Self::index(filter),
            conditions: String::from("1"),
            order: match filter.order {
                Order::Newest => "created DESC, id DESC",
                Order::Oldest => "created, id",
            },
            values: Vec::new(),
        };
        match filter.parent {
            None => {}
            Some(None) => listing.conditions.push_str(" AND parent IS NULL"),
            Some(Some(parent)) => {
                listing.conditions.push_str(" AND parent IS NOT NULL");
                listing.hold("parent =", Column::Blob(parent.0.to_vec()));
            }
        }
        if let Some(action) = &filter.action {
            listing.hold("action =", Column::Text(action.clone()));
        }
        if let Some(runner) = &filter.runner {
            listing.hold("runner =", Column::Text(runner.clone()));
        }
        if let Some(user) = &filter.user {
            listing.conditions.push_str(" AND user IS NOT NULL");
            listing.hold("user =", Column::Text(user.clone()));
        }
        if let Some(since) = filter.since {
            listing.hold("created >=", Column::Integer(since.micros()));
        }
        if let Some(until) = filter.until {
            listing.hold("created <=", Column::Integer(until.micros()));
        }
        match listing.index {
            // A partial index is only used when its condition stands in the query as it is.
            "executions_open" => listing.conditions.push_str(" AND stage IN (0, 1) AND stage IS NOT NULL"),
            "executions_bad" => {
                listing.conditions.push_str(" AND ");
                listing.conditions.push_str(BAD);
            }
            _ => {}
        }
        listing.any("status", filter.status.iter().map(|s| Column::Text(s.as_str().to_owned())));
        listing.any("id", filter.ids.iter().map(|id| Column::Blob(id.0.to_vec())));
        listing
    }

    /// The narrowest index first. Named in the statement, because SQLite knows nothing of how rows are spread.
    fn index(filter: &Filter) -> &'static str {
        let all = |test: fn(Status) -> bool| !filter.status.is_empty() && filter.status.iter().all(|s| test(*s));
        match filter {
            Filter { ids, .. } if !ids.is_empty() => "sqlite_autoindex_executions_1",
            Filter { parent: Some(Some(_)), .. } => "executions_children",
            _ if all(|s| !s.is_final()) => "executions_open",
            Filter { action: Some(_), .. } => "executions_action",
            _ if all(|s| s.is_final() && s != Status::Succeeded) => "executions_bad",
            Filter { user: Some(_), .. } => "executions_user",
            Filter { parent: Some(None), .. } => "executions_tops",
            _ => "executions_all",
        }
    }

    fn hold(&mut self, column: &str, value: Column) {
        self.values.push(value);
        self.conditions.push_str(&format!(" AND {column} ?{}", self.values.len()));
    }

    fn any(&mut self, column: &str, values: impl ExactSizeIterator<Item = Column>) {
        if values.len() == 0 {
            return;
        }
        let first = self.values.len() + 1;
        self.values.extend(values);
        let marks: Vec<String> = (first..=self.values.len()).map(|n| format!("?{n}")).collect();
        self.conditions.push_str(&format!(" AND {column} IN ({})", marks.join(", ")));
    }

    fn page(&self) -> String {
        let Listing { index, conditions, order, values } = self;
        format!(
            "SELECT {} FROM executions INDEXED BY {index} WHERE {conditions} ORDER BY {order} LIMIT ?{} OFFSET ?{}",
            columns!(),
            values.len() + 1,
            values.len() + 2,
        )
    }

    fn count(&self) -> String {
        format!("SELECT count(*) FROM executions INDEXED BY {} WHERE {}", self.index, self.conditions)
    }
}

pub(super) fn executions(c: &Connection, filter: &Filter, page: Page) -> Result<(Vec<Execution>, u64)> {
    let mut listing = Listing::of(filter);
    let count = one(c, &listing.count(), params_from_iter(&listing.values), |row| natural(row, 0).map(Ok))?;
    let sql = listing.page();
    let (limit, offset) = bounds(page);
    listing.values.extend([Column::Integer(limit), Column::Integer(offset)]);
    let rows = all(c, &sql, params_from_iter(&listing.values), |row| execution_row(c, row))?;
    Ok((rows, count.unwrap_or(0)))
}

pub(super) fn facts(c: &Connection, execution: ExecutionId, from: u64) -> Result<Vec<Fact>> {
    let Ok(first) = i64::try_from(from) else { return Ok(Vec::new()) };
    let facts = all(c, FACTS, params![execution.0, first], |row| {
        let fact = Fact { seq: natural(row, 0)?, at: time(row, 1)?, json: row.get(3)? };
        let crc: u32 = row.get(2)?;
        if crc != crate::crc::fact(execution, fact.seq, &fact.json) {
            return Ok(Err(damaged_fact(execution, fact.seq, "its checksum does not fit")));
        }
        if !blobs::is_shrunk(&fact.json) {
            return Ok(Ok(fact));
        }
        Ok(whole(c, &fact.json).map(|json| Fact { json: json.into_owned(), ..fact.clone() }))
    })?;
    match (from..).zip(&facts).find(|(seq, fact)| *seq != fact.seq) {
        Some((seq, _)) => Err(damaged_fact(execution, seq, "it is missing")),
        None => Ok(facts),
    }
}

pub(super) fn damaged_fact(execution: ExecutionId, seq: u64, why: &str) -> Error {
    Error::Damaged { what: format!("fact {seq} of execution {execution}"), why: why.to_owned() }
}

pub(super) fn definition(c: &Connection, sha: &str) -> Result<Option<String>> {
    one(c, DEFINITION, [sha], |row| row.get(0).map(Ok))
}

fn due_row(row: &Row) -> rusqlite::Result<Result<Due>> {
    let (owner, kind) = (id(row, 0)?, row.get::<_, i64>(1)?);
    let Some(kind) = DueKind::ALL.into_iter().find(|k| *k as i64 == kind) else {
        let why = format!("`{kind}` is no kind of due row");
        return Ok(Err(Error::Damaged { what: format!("due row of {owner}"), why }));
    };
    Ok(Ok(Due { owner, root: id(row, 3)?, kind, number: row.get(2)?, at: time(row, 4)? }))
}

pub(super) fn due(c: &Connection, now: Timestamp, count: usize) -> Result<Vec<Due>> {
    all(c, DUE, params![now.micros(), limit(count)], due_row)
}

pub(super) fn next_due(c: &Connection) -> Result<Option<Timestamp>> {
    one(c, NEXT_DUE, [], |row| some_time(row, 0).map(Ok)).map(Option::flatten)
}

fn item_row(row: &Row) -> rusqlite::Result<Result<Item>> {
    let scope = match text(row, 0)?.strip_prefix("user:") {
        Some(user) => ItemScope::User(user.to_owned()),
        None => ItemScope::System,
    };
    Ok(Ok(Item {
        scope,
        name: row.get(1)?,
        value: row.get(2)?,
        secret: row.get(3)?,
        description: row.get(4)?,
        created: time(row, 5)?,
        expires: some_time(row, 6)?,
    }))
}

pub(super) fn item(c: &Connection, scope: &ItemScope, name: &str, now: Timestamp) -> Result<Option<Item>> {
    one(c, ITEM, params![scope_text(scope), name, now.micros()], item_row)
}

/// The first text after all that start with `prefix`: its last character counted up. None when there is no such text.
fn end_of_prefix(prefix: &str) -> Option<String> {
    let mut characters: Vec<char> = prefix.chars().collect();
    while let Some(last) = characters.pop() {
        // Surrogates are no characters; the order of characters is the order of their bytes.
        let next = (u32::from(last) + 1..=u32::from(char::MAX)).find_map(char::from_u32);
        if let Some(next) = next {
            characters.push(next);
            return Some(characters.into_iter().collect());
        }
    }
    None
}

pub(super) fn items(
    c: &Connection,
    scope: &ItemScope,
    prefix: &str,
    now: Timestamp,
    page: Page,
) -> Result<(Vec<Item>, u64)> {
    // A blob sorts after every text.
    let end = end_of_prefix(prefix).map_or(Column::Blob(Vec::new()), Column::Text);
    let scope = scope_text(scope);
    let count = one(c, ITEMS_COUNT, params![scope, prefix, end, now.micros()], |row| natural(row, 0).map(Ok))?;
    let (limit, offset) = bounds(page);
    let rows = all(c, ITEMS, params![scope, prefix, end, now.micros(), limit, offset], item_row)?;
    Ok((rows, count.unwrap_or(0)))
}

pub(super) fn outgoing(c: &Connection, network: &str, after: i64, count: usize) -> Result<Vec<Outgoing>> {
    all(c, OUTGOING, params![network, after, limit(count)], |row| {
        let id: i64 = row.get(0)?;
        let body = match stored::read_value(text(row, 4)?, || format!("outgoing {id}")) {
            Ok(body) => body,
            Err(damaged) => return Ok(Err(damaged)),
        };
        Ok(Ok(Outgoing {
            id,
            network: row.get(1)?,
            channel: row.get(2)?,
            thread: row.get(3)?,
            body,
            dedup: row.get(5)?,
            created: time(row, 6)?,
            not_before: time(row, 7)?,
            tries: row.get(8)?,
        }))
    })
}

pub(super) fn messages(c: &Connection, channel: &str, after: i64, count: usize) -> Result<Vec<Message>> {
    let mut messages = all(c, MESSAGES, params![channel, after, limit(count)], |row| {
        let seq: i64 = row.get(1)?;
        let body = match stored::read_value(text(row, 7)?, || format!("message {seq} in {channel}")) {
            Ok(body) => body,
            Err(damaged) => return Ok(Err(damaged)),
        };
        Ok(Ok(Message {
            channel: row.get(0)?,
            seq,
            at: time(row, 2)?,
            author: row.get(3)?,
            bot: row.get(4)?,
            whisper: row.get(5)?,
            thread: row.get(6)?,
            body,
            dedup: row.get(8)?,
        }))
    })?;
    messages.reverse();
    Ok(messages)
}

pub(super) fn token(c: &Connection, sha: &[u8; 32], now: Timestamp) -> Result<Option<Token>> {
    one(c, TOKEN, params![sha.as_slice(), now.micros()], |row| {
        let data = match stored::read_value(text(row, 5)?, || "token".to_owned()) {
            Ok(data) => data,
            Err(damaged) => return Ok(Err(damaged)),
        };
        Ok(Ok(Token {
            sha: row.get(0)?,
            user: row.get(1)?,
            created: time(row, 2)?,
            expires: time(row, 3)?,
            execution: some_id(row, 4)?,
            data,
        }))
    })
}

pub(super) fn entries(c: &Connection, list: &str, limit: usize) -> Result<Vec<Entry>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    all(c, ENTRIES, params![list, limit], |row| {
        Ok(Ok(Entry { list: row.get(0)?, key: row.get(1)?, at: time(row, 2)?, value: row.get(3)? }))
    })
}

pub(super) fn meta(c: &Connection, name: &str) -> Result<Option<String>> {
    one(c, META, [name], |row| row.get(0).map(Ok))
}
