//! Finds the first event of all logs from a time on.

use rusqlite::{OptionalExtension, params};

use super::live::Live;
use super::row::{Bad, COLUMNS, next_whole, signed};
use crate::base::Wall;
use crate::engine::store::{Page, SINCE_LOOK, StoreError};

impl Live {
    /// Times grow with numbers, but for a few that are near each other: the place is searched as
    /// if they all did, and then events before it are looked at one by one.
    pub(super) fn first_since(&self, since: Wall, bad: &mut Vec<Bad>) -> Result<Page, StoreError> {
        let number = |row: &rusqlite::Row<'_>| Ok((row.get::<_, i64>(0)? as u64, row.get::<_, i64>(1)?));
        let mut look = self.db.prepare_cached("SELECT seq, time FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1")?;
        let (mut low, mut high) = (0, self.last.0.saturating_add(1));
        while low < high {
            let middle = low + (high - low) / 2;
            match look.query_row([signed(middle)], number).optional()? {
                Some((seq, time)) if time < since.0 => low = seq.saturating_add(1),
                Some(_) | None => high = middle,
            }
        }
        let mut back = self.db.prepare_cached(
            "SELECT min(seq) FROM (SELECT seq, time FROM event WHERE seq < ?1 ORDER BY seq DESC LIMIT ?2)
             WHERE time >= ?3",
        )?;
        let before: Option<i64> =
            back.query_row(params![signed(high), SINCE_LOOK as i64, since.0], |row| row.get(0))?;
        let first = before.map_or(high, |seq| seq as u64);
        let mut query =
            self.db.prepare_cached(&format!("SELECT {COLUMNS} FROM event WHERE seq >= ?1 ORDER BY seq LIMIT 1"))?;
        let mut rows = query.query([signed(first)])?;
        let record = next_whole(&mut rows, &self.heads, bad).transpose()?;
        Ok(Page { records: record.into_iter().collect(), ..Page::default() })
    }
}
