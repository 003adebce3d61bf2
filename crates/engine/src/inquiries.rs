//! StackStorm's inquiries, and gates in their clothes: `PUT /v1/inquiries/ID` answers both.
//!
//! An inquiry is an execution; its answer is a vote like any other, decided by the same function.

use crate::answers::Answering;
use crate::confirmation::decide::{Outcome, Refused, Verdict};
use crate::confirmation::declare::Way;
use crate::confirmation::record::{Kind, Record, State};
use crate::people::{Principal, Wish, authorize};
use crate::{Engine, Refusal};
use squall_model::{ExecutionId, Map, Status, Value};
use squall_store::{Confirmation, ConfirmationFilter, Page};

/// Records that a listing looks at.
const LOOKED_AT: u64 = 10_000;

impl Engine {
    /// Inquiries that wait, newest first; with `gates`, held runs as well.
    pub fn inquiries(&self, gates: bool, who: &Principal) -> Result<Vec<Record>, Refusal> {
        authorize(who, Wish::View)?;
        let filter = ConfirmationFilter { state: Some(Confirmation::OPEN.to_owned()), ..ConfirmationFilter::default() };
        let (rows, _) = self.store().confirmations(&filter, Page { offset: 0, limit: LOOKED_AT })?;
        let read = |row: &Confirmation| {
            Record::from_json(&row.json).map_err(|e| Refusal::Broken(format!("confirmation {}: {e}", row.id)))
        };
        let all: Vec<Record> = rows.iter().map(read).collect::<Result<_, _>>()?;
        Ok(all.into_iter().filter(|record| gates || record.kind == Kind::Inquiry).collect())
    }

    /// The inquiry that an execution is, open or answered.
    pub fn inquiry(&self, id: ExecutionId, who: &Principal) -> Result<Record, Refusal> {
        let execution = self.execution(id, who)?;
        let found = self.confirmation_of(id)?;
        found.ok_or_else(|| Refusal::Invalid(format!("Action execution \"{}\" is not an inquiry.", execution.id)))
    }

    /// Answers an inquiry, or a gate with `{confirm: true, reason: …}`.
    pub async fn respond(&self, id: ExecutionId, response: &Map, who: &Principal) -> Result<(), Refusal> {
        let record = self.inquiry(id, who)?;
        match (record.state, self.execution(id, who)?.status) {
            (State::Open, _) => {}
            (State::Expired, _) | (_, Status::Timeout) => {
                return Err(Refusal::Invalid(format!("Inquiry \"{id}\" timed out and cannot be responded to.")));
            }
            _ => return Err(Refusal::Invalid(format!("Inquiry \"{id}\" has already been responded to."))),
        }
        let (verdict, rest, response) = match record.kind {
            Kind::Inquiry => (Verdict::Grant, None, Some(Value::from(response.clone()))),
            Kind::Gate | Kind::Task => {
                let rest = response.get("reason").and_then(Value::as_str).map(str::to_owned);
                match response.get("confirm") {
                    Some(Value::Bool(true)) => (Verdict::Grant, rest, Some(Value::from(response.clone()))),
                    Some(Value::Bool(false)) => (Verdict::Deny, rest, None),
                    _ => {
                        let text = "Response for inquiry \"{}\" did not pass schema validation. `confirm` must be true or false";
                        return Err(Refusal::Invalid(text.replace("{}", &id.to_string())));
                    }
                }
            }
        };
        let given = Answering { verdict, rest, digest: None, response, way: Way::Api };
        let answered = self.answer_by(&record.id.to_string(), given, who).await?;
        match answered.outcome {
            Outcome::Ended(_) | Outcome::Counted { .. } | Outcome::Noted => Ok(()),
            Outcome::Refused(Refused::BadResponse) => Err(Refusal::Invalid(format!(
                "Response for inquiry \"{id}\" did not pass schema validation. {}",
                answered.told
            ))),
            Outcome::Refused(Refused::Final | Refused::Twice) => {
                Err(Refusal::Invalid(format!("Inquiry \"{id}\" has already been responded to.")))
            }
            Outcome::Refused(Refused::Late) => {
                Err(Refusal::Invalid(format!("Inquiry \"{id}\" timed out and cannot be responded to.")))
            }
            Outcome::Refused(_) if record.kind == Kind::Inquiry => Err(Refusal::MayNotRespond(format!(
                "User \"{}\" does not have permission to respond to inquiry \"{id}\".",
                who.user
            ))),
            Outcome::Refused(_) => Err(Refusal::MayNotRespond(answered.told)),
        }
    }
}

/// An inquiry as clients see it.
pub fn shown(record: &Record) -> Value {
    let id = record.runs.first().map(|(id, _)| id.to_string());
    let mut map = match record.inquiry() {
        Value::Map(map) if record.kind == Kind::Inquiry => (*map).clone(),
        _ => gate(),
    };
    map.insert("id".into(), id.into());
    map.into()
}

/// A held run as an inquiry: yes or no, and why.
fn gate() -> Map {
    let field =
        |kind: &str, required: bool| Value::from_pairs([("type", Value::from(kind)), ("required", required.into())]);
    let properties = Value::from_pairs([("confirm", field("boolean", true)), ("reason", field("string", false))]);
    let schema = Value::from_pairs([("type", Value::from("object")), ("properties", properties)]);
    let none = || Value::from(Vec::<Value>::new());
    [("schema", schema), ("roles", none()), ("users", none()), ("route", "".into()), ("ttl", 0.into())]
        .into_iter()
        .map(|(key, value)| (key.into(), value))
        .collect()
}
