//! Builds a damaged database anew from what can be read of it.
//!
//! The new one is built beside the old one, and takes its place when it is complete: a crash in
//! between loses nothing. The old one is kept.
//!
//! ```text
//!   db.part   is being built; thrown away if found when the store is opened
//!   db.new    is complete; db and db-wal are moved aside, then it becomes db
//! ```

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row, params};

use super::SqliteSettings;
use super::commit::{insert_event, insert_log};
use super::damage::{Aside, save_end, save_gap};
use super::fault::of_file;
use super::heads::{Head, Heads};
use super::live::checkpoint;
use super::load::{LOG_COLUMNS, dedup_row, log_row};
use super::row::{self, decode, raw};
use super::schema::{self, Meta, PAGE, event_sum};
use super::tables;
use super::way::Way;
use crate::engine::store::{Damage, Seq, StoreError, StoreFault, Table};

/// Rows of one transaction.
const STEP: u64 = 10_000;

/// Ends a rebuild that was cut short.
pub(super) fn finish(path: &Path, aside: &Aside) -> Result<(), StoreError> {
    for left in ["db.part", "db.part-wal", "db-wal.part"] {
        remove(&path.join(left))?;
    }
    let new = path.join("db.new");
    if new.exists() {
        move_aside(path, aside)?;
        fs::rename(&new, path.join("db")).map_err(|error| of_file("renaming", &new, &error))?;
        sync_folder(path)?;
    }
    Ok(())
}

/// Moves the database away.
pub(super) fn move_aside(path: &Path, aside: &Aside) -> Result<(), StoreError> {
    let folder = aside.folder().map_err(|error| of_file("making a folder in", path, &error))?;
    // The log last: without it the database would be taken for complete.
    for name in ["db", "db-wal"] {
        let file = path.join(name);
        if file.exists() {
            fs::rename(&file, folder.join(name)).map_err(|error| of_file("moving", &file, &error))?;
        }
    }
    sync_folder(path)
}

fn remove(file: &Path) -> Result<(), StoreError> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(of_file("removing", file, &error)),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| of_file("syncing", path, &error))
}

/// Builds the database anew. Afterwards it is in place.
pub(super) fn rebuild(way: &Way<'_>, aside: &mut Aside) -> Result<(), StoreError> {
    let path = &way.settings.path;
    let part = path.join("db.part");
    remove(&part)?;
    remove(&path.join("db.part-wal"))?;
    let new = schema::connect(&part, way.settings)?;
    schema::create(&new)?;
    checkpoint(&new)?;
    let old = open_old(way.settings, &part, aside)?;
    new.execute_batch("PRAGMA synchronous=OFF")?;
    let mut copy = Copy { old: &old, new: &new, aside, names: Heads::default(), rows: 0 };
    new.execute_batch("BEGIN")?;
    let copied = copy.all(way);
    let _ = old.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    drop(old);
    copied?;
    new.execute_batch("COMMIT; PRAGMA synchronous=FULL")?;
    schema::probe(&new)?;
    checkpoint(&new)?;
    new.close().map_err(|(_, error)| StoreError::from(error))?;
    remove(&path.join("db.part-wal"))?;
    File::open(&part).and_then(|file| file.sync_all()).map_err(|error| of_file("syncing", &part, &error))?;
    let done = path.join("db.new");
    fs::rename(&part, &done).map_err(|error| of_file("renaming", &part, &error))?;
    sync_folder(path)?;
    finish(path, aside)
}

/// Opens the damaged database. If its first page is of no use, it gets that of a new one: the
/// tables begin on the same pages.
fn open_old(settings: &SqliteSettings, new: &Path, aside: &Aside) -> Result<Connection, StoreError> {
    let file = settings.path.join("db");
    if let Some(old) = open_readable(&file, settings) {
        return Ok(old);
    }
    let patch = || -> std::io::Result<()> {
        let mut first = vec![0; PAGE as usize];
        let old = File::options().read(true).write(true).open(&file)?;
        let length = old.metadata()?.len();
        let read = old.read_at(&mut first, 0)?;
        fs::write(aside.folder()?.join("first-page"), &first[..read])?;
        File::open(new)?.read_exact_at(&mut first, 0)?;
        let pages = u32::try_from(length / PAGE).unwrap_or(u32::MAX);
        first[28..32].copy_from_slice(&pages.to_be_bytes());
        first[32..40].fill(0);
        old.write_all_at(&first, 0)
    };
    patch().map_err(|error| of_file("mending the first page of", &file, &error))?;
    open_readable(&file, settings)
        .ok_or_else(|| StoreError::new(StoreFault::Damaged, "its first page cannot be mended"))
}

fn open_readable(file: &Path, settings: &SqliteSettings) -> Option<Connection> {
    let db = schema::connect(file, settings).ok()?;
    // Evidence is not to be changed when it is closed.
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).ok()?;
    schema::has_tables(&db).is_ok_and(|has| has).then_some(db)
}

struct Copy<'a> {
    old: &'a Connection,
    new: &'a Connection,
    aside: &'a mut Aside,
    names: Heads,
    rows: u64,
}

impl Copy<'_> {
    fn all(&mut self, way: &Way<'_>) -> Result<(), StoreError> {
        for what in [Meta::LastSeq, Meta::LastLog] {
            if let Ok(Some(value)) = schema::meta(self.old, what) {
                schema::set_meta(self.new, what, value)?;
            }
        }
        self.logs(way)?;
        self.events()?;
        self.index()?;
        self.values()?;
        self.small("SELECT seq, key, log, offset, time, crc FROM dedup", "seq", |copy, row| {
            if dedup_row(row).is_some() {
                let column = |index| row.get::<_, rusqlite::types::Value>(index);
                let insert =
                    "INSERT OR IGNORE INTO dedup (seq, key, log, offset, time, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
                let values = params![column(0)?, column(1)?, column(2)?, column(3)?, column(4)?, column(5)?];
                copy.new.prepare_cached(insert)?.execute(values)?;
            }
            Ok(())
        })?;
        self.small("SELECT log, first, last FROM gap", "log", |copy, row| {
            save_gap(copy.new, row.get(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64)
        })?;
        Ok(())
    }

    /// Names from both tables and from what is known.
    fn logs(&mut self, way: &Way<'_>) -> Result<(), StoreError> {
        let mut found: BTreeMap<i64, Head> = BTreeMap::new();
        for log in &way.known.logs {
            let mut head = Head::new(log.id, log.topic.clone(), log.epoch, log.is_mixed);
            head.is_cut = log.is_cut;
            found.insert(log.id, head);
        }
        let copy = format!("SELECT {} FROM log_copy", "id, topic, epoch, is_mixed, crc, 0, 0, 0, NULL");
        for sql in [copy, format!("SELECT {LOG_COLUMNS} FROM log")] {
            self.small(&sql, "id", |_, row| {
                if let Some(found_row) = log_row(row) {
                    let before = found.get(&found_row.head.id);
                    if found_row.has_end || before.is_none() {
                        found.insert(found_row.head.id, found_row.head);
                    }
                }
                Ok(())
            })?;
        }
        for (_, mut head) in found {
            insert_log(self.new, &head)?;
            head.first = head.last.saturating_add(1);
            self.names.put(head);
        }
        Ok(())
    }

    fn events(&mut self) -> Result<(), StoreError> {
        let sql = format!("SELECT {} FROM event NOT INDEXED WHERE seq > ?1 ORDER BY seq", row::COLUMNS);
        let mut from = i64::MIN;
        loop {
            let mut query = match self.old.prepare_cached(&sql) {
                Ok(query) => query,
                Err(error) => return self.unreadable("the events", &error),
            };
            let failed = {
                let mut rows = query.query([from])?;
                loop {
                    match rows.next() {
                        Ok(None) => return Ok(()),
                        Ok(Some(row)) => {
                            let seq: i64 = row.get(0)?;
                            if seq <= from {
                                break rusqlite::Error::QueryReturnedNoRows;
                            }
                            from = seq;
                            let found = decode(row, &self.names)?;
                            self.event(found)?;
                        }
                        Err(error) => break error,
                    }
                }
            };
            drop(query);
            match self.behind(from) {
                Some(next) => from = next,
                None => return self.unreadable("the end of the events", &failed),
            }
        }
    }

    fn event(&mut self, found: Result<row::Whole, row::Bad>) -> Result<(), StoreError> {
        match found {
            Ok(whole) => {
                let record = &whole.record;
                let sum = event_sum(&whole.fixed, &record.topic, record.epoch, &record.payload);
                // Two rows for one place: the first that is whole counts.
                match insert_event(self.new, &whole.fixed, sum, &record.payload) {
                    Err(error) if error.fault != StoreFault::Damaged => return Err(error),
                    Ok(()) | Err(_) => {}
                }
                self.step()
            }
            Err(bad) => {
                self.aside.keep("event", "its sum does not hold", bad.row);
                Ok(())
            }
        }
    }

    /// The next number behind which something can be read: first in growing steps, then exactly.
    fn behind(&self, from: i64) -> Option<i64> {
        let can_read = |from: i64| -> bool {
            let query =
                self.old.prepare_cached("SELECT seq FROM event NOT INDEXED WHERE seq > ?1 ORDER BY seq LIMIT 1");
            query.and_then(|mut query| query.query([from])?.next().map(|_| ())).is_ok()
        };
        let (mut low, mut step) = (from.max(0), 1i64);
        let mut high = loop {
            let next = low.checked_add(step)?;
            if can_read(next) {
                break next;
            }
            (low, step) = (next, step.checked_mul(2)?);
        };
        while low + 1 < high {
            let middle = low + (high - low) / 2;
            if can_read(middle) { high = middle } else { low = middle }
        }
        Some(high)
    }

    /// Events that the index knows and the table does not have any more: the ends of logs are not
    /// told by holes.
    fn index(&mut self) -> Result<(), StoreError> {
        let mut lost: BTreeMap<i64, Vec<(u64, u64)>> = BTreeMap::new();
        let new = self.new;
        self.small("SELECT log, offset, seq FROM event INDEXED BY event_place", "", |_, row| {
            let (log, offset, seq) = (row.get(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
            if row::seq_at(new, log, offset)?.is_none() {
                lost.entry(log).or_default().push((offset, seq));
            }
            Ok(())
        })?;
        for (log, mut places) in lost {
            let Some(head) = self.names.of(log).cloned() else { continue };
            places.sort_unstable();
            let ends: (Option<i64>, Option<i64>) =
                self.new.query_row("SELECT min(offset), max(offset) FROM event WHERE log = ?1", [log], |row| {
                    Ok((row.get(0)?, row.get(1)?))
                })?;
            let (first, last) = match ends {
                (Some(first), Some(last)) => (first as u64, last as u64),
                _ => (places[0].0, places[0].0.saturating_sub(1)),
            };
            // A log has no holes, so a place far off is damaged itself.
            let behind: Vec<_> = places.iter().filter(|place| place.0 > last).collect();
            let count = behind.len() as u64;
            if let Some((end, seq)) = behind.into_iter().rfind(|place| place.0 - last <= count) {
                let mut head =
                    Head { last: (*end).max(head.last), last_seq: head.last_seq.max(Seq(*seq)), ..head.clone() };
                head.is_cut = true;
                save_end(self.new, &head)?;
            }
            let before = places.iter().filter(|place| place.0 < first).count() as u64;
            if let Some((begin, _)) = places.iter().find(|place| place.0 < first && first - place.0 <= before) {
                save_gap(self.new, log, *begin, first - 1)?;
                self.aside.report_events(&head, *begin, first - 1);
            }
        }
        Ok(())
    }

    fn values(&mut self) -> Result<(), StoreError> {
        for table in Table::ALL {
            let sql = format!("SELECT {} FROM value WHERE tab = {}", tables::COLUMNS, table as u8);
            self.small(&sql, "key", |copy, row| {
                match tables::decode(row) {
                    Some((tab, key, value)) => {
                        let sum = schema::value_sum(tab, &key, &value);
                        let insert = "INSERT OR IGNORE INTO value (tab, key, value, crc) VALUES (?1, ?2, ?3, ?4)";
                        copy.new.prepare_cached(insert)?.execute(params![tab, &*key, &value[..], sum])?;
                    }
                    None => {
                        let key = row.get::<_, String>(1).unwrap_or_default().into();
                        copy.aside.keep("value", "its sum does not hold", raw(row, tables::COLUMNS));
                        copy.aside.report(Damage::Value { table, key });
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Goes through a table from the front, and from the back if that fails on the way.
    fn small(
        &mut self,
        sql: &str,
        key: &str,
        mut each: impl FnMut(&mut Self, &Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let orders = if key.is_empty() {
            vec![String::new()]
        } else {
            vec![format!("ORDER BY {key}"), format!("ORDER BY {key} DESC")]
        };
        for order in orders {
            let failed = {
                let mut query = match self.old.prepare(&format!("{sql} {order}")) {
                    Ok(query) => query,
                    Err(error) => return self.unreadable(sql, &error),
                };
                let mut rows = query.query([])?;
                loop {
                    match rows.next() {
                        Ok(Some(row)) => match each(self, row) {
                            Err(error) if error.fault != StoreFault::Damaged => return Err(error),
                            Ok(()) | Err(_) => self.step()?,
                        },
                        Ok(None) => return Ok(()),
                        Err(error) => break error,
                    }
                }
            };
            if !order.ends_with("DESC") {
                self.unreadable(sql, &failed)?;
            }
        }
        Ok(())
    }

    fn unreadable(&mut self, what: &str, error: &rusqlite::Error) -> Result<(), StoreError> {
        self.aside.report(Damage::File { text: format!("not all can be read: {what}: {error}").into() });
        Ok(())
    }

    fn step(&mut self) -> Result<(), StoreError> {
        self.rows += 1;
        if self.rows.is_multiple_of(STEP) {
            self.new.execute_batch("COMMIT; BEGIN")?;
        }
        Ok(())
    }
}
