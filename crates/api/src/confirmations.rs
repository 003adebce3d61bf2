//! `/v1/confirmations`: what waits for people, and their answers. A GET decides nothing.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::payload::Payload;
use crate::query::Query;
use crate::{State, answer};
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use squall_engine::Wish;
use squall_engine::answers;
use squall_engine::confirmation::Record;
use squall_engine::confirmation::decide::Verdict;
use squall_engine::people::authorize;
use squall_model::Value;
use squall_store::Page;

/// `GET /v1/confirmations?state=open`: newest first.
pub(crate) async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let page = Page { offset: query.paging(Some(100), false)?.offset, limit: 100 };
    let (records, total) = api.engine().confirmations(query.filled("state"), page, &caller.who)?;
    let shown = records.iter().map(|r| shown(&api, r, &caller)).collect();
    Ok(answer::list(shown, total, Some(page.limit)))
}

/// `GET /v1/confirmations/{id or code}`: with the question as people read it.
pub(crate) async fn one(api: State, caller: Caller, Path(which): Path<String>) -> Result<Response, Fault> {
    let record = api.engine().confirmation(&which, &caller.who)?;
    Ok(answer::ok(shown(&api, &record, &caller)))
}

/// The code is for people who may answer by it; agents never see one.
fn shown(api: &State, record: &Record, caller: &Caller) -> Value {
    let is_agent = matches!(caller.who.via, squall_engine::Via::Execution(_));
    let mut value = match answers::to_value(record, !is_agent) {
        Value::Map(map) => (*map).clone(),
        _ => Default::default(),
    };
    if !is_agent {
        value.insert("question".into(), api.engine().shown(record).into());
    }
    value.into()
}

/// `POST /v1/confirmations/{id}/grant|deny|withdraw|unconfirm|breakglass`
pub(crate) async fn answer(
    api: State,
    caller: Caller,
    Path((which, word)): Path<(String, String)>,
    body: Payload,
) -> Result<Response, Fault> {
    body.only(&["digest", "note", "phrase", "reason"])?;
    let verdict = match word.as_str() {
        "grant" => Verdict::Grant,
        "deny" => Verdict::Deny,
        "withdraw" => Verdict::Withdraw,
        "unconfirm" => Verdict::Unconfirm,
        "breakglass" => Verdict::BreakGlass,
        _ => return Err(Fault::no_route()),
    };
    let rest = body.text("phrase")?.or(body.text("reason")?).or(body.text("note")?).map(str::to_owned);
    let digest = body.text("digest")?.map(str::to_owned);
    let answered = api.engine().answer(&which, verdict, rest, digest, &caller.who).await?;
    let status = answered.outcome.http();
    if status >= 400 {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT);
        return Err(Fault::new(status, answered.told));
    }
    Ok(answer::ok(object([
        ("state", answered.record.state.as_str().into()),
        ("told", answered.told.into()),
        ("confirmation", answers::to_value(&answered.record, false)),
    ])))
}

/// `PUT /v1/squall/links` `{network, user_id, user}`: says that somebody on a chat network is a squall user.
pub(crate) async fn link(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    body.only(&["network", "workspace", "user_id", "user"])?;
    let identity = squall_engine::confirmation::Identity {
        network: body.required_text("network")?.to_owned(),
        workspace: body.text("workspace")?.map(str::to_owned),
        user_id: body.required_text("user_id")?.to_owned(),
    };
    let user = body.required_text("user")?;
    api.engine().link(&identity, user, &caller.who).await?;
    Ok(answer::ok(object([
        ("user", user.into()),
        ("network", identity.network.into()),
        ("user_id", identity.user_id.into()),
    ])))
}

/// `GET /v1/squall/audit?from=0`: the audit log, oldest first.
pub(crate) async fn audit(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::ManagePeople)?;
    let from = u64::try_from(query.integer("from")?.unwrap_or(0)).unwrap_or(0);
    let rows = api.engine().store().audit(from, 1_000)?;
    let one = |row: &squall_store::AuditRow| {
        object([
            ("seq", row.seq.into()),
            ("at", row.at.to_iso().into()),
            ("event", row.event.as_str().into()),
            ("person", row.person.clone().into()),
            ("confirmation", row.confirmation.clone().into()),
            ("execution", row.execution.map(|id| id.to_string()).into()),
            ("data", row.data.clone()),
        ])
    };
    Ok(answer::ok(rows.iter().map(one).collect::<Vec<_>>()))
}
