//! `/v1/inquiries`: questions of workflows, and held runs in the same clothes (`?all=1`).

use crate::State;
use crate::answer;
use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::payload::Payload;
use crate::query::Query;
use axum::extract::Path;
use axum::response::Response;
use squall_engine::Refusal;
use squall_engine::inquiries::shown;
use squall_model::ExecutionId;

/// What a list gives when the client names no limit, as StackStorm does.
const LIMIT: u64 = 20;

/// `GET /v1/inquiries`
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let paging = query.paging(Some(LIMIT), caller.is_admin())?;
    let all = api.engine().inquiries(query.is_set("all")?, &caller.who)?;
    let (total, most) = (all.len() as u64, usize::try_from(paging.limit.unwrap_or(u64::MAX)).unwrap_or(usize::MAX));
    let page = all.iter().skip(paging.offset as usize).take(most).map(shown).collect();
    Ok(answer::list(page, total, paging.limit))
}

/// `GET /v1/inquiries/{id}`
pub(crate) async fn one(api: State, caller: Caller, Path(id): Path<String>) -> Result<Response, Fault> {
    let record = api.engine().inquiry(parse(&id)?, &caller.who)?;
    Ok(answer::ok(shown(&record)))
}

/// `PUT /v1/inquiries/{id}` (and `POST`): the answer, once.
pub(crate) async fn respond(
    api: State,
    caller: Caller,
    Path(id): Path<String>,
    body: Payload,
) -> Result<Response, Fault> {
    // The path says which; clients send the id along, and it must be there.
    body.required_text("id")?;
    let parsed = parse(&id)?;
    let response = body.map("response", true)?;
    api.engine().respond(parsed, &response, &caller.who).await?;
    Ok(answer::ok(object([("id", id.into()), ("response", response.into())])))
}

fn parse(id: &str) -> Result<ExecutionId, Fault> {
    id.parse().map_err(|_| Refusal::no_execution(id).into())
}
