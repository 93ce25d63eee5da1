//! What the store has of one log: from which offset on, how much, how old.
//!
//! A trim is answered behind the commit of its group, and does not count what was appended after
//! it: that is added here.

use crate::base::Wall;
use crate::engine::store::{LogHead, Trimmed};

/// What the store has of one log.
#[derive(Debug)]
pub(in super::super) struct Stock {
    /// The oldest offset.
    pub first: u64,
    /// Bytes of all events.
    pub bytes: u64,
    /// When the oldest event was published.
    pub first_time: Option<Wall>,
    /// When the newest was, at the latest.
    pub last_time: Option<Wall>,
    trimming: Option<Trimming>,
}

/// A trim that is under way.
#[derive(Debug)]
struct Trimming {
    ticket: u64,
    /// Of what was appended after it.
    bytes: u64,
    first_time: Option<Wall>,
}

impl Default for Stock {
    fn default() -> Stock {
        Stock { first: 1, bytes: 0, first_time: None, last_time: None, trimming: None }
    }
}

impl Stock {
    /// What the store was opened with, at `now`: nothing in it is newer.
    pub(super) fn of(head: &LogHead, now: Wall) -> Stock {
        let last_time = Some(head.first_time.map_or(now, |first| first.max(now)));
        Stock { first: head.first, bytes: head.bytes, first_time: head.first_time, last_time, trimming: None }
    }

    /// How many events there are, if `last` is the newest.
    pub(super) fn len(&self, last: u64) -> u64 {
        (last + 1).saturating_sub(self.first)
    }

    /// An event gets a place.
    pub(super) fn reaches(&mut self, time: Wall) {
        self.last_time = self.last_time.max(Some(time));
    }

    /// The append with a ticket was committed.
    pub(super) fn appended(&mut self, ticket: u64, weight: u64, time: Wall) {
        self.bytes += weight;
        self.first_time.get_or_insert(time);
        if let Some(trimming) = self.trimming.as_mut().filter(|trimming| trimming.ticket < ticket) {
            trimming.bytes += weight;
            trimming.first_time.get_or_insert(time);
        }
    }

    pub(super) fn is_trimming(&self) -> bool {
        self.trimming.is_some()
    }

    /// A trim was asked for.
    pub(super) fn begin_trim(&mut self, ticket: u64) {
        self.trimming = Some(Trimming { ticket, bytes: 0, first_time: None });
    }

    /// The trim is over; `None` if it failed.
    pub(super) fn trimmed(&mut self, trimmed: Option<&Trimmed>) {
        let since = self.trimming.take();
        let Some(trimmed) = trimmed else { return };
        let (bytes, first_time) = since.map_or((0, None), |since| (since.bytes, since.first_time));
        self.bytes = trimmed.bytes + bytes;
        self.first_time = trimmed.first_time.or(first_time);
        // Of what never got to the store nothing is known there.
        self.first = if trimmed.first == 0 { self.first } else { trimmed.first };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_after_a_trim_of_the_same_group_still_counts() {
        let mut stock = Stock::default();
        stock.appended(1, 100, Wall(10));
        stock.begin_trim(3);
        stock.appended(2, 50, Wall(20));
        stock.appended(4, 30, Wall(30));
        assert_eq!((stock.bytes, stock.first_time, stock.is_trimming()), (180, Some(Wall(10)), true));
        stock.trimmed(Some(&Trimmed { gone: Vec::new(), first: 3, bytes: 0, first_time: None }));
        assert_eq!((stock.first, stock.bytes, stock.first_time), (3, 30, Some(Wall(30))));
        assert!(!stock.is_trimming());
    }

    #[test]
    fn a_trim_that_failed_changes_nothing() {
        let mut stock = Stock::default();
        stock.appended(1, 100, Wall(10));
        stock.begin_trim(2);
        stock.trimmed(None);
        assert_eq!((stock.first, stock.bytes, stock.first_time), (1, 100, Some(Wall(10))));
        assert!(!stock.is_trimming());
    }
}
