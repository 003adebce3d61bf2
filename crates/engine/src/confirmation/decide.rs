//! The one function through which a confirmation changes.
//!
//! [`decide`] takes a record, something that happened, and the world as it is, and answers the record as it is after,
//! what everybody is told, what the audit log gets and what becomes of the held run. Every way in (chat, button, web,
//! REST, command line, inquiry, deadline) calls it; the caller commits all of the answer or nothing, on condition that
//! the stored version is the one that was decided on.
//!
//! The stories: [`hold`] opens, `answers` hears people, `events` hears everything else, `votes` counts, `ends` ends, `words`
//! tells.
//!
//! Invariant: only `Deciding::settle` changes the state, once, along the table in `record`.

mod answers;
mod decision;
mod ends;
mod events;
mod hold;
mod votes;
mod words;

pub use decision::{Audit, Decision, Effect, Say, To};
pub use hold::{Opening, hold};

use super::answer::MIN_REASON;
use super::code::Code;
use super::declare::{Reason, Remind, Way};
use super::digest::Digest;
use super::looks::{DryRan, Found};
use super::people::{
    Assurance, Directory, Identity, Ineligible, Label, Person, PersonId, Proof, Question, Requester, Requirement,
    eligible, filled, possible, shown_set,
};
use super::policy::{Joined, Source};
use super::record::{
    Ballot, Cause, ConfirmationId, Copy, Ending, Happening, Kind, Place, Record, SecretVersion, State, Task, VERSION,
    Vote,
};
use super::texts::{self, Fill, ShownRun, Style, Text, text};
use serde::{Deserialize, Serialize};
use squall_model::{ActionRef, ExecutionId, Timestamp, Value};
use std::collections::BTreeMap;
use std::time::Duration;
use votes::{is_by, note};

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Debug, Clone, Serialize, Deserialize)]
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
    /// An administrator wants it asked anew under the rules of now, which may ask for less: this record ends.
    Reevaluated {
        /// Who, for people.
        by: String,
    },
    /// The server was away and is back.
    Restarted {
        /// For how long.
        away: Duration,
        /// Whether it may have been shorter: a server that dies does not write down when.
        at_most: bool,
    },
    /// The store was restored from a backup.
    Restored,
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
    /// A copy of the question was deleted on its network.
    Deleted {
        /// Which copy.
        copy: usize,
    },
    /// Who is on call was found out anew.
    OnCall(BTreeMap<ActionRef, Vec<PersonId>>),
    /// The dry runs were made once more before the release.
    Looked(Vec<DryRan>),
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
    /// What the question wants to know is missing or of another kind.
    BadResponse,
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
                Refused::Phrase | Refused::NeedsReason | Refused::BadResponse => 422,
                Refused::NeedsFactor => 428,
                Refused::Limited => 429,
            },
        }
    }
}

/// Decides what an event does to a record.
pub fn decide(record: &Record, event: &Event, world: &World<'_>) -> Decision {
    let mut deciding = Deciding::new(record, world);
    if let Event::Answer(answer) = event {
        deciding.occasion = format!("{}-{}", answer.received_at.micros(), answer.seq);
    }
    let outcome = match event {
        Event::Answer(answer) => deciding.answered(answer),
        Event::Due(due) => deciding.due(*due),
        Event::Cancel { by, cause } => deciding.cancelled(by, cause),
        Event::Recheck => deciding.rechecked(),
        Event::Superseded => deciding.superseded(),
        Event::Reevaluated { by } => deciding.reevaluated(by),
        Event::Restarted { away, at_most } => deciding.restarted(*away, *at_most),
        Event::Restored => deciding.restored(),
        Event::ClockBack(step) => deciding.clock_back(*step),
        Event::Delivered { copy, message } => deciding.delivered(*copy, Some(message)),
        Event::NotDelivered { copy } => deciding.delivered(*copy, None),
        Event::Delayed(delay) => deciding.delayed(*delay),
        Event::Deleted { copy } => deciding.deleted(*copy),
        Event::OnCall(found) => deciding.on_call(found),
        Event::Looked(now) => deciding.looked(now),
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
    /// Whether the dry runs told the same once more.
    is_looked: bool,
    /// What this is the decision about, different for every two.
    occasion: String,
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
            is_looked: false,
            occasion: format!("at {}", world.now.micros()),
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
            // A refusal changes nothing, so what it answers tells it from the next one.
            dedup: format!("confirmation/{}/{version}/{n}/{}", record.id, if changed { "0" } else { &self.occasion }),
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
}

#[cfg(test)]
mod tests;
