//! Looks for holes in logs: no log is written with one, so what is missing is damage.

use super::damage::{Aside, save_gap};
use super::live::Live;
use crate::engine::store::StoreError;

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
