//! What a receiver has seen of a numbered stream: tells repeats, latecomers and losses.

use std::ops::Range;

/// Gaps remembered per stream. Of an older gap nothing is told any more but that it was lost.
const GAPS_MAX: usize = 64;

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Not before any that precede it and have come; it may leave a gap.
    Forward,
    /// It fills a gap: others have overtaken it.
    Late,
    /// It came before, or its gap is no longer remembered.
    Duplicate,
}

/// The numbers seen, in little room as long as they come in order.
#[derive(Clone, Debug, Default)]
pub struct Sequence {
    next: u64,
    gaps: Vec<Range<u64>>,
    forgotten: u64,
}

impl Sequence {
    /// Number `seq` has come.
    pub fn arrive(&mut self, seq: u64) -> Arrival {
        if seq == self.next {
            self.next += 1;
            return Arrival::Forward;
        }
        if seq > self.next {
            if self.gaps.len() == GAPS_MAX {
                let oldest = self.gaps.remove(0);
                self.forgotten += oldest.end - oldest.start;
            }
            self.gaps.push(self.next..seq);
            self.next = seq + 1;
            return Arrival::Forward;
        }
        let Some(index) = self.gaps.iter().position(|gap| gap.contains(&seq)) else {
            return Arrival::Duplicate;
        };
        let gap = self.gaps.remove(index);
        for part in [seq + 1..gap.end, gap.start..seq] {
            if part.is_empty() {
                continue;
            }
            self.gaps.insert(index, part);
        }
        if self.gaps.len() > GAPS_MAX {
            let oldest = self.gaps.remove(0);
            self.forgotten += oldest.end - oldest.start;
        }
        Arrival::Late
    }

    /// How many of the first `sent` numbers have not come.
    pub fn missing(&self, sent: u64) -> u64 {
        let gaps: u64 = self.gaps.iter().map(|gap| gap.end - gap.start).sum();
        sent.saturating_sub(self.next) + gaps + self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_agrees_with_a_set_of_numbers(seqs in prop::collection::vec(0u64..60, 0..120)) {
            let (mut sequence, mut set) = (Sequence::default(), BTreeSet::new());
            for seq in seqs {
                let expected = if set.contains(&seq) {
                    Arrival::Duplicate
                } else if set.last().is_some_and(|last| *last > seq) {
                    Arrival::Late
                } else {
                    Arrival::Forward
                };
                prop_assert_eq!(sequence.arrive(seq), expected);
                set.insert(seq);
                prop_assert_eq!(sequence.missing(60), 60 - set.len() as u64);
            }
        }
    }

    #[test]
    fn gaps_beyond_the_bound_stay_lost() {
        let mut sequence = Sequence::default();
        for seq in (1..400).step_by(2) {
            sequence.arrive(seq);
        }
        assert_eq!(sequence.gaps.len(), GAPS_MAX);
        assert_eq!(sequence.missing(400), 200);
        assert_eq!(sequence.arrive(0), Arrival::Duplicate);
        assert_eq!(sequence.arrive(398), Arrival::Late);
    }
}
