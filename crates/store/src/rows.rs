//! The rows that are no executions.

use squall_model::{ExecutionId, Status, Timestamp, Value};

/// One entry of a workflow's log.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    /// Its number, from 0.
    pub seq: u64,
    /// When it was committed.
    pub at: Timestamp,
    /// The fact as JSON; checked against its checksum when read.
    pub json: String,
}

/// What a due row is for. Stored as a small number: never renumber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DueKind {
    /// A timer of a workflow's conductor; the number is the timer's.
    Timer = 1,
    /// The start of a delayed execution.
    Start = 2,
    /// The deadline of a confirmation or inquiry.
    Deadline = 3,
    /// The end of an action that runs inside the engine (a standard action with a delay); the number is the attempt.
    Finish = 4,
    /// The time at which secret parameters of what was held are erased.
    Erase = 5,
}

impl DueKind {
    /// Every kind.
    pub const ALL: [DueKind; 5] = [DueKind::Timer, DueKind::Start, DueKind::Deadline, DueKind::Finish, DueKind::Erase];
}

/// Something that must happen at a time.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    /// Whose.
    pub owner: ExecutionId,
    /// The tree it belongs to.
    pub root: ExecutionId,
    /// What for.
    pub kind: DueKind,
    /// Which of these.
    pub number: u32,
    /// When.
    pub at: Timestamp,
}

/// A place among the few that may run at once, or the wish for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Among which.
    pub name: String,
    /// Whose.
    pub execution: ExecutionId,
    /// The tree it belongs to.
    pub root: ExecutionId,
    /// Since when.
    pub at: Timestamp,
    /// Whether it has the place, or waits for one.
    pub taken: bool,
}

/// Whose datastore item it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemScope {
    /// Everybody's.
    System,
    /// One user's.
    User(String),
}

/// A datastore item.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Whose.
    pub scope: ItemScope,
    /// Its key.
    pub name: String,
    /// Its text; encrypted (upper-case hex) when `secret`.
    pub value: String,
    /// Whether `value` is encrypted.
    pub secret: bool,
    /// Free text.
    pub description: Option<String>,
    /// When it was first written.
    pub created: Timestamp,
    /// Invisible from then on.
    pub expires: Option<Timestamp>,
}

/// A message that waits to be posted on a chat network.
#[derive(Debug, Clone, PartialEq)]
pub struct Outgoing {
    /// Given by the store; order of posting.
    pub id: i64,
    /// Which adapter posts it.
    pub network: String,
    /// Channel (or person, when `whisper`).
    pub channel: String,
    /// Thread, where the network has them.
    pub thread: Option<String>,
    /// What to post: a value in the form that `chat` and `engine::report` agree on.
    pub body: Value,
    /// Unique for ever: a second row with the same key is not written.
    pub dedup: String,
    /// When it was made.
    pub created: Timestamp,
    /// Not to be posted before.
    pub not_before: Timestamp,
    /// How often it was tried.
    pub tries: u32,
}

/// A message in a channel of the terminal network.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Its channel.
    pub channel: String,
    /// Its number in the channel, from 1; given by the store.
    pub seq: i64,
    /// When.
    pub at: Timestamp,
    /// Who said it.
    pub author: String,
    /// Whether the author is the bot.
    pub bot: bool,
    /// For one person only.
    pub whisper: Option<String>,
    /// The thread it belongs to: the number of the message that began it.
    pub thread: Option<i64>,
    /// The text, and what else the terminal shows (`{text, pretext?, color?, …}`).
    pub body: Value,
    /// Unique in the channel when there is one.
    pub dedup: Option<String>,
}

/// A token; only the hash of its text is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    /// SHA-256 of its text.
    pub sha: [u8; 32],
    /// Whose.
    pub user: String,
    /// When it was made.
    pub created: Timestamp,
    /// Not valid from then on.
    pub expires: Timestamp,
    /// The execution it was minted for; it ends with it.
    pub execution: Option<ExecutionId>,
    /// Free data (`service`, client name, …).
    pub data: Value,
}

/// A confirmation: executions that are held back until people agree, or were.
///
/// The columns are what is looked up; `json` is the whole record, which the store never opens.
#[derive(Debug, Clone, PartialEq)]
pub struct Confirmation {
    /// Its id, 26 characters.
    pub id: String,
    /// What people type, in its compact form of six symbols; no two open ones have the same.
    pub code: String,
    /// The tree that it holds back.
    pub root: ExecutionId,
    /// The executions that it holds back, in their order.
    pub executions: Vec<ExecutionId>,
    /// Where it stands: [`Confirmation::OPEN`], or a word that the store only compares.
    pub state: String,
    /// What the next change must expect ([`crate::Op::PutConfirmation`]); so each change brings another.
    pub version: u64,
    /// Who asked for what is held back.
    pub requester: String,
    /// What an equal request has as well, when equal ones are one: no two open ones have the same.
    pub joins: Option<String>,
    /// The chat network in which it was asked for, if it was.
    pub network: Option<String>,
    /// The channel there.
    pub channel: Option<String>,
    /// When it was held back.
    pub held_at: Timestamp,
    /// Answers count before that.
    pub expires_at: Timestamp,
    /// When it left the state `open`.
    pub closed_at: Option<Timestamp>,
    /// The whole record.
    pub json: String,
}

impl Confirmation {
    /// The state of one that waits.
    pub const OPEN: &str = "open";

    /// Whether it waits.
    pub fn is_open(&self) -> bool {
        self.state == Confirmation::OPEN
    }
}

/// Which confirmations to list. Empty fields let everything through; all given ones must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfirmationFilter {
    /// By state.
    pub state: Option<String>,
    /// By who asked.
    pub requester: Option<String>,
    /// By network and channel.
    pub channel: Option<(String, String)>,
    /// By tree.
    pub root: Option<ExecutionId>,
}

/// An entry of the audit log. Written once, never changed; each carries the hash of the one before it.
#[derive(Debug, Clone, PartialEq)]
pub struct AuditRow {
    /// Its number, from 1, without gaps; given by the store.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What happened: a word that the store never reads.
    pub event: String,
    /// Who did it.
    pub person: Option<String>,
    /// The confirmation that it is about.
    pub confirmation: Option<String>,
    /// The execution that it is about.
    pub execution: Option<ExecutionId>,
    /// What else is to be known.
    pub data: Value,
    /// The hash of the row before; zeros in the first.
    pub previous: [u8; 32],
    /// SHA-256 over `previous` and the fields; docs/reference/store.md has the bytes.
    pub sha: [u8; 32],
}

/// An entry of a short list that is read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Which list.
    pub list: String,
    /// Its name in the list; an entry of the same name is replaced.
    pub key: String,
    /// Its time; entries are read in this order.
    pub at: Timestamp,
    /// What it says, which the store never opens.
    pub value: String,
}

/// Which entries of the audit log to list. Empty fields let everything through; all given ones must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// By event.
    pub event: Option<String>,
    /// By who did it.
    pub person: Option<String>,
    /// By the confirmation that it is about.
    pub confirmation: Option<String>,
    /// By the execution that it is about.
    pub execution: Option<ExecutionId>,
    /// Written at or after.
    pub since: Option<Timestamp>,
    /// Written at or before.
    pub until: Option<Timestamp>,
    /// Numbers below this one alone: the next page of a listing, whose last row had it.
    pub before: Option<u64>,
}

/// Which executions to list. Empty fields let everything through; all given ones must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// By reference (`pack.name`).
    pub action: Option<String>,
    /// By status: any of these.
    pub status: Vec<Status>,
    /// By requesting user.
    pub user: Option<String>,
    /// By runner.
    pub runner: Option<String>,
    /// `Some(None)`: only those without a parent; `Some(Some(id))`: children of that one.
    pub parent: Option<Option<ExecutionId>>,
    /// By id: any of these.
    pub ids: Vec<ExecutionId>,
    /// Asked for at or after.
    pub since: Option<Timestamp>,
    /// Asked for at or before.
    pub until: Option<Timestamp>,
    /// Order of the result.
    pub order: Order,
}

/// Order of a listing of executions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// Newest first.
    #[default]
    Newest,
    /// Oldest first.
    Oldest,
}

/// A part of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// How many to leave out at the start.
    pub offset: u64,
    /// How many at most.
    pub limit: u64,
}

impl Default for Page {
    fn default() -> Page {
        Page { offset: 0, limit: 100 }
    }
}
