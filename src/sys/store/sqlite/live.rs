//! A store that is open: the connection, and what is known in memory.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, params};

use super::heads::Heads;
use super::schema;
use crate::base::Wall;
use crate::engine::store::{Seq, StoreError, StoreFault};
use crate::engine::topic::Pattern;

/// A store that is open.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) db: Connection,
    pub(super) heads: Heads,
    /// The newest number ever given.
    pub(super) last: Seq,
    pub(super) dedup: Dedup,
    /// Logs that got events since the mark was last written.
    pub(super) grown: BTreeSet<i64>,
    /// Whether something was committed and not synced.
    pub(super) is_unsynced: bool,
    /// How many events are held, about.
    pub(super) events: u64,
    /// Patterns that were asked for lately, with the logs under them.
    pub(super) asked: VecDeque<Asked>,
    is_full_sync: bool,
    pages: Arc<AtomicU32>,
}

/// Patterns, and the logs under them when the logs were of that version.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) patterns: Arc<[Pattern]>,
    pub(super) version: u64,
    pub(super) logs: Arc<[i64]>,
}

impl Live {
    /// Around a connection whose logs were read.
    pub(super) fn new(mut db: Connection, heads: Heads, last: Seq, dedup: Dedup) -> Result<Live, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let seen = pages.clone();
        db.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            seen.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Live {
            db,
            heads,
            last,
            dedup,
            grown: BTreeSet::new(),
            is_unsynced: false,
            events: 0,
            asked: VecDeque::new(),
            is_full_sync: true,
            pages,
        })
    }

    /// Whether the next commits are synced. One that is not is only written: a later one syncs the
    /// file as a whole, and a checkpoint syncs it before it moves anything.
    pub(super) fn set_sync(&mut self, sync: bool) -> Result<(), StoreError> {
        if self.is_full_sync != sync {
            self.db.execute_batch(if sync { "PRAGMA synchronous=FULL" } else { "PRAGMA synchronous=NORMAL" })?;
            self.is_full_sync = sync;
        }
        Ok(())
    }

    /// Pages in the log after the last commit.
    pub(super) fn pages(&self) -> u32 {
        self.pages.load(Ordering::Relaxed)
    }

    /// Writes and syncs something, and with it everything before.
    pub(super) fn probe(&mut self) -> Result<(), StoreError> {
        self.set_sync(true)?;
        schema::probe(&self.db)?;
        self.is_unsynced = false;
        Ok(())
    }

    /// Moves the log into the database, synced. Then the log begins anew.
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        checkpoint(&self.db)?;
        self.pages.store(0, Ordering::Relaxed);
        self.is_unsynced = false;
        Ok(())
    }

    /// Lets go of the files as they are, without a last checkpoint.
    pub(super) fn abandon(self) {
        // It only spares evidence: if it fails, the checkpoint is done, or fails too.
        let _ = self.db.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

/// Moves the log into the database, synced. Returns how many pages the log had.
pub(super) fn checkpoint(db: &Connection) -> Result<u32, StoreError> {
    let mut order = db.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    let number = |row: &rusqlite::Row<'_>, index| row.get::<_, i64>(index);
    let (busy, pages, moved) = order.query_row([], |row| Ok((number(row, 0)?, number(row, 1)?, number(row, 2)?)))?;
    if busy != 0 || moved < pages {
        return Err(StoreError::new(StoreFault::Io, format!("a checkpoint moved {moved} of {pages} pages")));
    }
    Ok(u32::try_from(pages).unwrap_or(0))
}

/// How long ids of publishes are remembered, and how many there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dedup {
    pub(super) window: Duration,
    pub(super) max: u64,
    pub(super) count: u64,
}

impl Dedup {
    /// The time before which nothing is remembered.
    pub(super) fn since(&self, now: Wall) -> Wall {
        Wall(now.0.saturating_sub(i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Now and then takes away the oldest that are too old or too many: a few more than were added,
    /// so that they get fewer, and no commit takes long. Returns how many went.
    pub(super) fn trim(&self, db: &Connection, added: u64, now: Wall) -> Result<u64, StoreError> {
        const STEP: u64 = 64;
        let count = self.count + added;
        if count / STEP == self.count / STEP {
            return Ok(0);
        }
        let (since, mut excess) = (self.since(now), count.saturating_sub(self.max));
        let mut query = db.prepare_cached("SELECT seq, time FROM dedup ORDER BY seq LIMIT ?1")?;
        let mut rows = query.query([(2 * added + 2 * STEP) as i64])?;
        let (mut cut, mut gone) = (None, 0);
        while let Some(row) = rows.next()? {
            if excess == 0 && row.get::<_, i64>(1)? >= since.0 {
                break;
            }
            excess = excess.saturating_sub(1);
            cut = Some(row.get::<_, i64>(0)?);
            gone += 1;
        }
        drop(rows);
        if let Some(cut) = cut {
            db.prepare_cached("DELETE FROM dedup WHERE seq <= ?1")?.execute(params![cut])?;
        }
        Ok(gone)
    }
}
