//! The record of one confirmation, as it is stored, and its states.
//!
//! Frozen when it is made: what runs, who must agree, until when, the digest of it all. What changes afterwards are
//! votes, the traces of what was asked and reminded, and once the state. Only `decide` changes anything.
//!
//! Start reading at [`State`] and [`Record`].

use super::code::Code;
use super::declare::{Escalation, Reason, Remind, Way};
use super::digest::Digest;
use super::looks::Found;
use super::people::{Assurance, Identity, Label, PersonId, Requester, Requirement, Who};
use super::policy::{Source, Stamp};
use super::texts::ShownRun;
pub use crate::noting::SecretVersion;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use squall_model::{ExecutionId, Ids, Status, Timestamp, Value};
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// The version of the stored form. Version N − 1 must always be readable, because open questions outlive upgrades.
pub const VERSION: u32 = 2;

/// The id of a confirmation: a ULID, so that ids sort by age.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfirmationId(u128);

/// Crockford's 32 symbols.
const SYMBOLS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl ConfirmationId {
    /// A fresh one.
    pub fn draw(ids: &dyn Ids, now: Timestamp) -> ConfirmationId {
        let mut random = [0u8; 16];
        ids.fill(&mut random);
        let millis = u128::try_from(now.micros() / 1_000).unwrap_or(0) & 0xffff_ffff_ffff;
        ConfirmationId(millis << 80 | u128::from_be_bytes(random) >> 48)
    }

    /// A fresh one that sorts after `earlier`, also within the same millisecond: the newest record about a run is the one that counts.
    pub fn draw_after(earlier: Option<ConfirmationId>, ids: &dyn Ids, now: Timestamp) -> ConfirmationId {
        let drawn = ConfirmationId::draw(ids, now);
        earlier.map_or(drawn, |earlier| drawn.max(ConfirmationId(earlier.0.wrapping_add(1))))
    }

    /// Reads what [`fmt::Display`] writes, in any case.
    pub fn parse(text: &str) -> Option<ConfirmationId> {
        if text.len() != 26 {
            return None;
        }
        let mut id = 0u128;
        for byte in text.bytes() {
            let value = SYMBOLS.iter().position(|s| *s == byte.to_ascii_uppercase())?;
            id = id.checked_mul(32)? | value as u128;
        }
        Some(ConfirmationId(id))
    }
}

impl fmt::Display for ConfirmationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for at in (0..26).rev() {
            write!(f, "{}", char::from(SYMBOLS[(self.0 >> (5 * at) & 31) as usize]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for ConfirmationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ConfirmationId {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ConfirmationId {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(d)?;
        ConfirmationId::parse(&text).ok_or_else(|| serde::de::Error::custom("not the id of a confirmation"))
    }
}

/// Where a confirmation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It waits.
    Open,
    /// It runs, or will.
    Released,
    /// Somebody said no.
    Denied,
    /// Nobody said enough in time.
    Expired,
    /// Whoever wanted it wants it no more.
    Withdrawn,
    /// What was asked about is no more what would run.
    Void,
}

/// What takes a confirmation out of `open`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Happening {
    /// Every requirement is met and the recheck found nothing.
    Complete,
    /// Somebody broke the glass, and the recheck found nothing.
    BrokenGlass,
    /// The recheck found a difference, or nobody can trust the clock.
    Drift,
    /// Enough people said no.
    Refusal,
    /// The deadline.
    Deadline,
    /// The requester or an admin withdrew it, the run was cancelled, its workflow ended.
    Withdrawal,
}

/// All ways out of `open`. There is none out of any other state.
pub const NEXT: &[(Happening, State)] = &[
    (Happening::Complete, State::Released),
    (Happening::BrokenGlass, State::Released),
    (Happening::Drift, State::Void),
    (Happening::Refusal, State::Denied),
    (Happening::Deadline, State::Expired),
    (Happening::Withdrawal, State::Withdrawn),
];

impl State {
    /// Every state.
    pub const ALL: [State; 6] =
        [State::Open, State::Released, State::Denied, State::Expired, State::Withdrawn, State::Void];

    /// Its name in JSON and to people.
    pub fn as_str(self) -> &'static str {
        match self {
            State::Open => "open",
            State::Released => "released",
            State::Denied => "denied",
            State::Expired => "expired",
            State::Withdrawn => "withdrawn",
            State::Void => "void",
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn is_final(self) -> bool {
        self != State::Open
    }

    /// The state after a happening; `None` when it comes too late.
    pub fn after(self, happening: Happening) -> Option<State> {
        if self.is_final() {
            return None;
        }
        NEXT.iter().find(|(known, _)| *known == happening).map(|(_, state)| *state)
    }
}

/// What a record holds back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One or more executions.
    Gate,
    /// A task `squall.confirm` of a workflow, which is the question itself.
    Task,
    /// A task `core.ask`: StackStorm's inquiry.
    Inquiry,
}

/// Why a record ended as it did, where the state does not say it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The action was changed, disabled or removed.
    ActionChanged,
    /// Somebody lost the right to run it: as people read them.
    MayNotRun(String),
    /// A secret has another version.
    SecretChanged,
    /// The dry run shows something else.
    DryRunDiffers,
    /// The server's clock was set back.
    Clock,
    /// The rules ask for more by now.
    Policy,
    /// The store was restored from a backup.
    Restore,
    /// Nobody could be asked.
    NotDelivered,
    /// The execution was cancelled.
    Canceled,
    /// The workflow around it ended or was paused.
    WorkflowEnded,
    /// The requester's account was deactivated.
    RequesterGone,
    /// An administrator wants it asked anew under the rules of now.
    Reevaluated,
}

/// A place in chat.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// The network.
    pub network: String,
    /// The channel; a private conversation is `@` and the person's id.
    pub channel: String,
    /// The thread.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thread: Option<String>,
    /// Whether only one person and the bot are there.
    #[serde(default)]
    pub private: bool,
}

impl Place {
    /// The private conversation with somebody.
    pub fn direct(network: &str, user_id: &str) -> Place {
        Place { network: network.to_owned(), channel: format!("@{user_id}"), thread: None, private: true }
    }

    /// `network:channel`
    pub fn channel_id(&self) -> String {
        format!("{}:{}", self.network, self.channel)
    }

    fn is_same_channel(&self, other: &Place) -> bool {
        self.network == other.network && self.channel == other.channel
    }
}

/// A copy of the question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// Where.
    pub place: Place,
    /// The message, once it is known to be there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Whether it could not be posted.
    #[serde(default)]
    pub failed: bool,
    /// SHA-256 (hex) of the text.
    pub shown_sha: String,
    /// Whether it is told along with others, because its person gets too many.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub collected: bool,
    /// Whether it was deleted there and posted once more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub reposted: bool,
    /// When it may leave, where many questions go to one channel or person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Timestamp>,
}

/// Yes or no.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Ballot {
    Grant,
    Deny,
}

/// Somebody's answer. Never deleted; taken back ones are marked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Who.
    pub person: PersonId,
    /// How people read them at that time.
    pub shown: String,
    /// Through which identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<Identity>,
    /// How sure.
    pub assurance: Assurance,
    /// Yes or no.
    pub ballot: Ballot,
    /// Numbers of the requirements that it fitted, with phrase and factor.
    pub fits: Vec<usize>,
    /// Note or reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// How.
    pub way: Way,
    /// The message on the network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it was received.
    pub received_at: Timestamp,
    /// Its number in the inbox.
    pub seq: u64,
    /// When it was taken back or replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn_at: Option<Timestamp>,
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// When.
    pub at: Timestamp,
    /// By whom, for people; empty when nobody did.
    pub by: String,
    /// Reason or note.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What the state does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// The number of the inbox entry that did it.
    #[serde(default)]
    pub seq: u64,
}

/// One confirmation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`VERSION`] when it was written.
    pub v: u32,
    /// Its id.
    pub id: ConfirmationId,
    /// Its short code.
    pub code: Code,
    /// Where it stands.
    pub state: State,
    /// Counts changes; a write names the one that it was decided on.
    pub version: u64,
    /// What it holds back.
    pub kind: Kind,
    /// The executions, in order, with what people were shown of them. Released together or not at all.
    pub runs: Vec<(ExecutionId, ShownRun)>,
    /// What exactly was asked about.
    pub digest: Digest,
    /// Who asked.
    pub requester: Requester,
    /// Who last edited action, alias or rule.
    #[serde(default)]
    pub editors: Vec<PersonId>,
    /// The user that it runs as.
    pub run_as: String,
    /// Where it came from.
    pub source: Source,
    /// The place of the command.
    pub origin: Option<Place>,
    /// The command as typed, for asking again.
    pub command: Option<String>,
    /// The rules.
    pub rules: Vec<Stamp>,
    /// Who must agree.
    pub requirements: Vec<Requirement>,
    /// How it can be answered.
    pub ways: BTreeSet<Way>,
    /// How many refusals end it.
    pub deny_count: u32,
    /// Whether a no needs a reason.
    pub deny_reason: Reason,
    /// Whether a yes needs one.
    pub grant_reason: Reason,
    /// Reminders.
    pub remind: Vec<Remind>,
    /// Escalations.
    pub escalate: Vec<Escalation>,
    /// How many of each were done.
    pub reminded: u32,
    /// How many escalations were done.
    pub escalated: u32,
    /// Sets of which somebody must be a member, of each, to break the glass.
    pub break_glass: Vec<Vec<Who>>,
    /// How long people have, in milliseconds.
    pub timeout_ms: u64,
    /// When it was asked for.
    pub held_at: Timestamp,
    /// Answers received from then on come too late.
    pub expires_at: Timestamp,
    /// Whether the deadline was moved, which happens at most once and before any copy was sent.
    #[serde(default)]
    pub moved: bool,
    /// Seconds after the release within which the run must start.
    pub start_within: u64,
    /// Copies of the question.
    pub copies: Vec<Copy>,
    /// Answers.
    pub votes: Vec<Vote>,
    /// How it ended.
    pub ending: Option<Ending>,
    /// By which the scheduler takes the run, once.
    pub release_id: Option<String>,
    /// Whether the glass was broken.
    #[serde(default)]
    pub bypassed: bool,
    /// Secrets as they were when it was asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<SecretVersion>,
    /// Which life of the store it was asked in: another one begins when it is restored from a backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
    /// For a task or an inquiry: what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The attempt before this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<ConfirmationId>,
    /// What was found out before anybody was asked; who is on call, as it was found out last.
    #[serde(default, skip_serializing_if = "Found::is_empty")]
    pub found: Found,
    /// Whether the dry runs must tell the same at the release.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recheck_dry_run: bool,
    /// Whether that is being found out now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub looking: bool,
    /// The digest without what the dry runs showed: an equal request joins, whatever a new dry run would show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<Digest>,
}

/// What a question that is a step of its own asks: `squall.confirm`, `core.ask`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Task {
    /// The words of its author, neutralised; empty for the usual ones.
    #[serde(default)]
    pub message: String,
    /// Extra fields of the answer, as a schema; null when there are none.
    #[serde(default)]
    pub schema: serde_json::Value,
    /// What was answered.
    #[serde(default)]
    pub response: serde_json::Value,
    /// Where an inquiry is announced.
    #[serde(default)]
    pub route: String,
    /// Users and roles of an inquiry, as they were given.
    #[serde(default)]
    pub users: Vec<String>,
    /// The roles.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Minutes, as they were given.
    #[serde(default)]
    pub ttl: i64,
}

/// A record that this program cannot read.
#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    /// Written by a newer program.
    #[error("the confirmation was written by a newer squall (format {0}, known is {VERSION})")]
    Newer(u64),
    /// Damaged.
    #[error("the confirmation cannot be read: {0}")]
    Damaged(#[from] serde_json::Error),
}

impl Record {
    /// As it is stored.
    pub fn to_json(&self) -> String {
        // Every field has a JSON form, so nothing can fail here; an empty text is refused by the reader.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Reads a stored one.
    pub fn from_json(text: &str) -> Result<Record, Unreadable> {
        let value: serde_json::Value = serde_json::from_str(text)?;
        let version = value.get("v").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version > u64::from(VERSION) {
            return Err(Unreadable::Newer(version));
        }
        Ok(serde_json::from_value(value)?)
    }

    /// Whether a request with this digest, without dry runs, is the same as this one, which then is joined instead of asked
    /// twice.
    pub fn is_joined_by(&self, digest: &Digest, requester: &Requester) -> bool {
        let wish = self.wish.as_ref().unwrap_or(&self.digest);
        self.state == State::Open && wish == digest && self.requester.person == requester.person
    }

    /// Whether a place is one where the question was asked.
    pub fn was_asked_in(&self, place: &Place) -> bool {
        self.copies.iter().map(|copy| &copy.place).chain(&self.origin).any(|known| known.is_same_channel(place))
    }

    /// Whether a bot in front of squall asked in the room in which it heard `label`.
    pub fn was_asked_beside(&self, label: &Label) -> bool {
        self.requester.label.as_ref().is_some_and(|asked| asked.is_beside(label))
    }

    /// Whether a plain `yes` at `place` belongs to this record: in the thread that the question began or stands in.
    pub fn is_thread_of(&self, place: &Place) -> bool {
        place.thread.is_some()
            && self.copies.iter().any(|copy| {
                copy.place.is_same_channel(place) && (copy.message == place.thread || copy.place.thread == place.thread)
            })
    }

    /// Answers that were not taken back.
    pub fn live(&self, ballot: Ballot) -> impl Iterator<Item = &Vote> {
        self.votes.iter().filter(move |vote| vote.withdrawn_at.is_none() && vote.ballot == ballot)
    }

    /// How many people must agree.
    pub fn needed(&self) -> u32 {
        self.requirements.iter().map(|r| r.count).sum()
    }

    /// `2 of role sre and 1 of role dba`
    pub fn need(&self) -> String {
        self.requirements.iter().map(Requirement::shown).collect::<Vec<_>>().join(" and ")
    }

    /// What runs, in a few words: `ops.restart`, or `ops.restart and 2 more`.
    pub fn action(&self) -> String {
        match self.runs.as_slice() {
            [] => "nothing".into(),
            [(_, run)] => run.action.clone(),
            [(_, run), rest @ ..] => format!("{} and {} more", run.action, rest.len()),
        }
    }

    /// Ids of the rules that a release covers for every descendant of its executions.
    pub fn covers(&self) -> BTreeSet<String> {
        if self.state != State::Released {
            return BTreeSet::new();
        }
        self.rules.iter().map(|rule| rule.id.clone()).collect()
    }

    /// The object under `confirmation` in the answers of the API. Never the code.
    pub fn to_value(&self) -> Value {
        let need: Vec<Value> = self.requirements.iter().map(|r| r.shown().into()).collect();
        let rules: Vec<Value> = self.rules.iter().map(|r| r.id.as_str().into()).collect();
        Value::from_pairs([
            ("id", Value::from(self.id.to_string())),
            ("state", self.state.as_str().into()),
            ("need", need.into()),
            ("expires_at", self.expires_at.to_iso().into()),
            ("rules", rules.into()),
            ("fingerprint", self.digest.fingerprint().into()),
        ])
    }

    /// What becomes of the held executions in the state reached: their status and result. `None` while it is open, and
    /// for a released gate, whose executions now begin.
    pub fn result(&self) -> Option<(Status, Value)> {
        let ending = self.ending.as_ref();
        let reason = ending.and_then(|e| e.reason.clone());
        let by = ending.map(|e| e.by.clone()).filter(|by| !by.is_empty());
        let cause = ending.and_then(|e| e.cause.as_ref()).map(Cause::text);
        let status = match self.state {
            State::Open => return None,
            State::Released if self.kind == Kind::Gate => return None,
            State::Released => Status::Succeeded,
            State::Denied | State::Void => Status::Failed,
            State::Expired => Status::Timeout,
            State::Withdrawn => Status::Canceled,
        };
        match self.kind {
            Kind::Task => return Some((status, self.told_to_the_workflow(by, reason.or(cause)))),
            Kind::Inquiry => return Some((status, self.inquiry())),
            Kind::Gate => {}
        }
        let result = match self.state {
            State::Denied => {
                Value::from_pairs([("error", Value::from("denied")), ("by", by.into()), ("reason", reason.into())])
            }
            State::Expired => Value::from_pairs([("error", "not confirmed in time")]),
            State::Void => Value::from_pairs([("error", Value::from("void")), ("cause", cause.into())]),
            State::Open | State::Released | State::Withdrawn => Value::Null,
        };
        Some((status, result))
    }

    /// `{confirmed, by, at, reason, response}`
    fn told_to_the_workflow(&self, by: Option<String>, reason: Option<String>) -> Value {
        let yes = self.live(Ballot::Grant).map(|v| Value::from(v.shown.as_str())).collect::<Vec<_>>();
        let by = if self.state == State::Released { yes } else { by.into_iter().map(Value::from).collect() };
        let response = self.task.as_ref().map(|task| Value::from(&task.response)).unwrap_or_default();
        Value::from_pairs([
            ("confirmed", Value::from(self.state == State::Released)),
            ("by", by.into()),
            ("at", self.ending.as_ref().map(|e| e.at.to_iso()).into()),
            ("reason", reason.into()),
            ("response", response),
        ])
    }

    /// What StackStorm's clients know of an inquiry: `{schema, roles, users, route, ttl}`, with `response` and `responder`
    /// once it is answered.
    pub fn inquiry(&self) -> Value {
        let Some(task) = self.task.as_ref().filter(|_| self.kind == Kind::Inquiry) else { return Value::Null };
        let texts = |list: &[String]| Value::from(list.iter().map(|t| Value::from(t.as_str())).collect::<Vec<_>>());
        let mut pairs = vec![
            ("schema", Value::from(&task.schema)),
            ("roles", texts(&task.roles)),
            ("users", texts(&task.users)),
            ("route", task.route.as_str().into()),
            ("ttl", Value::Int(task.ttl)),
        ];
        if self.state == State::Released {
            pairs.push(("response", Value::from(&task.response)));
            let responder = self.live(Ballot::Grant).last().and_then(|vote| vote.person.user_name());
            pairs.push(("responder", responder.into()));
        }
        Value::from_pairs(pairs)
    }

    /// Whether a released run may still start at `now`; `due` is the planned time of a scheduled run.
    pub fn may_start(&self, now: Timestamp, due: Option<Timestamp>) -> bool {
        let Some(ending) = &self.ending else { return false };
        let from = due.map_or(ending.at, |due| due.max(ending.at));
        self.state == State::Released && now <= from.after(Duration::from_secs(self.start_within))
    }
}

impl Cause {
    /// For people, to stand after `CODE is void:`.
    pub fn text(&self) -> String {
        match self {
            Cause::ActionChanged => "the action changed since you were asked".into(),
            Cause::MayNotRun(person) => format!("{person} may no longer run it"),
            Cause::SecretChanged => "a secret it uses changed".into(),
            Cause::DryRunDiffers => "the dry run gives another result now".into(),
            Cause::Clock => "the server clock was set back".into(),
            Cause::Policy => "the rules ask for more since you were asked".into(),
            Cause::Restore => "the server was restored from a backup".into(),
            Cause::NotDelivered => "question not delivered".into(),
            Cause::Canceled => "the run was cancelled".into(),
            Cause::WorkflowEnded => "its workflow ended".into(),
            Cause::Reevaluated => "to be asked anew under the rules of now".into(),
            Cause::RequesterGone => "the requester's account was deactivated".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confirmation::testing::Dice;

    #[test]
    fn final_is_final() {
        for state in State::ALL {
            for (happening, next) in NEXT {
                let expected = (state == State::Open).then_some(*next);
                assert_eq!(state.after(*happening), expected, "{state:?} {happening:?}");
            }
        }
        assert!(NEXT.iter().all(|(_, next)| next.is_final()));
    }

    #[test]
    fn ids_read_back_and_sort_by_age() {
        let dice = Dice::new(5);
        let early = ConfirmationId::draw(&dice, Timestamp::from_micros(1_700_000_000_000_000));
        let late = ConfirmationId::draw(&dice, Timestamp::from_micros(1_700_000_000_002_000));
        assert!(early.to_string() < late.to_string());
        assert_eq!(ConfirmationId::parse(&early.to_string().to_lowercase()), Some(early));
        assert_eq!(ConfirmationId::parse("not an id"), None);
    }
}
