//! Offsets of logs that are gone, and known to be.

use std::collections::BTreeMap;

/// Offsets that are known to be gone by damage.
#[derive(Clone, Debug, Default)]
pub(super) struct Gaps(BTreeMap<(i64, u64), u64>);

impl Gaps {
    /// Adds a range.
    pub(super) fn add(&mut self, log: i64, first: u64, last: u64) {
        let known = self.0.entry((log, first)).or_insert(last);
        *known = (*known).max(last);
    }

    /// Forgets those of a log.
    pub(super) fn forget(&mut self, log: i64) {
        self.0.retain(|(other, _), _| *other != log);
    }

    /// Forgets those of a log before an offset. Returns whether there were any.
    pub(super) fn forget_before(&mut self, log: i64, first: u64) -> bool {
        let before = self.0.len();
        self.0.retain(|(other, _), last| *other != log || *last >= first);
        self.0.len() < before
    }

    /// Those of a log, in order.
    pub(super) fn of(&self, log: i64) -> impl Iterator<Item = (u64, u64)> {
        self.0.range((log, 0)..=(log, u64::MAX)).map(|((_, first), last)| (*first, *last))
    }

    /// The parts of a range that are not known.
    pub(super) fn unknown(&self, log: i64, first: u64, last: u64) -> Vec<(u64, u64)> {
        let (mut at, mut parts) = (first, Vec::new());
        for (gap_first, gap_last) in self.of(log) {
            if gap_last < at {
                continue;
            }
            if gap_first > last {
                break;
            }
            if gap_first > at {
                parts.push((at, gap_first - 1));
            }
            at = gap_last.saturating_add(1);
        }
        if at <= last {
            parts.push((at, last));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_range_only_what_is_not_known_is_left() {
        let mut gaps = Gaps::default();
        for (log, first, last) in [(1, 3, 4), (1, 7, 7), (2, 1, 99)] {
            gaps.add(log, first, last);
        }
        for (first, last, expected) in [
            (1, 9, vec![(1, 2), (5, 6), (8, 9)]),
            (3, 4, vec![]),
            (4, 7, vec![(5, 6)]),
            (8, 8, vec![(8, 8)]),
            (1, 1, vec![(1, 1)]),
        ] {
            assert_eq!(gaps.unknown(1, first, last), expected, "{first}..={last}");
        }
        assert!(gaps.forget_before(1, 5) && !gaps.forget_before(1, 5));
        assert_eq!(gaps.of(1).collect::<Vec<_>>(), [(7, 7)]);
    }
}
