//! Answers to confirmations, from command line and API.
//!
//! Every way in ends in the [inbox](crate::Received); this module finds out which record is meant and who is speaking. What people type in
//! chat is read in [`crate::typed`].

use crate::Engine;
use crate::asking::{Asker, identities_name, identities_of, link_name};
use crate::confirmation::code;
use crate::confirmation::decide::{Answer as Given, Outcome, Verdict};
use crate::confirmation::declare::Way;
use crate::confirmation::limits::Guesses;
use crate::confirmation::people::{Assurance, Directory, Identity, Person, PersonId};
use crate::confirmation::record::{Record, State};
use crate::confirmation::texts::{self, Fill, text};
use crate::people::{Principal, Role, Via, Wish, authorize};
use crate::refusal::Refusal;
use squall_model::{ExecutionId, Value};
use squall_store::{Batch, Confirmation, ConfirmationFilter, Op, Page};

/// What came of an answer.
#[derive(Debug, Clone)]
pub struct Answered {
    /// In the words of the decision.
    pub outcome: Outcome,
    /// What the answerer reads.
    pub told: String,
    /// The record as it is now.
    pub record: Box<Record>,
}

/// An answer of somebody who is known already.
#[derive(Debug, Clone)]
pub struct Answering {
    /// What they want.
    pub verdict: Verdict,
    /// Phrase, note or reason.
    pub rest: Option<String>,
    /// The digest that they saw.
    pub digest: Option<String>,
    /// What the question wants to know.
    pub response: Option<Value>,
    /// How they answer.
    pub way: Way,
}

/// What somebody who speaks is known as.
pub(crate) struct Speaker {
    pub person: Person,
    pub assurance: Assurance,
    pub identity: Option<Identity>,
    pub is_admin: bool,
}

impl Engine {
    /// An answer over the API or the command line, by id or code. `digest` is the one that the caller saw.
    pub async fn answer(
        &self,
        which: &str,
        verdict: Verdict,
        rest: Option<String>,
        digest: Option<String>,
        who: &Principal,
    ) -> Result<Answered, Refusal> {
        self.answer_by(which, Answering { verdict, rest, digest, response: None, way: Way::Cli }, who).await
    }

    /// The same by any way, with what the question wants to know.
    pub async fn answer_by(&self, which: &str, given: Answering, who: &Principal) -> Result<Answered, Refusal> {
        let received = self.receive();
        let record = self.confirmation(which, who)?;
        let speaker = self.speaker(who)?;
        let given = Given {
            verdict: given.verdict,
            by: speaker.person,
            assurance: speaker.assurance,
            identity: None,
            label: None,
            is_admin: speaker.is_admin,
            way: given.way,
            place: None,
            message: None,
            received_at: received.at,
            seq: received.seq,
            digest: given.digest,
            rest: given.rest,
            response: given.response,
        };
        let (outcome, told) = self.give(&record.id.to_string(), given, received).await?;
        let record = self.by_id(&record.id.to_string())?.unwrap_or(record);
        let told = told.unwrap_or_else(|| match record.state {
            State::Open => format!("{} waits on: {}", record.code, record.need()),
            state => format!("{} is {}", record.code, state.as_str()),
        });
        Ok(Answered { outcome, told, record: Box::new(record) })
    }

    /// A confirmation by id or code, if the caller may know of it; the same refusal for those that do not exist.
    pub fn confirmation(&self, which: &str, who: &Principal) -> Result<Record, Refusal> {
        let found = match code::read(which) {
            code::Read::Code(code) => self.by_code(&code.compact())?,
            code::Read::Typo(_) | code::Read::NotACode => self.by_id(which)?,
        };
        let record = found.ok_or_else(|| Refusal::Unknown(unknown(which)))?;
        let speaker = self.speaker(who)?;
        if record.requester.is(&speaker.person) || authorize(who, Wish::View).is_ok() {
            return Ok(record);
        }
        Err(Refusal::Unknown(unknown(which)))
    }

    /// Confirmations in a state (`open`, …) or all, newest first.
    pub fn confirmations(
        &self,
        state: Option<&str>,
        page: Page,
        who: &Principal,
    ) -> Result<(Vec<Record>, u64), Refusal> {
        authorize(who, Wish::View)?;
        let filter = ConfirmationFilter { state: state.map(str::to_owned), ..ConfirmationFilter::default() };
        let (rows, all) = self.store().confirmations(&filter, page)?;
        Ok((rows.iter().map(record_of).collect::<Result<_, _>>()?, all))
    }

    /// The confirmation that holds an execution, if one does.
    pub fn confirmation_of(&self, id: ExecutionId) -> Result<Option<Record>, Refusal> {
        self.store().confirmation_of(id)?.as_ref().map(record_of).transpose()
    }

    /// The question as people read it now.
    pub fn shown(&self, record: &Record) -> String {
        let style = texts::Style {
            prefix: self.settings().prefix.clone(),
            web_url: self.settings().web_url.clone(),
            ..texts::Style::default()
        };
        let question = texts::question(record, self.now(), &style).plain();
        match record.state {
            State::Open => question,
            state => format!("{} is {}.\n{question}", record.code, state.as_str()),
        }
    }

    /// Says that an identity on a chat network is a squall user.
    pub async fn link(&self, identity: &Identity, user: &str, who: &Principal) -> Result<(), Refusal> {
        authorize(who, Wish::ManagePeople)?;
        if self.store().user(user)?.is_none() {
            return Err(Refusal::Unknown(format!("there is no user `{user}`")));
        }
        let mut known = identities_of(self.store(), user)?;
        if !known.contains(identity) {
            known.push(identity.clone());
        }
        let mut batch = Batch::new();
        batch.push(Op::PutMeta { name: link_name(identity), value: user.to_owned() });
        let list = serde_json::to_string(&known).map_err(|e| Refusal::Broken(e.to_string()))?;
        batch.push(Op::PutMeta { name: identities_name(user), value: list });
        Ok(self.inner.store.commit(batch).await?)
    }

    pub(crate) fn by_code(&self, compact: &str) -> Result<Option<Record>, Refusal> {
        self.store().confirmation_by_code(compact)?.as_ref().map(record_of).transpose()
    }

    pub(crate) fn by_id(&self, id: &str) -> Result<Option<Record>, Refusal> {
        self.store().confirmation(&id.to_ascii_uppercase())?.as_ref().map(record_of).transpose()
    }

    /// The person behind a principal; a run's own token is an agent and never answers.
    fn speaker(&self, who: &Principal) -> Result<Speaker, Refusal> {
        if let Via::Chat { network, user_id } = &who.via {
            let identity = Identity { network: network.clone(), workspace: None, user_id: user_id.clone() };
            let (person, assurance) = self.asking(|asker| asker.chat_person(&identity, user_id));
            return Ok(Speaker { person, assurance, identity: Some(identity), is_admin: false });
        }
        let known = self.asking(|asker| asker.directory().person(&PersonId::user(&who.user)));
        let mut person = known.unwrap_or_else(|| Person { guest: true, ..Person::user(&who.user) });
        person.agent = matches!(who.via, Via::Execution(_));
        Ok(Speaker { person, assurance: Assurance::A2, identity: None, is_admin: who.role == Role::Admin })
    }

    pub(crate) fn asking<T>(&self, run: impl FnOnce(&Asker<'_>) -> T) -> T {
        let content = self.content();
        run(&self.asker(&content, self.now()))
    }
}

pub(crate) fn record_of(row: &Confirmation) -> Result<Record, Refusal> {
    Record::from_json(&row.json).map_err(|e| Refusal::Broken(format!("confirmation {}: {e}", row.id)))
}

fn unknown(which: &str) -> String {
    text("M11", &[("code", Fill::Value(which))]).plain()
}

/// Wrong codes of everybody, in memory: a restart forgives.
pub(crate) type Wrong = Guesses;

/// A record for clients: what it holds back, for whom, until when; the code only for whoever may answer by it.
pub fn to_value(record: &Record, with_code: bool) -> Value {
    let mut value = match record.to_value() {
        Value::Map(map) => (*map).clone(),
        _ => squall_model::Map::new(),
    };
    let mut set = |key: &str, to: Value| drop(value.insert(key.into(), to));
    set("action", record.action().into());
    set("requester", record.requester.shown.as_str().into());
    set("held_at", record.held_at.to_iso().into());
    set("digest", record.digest.hex().into());
    set("executions", record.runs.iter().map(|(id, _)| Value::from(id.to_string())).collect::<Vec<_>>().into());
    let shown = record.runs.iter().flat_map(|(_, run)| &run.params);
    set(
        "params_shown",
        shown.map(|(k, v)| (k.as_str().into(), Value::from(v.as_str()))).collect::<squall_model::Map>().into(),
    );
    if let Some(ending) = &record.ending {
        set("by", ending.by.as_str().into());
        set("decided_at", ending.at.to_iso().into());
    }
    if with_code {
        set("code", record.code.to_string().into());
    }
    value.into()
}
