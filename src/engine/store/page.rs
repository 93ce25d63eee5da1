//! Puts pages together: which events of a read are given, and what is said about the rest.
//!
//! A backend finds events in order; what a page says is decided here, once for all backends.

use super::event::Page;
use super::fault::StoreError;
use super::record::{Record, Seq};
use crate::engine::topic::Pattern;

/// What one log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogRange {
    /// The oldest offset it holds; 0 if it holds none.
    pub first: u64,
    /// The newest offset it ever held.
    pub last: u64,
}

/// Collects events up to a number and a weight.
#[derive(Debug)]
pub struct Gather {
    records: Vec<Record>,
    limit: usize,
    bytes: usize,
}

impl Gather {
    /// Takes `limit` events at most, and `bytes` at most, but one event at least.
    pub fn new(limit: usize, bytes: usize) -> Gather {
        Gather { records: Vec::new(), limit, bytes }
    }

    /// Takes the record in, or says that it has no more room.
    pub fn push(&mut self, record: Record) -> bool {
        let weight = record.weight();
        if self.records.len() >= self.limit || (!self.records.is_empty() && weight > self.bytes) {
            return false;
        }
        self.bytes = self.bytes.saturating_sub(weight);
        self.records.push(record);
        true
    }
}

/// A page of one log from behind `after`. `found` gives the log's events behind that offset, in
/// order. `log` is nothing if the store does not know it.
pub fn page_of_log(
    log: Option<LogRange>,
    after: u64,
    mut gather: Gather,
    found: impl IntoIterator<Item = Result<Record, StoreError>>,
) -> Result<Page, StoreError> {
    let Some(log) = log else { return Ok(Page { missing: true, ..Page::default() }) };
    let (mut at, mut more, mut missing) = (after, false, false);
    for record in found {
        let record = record?;
        let offset = record.offset;
        if !gather.push(record) {
            more = true;
            break;
        }
        missing |= offset != at.saturating_add(1);
        at = offset;
    }
    missing |= !more && at < log.last;
    Ok(Page { records: gather.records, first: log.first, more, missing, ..Page::default() })
}

/// A page of all logs under some patterns. `found` gives the events of all logs, or of all that
/// may match, in the order of their numbers: behind the number asked for, up to `through`.
pub fn page_of_patterns(
    patterns: &[Pattern],
    through: Seq,
    mut gather: Gather,
    found: impl IntoIterator<Item = Result<Record, StoreError>>,
) -> Result<Page, StoreError> {
    let mut looked_at = through;
    for record in found {
        let record = record?;
        let seq = record.seq;
        if patterns.iter().any(|pattern| pattern.matches(&record.topic)) && !gather.push(record) {
            looked_at = Seq(seq.0.saturating_sub(1));
            break;
        }
    }
    Ok(Page { records: gather.records, through: looked_at, ..Page::default() })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;
    use crate::base::Wall;
    use crate::engine::topic::Epoch;

    fn record(topic: &str, seq: u64, offset: u64) -> Record {
        Record {
            seq: Seq(seq),
            topic: topic.into(),
            epoch: Epoch::new(1),
            offset,
            time: Wall(0),
            expires: None,
            payload: Bytes::from_static(b"{}"),
        }
    }

    fn log(first: u64, last: u64, offsets: &[u64], after: u64, limit: usize) -> Page {
        let found = offsets.iter().filter(|&&o| o > after).map(|&o| Ok(record("a.b", o, o)));
        page_of_log(Some(LogRange { first, last }), after, Gather::new(limit, usize::MAX), found).unwrap()
    }

    #[test]
    fn a_page_of_a_log_says_what_is_missing_and_whether_there_is_more() {
        for (first, last, held, after, limit, given, more, missing) in [
            (1, 3, &[1, 2, 3][..], 0, 9, &[1, 2, 3][..], false, false),
            (1, 3, &[1, 2, 3], 1, 1, &[2], true, false),
            (1, 3, &[1, 2, 3], 3, 9, &[], false, false),
            (3, 4, &[3, 4], 0, 9, &[3, 4], false, true),
            (3, 4, &[3, 4], 2, 9, &[3, 4], false, false),
            (1, 4, &[1, 4], 0, 1, &[1], true, false),
            (1, 4, &[1, 4], 1, 1, &[4], false, true),
            (1, 4, &[1, 2], 0, 9, &[1, 2], false, true),
            (0, 4, &[], 2, 9, &[], false, true),
            (0, 4, &[], 4, 9, &[], false, false),
            (1, 3, &[1, 2, 3], 0, 0, &[], true, false),
        ] {
            let page = log(first, last, held, after, limit);
            let offsets: Vec<u64> = page.records.iter().map(|r| r.offset).collect();
            assert_eq!((&offsets[..], page.more, page.missing), (given, more, missing), "{held:?} after {after}");
            assert_eq!(page.first, first);
        }
    }

    #[test]
    fn a_log_that_is_not_known_is_missing() {
        let page = page_of_log(None, 0, Gather::new(9, 9), []).unwrap();
        assert!(page.missing && !page.more && page.first == 0);
    }

    #[test]
    fn one_event_is_given_however_large_it_is() {
        let mut gather = Gather::new(9, 1);
        assert!(gather.push(record("a.b", 1, 1)));
        assert!(!gather.push(record("a.b", 2, 2)));
    }

    proptest! {
        #[test]
        fn reading_on_from_through_gives_every_match_once(
            topics in prop::collection::vec(0..3_usize, 0..40),
            limit in 1..5_usize,
            bytes in 0..400_usize,
        ) {
            let names = ["a.b", "a.c", "x.y"];
            let patterns = [Pattern::parse("a.>").unwrap(), Pattern::parse("*.b").unwrap()];
            let all: Vec<Record> = topics.iter().zip(1..).map(|(&t, seq)| record(names[t], seq, seq)).collect();
            let through = Seq(all.len() as u64);
            let (mut after, mut given) = (Seq(0), Vec::new());
            while after < through {
                let found = all.iter().filter(|r| r.seq > after).cloned().map(Ok);
                let page = page_of_patterns(&patterns, through, Gather::new(limit, bytes), found).unwrap();
                prop_assert!(page.through > after && page.records.len() <= limit);
                prop_assert!(page.records.last().is_none_or(|r| r.seq <= page.through));
                given.extend(page.records);
                after = page.through;
            }
            let expected: Vec<Record> = all.into_iter().filter(|r| r.topic.starts_with('a')).collect();
            prop_assert_eq!(given, expected);
        }
    }
}
