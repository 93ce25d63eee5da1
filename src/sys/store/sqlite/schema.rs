//! The tables, the sums over their rows, and how a connection is set up.
//!
//! ```text
//!   meta      what the store knows of itself
//!   log       every log, and log_copy: each event names its log, so a log's name is kept twice
//!   event     every event, by its number; event_place finds it by log and offset
//!   value     small values
//!   dedup     ids of publishes, by the number of their event
//!   gap       offsets that are known to be gone by damage
//! ```
//!
//! The tables are made in this order in an empty file, so each always begins on the same page:
//! a first page that is damaged can be taken from a new store.

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use super::SqliteSettings;
use crate::base::Wall;
use crate::engine::store::{StoreError, StoreFault};
use crate::engine::topic::Epoch;

/// The version of the tables.
pub(super) const VERSION: i64 = 1;

/// Bytes of a page.
pub(super) const PAGE: u64 = 4096;

const TABLES: &str = "
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE log (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, epoch INTEGER NOT NULL, is_mixed INTEGER NOT NULL,
    crc INTEGER NOT NULL, is_cut INTEGER NOT NULL, last INTEGER NOT NULL, last_seq INTEGER NOT NULL,
    end_crc INTEGER NOT NULL);
CREATE TABLE log_copy (id INTEGER PRIMARY KEY, topic TEXT NOT NULL, epoch INTEGER NOT NULL,
    is_mixed INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE event (seq INTEGER PRIMARY KEY, log INTEGER NOT NULL, offset INTEGER NOT NULL, time INTEGER NOT NULL,
    high INTEGER, expires INTEGER, pos INTEGER NOT NULL, crc INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE UNIQUE INDEX event_place ON event (log, offset);
CREATE TABLE value (tab INTEGER NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (tab, key)) WITHOUT ROWID;
CREATE TABLE dedup (seq INTEGER PRIMARY KEY, key BLOB NOT NULL, log INTEGER NOT NULL, offset INTEGER NOT NULL,
    time INTEGER NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE gap (log INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
    PRIMARY KEY (log, first)) WITHOUT ROWID;
";

/// The place of the version in a database's header that says who may write it (the SQLite file format,
/// 1.3.1). SQLite takes a greater one than it knows for a file that is to be read only.
const WRITE_VERSION: usize = 18;
const WRITE_VERSION_MAX: u8 = 2;

/// Refuses a database whose header keeps SQLite from writing it: that is damage, and no lack of rights.
pub(super) fn is_writable(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; WRITE_VERSION + 1];
    // What is not there, too short, or cannot be read, SQLite has its own words for.
    let is_read = File::open(path).and_then(|mut file| file.read_exact(&mut header)).is_ok();
    if is_read && header[WRITE_VERSION] > WRITE_VERSION_MAX {
        return Err(StoreError::new(StoreFault::Damaged, "its header says that it is of a later format"));
    }
    Ok(())
}

/// What the store knows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meta {
    /// [`VERSION`].
    Version,
    /// 1 if the store was closed in order.
    IsClosed,
    /// The newest number when a log was last forgotten.
    LastSeq,
    /// The greatest log id when a log was last forgotten.
    LastLog,
    /// Counts probes: a write that changes nothing else.
    Probe,
}

impl Meta {
    fn key(self) -> &'static str {
        match self {
            Meta::Version => "version",
            Meta::IsClosed => "is_closed",
            Meta::LastSeq => "last_seq",
            Meta::LastLog => "last_log",
            Meta::Probe => "probe",
        }
    }
}

/// The value; nothing if there is none or its sum does not hold.
pub(super) fn meta(db: &Connection, what: Meta) -> Result<Option<i64>, StoreError> {
    let mut query = db.prepare_cached("SELECT value, crc FROM meta WHERE key = ?1")?;
    let found = query.query_row([what.key()], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))).optional()?;
    Ok(found.filter(|(value, crc)| meta_sum(what, *value) == *crc).map(|(value, _)| value))
}

/// Sets the value.
pub(super) fn set_meta(db: &Connection, what: Meta, value: i64) -> Result<(), StoreError> {
    let mut change = db.prepare_cached("INSERT OR REPLACE INTO meta (key, value, crc) VALUES (?1, ?2, ?3)")?;
    change.execute(params![what.key(), value, meta_sum(what, value)])?;
    Ok(())
}

/// A write that changes nothing but a count.
pub(super) fn probe(db: &Connection) -> Result<(), StoreError> {
    let count = meta(db, Meta::Probe)?.unwrap_or(0);
    set_meta(db, Meta::Probe, count.wrapping_add(1))
}

/// Makes the file if there is none, for its owner alone, wherever the store is: SQLite would let
/// everybody read it, and gives its log the same mode. Why it cannot be made SQLite says.
fn make_private(path: &Path) {
    // Of a file that is there no descriptor is made: closing one would end the locks on it.
    let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
}

/// Opens the file, or makes it, with everything set that the store relies on.
pub(super) fn connect(path: &Path, settings: &SqliteSettings) -> Result<Connection, StoreError> {
    make_private(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(path, flags)?;
    db.set_prepared_statement_cache_capacity(64);
    // Exclusive before the log, so that there is no shared memory file. A checkpoint is ordered,
    // never automatic: SQLite would pass over its failure.
    db.execute_batch(&format!(
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size={PAGE}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;
         PRAGMA wal_autocheckpoint=0; PRAGMA journal_size_limit={}; PRAGMA cell_size_check=ON;
         PRAGMA temp_store=MEMORY; PRAGMA cache_size=-{};",
        settings.log_bytes(),
        (settings.cache_bytes >> 10).max(64)
    ))?;
    Ok(db)
}

/// Makes the tables in an empty file.
pub(super) fn create(db: &Connection) -> Result<(), StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    db.execute_batch(TABLES)?;
    set_meta(db, Meta::Version, VERSION)?;
    set_meta(db, Meta::IsClosed, 0)?;
    db.execute_batch(&format!("PRAGMA user_version={VERSION}; COMMIT"))?;
    Ok(())
}

/// Whether the tables are there.
pub(super) fn is_made(db: &Connection) -> Result<bool, StoreError> {
    Ok(db.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0))? > 0)
}

/// Refuses what a newer program wrote, and what is not as it was made. Both places must say so: one alone may be damaged.
pub(super) fn is_known(db: &Connection) -> Result<(), StoreError> {
    let header: i64 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    let inside = meta(db, Meta::Version)?.unwrap_or(0);
    if header > VERSION && inside > VERSION {
        let text = format!("a newer version of the program wrote it (its tables: {inside}, known here: {VERSION})");
        return Err(StoreError::new(StoreFault::Refused, text));
    }
    if header != VERSION || inside != VERSION {
        let text = format!("its version is {header} in the header and {inside} inside, where it should be {VERSION}");
        return Err(StoreError::new(StoreFault::Damaged, text));
    }
    if !has_tables(db)? {
        return Err(StoreError::new(StoreFault::Damaged, "its tables are not as they were made"));
    }
    Ok(())
}

/// Whether all tables are as they were made.
pub(super) fn has_tables(db: &Connection) -> Result<bool, StoreError> {
    let empty = Connection::open_in_memory()?;
    empty.execute_batch(TABLES)?;
    Ok(tables_of(db)? == tables_of(&empty)?)
}

fn tables_of(db: &Connection) -> rusqlite::Result<Vec<(String, i64, Option<String>)>> {
    let mut query = db.prepare("SELECT name, rootpage, sql FROM sqlite_schema ORDER BY rootpage")?;
    let rows = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    rows.collect()
}

fn meta_sum(what: Meta, value: i64) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(what.key().as_bytes());
    sum.update(&value.to_le_bytes());
    i64::from(sum.finalize())
}

/// The sum over a log's name.
pub(super) fn log_sum(id: i64, topic: &str, epoch: Epoch, is_mixed: bool) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&id.to_le_bytes());
    sum.update(&epoch.as_u64().to_le_bytes());
    sum.update(&[u8::from(is_mixed)]);
    sum.update(topic.as_bytes());
    i64::from(sum.finalize())
}

/// The sum over what is known of a log's end.
pub(super) fn end_sum(id: i64, is_cut: bool, last: u64, last_seq: u64) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&id.to_le_bytes());
    sum.update(&[u8::from(is_cut)]);
    sum.update(&last.to_le_bytes());
    sum.update(&last_seq.to_le_bytes());
    i64::from(sum.finalize())
}

/// What an event's row holds besides its log's name and its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fixed {
    /// Its number.
    pub(super) seq: u64,
    /// Its log.
    pub(super) log: i64,
    /// Its offset.
    pub(super) offset: u64,
    /// When it was published.
    pub(super) time: Wall,
    /// The latest time in its log up to it, if the clock was set back.
    pub(super) high: Option<i64>,
    /// When it expires.
    pub(super) expires: Option<Wall>,
    /// Weight of its log up to and including it.
    pub(super) pos: u64,
}

/// The sum over an event.
pub(super) fn event_sum(fixed: &Fixed, topic: &str, epoch: Epoch, payload: &[u8]) -> i64 {
    let mut bytes = [0u8; 8 * 8 + 2];
    let numbers = [
        fixed.seq,
        fixed.log as u64,
        fixed.offset,
        fixed.time.0 as u64,
        fixed.high.unwrap_or(0) as u64,
        fixed.expires.map_or(0, |expires| expires.0 as u64),
        fixed.pos,
        epoch.as_u64(),
    ];
    for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    bytes[64] = u8::from(fixed.high.is_some());
    bytes[65] = u8::from(fixed.expires.is_some());
    let mut sum = crc32fast::Hasher::new();
    sum.update(&bytes);
    sum.update(topic.as_bytes());
    sum.update(&[0]);
    sum.update(payload);
    i64::from(sum.finalize())
}

/// The sum over a small value.
pub(super) fn value_sum(table: u8, key: &str, value: &[u8]) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(&[table]);
    sum.update(&(key.len() as u64).to_le_bytes());
    sum.update(key.as_bytes());
    sum.update(value);
    i64::from(sum.finalize())
}

/// The sum over an id of a publish.
pub(super) fn dedup_sum(seq: u64, key: &[u8], log: i64, offset: u64, time: Wall) -> i64 {
    let mut sum = crc32fast::Hasher::new();
    for number in [seq, log as u64, offset, time.0 as u64] {
        sum.update(&number.to_le_bytes());
    }
    sum.update(key);
    i64::from(sum.finalize())
}
