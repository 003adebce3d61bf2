//! Answers to confirmations, from chat, command line and API: found by code or id, decided once, told to everybody.
//!
//! Every way in ends in the same decision; this module only finds out which record is meant and who is speaking.

use crate::asking::{Asker, identities_name, identities_of, link_name};
use crate::confirmation::answer::{Heard, Said, read};
use crate::confirmation::decide::{Answer as Given, Outcome, Verdict};
use crate::confirmation::declare::Way;
use crate::confirmation::limits::{Guessed, Guesses};
use crate::confirmation::people::{Assurance, Directory, Identity, Person, PersonId};
use crate::confirmation::record::{Place, Record, State};
use crate::confirmation::texts::{self, Fill, text};
use crate::confirmation::{Event, code};
use crate::people::{Principal, Role, Via, Wish, authorize};
use crate::refusal::Refusal;
use crate::turn::{Answer, Input};
use crate::{Engine, locked};
use squall_model::{ExecutionId, Timestamp, Value};
use squall_store::{Batch, Confirmation, ConfirmationFilter, Op, Page};
use std::time::Duration;

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

/// Something typed in chat that may be about confirmations.
#[derive(Debug, Clone)]
pub struct Typed {
    /// The whole message.
    pub raw: String,
    /// What follows the bot's prefix or name, when it was addressed.
    pub command: Option<String>,
    /// Who, on the network.
    pub identity: Identity,
    /// The name shown for them.
    pub name: String,
    /// Where.
    pub place: Place,
    /// The message.
    pub message: String,
    /// The confirmation whose question began the thread, if there is one.
    pub at: Option<String>,
    /// When it was heard.
    pub heard_at: Timestamp,
}

/// What a typed message was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing about confirmations: aliases may know it.
    Other,
    /// Done; everybody was told where the question stands.
    Done,
    /// This is to be said to whoever typed.
    Say(String),
    /// A mistyped code: aliases first, and this if none knows the line.
    Perhaps(String),
    /// Nothing is said at all.
    Silence,
}

/// What somebody who speaks is known as.
struct Speaker {
    person: Person,
    assurance: Assurance,
    identity: Option<Identity>,
    is_admin: bool,
}

impl Engine {
    /// Takes in something typed in chat.
    pub async fn typed(&self, typed: &Typed) -> Result<Reply, Refusal> {
        let heard = Heard {
            raw: &typed.raw,
            command: typed.command.as_deref(),
            at_question: typed.at.is_some(),
            ..Heard::default()
        };
        let (person, assurance) = self.asking(|asker| asker.chat_person(&typed.identity, &typed.name));
        let is_admin = person.roles.iter().any(|r| r == Role::Admin.as_str());
        let speaker = Speaker { person, assurance, identity: Some(typed.identity.clone()), is_admin };
        match read(&heard) {
            Said::Other => Ok(Reply::Other),
            Said::Typo(input) => {
                let codes = self.codes_for(&speaker)?;
                let fills = [("input", Fill::Value(&input)), ("codes", Fill::Ours(codes))];
                Ok(Reply::Perhaps(text("M10", &fills).plain()))
            }
            Said::SeveralCodes => Ok(Reply::Say("one code in a message, please; nothing was answered".into())),
            Said::WhichQuestion => Ok(Reply::Say("several questions are open here: answer with the code".into())),
            Said::Pending { all } => Ok(Reply::Say(self.pending(&speaker, all)?)),
            Said::Show(code) => match self.by_code(&code.compact())? {
                Some(record) => Ok(Reply::Say(self.shown(&record))),
                None => self.guessed(&speaker, typed, &code.to_string()),
            },
            Said::Plain(verdict) => {
                let Some(record) = typed.at.as_deref().map(|id| self.by_id(id)).transpose()?.flatten() else {
                    return Ok(Reply::Other);
                };
                self.speak(record, verdict, Way::Reply, None, speaker, typed).await
            }
            Said::Answer { verdict, code, rest } => match self.by_code(&code.compact())? {
                Some(record) => self.speak(record, verdict, Way::Command, rest, speaker, typed).await,
                None => self.guessed(&speaker, typed, &code.to_string()),
            },
        }
    }

    async fn speak(
        &self,
        record: Record,
        verdict: Verdict,
        way: Way,
        rest: Option<String>,
        speaker: Speaker,
        typed: &Typed,
    ) -> Result<Reply, Refusal> {
        let given = Given {
            verdict,
            by: speaker.person,
            assurance: speaker.assurance,
            identity: speaker.identity,
            label: None,
            is_admin: speaker.is_admin,
            way,
            place: Some(typed.place.clone()),
            message: Some(typed.message.clone()),
            received_at: typed.heard_at,
            seq: 0,
            digest: None,
            rest,
            response: None,
        };
        let (_, told) = self.give(&record, given).await?;
        Ok(told.map_or(Reply::Done, Reply::Say))
    }

    /// A code that nobody may know of: the same text whether it does not exist or is not theirs, and not too often.
    fn guessed(&self, speaker: &Speaker, typed: &Typed, code: &str) -> Result<Reply, Refusal> {
        let channel = typed.place.channel_id();
        let now = self.now();
        let guessed = locked(&self.inner.guesses).wrong(speaker.person.id.as_str(), Some(&channel), now);
        Ok(match guessed {
            Guessed::Answer => Reply::Say(text("M11", &[("code", Fill::Value(code))]).plain()),
            Guessed::TooMany => {
                let until = locked(&self.inner.guesses).ignored_until(speaker.person.id.as_str(), now);
                let delta = texts::human(until.map_or(Duration::ZERO, |at| at.since(now)));
                Reply::Say(text("M21", &[("delta", Fill::Ours(delta))]).plain())
            }
            Guessed::Silence => Reply::Silence,
        })
    }

    /// An answer over the API or the command line, by id or code. `digest` is the one that the caller saw.
    pub async fn answer(
        &self,
        which: &str,
        verdict: Verdict,
        rest: Option<String>,
        digest: Option<String>,
        who: &Principal,
    ) -> Result<Answered, Refusal> {
        let record = self.confirmation(which, who)?;
        let speaker = self.speaker(who)?;
        let given = Given {
            verdict,
            by: speaker.person,
            assurance: speaker.assurance,
            identity: None,
            label: None,
            is_admin: speaker.is_admin,
            way: Way::Cli,
            place: None,
            message: None,
            received_at: self.now(),
            seq: 0,
            digest,
            rest,
            response: None,
        };
        let (outcome, told) = self.give(&record, given).await?;
        let record = self.by_id(&record.id.to_string())?.unwrap_or(record);
        let told = told.unwrap_or_else(|| match record.state {
            State::Open => format!("{} waits on: {}", record.code, record.need()),
            state => format!("{} is {}", record.code, state.as_str()),
        });
        Ok(Answered { outcome, told, record: Box::new(record) })
    }

    /// The one way from an answer to its decision.
    async fn give(&self, record: &Record, given: Given) -> Result<(Outcome, Option<String>), Refusal> {
        let id = record.id.to_string();
        let row = self.store().confirmation(&id)?.ok_or_else(|| Refusal::Unknown(unknown(&record.code.to_string())))?;
        let event = Box::new(Event::Answer(Box::new(given)));
        match self.insist(row.root, Input::Confirm { id, event }).await {
            Answer::Confirmed { outcome, told } => Ok((outcome, told)),
            Answer::Refused(refusal) => Err(refusal),
            Answer::Execution(_) | Answer::Claim(_) | Answer::Done => {
                Err(Refusal::Broken("an answer was answered with something else".into()))
            }
        }
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

    /// What waits and concerns somebody.
    fn pending(&self, speaker: &Speaker, all: bool) -> Result<String, Refusal> {
        let open = self.open_records()?;
        let mine: Vec<Record> = open.into_iter().filter(|r| all || self.concerns(r, speaker)).collect();
        Ok(texts::pending(&mine, self.now()).plain())
    }

    fn codes_for(&self, speaker: &Speaker) -> Result<String, Refusal> {
        let open = self.open_records()?;
        let codes: Vec<String> =
            open.iter().filter(|r| self.concerns(r, speaker)).map(|r| r.code.to_string()).collect();
        Ok(if codes.is_empty() { "none".into() } else { codes.join(", ") })
    }

    fn concerns(&self, record: &Record, speaker: &Speaker) -> bool {
        if record.requester.is(&speaker.person) {
            return true;
        }
        self.asking(|asker| {
            let directory = asker.directory();
            record
                .requirements
                .iter()
                .flat_map(|r| &r.who)
                .any(|who| directory.members(who).iter().any(|member| member.id == speaker.person.id))
        })
    }

    fn open_records(&self) -> Result<Vec<Record>, Refusal> {
        let filter = ConfirmationFilter { state: Some("open".into()), ..ConfirmationFilter::default() };
        let (rows, _) = self.store().confirmations(&filter, Page { offset: 0, limit: 1_000 })?;
        rows.iter().map(record_of).collect()
    }

    fn by_code(&self, compact: &str) -> Result<Option<Record>, Refusal> {
        self.store().confirmation_by_code(compact)?.as_ref().map(record_of).transpose()
    }

    fn by_id(&self, id: &str) -> Result<Option<Record>, Refusal> {
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

    fn asking<T>(&self, run: impl FnOnce(&Asker<'_>) -> T) -> T {
        let content = self.content();
        run(&Asker {
            content: &content,
            store: self.store(),
            ids: self.ids(),
            settings: self.settings(),
            now: self.now(),
        })
    }
}

fn record_of(row: &Confirmation) -> Result<Record, Refusal> {
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
