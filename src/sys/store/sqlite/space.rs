//! How large the store is, and whether it may grow: looked up now and then, reckoned in between.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::schema::PAGE;
use crate::engine::store::{StoreError, StoreFault, Write};

/// After so many bytes everything is looked up again.
const STEP: u64 = 256 * 1024;

/// Bytes that a full store must have room for before it is well again, at least.
const RESERVE: u64 = 256 * 1024;

/// How large the store is.
#[derive(Debug)]
pub(super) struct Space {
    folder: PathBuf,
    max_bytes: u64,
    min_free_bytes: u64,
    /// Bytes that the log may take.
    log: u64,
    /// Bytes of the database's pages that are in use, and of the log.
    held: u64,
    /// Bytes of all files.
    pub(super) files: u64,
    /// Bytes that are free on the disk.
    pub(super) free: u64,
    /// Bytes written since.
    since: u64,
    /// What there was no room for since the store was well.
    wanted: u64,
}

impl Space {
    /// Nothing is known yet.
    pub(super) fn new(folder: &Path, max_bytes: u64, min_free_bytes: u64, log: u64) -> Space {
        let folder = folder.to_owned();
        Space { folder, max_bytes, min_free_bytes, log, held: 0, files: 0, free: u64::MAX, since: 0, wanted: 0 }
    }

    /// Looks everything up.
    pub(super) fn refresh(&mut self, db: &Connection) -> Result<(), StoreError> {
        let number = |pragma: &str| -> Result<u64, StoreError> {
            Ok(db.prepare_cached(pragma)?.query_row([], |row| row.get::<_, i64>(0))?.unsigned_abs())
        };
        let pages = number("PRAGMA page_count")?;
        let unused = number("PRAGMA freelist_count")?;
        let log = self.folder.join("db-wal").metadata().map_or(0, |found| found.len());
        self.held = pages.saturating_sub(unused) * PAGE + log.max(self.log);
        self.files = pages * PAGE + log;
        self.free =
            rustix::fs::statvfs(&self.folder).map_or(u64::MAX, |found| found.f_bavail.saturating_mul(found.f_frsize));
        self.since = 0;
        Ok(())
    }

    /// Whether the group may be written. What takes away always may; small values may for a while
    /// after events may not, so that cursors can still be moved.
    pub(super) fn admit(&mut self, db: &Connection, group: &[Write]) -> Result<(), StoreError> {
        let (mut events, mut values) = (0, 0);
        for write in group {
            match write {
                Write::Append(_) => events += write.weight() as u64,
                Write::Put { .. } => values += write.weight() as u64,
                Write::Trim { .. } | Write::Delete { .. } => {}
            }
        }
        let growth = events + values;
        if self.since >= STEP || (growth > 0 && self.refuse(events > 0, growth).is_some()) {
            self.refresh(db)?;
        }
        let refused = if growth > 0 { self.refuse(events > 0, growth) } else { None };
        refused.map_or(Ok(()), |text| Err(StoreError::new(StoreFault::Full, text)))
    }

    /// There was no room for a group.
    pub(super) fn was_full(&mut self, group: &[Write]) {
        let growth: u64 = group.iter().map(|write| write.weight() as u64).sum();
        self.wanted = self.wanted.max(growth);
    }

    /// Whether a store that was full has room for more than what was refused, so that it is not
    /// well and full by turns. What would take a quarter of it does not keep it waiting.
    pub(super) fn recover(&mut self, db: &Connection) -> Result<(), StoreError> {
        if self.wanted == 0 {
            return Ok(());
        }
        self.refresh(db)?;
        let wanted = self.wanted.min(self.max_bytes / 8).saturating_mul(2);
        let room = |limit: u64| (limit / 64).max(RESERVE).max(wanted);
        let limits = (self.max_bytes, self.min_free_bytes);
        let lacks = self.lacks(limits, (room(self.max_bytes), room(self.min_free_bytes)));
        lacks.map_or(Ok(()), |text| Err(StoreError::new(StoreFault::Full, text)))
    }

    /// It is well: what was refused is forgotten.
    pub(super) fn is_well(&mut self) {
        self.wanted = 0;
    }

    /// A group was committed; with trims, pages may have come free.
    pub(super) fn grew(&mut self, group: &[Write]) {
        let has_trims = group.iter().any(|write| matches!(write, Write::Trim { .. }));
        let weight: u64 = group.iter().map(|write| write.weight() as u64).sum();
        self.since = if has_trims { STEP } else { self.since.saturating_add(weight) };
    }

    fn refuse(&self, has_events: bool, growth: u64) -> Option<String> {
        let limits = if has_events {
            (self.max_bytes, self.min_free_bytes)
        } else {
            (self.max_bytes.saturating_add(self.max_bytes / 16), self.min_free_bytes / 2)
        };
        // Pages are not filled to the last byte, and the index takes room too.
        let growth = growth.saturating_add(self.since).saturating_mul(2);
        self.lacks(limits, (growth, growth))
    }

    /// Says what there is no room for: bytes in the store, bytes on the disk.
    fn lacks(&self, (max, min_free): (u64, u64), (in_store, on_disk): (u64, u64)) -> Option<String> {
        if self.held.saturating_add(in_store) > max {
            return Some(format!("the store holds {} bytes of {}", self.held, self.max_bytes));
        }
        if self.free.saturating_sub(on_disk) < min_free {
            return Some(format!("{} bytes are free on the disk, {} shall stay so", self.free, self.min_free_bytes));
        }
        None
    }
}
