//! Looks through a store that nobody uses, and changes nothing in its folder.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::SqliteSettings;
use super::gaps::Gaps;
use super::heads::{Head, Heads};
use super::live::checkpoint;
use super::load::{LOG_COLUMNS, dedup_row, log_row};
use super::mark::{self, Known};
use super::open::is_log_short;
use super::row::{self, examine};
use super::schema::{self, Meta};
use super::tables;
use crate::engine::store::{Damage, StoreError, StoreFault, Table};
use crate::engine::topic::Epoch;

/// Findings of SQLite's own check that are told.
const FINDINGS: usize = 100;

/// Names for the copy that are tried.
const ATTEMPTS: u32 = 1000;

/// What was found in a store.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Bytes of its files.
    pub bytes: u64,
    /// Whether it was closed in order.
    pub was_closed: bool,
    /// The number of the newest event.
    pub last: u64,
    /// Its logs, in the order in which they began.
    pub logs: Vec<LogReport>,
    /// Small values by table.
    pub values: Vec<(Table, u64)>,
    /// Ids of publishes that are remembered.
    pub dedup: u64,
    /// What is damaged and was not reported before.
    pub damage: Vec<Damage>,
    /// What was reported before: it is gone, and was set aside.
    pub settled: Vec<Damage>,
    /// What is wrong with the files, in SQLite's words.
    pub findings: Vec<String>,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogReport {
    /// The topic.
    pub topic: Box<str>,
    /// The epoch.
    pub epoch: Epoch,
    /// The oldest offset held; 0 if none is.
    pub first: u64,
    /// The newest offset it ever held.
    pub last: u64,
    /// Events held.
    pub events: u64,
    /// Bytes of their payloads.
    pub bytes: u64,
}

/// Why a store could not be looked at.
#[derive(Debug)]
pub enum CheckError {
    /// There is none.
    Missing(PathBuf),
    /// A server has it open.
    InUse(PathBuf),
    /// A newer program wrote it.
    Newer(String),
    /// A file could not be read or copied.
    File(PathBuf, io::Error),
}

impl std::fmt::Display for CheckError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            CheckError::Missing(path) => write!(f, "there is no store in {}", path.display()),
            CheckError::InUse(path) => {
                write!(f, "the store in {} is in use; it can be checked when its server is stopped", path.display())
            }
            CheckError::Newer(text) => f.write_str(text),
            CheckError::File(path, error) => write!(f, "{}: {error}", path.display()),
        }
    }
}

impl std::error::Error for CheckError {}

impl Report {
    /// Whether nothing is damaged.
    pub fn is_well(&self) -> bool {
        self.damage.is_empty() && self.findings.is_empty()
    }
}

/// Looks through the store in a folder. If it was not closed in order, it is copied below the
/// system's folder for temporary files first, and the copy looked at.
pub fn check(path: &Path) -> Result<Report, CheckError> {
    let db = path.join("db");
    if !db.exists() && !path.join("db-wal").exists() {
        return Err(CheckError::Missing(path.to_owned()));
    }
    let _lock = lock(path)?;
    let log = path.join("db-wal");
    let length = |file: &Path| file.metadata().map_or(0, |found| found.len());
    let mut report = Report { bytes: length(&db) + length(&log), ..Report::default() };
    let known = Known::read(path);
    let looked = if length(&log) == 0 {
        open_immutable(&db).and_then(|db| report.look(&db, &known, None))
    } else {
        let copy = Copied::new(path)?;
        let settings = SqliteSettings {
            path: copy.0.clone(),
            max_bytes: u64::MAX,
            min_free_bytes: 0,
            cache_bytes: 8 << 20,
            dedup_window: Duration::ZERO,
            dedup_max: 0,
        };
        let salt = mark::salt(&copy.0.join("db-wal"));
        schema::connect(&copy.0.join("db"), &settings).and_then(|db| report.look(&db, &known, Some(salt)))
    };
    match looked {
        Ok(()) => {}
        Err(error) if error.fault == StoreFault::Refused => return Err(CheckError::Newer(error.text.into())),
        Err(error) => report.findings.push(error.to_string()),
    }
    Ok(report)
}

/// Held while it is checked, so that no server begins with it.
fn lock(path: &Path) -> Result<Option<File>, CheckError> {
    let file = path.join("lock");
    let lock = match File::open(&file) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CheckError::File(file, error)),
    };
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(CheckError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(CheckError::File(file, error)),
    }
}

/// A copy, which goes when it is let go.
struct Copied(PathBuf);

impl Copied {
    fn new(path: &Path) -> Result<Copied, CheckError> {
        let mut attempt = 0;
        let folder = loop {
            let name = format!("hydrogen-store-check-{}-{attempt}", std::process::id());
            let folder = std::env::temp_dir().join(name);
            // Events are nobody else's to read.
            match fs::DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => break folder,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS => attempt += 1,
                Err(error) => return Err(CheckError::File(folder, error)),
            }
        };
        let copied = Copied(folder);
        for name in ["db", "db-wal"] {
            let from = path.join(name);
            if from.exists() {
                fs::copy(&from, copied.0.join(name)).map_err(|error| CheckError::File(from, error))?;
            }
        }
        Ok(copied)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            log::warn!("{} cannot be removed: {error}", self.0.display());
        }
    }
}

/// Without locks, and without a look for a log.
fn open_immutable(db: &Path) -> Result<Connection, StoreError> {
    let mut uri = String::from("file:");
    for byte in std::os::unix::ffi::OsStrExt::as_bytes(db.as_os_str()) {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            other => uri.push_str(&format!("%{other:02x}")),
        }
    }
    uri.push_str("?immutable=1");
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags(uri, flags)?;
    db.execute_batch("PRAGMA cell_size_check=ON")?;
    Ok(db)
}

impl Report {
    /// `salt` is that of the log before it was opened, if there is a log.
    fn look(&mut self, db: &Connection, known: &Known, salt: Option<Option<u32>>) -> Result<(), StoreError> {
        if let Err(error) = schema::is_known(db) {
            if error.fault == StoreFault::Refused {
                return Err(error);
            }
            self.findings.push(error.text.into());
        }
        let pages = if salt.is_some() { checkpoint(db)? } else { 0 };
        self.was_closed = schema::meta(db, Meta::IsClosed)? == Some(1);
        if !self.was_closed && is_log_short(known, salt.flatten(), pages) {
            self.findings.push("commits at the end of the database's log are lost".into());
        }
        let mut query = db.prepare(&format!("PRAGMA integrity_check({FINDINGS})"))?;
        for found in query.query_map([], |row| row.get::<_, String>(0))? {
            let found = found?;
            if found != "ok" {
                self.findings.push(found);
            }
        }
        let heads = self.names(db)?;
        self.events(db, &heads, known)?;
        self.values(db)?;
        let mut query = db.prepare("SELECT seq, key, log, offset, time, crc FROM dedup")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            self.dedup += u64::from(dedup_row(row).is_some());
        }
        Ok(())
    }

    fn names(&mut self, db: &Connection) -> Result<Heads, StoreError> {
        let mut heads = Heads::default();
        for sql in [
            format!("SELECT {LOG_COLUMNS} FROM log ORDER BY id"),
            "SELECT id, topic, epoch, is_mixed, crc, 0, 0, 0, NULL FROM log_copy ORDER BY id".to_owned(),
        ] {
            let mut query = db.prepare(&sql)?;
            let mut rows = query.query([])?;
            while let Some(row) = rows.next()? {
                match log_row(row) {
                    Some(found) if heads.of(found.head.id).is_none() => heads.put(found.head),
                    Some(_) => {}
                    None => self.findings.push(format!("a name of log {} is damaged", row.get::<_, i64>(0)?)),
                }
            }
        }
        let mut query = db.prepare("SELECT log, first, last FROM gap ORDER BY log, first")?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (log, first, last) = (row.get(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
            heads.gaps.add(log, first, last);
            if let Some(head) = heads.of(log) {
                self.settled.push(gone(head, first, last));
            }
        }
        Ok(heads)
    }

    fn events(&mut self, db: &Connection, heads: &Heads, known: &Known) -> Result<(), StoreError> {
        let forgotten = schema::meta(db, Meta::LastSeq)?.unwrap_or(0).unsigned_abs();
        self.last = heads.all().map(|head| head.last_seq.0).max().unwrap_or(0).max(forgotten);
        let mut found: BTreeMap<i64, LogReport> = heads.all().map(|head| (head.id, empty(head))).collect();
        let mut holes: BTreeMap<i64, Vec<(u64, u64)>> = BTreeMap::new();
        let mut query = db.prepare(&format!("SELECT {} FROM event NOT INDEXED ORDER BY seq", row::COLUMNS))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (seq, log) = match examine(row, heads)? {
                Ok(whole) => whole,
                Err(bad) => {
                    if bad.place.is_none_or(|(log, _)| heads.of(log).is_none()) {
                        self.findings
                            .push(format!("event {} is damaged, and nothing tells of which log it is", bad.seq));
                    }
                    continue;
                }
            };
            self.last = self.last.max(seq);
            let Some(of) = found.get_mut(&log) else { continue };
            let offset = row.get::<_, i64>(2)? as u64;
            if of.first == 0 {
                of.first = offset;
            } else if offset > of.last.saturating_add(1) {
                holes.entry(log).or_default().push((of.last + 1, offset - 1));
            }
            of.last = of.last.max(offset);
            of.events += 1;
            of.bytes += row.get_ref(8)?.as_blob().map_or(0, <[u8]>::len) as u64;
        }
        let index = ends(db)?;
        for head in heads.all() {
            let Some(of) = found.get_mut(&head.id) else { continue };
            let (index_first, index_last) = index.get(&head.id).copied().unwrap_or((u64::MAX, 0));
            let marked = known.logs.iter().filter(|log| log.topic == head.topic && log.epoch == head.epoch);
            let end = marked.map(|log| log.last).max().unwrap_or(0).max(index_last).max(head.last);
            if index_first < of.first {
                holes.entry(head.id).or_default().insert(0, (index_first, of.first - 1));
            }
            if end > of.last {
                // What is empty in order says where it ends.
                if of.events > 0 || end > head.last {
                    holes.entry(head.id).or_default().push((of.last.max(head.last) + 1, end));
                }
                of.last = end;
            }
        }
        let lost =
            known.logs.iter().filter(|log| log.last_seq.0 > self.last && heads.find(&log.topic, log.epoch).is_none());
        for log in lost {
            self.damage.push(Damage::Events { topic: (*log.topic).into(), epoch: log.epoch, first: 1, last: log.last });
        }
        for (log, holes) in holes {
            let Some(head) = heads.of(log) else { continue };
            let unknown =
                |gaps: &Gaps, (first, last)| if first <= last { gaps.unknown(log, first, last) } else { Vec::new() };
            for (first, last) in holes.into_iter().flat_map(|hole| unknown(&heads.gaps, hole)) {
                self.damage.push(gone(head, first, last));
            }
        }
        self.logs = found.into_values().collect();
        Ok(())
    }

    fn values(&mut self, db: &Connection) -> Result<(), StoreError> {
        let mut counts = [0; Table::ALL.len()];
        let mut query = db.prepare(&format!("SELECT {} FROM value", tables::COLUMNS))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let place = row.get::<_, i64>(0).ok().and_then(|place| usize::try_from(place).ok());
            let table = place.and_then(|place| Table::ALL.get(place).copied());
            match (tables::decode(row), table) {
                (Some(_), Some(table)) => counts[table as usize] += 1,
                (None, Some(table)) => {
                    let key = row.get::<_, String>(1).unwrap_or_default().into();
                    self.damage.push(Damage::Value { table, key });
                }
                (_, None) => self.findings.push("a value is of no table".into()),
            }
        }
        self.values = Table::ALL.into_iter().zip(counts).collect();
        Ok(())
    }
}

/// The first and last offset of each log, as the index has them.
fn ends(db: &Connection) -> Result<BTreeMap<i64, (u64, u64)>, StoreError> {
    let mut query =
        db.prepare("SELECT log, min(offset), max(offset) FROM event INDEXED BY event_place GROUP BY log")?;
    let number = |row: &rusqlite::Row<'_>, index| row.get::<_, i64>(index).map(|number| number as u64);
    let rows = query.query_map([], |row| Ok((row.get(0)?, (number(row, 1)?, number(row, 2)?))))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn empty(head: &Head) -> LogReport {
    LogReport { topic: (*head.topic).into(), epoch: head.epoch, first: 0, last: 0, events: 0, bytes: 0 }
}

fn gone(head: &Head, first: u64, last: u64) -> Damage {
    Damage::Events { topic: (*head.topic).into(), epoch: head.epoch, first, last }
}
