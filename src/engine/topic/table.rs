//! The topics that have state: where each one's offsets stand, and when it was last used.
//!
//! A topic gets state with its first publish and loses it when it was idle for long enough. Then
//! it starts again in another epoch, so that no event's id comes twice.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use slab::Slab;

use super::audiences::AudienceId;
use super::hash::Seeded;
use crate::base::Mono;

/// One life of a topic's state, as 16 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// From a random number.
    pub fn new(random: u64) -> Epoch {
        Epoch(random)
    }

    /// The random number that it is made of, for a store.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<Epoch> {
        let is_hex = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if is_hex { u64::from_str_radix(text, 16).ok().map(Epoch) } else { None }
    }

    /// The digits, for an encoder.
    pub fn digits(self) -> [u8; 16] {
        let mut digits = [0; 16];
        for (index, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(self.0 >> (60 - 4 * index)) as usize & 15];
        }
        digits
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// An event's place in its topic. `Display` writes the event's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The topic's epoch.
    pub epoch: Epoch,
    /// Counts from 1 within the epoch.
    pub offset: u64,
    /// The offset of the event before; 0 if there is none.
    pub prev: u64,
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// A topic that has state.
#[derive(Debug)]
pub struct Topic {
    epoch: Epoch,
    offset: u64,
    used: Mono,
    pub(super) route: Route,
}

impl Topic {
    fn new(epoch: Epoch, offset: u64, now: Mono) -> Topic {
        Topic { epoch, offset, used: now, route: Route::default() }
    }

    /// Its epoch.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The newest event's offset; 0 before the first.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// When it was last opened.
    pub fn used(&self) -> Mono {
        self.used
    }

    /// Hands out the next offset.
    pub fn advance(&mut self) -> Stamp {
        let prev = self.offset;
        self.offset += 1;
        Stamp { epoch: self.epoch, offset: self.offset, prev }
    }
}

/// Which audience a topic has, and since when that is known.
#[derive(Debug, Default)]
pub(super) struct Route {
    pub audience: Option<AudienceId>,
    /// The index's shape when the audience was looked up.
    pub shape: u64,
    /// The topic's own exact pattern came or went since.
    pub is_stale: bool,
}

/// Topics by name.
#[derive(Debug)]
pub(super) struct Table {
    slots: Slab<Topic>,
    by_name: HashMap<Arc<str>, u32, Seeded>,
    sorted: BTreeMap<Arc<str>, u32>,
    swept_to: Option<Arc<str>>,
    topics_max: usize,
}

impl Table {
    pub fn new(seed: u64, topics_max: usize) -> Table {
        Table {
            slots: Slab::new(),
            by_name: HashMap::with_hasher(Seeded(seed)),
            sorted: BTreeMap::new(),
            swept_to: None,
            topics_max,
        }
    }

    /// The topic, with new state if it has none; `None` if there are too many.
    pub fn open(&mut self, name: &str, now: Mono, epoch: Epoch) -> Option<&mut Topic> {
        let slot = match self.by_name.get(name) {
            Some(&slot) => slot,
            None => self.insert(name, Topic::new(epoch, 0, now))?,
        };
        let topic = &mut self.slots[slot as usize];
        topic.used = now;
        Some(topic)
    }

    /// Sets where a topic's offsets stand; `None` if there are too many topics.
    pub fn restore(&mut self, name: &str, epoch: Epoch, offset: u64, now: Mono) -> Option<()> {
        match self.topic_mut(name) {
            Some(topic) => (topic.epoch, topic.offset, topic.used) = (epoch, offset, now),
            None => drop(self.insert(name, Topic::new(epoch, offset, now))?),
        }
        Some(())
    }

    /// Its name, to be shared.
    pub fn name(&self, name: &str) -> Option<&Arc<str>> {
        self.by_name.get_key_value(name).map(|(name, _)| name)
    }

    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.by_name.get(name).map(|slot| &self.slots[*slot as usize])
    }

    pub fn topic_mut(&mut self, name: &str) -> Option<&mut Topic> {
        self.by_name.get(name).map(|slot| &mut self.slots[*slot as usize])
    }

    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Topics in the order of their names, from the one after `after`.
    pub fn after<'a>(&'a self, after: Option<&'a str>) -> impl Iterator<Item = (&'a Arc<str>, &'a Topic)> {
        let from = after.map_or(Unbounded, Excluded);
        self.sorted.range::<str, _>((from, Unbounded)).map(|(name, slot)| (name, &self.slots[*slot as usize]))
    }

    /// Looks at the next `budget` topics and takes out those that `is_over` says.
    pub fn sweep(&mut self, budget: usize, mut is_over: impl FnMut(&str, &Topic) -> bool) -> Vec<Topic> {
        let mut over = Vec::new();
        let mut last = None;
        let mut seen = 0;
        for (name, topic) in self.after(self.swept_to.as_deref()).take(budget) {
            seen += 1;
            last = Some(name.clone());
            if is_over(name, topic) {
                over.push(name.clone());
            }
        }
        self.swept_to = if seen < budget { None } else { last };
        over.iter().filter_map(|name| self.remove(name)).collect()
    }

    fn insert(&mut self, name: &str, topic: Topic) -> Option<u32> {
        if self.slots.len() >= self.topics_max {
            return None;
        }
        let name: Arc<str> = name.into();
        let slot = self.slots.insert(topic) as u32;
        self.by_name.insert(name.clone(), slot);
        self.sorted.insert(name, slot);
        Some(slot)
    }

    fn remove(&mut self, name: &str) -> Option<Topic> {
        let slot = self.by_name.remove(name)?;
        self.sorted.remove(name);
        Some(self.slots.remove(slot as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_has_sixteen_digits_whatever_the_number() {
        for (random, text) in [(0, "0000000000000000"), (0xabc, "0000000000000abc"), (u64::MAX, "ffffffffffffffff")] {
            let epoch = Epoch::new(random);
            assert_eq!(epoch.to_string(), text);
            assert_eq!(epoch.digits(), text.as_bytes());
            assert_eq!(Epoch::parse(text), Some(epoch));
        }
        for text in ["", "abc", "00000000000000AB", "+000000000000000", "00000000000000000"] {
            assert_eq!(Epoch::parse(text), None, "{text}");
        }
    }

    #[test]
    fn offsets_count_from_one_and_name_the_one_before() {
        let mut table = Table::new(0, 1);
        let topic = table.open("a.b", Mono(5), Epoch::new(7)).unwrap();
        assert_eq!(topic.advance().to_string(), "0000000000000007-1");
        let stamp = table.open("a.b", Mono(6), Epoch::new(8)).unwrap().advance();
        assert_eq!(stamp, Stamp { epoch: Epoch::new(7), offset: 2, prev: 1 });
        assert!(table.open("a.c", Mono(6), Epoch::new(9)).is_none());
        assert_eq!(table.topic("a.b").map(|topic| (topic.offset(), topic.used())), Some((2, Mono(6))));
    }

    #[test]
    fn a_sweep_looks_at_no_more_than_its_budget_and_comes_round() {
        let mut table = Table::new(0, 10);
        for name in ["a.1", "a.2", "a.3", "a.4", "a.5"] {
            table.open(name, Mono(0), Epoch::new(1));
        }
        let mut rounds = Vec::new();
        for _ in 0..4 {
            let mut looked = Vec::new();
            table.sweep(2, |name, _| {
                looked.push(name.to_owned());
                name == "a.2"
            });
            rounds.push(looked.join(" "));
        }
        assert_eq!(rounds, ["a.1 a.2", "a.3 a.4", "a.5", "a.1 a.3"]);
        assert_eq!(table.len(), 4);
        assert!(table.topic("a.2").is_none());
    }
}
