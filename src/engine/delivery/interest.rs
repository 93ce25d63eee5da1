//! Which consumers a topic concerns.
//!
//! Exact patterns are found by name, wildcards are tried one by one, and the outcome is kept for
//! hot topics. A change of an exact pattern forgets what was kept for its topic, a change of a
//! wildcard all of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::base::limits::INTEREST_TOPICS_KEPT;
use crate::engine::topic::{Pattern, Seeded};

/// Patterns and who has them.
#[derive(Debug)]
pub struct Interest<T> {
    exact: HashMap<Box<str>, Vec<T>, Seeded>,
    wild: BTreeMap<Pattern, Vec<T>>,
    kept: HashMap<Box<str>, Kept<T>, Seeded>,
    generation: u64,
    nobody: Arc<[T]>,
}

#[derive(Debug)]
struct Kept<T> {
    generation: u64,
    matching: Arc<[T]>,
}

impl<T: Copy + Ord> Interest<T> {
    /// Nobody is interested in anything. Names are hashed under `seed`.
    pub fn new(seed: u64) -> Interest<T> {
        Interest {
            exact: HashMap::with_hasher(Seeded(seed)),
            wild: BTreeMap::new(),
            kept: HashMap::with_hasher(Seeded(seed)),
            generation: 0,
            nobody: Arc::new([]),
        }
    }

    /// Adds a pattern of someone. Returns false if it is there already.
    pub fn insert(&mut self, pattern: &Pattern, whose: T) -> bool {
        let list = match pattern.is_exact() {
            true => self.exact.entry(pattern.as_str().into()).or_default(),
            false => self.wild.entry(pattern.clone()).or_default(),
        };
        let Err(at) = list.binary_search(&whose) else { return false };
        list.insert(at, whose);
        self.forget(pattern);
        true
    }

    /// Takes a pattern of someone out. Returns false if it is not there.
    pub fn remove(&mut self, pattern: &Pattern, whose: T) -> bool {
        let list = match pattern.is_exact() {
            true => self.exact.get_mut(pattern.as_str()),
            false => self.wild.get_mut(pattern),
        };
        let Some(list) = list else { return false };
        let Ok(at) = list.binary_search(&whose) else { return false };
        list.remove(at);
        if list.is_empty() {
            match pattern.is_exact() {
                true => drop(self.exact.remove(pattern.as_str())),
                false => drop(self.wild.remove(pattern)),
            }
        }
        self.forget(pattern);
        true
    }

    /// Whom a topic concerns: each once, in order.
    pub fn matching(&mut self, topic: &str) -> Arc<[T]> {
        if self.is_empty() {
            return self.nobody.clone();
        }
        if let Some(kept) = self.kept.get(topic).filter(|kept| kept.generation == self.generation) {
            return kept.matching.clone();
        }
        let matching = self.find(topic);
        if self.kept.len() >= INTEREST_TOPICS_KEPT {
            self.kept.clear();
        }
        self.kept.insert(topic.into(), Kept { generation: self.generation, matching: matching.clone() });
        matching
    }

    /// Changes whenever a wildcard comes or goes. What was found for a topic holds as long as this
    /// does not change, and no exact pattern of the topic comes or goes.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether nobody is interested in anything.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wild.is_empty()
    }

    fn find(&self, topic: &str) -> Arc<[T]> {
        let mut found = self.exact.get(topic).cloned().unwrap_or_default();
        for (pattern, list) in &self.wild {
            if pattern.matches(topic) {
                found.extend_from_slice(list);
            }
        }
        if found.is_empty() {
            return self.nobody.clone();
        }
        found.sort_unstable();
        found.dedup();
        found.into()
    }

    fn forget(&mut self, pattern: &Pattern) {
        match pattern.is_exact() {
            true => drop(self.kept.remove(pattern.as_str())),
            false => self.generation += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn each_is_named_once_and_in_order() {
        let mut interest = Interest::new(7);
        assert!(interest.matching("a.b").is_empty());
        for (text, whose) in [("a.b", 9), ("a.b", 3), ("a.*", 3), (">", 5), ("a.c", 1)] {
            assert!(interest.insert(&pattern(text), whose));
            assert!(!interest.insert(&pattern(text), whose));
        }
        assert_eq!(*interest.matching("a.b"), [3, 5, 9]);
        assert!(interest.remove(&pattern("a.b"), 9) && !interest.remove(&pattern("a.b"), 9));
        assert_eq!(*interest.matching("a.b"), [3, 5]);
        assert!(interest.remove(&pattern(">"), 5));
        assert_eq!(*interest.matching("a.b"), [3]);
        assert!(interest.matching("b.b").is_empty());
    }

    #[test]
    fn what_was_found_is_kept_until_it_changes_and_not_without_bound() {
        let mut interest = Interest::new(7);
        interest.insert(&pattern("a.b"), 1);
        interest.insert(&pattern("a.c"), 2);
        let first = interest.matching("a.b");
        interest.insert(&pattern("a.c"), 3);
        assert!(Arc::ptr_eq(&first, &interest.matching("a.b")), "another topic's change");
        interest.insert(&pattern("b.*"), 3);
        assert!(!Arc::ptr_eq(&first, &interest.matching("a.b")), "a wildcard's change");
        for n in 0..3 * INTEREST_TOPICS_KEPT {
            assert!(interest.matching(&format!("x.{n}")).is_empty());
            assert!(interest.kept.len() <= INTEREST_TOPICS_KEPT);
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_a_plain_list(
            steps in prop::collection::vec((0u8..3, "(a|b|\\*)\\.(a|b|\\*|>)", 0u8..4, "(a|b)\\.(a|b)"), 1..60),
        ) {
            let mut interest = Interest::new(1);
            let mut list: Vec<(Pattern, u8)> = Vec::new();
            for (what, text, whose, topic) in steps {
                let entry = (pattern(&text), whose);
                let at = list.iter().position(|other| *other == entry);
                match what {
                    0 => {
                        prop_assert_eq!(interest.remove(&entry.0, whose), at.is_some());
                        at.map(|at| list.swap_remove(at));
                    }
                    _ => {
                        prop_assert_eq!(interest.insert(&entry.0, whose), at.is_none());
                        if at.is_none() {
                            list.push(entry);
                        }
                    }
                }
                let mut expected: Vec<u8> =
                    list.iter().filter(|(pattern, _)| pattern.matches(&topic)).map(|(_, whose)| *whose).collect();
                expected.sort_unstable();
                expected.dedup();
                prop_assert_eq!(&*interest.matching(&topic), &expected[..]);
            }
        }
    }
}
