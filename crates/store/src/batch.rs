//! What one commit changes.

use crate::people::{ApiKey, Factor, Linked, User};
use crate::rows::{Confirmation, Due, DueKind, Entry, Item, ItemScope, Message, Outgoing, Slot, Token};
use squall_model::{Change, Execution, ExecutionId, Timestamp, Value};

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Carried out in order.
    pub ops: Vec<Op>,
}

/// One change.
#[derive(Debug, Clone)]
pub enum Op {
    /// A new execution. Conflict when the id exists.
    Insert(Box<Execution>),
    /// A change of an execution that was decided on `version`. Conflict when it has another by now.
    Update {
        /// Which.
        id: ExecutionId,
        /// The version it was decided on.
        version: u32,
        /// The change.
        change: Box<Change>,
    },
    /// Facts appended to a workflow's log, from `seq` on. Conflict when `seq` is taken or leaves a gap.
    Append {
        /// Whose log.
        execution: ExecutionId,
        /// Number of the first fact.
        seq: u64,
        /// The facts as JSON texts.
        facts: Vec<String>,
        /// When.
        at: Timestamp,
        /// Whether there are secrets in them: then they are kept encrypted.
        secret: bool,
    },
    /// A definition, stored once by its SHA-256.
    Definition {
        /// Hex SHA-256 of the text.
        sha: String,
        /// The text.
        text: String,
    },
    /// Something that is due at a time; replaces a row of the same key.
    SetDue(Due),
    /// A due row that is not needed any more; nothing happens when there is none.
    ClearDue {
        /// Whose.
        owner: ExecutionId,
        /// What.
        kind: DueKind,
        /// Which of these.
        number: u32,
    },
    /// Takes a due row that fired. Conflict when it is gone, so that it fires once.
    TakeDue {
        /// Whose.
        owner: ExecutionId,
        /// What.
        kind: DueKind,
        /// Which of these.
        number: u32,
    },
    /// Writes a place or the wish for one; replaces that of the same name and execution. Conflict when it takes the place and
    /// `limit` others of that name are taken already.
    PutSlot {
        /// The row.
        slot: Box<Slot>,
        /// How many may be taken at once.
        limit: u64,
    },
    /// Gives back every place of an execution, and what it waits for; nothing happens when there is none.
    FreeSlots {
        /// Whose.
        execution: ExecutionId,
    },
    /// Writes a datastore item; replaces one of the same scope and name. An item without `expires` keeps the earlier expiry of the one it
    /// replaces when that has not passed at `now` (StackStorm's recorded behaviour).
    SetItem {
        /// The item.
        item: Box<Item>,
        /// For the earlier expiry.
        now: Timestamp,
    },
    /// Deletes a datastore item; nothing happens when there is none.
    DeleteItem {
        /// Its scope.
        scope: ItemScope,
        /// Its name.
        name: String,
    },
    /// Removes items that expired at `now` or before; invisible already, this only frees space.
    SweepItems {
        /// The time.
        now: Timestamp,
        /// At most so many.
        limit: u32,
    },
    /// Something to be posted; the row's `id` is given by the store. Nothing happens when its `dedup` key was used before.
    Post(Box<Outgoing>),
    /// A row of the outbox that was posted (or given up). Conflict when it is gone.
    Posted {
        /// The row.
        id: i64,
    },
    /// A row of the outbox that could not be posted now; counts a try. Conflict when it is gone.
    PostLater {
        /// The row.
        id: i64,
        /// Not before.
        at: Timestamp,
    },
    /// A message in a terminal channel; the store gives the next sequence number of the channel. Nothing happens when its
    /// `dedup` key was used before in the channel.
    Say(Box<Message>),
    /// A request was taken: a second one with the same key fails with [`crate::Error::Duplicate`].
    Taken {
        /// `network/channel/message id` or an `Idempotency-Key` with its user.
        key: String,
        /// What it made.
        execution: ExecutionId,
        /// When; a few rows that are more than a day older are dropped.
        at: Timestamp,
    },
    /// Writes a user.
    PutUser(Box<User>),
    /// Conflict unless the user is still as it was read (`None`: there is none): for changes that were decided on it.
    SameUser {
        /// The name.
        name: String,
        /// What was read.
        was: Option<Box<User>>,
    },
    /// Says whose an identity on a chat network is; whose it was before does not matter.
    Link(Box<Linked>),
    /// An identity is nobody's any more. Conflict unless it is this user's.
    Unlink {
        /// The network.
        network: String,
        /// The workspace, or empty.
        workspace: String,
        /// The stable id there.
        user_id: String,
        /// Whose it was.
        user: String,
    },
    /// Every identity of a user is nobody's any more.
    UnlinkAll {
        /// Whose.
        user: String,
    },
    /// Writes the second factor of a user.
    PutFactor(Box<Factor>),
    /// A code of a second factor was given. Conflict unless there is a factor and `step` is later than every one used before.
    UseFactor {
        /// Whose.
        user: String,
        /// The time step of the code.
        step: u64,
        /// What for, and when; the factor counts from now on.
        proof: Option<(String, Timestamp)>,
    },
    /// Removes the second factor of a user; nothing happens when there is none.
    DeleteFactor {
        /// Whose.
        user: String,
    },
    /// Writes an API key. Conflict when another one has the hash.
    PutApiKey(Box<ApiKey>),
    /// Deletes an API key; nothing happens when there is none.
    DeleteApiKey {
        /// Which.
        id: String,
    },
    /// Deletes every API key of a user; nothing happens when there is none.
    DeleteApiKeysOf {
        /// Whose.
        user: String,
    },
    /// Writes a token; drops a few that expired more than a day before it was made.
    PutToken(Box<Token>),
    /// Deletes a token.
    DeleteToken {
        /// SHA-256 of its text.
        sha: [u8; 32],
    },
    /// Deletes every token of a user; nothing happens when there is none.
    DeleteTokensOf {
        /// Whose.
        user: String,
    },
    /// Deletes a user, not its tokens ([`Op::DeleteTokensOf`]); nothing happens when there is none.
    DeleteUser {
        /// The name.
        name: String,
    },
    /// A new confirmation, or the whole of one again.
    ///
    /// With `expected: None` it must be new. Conflict `confirmation …` when the id exists, `code …` when another one with the
    /// code is open or was closed less than 24 hours before `held_at`, and `equal …` when another one with the same `joins` is
    /// open. With `Some(version)`: Conflict `version of confirmation …` unless the stored one has this version, and `code …`
    /// or `equal …` when it is open and another open one has the code or the same `joins`.
    PutConfirmation {
        /// The row.
        row: Box<Confirmation>,
        /// The version it was decided on; none for a new one.
        expected: Option<u64>,
    },
    /// An entry of the audit log; the store gives its number and its place in the hash chain.
    Audit {
        /// When.
        at: Timestamp,
        /// What happened.
        event: String,
        /// Who did it.
        person: Option<String>,
        /// The confirmation that it is about.
        confirmation: Option<String>,
        /// The execution that it is about.
        execution: Option<ExecutionId>,
        /// What else is to be known.
        data: Value,
    },
    /// An entry of a short list; replaces one of the same name.
    PutEntry(Box<Entry>),
    /// An entry that is done with; nothing happens when there is none.
    DropEntry {
        /// Which list.
        list: String,
        /// Its name.
        key: String,
    },
    /// A small setting of the store itself.
    PutMeta {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Batch {
        Batch::default()
    }

    /// Adds a change.
    pub fn push(&mut self, op: Op) {
        self.ops.push(op);
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }
}

impl From<Op> for Batch {
    fn from(op: Op) -> Batch {
        Batch { ops: vec![op] }
    }
}
