//! Opens the store's files, whatever state they are in.
//!
//! ```text
//!   START    -- well ---------------------> COMPARED with what must be there -> OPEN
//!   START    -- damaged ------------------> REBUILT from what can be read -> START
//!   REBUILT  -- nothing can be read ------> all set aside, and a new store -> START
//! ```
//!
//! Without room to rebuild it is not opened: what can be read is not given up for that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::commit::insert_log;
use super::damage::{Aside, save_end, save_gap};
use super::fault::of_file;
use super::heads::Head;
use super::holes;
use super::live::{Dedup, Live, checkpoint};
use super::load::{self, Remembered};
use super::mark::{self, Known, KnownLog};
use super::salvage;
use super::schema::{self, Meta, PAGE};
use super::tables;
use super::way::Way;
use crate::engine::store::{Damage, Seq, StoreError, StoreFault};

/// A store of so many bytes is looked through whenever it is opened: that takes half a second.
const QUICK: u64 = 512 << 20;

/// Of a store of so many bytes the indexes are held against their tables too. It takes some four times
/// as long. In larger ones only the entries of the index over places are counted.
pub(super) const THOROUGH: u64 = 32 << 20;

/// A store that was brought up.
pub(super) struct Up {
    pub(super) live: Live,
    pub(super) was_closed: bool,
    pub(super) remembered: Vec<Remembered>,
}

/// Brings the store up. Damage is no error.
pub(super) fn raise(way: &Way<'_>, aside: &mut Aside, must_rebuild: bool) -> Result<Up, StoreError> {
    let path = &way.settings.path;
    salvage::finish(path, aside)?;
    let log_before = keep_log(path)?;
    if way.is_memory {
        renew_log(path)?;
    }
    let mut is_rebuilt = false;
    let mut up =
        if must_rebuild { Err(StoreError::new(StoreFault::Damaged, "as found")) } else { start(way, aside, false) };
    if let Err(error) = &up
        && error.fault == StoreFault::Damaged
    {
        log::error!("the store in {} is damaged ({error}); what can be read is saved", path.display());
        aside.report(Damage::File { text: format!("the database: {error}").into() });
        is_rebuilt = true;
        up = salvage::rebuild(way, aside).and_then(|()| start(way, aside, true));
    }
    if let Err(error) = &up
        && error.fault == StoreFault::Damaged
    {
        log::error!("nothing in the store in {} can be saved ({error})", path.display());
        aside.report(Damage::File { text: format!("all of the database: {error}").into() });
        salvage::move_aside(path, aside)?;
        up = start(way, aside, true);
    }
    let (up, is_lost) = up?;
    if let Some(copy) = log_before {
        settle_log(&copy, is_lost || is_rebuilt, aside);
    }
    Ok(up)
}

/// SQLite empties a log that it could not use, so it is copied before.
fn keep_log(path: &Path) -> Result<Option<PathBuf>, StoreError> {
    let (log, copy) = (path.join("db-wal"), path.join("db-wal.before"));
    // A copy that is there is from a start that was cut short: it is the older one.
    if !copy.exists() && log.metadata().is_ok_and(|found| found.len() > 0) {
        let part = path.join("db-wal.part");
        fs::copy(&log, &part).and_then(|_| fs::rename(&part, &copy)).map_err(|e| of_file("copying", &log, &e))?;
    }
    Ok(copy.exists().then_some(copy))
}

/// After a sync that failed, the system may hold pages of the log in memory that it will never
/// write, and say of the next sync that all is well. So the log is written anew, as a file that
/// no sync has failed of, before anything is moved from it into the database.
fn renew_log(path: &Path) -> Result<(), StoreError> {
    let (log, new) = (path.join("db-wal"), path.join("db-wal.new"));
    if !log.metadata().is_ok_and(|found| found.len() > 0) {
        return Ok(());
    }
    let renewed = fs::copy(&log, &new)
        .and_then(|_| File::open(&new)?.sync_all())
        .and_then(|()| fs::rename(&new, &log))
        .and_then(|()| File::open(path)?.sync_all());
    renewed.map_err(|error| of_file("writing anew", &log, &error))
}

fn settle_log(copy: &Path, is_kept: bool, aside: &Aside) {
    let settled = if is_kept {
        aside.folder().and_then(|folder| fs::rename(copy, folder.join("db-wal")))
    } else {
        fs::remove_file(copy)
    };
    if let Err(error) = settled {
        log::warn!("{} stays where it is: {error}", copy.display());
    }
}

fn start(way: &Way<'_>, aside: &mut Aside, is_rebuilt: bool) -> Result<(Up, bool), StoreError> {
    let path = &way.settings.path;
    let salt = mark::salt(&path.join("db-wal"));
    schema::is_writable(&path.join("db"))?;
    let db = schema::connect(&path.join("db"), way.settings)?;
    let found = look(&db, way, aside, is_rebuilt);
    let found = match found {
        Ok(found) => found,
        Err(error) => {
            let _ = db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
            return Err(error);
        }
    };
    let Found { heads, last, dedup, was_closed, is_new, remembered, pages } = found;
    let events = heads.events();
    let mut live = Live::new(db, heads, last, dedup)?;
    let mut is_lost = compare(way, &mut live, aside, is_rebuilt)?;
    if is_new && !is_rebuilt && way.known.last > Seq(0) {
        aside.report(Damage::File { text: "the database is not there".into() });
        is_lost = true;
    }
    if is_rebuilt {
        holes::report_all(&mut live, aside)?;
    } else if !was_closed && is_log_short(way.known, salt, pages) {
        let text = "commits at the end of the database's log are lost: small values may be older than they were";
        aside.report(Damage::File { text: text.into() });
        is_lost = true;
    }
    live.events = events.saturating_sub(live.heads.missing());
    schema::set_meta(&live.db, Meta::IsClosed, 0)?;
    live.checkpoint()?;
    File::open(path).and_then(|folder| folder.sync_all()).map_err(|error| of_file("syncing", path, &error))?;
    Ok((Up { live, was_closed: was_closed && !is_lost, remembered }, is_lost))
}

struct Found {
    heads: super::heads::Heads,
    last: Seq,
    dedup: Dedup,
    was_closed: bool,
    is_new: bool,
    remembered: Vec<Remembered>,
    pages: u32,
}

fn look(db: &Connection, way: &Way<'_>, aside: &mut Aside, is_rebuilt: bool) -> Result<Found, StoreError> {
    let is_new = !schema::is_made(db)?;
    if is_new {
        let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        if pages > 1 {
            return Err(StoreError::new(StoreFault::Damaged, "its tables are gone"));
        }
        schema::create(db)?;
    }
    schema::is_known(db)?;
    let was_closed = is_new || schema::meta(db, Meta::IsClosed)? == Some(1);
    let is_whole = !is_new && !is_rebuilt && quick_check(db, !was_closed)?;
    let pages = checkpoint(db)?;
    if let Some(last) = way.last {
        take_back(db, last, way.known)?;
    }
    tables::look_through(db, aside)?;
    let heads = load::heads(db, aside)?;
    if is_whole {
        holes::count_index(db, &heads)?;
    }
    let last = load::last(db, &heads)?;
    let settings = way.settings;
    let mut dedup = Dedup { window: settings.dedup_window, max: settings.dedup_max as u64, count: 0 };
    let remembered = load::dedup(db, &heads, &mut dedup, way.now)?;
    Ok(Found { heads, last, dedup, was_closed, is_new, remembered, pages })
}

/// Neither a sum nor the mark tells of a page that lost rows. All is looked through if the store
/// was not closed in order or is not too large for it. Else only what has no holes by which a loss
/// would show itself: it is small. Returns whether all was looked through.
fn quick_check(db: &Connection, must_be_whole: bool) -> Result<bool, StoreError> {
    let pages: i64 = db.query_row("PRAGMA page_count", [], |row| row.get(0))?;
    let bytes = pages.unsigned_abs() * PAGE;
    let pragma = if bytes <= THOROUGH { "integrity_check" } else { "quick_check" };
    let is_whole = must_be_whole || bytes <= QUICK;
    look_through(db, pragma, if is_whole { &[""] } else { &SMALL })?;
    Ok(is_whole)
}

/// Tables that have no holes by which a loss would show itself.
const SMALL: [&str; 5] = ["(meta)", "(log)", "(log_copy)", "(value)", "(gap)"];

fn look_through(db: &Connection, pragma: &str, tables: &[&str]) -> Result<(), StoreError> {
    for table in tables {
        let found: String = db.query_row(&format!("PRAGMA {pragma}{table}"), [], |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::new(StoreFault::Damaged, found.replace('\n', " ")));
        }
    }
    Ok(())
}

/// Events behind the last that was answered go, and logs that began with them.
fn take_back(db: &Connection, last: Seq, known: &Known) -> Result<(), StoreError> {
    let change = db.unchecked_transaction()?;
    let greatest = known.logs.iter().map(|log| log.id).max().unwrap_or(0).max(known.last_id);
    db.execute("DELETE FROM event WHERE seq > ?1", [last.0 as i64])?;
    db.execute("DELETE FROM dedup WHERE seq > ?1", [last.0 as i64])?;
    for table in ["log", "log_copy"] {
        db.execute(&format!("DELETE FROM {table} WHERE id > ?1"), [greatest])?;
    }
    if schema::meta(db, Meta::LastSeq)?.is_some_and(|seq| seq > last.0 as i64) {
        schema::set_meta(db, Meta::LastSeq, last.0 as i64)?;
    }
    Ok(change.commit()?)
}

/// Whether SQLite found less in its log than was marked. A log that began anew since the mark was
/// written has the next salt.
pub(super) fn is_log_short(known: &Known, salt: Option<u32>, pages: u32) -> bool {
    let Some((marked_salt, marked_pages)) = known.pages else { return false };
    if salt == Some(marked_salt) {
        return pages < marked_pages;
    }
    pages == 0 && salt != Some(marked_salt.wrapping_add(1))
}

/// Compares the logs with what must be there. Returns whether something is lost.
fn compare(way: &Way<'_>, live: &mut Live, aside: &mut Aside, is_rebuilt: bool) -> Result<bool, StoreError> {
    let found_last = live.last;
    let mut is_lost = false;
    for log in &way.known.logs {
        match live.heads.find(&log.topic, log.epoch).cloned() {
            Some(head) if head.last >= log.last => {}
            Some(head) => {
                is_lost = true;
                lose_end(live, aside, head, log)?;
            }
            None if is_rebuilt || log.last_seq > found_last => {
                is_lost = true;
                let head = begin_known(live, log, true)?;
                save_gap(&live.db, head.id, 1, head.last)?;
                live.heads.gaps.add(head.id, 1, head.last);
                aside.report_events(&head, 1, head.last);
            }
            // It was forgotten. With it went what began behind it, and was taken back.
            None if way.is_memory && live.heads.newest(&log.topic).is_none() => {
                begin_known(live, log, log.is_cut)?;
            }
            None => {}
        }
    }
    live.last = live.last.max(way.known.last);
    Ok(is_lost)
}

fn lose_end(live: &mut Live, aside: &mut Aside, mut head: Head, log: &KnownLog) -> Result<(), StoreError> {
    let first = head.last + 1;
    let was_empty = head.is_empty();
    (head.last, head.last_seq, head.is_cut) = (log.last, head.last_seq.max(log.last_seq), true);
    if was_empty {
        head.first = head.last + 1;
    }
    save_end(&live.db, &head)?;
    save_gap(&live.db, head.id, first, head.last)?;
    live.heads.gaps.add(head.id, first, head.last);
    aside.report_events(&head, first, head.last);
    live.heads.put(head);
    Ok(())
}

/// Puts a log back that is known and not there.
fn begin_known(live: &mut Live, log: &KnownLog, is_cut: bool) -> Result<Head, StoreError> {
    let mut head = Head::new(live.heads.last_id + 1, log.topic.clone(), log.epoch, log.is_mixed);
    (head.first, head.last, head.last_seq, head.is_cut) = (log.last.saturating_add(1), log.last, log.last_seq, is_cut);
    insert_log(&live.db, &head)?;
    live.heads.put(head.clone());
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_tables_can_be_looked_through_alone() {
        let db = Connection::open_in_memory().unwrap();
        schema::create(&db).unwrap();
        look_through(&db, "quick_check", &SMALL).unwrap();
        db.execute_batch("DROP TABLE value").unwrap();
        assert_eq!(look_through(&db, "quick_check", &SMALL).unwrap_err().fault, StoreFault::Damaged);
    }

    #[test]
    fn a_log_is_short_only_if_it_is_the_one_that_was_marked() {
        let known = |salt, pages| Known { pages: Some((salt, pages)), ..Known::default() };
        for (marked, salt, pages, expected) in [
            (known(7, 9), Some(7), 9, false),
            (known(7, 9), Some(7), 12, false),
            (known(7, 9), Some(7), 8, true),
            (known(7, 9), Some(8), 0, false),
            (known(7, 9), Some(8), 3, false),
            (known(7, 9), Some(99), 0, true),
            (known(7, 9), None, 0, true),
            (Known::default(), None, 0, false),
        ] {
            assert_eq!(is_log_short(&marked, salt, pages), expected, "{marked:?} {salt:?} {pages}");
        }
    }
}
