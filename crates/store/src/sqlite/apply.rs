//! One batch as statements, inside a transaction of the writer.

use super::prepare::{Delta, Erased, Write};
use super::{audit, classify, confirmations, people, read, slots};
use crate::blobs;
use crate::secrets::MARK;
use crate::stored::{self, NewTexts};
use crate::{Due, DueKind, Error, Item, ItemScope, Message, Op, Outgoing, TAKEN_KEPT, TAKEN_SWEEP, Token};
use crate::{TOKEN_SWEEP, conflict};
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, ToSql, params, params_from_iter};
use squall_model::{Execution, ExecutionId, Status, Timestamp};
use std::fmt::Write as _;

/// Why a batch did not go through: its own fault, or the database's.
pub(super) enum Failed {
    /// The batch alone is refused; its neighbours are not concerned.
    Refused(Error),
    /// The transaction cannot go on.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Failed {
    fn from(error: rusqlite::Error) -> Failed {
        match error.sqlite_error_code() {
            // Only this batch is at fault: a text larger than SQLite takes.
            Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation) | None => Failed::Refused(classify(&error)),
            Some(_) => Failed::Broken(error),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Failed {
        Failed::Refused(error)
    }
}

pub(super) type Done = std::result::Result<(), Failed>;

pub(super) fn refuse(what: impl FnOnce() -> String) -> Done {
    Err(Failed::Refused(conflict(what)))
}

/// Runs one cached statement and tells how many rows it changed.
pub(super) fn run(c: &Connection, sql: &str, params: impl Params) -> rusqlite::Result<usize> {
    c.prepare_cached(sql)?.execute(params)
}

/// Carries out one change. One that is refused has changed nothing.
pub(super) fn apply(c: &Connection, write: &Write) -> Done {
    match write {
        Write::Insert(execution, texts) => insert(c, execution, texts),
        Write::Update { id, version, delta } => update(c, *id, *version, delta),
        Write::WithBody(Op::Post(row), body) => post(c, row, body),
        Write::WithBody(Op::Say(message), body) => say(c, message, body),
        Write::WithBody(Op::PutToken(token), data) => put_token(c, token, data),
        Write::WithBody(op @ Op::Audit { .. }, data) => audit::append(c, op, data),
        Write::Blob(blob) => {
            let sql = "INSERT INTO blobs (sha, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING";
            run(c, sql, params![blob.sha.as_slice(), blob.text])?;
            Ok(())
        }
        Write::WithBody(op, _) | Write::Other(op) => other(c, op),
    }
}

fn other(c: &Connection, op: &Op) -> Done {
    match op {
        Op::Append { execution, seq, facts, at, secret: _ } => append(c, *execution, *seq, facts, *at),
        Op::Definition { sha, text } => {
            run(c, "INSERT INTO definitions (sha, text) VALUES (?1, ?2) ON CONFLICT DO NOTHING", params![sha, text])?;
            Ok(())
        }
        Op::SetDue(due) => set_due(c, due),
        Op::ClearDue { owner, kind, number } => clear_due(c, *owner, *kind, *number).map(drop),
        Op::TakeDue { owner, kind, number } => match clear_due(c, *owner, *kind, *number)? {
            0 => refuse(|| format!("{kind:?} {number} of {owner}: it is gone")),
            _ => Ok(()),
        },
        Op::PutSlot { slot, limit } => slots::put(c, slot, *limit),
        Op::FreeSlots { execution } => slots::free(c, *execution),
        Op::SetItem { item, now } => set_item(c, item, *now),
        Op::DeleteItem { scope, name } => {
            run(c, "DELETE FROM items WHERE scope = ?1 AND name = ?2", params![scope_text(scope), name])?;
            Ok(())
        }
        Op::SweepItems { now, limit } => {
            let sql = "DELETE FROM items WHERE (scope, name) IN \
                       (SELECT scope, name FROM items WHERE expires <= ?1 ORDER BY expires, scope, name LIMIT ?2)";
            run(c, sql, params![now.micros(), limit])?;
            Ok(())
        }
        Op::Posted { id } => match run(c, "DELETE FROM outbox WHERE id = ?1", [id])? {
            0 => refuse(|| format!("outgoing {id}: it is gone")),
            _ => Ok(()),
        },
        Op::PostLater { id, at } => {
            let sql = "UPDATE outbox SET not_before = ?2, tries = tries + 1 WHERE id = ?1";
            match run(c, sql, params![id, at.micros()])? {
                0 => refuse(|| format!("outgoing {id}: it is gone")),
                _ => Ok(()),
            }
        }
        Op::Taken { key, execution, at } => taken(c, key, *execution, *at),
        Op::PutUser(_)
        | Op::SameUser { .. }
        | Op::DeleteUser { .. }
        | Op::Link(_)
        | Op::Unlink { .. }
        | Op::UnlinkAll { .. }
        | Op::PutFactor(_)
        | Op::UseFactor { .. }
        | Op::DeleteFactor { .. }
        | Op::PutApiKey(_)
        | Op::DeleteApiKey { .. }
        | Op::DeleteApiKeysOf { .. } => people::apply(c, op),
        Op::DeleteToken { sha } => {
            run(c, "DELETE FROM tokens WHERE sha = ?1", [sha.as_slice()])?;
            Ok(())
        }
        Op::DeleteTokensOf { user } => {
            run(c, TOKENS_OF, [user])?;
            Ok(())
        }
        Op::PutConfirmation { row, expected } => confirmations::put(c, row, *expected),
        Op::PutEntry(entry) => {
            let sql = "INSERT OR REPLACE INTO entries (list, key, at, value) VALUES (?1, ?2, ?3, ?4)";
            run(c, sql, params![entry.list, entry.key, entry.at.micros(), entry.value])?;
            Ok(())
        }
        Op::DropEntry { list, key } => {
            run(c, "DELETE FROM entries WHERE list = ?1 AND key = ?2", params![list, key])?;
            Ok(())
        }
        Op::PutMeta { name, value } => {
            run(c, "INSERT OR REPLACE INTO meta (name, value) VALUES (?1, ?2)", params![name, value])?;
            Ok(())
        }
        Op::Insert(_) | Op::Update { .. } | Op::Post(_) | Op::Say(_) | Op::PutToken(_) | Op::Audit { .. } => {
            Err(Failed::Refused(Error::Fatal("a change came to the writer without its texts".to_owned())))
        }
    }
}

fn insert(c: &Connection, e: &Execution, texts: &NewTexts) -> Done {
    let sql = "INSERT INTO executions (id, root, parent, run, action, runner, user, status, stage, workflow, attempt, \
               created, started, ended, version, spool, log, notes, result, request) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20) \
               ON CONFLICT DO NOTHING";
    let changed = run(
        c,
        sql,
        params![
            e.id.0,
            e.root.0,
            e.parent.map(|p| p.0),
            e.run,
            e.request.action.to_string(),
            e.request.runner,
            stored::user_of(&e.request),
            e.status.as_str(),
            stored::stage(e.status),
            e.request.definition.as_ref().map(|_| 1),
            e.attempt,
            e.created.micros(),
            e.started.map(Timestamp::micros),
            e.ended.map(Timestamp::micros),
            e.version,
            e.spool,
            texts.log,
            texts.notes,
            texts.result,
            texts.request,
        ],
    )?;
    if changed == 0 { refuse(|| format!("execution {}: it exists", e.id)) } else { Ok(()) }
}

fn update(c: &Connection, id: ExecutionId, version: u32, delta: &Delta) -> Done {
    let lost = match &delta.request {
        Some(request) => lost_blobs(c, id, request)?,
        None => Vec::new(),
    };
    let notes = match delta.notes.is_empty() {
        true => None,
        false => Some(merged_notes(c, id, version, delta)?),
    };
    let change = &delta.change;
    let log = (!change.statuses.is_empty()).then(|| stored::log_text(&change.statuses));
    let status = change.statuses.last().map(|(_, status)| (status.as_str(), stored::stage(*status)));
    let started = change.started.map(Timestamp::micros);
    let ended = change.ended.map(|ended| ended.map(Timestamp::micros));

    // Only the columns that change are named, so that only their indexes are touched.
    let mut sql = String::with_capacity(200);
    sql.push_str("UPDATE executions SET version = version + 1");
    let (id_bytes, mut values) = (id.0, Vec::<&dyn ToSql>::with_capacity(12));
    let mut set = |column: &str, value| {
        values.push(value);
        // Writing into a String cannot fail.
        let _ = write!(sql, ", {column} ?{}", values.len());
    };
    if let Some((status, stage)) = &status {
        set("status =", status);
        set("stage =", stage);
    }
    if let Some(log) = &log {
        set("log = log || ' ' ||", log);
    }
    if let Some(attempt) = &change.attempt {
        set("attempt =", attempt);
    }
    if let Some(started) = &started {
        set("started =", started);
    }
    if let Some(ended) = &ended {
        set("ended =", ended);
    }
    if let Some(result) = &delta.result {
        set("result =", result);
    }
    if let Some(request) = &delta.request {
        set("request =", &request.text);
    }
    if let Some(spool) = &change.spool {
        set("spool =", spool);
    }
    if let Some(notes) = &notes {
        set("notes =", notes);
    }
    values.push(&id_bytes);
    values.push(&version);
    let _ = write!(sql, " WHERE id = ?{} AND version = ?{}", values.len() - 1, values.len());

    if run(c, &sql, params_from_iter(values))? == 0 {
        return refuse(|| stale(c, id, version));
    }
    for sha in lost {
        run(c, "DELETE FROM blobs WHERE sha = ?1", [sha.as_slice()])?;
    }
    Ok(())
}

/// The blobs that hold secrets which a request loses. Each holds what was encrypted for this request alone, under a random
/// vector, so no other text can refer to the same; what was never encrypted may be shared, and stays.
fn lost_blobs(c: &Connection, id: ExecutionId, now: &Erased) -> std::result::Result<Vec<[u8; 32]>, Failed> {
    let stored: Option<String> = c
        .prepare_cached("SELECT request FROM executions WHERE id = ?1")?
        .query_row([id.0], |row| row.get(0))
        .optional()?;
    let Some(stored) = stored.filter(|text| blobs::is_shrunk(text)) else { return Ok(Vec::new()) };
    let before = stored::read_request(id, &read::whole(c, &stored)?)?;
    let mut lost = Vec::new();
    for name in before.secret.iter().filter(|name| !now.secret.contains(name)) {
        lost.extend(blobs::on_the_way(&stored, &["params", name, MARK], &mut read::blobs_of(c))?);
    }
    Ok(lost)
}

fn stale(c: &Connection, id: ExecutionId, version: u32) -> String {
    let sql = "SELECT version, status FROM executions WHERE id = ?1";
    let found = c
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row([id.0], |row| Ok((row.get::<_, u32>(0)?, row.get::<_, String>(1)?))).optional());
    match found {
        Ok(Some((now, status))) => format!("version of {id}: decided on {version}, but it is {now} ({status})"),
        Ok(None) => format!("version of {id}: there is no such execution"),
        Err(_) => format!("version of {id}"),
    }
}

/// The notes with the new ones over them, as text.
fn merged_notes(
    c: &Connection,
    id: ExecutionId,
    version: u32,
    delta: &Delta,
) -> std::result::Result<Option<String>, Failed> {
    let what = || format!("notes of {id}");
    let earlier: Option<Option<String>> = c
        .prepare_cached("SELECT notes FROM executions WHERE id = ?1 AND version = ?2")?
        .query_row(params![id.0, version], |row| row.get(0))
        .optional()?;
    let Some(earlier) = earlier else {
        return Err(Failed::Refused(conflict(|| stale(c, id, version))));
    };
    let mut notes = stored::read_map(earlier.as_deref(), what)?;
    notes.extend(delta.notes.iter().map(|(key, value)| (key.clone(), value.clone())));
    Ok(stored::map_text(&notes, what)?)
}

fn append(c: &Connection, execution: ExecutionId, seq: u64, facts: &[String], at: Timestamp) -> Done {
    let last: Option<i64> = c
        .prepare_cached("SELECT max(seq) FROM facts WHERE execution = ?1")?
        .query_row([execution.0], |row| row.get(0))?;
    let next = last.map_or(0, |last| last.saturating_add(1));
    if i64::try_from(seq) != Ok(next) {
        return refuse(|| format!("fact {seq} of {execution}: the next one is {next}"));
    }
    let sql = "INSERT INTO facts (execution, seq, at, crc, json) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut statement = c.prepare_cached(sql)?;
    for (number, json) in (next..).zip(facts) {
        let crc = crate::crc::fact(execution, number.cast_unsigned(), json);
        statement.execute(params![execution.0, number, at.micros(), crc, json])?;
    }
    Ok(())
}

fn set_due(c: &Connection, due: &Due) -> Done {
    let sql = "INSERT OR REPLACE INTO due (owner, kind, number, root, at) VALUES (?1, ?2, ?3, ?4, ?5)";
    run(c, sql, params![due.owner.0, due.kind as i64, due.number, due.root.0, due.at.micros()])?;
    Ok(())
}

fn clear_due(c: &Connection, owner: ExecutionId, kind: DueKind, number: u32) -> std::result::Result<usize, Failed> {
    let sql = "DELETE FROM due WHERE owner = ?1 AND kind = ?2 AND number = ?3";
    Ok(run(c, sql, params![owner.0, kind as i64, number])?)
}

/// The column of a scope.
pub(super) fn scope_text(scope: &ItemScope) -> String {
    match scope {
        ItemScope::System => "system".to_owned(),
        ItemScope::User(name) => format!("user:{name}"),
    }
}

fn set_item(c: &Connection, item: &Item, now: Timestamp) -> Done {
    // StackStorm keeps the earlier expiry when an item is written again without one; see reference of the datastore.
    let sql = "INSERT INTO items (scope, name, value, secret, description, created, expires) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) \
               ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value, secret = excluded.secret, \
               description = excluded.description, created = excluded.created, \
               expires = CASE WHEN excluded.expires IS NULL AND expires > ?8 THEN expires ELSE excluded.expires END";
    let values = params![
        scope_text(&item.scope),
        item.name,
        item.value,
        item.secret,
        item.description,
        item.created.micros(),
        item.expires.map(Timestamp::micros),
        now.micros(),
    ];
    run(c, sql, values)?;
    Ok(())
}

fn post(c: &Connection, row: &Outgoing, body: &str) -> Done {
    if run(c, "INSERT INTO outbox_keys (dedup) VALUES (?1) ON CONFLICT DO NOTHING", [&row.dedup])? == 0 {
        return Ok(());
    }
    let sql = "INSERT INTO outbox (network, channel, thread, body, dedup, created, not_before, tries) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
    let values = params![
        row.network,
        row.channel,
        row.thread,
        body,
        row.dedup,
        row.created.micros(),
        row.not_before.micros(),
        row.tries
    ];
    run(c, sql, values)?;
    Ok(())
}

fn say(c: &Connection, message: &Message, body: &str) -> Done {
    // The number is taken in the same statement; a `dedup` that was used makes it do nothing.
    let sql = "INSERT INTO messages (channel, seq, at, author, bot, whisper, thread, body, dedup) \
               VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM messages WHERE channel = ?1), \
               ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (channel, dedup) WHERE dedup IS NOT NULL DO NOTHING";
    let values = params![
        message.channel,
        message.at.micros(),
        message.author,
        message.bot,
        message.whisper,
        message.thread,
        body,
        message.dedup
    ];
    run(c, sql, values)?;
    Ok(())
}

fn taken(c: &Connection, key: &str, execution: ExecutionId, at: Timestamp) -> Done {
    let sql = "INSERT INTO taken (key, execution, at) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    if run(c, sql, params![key, execution.0, at.micros()])? == 0 {
        let earlier: [u8; 12] =
            c.prepare_cached("SELECT execution FROM taken WHERE key = ?1")?.query_row([key], |row| row.get(0))?;
        return Err(Failed::Refused(Error::Duplicate { execution: ExecutionId(earlier) }));
    }
    let sql = "DELETE FROM taken WHERE key IN (SELECT key FROM taken WHERE at < ?1 ORDER BY at, key LIMIT ?2)";
    let old = at.micros().saturating_sub(TAKEN_KEPT);
    run(c, sql, params![old, TAKEN_SWEEP])?;
    Ok(())
}

/// Shown to the test that no statement walks a whole table.
pub(super) const TOKENS_OF: &str = "DELETE FROM tokens WHERE user = ?1";

fn put_token(c: &Connection, token: &Token, data: &str) -> Done {
    let sql = "INSERT OR REPLACE INTO tokens (sha, user, created, expires, execution, data) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![
        token.sha.as_slice(),
        token.user,
        token.created.micros(),
        token.expires.micros(),
        token.execution.map(|id| id.0),
        data
    ];
    run(c, sql, values)?;
    let sql =
        "DELETE FROM tokens WHERE sha IN (SELECT sha FROM tokens WHERE expires < ?1 ORDER BY expires, sha LIMIT ?2)";
    let old = token.created.micros().saturating_sub(TAKEN_KEPT);
    run(c, sql, params![old, TOKEN_SWEEP])?;
    Ok(())
}

const _: () =
    assert!(Status::ALL.len() == 14, "a new status needs a stage in stored.rs, and maybe a place in executions_bad");
