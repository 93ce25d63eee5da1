//! The retained values of one shard: the newest event of a topic, kept for those who subscribe
//! later. Bounded by number and by bytes.
//!
//! An expired value is never given out. It is taken out when room is needed, and by sweeps.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound::{Included, Unbounded};
use std::sync::Arc;

use bytes::Bytes;

use super::pattern::Pattern;
use crate::base::Mono;

/// Expired values taken out for one that needs room.
const EXPIRED_PER_INSERT: usize = 64;

/// What a topic keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retained {
    /// The event, encoded.
    pub event: Bytes,
    /// Its `data`, for filters. It may be a part of `event`; its bytes are counted all the same.
    pub payload: Bytes,
    /// When it is no longer given out.
    pub expires: Option<Mono>,
}

impl Retained {
    fn is_live(&self, now: Mono) -> bool {
        self.expires.is_none_or(|expires| now < expires)
    }
}

/// Which bound stands against one more value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoRoom {
    Values,
    Bytes,
}

#[derive(Debug)]
pub(super) struct RetainedValues {
    values: BTreeMap<Arc<str>, Retained>,
    deadlines: BTreeSet<(Mono, Arc<str>)>,
    bytes: usize,
    values_max: usize,
    bytes_max: usize,
    /// Topics whose value expired and was taken out, until somebody asks.
    expired: Vec<Arc<str>>,
}

impl RetainedValues {
    pub fn new(values_max: usize, bytes_max: usize) -> RetainedValues {
        RetainedValues {
            values: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            bytes: 0,
            values_max,
            bytes_max,
            expired: Vec::new(),
        }
    }

    /// Makes room for a value of `topic` with `bytes` in all, in place of the one that it has.
    pub fn make_room(&mut self, topic: &str, bytes: usize, now: Mono) -> Result<(), NoRoom> {
        let room = self.room(topic, bytes);
        if room.is_err() && self.drop_expired(now, EXPIRED_PER_INSERT) > 0 {
            return self.room(topic, bytes);
        }
        room
    }

    /// Keeps a value in place of the one that the topic has.
    pub fn insert(&mut self, topic: &str, value: Retained, now: Mono) -> Result<(), NoRoom> {
        let bytes = value.event.len() + value.payload.len();
        self.make_room(topic, bytes, now)?;
        self.remove(topic);
        let name: Arc<str> = topic.into();
        if let Some(expires) = value.expires {
            self.deadlines.insert((expires, name.clone()));
        }
        self.bytes += weight(&name, bytes);
        self.values.insert(name, value);
        Ok(())
    }

    /// Lets a value go. Returns whether there was one.
    pub fn remove(&mut self, topic: &str) -> bool {
        let Some((name, value)) = self.values.remove_entry(topic) else { return false };
        self.bytes -= weight(&name, value.event.len() + value.payload.len());
        if let Some(expires) = value.expires {
            self.deadlines.remove(&(expires, name));
        }
        true
    }

    pub fn value(&self, topic: &str, now: Mono) -> Option<&Retained> {
        self.values.get(topic).filter(|value| value.is_live(now))
    }

    /// Whether a value is held, expired or not.
    pub fn is_held(&self, topic: &str) -> bool {
        self.values.contains_key(topic)
    }

    /// The live values under a pattern, by topic.
    pub fn matching<'a>(
        &'a self,
        pattern: &'a Pattern,
        now: Mono,
    ) -> impl Iterator<Item = (&'a Arc<str>, &'a Retained)> {
        // Everything under the pattern begins with what stands before its first wildcard.
        let text = pattern.as_str();
        let (stem, end) = match text.find(['*', '>']) {
            Some(wildcard) => (&text[..wildcard], Unbounded),
            None => (text, Included(text)),
        };
        self.values
            .range::<str, _>((Included(stem), end))
            .take_while(move |(name, _)| name.starts_with(stem))
            .filter(move |(name, value)| value.is_live(now) && pattern.matches(name))
    }

    /// Takes out up to `budget` expired values, and says how many it found.
    pub fn drop_expired(&mut self, now: Mono, budget: usize) -> usize {
        for dropped in 0..budget {
            let Some((expires, name)) = self.deadlines.first() else { return dropped };
            if *expires > now {
                return dropped;
            }
            let name = name.clone();
            self.remove(&name);
            // As many as there were values at most, if they are asked for now and then.
            if self.expired.len() < self.values_max {
                self.expired.push(name);
            }
        }
        budget
    }

    /// Topics whose value expired since the last call.
    pub fn take_expired(&mut self) -> Vec<Arc<str>> {
        std::mem::take(&mut self.expired)
    }

    pub fn len(&self) -> usize {
        self.values.len()
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    fn room(&self, topic: &str, bytes: usize) -> Result<(), NoRoom> {
        let replaced = self.values.get(topic);
        if replaced.is_none() && self.values.len() >= self.values_max {
            return Err(NoRoom::Values);
        }
        let freed = replaced.map_or(0, |value| weight(topic, value.event.len() + value.payload.len()));
        let needed = (self.bytes - freed).saturating_add(weight(topic, bytes));
        if needed > self.bytes_max { Err(NoRoom::Bytes) } else { Ok(()) }
    }
}

fn weight(topic: &str, bytes: usize) -> usize {
    bytes.saturating_add(topic.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &'static str, expires: Option<u64>) -> Retained {
        Retained { event: Bytes::from_static(text.as_bytes()), payload: Bytes::new(), expires: expires.map(Mono) }
    }

    fn names(values: &RetainedValues, pattern: &str, now: u64) -> String {
        let pattern = Pattern::parse(pattern).unwrap();
        values.matching(&pattern, Mono(now)).map(|(name, _)| &**name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_are_found_by_pattern_until_they_expire() {
        let mut values = RetainedValues::new(10, 1000);
        for (topic, expires) in
            [("b.x", None), ("a.x", Some(10)), ("a.x.y", None), ("a.y", None), ("ab.x", None), ("system.x", None)]
        {
            values.insert(topic, value("v", expires), Mono(0)).unwrap();
        }
        assert_eq!(names(&values, "a.x", 0), "a.x");
        assert_eq!(names(&values, "a.*", 0), "a.x a.y");
        assert_eq!(names(&values, "a.>", 0), "a.x a.x.y a.y");
        assert_eq!(names(&values, "*.x", 0), "a.x ab.x b.x");
        assert_eq!(names(&values, ">", 9), "a.x a.x.y a.y ab.x b.x");
        assert_eq!(names(&values, ">", 10), "a.x.y a.y ab.x b.x");
        assert_eq!(names(&values, "system.*", 0), "system.x");
        assert_eq!(values.value("a.x", Mono(9)), Some(&value("v", Some(10))));
        assert_eq!(values.value("a.x", Mono(10)), None);
    }

    #[test]
    fn both_bounds_hold_and_replacing_needs_no_room() {
        let mut values = RetainedValues::new(2, 20);
        values.insert("a.1", value("12345", None), Mono(0)).unwrap();
        values.insert("a.2", value("12345", None), Mono(0)).unwrap();
        assert_eq!(values.insert("a.3", value("1", None), Mono(0)), Err(NoRoom::Values));
        assert_eq!((values.len(), values.bytes()), (2, 16));
        values.insert("a.2", value("123456789", None), Mono(0)).unwrap();
        assert_eq!(values.bytes(), 20);
        assert_eq!(values.insert("a.2", value("1234567890", None), Mono(0)), Err(NoRoom::Bytes));
        assert_eq!(values.value("a.2", Mono(0)), Some(&value("123456789", None)));
        assert!(values.remove("a.1"));
        assert!(!values.remove("a.1"));
        assert_eq!((values.len(), values.bytes()), (1, 12));
    }

    #[test]
    fn expired_values_make_room_and_go_a_few_at_a_time() {
        let mut values = RetainedValues::new(3, 100);
        for (topic, expires) in [("a.1", 10), ("a.2", 20), ("a.3", 20)] {
            values.insert(topic, value("v", Some(expires)), Mono(0)).unwrap();
        }
        assert_eq!(values.insert("a.4", value("v", None), Mono(9)), Err(NoRoom::Values));
        assert_eq!(values.insert("a.4", value("v", None), Mono(10)), Ok(()));
        assert_eq!(values.drop_expired(Mono(20), 1), 1);
        assert_eq!(values.drop_expired(Mono(20), 5), 1);
        assert_eq!((values.len(), values.bytes()), (1, 4));
        values.insert("a.4", value("v", Some(40)), Mono(20)).unwrap();
        values.insert("a.4", value("v", None), Mono(20)).unwrap();
        assert_eq!(values.drop_expired(Mono(99), 5), 0);
    }
}
