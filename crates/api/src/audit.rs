//! `/v1/squall/audit`: what happened around people and confirmations, and whether the log is whole.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::query::Query;
use crate::{State, answer};
use axum::extract::Path;
use axum::response::Response;
use squall_engine::people::AuditQuery;
use squall_model::{Map, Value};
use squall_store::{AuditFilter, AuditRow};

/// Rows of one answer.
const ROWS: i64 = 1_000;

/// A row with everything that its hash covers. Programs do not get the text of a question, which holds its code.
fn shown(row: &AuditRow, caller: &Caller) -> Value {
    let mut data = row.data.clone();
    if caller.who.is_program()
        && let Some(map) = data.as_map()
    {
        data = map
            .iter()
            .filter(|(key, _)| &***key != "shown")
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect::<Map>()
            .into();
    }
    object([
        ("seq", row.seq.into()),
        ("at", row.at.to_iso().into()),
        ("event", row.event.as_str().into()),
        ("person", row.person.clone().into()),
        ("confirmation", row.confirmation.clone().into()),
        ("execution", row.execution.map(|id| id.to_string()).into()),
        ("data", data),
        ("previous", hex(&row.previous).into()),
        ("sha", hex(&row.sha).into()),
    ])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// `GET /v1/squall/audit?event=&person=&confirmation=&execution=&since=&until=&before=&limit=`: newest first. With `from`
/// instead: oldest first from that row on, for copies.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let limit = query.integer("limit")?.unwrap_or(100).clamp(1, ROWS) as usize;
    let number =
        |name: &str| -> Result<Option<u64>, Fault> { Ok(query.integer(name)?.map(|n| u64::try_from(n).unwrap_or(0))) };
    let rows = match number("from")? {
        Some(from) => api.engine().audit_from(from, limit, &caller.who).await?,
        None => {
            let filter = AuditFilter { before: number("before")?, ..filter(&query)? };
            api.engine().audit(&AuditQuery { filter, limit }, &caller.who).await?
        }
    };
    Ok(answer::ok(rows.iter().map(|row| shown(row, &caller)).collect::<Vec<_>>()))
}

fn filter(query: &Query) -> Result<AuditFilter, Fault> {
    let text = |name: &str| query.filled(name).map(str::to_owned);
    let execution = match query.filled("execution") {
        None => None,
        Some(id) => Some(id.parse().map_err(|_| Fault::bad(format!("`{id}` is no id of an execution")))?),
    };
    // The name of a user will do.
    let person = text("person").map(|p| if p.contains(':') { p } else { format!("user:{p}") });
    Ok(AuditFilter {
        event: text("event"),
        person,
        confirmation: text("confirmation").map(|id| id.to_ascii_uppercase()),
        execution,
        since: query.time("since")?,
        until: query.time("until")?,
        before: None,
    })
}

/// `GET /v1/squall/audit/verify`: follows the hash chain. What is damaged is named; the answer is 200 either way.
pub(crate) async fn verify(api: State, caller: Caller) -> Result<Response, Fault> {
    let (engine, who) = (api.engine().clone(), caller.who.clone());
    let checked = tokio::task::spawn_blocking(move || engine.verify_audit(&who)).await;
    let checked = checked.map_err(|e| Fault::broken(&format!("cannot verify: {e}")))??;
    Ok(answer::ok(match checked {
        Ok((rows, head)) => object([
            ("whole", true.into()),
            ("rows", rows.into()),
            ("head", head.map(|row| hex(&row.sha)).into()),
            ("problem", Value::Null),
        ]),
        Err(problem) => {
            object([("whole", false.into()), ("rows", Value::Null), ("head", Value::Null), ("problem", problem.into())])
        }
    }))
}

/// `GET /v1/confirmations/{id or code}/audit`: what the log says about one confirmation, oldest first, to whoever may
/// see it.
pub(crate) async fn of_one(api: State, caller: Caller, Path(which): Path<String>) -> Result<Response, Fault> {
    let record = api.engine().confirmation(&which, &caller.who).await?;
    let rows = api.engine().store().audit_of(&record.id.to_string())?;
    Ok(answer::ok(rows.iter().map(|row| shown(row, &caller)).collect::<Vec<_>>()))
}
