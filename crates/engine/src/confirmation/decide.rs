//! The one function through which a confirmation changes.
//!
//! [`decide`] takes a record, something that happened, and the world as it is, and answers the record as it is after,
//! what everybody is told, what the audit log gets and what becomes of the held run. Every way in (chat, button, web,
//! REST, command line, inquiry, deadline) calls it; the caller commits all of the answer or nothing, on condition that
//! the stored version is the one that was decided on.
//!
//! Invariant: only `Deciding::settle` changes the state, once, along the table in `record`.

use super::answer::MIN_REASON;
use super::code::Code;
use super::declare::{Reason, Remind, Way};
use super::digest::Digest;
use super::people::{
    Assurance, Directory, Identity, Ineligible, Label, Person, PersonId, Proof, Question, Requester, Requirement,
    eligible, filled, possible, shown_set,
};
use super::policy::{Joined, Source};
use super::record::{
    Ballot, Cause, ConfirmationId, Copy, Ending, Happening, Kind, Place, Record, State, VERSION, Vote,
};
use super::texts::{self, Fill, ShownRun, Style, Text, text};
use squall_model::{ExecutionId, Timestamp, Value};
use std::time::Duration;

/// A step back of the clock by more than this voids what is open.
const CLOCK_STEP: Duration = Duration::from_secs(5);
/// Break glasses of one person within a day.
const BREAKS_PER_DAY: u32 = 3;
/// How long until a broken glass must have been reviewed.
const REVIEW_WITHIN: Duration = Duration::from_secs(72 * 3_600);

/// What does not change between decisions.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// How texts are written.
    pub style: Style,
    /// Whether old bots are believed for the requester's own confirmation.
    pub trust_legacy_bots: bool,
    /// Whether second factors exist here; without them A2 is enough to break the glass.
    pub has_factors: bool,
    /// Where broken glasses are told about, besides the question's places.
    pub audit_place: Option<Place>,
}

/// The world at the moment of a decision.
pub struct World<'a> {
    /// The time.
    pub now: Timestamp,
    /// The people.
    pub directory: &'a dyn Directory,
    /// Compares what would run with what was asked about; only called when a release is due.
    pub recheck: &'a dyn Fn(&Record) -> Result<(), Cause>,
    /// A fresh id, for the release.
    pub release_id: &'a str,
    /// How often the answerer broke a glass in the last 24 hours.
    pub breaks_today: u32,
    /// Whether a review of theirs is overdue by more than 14 days.
    pub is_barred: bool,
    /// Settings.
    pub settings: &'a Settings,
}

/// What somebody wants with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Grant,
    /// No.
    Deny,
    /// Take my answer back.
    Unconfirm,
    /// I do not want it any more.
    Withdraw,
    /// Run it without the others.
    BreakGlass,
}

/// Somebody's answer as the inbox holds it.
#[derive(Debug, Clone)]
pub struct Answer {
    /// What they want.
    pub verdict: Verdict,
    /// Who, as they are now.
    pub by: Person,
    /// How sure that is.
    pub assurance: Assurance,
    /// Through which identity, in chat.
    pub identity: Option<Identity>,
    /// What an old bot said.
    pub label: Option<Label>,
    /// Whether they administrate.
    pub is_admin: bool,
    /// How.
    pub way: Way,
    /// Where, in chat.
    pub place: Option<Place>,
    /// The message on the network.
    pub message: Option<String>,
    /// When the adapter handed it over.
    pub received_at: Timestamp,
    /// Its number in the inbox.
    pub seq: u64,
    /// The digest that it carries: all digits, or the 16 of a button. Typed codes carry none.
    pub digest: Option<String>,
    /// Phrase, note or reason.
    pub rest: Option<String>,
    /// What was asked for along with the answer, for tasks with a schema.
    pub response: Option<Value>,
}

/// Something due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// The deadline.
    Expire,
    /// The reminder of that number.
    Remind(u32),
    /// The escalation of that number.
    Escalate(u32),
}

impl Due {
    /// As the number of a due row.
    pub fn number(self) -> u32 {
        match self {
            Due::Expire => 0,
            Due::Remind(n) => 1 + 2 * n,
            Due::Escalate(n) => 2 + 2 * n,
        }
    }

    /// From the number of a due row.
    pub fn from_number(number: u32) -> Due {
        match number {
            0 => Due::Expire,
            n if n % 2 == 1 => Due::Remind((n - 1) / 2),
            n => Due::Escalate((n - 2) / 2),
        }
    }
}

/// Something that happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// Somebody answered.
    Answer(Box<Answer>),
    /// A due row fired.
    Due(Due),
    /// The run was cancelled, its workflow ended, the requester is gone. `by` may be empty.
    Cancel {
        /// Who, for people.
        by: String,
        /// Why.
        cause: Cause,
    },
    /// Content, secrets or rights changed: look whether it still is what was asked about.
    Recheck,
    /// Rules ask for more by now: this record ends, and the request is asked about again.
    Superseded,
    /// The server was away and is back.
    Restarted {
        /// For how long.
        away: Duration,
    },
    /// The wall clock was set back.
    ClockBack(Duration),
    /// A copy of the question is there.
    Delivered {
        /// Which copy.
        copy: usize,
        /// The message.
        message: String,
    },
    /// A copy of the question could not be posted.
    NotDelivered {
        /// Which copy.
        copy: usize,
    },
    /// The network would not take the question yet: moves the deadline, once, before any copy was sent.
    Delayed(Duration),
}

/// Why nothing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Nothing that this person may know of.
    Unknown,
    /// Not of the set.
    NotEligible,
    /// The requester cannot approve.
    IsRequester,
    /// An agent cannot answer.
    Agent,
    /// It is finished.
    Final,
    /// After the deadline.
    Late,
    /// The answer is about something else.
    DigestDiffers,
    /// The account must be linked first.
    NeedsLink,
    /// A second factor is needed.
    NeedsFactor,
    /// The phrase is missing or wrong.
    Phrase,
    /// A reason is needed.
    NeedsReason,
    /// Not by this way.
    WrongWay,
    /// Answered the same before.
    Twice,
    /// Too often.
    Limited,
    /// Not due, not open, or nothing to do.
    Nothing,
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A vote was counted or taken back: `n` of `m`.
    Counted {
        /// Votes that count.
        n: u32,
        /// Votes that are needed.
        m: u32,
    },
    /// It reached this final state.
    Ended(State),
    /// It was noted.
    Noted,
    /// Nothing changed.
    Refused(Refused),
}

impl Outcome {
    /// The status of the answer over HTTP.
    pub fn http(self) -> u16 {
        match self {
            Outcome::Counted { .. } | Outcome::Noted => 200,
            Outcome::Ended(State::Void) => 409,
            Outcome::Ended(_) => 200,
            Outcome::Refused(why) => match why {
                Refused::Unknown => 404,
                Refused::NotEligible | Refused::IsRequester | Refused::Agent | Refused::WrongWay => 403,
                Refused::NeedsLink => 403,
                Refused::Final | Refused::Twice | Refused::Nothing => 409,
                Refused::Late => 410,
                Refused::DigestDiffers => 412,
                Refused::Phrase | Refused::NeedsReason => 422,
                Refused::NeedsFactor => 428,
                Refused::Limited => 429,
            },
        }
    }
}

/// Where something is said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum To {
    /// To a place in chat.
    Place(Place),
    /// Back to whoever called, when they are not in chat.
    Caller,
    /// Into the copy of the question of that number: its first line is replaced and its buttons go. When that fails, as
    /// a new message.
    Edit(usize),
    /// The question itself, as the copy of that number.
    Ask(usize),
}

/// Something to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Say {
    /// Where.
    pub to: To,
    /// What.
    pub text: Text,
    /// The key under which the outbox takes it once.
    pub dedup: String,
}

/// An entry of the audit log.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// What: `held`, `vote`, `released`, …
    pub event: &'static str,
    /// Who, if anybody.
    pub person: Option<PersonId>,
    /// Through which identity.
    pub identity: Option<Identity>,
    /// How sure.
    pub assurance: Option<Assurance>,
    /// Everything else.
    pub data: Value,
}

/// What becomes of the held executions.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// They are requested now; the scheduler takes them by this id.
    Release {
        /// Unique for ever.
        release_id: String,
    },
    /// They end, or the task does: see [`Record::result`].
    End,
}

/// What is to be committed, all of it or nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The record after.
    pub record: Record,
    /// Whether it is another than before; its version counted on then.
    pub changed: bool,
    /// What came of it.
    pub outcome: Outcome,
    /// What is said.
    pub says: Vec<Say>,
    /// What the audit log gets.
    pub audit: Vec<Audit>,
    /// Rows to write: what is due, and when. When the record is final, all its rows go.
    pub due: Vec<(Due, Timestamp)>,
    /// What becomes of the held executions.
    pub effect: Option<Effect>,
    /// Whether the request is to be asked about anew.
    pub ask_again: bool,
    /// Until when a broken glass must be reviewed.
    pub review_until: Option<Timestamp>,
}

impl Decision {
    /// What the answerer is told, when that goes back to a caller.
    pub fn told(&self) -> Option<String> {
        self.says.iter().find(|say| say.to == To::Caller).map(|say| say.text.plain())
    }
}

/// A request that is to be held.
pub struct Opening {
    /// The record's id.
    pub id: ConfirmationId,
    /// Its code.
    pub code: Code,
    /// What it holds back.
    pub kind: Kind,
    /// The executions, with what is shown of them.
    pub runs: Vec<(ExecutionId, ShownRun)>,
    /// The digest of all of them.
    pub digest: Digest,
    /// Who asks.
    pub requester: Requester,
    /// Who last edited action, alias or rule.
    pub editors: Vec<PersonId>,
    /// The user that it runs as.
    pub run_as: String,
    /// From where.
    pub source: Source,
    /// The place of the command.
    pub origin: Option<Place>,
    /// The command as typed.
    pub command: Option<String>,
    /// What all rules want, with phrases rendered.
    pub joined: Joined,
    /// Where else to ask: `ask.also` and direct messages, as the engine resolved them.
    pub places: Vec<Place>,
    /// The attempt before.
    pub retry_of: Option<ConfirmationId>,
}

/// Opens a confirmation, or says (M14) why nobody could ever answer it.
pub fn hold(opening: Opening, world: &World<'_>) -> Result<Decision, Text> {
    let joined = opening.joined;
    let action = opening.runs.first().map_or_else(String::new, |(_, run)| run.action.clone());
    if joined.ways.is_empty() {
        return Err(text("M14-ways", &[("action", Fill::Value(&action))]));
    }
    let question = Question {
        requester: &opening.requester,
        editors: &opening.editors,
        trust_legacy_bots: world.settings.trust_legacy_bots,
        directory: world.directory,
    };
    for requirement in &joined.requirements {
        let n = possible(requirement, &question);
        if n < requirement.count as usize {
            return Err(text(
                "M14",
                &[
                    ("action", Fill::Value(&action)),
                    ("m", requirement.count.into()),
                    ("set", shown_set(&requirement.who).into()),
                    ("n", n.to_string().into()),
                ],
            ));
        }
    }
    let timeout = Duration::from_secs(joined.timeout);
    let mut places: Vec<Place> = Vec::new();
    let asked = opening.origin.iter().filter(|_| joined.ask_origin).chain(&opening.places);
    for place in asked {
        if !places.contains(place) {
            places.push(place.clone());
        }
    }
    let mut record = Record {
        v: VERSION,
        id: opening.id,
        code: opening.code,
        state: State::Open,
        version: 0,
        kind: opening.kind,
        runs: opening.runs,
        digest: opening.digest,
        requester: opening.requester,
        editors: opening.editors,
        run_as: opening.run_as,
        source: opening.source,
        origin: opening.origin,
        command: opening.command,
        rules: joined.rules,
        requirements: joined.requirements,
        ways: joined.ways,
        deny_count: joined.deny_count,
        deny_reason: joined.deny_reason,
        grant_reason: joined.grant_reason,
        remind: joined.remind,
        escalate: joined.escalate,
        reminded: 0,
        escalated: 0,
        break_glass: joined.break_glass,
        timeout_ms: timeout.as_millis() as u64,
        held_at: world.now,
        expires_at: world.now.after(timeout),
        moved: false,
        start_within: joined.start_within,
        copies: Vec::new(),
        votes: Vec::new(),
        ending: None,
        release_id: None,
        bypassed: false,
        retry_of: opening.retry_of,
    };
    let asked = texts::question(&record, world.now, &world.settings.style);
    let shown_sha = super::digest::sha256_hex(&asked.plain());
    record.copies = places
        .into_iter()
        .map(|place| Copy { place, message: None, failed: false, shown_sha: shown_sha.clone() })
        .collect();
    let mut deciding = Deciding::new(&record, world);
    let mut says: Vec<(To, Text)> = (0..record.copies.len()).map(|n| (To::Ask(n), asked.clone())).collect();
    if record.origin.is_none() {
        says.push((To::Caller, asked.clone()));
    }
    deciding.says = says;
    deciding.due = schedule(&record);
    deciding.audit(
        "held",
        None,
        Value::from_pairs([
            ("digest", Value::from(record.digest.hex())),
            ("requester", record.requester.person.as_str().into()),
            ("rules", record.rules.iter().map(|r| Value::from(r.id.as_str())).collect::<Vec<_>>().into()),
            ("shown_sha", shown_sha.into()),
            ("shown", asked.plain().into()),
            ("expires_at", record.expires_at.to_iso().into()),
        ]),
    );
    Ok(deciding.done(Outcome::Noted))
}

/// The rows of an open record.
fn schedule(record: &Record) -> Vec<(Due, Timestamp)> {
    let timeout = Duration::from_millis(record.timeout_ms);
    let mut due = vec![(Due::Expire, record.expires_at)];
    for (n, remind) in record.remind.iter().enumerate() {
        let at = match remind {
            Remind::Percent(percent) => record.held_at.after(timeout * u32::from(*percent) / 100),
            Remind::Left(seconds) => record.held_at.after(timeout.saturating_sub(Duration::from_secs(*seconds))),
        };
        due.push((Due::Remind(n as u32), at));
    }
    for (n, escalation) in record.escalate.iter().enumerate() {
        due.push((Due::Escalate(n as u32), record.held_at.after(Duration::from_secs(escalation.after))));
    }
    due
}

/// Decides what an event does to a record.
pub fn decide(record: &Record, event: &Event, world: &World<'_>) -> Decision {
    let mut deciding = Deciding::new(record, world);
    let outcome = match event {
        Event::Answer(answer) => deciding.answered(answer),
        Event::Due(due) => deciding.due(*due),
        Event::Cancel { by, cause } => deciding.cancelled(by, cause),
        Event::Recheck => deciding.rechecked(),
        Event::Superseded => deciding.superseded(),
        Event::Restarted { away } => deciding.restarted(*away),
        Event::ClockBack(step) => deciding.clock_back(*step),
        Event::Delivered { copy, message } => deciding.delivered(*copy, Some(message)),
        Event::NotDelivered { copy } => deciding.delivered(*copy, None),
        Event::Delayed(delay) => deciding.delayed(*delay),
    };
    deciding.done(outcome)
}

/// Whether whoever answers may know that there is such a confirmation.
pub fn may_see(record: &Record, answer: &Answer, world: &World<'_>) -> bool {
    Deciding::new(record, world).may_see(answer)
}

/// A decision in the making.
struct Deciding<'a> {
    before: &'a Record,
    record: Record,
    world: &'a World<'a>,
    says: Vec<(To, Text)>,
    audits: Vec<Audit>,
    due: Vec<(Due, Timestamp)>,
    effect: Option<Effect>,
    ask_again: bool,
    review_until: Option<Timestamp>,
}

impl<'a> Deciding<'a> {
    fn new(record: &'a Record, world: &'a World<'a>) -> Deciding<'a> {
        Deciding {
            before: record,
            record: record.clone(),
            world,
            says: Vec::new(),
            audits: Vec::new(),
            due: Vec::new(),
            effect: None,
            ask_again: false,
            review_until: None,
        }
    }

    fn done(self, outcome: Outcome) -> Decision {
        let mut record = self.record;
        let changed = record != *self.before;
        if changed {
            record.version += 1;
        }
        let version = record.version;
        let key = |(n, (to, text)): (usize, (To, Text))| Say {
            to,
            text,
            // A refusal changes nothing, so its time tells it from the next one.
            dedup: format!(
                "confirmation/{}/{version}/{n}/{}",
                record.id,
                if changed { 0 } else { self.world.now.micros() }
            ),
        };
        let says = self.says.into_iter().enumerate().map(key).collect();
        Decision {
            changed,
            outcome,
            says,
            audit: self.audits,
            due: self.due,
            effect: self.effect,
            ask_again: self.ask_again,
            review_until: self.review_until,
            record,
        }
    }

    // ---- answers ---------------------------------------------------------------------------------------------

    fn answered(&mut self, answer: &Answer) -> Outcome {
        if !self.may_see(answer) {
            return self.refuse(answer, Refused::Unknown, "M11", &[]);
        }
        if answer.by.agent {
            let need = self.record.need();
            return self.refuse(answer, Refused::Agent, "M12-agent", &[("set", need.into())]);
        }
        if self.record.state.is_final() {
            return self.finished(answer);
        }
        if answer.received_at >= self.record.expires_at {
            return self.late(answer);
        }
        if answer.digest.as_ref().is_some_and(|seen| !self.record.digest.is(seen)) {
            return self.refuse(answer, Refused::DigestDiffers, "M12-changed", &[]);
        }
        if !self.is_way_open(answer) {
            let ways: Vec<_> = self.record.ways.iter().map(|way| way.as_str()).collect();
            return self.refuse(answer, Refused::WrongWay, "M12-way", &[("ways", ways.join(", ").into())]);
        }
        match answer.verdict {
            Verdict::Grant => self.granted(answer),
            Verdict::Deny => self.denied(answer),
            Verdict::Unconfirm => self.taken_back(answer),
            Verdict::Withdraw => self.withdrawn(answer),
            Verdict::BreakGlass => self.broken(answer),
        }
    }

    /// Whether the person may know that there is such a confirmation: who asked, who can answer, who was there when it
    /// was asked.
    fn may_see(&self, answer: &Answer) -> bool {
        let sure = Proof { person: &answer.by, assurance: Assurance::A3, label: None };
        answer.is_admin
            || self.record.requester.is(&answer.by)
            || answer.place.as_ref().is_some_and(|place| self.record.was_asked_in(place))
            || self.record.requirements.iter().any(|r| eligible(r, &sure, &self.question()).is_ok())
            || self.record.votes.iter().any(|vote| is_by(vote, &answer.by))
            || self.may_break(answer, Assurance::A3).is_ok()
    }

    /// Stopping is possible by every way that people use; reactions and agents' clients only where a rule lists them.
    fn is_way_open(&self, answer: &Answer) -> bool {
        let stops = matches!(answer.verdict, Verdict::Deny | Verdict::Unconfirm | Verdict::Withdraw);
        self.record.ways.contains(&answer.way)
            || (!matches!(answer.way, Way::Reaction | Way::Elicitation)
                && (stops || answer.verdict == Verdict::BreakGlass))
    }

    fn granted(&mut self, answer: &Answer) -> Outcome {
        let fits = match self.fits(answer) {
            Ok(fits) => fits,
            Err(why) => return self.not_eligible(answer, why),
        };
        let typed = answer.rest.as_deref().map(|rest| rest.split_whitespace().collect::<Vec<_>>().join(" "));
        let is_typed = |n: &usize| {
            let phrase = self.record.requirements.get(*n).and_then(|r| r.phrase.as_ref());
            phrase.is_none_or(|phrase| typed.as_ref() == Some(phrase))
        };
        let fits: Vec<usize> = fits.into_iter().filter(is_typed).collect();
        if fits.is_empty() {
            let hint = self.record.requirements.iter().find_map(|r| r.phrase_hint.clone()).unwrap_or_default();
            let name = if typed.is_some() { "M20-wrong" } else { "M20" };
            return self.refuse(answer, Refused::Phrase, name, &[("hint", hint.into())]);
        }
        if self.record.grant_reason == Reason::Required && typed.is_none_or(|t| t.is_empty()) {
            return self.refuse(answer, Refused::NeedsReason, "M12-reason", &[("word", "confirm".into())]);
        }
        let before = self.record.live(Ballot::Grant).find(|vote| is_by(vote, &answer.by));
        if before.is_some_and(|vote| fits.iter().all(|n| vote.fits.contains(n)) && self.counts(vote)) {
            let (n, m) = self.count();
            // Enough by now, because somebody whose vote did not count got a role or an account back.
            if n >= m {
                return self.complete(answer);
            }
            return self.refuse(answer, Refused::Twice, "M13", &[("n", n.into()), ("m", m.into())]);
        }
        self.vote(answer, Ballot::Grant, fits);
        let (n, m) = self.count();
        if n >= m {
            return self.complete(answer);
        }
        let fills = [("by", Fill::Name(&answer.by.shown())), ("n", n.into()), ("m", m.into())];
        self.tell_everybody(Some(answer), "M3", &fills);
        Outcome::Counted { n, m }
    }

    /// Numbers of the requirements that the answer can count for.
    fn fits(&self, answer: &Answer) -> Result<Vec<usize>, Ineligible> {
        let proof = Proof { person: &answer.by, assurance: answer.assurance, label: answer.label.as_ref() };
        let question = self.question();
        let checked: Vec<_> = self.record.requirements.iter().map(|r| eligible(r, &proof, &question)).collect();
        let fits: Vec<usize> = checked.iter().enumerate().filter(|(_, c)| c.is_ok()).map(|(n, _)| n).collect();
        match checked.into_iter().filter_map(Result::err).min() {
            Some(closest) if fits.is_empty() => Err(closest),
            _ => Ok(fits),
        }
    }

    fn not_eligible(&mut self, answer: &Answer, why: Ineligible) -> Outcome {
        self.audit("ineligible", Some(answer), Value::from_pairs([("why", format!("{why:?}"))]));
        let url = self.world.settings.style.url(&self.record);
        let set = self.record.need();
        let (refused, name) = match why {
            Ineligible::NeedsFactor => (Refused::NeedsFactor, "M19"),
            Ineligible::NeedsLink => (Refused::NeedsLink, "M18"),
            Ineligible::OnlyLabel => (Refused::NeedsLink, "M12-label"),
            Ineligible::IsRequester => (Refused::IsRequester, "M12-self"),
            Ineligible::IsEditor => (Refused::NotEligible, "M12-editor"),
            Ineligible::NotOfSet | Ineligible::NotTrusted => (Refused::NotEligible, "M12"),
            Ineligible::Agent => (Refused::Agent, "M12-agent"),
        };
        // Whoever is asked for by name reads the name: `it needs Alice (@alice)`.
        let requester = self.record.requester.shown.clone();
        let own = self.record.requirements.iter().all(Requirement::is_self);
        let set = if own { Fill::Name(&requester) } else { set.into() };
        self.refuse(answer, refused, name, &[("url", url.into()), ("set", set)])
    }

    fn denied(&mut self, answer: &Answer) -> Outcome {
        if self.is_requester(answer) {
            return self.withdrawn(answer);
        }
        if let Err(why) = self.may_deny(answer) {
            return self.not_eligible(answer, why);
        }
        let reason = answer.rest.as_deref().map(note).filter(|r| !r.is_empty());
        if self.record.deny_reason == Reason::Required && reason.is_none() {
            return self.refuse(answer, Refused::NeedsReason, "M12-reason", &[("word", "deny".into())]);
        }
        if self.record.live(Ballot::Deny).any(|vote| is_by(vote, &answer.by)) {
            return self.refuse(answer, Refused::Twice, "M13-denied", &[]);
        }
        self.vote(answer, Ballot::Deny, Vec::new());
        let (n, m) = (self.record.live(Ballot::Deny).count() as u32, self.record.deny_count);
        let by = answer.by.shown();
        let reason_fill = reason.as_deref().map_or(Fill::from("no reason given"), Fill::Value);
        if n < m {
            let fills = [("by", Fill::Name(&by)), ("reason", reason_fill), ("n", n.into()), ("m", m.into())];
            self.tell_everybody(Some(answer), "M5-open", &fills);
            return Outcome::Counted { n, m };
        }
        let ending = self.ending(by.clone(), reason.clone(), None, answer.seq);
        self.settle(Happening::Refusal, ending);
        self.tell_everybody(Some(answer), "M5", &[("by", Fill::Name(&by)), ("reason", reason_fill)]);
        self.audit("denied", Some(answer), Value::from_pairs([("reason", Value::from(reason))]));
        Outcome::Ended(State::Denied)
    }

    /// Whoever may grant may refuse; for that no second factor is asked, since stopping needs less proof than starting.
    fn may_deny(&self, answer: &Answer) -> Result<(), Ineligible> {
        let proof = Proof { person: &answer.by, assurance: answer.assurance, label: answer.label.as_ref() };
        let question = self.question();
        let check = |requirement: &Requirement| {
            let softer =
                Requirement { min_assurance: requirement.min_assurance.min(Assurance::A2), ..requirement.clone() };
            eligible(&softer, &proof, &question)
        };
        let mut closest = Ineligible::NotOfSet;
        for requirement in &self.record.requirements {
            match check(requirement) {
                Ok(()) => return Ok(()),
                Err(why) => closest = closest.min(why),
            }
        }
        Err(closest)
    }

    fn taken_back(&mut self, answer: &Answer) -> Outcome {
        let at = self.world.now;
        let own = self.record.votes.iter_mut().filter(|vote| vote.withdrawn_at.is_none() && is_by(vote, &answer.by));
        let taken = own.map(|vote| vote.withdrawn_at = Some(at)).count();
        if taken == 0 {
            return self.refuse(answer, Refused::Nothing, "M13-none", &[]);
        }
        let (n, m) = self.count();
        self.tell_everybody(
            Some(answer),
            "M7-vote",
            &[("by", Fill::Name(&answer.by.shown())), ("n", n.into()), ("m", m.into())],
        );
        self.audit("vote_withdrawn", Some(answer), Value::Null);
        Outcome::Counted { n, m }
    }

    fn is_requester(&self, answer: &Answer) -> bool {
        let labelled = self.world.settings.trust_legacy_bots
            && answer.label.is_some()
            && answer.label == self.record.requester.label;
        self.record.requester.is(&answer.by) && (answer.assurance >= Assurance::A1 || labelled)
    }

    fn withdrawn(&mut self, answer: &Answer) -> Outcome {
        if !self.is_requester(answer) && !answer.is_admin {
            let requester = self.record.requester.shown.clone();
            return self.refuse(answer, Refused::NotEligible, "M12-withdraw", &[("requester", Fill::Name(&requester))]);
        }
        let by = answer.by.shown();
        let ending = self.ending(by.clone(), answer.rest.as_deref().map(note), None, answer.seq);
        self.settle(Happening::Withdrawal, ending);
        self.tell_everybody(Some(answer), "M7", &[("by", Fill::Name(&by))]);
        self.audit("withdrawn", Some(answer), Value::Null);
        Outcome::Ended(State::Withdrawn)
    }

    fn may_break(&self, answer: &Answer, assurance: Assurance) -> Result<(), Ineligible> {
        let needed = if self.world.settings.has_factors { Assurance::A3 } else { Assurance::A2 };
        if self.record.break_glass.is_empty() {
            return Err(Ineligible::NotOfSet);
        }
        let proof = Proof { person: &answer.by, assurance, label: None };
        for set in &self.record.break_glass {
            let requirement = Requirement {
                who: set.clone(),
                count: 1,
                exclude_requester: false,
                exclude_editor: false,
                min_assurance: needed,
                phrase: None,
                phrase_hint: None,
            };
            eligible(&requirement, &proof, &self.question())?;
        }
        Ok(())
    }

    fn broken(&mut self, answer: &Answer) -> Outcome {
        if self.record.break_glass.is_empty() {
            return self.refuse(answer, Refused::NotEligible, "M22-none", &[]);
        }
        if let Err(why) = self.may_break(answer, answer.assurance) {
            return self.not_eligible(answer, why);
        }
        let reason = answer.rest.as_deref().map(note).unwrap_or_default();
        if reason.chars().filter(|c| !c.is_whitespace()).count() < MIN_REASON {
            let n = MIN_REASON.to_string();
            return self.refuse(answer, Refused::NeedsReason, "M22-reason", &[("n", n.into())]);
        }
        if self.world.is_barred || self.world.breaks_today >= BREAKS_PER_DAY {
            let n = self.world.breaks_today;
            return self.refuse(answer, Refused::Limited, "M22-limit", &[("n", n.into())]);
        }
        if let Err(cause) = (self.world.recheck)(&self.record) {
            return self.void(Some(answer), cause);
        }
        let by = answer.by.shown();
        let missing = self.missing();
        let until = self.world.now.after(REVIEW_WITHIN);
        let ending = self.ending(by.clone(), Some(reason.clone()), None, answer.seq);
        self.settle(Happening::BrokenGlass, ending);
        self.record.bypassed = true;
        self.review_until = Some(until);
        let date = texts::clock(until, self.world.now, &self.world.settings.style.zone);
        let ids = self.execution_ids();
        let url = self.world.settings.style.url(&self.record);
        let fills = [
            ("by", Fill::Name(&by)),
            ("missing", missing.into()),
            ("reason", Fill::Value(&reason)),
            ("date", date.into()),
            ("id", ids.into()),
            ("url", url.into()),
        ];
        self.tell_everybody(Some(answer), "M22", &fills);
        if let Some(place) = &self.world.settings.audit_place
            && !self.says.iter().any(|(to, _)| *to == To::Place(place.clone()))
        {
            let said = self.said("M22", &fills);
            self.says.push((To::Place(place.clone()), said));
        }
        self.audit("bypassed", Some(answer), Value::from_pairs([("reason", reason)]));
        Outcome::Ended(State::Released)
    }

    fn finished(&mut self, answer: &Answer) -> Outcome {
        let late = answer.received_at >= self.record.expires_at;
        if self.record.state == State::Expired && late {
            return self.late(answer);
        }
        let ending = self.record.ending.clone();
        let (at, by) = ending.map_or((self.world.now, String::new()), |e| (e.at, e.by));
        let time = texts::clock(at, self.world.now, &self.world.settings.style.zone);
        let name = if by.is_empty() { "M13-final-nobody" } else { "M13-final" };
        self.refuse(
            answer,
            Refused::Final,
            name,
            &[("state", self.record.state.as_str().into()), ("by", Fill::Name(&by)), ("time", time.into())],
        )
    }

    fn late(&mut self, answer: &Answer) -> Outcome {
        let delta = texts::human(answer.received_at.since(self.record.expires_at));
        self.refuse(answer, Refused::Late, "M9", &[("delta", delta.into()), ("state", "expired".into())])
    }

    // ---- everything else -------------------------------------------------------------------------------------

    fn due(&mut self, due: Due) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        match due {
            Due::Expire if self.world.now >= self.record.expires_at => self.expired(),
            Due::Remind(n) if n >= self.record.reminded && self.world.now < self.record.expires_at => {
                self.record.reminded = n + 1;
                let missing = self.missing();
                self.tell_everybody(None, "M16", &[("missing", missing.into())]);
                self.audit("reminded", None, Value::Null);
                Outcome::Noted
            }
            Due::Escalate(n) if n >= self.record.escalated && self.world.now < self.record.expires_at => {
                self.escalated(n)
            }
            // A deadline that was moved: the row fired too early and is written again.
            Due::Expire => {
                self.due = vec![(Due::Expire, self.record.expires_at)];
                Outcome::Refused(Refused::Nothing)
            }
            Due::Remind(_) | Due::Escalate(_) => Outcome::Refused(Refused::Nothing),
        }
    }

    fn expired(&mut self) -> Outcome {
        let copies = &self.record.copies;
        let undelivered = !copies.is_empty() && copies.iter().all(|copy| copy.message.is_none());
        let cause = undelivered.then_some(Cause::NotDelivered);
        let ending = self.ending(String::new(), None, cause, 0);
        let timeout = texts::human(Duration::from_millis(self.record.timeout_ms));
        self.settle(Happening::Deadline, ending);
        let command = self.record.command.clone();
        let name = match &command {
            _ if undelivered => "M6-undelivered",
            Some(_) => "M6",
            None => "M6-plain",
        };
        let command = command.unwrap_or_default();
        self.tell_everybody(None, name, &[("timeout", timeout.into()), ("command", Fill::Value(&command))]);
        self.audit("expired", None, Value::from_pairs([("delivered", !undelivered)]));
        Outcome::Ended(State::Expired)
    }

    fn escalated(&mut self, n: u32) -> Outcome {
        self.record.escalated = n + 1;
        let Some(escalation) = self.record.escalate.get(n as usize).cloned() else {
            return Outcome::Refused(Refused::Nothing);
        };
        for requirement in self.record.requirements.iter_mut().filter(|r| !r.is_self()) {
            for who in &escalation.add_who {
                if !requirement.who.contains(who) {
                    requirement.who.push(who.clone());
                }
            }
        }
        let set = match escalation.add_who.as_slice() {
            [] => escalation.mention.join(", "),
            added => shown_set(added),
        };
        let delta = texts::human(Duration::from_secs(escalation.after));
        self.tell_everybody(None, "M17", &[("set", set.into()), ("delta", delta.into())]);
        self.audit("escalated", None, Value::from_pairs([("number", Value::from(n))]));
        Outcome::Noted
    }

    fn cancelled(&mut self, by: &str, cause: &Cause) -> Outcome {
        let ending = self.ending(by.to_owned(), None, Some(cause.clone()), 0);
        if !self.settle(Happening::Withdrawal, ending) {
            return Outcome::Refused(Refused::Nothing);
        }
        if by.is_empty() {
            self.tell_everybody(None, "M7-cause", &[("cause", cause.text().into())]);
        } else {
            self.tell_everybody(None, "M7", &[("by", Fill::Name(by))]);
        }
        self.audit("withdrawn", None, Value::from_pairs([("by", by.to_owned()), ("cause", cause.text())]));
        Outcome::Ended(State::Withdrawn)
    }

    fn rechecked(&mut self) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        match (self.world.recheck)(&self.record) {
            Ok(()) => Outcome::Noted,
            Err(cause) => self.void(None, cause),
        }
    }

    fn superseded(&mut self) -> Outcome {
        let outcome = self.void(None, Cause::Policy);
        self.ask_again = outcome == Outcome::Ended(State::Void);
        outcome
    }

    fn restarted(&mut self, away: Duration) -> Outcome {
        if self.record.state.is_final() {
            return Outcome::Refused(Refused::Nothing);
        }
        if self.world.now < self.record.held_at {
            return self.void(None, Cause::Clock);
        }
        if self.world.now < self.record.expires_at {
            self.tell_everybody(None, "M23", &[("delta", texts::human(away).into())]);
        }
        // A deadline that has passed meanwhile is a due row like any other, after the answers that came in time.
        Outcome::Noted
    }

    fn clock_back(&mut self, step: Duration) -> Outcome {
        if step > CLOCK_STEP { self.void(None, Cause::Clock) } else { Outcome::Refused(Refused::Nothing) }
    }

    fn delivered(&mut self, copy: usize, message: Option<&String>) -> Outcome {
        let Some(copy) = self.record.copies.get_mut(copy) else { return Outcome::Refused(Refused::Nothing) };
        copy.failed = message.is_none();
        if message.is_some() {
            copy.message = message.cloned();
        }
        self.audit(if message.is_some() { "question_sent" } else { "question_failed" }, None, Value::Null);
        Outcome::Noted
    }

    fn delayed(&mut self, delay: Duration) -> Outcome {
        let was_sent = self.record.copies.iter().any(|copy| copy.message.is_some());
        if self.record.state.is_final() || self.record.moved || was_sent || self.world.now >= self.record.expires_at {
            return Outcome::Refused(Refused::Nothing);
        }
        self.record.moved = true;
        self.record.expires_at = self.record.expires_at.after(delay);
        self.due = vec![(Due::Expire, self.record.expires_at)];
        Outcome::Noted
    }

    // ---- ends ------------------------------------------------------------------------------------------------

    /// Every requirement is met: the last look, then the release.
    fn complete(&mut self, answer: &Answer) -> Outcome {
        if let Err(cause) = (self.world.recheck)(&self.record) {
            return self.void(Some(answer), cause);
        }
        let counted: Vec<String> =
            self.record.live(Ballot::Grant).filter(|v| self.counts(v)).map(|v| v.shown.clone()).collect();
        let by = counted.join(", ");
        let ending = self.ending(by.clone(), answer.rest.as_deref().map(note), None, answer.seq);
        self.settle(Happening::Complete, ending);
        let ids = self.execution_ids();
        let url = self.world.settings.style.web_url.as_ref().and_then(|base| {
            let (id, _) = self.record.runs.first()?;
            Some(format!("{base}/#/history/{id}/general"))
        });
        let names = Text(vec![texts::Piece::Name(
            counted.iter().map(|name| texts::shown_name(name)).collect::<Vec<_>>().join(", "),
        )]);
        let time = texts::clock(self.world.now, self.world.now, &self.world.settings.style.zone);
        let edit = self.said("M4-edit", &[("by", Fill::Text(names.clone())), ("time", time.into())]);
        for copy in 0..self.record.copies.len() {
            self.says.push((To::Edit(copy), edit.clone()));
        }
        let fills = [("by", Fill::Text(names)), ("id", ids.into()), ("url", url.unwrap_or_default().into())];
        self.say_everywhere(Some(answer), "M4", &fills);
        self.audit("released", Some(answer), Value::from_pairs([("by", by)]));
        Outcome::Ended(State::Released)
    }

    fn void(&mut self, answer: Option<&Answer>, cause: Cause) -> Outcome {
        let said = cause.text();
        let ending = self.ending(String::new(), None, Some(cause), answer.map_or(0, |a| a.seq));
        if !self.settle(Happening::Drift, ending) {
            return Outcome::Refused(Refused::Nothing);
        }
        self.tell_everybody(answer, "M8", &[("cause", Fill::Ours(texts::neutral(&said)))]);
        self.audit("void", answer, Value::from_pairs([("cause", said)]));
        Outcome::Ended(State::Void)
    }

    fn ending(&self, by: String, reason: Option<String>, cause: Option<Cause>, seq: u64) -> Ending {
        Ending { at: self.world.now, by, reason: reason.filter(|r| !r.is_empty()), cause, seq }
    }

    /// The only place where the state changes; answers whether it did.
    fn settle(&mut self, happening: Happening, ending: Ending) -> bool {
        let Some(state) = self.record.state.after(happening) else { return false };
        self.record.state = state;
        self.record.ending = Some(ending);
        self.effect = Some(match (state, self.record.kind) {
            (State::Released, Kind::Gate) => {
                self.record.release_id = Some(self.world.release_id.to_owned());
                Effect::Release { release_id: self.world.release_id.to_owned() }
            }
            _ => Effect::End,
        });
        true
    }

    // ---- votes -----------------------------------------------------------------------------------------------

    /// Adds a vote; whatever the person said before no longer counts.
    fn vote(&mut self, answer: &Answer, ballot: Ballot, fits: Vec<usize>) {
        for vote in self.record.votes.iter_mut().filter(|vote| vote.withdrawn_at.is_none() && is_by(vote, &answer.by)) {
            vote.withdrawn_at = Some(self.world.now);
        }
        self.record.votes.push(Vote {
            person: answer.by.id.clone(),
            shown: answer.by.shown(),
            identity: answer.identity.clone(),
            assurance: answer.assurance,
            ballot,
            fits,
            note: answer.rest.as_deref().map(note).filter(|n| !n.is_empty()),
            way: answer.way,
            message: answer.message.clone(),
            received_at: answer.received_at,
            seq: answer.seq,
            withdrawn_at: None,
        });
        let latency = answer.received_at.since(self.record.held_at).as_millis() as u64;
        let data = Value::from_pairs([
            ("ballot", Value::from(if ballot == Ballot::Grant { "grant" } else { "deny" })),
            ("way", answer.way.as_str().into()),
            ("message", answer.message.clone().into()),
            ("latency_ms", latency.into()),
            ("name", answer.by.name.as_str().into()),
        ]);
        self.audit("vote", Some(answer), data);
    }

    /// Requirements that a vote still fits, with its person as they are now.
    fn still_fits(&self, vote: &Vote) -> Vec<usize> {
        let Some(person) = self.person_of(vote) else { return Vec::new() };
        let label = if vote.assurance == Assurance::A0 { self.record.requester.label.as_ref() } else { None };
        let proof = Proof { person: &person, assurance: vote.assurance, label };
        let question = self.question();
        let fits =
            |n: &&usize| self.record.requirements.get(**n).is_some_and(|r| eligible(r, &proof, &question).is_ok());
        vote.fits.iter().filter(fits).copied().collect()
    }

    /// Who voted, as they are now; `None` when the account is gone or the identity is linked to it no more.
    fn person_of(&self, vote: &Vote) -> Option<Person> {
        if vote.person.user_name().is_none() {
            // Without an account there is nothing that could have changed.
            let mut person = Person::user("");
            person.id = vote.person.clone();
            person.identities = vote.identity.iter().cloned().collect();
            return Some(person);
        }
        let person = self.world.directory.person(&vote.person)?;
        let linked = vote.identity.as_ref().is_none_or(|identity| person.identities.contains(identity));
        linked.then_some(person)
    }

    fn counts(&self, vote: &Vote) -> bool {
        !self.still_fits(vote).is_empty()
    }

    fn filled(&self) -> Vec<u32> {
        let votes: Vec<Vec<usize>> = self.record.live(Ballot::Grant).map(|vote| self.still_fits(vote)).collect();
        filled(&self.record.requirements, &votes)
    }

    /// How many votes count, of how many that are needed.
    fn count(&self) -> (u32, u32) {
        (self.filled().iter().sum(), self.record.needed())
    }

    /// `1 of role sre and 1 of role dba`
    fn missing(&self) -> String {
        let filled = self.filled();
        let missing = self.record.requirements.iter().zip(filled).filter(|(r, n)| *n < r.count);
        missing.map(|(r, n)| format!("{} of {}", r.count - n, shown_set(&r.who))).collect::<Vec<_>>().join(" and ")
    }

    fn question(&self) -> Question<'_> {
        Question {
            requester: &self.record.requester,
            editors: &self.record.editors,
            trust_legacy_bots: self.world.settings.trust_legacy_bots,
            directory: self.world.directory,
        }
    }

    // ---- words -----------------------------------------------------------------------------------------------

    fn execution_ids(&self) -> String {
        self.record.runs.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// A text with what every text may name.
    fn said(&self, name: &str, fills: &[(&str, Fill<'_>)]) -> Text {
        let action = self.record.action();
        let mut all: Vec<(&str, Fill<'_>)> = fills.to_vec();
        all.push(("code", self.record.code.to_string().into()));
        all.push(("action", Fill::Value(&action)));
        all.push(("left", texts::left(&self.record, self.world.now).into()));
        all.push(("prefix", self.world.settings.style.prefix.clone().into()));
        text(name, &all)
    }

    /// Says something where the question stands, where the command was typed, and to whoever answered; in copies of the
    /// question too when it is the end.
    fn tell_everybody(&mut self, answer: Option<&Answer>, name: &str, fills: &[(&str, Fill<'_>)]) {
        if self.record.state.is_final() {
            let edit = self.said(name, fills);
            for copy in 0..self.record.copies.len() {
                self.says.push((To::Edit(copy), edit.clone()));
            }
        }
        self.say_everywhere(answer, name, fills);
    }

    fn say_everywhere(&mut self, answer: Option<&Answer>, name: &str, fills: &[(&str, Fill<'_>)]) {
        let said = self.said(name, fills);
        let mut places: Vec<Place> = Vec::new();
        let all = self.record.copies.iter().map(|copy| &copy.place);
        for place in all.chain(&self.record.origin).chain(answer.and_then(|a| a.place.as_ref())) {
            if !places.iter().any(|known| known.channel_id() == place.channel_id()) {
                places.push(place.clone());
            }
        }
        self.says.extend(places.into_iter().map(|place| (To::Place(place), said.clone())));
        if answer.is_some_and(|a| a.place.is_none()) {
            self.says.push((To::Caller, said));
        }
    }

    /// Tells the answerer alone why nothing changed.
    fn refuse(&mut self, answer: &Answer, why: Refused, name: &str, fills: &[(&str, Fill<'_>)]) -> Outcome {
        let shown = answer.by.shown();
        let mut all = fills.to_vec();
        all.push(("who", Fill::Name(&shown)));
        let said = self.said(name, &all);
        let to = answer.place.clone().map_or(To::Caller, To::Place);
        self.says.push((to, said));
        Outcome::Refused(why)
    }

    fn audit(&mut self, event: &'static str, by: Option<&Answer>, data: Value) {
        self.audits.push(Audit {
            event,
            person: by.map(|a| a.by.id.clone()),
            identity: by.and_then(|a| a.identity.clone()),
            assurance: by.map(|a| a.assurance),
            data,
        });
    }
}

/// Whether a vote is of this human.
fn is_by(vote: &Vote, person: &Person) -> bool {
    let identities: Vec<Identity> = vote.identity.iter().cloned().collect();
    person.is(&vote.person, &identities)
}

/// A note or reason, cut to what is kept.
fn note(text: &str) -> String {
    let trimmed = text.trim();
    if trimmed.chars().count() <= texts::NOTE {
        return trimmed.to_owned();
    }
    trimmed.chars().take(texts::NOTE).chain(['…']).collect()
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
