//! `/v1/confirmations`: what waits for people, and their answers. A GET decides nothing.
//!
//! Everybody sees what they asked for, may answer or have answered; administrators see all. What a rule hides and what is
//! secret is masked in the record already. Programs that act for somebody never see a code.

use crate::clothes::object;
use crate::credentials::Caller;
use crate::fault::Fault;
use crate::payload::{Is, Payload};
use crate::query::Query;
use crate::{State, answer, audit};
use axum::Router;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{delete, get, post};
use squall_engine::answers::{self, Answered, Answering, Wanted};
use squall_engine::confirmation::Record;
use squall_engine::confirmation::decide::{Outcome, Refused, Verdict};
use squall_engine::confirmation::declare::Way;
use squall_engine::preview;
use squall_engine::reviews::Broken;
use squall_engine::{Request, Source, Wish, authorize};
use squall_model::{ActionRef, ReplyTo, Value};
use squall_store::Page;

/// Every route of this file.
pub(crate) fn routes() -> Router<State> {
    Router::new()
        .route("/api/confirmations", get(list))
        .route("/api/confirmations/preview", post(preview))
        .route("/api/confirmations/reviews", get(reviews))
        .route("/api/confirmations/{id}", get(one))
        .route("/api/confirmations/{id}/audit", get(audit::of_one))
        .route("/api/confirmations/{id}/votes/mine", delete(take_back))
        .route("/api/confirmations/{id}/review", post(review))
        .route("/api/confirmations/{id}/reevaluate", post(reevaluate))
        .route("/api/confirmations/{id}/{word}", post(answer))
}

/// `GET /v1/confirmations?state=&mine=&answerable=&action=`: newest first.
async fn list(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let paging = query.paging(Some(100), caller.is_admin())?;
    let page = Page { offset: paging.offset, limit: paging.limit.unwrap_or(crate::limits::SCANNED_ROWS) };
    let wanted = Wanted {
        state: query.filled("state").map(str::to_owned),
        mine: query.is_set("mine")?,
        answerable: query.is_set("answerable")?,
        action: query.filled("action").map(str::to_owned),
    };
    let (records, total) = api.engine().confirmations(&wanted, page, &caller.who)?;
    let shown = records.iter().map(|r| shown(&api, r, &caller)).collect();
    Ok(answer::list(shown, total, paging.limit))
}

/// `GET /v1/confirmations/{id or code}`: with the question as people read it.
async fn one(api: State, caller: Caller, Path(which): Path<String>) -> Result<Response, Fault> {
    let record = api.engine().confirmation(&which, &caller.who).await?;
    Ok(answer::ok(shown(&api, &record, &caller)))
}

fn shown(api: &State, record: &Record, caller: &Caller) -> Value {
    let is_program = caller.who.is_program();
    let mut value = answers::to_value(record, !is_program).as_map().cloned().unwrap_or_default();
    value.insert("url".into(), api.engine().confirmation_url(record).into());
    value.insert("answerable".into(), api.engine().may_answer(record, &caller.who).into());
    if !is_program {
        value.insert("question".into(), api.engine().shown(record).into());
    }
    value.into()
}

/// What a request that waits adds to its answer; the code for its requester alone, when a person asked.
pub(crate) fn held(api: &State, record: &Record, caller: &Caller) -> Value {
    let mut value = record.to_value().as_map().cloned().unwrap_or_default();
    value.insert("url".into(), api.engine().confirmation_url(record).into());
    let is_requester = record.requester.person == caller.who.person();
    if is_requester && !caller.who.is_program() {
        value.insert("code".into(), record.code.to_string().into());
    }
    value.into()
}

// ---- answers -------------------------------------------------------------------------------------------------------

fn way(body: &Payload) -> Result<Way, Fault> {
    match body.text("via")? {
        None | Some("api") => Ok(Way::Api),
        Some("cli") => Ok(Way::Cli),
        Some("web") => Ok(Way::Web),
        Some(other) => Err(Fault::bad(format!("'{other}' is not one of ['api', 'cli', 'web']"))),
    }
}

/// `POST /v1/confirmations/{id}/grant|deny|withdraw|unconfirm|breakglass`
async fn answer(
    api: State,
    caller: Caller,
    Path((which, word)): Path<(String, String)>,
    body: Payload,
) -> Result<Response, Fault> {
    let (verdict, fields): (_, &[&str]) = match word.as_str() {
        "grant" => (Verdict::Grant, &["digest", "note", "phrase", "factor", "via"]),
        "deny" => (Verdict::Deny, &["digest", "reason", "via"]),
        "withdraw" => (Verdict::Withdraw, &["reason", "via"]),
        "unconfirm" => (Verdict::Unconfirm, &["via"]),
        "breakglass" => (Verdict::BreakGlass, &["digest", "reason", "factor", "via"]),
        _ => return Err(Fault::no_route()),
    };
    body.only(fields)?;
    if matches!(verdict, Verdict::Grant | Verdict::BreakGlass) {
        // What is agreed to is what was seen.
        body.required_text("digest")?;
    }
    let rest = body.text("phrase")?.or(body.text("reason")?).or(body.text("note")?).map(str::to_owned);
    let digest = body.text("digest")?.map(str::to_owned);
    let given = Answering { verdict, rest, digest, response: None, way: way(&body)? };
    let answered = api.engine().answer(&which, given, body.text("factor")?, &caller.who).await?;
    told(&answered)
}

/// `DELETE /v1/confirmations/{id}/votes/mine`: takes one's own answer back.
async fn take_back(api: State, caller: Caller, Path(which): Path<String>) -> Result<Response, Fault> {
    let given = Answering { verdict: Verdict::Unconfirm, rest: None, digest: None, response: None, way: Way::Api };
    let answered = api.engine().answer_by(&which, given, &caller.who).await?;
    told(&answered)
}

/// `{state, n, m}`, or why not.
fn told(answered: &Answered) -> Result<Response, Fault> {
    let record = &answered.record;
    let status = answered.outcome.http();
    if status >= 400 {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::CONFLICT);
        let mut fault = Fault::new(status, answered.told.as_str()).with("reason", reason(answered.outcome).into());
        // Whom it does not concern hears nothing of it.
        let is_theirs = answered.outcome != Outcome::Refused(Refused::Unknown);
        if let Some(ending) = record.ending.as_ref().filter(|_| is_theirs) {
            fault = fault
                .with("state", record.state.as_str().into())
                .with("by", ending.by.as_str().into())
                .with("at", ending.at.to_iso().into());
        }
        return Err(fault);
    }
    let (n, m) = match answered.outcome {
        Outcome::Counted { n, m } => (n, m),
        _ => (record.needed(), record.needed()),
    };
    Ok(answer::ok(object([
        ("state", record.state.as_str().into()),
        ("n", n.into()),
        ("m", m.into()),
        ("told", answered.told.as_str().into()),
        ("confirmation", answers::to_value(record, false)),
    ])))
}

/// One word for programs.
fn reason(outcome: Outcome) -> &'static str {
    let Outcome::Refused(why) = outcome else { return "void" };
    match why {
        Refused::Unknown => "unknown",
        Refused::NotEligible => "not_eligible",
        Refused::IsRequester => "self",
        Refused::Agent => "agent",
        Refused::Final => "final",
        Refused::Late => "late",
        Refused::DigestDiffers => "digest",
        Refused::NeedsLink => "link_needed",
        Refused::NeedsFactor => "factor_needed",
        Refused::Phrase => "phrase",
        Refused::NeedsReason => "reason_needed",
        Refused::WrongWay => "way",
        Refused::Twice => "twice",
        Refused::Limited => "limited",
        Refused::Nothing => "nothing",
        Refused::BadResponse => "bad_response",
    }
}

// ---- preview -------------------------------------------------------------------------------------------------------

/// `POST /v1/confirmations/preview` `{action, parameters?, user?, from?}`: what would be asked, whom, and what they would
/// read. `from` is `api`, `cli`, `web`, `mcp` or `chat:NETWORK:CHANNEL`. Nothing is stored.
async fn preview(api: State, caller: Caller, body: Payload) -> Result<Response, Fault> {
    authorize(&caller.who, Wish::View)?;
    body.only(&["action", "parameters", "user", "from"])?;
    let action = body.required_text("action")?;
    let action: ActionRef = action.parse().map_err(|_| squall_engine::Refusal::no_action(action))?;
    let params = body.optional("parameters", Is::Object)?.and_then(Value::as_map).cloned().unwrap_or_default();
    let who = api.engine().preview_as(body.text("user")?.unwrap_or(&caller.who.user), &caller.who)?;
    let mut request = Request::new(action, params, who);
    match body.text("from")?.unwrap_or("api").split(':').collect::<Vec<_>>().as_slice() {
        ["api"] => {}
        ["cli"] => request.source = Source::Cli,
        ["web"] => request.source = Source::Web,
        ["mcp"] => request.source = Source::Mcp,
        ["chat", network, channel] if !network.is_empty() && !channel.is_empty() => {
            request.source = Source::Chat;
            request.reply_to = Some(ReplyTo {
                network: (*network).to_owned(),
                channel: (*channel).to_owned(),
                thread: None,
                user: request.who.user.clone(),
                alias: None,
                message: None,
            });
        }
        _ => return Err(Fault::bad("`from` must be `api`, `cli`, `web`, `mcp` or `chat:NETWORK:CHANNEL`")),
    }
    let found = api.engine().preview(&request)?;
    Ok(answer::ok(preview::to_value(&found)))
}

// ---- reviews of broken glasses -------------------------------------------------------------------------------------

/// `GET /v1/confirmations/reviews?all=`: those that are open, oldest first.
async fn reviews(api: State, caller: Caller, query: Query) -> Result<Response, Fault> {
    let found = api.engine().broken(!query.is_set("all")?, &caller.who)?;
    Ok(answer::ok(found.iter().map(|broken| broken_shown(&api, broken)).collect::<Vec<_>>()))
}

/// `POST /v1/confirmations/{id}/review` `{verdict}`: in words.
async fn review(api: State, caller: Caller, Path(which): Path<String>, body: Payload) -> Result<Response, Fault> {
    body.only(&["verdict"])?;
    if caller.who.is_program() {
        return Err(Fault::forbidden("a review is made by a person"));
    }
    let closed = api.engine().review(&which, body.required_text("verdict")?, &caller.who).await?;
    Ok(answer::ok(broken_shown(&api, &closed)))
}

/// `POST /v1/confirmations/{id}/reevaluate`: ends it and asks anew under the rules of now.
async fn reevaluate(api: State, caller: Caller, Path(which): Path<String>) -> Result<Response, Fault> {
    let done = api.engine().reevaluate(&which, &caller.who).await?;
    Ok(answer::ok(object([
        ("state", done.record.state.as_str().into()),
        ("told", done.told.as_str().into()),
        ("confirmation", shown(&api, &done.record, &caller)),
    ])))
}

fn broken_shown(api: &State, broken: &Broken) -> Value {
    object([
        ("confirmation", broken.confirmation.as_str().into()),
        ("person", broken.person.as_str().into()),
        ("broken", broken.at.to_iso().into()),
        ("due", broken.review_until.to_iso().into()),
        ("overdue", (broken.verdict.is_none() && api.engine().now() > broken.review_until).into()),
        ("verdict", broken.verdict.clone().into()),
        ("closed_by", broken.reviewer.clone().into()),
    ])
}
