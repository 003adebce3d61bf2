//! People in SQLite: users, who they are on chat networks, second factors, API keys.
//!
//! Start reading at [`apply`]; every look-up is by a key.

use super::apply::{Done, Failed, refuse, run};
use super::read::{all, bounds, natural, one, text, time};
use crate::{ApiKey, Error, Factor, Linked, Op, Page, Result, User, stored};
use rusqlite::{Connection, OptionalExtension, Row, params};
use squall_model::{Secret, Timestamp, Value};

const USERS: &str =
    "SELECT name, password, roles, active, created, profile FROM users ORDER BY name LIMIT ?1 OFFSET ?2";
const USERS_COUNT: &str = "SELECT count(*) FROM users";
const USER: &str = "SELECT name, password, roles, active, created, profile FROM users WHERE name = ?1";
const LINKED: &str = "SELECT network, workspace, user_id, user, linked, how FROM identities \
                      WHERE network = ?1 AND workspace = ?2 AND user_id = ?3";
const LINKED_TO: &str = "SELECT network, workspace, user_id, user, linked, how FROM identities INDEXED BY identities_user \
                         WHERE user = ?1 ORDER BY network, workspace, user_id";
const ALL_LINKED: &str = "SELECT network, workspace, user_id, user, linked, how FROM identities \
                          ORDER BY network, workspace, user_id LIMIT ?1 OFFSET ?2";
const ALL_LINKED_COUNT: &str = "SELECT count(*) FROM identities";
const FACTOR: &str = "SELECT user, secret, active, created, step, proof, proved FROM factors WHERE user = ?1";
const HAS_FACTORS: &str = "SELECT 1 FROM factors WHERE active = 1 LIMIT 1";
const KEY: &str =
    "SELECT id, hash, user, enabled, created, metadata FROM api_keys INDEXED BY api_keys_hash WHERE hash = ?1";
const KEYS: &str = "SELECT id, hash, user, enabled, created, metadata FROM api_keys ORDER BY id LIMIT ?1 OFFSET ?2";
const KEYS_COUNT: &str = "SELECT count(*) FROM api_keys";
const UNLINK_ALL: &str = "DELETE FROM identities WHERE user = ?1";
const DELETE_KEYS_OF: &str = "DELETE FROM api_keys WHERE user = ?1";

/// For the test that no statement walks a whole table.
pub(super) const STATEMENTS: [&str; 10] =
    [USERS, USER, LINKED, LINKED_TO, ALL_LINKED, FACTOR, KEY, KEYS, UNLINK_ALL, DELETE_KEYS_OF];

/// Carries out one change about people.
pub(super) fn apply(c: &Connection, op: &Op) -> Done {
    match op {
        Op::PutUser(user) => put_user(c, user),
        Op::SameUser { name, was } => {
            let is = c.prepare_cached(USER)?.query_row([name], user_row).optional()?.transpose()?;
            if is.as_ref() == was.as_deref() { Ok(()) } else { refuse(|| format!("user {name}: it was changed")) }
        }
        Op::DeleteUser { name } => done(run(c, "DELETE FROM users WHERE name = ?1", [name])),
        Op::Link(row) => {
            let sql = "INSERT OR REPLACE INTO identities (network, workspace, user_id, user, linked, how) \
                       VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
            done(run(c, sql, params![row.network, row.workspace, row.user_id, row.user, row.linked.micros(), row.how]))
        }
        Op::Unlink { network, workspace, user_id, user } => {
            let sql = "DELETE FROM identities WHERE network = ?1 AND workspace = ?2 AND user_id = ?3 AND user = ?4";
            match run(c, sql, params![network, workspace, user_id, user])? {
                0 => refuse(|| not_linked(network, user_id, user)),
                _ => Ok(()),
            }
        }
        Op::UnlinkAll { user } => done(run(c, UNLINK_ALL, [user])),
        Op::PutFactor(factor) => put_factor(c, factor),
        Op::UseFactor { user, step, proof } => use_factor(c, user, *step, proof.as_ref()),
        Op::DeleteFactor { user } => done(run(c, "DELETE FROM factors WHERE user = ?1", [user])),
        Op::PutApiKey(key) => put_key(c, key),
        Op::DeleteApiKey { id } => done(run(c, "DELETE FROM api_keys WHERE id = ?1", [id])),
        Op::DeleteApiKeysOf { user } => done(run(c, DELETE_KEYS_OF, [user])),
        _ => Err(Failed::Refused(Error::Fatal("another change came as one about people".to_owned()))),
    }
}

pub(crate) fn not_linked(network: &str, user_id: &str, user: &str) -> String {
    format!("identity {network}:{user_id}: it is not of {user}")
}

fn done(changed: rusqlite::Result<usize>) -> Done {
    changed.map(drop).map_err(Failed::from)
}

fn put_user(c: &Connection, user: &User) -> Done {
    let sql = "INSERT OR REPLACE INTO users (name, password, roles, active, created, profile) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let roles = serde_json::to_string(&user.roles).unwrap_or_default();
    let profile = serde_json::json!({"shown": user.shown, "groups": user.groups}).to_string();
    let password = user.password.as_ref().map(|p| p.expose("its hash is stored"));
    done(run(c, sql, params![user.name, password, roles, user.active, user.created.micros(), profile]))
}

fn put_factor(c: &Connection, factor: &Factor) -> Done {
    let sql = "INSERT OR REPLACE INTO factors (user, secret, active, created, step, proof, proved) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let (proof, proved) = factor.proof.as_ref().map(|(what, at)| (what, at.micros())).unzip();
    let step = factor.step.cast_signed();
    let values = params![factor.user, factor.secret, factor.active, factor.created.micros(), step, proof, proved];
    done(run(c, sql, values))
}

fn use_factor(c: &Connection, user: &str, step: u64, proof: Option<&(String, Timestamp)>) -> Done {
    let sql = "UPDATE factors SET active = 1, step = ?2, proof = ?3, proved = ?4 WHERE user = ?1 AND step < ?2";
    let (proof, proved) = proof.map(|(what, at)| (what, at.micros())).unzip();
    match run(c, sql, params![user, step.cast_signed(), proof, proved])? {
        0 => refuse(|| format!("factor of {user}: that code was used")),
        _ => Ok(()),
    }
}

fn put_key(c: &Connection, key: &ApiKey) -> Done {
    if c.prepare_cached("SELECT 1 FROM api_keys WHERE hash = ?1 AND id <> ?2")?.exists(params![key.hash, key.id])? {
        return refuse(|| format!("API key {}: another one has its hash", key.id));
    }
    let sql = "INSERT OR REPLACE INTO api_keys (id, hash, user, enabled, created, metadata) \
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let metadata = stored::value_text(&key.metadata, || format!("API key {}", key.id))?;
    done(run(c, sql, params![key.id, key.hash, key.user, key.enabled, key.created.micros(), metadata]))
}

#[derive(serde::Deserialize)]
struct Profile {
    #[serde(default)]
    shown: Option<String>,
    #[serde(default)]
    groups: Vec<String>,
}

fn user_row(row: &Row) -> rusqlite::Result<Result<User>> {
    let name: String = row.get(0)?;
    let read = || -> std::result::Result<_, String> {
        let column = |at| text(row, at).map_err(|e| e.to_string());
        let roles: Vec<String> = serde_json::from_str(column(2)?).map_err(|e| e.to_string())?;
        let profile: Profile = serde_json::from_str(column(5)?).map_err(|e| e.to_string())?;
        Ok((roles, profile))
    };
    let (roles, Profile { shown, groups }) = match read() {
        Ok(read) => read,
        Err(why) => return Ok(Err(Error::Damaged { what: format!("user {name}"), why })),
    };
    let password = row.get::<_, Option<String>>(1)?.map(Secret::new);
    Ok(Ok(User { name, password, roles, groups, shown, active: row.get(3)?, created: time(row, 4)? }))
}

fn linked_row(row: &Row) -> rusqlite::Result<Result<Linked>> {
    Ok(Ok(Linked {
        network: row.get(0)?,
        workspace: row.get(1)?,
        user_id: row.get(2)?,
        user: row.get(3)?,
        linked: time(row, 4)?,
        how: row.get(5)?,
    }))
}

fn factor_row(row: &Row) -> rusqlite::Result<Result<Factor>> {
    let proved = row.get::<_, Option<i64>>(6)?.map(Timestamp::from_micros);
    Ok(Ok(Factor {
        user: row.get(0)?,
        secret: row.get(1)?,
        active: row.get(2)?,
        created: time(row, 3)?,
        step: natural(row, 4)?,
        proof: row.get::<_, Option<String>>(5)?.zip(proved),
    }))
}

fn key_row(row: &Row) -> rusqlite::Result<Result<ApiKey>> {
    let id: String = row.get(0)?;
    let metadata: Value = match stored::read_value(text(row, 5)?, || format!("API key {id}")) {
        Ok(metadata) => metadata,
        Err(damaged) => return Ok(Err(damaged)),
    };
    let (hash, user) = (row.get(1)?, row.get(2)?);
    Ok(Ok(ApiKey { id, hash, user, enabled: row.get(3)?, created: time(row, 4)?, metadata }))
}

fn count(c: &Connection, sql: &str) -> Result<u64> {
    Ok(one(c, sql, [], |row| natural(row, 0).map(Ok))?.unwrap_or(0))
}

pub(super) fn users(c: &Connection, page: Page) -> Result<(Vec<User>, u64)> {
    let (limit, offset) = bounds(page);
    Ok((all(c, USERS, [limit, offset], user_row)?, count(c, USERS_COUNT)?))
}

pub(super) fn user(c: &Connection, name: &str) -> Result<Option<User>> {
    one(c, USER, [name], user_row)
}

pub(super) fn linked(c: &Connection, network: &str, workspace: &str, user_id: &str) -> Result<Option<Linked>> {
    one(c, LINKED, [network, workspace, user_id], linked_row)
}

pub(super) fn linked_to(c: &Connection, user: &str) -> Result<Vec<Linked>> {
    all(c, LINKED_TO, [user], linked_row)
}

pub(super) fn all_linked(c: &Connection, page: Page) -> Result<(Vec<Linked>, u64)> {
    let (limit, offset) = bounds(page);
    Ok((all(c, ALL_LINKED, [limit, offset], linked_row)?, count(c, ALL_LINKED_COUNT)?))
}

pub(super) fn factor(c: &Connection, user: &str) -> Result<Option<Factor>> {
    one(c, FACTOR, [user], factor_row)
}

pub(super) fn has_factors(c: &Connection) -> Result<bool> {
    Ok(one(c, HAS_FACTORS, [], |_| Ok(Ok(())))?.is_some())
}

pub(super) fn key(c: &Connection, hash: &str) -> Result<Option<ApiKey>> {
    one(c, KEY, [hash], key_row)
}

pub(super) fn keys(c: &Connection, page: Page) -> Result<(Vec<ApiKey>, u64)> {
    let (limit, offset) = bounds(page);
    Ok((all(c, KEYS, [limit, offset], key_row)?, count(c, KEYS_COUNT)?))
}
