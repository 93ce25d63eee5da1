//! Reads events: one log from an offset or a time on, or single ones.

use rusqlite::{OptionalExtension, params};

use super::damage::{self, Aside, save_gap};
use super::heads::Head;
use super::live::Live;
use super::patterns::Look;
use super::row::{Bad, COLUMNS, next_whole, signed};
use crate::base::Wall;
use crate::engine::store::{Gather, Page, Read, StoreError, StoreFault, page_of_log};

/// How often a read is done again because something damaged was set aside.
const ROUNDS: usize = 1000;

impl Live {
    /// Reads. What is damaged is set aside, and the read done again, since its page would not know
    /// what is missing. An error of kind damaged says that the tables must be built anew.
    pub(super) fn read(&mut self, read: &Read, aside: &mut Aside) -> Result<Page, StoreError> {
        for _ in 0..ROUNDS {
            let mut bad = Vec::new();
            let page = self.page(read, &mut bad)?;
            if bad.is_empty() {
                self.note_holes(read, &page, aside)?;
                return Ok(page);
            }
            self.set_sync(false)?;
            self.is_unsynced = true;
            self.events = self.events.saturating_sub(bad.len() as u64);
            damage::set_aside(&self.db, &mut self.heads, aside, bad)?;
        }
        Err(StoreError::new(StoreFault::Damaged, "too much is damaged"))
    }

    fn page(&mut self, read: &Read, bad: &mut Vec<Bad>) -> Result<Page, StoreError> {
        match read {
            Read::Offset { topic, epoch, after, limit, bytes } => {
                self.page_of(self.heads.find(topic, *epoch), *after, *limit, *bytes, bad)
            }
            Read::Time { topic, epoch, since, limit, bytes } => {
                let head = self.heads.find(topic, *epoch);
                let after = head.map_or(Ok(0), |head| self.before(head, *since))?;
                self.page_of(head, after, *limit, *bytes, bad)
            }
            Read::Since { since } => self.first_since(*since, bad),
            Read::Patterns { patterns, after, through, limit, bytes } => {
                let look = Look { patterns, after: *after, through: *through, limit: *limit, bytes: *bytes };
                self.page_by_patterns(&look, bad)
            }
            Read::Seqs { seqs } => {
                let mut records = Vec::new();
                let mut query = self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE seq = ?1"))?;
                for seq in seqs {
                    let mut rows = query.query([seq.0 as i64])?;
                    if let Some(record) = next_whole(&mut rows, &self.heads, bad) {
                        records.push(record?);
                    }
                }
                Ok(Page { records, ..Page::default() })
            }
        }
    }

    fn page_of(
        &self,
        head: Option<&Head>,
        after: u64,
        limit: usize,
        bytes: usize,
        bad: &mut Vec<Bad>,
    ) -> Result<Page, StoreError> {
        let gather = Gather::new(limit, bytes);
        let Some(head) = head else { return page_of_log(None, after, gather, []) };
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM event WHERE log = ?1 AND offset > ?2 ORDER BY offset LIMIT ?3"
        ))?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut rows = query.query(params![head.id, signed(after), limit])?;
        let found = std::iter::from_fn(|| next_whole(&mut rows, &self.heads, bad));
        page_of_log(Some(head.range()), after, gather, found)
    }

    /// The offset before the first event of that time or later; 0 if there is none. The latest
    /// time so far never falls, so it is searched; what it says is at most too early.
    fn before(&self, head: &Head, since: Wall) -> Result<u64, StoreError> {
        let (mut low, mut high) = (head.first, head.last.saturating_add(1));
        if head.is_empty() {
            return Ok(0);
        }
        let mut look = self.db.prepare_cached(
            "SELECT coalesce(high, time) FROM event WHERE log = ?1 AND offset >= ?2 ORDER BY offset LIMIT 1",
        )?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<i64> = look.query_row(params![head.id, signed(middle)], |row| row.get(0)).optional()?;
            if found.is_none_or(|time| time >= since.0) { high = middle } else { low = middle + 1 }
        }
        let mut query = self.db.prepare_cached(
            "SELECT offset FROM event WHERE log = ?1 AND offset >= ?2 AND time >= ?3 ORDER BY offset LIMIT 1",
        )?;
        let found: Option<i64> =
            query.query_row(params![head.id, signed(low), since.0], |row| row.get(0)).optional()?;
        Ok(match found {
            Some(offset) if offset as u64 <= head.first => 0,
            Some(offset) => offset as u64 - 1,
            None => head.last,
        })
    }

    /// A hole in a log that nobody knows of is damage: no log is written with one.
    fn note_holes(&mut self, read: &Read, page: &Page, aside: &mut Aside) -> Result<(), StoreError> {
        let (topic, epoch, after) = match read {
            Read::Offset { topic, epoch, after, .. } => (topic, epoch, *after),
            Read::Time { topic, epoch, .. } => {
                (topic, epoch, page.records.first().map_or(u64::MAX, |first| first.offset - 1))
            }
            Read::Since { .. } | Read::Patterns { .. } | Read::Seqs { .. } => return Ok(()),
        };
        let Some(head) = self.heads.find(topic, *epoch).cloned() else { return Ok(()) };
        let mut at = after.max(head.first.saturating_sub(1));
        let mut holes = Vec::new();
        let mut step = |offset: u64, at: u64| {
            if offset > at.saturating_add(1) {
                holes.extend(self.heads.gaps.unknown(head.id, at + 1, offset - 1));
            }
        };
        for record in &page.records {
            step(record.offset, at);
            at = record.offset;
        }
        if page.missing && !page.more && !head.is_empty() {
            step(head.last.saturating_add(1), at);
        }
        if !holes.is_empty() {
            self.set_sync(false)?;
            self.is_unsynced = true;
        }
        for (first, last) in holes {
            save_gap(&self.db, head.id, first, last)?;
            self.heads.gaps.add(head.id, first, last);
            self.events = self.events.saturating_sub(last - first + 1);
            aside.report_events(&head, first, last);
        }
        Ok(())
    }
}
