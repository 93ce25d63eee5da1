//! Which dead letters are at home at a worker: those of its subscriptions, and those of
//! subscriptions that have ended.
//!
//! Owns the choice of the letter that makes room. It knows numbers alone: what a letter says is in
//! the store.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::engine::store::Seq;

/// The dead letters of one worker, by subscription.
#[derive(Debug, Default)]
pub(in super::super) struct LetterIndex {
    by_key: BTreeMap<Arc<str>, BTreeSet<Seq>>,
    /// Whoever has most comes last; of those that have as many, whose oldest is the oldest.
    by_size: BTreeSet<(usize, Reverse<Seq>, Arc<str>)>,
    len: usize,
}

impl LetterIndex {
    /// A letter is in the store. One that takes the place of another is no further one.
    pub(in super::super) fn insert(&mut self, key: &str, seq: Seq) {
        self.change(key, |seqs| {
            seqs.insert(seq);
        });
    }

    /// A letter is gone, or on its way out.
    pub(in super::super) fn remove(&mut self, key: &str, seq: Seq) {
        if self.by_key.contains_key(key) {
            self.change(key, |seqs| {
                seqs.remove(&seq);
            });
        }
    }

    /// Takes the letters of a subscription that the store held at the start.
    pub(in super::super) fn restore(&mut self, key: &str, held: &[Seq]) {
        self.change(key, |seqs| seqs.extend(held));
    }

    /// If there are more than `most`, takes out the oldest of whoever has most.
    pub(super) fn pop_surplus(&mut self, most: usize) -> Option<(Arc<str>, Seq)> {
        let (_, Reverse(oldest), key) = self.by_size.last().filter(|_| self.len > most)?.clone();
        self.remove(&key, oldest);
        Some((key, oldest))
    }

    /// How many there are.
    pub(in super::super) fn len(&self) -> usize {
        self.len
    }

    /// How many a subscription has.
    pub(in super::super) fn of(&self, key: &str) -> usize {
        self.by_key.get(key).map_or(0, BTreeSet::len)
    }

    fn change(&mut self, key: &str, change: impl FnOnce(&mut BTreeSet<Seq>)) {
        let (key, mut seqs) = self.by_key.remove_entry(key).unwrap_or_else(|| (key.into(), BTreeSet::new()));
        if let Some(oldest) = seqs.first() {
            self.by_size.remove(&(seqs.len(), Reverse(*oldest), key.clone()));
        }
        self.len -= seqs.len();
        change(&mut seqs);
        self.len += seqs.len();
        if let Some(oldest) = seqs.first() {
            self.by_size.insert((seqs.len(), Reverse(*oldest), key.clone()));
            self.by_key.insert(key, seqs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(letters: &[(&str, u64)]) -> LetterIndex {
        let mut index = LetterIndex::default();
        for (key, seq) in letters {
            index.insert(key, Seq(*seq));
        }
        index
    }

    #[test]
    fn a_letter_that_is_replaced_or_was_never_there_does_not_count() {
        let mut index = index(&[("d/a/x", 1), ("d/a/x", 1), ("d/a/x", 2), ("s/1.b", 3)]);
        assert_eq!((index.len(), index.of("d/a/x"), index.of("s/1.b")), (3, 2, 1));
        for (key, seq) in [("d/a/x", 9), ("d/other/x", 1), ("s/1.b", 3), ("s/1.b", 3)] {
            index.remove(key, Seq(seq));
        }
        assert_eq!((index.len(), index.of("d/a/x"), index.of("s/1.b")), (2, 2, 0));
        assert_eq!((index.by_key.len(), index.by_size.len()), (1, 1));
    }

    #[test]
    fn the_oldest_of_whoever_has_most_makes_room() {
        let mut index = index(&[("a", 7), ("a", 5), ("b", 1), ("c", 4), ("c", 6), ("c", 8)]);
        let gone: Vec<(String, u64)> =
            std::iter::from_fn(|| index.pop_surplus(1)).map(|(key, seq)| (key.to_string(), seq.0)).collect();
        let expected = [("c", 4), ("a", 5), ("c", 6), ("b", 1), ("a", 7)];
        assert_eq!(gone, expected.map(|(key, seq)| (key.to_owned(), seq)));
        assert_eq!((index.len(), index.of("c")), (1, 1));
        assert_eq!(index.pop_surplus(1), None);
    }

    #[test]
    fn what_the_store_held_counts() {
        let mut index = LetterIndex::default();
        index.restore("s/ended", &[Seq(1), Seq(2)]);
        index.restore("none", &[]);
        assert_eq!((index.len(), index.of("s/ended"), index.of("none")), (2, 2, 0));
        assert_eq!(index.pop_surplus(0), Some(("s/ended".into(), Seq(1))));
    }
}
