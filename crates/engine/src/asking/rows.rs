//! A decision as rows: the record, what is due, what is said, what the audit log gets; and the execution that is held.
//!
//! Start reading at [`ops`].

use crate::collected;
use crate::confirmation::decide::{self, Decision};
use crate::confirmation::record::{Kind, Record};
use crate::confirmation::texts::{MASK as SHOWN_MASK, ShownRun, holds_secret};
use crate::looking::Stage;
use squall_content::Action;
use squall_model::{Execution, ExecutionId, MASK, Map, Requested, Status, Str, Timestamp, Value};
use squall_store::{Confirmation, Due, DueKind, Op, Outgoing};
use std::sync::Arc;
use std::time::Duration;

/// Turns a request into a held one: its parameters are final from now on. What its caller wanted asked is kept, for the case that it
/// is asked about later or anew, and which parameters are secret, so that they can be erased some day.
pub(crate) fn hold(execution: &mut Execution, action: &Action, params: Map, waiting: &Waiting<'_>, call: &Value) {
    let (id, at, shown) = match waiting {
        Waiting::Asked(record) => (record.id, record.held_at, record.to_value()),
        Waiting::Looks(stage) => (stage.id, stage.at, stage.to_value()),
    };
    let mut request = (*execution.request).clone();
    let mut kept = vec![("id", Value::from(id.to_string()))];
    let schemas = action.merged_parameters();
    let is_secret = |name: &Str| schemas.get(name).is_some_and(holds_secret);
    let secret: Vec<Value> = params
        .iter()
        .filter(|(name, v)| !v.is_null() && is_secret(name))
        .map(|(name, _)| name.clone().into())
        .collect();
    if !secret.is_empty() {
        kept.push((SECRET, secret.into()));
    }
    request.params = params;
    if !call.is_null() {
        kept.push((CALL, call.clone()));
    }
    request.context.insert("confirmation".into(), Value::from_pairs(kept));
    execution.request = Arc::new(request);
    execution.log.push((at, Status::Pending));
    execution.status = Status::Pending;
    execution.result = Value::from_pairs([("confirmation", shown)]);
}

/// What a held run waits for.
pub(crate) enum Waiting<'a> {
    /// For people, who are asked.
    Asked(&'a Record),
    /// For what must be found out before.
    Looks(&'a Stage),
}

const CALL: &str = "call";
const SECRET: &str = "secret";
const ERASED: &str = "erased";

/// How long the secret parameters of what was held are kept after its confirmation has ended.
const KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The request of an execution that was held with its secret parameters erased; nothing when there are none (any more).
pub(crate) fn erased(execution: &Execution) -> Option<Requested> {
    let confirmation = execution.request.context.get("confirmation")?.as_map()?;
    let names = confirmation.get(SECRET)?.clone();
    let mut request = (*execution.request).clone();
    for name in names.as_list()?.iter().filter_map(Value::as_str) {
        if let Some(value) = request.params.get_mut(name) {
            *value = MASK.into();
        }
    }
    // Dots need no key.
    request.secret.retain(|name| request.params.get(name.as_str()).is_some_and(|value| *value != MASK.into()));
    let mut confirmation = confirmation.clone();
    confirmation.shift_remove(SECRET);
    confirmation.insert(ERASED.into(), names);
    request.context.insert("confirmation".into(), confirmation.into());
    Some(request)
}

/// Parameters of an execution whose values were erased.
pub(crate) fn erased_names(execution: &Execution) -> Vec<String> {
    let kept = execution.request.context.get("confirmation").and_then(|confirmation| confirmation.get(ERASED));
    kept.and_then(Value::as_list).unwrap_or_default().iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// What the caller of a held run wanted asked in addition, or null.
pub(crate) fn call_of(execution: &Execution) -> &Value {
    static NOTHING: Value = Value::Null;
    let kept = execution.request.context.get("confirmation");
    kept.and_then(|confirmation| confirmation.get(CALL)).unwrap_or(&NOTHING)
}

/// The rows of a decision: the record, what is due, what is said, what the audit log gets.
pub(crate) fn ops(decision: &Decision, expected: Option<u64>, root: ExecutionId, now: Timestamp) -> Vec<Op> {
    let record = &decision.record;
    let mut ops = Vec::new();
    if decision.changed || expected.is_none() {
        ops.push(Op::PutConfirmation { row: Box::new(row(record, root)), expected });
    }
    if expected.is_none() {
        ops.extend(record.copies.iter().filter(|copy| copy.collected).filter_map(|copy| collected::op(record, copy)));
    }
    if let Some((owner, _)) = record.runs.first() {
        for (due, at) in &decision.due {
            let due = Due { owner: *owner, root, kind: DueKind::Deadline, number: due.number(), at: *at };
            ops.push(Op::SetDue(due));
        }
        if record.state.is_final() {
            let reminders = (0..record.remind.len() as u32).map(decide::Due::Remind);
            let escalations = (0..record.escalate.len() as u32).map(decide::Due::Escalate);
            for due in reminders.chain(escalations).chain([decide::Due::Expire]) {
                ops.push(Op::ClearDue { owner: *owner, kind: DueKind::Deadline, number: due.number() });
            }
            let may_be_secret =
                |run: &ShownRun| run.hidden > 0 || run.params.iter().any(|(_, shown)| shown == SHOWN_MASK);
            if let Some(ending) = record.ending.as_ref().filter(|_| decision.changed)
                && record.runs.iter().any(|(_, run)| may_be_secret(run))
            {
                let at = ending.at.after(KEPT);
                ops.push(Op::SetDue(Due { owner: *owner, root, kind: DueKind::Erase, number: 0, at }));
            }
        }
    }
    for audit in &decision.audit {
        ops.push(Op::Audit {
            at: now,
            event: audit.event.to_owned(),
            person: audit.person.as_ref().map(|p| p.as_str().to_owned()),
            confirmation: Some(record.id.to_string()),
            execution: record.runs.first().map(|(id, _)| *id),
            data: audit.data.clone(),
        });
    }
    ops.extend(decision.says.iter().filter_map(|say| message(say, record, now)).map(|m| Op::Post(Box::new(m))));
    ops
}

/// One message of a decision; what goes back to a caller is none.
///
/// An `edit` replaces the first line of the question of that confirmation and takes away the ways to answer it; networks that
/// cannot change a message leave it out, since the same is said in a message of its own.
fn message(say: &decide::Say, record: &Record, now: Timestamp) -> Option<Outgoing> {
    let (place, kind) = match &say.to {
        decide::To::Place(place) => (place, "confirmation"),
        decide::To::Ask(copy) => (&record.copies.get(*copy)?.place, "question"),
        // What was told along with others is no message of its own.
        decide::To::Edit(copy) => (&record.copies.get(*copy).filter(|copy| !copy.collected)?.place, "edit"),
        decide::To::Caller | decide::To::Bot => return None,
    };
    let leaves = match &say.to {
        decide::To::Ask(copy) => record.copies.get(*copy).and_then(|copy| copy.not_before).unwrap_or(now),
        decide::To::Place(_) | decide::To::Edit(_) | decide::To::Caller | decide::To::Bot => now,
    };
    let mut body = Map::new();
    body.insert("kind".into(), kind.into());
    body.insert("message".into(), say.text.plain().into());
    body.insert("confirmation".into(), record.id.to_string().into());
    body.insert("state".into(), record.state.as_str().into());
    if let decide::To::Ask(copy) | decide::To::Edit(copy) = &say.to {
        body.insert("copy".into(), Value::Int(*copy as i64));
        // What an adapter changes, where it is known by then.
        let message = record.copies.get(*copy).and_then(|copy| copy.message.clone());
        body.extend(message.filter(|_| kind == "edit").map(|message| ("at".into(), message.into())));
    }
    if kind == "question" {
        body.insert("code".into(), record.code.to_string().into());
        body.insert("expires_at".into(), record.expires_at.to_iso().into());
    }
    if let Some((execution, _)) = record.runs.first() {
        body.insert("execution".into(), execution.to_string().into());
    }
    Some(Outgoing {
        id: 0,
        network: place.network.clone(),
        channel: place.channel.clone(),
        thread: place.thread.clone(),
        body: body.into(),
        dedup: say.dedup.clone(),
        created: now,
        not_before: leaves,
        tries: 0,
    })
}

/// The stored form of a record. Requests join an equal one that is open; a task is a step of its own, however equal.
pub(crate) fn row(record: &Record, root: ExecutionId) -> Confirmation {
    let is_request = record.kind == Kind::Gate && record.runs.first().is_some_and(|(first, _)| *first == root);
    let joins = is_request
        .then(|| format!("{}/{}", record.requester.person.as_str(), record.wish.unwrap_or(record.digest).hex()));
    Confirmation {
        id: record.id.to_string(),
        code: record.code.compact(),
        root,
        executions: record.runs.iter().map(|(id, _)| *id).collect(),
        state: record.state.as_str().to_owned(),
        version: record.version,
        requester: record.requester.person.as_str().to_owned(),
        joins,
        network: record.origin.as_ref().map(|p| p.network.clone()),
        channel: record.origin.as_ref().map(|p| p.channel.clone()),
        held_at: record.held_at,
        expires_at: record.expires_at,
        closed_at: record.ending.as_ref().filter(|_| record.state.is_final()).map(|e| e.at),
        json: record.to_json(),
    }
}
