//! The logs as the store's thread knows them: where each begins and ends, without a look at the
//! disk.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::gaps::Gaps;
use crate::base::Wall;
use crate::engine::store::{LogHead, LogRange, Seq};
use crate::engine::topic::{Epoch, Pattern};

/// One log.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Its number. Of a topic's logs the one with the greatest is the newest.
    pub(super) id: i64,
    pub(super) topic: Arc<str>,
    pub(super) epoch: Epoch,
    pub(super) is_mixed: bool,
    pub(super) is_cut: bool,
    /// The oldest offset held; one more than `last` if none is.
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) last_seq: Seq,
    /// Weight of the log before its first event.
    pub(super) start: u64,
    /// Weight of the log up to its last event.
    pub(super) pos: u64,
    /// The latest time that an event of it was published.
    pub(super) high: i64,
    pub(super) first_time: Option<Wall>,
}

impl Head {
    /// A log that has held nothing yet.
    pub(super) fn new(id: i64, topic: Arc<str>, epoch: Epoch, is_mixed: bool) -> Head {
        Head {
            id,
            topic,
            epoch,
            is_mixed,
            is_cut: false,
            first: 1,
            last: 0,
            last_seq: Seq(0),
            start: 0,
            pos: 0,
            high: i64::MIN,
            first_time: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first > self.last
    }

    /// Weight of what it holds.
    pub(super) fn bytes(&self) -> u64 {
        if self.is_empty() { 0 } else { self.pos.saturating_sub(self.start) }
    }

    /// What an event with such a payload counts for.
    pub(super) fn weight(&self, payload: usize) -> u64 {
        (payload + self.topic.len() + 64) as u64
    }

    pub(super) fn range(&self) -> LogRange {
        LogRange { first: if self.is_empty() { 0 } else { self.first }, last: self.last }
    }
}

/// All logs.
#[derive(Debug, Default)]
pub(super) struct Heads {
    by_id: BTreeMap<i64, Head>,
    by_topic: BTreeMap<Arc<str>, Vec<i64>>,
    /// Grows whenever a log begins or is forgotten.
    pub(super) version: u64,
    /// The greatest id ever given.
    pub(super) last_id: i64,
    /// What is known to be gone by damage.
    pub(super) gaps: Gaps,
}

impl Heads {
    /// Puts a log in, or its new state.
    pub(super) fn put(&mut self, head: Head) {
        let id = head.id;
        self.last_id = self.last_id.max(id);
        let topic = head.topic.clone();
        if self.by_id.insert(id, head).is_none() {
            self.version += 1;
            let ids = self.by_topic.entry(topic).or_default();
            ids.push(id);
            ids.sort_unstable();
        }
    }

    /// Forgets a log.
    pub(super) fn forget(&mut self, id: i64) {
        let Some(head) = self.by_id.remove(&id) else { return };
        self.version += 1;
        self.gaps.forget(id);
        if let Some(ids) = self.by_topic.get_mut(&head.topic) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.by_topic.remove(&head.topic);
            }
        }
    }

    pub(super) fn of(&self, id: i64) -> Option<&Head> {
        self.by_id.get(&id)
    }

    pub(super) fn of_mut(&mut self, id: i64) -> Option<&mut Head> {
        self.by_id.get_mut(&id)
    }

    /// The ids of a topic's logs, oldest first.
    pub(super) fn ids(&self, topic: &str) -> &[i64] {
        self.by_topic.get(topic).map_or(&[], Vec::as_slice)
    }

    pub(super) fn newest(&self, topic: &str) -> Option<&Head> {
        self.of(*self.ids(topic).last()?)
    }

    pub(super) fn find(&self, topic: &str, epoch: Epoch) -> Option<&Head> {
        self.ids(topic).iter().filter_map(|id| self.of(*id)).find(|head| head.epoch == epoch)
    }

    /// All logs, by their ids.
    pub(super) fn all(&self) -> impl Iterator<Item = &Head> {
        self.by_id.values()
    }

    /// Events held, but for gaps.
    pub(super) fn events(&self) -> u64 {
        self.all().filter(|head| !head.is_empty()).map(|head| head.last - head.first + 1).sum()
    }

    /// How many of those are gone by damage.
    pub(super) fn missing(&self) -> u64 {
        let of = |head: &Head| -> u64 {
            let held = self.gaps.of(head.id).filter(|(first, last)| *last >= head.first && *first <= head.last);
            held.map(|(first, last)| last.min(head.last) - first.max(head.first) + 1).sum()
        };
        self.all().filter(|head| !head.is_empty()).map(of).sum()
    }

    /// The ids of all logs under the patterns, in order.
    pub(super) fn under(&self, patterns: &[Pattern]) -> Vec<i64> {
        let mut found = Vec::new();
        for pattern in patterns {
            if pattern.is_exact() {
                found.extend_from_slice(self.ids(pattern.as_str()));
                continue;
            }
            let fixed = fixed_part(pattern.as_str());
            for (topic, ids) in self.by_topic.range::<str, _>((Bound::Included(fixed), Bound::Unbounded)) {
                if !topic.starts_with(fixed) {
                    break;
                }
                if pattern.matches(topic) {
                    found.extend_from_slice(ids);
                }
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    /// What the workers begin with.
    pub(super) fn image(&self) -> Vec<LogHead> {
        let head = |head: &Head| LogHead {
            topic: head.topic.clone(),
            epoch: head.epoch,
            is_newest: self.ids(&head.topic).last() == Some(&head.id),
            first: head.first,
            last: head.last,
            last_seq: head.last_seq,
            bytes: head.bytes(),
            first_time: head.first_time,
            is_mixed: head.is_mixed,
            is_cut: head.is_cut,
        };
        self.all().map(head).collect()
    }
}

/// What every topic under the pattern begins with.
fn fixed_part(pattern: &str) -> &str {
    match pattern.find(['*', '>']) {
        Some(wild) => &pattern[..wild],
        None => pattern,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_found_under_patterns_as_by_a_look_at_each() {
        let mut heads = Heads::default();
        for (id, topic) in (1..).zip(["a.b", "a.c", "a.b.c", "system.log", "x.y", "ab.c", "a.b"]) {
            heads.put(Head::new(id, topic.into(), Epoch::new(id as u64), false));
        }
        for texts in [&["a.b"][..], &["a.*"], &["a.>", "*.c"], &[">"], &["system.>"], &["n.n"], &[], &["*.*", "x.y"]] {
            let patterns: Vec<Pattern> = texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
            let expected: Vec<i64> = heads
                .all()
                .filter(|head| patterns.iter().any(|p| p.matches(&head.topic)))
                .map(|head| head.id)
                .collect();
            assert_eq!(heads.under(&patterns), expected, "{texts:?}");
        }
    }

    #[test]
    fn a_forgotten_log_leaves_nothing() {
        let mut heads = Heads::default();
        heads.put(Head::new(1, "a.b".into(), Epoch::new(1), false));
        heads.put(Head::new(2, "a.b".into(), Epoch::new(2), false));
        assert_eq!(heads.newest("a.b").map(|head| head.id), Some(2));
        heads.forget(2);
        assert_eq!(heads.newest("a.b").map(|head| head.id), Some(1));
        heads.forget(1);
        assert!(heads.newest("a.b").is_none() && heads.image().is_empty());
    }
}
