//! Looks for holes in logs: no log is written with one, so what is missing is damage.

use rusqlite::Connection;

use super::damage::{Aside, save_gap};
use super::heads::Heads;
use super::live::Live;
use crate::engine::store::{StoreError, StoreFault};

/// Holds the index over places to having as many entries for each log as the log has offsets. No sum
/// holds an entry. One that damage moved is one too many where it is now: that tells of it though its own
/// log, if it was the newest there, only seems to be shorter.
pub(super) fn count_index(db: &Connection, heads: &Heads) -> Result<(), StoreError> {
    let mut query =
        db.prepare("SELECT log, count(*), min(offset), max(offset) FROM event INDEXED BY event_place GROUP BY log")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let log: i64 = row.get(0)?;
        let number = |index| row.get::<_, i64>(index).map(|number| number as u64);
        let (count, first, last) = (number(1)?, number(2)?, number(3)?);
        let is_known = heads.of(log).is_some_and(|head| first >= head.first && last <= head.last);
        let unknown: u64 = heads.gaps.unknown(log, first, last).into_iter().map(|(first, last)| last - first + 1).sum();
        if !is_known || count != unknown {
            let text = format!("the index has {count} places of log {log} between {first} and {last}");
            return Err(StoreError::new(StoreFault::Damaged, text));
        }
    }
    Ok(())
}

/// Reports the holes in all logs, which nobody knew of.
pub(super) fn report_all(live: &mut Live, aside: &mut Aside) -> Result<(), StoreError> {
    let mut holes = Vec::new();
    for head in live.heads.all().filter(|head| !head.is_empty()) {
        let mut query =
            live.db.prepare_cached("SELECT offset FROM event INDEXED BY event_place WHERE log = ?1 ORDER BY offset")?;
        let mut rows = query.query([head.id])?;
        let mut at = head.first - 1;
        let mut hole = |offset: u64, at: u64| {
            if offset > at + 1 {
                holes.extend(
                    live.heads.gaps.unknown(head.id, at + 1, offset - 1).into_iter().map(|hole| (head.id, hole)),
                );
            }
        };
        while let Some(row) = rows.next()? {
            let offset = row.get::<_, i64>(0)? as u64;
            hole(offset, at);
            at = offset;
        }
        hole(head.last.saturating_add(1), at);
    }
    for (log, (first, last)) in holes {
        save_gap(&live.db, log, first, last)?;
        live.heads.gaps.add(log, first, last);
        if let Some(head) = live.heads.of(log) {
            aside.report_events(head, first, last);
        }
    }
    Ok(())
}
