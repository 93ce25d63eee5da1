//! Reads the events of all logs under some patterns, in the order of their numbers.
//!
//! If few logs have something new, each is looked at by its index, and what is found is merged.
//! If many have, the events themselves are looked at in order, a bounded number in one call.

use std::sync::Arc;

use rusqlite::{OptionalExtension, params};

use super::heads::Head;
use super::live::{Asked, Live};
use super::row::{Bad, COLUMNS, decode, examine, next_whole, signed};
use crate::engine::store::{Gather, Page, Seq, StoreError, page_of_patterns};
use crate::engine::topic::Pattern;

/// So many logs at most are looked at one by one.
const LOGS: usize = 32;

/// So many events at most are looked at in one call.
const LOOK: usize = 4096;

/// Lists of patterns whose logs are remembered.
const ASKED: usize = 64;

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look<'a> {
    pub(super) patterns: &'a Arc<[Pattern]>,
    pub(super) after: Seq,
    pub(super) through: Seq,
    pub(super) limit: usize,
    pub(super) bytes: usize,
}

impl Live {
    /// The logs under the patterns, by their ids. The same list of patterns is asked for again and
    /// again while somebody catches up.
    fn logs_under(&mut self, patterns: &Arc<[Pattern]>) -> Arc<[i64]> {
        let version = self.heads.version;
        if let Some(asked) = self.asked.iter_mut().find(|asked| Arc::ptr_eq(&asked.patterns, patterns)) {
            if asked.version != version {
                (asked.logs, asked.version) = (self.heads.under(patterns).into(), version);
            }
            return asked.logs.clone();
        }
        let logs: Arc<[i64]> = self.heads.under(patterns).into();
        if self.asked.len() >= ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back(Asked { patterns: patterns.clone(), version, logs: logs.clone() });
        logs
    }

    pub(super) fn page_by_patterns(&mut self, look: &Look<'_>, bad: &mut Vec<Bad>) -> Result<Page, StoreError> {
        let logs = self.logs_under(look.patterns);
        let has_new = |head: &&Head| head.last_seq > look.after && !head.is_empty();
        let mut new: Vec<&Head> = Vec::new();
        for head in logs.iter().filter_map(|id| self.heads.of(*id)).filter(has_new) {
            if new.len() == LOGS {
                return self.scan_all(&logs, look, bad);
            }
            new.push(head);
        }
        self.merge(&new, look, bad)
    }

    fn merge(&self, heads: &[&Head], look: &Look<'_>, bad: &mut Vec<Bad>) -> Result<Page, StoreError> {
        let mut seqs: Vec<i64> = Vec::new();
        let mut bound = look.through;
        // Each log gives its part, so that one call looks at a bounded number.
        let each = (LOOK / heads.len().max(1)).min(look.limit.saturating_add(1));
        for head in heads {
            let from = self.offset_behind(head, look.after)?;
            let mut query = self.db.prepare_cached(
                "SELECT seq FROM event INDEXED BY event_place WHERE log = ?1 AND offset >= ?2 ORDER BY offset LIMIT ?3",
            )?;
            let mut rows = query.query(params![head.id, signed(from), each as i64])?;
            let mut count = 0;
            while let Some(row) = rows.next()? {
                let seq: i64 = row.get(0)?;
                count += 1;
                if seq as u64 > look.through.0 {
                    break;
                }
                if seq as u64 > look.after.0 {
                    seqs.push(seq);
                }
                if count == each {
                    bound = bound.min(Seq(seq as u64));
                }
            }
        }
        seqs.sort_unstable();
        let mut query = self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE seq = ?1"))?;
        let mut seqs = seqs.into_iter().take_while(|seq| *seq as u64 <= bound.0);
        let found = std::iter::from_fn(|| {
            loop {
                let mut rows = match query.query([seqs.next()?]) {
                    Ok(rows) => rows,
                    Err(error) => return Some(Err(error.into())),
                };
                if let Some(found) = next_whole(&mut rows, &self.heads, bad) {
                    return Some(found);
                }
            }
        });
        page_of_patterns(look.patterns, bound, Gather::new(look.limit, look.bytes), found)
    }

    /// The first offset whose event's number is greater. Numbers grow with offsets, and each event
    /// has taken one at least, so it cannot lie far before the log's end.
    fn offset_behind(&self, head: &Head, after: Seq) -> Result<u64, StoreError> {
        let newer = head.last_seq.0.saturating_sub(after.0);
        let (mut low, mut high) = (head.first.max(head.last.saturating_add(1).saturating_sub(newer)), head.last);
        let mut look = self.db.prepare_cached(
            "SELECT seq FROM event INDEXED BY event_place WHERE log = ?1 AND offset >= ?2 ORDER BY offset LIMIT 1",
        )?;
        while low < high {
            let middle = low + (high - low) / 2;
            let found: Option<i64> = look.query_row(params![head.id, signed(middle)], |row| row.get(0)).optional()?;
            if found.is_none_or(|seq| seq as u64 > after.0) { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    fn scan_all(&self, logs: &[i64], look: &Look<'_>, bad: &mut Vec<Bad>) -> Result<Page, StoreError> {
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM event WHERE seq > ?1 AND seq <= ?2 ORDER BY seq LIMIT ?3"
        ))?;
        let mut rows = query.query(params![signed(look.after.0), signed(look.through.0), LOOK as i64])?;
        let (mut seen, mut count) = (0, 0);
        let found = std::iter::from_fn(|| {
            loop {
                let row = match rows.next() {
                    Ok(row) => row?,
                    Err(error) => return Some(Err(error.into())),
                };
                match examine(row, &self.heads) {
                    Ok(Ok((seq, log))) => {
                        (seen, count) = (seq, count + 1);
                        if logs.binary_search(&log).is_err() {
                            continue;
                        }
                    }
                    Ok(Err(found)) => {
                        (seen, count) = (found.seq, count + 1);
                        bad.push(found);
                        continue;
                    }
                    Err(error) => return Some(Err(error)),
                }
                match decode(row, &self.heads) {
                    Ok(Ok(whole)) => return Some(Ok(whole.record)),
                    Ok(Err(found)) => bad.push(found),
                    Err(error) => return Some(Err(error)),
                }
            }
        });
        let mut page = page_of_patterns(look.patterns, look.through, Gather::new(look.limit, look.bytes), found)?;
        if count == LOOK {
            page.through = page.through.min(Seq(seen));
        }
        Ok(page)
    }
}
