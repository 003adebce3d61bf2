//! What is committed stays committed.
//!
//! One verb writes: [`Store::commit`] takes a [`Batch`] and carries out all of it or nothing. When its answer is
//! `Ok`, the batch is on disk. Correctness rests on collisions, not on an isolation level: a changed version, a
//! taken sequence number, a due row that is gone make the whole batch fail with [`Error::Conflict`], and whoever
//! decided on stale data reads again and decides again.
//!
//! The store never knows why something is stored. Two implementations keep the same contract suite:
//! `sqlite::Sqlite` and, for simulations, `memory::Memory`, which tells volatile from durable.
#![warn(missing_docs)]

mod audit;
mod batch;
mod blobs;
mod crc;
pub mod crypto;
pub mod memory;
mod people;
mod rows;
pub mod secrets;
pub mod sqlite;
mod stored;

pub use batch::{Batch, Op};
pub use people::{ApiKey, Factor, Linked, User};
pub use rows::{
    AuditFilter, AuditRow, Confirmation, ConfirmationFilter, Due, DueKind, Entry, Fact, Filter, Item, ItemScope,
    Message,
};
pub use rows::{Order, Outgoing, Page, Slot, Token};

use futures::future::BoxFuture;
use squall_model::{Execution, ExecutionId, Timestamp};

/// Why the store refused.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// Something in the batch was decided on data that has changed; nothing of it was written.
    #[error("conflict: {what}")]
    Conflict {
        /// What collided, e.g. `version of 56a0…`.
        what: String,
    },
    /// A chat message or client request that was taken already; nothing was written.
    #[error("already taken as {execution}")]
    Duplicate {
        /// What the first one made.
        execution: ExecutionId,
    },
    /// No space left: nothing was written, reads go on, writes work again when there is space.
    #[error("disk full: {0}")]
    Full(String),
    /// Too much waits for the writer.
    #[error("the store is overloaded, try again in a second")]
    Busy,
    /// A failure after which this process must not acknowledge anything.
    #[error("the store failed: {0}")]
    Fatal(String),
    /// A stored row that cannot be read back.
    #[error("damaged {what}: {why}")]
    Damaged {
        /// Which row.
        what: String,
        /// What is wrong with it.
        why: String,
    },
}

/// The result of every call.
pub type Result<T> = std::result::Result<T, Error>;

/// Under this name [`Store::meta`] of a copy, made by `sqlite::copy`, has a text that is not empty: the world went on without
/// it. Whoever has drawn the conclusions empties it.
pub const COPIED: &str = "copied";

/// Keys of requests ([`Op::Taken`]) and expired tokens are kept for a day, in microseconds.
const TAKEN_KEPT: i64 = 86_400_000_000;
/// At most so many older ones are dropped by each new one: more than one, so that their number shrinks.
const TAKEN_SWEEP: u32 = 16;
/// The same for expired tokens.
const TOKEN_SWEEP: u32 = 16;
/// The code of a confirmation is not given again before it was closed for a day, in microseconds: somebody may still
/// type it and mean the old one.
const CODE_KEPT: i64 = 86_400_000_000;

fn conflict(what: impl FnOnce() -> String) -> Error {
    Error::Conflict { what: what() }
}

/// The one place where state lives.
///
/// Reads are cheap point or index look-ups unless they say otherwise; each sees everything that was committed
/// before it was called.
pub trait Store: Send + Sync {
    /// Writes all of `batch` or nothing; `Ok` means that it is on disk.
    ///
    /// Batches are carried out in the order of the calls. One is on its way when this returns: dropping the future does not
    /// take it back. What is nested too deep to be read again (120 levels) is refused as [`Error::Damaged`].
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<()>>;

    /// One execution.
    fn execution(&self, id: ExecutionId) -> Result<Option<Execution>>;
    /// The executions of one tree that are not final, and all that are workflows of it or the root itself.
    fn tree(&self, root: ExecutionId) -> Result<Vec<Execution>>;
    /// Executions that `filter` lets through, in its order; one page and the number of all.
    fn executions(&self, filter: &Filter, page: Page) -> Result<(Vec<Execution>, u64)>;
    /// Direct children of an execution, oldest first.
    fn children(&self, parent: ExecutionId) -> Result<Vec<ExecutionId>>;
    /// Roots of trees with something that is not final and not merely waiting: what recovery looks at. One page, after `after`.
    fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> Result<Vec<ExecutionId>>;

    /// The log of a workflow from `seq` on, in order, without gaps.
    fn facts(&self, execution: ExecutionId, from: u64) -> Result<Vec<Fact>>;
    /// The text of a definition by its SHA-256.
    fn definition(&self, sha: &str) -> Result<Option<String>>;

    /// Rows due at `now` or before, earliest first.
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>>;
    /// When the next row is due.
    fn next_due(&self) -> Result<Option<Timestamp>>;

    /// How many places of that name are taken, and the first of those who wait for one.
    fn slots(&self, name: &str, limit: usize) -> Result<(u64, Vec<Slot>)>;
    /// Names of places that somebody has or waits for.
    fn slot_names(&self) -> Result<Vec<String>>;

    /// A datastore item that has not expired at `now`.
    fn item(&self, scope: &ItemScope, name: &str, now: Timestamp) -> Result<Option<Item>>;
    /// Items of `scope` whose name starts with `prefix` and that have not expired at `now`, by name.
    fn items(&self, scope: &ItemScope, prefix: &str, now: Timestamp, page: Page) -> Result<(Vec<Item>, u64)>;

    /// What waits to be posted on `network`, oldest first, ids above `after`.
    fn outgoing(&self, network: &str, after: i64, limit: usize) -> Result<Vec<Outgoing>>;
    /// Messages of a terminal channel with sequence numbers above `after`, in order; the newest `limit` of them.
    fn messages(&self, channel: &str, after: i64, limit: usize) -> Result<Vec<Message>>;

    /// A confirmation by id.
    fn confirmation(&self, id: &str) -> Result<Option<Confirmation>>;
    /// A confirmation by its compact code: the open one, else the one that was held back last.
    fn confirmation_by_code(&self, code: &str) -> Result<Option<Confirmation>>;
    /// The confirmation that holds an execution back: the open one, else the one that was held back last.
    fn confirmation_of(&self, execution: ExecutionId) -> Result<Option<Confirmation>>;
    /// Confirmations that `filter` lets through, newest first; one page and the number of all.
    fn confirmations(&self, filter: &ConfirmationFilter, page: Page) -> Result<(Vec<Confirmation>, u64)>;
    /// How many confirmations are open: all, those of a requester, those of a (network, channel), or of both.
    fn open_confirmations(&self, requester: Option<&str>, channel: Option<(&str, &str)>) -> Result<u64>;

    /// Entries of a list, by time and then by name; the first `limit` of them.
    fn entries(&self, list: &str, limit: usize) -> Result<Vec<Entry>>;

    /// The audit log from `from` on (the first row is 1), in order; at most `limit` rows.
    fn audit(&self, from: u64, limit: usize) -> Result<Vec<AuditRow>>;
    /// What the audit log says that `filter` lets through, newest first; at most `limit` rows. Walks the log, which takes a
    /// moment for a long one.
    fn audit_found(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRow>>;
    /// The last row of the audit log: its hash covers everything before it.
    fn audit_head(&self) -> Result<Option<AuditRow>>;
    /// What the audit log says about a confirmation, in order.
    fn audit_of(&self, confirmation: &str) -> Result<Vec<AuditRow>>;
    /// Follows the hash chain of the whole audit log, which takes a moment for a long one; how many rows there are.
    ///
    /// # Errors
    /// [`Error::Damaged`] with the first row that is missing, changed or out of its place.
    fn verify_audit(&self) -> Result<u64>;

    /// Users by name; one page and the number of all.
    fn users(&self, page: Page) -> Result<(Vec<User>, u64)>;
    /// A user by name.
    fn user(&self, name: &str) -> Result<Option<User>>;
    /// Who somebody on a chat network is.
    fn linked(&self, network: &str, workspace: &str, user_id: &str) -> Result<Option<Linked>>;
    /// Every identity of a user, in order.
    fn linked_to(&self, user: &str) -> Result<Vec<Linked>>;
    /// Every linked identity, in order; one page and the number of all.
    fn all_linked(&self, page: Page) -> Result<(Vec<Linked>, u64)>;
    /// The second factor of a user.
    fn factor(&self, user: &str) -> Result<Option<Factor>>;
    /// Whether anybody has a second factor that counts.
    fn has_factors(&self) -> Result<bool>;
    /// An API key by the hash of its text.
    fn api_key(&self, hash: &str) -> Result<Option<ApiKey>>;
    /// API keys by id; one page and the number of all.
    fn api_keys(&self, page: Page) -> Result<(Vec<ApiKey>, u64)>;
    /// A token by the SHA-256 of its text, if it has not expired at `now`.
    fn token(&self, sha: &[u8; 32], now: Timestamp) -> Result<Option<Token>>;
    /// A small setting of the store itself (schema epoch, boot id, …).
    fn meta(&self, name: &str) -> Result<Option<String>>;
}
