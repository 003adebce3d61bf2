//! SQLite: one thread writes, everybody reads.
//!
//! [`Sqlite::open`] takes a data directory. Batches go to the writer thread (`writer`), which carries out whatever
//! waits in one transaction and answers after its commit; reads run on the caller's thread with a connection of their
//! own. Texts are made and read by the caller, so that the writer only writes.
//!
//! Invariant: only `writer` holds a connection that writes, and only it begins transactions.
//!
//! Start reading at [`Sqlite::open`], then `writer::Writer::run`.

mod apply;
mod audit;
mod confirmations;
mod copy;
mod examine;
mod open;
mod people;
mod prepare;
mod read;
mod slots;
mod writer;

pub use copy::copy;
pub use examine::{Examined, examine};
pub use open::{OnFatal, OpenError, Options, Synchronous};

use crate::secrets::{Secrets, shown_fact};
use crate::{
    ApiKey, AuditFilter, AuditRow, Batch, Confirmation, ConfirmationFilter, Due, Entry, Error, Fact, Factor, Filter,
    Item, ItemScope, Linked, Message, Outgoing, Page, Result, Slot, Store, Token, User,
};
use futures::future::BoxFuture;
use squall_model::{Execution, ExecutionId, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// A store in a directory of this machine.
///
/// A batch is on its way when [`Store::commit`] returns its future: dropping the future does not take it back.
/// Dropping the store writes what waits and closes the files.
pub struct Sqlite {
    dir: PathBuf,
    // The order of the fields is the order of closing: readers, then the writer, then the lock.
    readers: Readers,
    writer: writer::Handle,
    fatal: Arc<Fatal>,
    secrets: Option<Secrets>,
    _lock: open::Lock,
}

impl Sqlite {
    /// Opens the store in the directory `dir`, makes it when there is none, and brings its schema up to date.
    ///
    /// # Errors
    /// When the directory cannot be written, another process has it open, or its schema is newer than this program.
    pub fn open(dir: impl AsRef<Path>, options: &Options) -> std::result::Result<Sqlite, OpenError> {
        let dir = dir.as_ref();
        open::directory(dir)?;
        let fatal = Arc::new(Fatal { first: OnceLock::new(), callback: options.on_fatal.clone() });
        let mut lock = open::lock(dir, fatal.clone())?;
        let connection = open::writer(dir, options, lock.unclean)?;
        let writer = writer::Handle::start(connection, options, fatal.clone())
            .map_err(|source| OpenError::Directory { path: dir.to_owned(), source })?;
        let readers = Readers { dir: dir.to_owned(), options: options.clone(), idle: Mutex::default() };
        lock.opened = true;
        Ok(Sqlite { dir: dir.to_owned(), readers, writer, fatal, secrets: None, _lock: lock })
    }

    /// The same, with the secrets of executions encrypted from now on, and decrypted when they are read.
    pub fn with_secrets(mut self, secrets: Secrets) -> Sqlite {
        self.secrets = Some(secrets);
        self
    }

    /// The data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The failure after which nothing is acknowledged any more, if there was one: the process should exit with 74.
    pub fn fatal(&self) -> Option<&str> {
        self.fatal.first.get().map(String::as_str)
    }

    /// Size of the write-ahead log in bytes, for `squall_wal_bytes`.
    pub fn wal_bytes(&self) -> u64 {
        std::fs::metadata(self.dir.join(open::WAL)).map_or(0, |m| m.len())
    }

    /// Runs one read. A reader that failed is not used again.
    fn read<T>(&self, run: impl FnOnce(&rusqlite::Connection) -> Result<T>) -> Result<T> {
        let connection = self.readers.take()?;
        let result = run(&connection);
        match &result {
            Ok(_) => self.readers.put_back(connection),
            Err(Error::Fatal(why)) => self.fatal.raise(why),
            Err(_) => {}
        }
        result
    }

    fn show<'e>(&self, executions: impl IntoIterator<Item = &'e mut Execution>) {
        if let Some(secrets) = &self.secrets {
            executions.into_iter().for_each(|execution| secrets.show(execution));
        }
    }

    /// How SQLite carries out each statement of the reads, for the test that none walks a whole table.
    #[doc(hidden)]
    pub fn explain(&self) -> Result<Vec<(String, String)>> {
        self.read(read::explain)
    }

    /// Runs statements behind the store's back, for tests that damage rows or fill the disk.
    #[doc(hidden)]
    pub fn tamper(&self, sql: &str) -> Result<()> {
        self.writer.tamper(sql.to_owned())
    }
}

/// The first failure that must end the process.
struct Fatal {
    first: OnceLock<String>,
    callback: Option<OnFatal>,
}

impl Fatal {
    fn raise(&self, why: &str) {
        if self.first.set(why.to_owned()).is_ok()
            && let Some(callback) = &self.callback
        {
            callback(why);
        }
    }
}

/// How many idle read connections are kept; more are opened for a moment when more threads read at once.
const IDLE_READERS: usize = 8;

struct Readers {
    dir: PathBuf,
    options: Options,
    idle: Mutex<Vec<rusqlite::Connection>>,
}

impl Readers {
    fn take(&self) -> Result<rusqlite::Connection> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle {
            Some(connection) => Ok(connection),
            // Out of descriptors or memory: for a moment, so not fatal.
            None => open::reader(&self.dir, &self.options).map_err(|_| Error::Busy),
        }
    }

    fn put_back(&self, connection: rusqlite::Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_READERS {
            idle.push(connection);
        }
    }
}

/// What an error of SQLite means for whoever asked.
fn classify(error: &rusqlite::Error) -> Error {
    use rusqlite::ErrorCode as Code;
    let why = error.to_string();
    match error.sqlite_error_code() {
        Some(Code::DiskFull) => Error::Full(why),
        Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::OutOfMemory) => Error::Busy,
        Some(Code::DatabaseCorrupt | Code::NotADatabase) => {
            Error::Damaged { what: format!("database file {}", open::FILE), why }
        }
        Some(
            Code::SystemIoFailure
            | Code::CannotOpen
            | Code::ReadOnly
            | Code::PermissionDenied
            | Code::FileLockingProtocolFailed
            | Code::NoLargeFileSupport,
        ) => Error::Fatal(why),
        // A text that is too large, or a mistake of ours in one statement: the rest goes on.
        Some(_) => Error::Damaged { what: "statement".to_owned(), why },
        // A column of another type than the schema says.
        None => Error::Damaged { what: "row".to_owned(), why },
    }
}

impl Store for Sqlite {
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<()>> {
        let answer = self.writer.submit(batch, self.secrets.as_ref());
        Box::pin(async move {
            let Some(submitted) = answer? else { return Ok(()) };
            let answer = submitted.answered.await.unwrap_or_else(|_| Err(Error::Fatal(writer::GONE.to_owned())));
            if answer.is_ok() {
                self.writer.known.remember(&submitted.shas);
            }
            answer
        })
    }

    fn execution(&self, id: ExecutionId) -> Result<Option<Execution>> {
        let mut found = self.read(|c| read::execution(c, id))?;
        self.show(&mut found);
        Ok(found)
    }
    fn tree(&self, root: ExecutionId) -> Result<Vec<Execution>> {
        let mut found = self.read(|c| read::tree(c, root))?;
        self.show(&mut found);
        Ok(found)
    }
    fn executions(&self, filter: &Filter, page: Page) -> Result<(Vec<Execution>, u64)> {
        let (mut found, total) = self.read(|c| read::executions(c, filter, page))?;
        self.show(&mut found);
        Ok((found, total))
    }
    fn children(&self, parent: ExecutionId) -> Result<Vec<ExecutionId>> {
        self.read(|c| read::children(c, parent))
    }
    fn unfinished(&self, after: Option<ExecutionId>, limit: usize) -> Result<Vec<ExecutionId>> {
        self.read(|c| read::unfinished(c, after, limit))
    }
    fn facts(&self, execution: ExecutionId, from: u64) -> Result<Vec<Fact>> {
        let facts = self.read(|c| read::facts(c, execution, from))?;
        let shown = |fact: Fact| match shown_fact(self.secrets.as_ref(), fact.json) {
            Ok(json) => Ok(Fact { json, ..fact }),
            Err(why) => Err(read::damaged_fact(execution, fact.seq, &why.to_string())),
        };
        facts.into_iter().map(shown).collect()
    }
    fn definition(&self, sha: &str) -> Result<Option<String>> {
        self.read(|c| read::definition(c, sha))
    }
    fn due(&self, now: Timestamp, limit: usize) -> Result<Vec<Due>> {
        self.read(|c| read::due(c, now, limit))
    }
    fn next_due(&self) -> Result<Option<Timestamp>> {
        self.read(read::next_due)
    }
    fn slots(&self, name: &str, limit: usize) -> Result<(u64, Vec<Slot>)> {
        self.read(|c| slots::of(c, name, limit))
    }
    fn slot_names(&self) -> Result<Vec<String>> {
        self.read(slots::names)
    }
    fn item(&self, scope: &ItemScope, name: &str, now: Timestamp) -> Result<Option<Item>> {
        self.read(|c| read::item(c, scope, name, now))
    }
    fn items(&self, scope: &ItemScope, prefix: &str, now: Timestamp, page: Page) -> Result<(Vec<Item>, u64)> {
        self.read(|c| read::items(c, scope, prefix, now, page))
    }
    fn outgoing(&self, network: &str, after: i64, limit: usize) -> Result<Vec<Outgoing>> {
        self.read(|c| read::outgoing(c, network, after, limit))
    }
    fn messages(&self, channel: &str, after: i64, limit: usize) -> Result<Vec<Message>> {
        self.read(|c| read::messages(c, channel, after, limit))
    }
    fn confirmation(&self, id: &str) -> Result<Option<Confirmation>> {
        self.read(|c| confirmations::by_id(c, id))
    }
    fn confirmation_by_code(&self, code: &str) -> Result<Option<Confirmation>> {
        self.read(|c| confirmations::by_code(c, code))
    }
    fn confirmation_of(&self, execution: ExecutionId) -> Result<Option<Confirmation>> {
        self.read(|c| confirmations::of(c, execution))
    }
    fn confirmations(&self, filter: &ConfirmationFilter, page: Page) -> Result<(Vec<Confirmation>, u64)> {
        self.read(|c| confirmations::list(c, filter, page))
    }
    fn open_confirmations(&self, requester: Option<&str>, channel: Option<(&str, &str)>) -> Result<u64> {
        self.read(|c| confirmations::open(c, requester, channel))
    }
    fn entries(&self, list: &str, limit: usize) -> Result<Vec<Entry>> {
        self.read(|c| read::entries(c, list, limit))
    }
    fn audit(&self, from: u64, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(|c| audit::rows(c, from, limit))
    }
    fn audit_found(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditRow>> {
        self.read(|c| audit::found(c, filter, limit))
    }
    fn audit_head(&self) -> Result<Option<AuditRow>> {
        self.read(audit::head)
    }
    fn audit_of(&self, confirmation: &str) -> Result<Vec<AuditRow>> {
        self.read(|c| audit::of(c, confirmation))
    }
    fn verify_audit(&self) -> Result<u64> {
        self.read(audit::verify)
    }
    fn users(&self, page: Page) -> Result<(Vec<User>, u64)> {
        self.read(|c| people::users(c, page))
    }
    fn user(&self, name: &str) -> Result<Option<User>> {
        self.read(|c| people::user(c, name))
    }
    fn linked(&self, network: &str, workspace: &str, user_id: &str) -> Result<Option<Linked>> {
        self.read(|c| people::linked(c, network, workspace, user_id))
    }
    fn linked_to(&self, user: &str) -> Result<Vec<Linked>> {
        self.read(|c| people::linked_to(c, user))
    }
    fn all_linked(&self, page: Page) -> Result<(Vec<Linked>, u64)> {
        self.read(|c| people::all_linked(c, page))
    }
    fn factor(&self, user: &str) -> Result<Option<Factor>> {
        self.read(|c| people::factor(c, user))
    }
    fn has_factors(&self) -> Result<bool> {
        self.read(people::has_factors)
    }
    fn api_key(&self, hash: &str) -> Result<Option<ApiKey>> {
        self.read(|c| people::key(c, hash))
    }
    fn api_keys(&self, page: Page) -> Result<(Vec<ApiKey>, u64)> {
        self.read(|c| people::keys(c, page))
    }
    fn token(&self, sha: &[u8; 32], now: Timestamp) -> Result<Option<Token>> {
        self.read(|c| read::token(c, sha, now))
    }
    fn meta(&self, name: &str) -> Result<Option<String>> {
        self.read(|c| read::meta(c, name))
    }
}
