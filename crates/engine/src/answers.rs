//! Answers to confirmations over the API and the command line, and what of them somebody may see.
//!
//! Every way in ends in the [inbox](crate::Received); this module finds out which record is meant and who is speaking. What people type in
//! chat is read in [`crate::typed`].

use crate::asking::Asker;
use crate::confirmation::decide::{Answer as Given, Outcome, Verdict};
use crate::confirmation::declare::Way;
use crate::confirmation::limits::{Guessed, Guesses};
use crate::confirmation::people::{Assurance, Directory, Identity, Person, PersonId, Proof, Question, eligible};
use crate::confirmation::record::{Ballot, Kind, Record, State, Vote};
use crate::confirmation::texts::{self, Fill, text};
use crate::confirmation::{Event, code};
use crate::people::{NotProved, Principal, Role, Via, Wish, assurance_by_factor, audit_row, authorize};
use crate::refusal::Refusal;
use crate::turn::{Answer as Settled, Input};
use crate::{Engine, bots, locked};
use squall_model::{ExecutionId, Map, Status, Value};
use squall_store::{Batch, Confirmation, ConfirmationFilter, Page};
use std::time::Duration;

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

/// What became of a confirmation that was to be asked anew.
#[derive(Debug, Clone)]
pub struct Reevaluated {
    /// For whoever wanted it.
    pub told: String,
    /// The new one, or the old one when there is none.
    pub record: Box<Record>,
}

/// Which confirmations to list. Empty fields let everything through that the caller may see.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// In this state (`open`, …).
    pub state: Option<String>,
    /// Asked for by the caller.
    pub mine: bool,
    /// Open, and the caller's yes would count.
    pub answerable: bool,
    /// For this action.
    pub action: Option<String>,
}

/// What somebody who speaks is known as.
pub(crate) struct Speaker {
    pub person: Person,
    pub assurance: Assurance,
    pub identity: Option<Identity>,
    pub is_admin: bool,
}

/// Confirmations that one listing looks at.
const SCANNED: u64 = 10_000;
/// Read at a time.
const CHUNK: u64 = 500;

impl Engine {
    /// An answer over the API or the command line, by id or code, perhaps with a code of the caller's second factor.
    ///
    /// # Errors
    /// When there is nothing that the caller may see, when they guessed too often, or when a factor was given that proves
    /// nothing. What the decision refuses is in [`Answered::outcome`].
    pub async fn answer(
        &self,
        which: &str,
        given: Answering,
        factor: Option<&str>,
        who: &Principal,
    ) -> Result<Answered, NotProved> {
        if let Some(code) = factor {
            let record = self.confirmation(which, who).await?;
            self.prove(who, code, &record.digest.hex()).await?;
        }
        Ok(self.answer_by(which, given, who).await?)
    }

    /// The same without a factor; one that was proved within the last minutes counts.
    pub async fn answer_by(&self, which: &str, given: Answering, who: &Principal) -> Result<Answered, Refusal> {
        let received = self.receive();
        let record = match code::read(which) {
            code::Read::Code(_) => self.confirmation(which, who).await?,
            // Nobody guesses an id; whether it may be known is a part of the decision.
            code::Read::Typo(_) | code::Read::NotACode => {
                self.by_id(which)?.ok_or_else(|| Refusal::Unknown(unknown(which)))?
            }
        };
        let mut speaker = self.speaker(who)?;
        if speaker.assurance == Assurance::A2 && speaker.identity.is_none() {
            let digest = record.digest.hex();
            speaker.assurance = assurance_by_factor(self.store(), &who.user, &digest, self.now())?;
        }
        let Answering { verdict, rest, digest, response, way } = given;
        let given = Given {
            received_at: received.at,
            seq: received.seq,
            digest,
            rest,
            response,
            ..self.given(&speaker, verdict, way)
        };
        let (outcome, told) = self.give(&record.id.to_string(), given, received).await?;
        let record = self.by_id(&record.id.to_string())?.unwrap_or(record);
        let told = told.unwrap_or_else(|| match record.state {
            State::Open => format!("{} waits on: {}", record.code, record.need()),
            state => format!("{} is {}", record.code, state.as_str()),
        });
        Ok(Answered { outcome, told, record: Box::new(record) })
    }

    /// Ends an open confirmation and asks about the same runs anew under the rules of now, which may ask for less: rules that
    /// become looser leave open ones as they are. When nothing asks any more, or the rules cannot be met, the runs end.
    pub async fn reevaluate(&self, which: &str, who: &Principal) -> Result<Reevaluated, Refusal> {
        authorize(who, Wish::Reevaluate)?;
        let record = self.confirmation(which, who).await?;
        if record.kind != Kind::Gate {
            let text = format!("{} is a step of a workflow, which no rule asks: withdraw it instead", record.code);
            return Err(Refusal::Invalid(text));
        }
        let finished =
            |state: State| Refusal::Conflict(format!("{} is already finished: {}", record.code, state.as_str()));
        if record.state.is_final() {
            return Err(finished(record.state));
        }
        let id = record.id.to_string();
        let row = self.store().confirmation(&id)?.ok_or_else(|| Refusal::Unknown(unknown(which)))?;
        let event = Box::new(Event::Reevaluated { by: self.speaker(who)?.person.shown() });
        let told = match self.insist(row.root, Input::Confirm { id: id.clone(), event, inbox: None }).await {
            Settled::Confirmed { outcome: Outcome::Ended(State::Withdrawn), told } => told,
            Settled::Refused(refusal) => return Err(refusal),
            _ => return Err(finished(self.by_id(&id)?.map_or(record.state, |record| record.state))),
        };
        let first = record.runs.first().map(|(id, _)| *id);
        let run = first.map(|id| self.store().execution(id)).transpose()?.flatten();
        let is_waiting = run.is_some_and(|execution| execution.status == Status::Pending);
        let now = first.map(|id| self.confirmation_of(id)).transpose()?.flatten().unwrap_or(record);
        let told = match now.state {
            State::Open => format!("It is asked anew as {}, and needs {}.", now.code, now.need()),
            _ if is_waiting => "It is asked anew as soon as what must be found out before is known.".into(),
            _ => told.unwrap_or_else(|| "It cannot be asked about anew.".into()),
        };
        Ok(Reevaluated { told, record: Box::new(now) })
    }

    fn given(&self, speaker: &Speaker, verdict: Verdict, way: Way) -> Given {
        Given {
            verdict,
            by: speaker.person.clone(),
            assurance: speaker.assurance,
            identity: speaker.identity.clone(),
            label: None,
            is_admin: speaker.is_admin,
            way,
            place: None,
            message: None,
            received_at: self.now(),
            seq: 0,
            digest: None,
            rest: None,
            response: None,
        }
    }

    /// A confirmation by id or code, if the caller may know of it; the same refusal for those that do not exist. A wrong code
    /// is a guess, and whoever guesses too often is not answered for a while.
    pub async fn confirmation(&self, which: &str, who: &Principal) -> Result<Record, Refusal> {
        let by_code = match code::read(which) {
            code::Read::Code(code) => Some(code),
            code::Read::Typo(_) | code::Read::NotACode => None,
        };
        let speaker = self.speaker(who)?;
        let guesser = speaker.person.id.as_str();
        if by_code.is_some() {
            self.not_ignored(guesser)?;
        }
        let found = match &by_code {
            Some(code) => self.by_code(&code.compact())?,
            None => self.by_id(which)?,
        };
        match found.filter(|record| self.is_shown_to(record, &speaker)) {
            Some(record) => Ok(record),
            None if by_code.is_some() => Err(self.guessed_over_api(which, guesser, who).await?),
            None => Err(Refusal::Unknown(unknown(which))),
        }
    }

    fn not_ignored(&self, guesser: &str) -> Result<(), Refusal> {
        let now = self.now();
        match locked(&self.inner.guesses).ignored_until(guesser, now) {
            None => Ok(()),
            Some(until) => {
                Err(Refusal::Limited { text: too_many(until.since(now)), seconds: until.since(now).as_secs() })
            }
        }
    }

    /// Counts a guess and writes it down; what to tell.
    async fn guessed_over_api(&self, which: &str, guesser: &str, who: &Principal) -> Result<Refusal, Refusal> {
        let now = self.now();
        let (guessed, until) = {
            let mut guesses = locked(&self.inner.guesses);
            (guesses.wrong(guesser, None, now), guesses.ignored_until(guesser, now))
        };
        let row = audit_row("wrong_code", who, Value::from_pairs([("code", which)]), now);
        self.store().commit(Batch::from(row)).await?;
        Ok(match (guessed, until) {
            (Guessed::Answer, _) | (_, None) => Refusal::Unknown(unknown(which)),
            (_, Some(until)) => {
                Refusal::Limited { text: too_many(until.since(now)), seconds: until.since(now).as_secs() }
            }
        })
    }

    fn is_shown_to(&self, record: &Record, speaker: &Speaker) -> bool {
        let given = self.given(speaker, Verdict::Grant, Way::Api);
        self.asking(|asker| asker.may_see(record, &given))
    }

    /// Whether a principal may see a confirmation, by id. No guess is counted: ids are long.
    pub fn may_see(&self, id: &str, who: &Principal) -> bool {
        let seen = || Some(self.is_shown_to(&self.by_id(id).ok()??, &self.speaker(who).ok()?));
        seen().unwrap_or(false)
    }

    /// Whether a yes of the caller would count, as far as it depends on who they are.
    pub fn may_answer(&self, record: &Record, who: &Principal) -> bool {
        self.speaker(who).is_ok_and(|speaker| self.is_answerable(record, &speaker))
    }

    pub(crate) fn is_answerable(&self, record: &Record, speaker: &Speaker) -> bool {
        let person = &speaker.person;
        let is_own = |vote: &Vote| person.is(&vote.person, vote.identity.as_slice());
        if record.state != State::Open || record.live(Ballot::Grant).any(is_own) {
            return false;
        }
        self.asking(|asker| {
            let (requester, editors) = (&record.requester, &record.editors);
            let directory = &asker.directory_of(record);
            let question = Question { requester, editors, trust_legacy_bots: false, directory };
            // What else is needed, a link or a factor, they will be told.
            let proof = Proof { person, assurance: Assurance::A3, label: None };
            record.requirements.iter().any(|requirement| eligible(requirement, &proof, &question).is_ok())
        })
    }

    /// Confirmations that the caller may see, newest first, and how many there are of the newest ten thousand.
    pub fn confirmations(&self, wanted: &Wanted, page: Page, who: &Principal) -> Result<(Vec<Record>, u64), Refusal> {
        let speaker = self.speaker(who)?;
        let state = if wanted.answerable { Some("open".to_owned()) } else { wanted.state.clone() };
        let filter = ConfirmationFilter { state, ..ConfirmationFilter::default() };
        if speaker.is_admin && !wanted.mine && !wanted.answerable && wanted.action.is_none() {
            let (rows, all) = self.store().confirmations(&filter, page)?;
            return Ok((rows.iter().map(record_of).collect::<Result<_, _>>()?, all));
        }
        let mut found = Vec::new();
        let (mut count, mut offset) = (0u64, 0u64);
        while offset < SCANNED {
            let (rows, _) = self.store().confirmations(&filter, Page { offset, limit: CHUNK })?;
            for row in &rows {
                let record = record_of(row)?;
                if !self.is_wanted(&record, wanted, &speaker) {
                    continue;
                }
                if count >= page.offset && (found.len() as u64) < page.limit {
                    found.push(record);
                }
                count += 1;
            }
            offset += CHUNK;
            if (rows.len() as u64) < CHUNK {
                break;
            }
        }
        Ok((found, count))
    }

    fn is_wanted(&self, record: &Record, wanted: &Wanted, speaker: &Speaker) -> bool {
        let is_of = |action: &String| record.runs.iter().any(|(_, run)| run.action == *action);
        (!wanted.mine || record.requester.is(&speaker.person))
            && wanted.action.as_ref().is_none_or(is_of)
            && (!wanted.answerable || self.is_answerable(record, speaker))
            && self.is_shown_to(record, speaker)
    }

    /// The confirmation that holds an execution, if one does.
    pub fn confirmation_of(&self, id: ExecutionId) -> Result<Option<Record>, Refusal> {
        self.store().confirmation_of(id)?.as_ref().map(record_of).transpose()
    }

    /// The question as people read it now.
    pub fn shown(&self, record: &Record) -> String {
        let question = texts::question(record, self.now(), &self.style()).plain();
        match record.state {
            State::Open => question,
            state => format!("{} is {}.\n{question}", record.code, state.as_str()),
        }
    }

    /// What an old bot posts for a command that waits. Where its answers do not count, no code invites them; `who` is the account that
    /// the bot brought it with.
    pub fn shown_to_bots(&self, record: &Record, who: &Principal) -> String {
        let is_answerable = self.settings().trust_legacy_bots && !who.is_program();
        if is_answerable { self.shown(record) } else { bots::question(record) }
    }

    fn style(&self) -> texts::Style {
        texts::Style {
            prefix: self.settings().prefix.clone(),
            web_url: self.settings().web_url.clone(),
            ..texts::Style::default()
        }
    }

    /// Where a confirmation can be looked at: its page, or what the API says of it.
    pub fn confirmation_url(&self, record: &Record) -> String {
        match &self.settings().web_url {
            Some(_) => self.style().url(record),
            None => format!("{}/confirmations/{}", self.settings().api_url, record.id),
        }
    }

    pub(crate) fn by_code(&self, compact: &str) -> Result<Option<Record>, Refusal> {
        self.store().confirmation_by_code(compact)?.as_ref().map(record_of).transpose()
    }

    pub(crate) fn by_id(&self, id: &str) -> Result<Option<Record>, Refusal> {
        self.store().confirmation(&id.to_ascii_uppercase())?.as_ref().map(record_of).transpose()
    }

    /// The person behind a principal; the tokens of runs and agents never answer.
    pub(crate) fn speaker(&self, who: &Principal) -> Result<Speaker, Refusal> {
        if let Via::Chat(identity) = &who.via {
            let (person, assurance) = self.asking(|asker| asker.chat_person(identity, &identity.user_id));
            return Ok(Speaker { person, assurance, identity: Some(identity.clone()), is_admin: false });
        }
        let known = self.asking(|asker| asker.directory().person(&PersonId::user(&who.user)));
        let mut person = known.unwrap_or_else(|| Person { guest: true, ..Person::user(&who.user) });
        person.agent = who.is_program();
        let is_admin = who.role == Role::Admin && !who.is_program();
        Ok(Speaker { person, assurance: Assurance::A2, identity: None, is_admin })
    }

    /// The people as they are now.
    pub(crate) fn with_directory<T>(&self, run: impl FnOnce(&dyn Directory) -> T) -> T {
        self.asking(|asker| run(&asker.directory()))
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

fn too_many(left: Duration) -> String {
    text("M21", &[("delta", Fill::Ours(texts::human(left)))]).plain()
}

/// Wrong codes of everybody, in memory: a restart forgives.
pub(crate) type Wrong = Guesses;

/// A record for clients: what it holds back, for whom, until when, who said what. Secrets are masked in it already; the code
/// is for people alone.
pub fn to_value(record: &Record, with_code: bool) -> Value {
    let mut value = match record.to_value() {
        Value::Map(map) => (*map).clone(),
        _ => Map::new(),
    };
    let mut set = |key: &str, to: Value| drop(value.insert(key.into(), to));
    set("action", record.action().into());
    set("requester", record.requester.shown.as_str().into());
    set("agent", record.requester.agent.clone().into());
    set("held_at", record.held_at.to_iso().into());
    set("digest", record.digest.hex().into());
    set("executions", record.runs.iter().map(|(id, _)| Value::from(id.to_string())).collect::<Vec<_>>().into());
    let shown = record.runs.iter().flat_map(|(_, run)| &run.params);
    set("params_shown", shown.map(|(k, v)| (k.as_str().into(), Value::from(v.as_str()))).collect::<Map>().into());
    set("via", record.ways.iter().map(|way| Value::from(way.as_str())).collect::<Vec<_>>().into());
    set("votes", record.votes.iter().map(vote_value).collect::<Vec<_>>().into());
    if let Some(ending) = &record.ending {
        set("by", ending.by.as_str().into());
        set("decided_at", ending.at.to_iso().into());
        set("reason", ending.reason.clone().into());
        set("cause", ending.cause.as_ref().map(crate::confirmation::record::Cause::text).into());
        set("bypassed", record.bypassed.into());
    }
    if with_code {
        set("code", record.code.to_string().into());
    }
    value.into()
}

fn vote_value(vote: &Vote) -> Value {
    Value::from_pairs([
        ("by", Value::from(vote.shown.as_str())),
        ("ballot", if vote.ballot == Ballot::Grant { "grant" } else { "deny" }.into()),
        ("assurance", vote.assurance.as_str().into()),
        ("via", vote.way.as_str().into()),
        ("note", vote.note.clone().into()),
        ("at", vote.received_at.to_iso().into()),
        ("withdrawn_at", vote.withdrawn_at.map(|at| at.to_iso()).into()),
    ])
}
