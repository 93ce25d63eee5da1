//! Reads what is kept in memory from a database that is open: logs, gaps, ids of publishes.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use super::commit::insert_log;
use super::damage::{self, Aside};
use super::heads::{Head, Heads};
use super::live::Dedup;
use super::row::{self, COLUMNS, decode};
use super::schema::{self, Meta, dedup_sum, end_sum, log_sum};
use crate::base::Wall;
use crate::engine::store::{Damage, DedupKey, Seq, StoreError, StoreFault};
use crate::engine::topic::Epoch;

/// Events set aside while one log's ends are looked for.
const BAD_ENDS: usize = 10_000;

/// What a row of `log` says of itself.
pub(super) struct LogRow {
    pub(super) head: Head,
    /// Whether what it says of its end is whole.
    pub(super) has_end: bool,
}

/// Reads a row of `log` or `log_copy`; nothing if its name is damaged.
pub(super) fn log_row(row: &Row<'_>) -> Option<LogRow> {
    let integer = |index| match row.get_ref(index) {
        Ok(ValueRef::Integer(number)) => Some(number),
        _ => None,
    };
    let id = integer(0)?;
    let Ok(ValueRef::Text(topic)) = row.get_ref(1) else { return None };
    let topic: Arc<str> = std::str::from_utf8(topic).ok()?.into();
    let (epoch, is_mixed) = (Epoch::new(integer(2)? as u64), integer(3)? == 1);
    if log_sum(id, &topic, epoch, is_mixed) != integer(4)? {
        return None;
    }
    let mut head = Head::new(id, topic, epoch, is_mixed);
    let end = || Some((integer(5)? == 1, integer(6)? as u64, integer(7)? as u64, integer(8)?));
    let end = end().filter(|(is_cut, last, last_seq, sum)| end_sum(id, *is_cut, *last, *last_seq) == *sum);
    if let Some((is_cut, last, last_seq, _)) = end {
        (head.is_cut, head.last, head.last_seq) = (is_cut, last, Seq(last_seq));
    }
    Some(LogRow { head, has_end: end.is_some() })
}

/// The columns of `log` that [`log_row`] wants. Those of `log_copy` are the first five.
pub(super) const LOG_COLUMNS: &str = "id, topic, epoch, is_mixed, crc, is_cut, last, last_seq, end_crc";

/// All logs, each with where it begins and ends.
pub(super) fn heads(db: &Connection, aside: &mut Aside) -> Result<Heads, StoreError> {
    let mut heads = Heads::default();
    heads.last_id = schema::meta(db, Meta::LastLog)?.unwrap_or(0);
    let ids = names(db, &mut heads, aside)?;
    let mut gaps = db.prepare_cached("SELECT log, first, last FROM gap")?;
    let mut rows = gaps.query([])?;
    while let Some(row) = rows.next()? {
        heads.gaps.add(row.get(0)?, row.get::<_, i64>(1)? as u64, row.get::<_, i64>(2)? as u64);
    }
    for id in ids {
        ends(db, &mut heads, aside, id)?;
    }
    Ok(heads)
}

/// Every log has its name twice. One that is damaged is written anew from the other.
fn names(db: &Connection, heads: &mut Heads, aside: &mut Aside) -> Result<Vec<i64>, StoreError> {
    let mut found: BTreeMap<i64, [Option<LogRow>; 2]> = BTreeMap::new();
    for (place, table) in
        [LOG_COLUMNS, "id, topic, epoch, is_mixed, crc"].into_iter().zip(["log", "log_copy"]).enumerate()
    {
        let mut query = db.prepare(&format!("SELECT {} FROM {}", table.0, table.1))?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            found.entry(row.get(0)?).or_default()[place] = log_row(row);
        }
    }
    for (id, [log, copy]) in &mut found {
        let is_whole = log.as_ref().is_some_and(|log| log.has_end) && copy.is_some();
        let Some(LogRow { mut head, has_end }) = log.take().or(copy.take()) else {
            return Err(StoreError::new(StoreFault::Damaged, format!("the name of log {id} is lost")));
        };
        if !has_end {
            // Its end is what its events say; whether there were more, nobody knows.
            head.is_cut = true;
            aside.report(Damage::File { text: format!("the end of topic={} epoch={}", head.topic, head.epoch).into() });
        }
        if !is_whole {
            for table in ["log", "log_copy"] {
                db.execute(&format!("DELETE FROM {table} WHERE id = ?1"), [id])?;
            }
            insert_log(db, &head)?;
        }
        head.first = head.last.saturating_add(1);
        heads.put(head);
    }
    Ok(found.into_keys().collect())
}

fn ends(db: &Connection, heads: &mut Heads, aside: &mut Aside, id: i64) -> Result<(), StoreError> {
    for order in ["DESC", "ASC"] {
        let sql = format!("SELECT {COLUMNS} FROM event WHERE log = ?1 ORDER BY offset {order} LIMIT 1");
        let mut rounds = 0..BAD_ENDS;
        loop {
            if rounds.next().is_none() {
                return Err(StoreError::new(StoreFault::Damaged, format!("most of log {id} is damaged")));
            }
            let found = {
                let mut query = db.prepare_cached(&sql)?;
                let mut rows = query.query([id])?;
                rows.next()?.map(|row| decode(row, heads)).transpose()?
            };
            let Some(head) = heads.of_mut(id) else { break };
            match found {
                None => break,
                Some(Ok(whole)) => {
                    let fixed = whole.fixed;
                    if order == "DESC" {
                        head.last = head.last.max(fixed.offset);
                        head.last_seq = head.last_seq.max(Seq(fixed.seq));
                        (head.pos, head.high) = (fixed.pos, fixed.high.unwrap_or(fixed.time.0));
                    } else {
                        (head.first, head.first_time) = (fixed.offset, Some(fixed.time));
                        head.start = fixed.pos.saturating_sub(whole.record.weight() as u64);
                    }
                    break;
                }
                Some(Err(bad)) => {
                    let at = bad.place.filter(|(log, offset)| {
                        *log == id && row::seq_at(db, id, *offset).is_ok_and(|seq| seq == Some(bad.seq))
                    });
                    if let Some((_, offset)) = at {
                        head.last = head.last.max(offset);
                        head.last_seq = head.last_seq.max(Seq(bad.seq));
                    }
                    damage::set_aside(db, heads, aside, vec![bad])?;
                }
            }
        }
    }
    let Some(head) = heads.of_mut(id) else { return Ok(()) };
    if head.first > head.last {
        head.start = head.pos;
    }
    Ok(())
}

/// The newest number ever given.
pub(super) fn last(db: &Connection, heads: &Heads) -> Result<Seq, StoreError> {
    let newest: Option<i64> = db.query_row("SELECT max(seq) FROM event", [], |row| row.get(0))?;
    let forgotten = schema::meta(db, Meta::LastSeq)?.unwrap_or(0);
    let of_logs = heads.all().map(|head| head.last_seq).max().unwrap_or_default();
    Ok(Seq(newest.unwrap_or(0).max(forgotten).max(0) as u64).max(of_logs))
}

/// An id of a publish, with what it was answered.
pub(super) type Remembered = (DedupKey, Epoch, u64, Wall);

/// Ids of publishes, oldest first, and how many rows there are.
pub(super) fn dedup(
    db: &Connection,
    heads: &Heads,
    dedup: &mut Dedup,
    now: Wall,
) -> Result<Vec<Remembered>, StoreError> {
    let since = dedup.since(now);
    let mut found = Vec::new();
    let mut query = db.prepare("SELECT seq, key, log, offset, time, crc FROM dedup ORDER BY seq")?;
    let mut rows = query.query([])?;
    dedup.count = 0;
    while let Some(row) = rows.next()? {
        dedup.count += 1;
        if let Some((key, log, offset, time)) = dedup_row(row)
            && time >= since
            && let Some(head) = heads.of(log)
        {
            found.push((key, head.epoch, offset, time));
        }
    }
    found.drain(..found.len().saturating_sub(usize::try_from(dedup.max).unwrap_or(usize::MAX)));
    Ok(found)
}

/// Reads a row of `dedup`. One that is damaged is passed over: at worst a repeat is taken for new.
pub(super) fn dedup_row(row: &Row<'_>) -> Option<(DedupKey, i64, u64, Wall)> {
    let seq = row.get::<_, i64>(0).ok()? as u64;
    let key: [u8; 16] = row.get(1).ok()?;
    let (log, offset, time) = (row.get(2).ok()?, row.get::<_, i64>(3).ok()? as u64, Wall(row.get(4).ok()?));
    let sum: i64 = row.get(5).ok()?;
    (dedup_sum(seq, &key, log, offset, time) == sum).then_some((DedupKey(u128::from_be_bytes(key)), log, offset, time))
}
