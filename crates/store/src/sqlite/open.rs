//! From a directory to connections: lock, version, settings, schema.
//!
//! Every setting is read back, because SQLite ignores what it does not like without an error.

use super::Fatal;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use squall_model::Timestamp;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The database in the data directory.
pub(super) const FILE: &str = "squall.db";
/// Its write-ahead log.
pub(super) const WAL: &str = "squall.db-wal";
const LOCK: &str = "squall.lock";

/// 3.7.0 to 3.51.2 can corrupt a database when two connections write and checkpoint at the same instant.
const OLDEST_SQLITE: i32 = 3_051_003;
/// `Sqal`, so that `file` and we can tell our databases from others.
const APPLICATION_ID: i64 = 0x5371_616c;
/// The log file is cut back to this size when it starts anew.
const WAL_KEPT: i64 = 64 << 20;
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Statements kept ready per connection: the fixed ones, and the common forms of updates and listings.
const STATEMENTS: usize = 128;

/// Larger databases are not checked when they are opened.
const CHECKED_BYTES: u64 = 256 << 20;

/// The schema, one step each: the first brings an empty file to version 1. Steps are only ever added at the end.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_first.sql"),
    include_str!("migrations/0002_confirmations.sql"),
    include_str!("migrations/0003_entries.sql"),
    include_str!("migrations/0004_blobs_and_slots.sql"),
    include_str!("migrations/0005_people.sql"),
    include_str!("migrations/0006_joins.sql"),
];

/// What is promised about a power cut. A crash of squall alone loses nothing in any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Synchronous {
    /// What was acknowledged survives it.
    #[default]
    Full,
    /// The last commits before it may be missing.
    Normal,
    /// The database may be unreadable after it.
    Off,
}

/// Hears of the failure that must end the process.
pub type OnFatal = Arc<dyn Fn(&str) + Send + Sync>;

/// How to open a store.
#[derive(Clone)]
pub struct Options {
    /// What is promised about a power cut.
    pub synchronous: Synchronous,
    /// Called once, on the failing thread, with the failure after which nothing is acknowledged any more (D06).
    pub on_fatal: Option<OnFatal>,
    /// Batches that may wait for the writer; more are refused with [`crate::Error::Busy`].
    pub queue: usize,
    /// Bytes of text that may wait for the writer.
    pub queue_bytes: usize,
    /// Batches in one transaction at most.
    pub group: usize,
    /// Pages in the write-ahead log between two checkpoints.
    pub checkpoint_pages: u32,
    /// Also on file systems that are known to break locks or shared memory.
    pub allow_network_fs: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            synchronous: Synchronous::Full,
            on_fatal: None,
            queue: 4096,
            queue_bytes: 64 << 20,
            group: 256,
            checkpoint_pages: 1000,
            allow_network_fs: false,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a file in it cannot be made or written.
    #[error("cannot write in the data directory {}: {source}{}", path.display(), whose(path, source))]
    Directory {
        /// The directory or the file in it.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it open.
    #[error("the data directory {} is in use by process {holder} since {since}: stop it, or give another directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
        /// Process id of the holder, as it wrote it down.
        holder: String,
        /// When it opened the directory.
        since: String,
    },
    /// A file system on which SQLite's locks or shared memory do not work.
    #[error("the data directory {} is on {kind}, where locks and shared memory cannot be trusted: use a local disk, or set store.allow_network_fs", path.display())]
    NetworkFs {
        /// The directory.
        path: PathBuf,
        /// The kind of file system.
        kind: &'static str,
    },
    /// This program was built with an SQLite that has a known bug.
    #[error("SQLite {found} is older than 3.51.3 and may corrupt a database: build with the bundled one")]
    OldSqlite {
        /// Its version.
        found: &'static str,
    },
    /// SQLite did not take a setting.
    #[error("SQLite answered {found} to {name} = {wanted} on {}", path.display())]
    Setting {
        /// The database.
        path: PathBuf,
        /// The pragma.
        name: &'static str,
        /// What it was set to.
        wanted: String,
        /// What it then was.
        found: String,
    },
    /// A database of something else.
    #[error("{} is a database of another program", path.display())]
    Foreign {
        /// The database.
        path: PathBuf,
    },
    /// Written by a newer squall.
    #[error("database {} has schema {found}, this program knows {known}: use a newer squall or restore a backup", path.display())]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its schema.
        found: i64,
        /// The newest one that this program knows.
        known: i64,
    },
    /// Pages are damaged. Nothing was changed.
    #[error("database {} is damaged ({why}): move the directory aside and restore a backup; `sqlite3 squall.db .recover` shows what can still be read", path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What the check found first.
        why: String,
    },
    /// Anything else that SQLite says: damaged, not a database, full.
    #[error("cannot open database {}: {source}", path.display())]
    Database {
        /// The database.
        path: PathBuf,
        /// What it says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Whose a place is that was refused, and who was refused: what has to be mended.
fn whose(path: &Path, source: &std::io::Error) -> String {
    let there = path.ancestors().find_map(|p| std::fs::metadata(p).ok().map(|m| (p, m)));
    match there {
        Some((place, meta)) if source.kind() == std::io::ErrorKind::PermissionDenied => format!(
            " (this is user {}; {} belongs to user {} with mode {:04o})",
            rustix::process::geteuid().as_raw(),
            place.display(),
            meta.uid(),
            meta.mode() & 0o7777
        ),
        _ => String::new(),
    }
}

/// Makes the directory when it is missing, for the owner alone.
pub(super) fn directory(dir: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Directory { path: dir.to_owned(), source };
    if !dir.is_dir() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        if let Some(above) = dir.parent().filter(|p| !p.as_os_str().is_empty()) {
            sync_directory(above).map_err(failed)?;
        }
    }
    Ok(())
}

/// The lock of a data directory. Its file holds the process id while the store is open, and nothing after a clean stop.
pub(super) struct Lock {
    file: File,
    fatal: Arc<Fatal>,
    /// Whether the last process that held it ended without closing the store.
    pub(super) unclean: bool,
    /// Set when the store was opened: a refused start leaves the file as after a stop that was not clean.
    pub(super) opened: bool,
}

impl Drop for Lock {
    fn drop(&mut self) {
        if self.opened && self.fatal.first.get().is_none() {
            // When it fails, the next start checks the database without need.
            let _ = self.file.set_len(0);
        }
    }
}

/// How long a dead holder may keep the lock: a child that it was just starting has it until it runs its own program.
const LETTING_GO: Duration = Duration::from_secs(5);
/// How often the lock of a dead holder is tried.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Takes the lock of the directory; it is held as long as the file is open.
pub(super) fn lock(dir: &Path, fatal: Arc<Fatal>) -> Result<Lock, OpenError> {
    let path = dir.join(LOCK);
    let failed = |source| OpenError::Directory { path: path.clone(), source };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if begun.elapsed() < LETTING_GO && !holder_lives(&mut file) => {
                std::thread::sleep(LOOK_AGAIN);
            }
            Err(TryLockError::WouldBlock) => return Err(held(dir, file)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
    }
    let unclean = file.metadata().map_err(failed)?.len() > 0;
    file.set_len(0).map_err(failed)?;
    file.rewind().map_err(failed)?;
    write!(file, "{}", std::process::id()).map_err(failed)?;
    Ok(Lock { file, fatal, unclean, opened: false })
}

/// The process id in the file; empty when there is none.
fn holder(file: &mut File) -> String {
    let mut holder = String::new();
    let _ = file.rewind();
    let _ = Read::by_ref(file).take(20).read_to_string(&mut holder);
    holder
}

fn holder_lives(file: &mut File) -> bool {
    holder(file).parse::<u32>().is_ok_and(|pid| Path::new("/proc").join(pid.to_string()).exists())
}

/// The holder wrote its process id into the file when it started, so the file's time is its start.
fn held(dir: &Path, mut file: File) -> OpenError {
    let holder = holder(&mut file);
    let written = file.metadata().and_then(|m| m.modified()).ok();
    let since = written.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    OpenError::Locked {
        path: dir.to_owned(),
        holder: if holder.is_empty() { "unknown".to_owned() } else { holder },
        since: since.map_or_else(|| "unknown".to_owned(), |d| Timestamp::default().after(d).to_iso()),
    }
}

/// File systems by the magic number of `statfs` on which a write-ahead log is not safe.
const NETWORK_FS: &[(u64, &str)] = &[
    (0x6969, "NFS"),
    (0x517b, "SMB"),
    (0xff53_4d42, "CIFS"),
    (0xfe53_4d42, "SMB2"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "FUSE"),
    (0x7461_636f, "OCFS2"),
    (0x00c3_6400, "Ceph"),
];

fn local_disk(dir: &Path) -> Result<(), OpenError> {
    let stat = rustix::fs::statfs(dir)
        .map_err(|e| OpenError::Directory { path: dir.to_owned(), source: std::io::Error::from(e) })?;
    let magic = u64::try_from(stat.f_type).unwrap_or_default() & 0xffff_ffff;
    match NETWORK_FS.iter().find(|(number, _)| *number == magic) {
        Some((_, kind)) => Err(OpenError::NetworkFs { path: dir.to_owned(), kind }),
        None => Ok(()),
    }
}

/// The connection that writes: database made, settings checked, schema current.
pub(super) fn writer(dir: &Path, options: &Options, unclean: bool) -> Result<Connection, OpenError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(OpenError::OldSqlite { found: rusqlite::version() });
    }
    if !options.allow_network_fs {
        local_disk(dir)?;
    }
    let path = dir.join(FILE);
    private_file(dir, &path).map_err(|source| OpenError::Directory { path: path.clone(), source })?;
    let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    settings(&connection, &path, options)?;
    // The writer checkpoints itself, because SQLite's own keeps quiet about a sync that failed.
    pragma(&connection, &path, "wal_autocheckpoint", 0)?;
    if unclean {
        check(&connection, &path)?;
    }
    migrate(&mut connection, &path)?;
    Ok(connection)
}

/// Looks for damaged pages: after a stop that was not clean, and only where it takes about a second at most.
fn check(connection: &Connection, path: &Path) -> Result<(), OpenError> {
    if std::fs::metadata(path).map_or(0, |m| m.len()) > CHECKED_BYTES {
        return Ok(());
    }
    let damaged = |why: String| Err(OpenError::Damaged { path: path.to_owned(), why });
    match connection.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0)) {
        Ok(verdict) if verdict == "ok" => Ok(()),
        Ok(verdict) => damaged(verdict),
        Err(error) => damaged(error.to_string()),
    }
}

/// One more connection for reading.
pub(super) fn reader(dir: &Path, options: &Options) -> Result<Connection, OpenError> {
    let path = dir.join(FILE);
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    settings(&connection, &path, options)?;
    pragma(&connection, &path, "query_only", 1)?;
    Ok(connection)
}

/// Makes the file for the owner alone before SQLite does; its log and shared memory get the same mode.
fn private_file(dir: &Path, path: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    // SQLite does not mind when the name of a new database is not on disk; we do.
    sync_directory(dir)
}

fn sync_directory(dir: &Path) -> std::io::Result<()> {
    File::open(dir)?.sync_all()
}

pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenError> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(|e| database(path, e))?;
    connection.busy_timeout(BUSY_TIMEOUT).map_err(|e| database(path, e))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

pub(super) fn database(path: &Path, source: rusqlite::Error) -> OpenError {
    OpenError::Database { path: path.to_owned(), source: Box::new(source) }
}

fn settings(connection: &Connection, path: &Path, options: &Options) -> Result<(), OpenError> {
    let mode: String = connection
        .pragma_update_and_check(None, "journal_mode", "wal", |row| row.get(0))
        .map_err(|e| database(path, e))?;
    if mode != "wal" {
        return Err(setting(path, "journal_mode", "wal", mode));
    }
    let synchronous = match options.synchronous {
        Synchronous::Off => 0,
        Synchronous::Normal => 1,
        Synchronous::Full => 2,
    };
    let wanted = [
        ("synchronous", synchronous),
        ("foreign_keys", 1),
        ("trusted_schema", 0),
        ("cell_size_check", 1),
        ("mmap_size", 0),
        ("temp_store", 2),
        ("journal_size_limit", WAL_KEPT),
        ("fullfsync", i64::from(cfg!(target_os = "macos"))),
        ("checkpoint_fullfsync", i64::from(cfg!(target_os = "macos"))),
        // 16 MiB: the right edges of a dozen trees, and the rows that updates come back to.
        ("cache_size", -16384),
    ];
    wanted.into_iter().try_for_each(|(name, value)| pragma(connection, path, name, value))?;
    let busy: i64 = connection.pragma_query_value(None, "busy_timeout", |r| r.get(0)).map_err(|e| database(path, e))?;
    if u128::try_from(busy).ok() != Some(BUSY_TIMEOUT.as_millis()) {
        return Err(setting(path, "busy_timeout", &BUSY_TIMEOUT.as_millis().to_string(), busy.to_string()));
    }
    match connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true).map_err(|e| database(path, e))? {
        true => Ok(()),
        false => Err(setting(path, "defensive", "on", "off".to_owned())),
    }
}

fn setting(path: &Path, name: &'static str, wanted: &str, found: String) -> OpenError {
    OpenError::Setting { path: path.to_owned(), name, wanted: wanted.to_owned(), found }
}

/// Sets a pragma and reads it back.
fn pragma(connection: &Connection, path: &Path, name: &'static str, value: i64) -> Result<(), OpenError> {
    // Some answer the new value, some nothing: the read below tells.
    connection.pragma_update(None, name, value).map_err(|e| database(path, e))?;
    let found: Option<i64> = connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map(Some)
        .or_else(|e| if e == rusqlite::Error::QueryReturnedNoRows { Ok(None) } else { Err(e) })
        .map_err(|e| database(path, e))?;
    match found {
        // mmap_size answers nothing when SQLite is built without it, which is what we want.
        None if name == "mmap_size" => Ok(()),
        Some(found) if found == value => Ok(()),
        found => Err(setting(path, name, &value.to_string(), format!("{found:?}"))),
    }
}

pub(super) fn number(connection: &Connection, path: &Path, name: &str) -> Result<i64, OpenError> {
    connection.pragma_query_value(None, name, |row| row.get(0)).map_err(|e| database(path, e))
}

/// The newest schema that this program knows.
pub(super) fn known() -> i64 {
    i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX)
}

/// The version of the schema, if this is a database of squall or an empty one.
pub(super) fn ours(connection: &Connection, path: &Path) -> Result<i64, OpenError> {
    let found = number(connection, path, "user_version")?;
    let application = number(connection, path, "application_id")?;
    let tables: i64 = connection
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(|e| database(path, e))?;
    if application != APPLICATION_ID && (application != 0 || found != 0 || tables != 0) {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    Ok(found)
}

/// Brings the schema up to date, one transaction a step; refuses what is newer or not ours.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), OpenError> {
    let known = known();
    let found = ours(connection, path)?;
    if found > known {
        return Err(OpenError::Newer { path: path.to_owned(), found, known });
    }
    for (version, sql) in (1..).zip(MIGRATIONS).filter(|(version, _)| *version > found) {
        step(connection, version, sql).map_err(|e| database(path, e))?;
    }
    Ok(())
}

fn step(connection: &mut Connection, version: i64, sql: &str) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    transaction.execute_batch(sql)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version)?;
    squall_model::crash_point!("K21");
    transaction.commit()
}
