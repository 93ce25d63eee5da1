//! Commits a group: all of it in one transaction, and what is known in memory only afterwards.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Connection, params};

use super::damage::save_end;
use super::heads::{Head, Heads};
use super::live::Live;
use super::row;
use super::schema::{self, Fixed, Meta, dedup_sum, end_sum, event_sum, log_sum, value_sum};
use crate::base::Wall;
use crate::engine::store::{Append, DedupKey, Seq, StoreError, StoreFault, Trimmed, Write};
use crate::engine::topic::Epoch;

/// What a group changes, until it is committed.
struct Staged<'a> {
    db: &'a Connection,
    heads: &'a Heads,
    changed: BTreeMap<i64, Head>,
    begun: BTreeMap<Arc<str>, i64>,
    forgotten: Vec<i64>,
    /// Logs that got events.
    grown: Vec<i64>,
    /// Ids of publishes that were remembered, and the time of the newest.
    dedup: (u64, Wall),
    seq: Seq,
    /// The newest number that was given.
    last: Seq,
    last_id: i64,
}

impl Live {
    /// Commits a group as a whole, or changes nothing. Returns what each trim did.
    pub(super) fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        let has_appends = group.iter().any(|write| matches!(write, Write::Append(_)));
        if has_appends && first <= self.last {
            return Err(refused(format!("number {first} was given before")));
        }
        self.set_sync(sync)?;
        self.db.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let changes = self.db.total_changes();
        let from = first.max(self.last.next());
        let mut staged = Staged {
            db: &self.db,
            heads: &self.heads,
            changed: BTreeMap::new(),
            begun: BTreeMap::new(),
            forgotten: Vec::new(),
            grown: Vec::new(),
            dedup: (0, Wall(i64::MIN)),
            seq: from,
            last: self.last,
            last_id: self.heads.last_id,
        };
        let done = staged.apply(group).and_then(|trimmed| {
            let (added, newest) = staged.dedup;
            let taken = if added > 0 { self.dedup.trim(&self.db, added, newest)? } else { 0 };
            // A commit that changes nothing writes nothing, so it would sync nothing.
            if sync && self.is_unsynced && self.db.total_changes() == changes {
                schema::probe(&self.db)?;
            }
            self.db.prepare_cached("COMMIT")?.execute([])?;
            Ok((trimmed, added, taken))
        });
        let Staged { changed, forgotten, mut grown, seq, .. } = staged;
        let (trimmed, added, taken) = match done {
            Ok(done) => done,
            Err(error) => return Err(self.rolled_back(error)),
        };
        self.is_unsynced = !sync;
        self.dedup.count = (self.dedup.count + added).saturating_sub(taken);
        if has_appends {
            self.last = Seq(seq.0 - 1);
        }
        grown.retain(|id| !forgotten.contains(id));
        for (id, head) in changed {
            let first = head.first;
            self.heads.put(head);
            self.heads.gaps.forget_before(id, first);
        }
        for id in forgotten {
            self.heads.forget(id);
        }
        self.grown.extend(grown);
        let gone: usize = trimmed.iter().map(|trimmed| trimmed.gone.len()).sum();
        self.events = (self.events + (seq.0 - from.0)).saturating_sub(gone as u64);
        Ok(trimmed)
    }

    /// Ends the transaction that failed. If even that fails, the connection is of no more use.
    fn rolled_back(&self, error: StoreError) -> StoreError {
        if !self.db.is_autocommit()
            && let Err(why) = self.db.execute_batch("ROLLBACK")
        {
            return StoreError::new(StoreFault::Io, format!("{error}, and taking it back: {why}"));
        }
        error
    }
}

impl Staged<'_> {
    fn apply(&mut self, group: &[Write]) -> Result<Vec<Trimmed>, StoreError> {
        let mut trimmed = Vec::new();
        for write in group {
            match write {
                Write::Append(append) => self.append(append)?,
                Write::Trim { topic, epoch, through, before } => {
                    trimmed.push(self.trim(topic, *epoch, *through, *before)?);
                }
                Write::Put { table, key, value, .. } => {
                    let mut put = self.db.prepare_cached(
                        "INSERT OR REPLACE INTO value (tab, key, value, crc) VALUES (?1, ?2, ?3, ?4)",
                    )?;
                    put.execute(params![*table as u8, &**key, &value[..], value_sum(*table as u8, key, value)])?;
                }
                Write::Delete { table, key, .. } => {
                    let mut delete = self.db.prepare_cached("DELETE FROM value WHERE tab = ?1 AND key = ?2")?;
                    delete.execute(params![*table as u8, &**key])?;
                }
            }
        }
        Ok(trimmed)
    }

    fn of(&self, id: i64) -> Option<&Head> {
        self.changed.get(&id).or_else(|| self.heads.of(id)).filter(|head| !self.forgotten.contains(&head.id))
    }

    fn newest(&self, topic: &str) -> Option<&Head> {
        match self.begun.get(topic) {
            Some(id) => self.of(*id),
            None => self.heads.ids(topic).iter().rev().find_map(|id| self.of(*id)),
        }
    }

    fn find(&self, topic: &str, epoch: Epoch) -> Option<&Head> {
        let newest = self.newest(topic).filter(|head| head.epoch == epoch);
        let other = |head: &&Head| head.epoch == epoch && *head.topic == *topic;
        newest
            .or_else(|| self.heads.ids(topic).iter().filter_map(|id| self.of(*id)).find(other))
            .or_else(|| self.changed.values().filter(|head| !self.forgotten.contains(&head.id)).find(other))
    }

    fn append(&mut self, append: &Append) -> Result<(), StoreError> {
        let id = match self.newest(&append.topic) {
            Some(head) if head.epoch == append.epoch => head.id,
            _ => self.begin_log(append)?,
        };
        let heads = self.heads;
        let head = match self.changed.entry(id) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => match heads.of(id) {
                Some(head) => entry.insert(head.clone()),
                None => return Err(StoreError::new(StoreFault::Damaged, format!("log {id} is not known"))),
            },
        };
        if head.is_cut {
            return Err(refused(format!("the end of {} in epoch {} was lost", append.topic, append.epoch)));
        }
        if head.last.checked_add(1) != Some(append.offset) || append.offset > i64::MAX as u64 {
            return Err(refused(format!("offset {} of {} behind {}", append.offset, append.topic, head.last)));
        }
        let high = head.high.max(append.time.0);
        let fixed = Fixed {
            seq: self.seq.0,
            log: id,
            offset: append.offset,
            time: append.time,
            high: (high != append.time.0).then_some(high),
            expires: append.expires,
            pos: head.pos + head.weight(append.payload.len()),
        };
        insert_event(
            self.db,
            &fixed,
            event_sum(&fixed, &append.topic, append.epoch, &append.payload),
            &append.payload,
        )?;
        if head.is_empty() {
            (head.first, head.first_time, head.start) = (append.offset, Some(append.time), head.pos);
        }
        (head.last, head.last_seq, head.pos, head.high) = (append.offset, self.seq, fixed.pos, high);
        if self.grown.last() != Some(&id) {
            self.grown.push(id);
        }
        if let Some(key) = append.dedup {
            insert_dedup(self.db, key, &fixed)?;
            self.dedup = (self.dedup.0 + 1, self.dedup.1.max(append.time));
        }
        (self.last, self.seq) = (self.seq, self.seq.next());
        Ok(())
    }

    fn begin_log(&mut self, append: &Append) -> Result<i64, StoreError> {
        if self.find(&append.topic, append.epoch).is_some() {
            return Err(refused(format!("{} has a newer log than {}", append.topic, append.epoch)));
        }
        if append.offset != 1 {
            return Err(refused(format!("offset {} of {}, which begins with 1", append.offset, append.topic)));
        }
        let old = self.newest(&append.topic).filter(|head| head.is_empty()).map(|head| head.id);
        if let Some(old) = old {
            self.forget(old)?;
        }
        self.last_id += 1;
        let head = Head::new(self.last_id, append.topic.clone(), append.epoch, append.is_mixed);
        insert_log(self.db, &head)?;
        self.begun.insert(append.topic.clone(), head.id);
        self.changed.insert(head.id, head);
        Ok(self.last_id)
    }

    fn trim(&mut self, topic: &str, epoch: Epoch, through: u64, before: Option<Wall>) -> Result<Trimmed, StoreError> {
        let Some(head) = self.find(topic, epoch) else { return Ok(Trimmed::default()) };
        let mut head = head.clone();
        let is_newest = self.newest(topic).is_some_and(|newest| newest.id == head.id);
        let through = through.min(head.last);
        let mut gone = Vec::new();
        if through >= head.first {
            let cut = self.going(head.id, through, before, &mut gone)?;
            if cut >= head.first {
                let mut delete = self.db.prepare_cached("DELETE FROM event WHERE log = ?1 AND offset <= ?2")?;
                delete.execute(params![head.id, cut as i64])?;
                row::begin_anew(self.db, &mut head)?;
                if self.heads.gaps.of(head.id).any(|(_, last)| last < head.first) {
                    let mut delete = self.db.prepare_cached("DELETE FROM gap WHERE log = ?1 AND last < ?2")?;
                    delete.execute(params![head.id, head.first as i64])?;
                }
            }
        }
        let trimmed = Trimmed { gone, first: head.first, bytes: head.bytes(), first_time: head.first_time };
        if trimmed.gone.is_empty() {
            return Ok(trimmed);
        }
        if head.is_empty() && !is_newest {
            self.forget(head.id)?;
        } else {
            if head.is_empty() {
                save_end(self.db, &head)?;
            }
            self.changed.insert(head.id, head);
        }
        Ok(trimmed)
    }

    /// Which events go, and the last offset that does; 0 if none does.
    fn going(&self, log: i64, through: u64, before: Option<Wall>, gone: &mut Vec<Seq>) -> Result<u64, StoreError> {
        let columns = if before.is_some() { "seq, offset, time" } else { "seq, offset" };
        let mut query = self
            .db
            .prepare_cached(&format!("SELECT {columns} FROM event WHERE log = ?1 AND offset <= ?2 ORDER BY offset"))?;
        let mut rows = query.query(params![log, through as i64])?;
        let mut cut = 0;
        while let Some(row) = rows.next()? {
            if let Some(before) = before
                && row.get::<_, i64>(2)? >= before.0
            {
                break;
            }
            gone.push(Seq(row.get::<_, i64>(0)? as u64));
            cut = row.get::<_, i64>(1)? as u64;
        }
        Ok(cut)
    }

    /// Forgets a log that holds nothing. Its numbers are remembered, so that none is given twice.
    fn forget(&mut self, id: i64) -> Result<(), StoreError> {
        for table in ["log WHERE id", "log_copy WHERE id", "gap WHERE log"] {
            self.db.prepare_cached(&format!("DELETE FROM {table} = ?1"))?.execute([id])?;
        }
        schema::set_meta(self.db, Meta::LastSeq, self.last.0 as i64)?;
        schema::set_meta(self.db, Meta::LastLog, self.last_id)?;
        self.changed.remove(&id);
        self.forgotten.push(id);
        Ok(())
    }
}

/// Writes an event's row.
pub(super) fn insert_event(db: &Connection, fixed: &Fixed, sum: i64, payload: &[u8]) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT INTO event (seq, log, offset, time, high, expires, pos, crc, payload)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    insert.execute(params![
        fixed.seq as i64,
        fixed.log,
        fixed.offset as i64,
        fixed.time.0,
        fixed.high,
        fixed.expires.map(|expires| expires.0),
        fixed.pos as i64,
        sum,
        payload
    ])?;
    Ok(())
}

/// Writes a log's rows.
pub(super) fn insert_log(db: &Connection, head: &Head) -> Result<(), StoreError> {
    let (id, epoch) = (head.id, head.epoch.as_u64() as i64);
    let sum = log_sum(id, &head.topic, head.epoch, head.is_mixed);
    let end = end_sum(id, head.is_cut, head.last, head.last_seq.0);
    let mut insert = db.prepare_cached(
        "INSERT INTO log (id, topic, epoch, is_mixed, crc, is_cut, last, last_seq, end_crc)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let (last, last_seq) = (head.last as i64, head.last_seq.0 as i64);
    insert.execute(params![id, &*head.topic, epoch, head.is_mixed, sum, head.is_cut, last, last_seq, end])?;
    let mut copy =
        db.prepare_cached("INSERT INTO log_copy (id, topic, epoch, is_mixed, crc) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    copy.execute(params![id, &*head.topic, epoch, head.is_mixed, sum])?;
    Ok(())
}

fn insert_dedup(db: &Connection, key: DedupKey, fixed: &Fixed) -> Result<(), StoreError> {
    let key = key.0.to_be_bytes();
    let sum = dedup_sum(fixed.seq, &key, fixed.log, fixed.offset, fixed.time);
    let mut insert =
        db.prepare_cached("INSERT INTO dedup (seq, key, log, offset, time, crc) VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
    insert.execute(params![fixed.seq as i64, key, fixed.log, fixed.offset as i64, fixed.time.0, sum])?;
    Ok(())
}

fn refused(text: String) -> StoreError {
    StoreError::new(StoreFault::Refused, text)
}
