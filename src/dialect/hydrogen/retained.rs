//! Retained events outlive the process: what changed is written down a little later, the newest of
//! each topic once, however often it changed.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::asked::Asked;
use super::{Hydrogen, Peer};
use crate::base::{Metric, Now, Wall};
use crate::engine::store::{Level, Op, Table, Write};
use crate::engine::topic::Retained;
use crate::engine::work::Outbox;

/// Topics whose retained event is written down in one go; the rest comes with the next.
const AT_ONCE: usize = 1024;

/// When it expires (8 bytes, 0 for never) and the payload's length (4 bytes); payload and frame follow.
const HEAD: usize = 12;

fn encode(retained: &Retained, now: Now) -> Bytes {
    let expires = retained.expires.map_or(0, |at| {
        let left = i64::try_from(at.since(now.mono).as_millis()).unwrap_or(i64::MAX);
        now.wall.0.saturating_add(left).max(1)
    });
    let mut out = Vec::with_capacity(HEAD + retained.payload.len() + retained.event.len());
    out.extend_from_slice(&expires.to_be_bytes());
    out.extend_from_slice(&(retained.payload.len() as u32).to_be_bytes());
    out.extend_from_slice(&retained.payload);
    out.extend_from_slice(&retained.event);
    out.into()
}

/// When it expires, payload and frame.
fn decode(bytes: &Bytes) -> Option<(Option<Wall>, Bytes, Bytes)> {
    let expires = i64::from_be_bytes(bytes.get(..8)?.try_into().ok()?);
    let len = u32::from_be_bytes(bytes.get(8..HEAD)?.try_into().ok()?) as usize;
    if bytes.len() < HEAD.checked_add(len)? {
        return None;
    }
    let expires = (expires != 0).then_some(Wall(expires));
    Some((expires, bytes.slice(HEAD..HEAD + len), bytes.slice(HEAD + len..)))
}

impl Hydrogen {
    /// What a topic retains changed.
    pub(super) fn mark_retained(&mut self, topic: &str, now: Now) {
        self.dirty_retained.insert(topic.into());
        self.arm_save(now);
    }

    /// Writes down what changed since the last time.
    pub(super) fn save_retained(&mut self, now: Now, out: &mut Outbox<Peer>) {
        for _ in 0..AT_ONCE {
            let Some(topic) = self.dirty_retained.pop_first() else { return };
            let (table, key, level) = (Table::Retained, (&*topic).into(), Level::Memory);
            let write = match self.topics.retained(&topic, now.mono) {
                Some(retained) => Write::Put { table, key, value: encode(retained, now), level },
                None => Write::Delete { table, key, level },
            };
            self.store.ask(Asked::Retained(topic), Op::Write(write), out);
        }
        self.arm_save(now);
    }

    /// A retained event was written down, or was not: then it is tried again with the next.
    pub(super) fn on_retained_saved(&mut self, topic: Arc<str>, is_saved: bool) {
        if !is_saved {
            self.dirty_retained.insert(topic);
        }
    }

    /// A retained event comes back after a restart, if its topic is this worker's.
    pub(super) fn restore_retained(&mut self, topic: &str, value: &Bytes, now: Now) {
        if self.owner(topic) != self.worker {
            return;
        }
        let Some((expires, payload, event)) = decode(value) else {
            log::error!("the store's retained event of {topic:?} cannot be read: it is left out");
            return;
        };
        let left = expires.map(|at| Duration::from_millis(at.0.saturating_sub(now.wall.0).max(0).unsigned_abs()));
        if left.is_some_and(|left| left.is_zero()) {
            // It goes from the store with the first that is written.
            self.dirty_retained.insert(topic.into());
            return;
        }
        let random = self.random_number();
        let before = self.topics.counts().topics;
        let is_kept = self.topics.open(topic, now.mono, random).is_ok()
            && self.topics.retain(topic, event, payload, left, now.mono).is_ok();
        if !is_kept {
            log::warn!("there is no room for the retained event of {topic:?}");
        }
        self.counters.add(Metric::TOPICS_MADE, (self.topics.counts().topics - before) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Mono;

    #[test]
    fn a_retained_event_comes_back_as_it_was_written() {
        let now = Now { mono: Mono(5_000_000_000), wall: Wall(1_000_000) };
        for expires in [None, Some(Mono(65_000_000_000))] {
            let retained = Retained { event: "frame".into(), payload: "{}".into(), expires };
            let (until, payload, event) = decode(&encode(&retained, now)).unwrap();
            assert_eq!(until, expires.map(|_| Wall(1_060_000)));
            assert_eq!((payload, event), (retained.payload, retained.event));
        }
        for len in 0..HEAD {
            assert!(decode(&Bytes::from(vec![0; len])).is_none());
        }
        assert!(decode(&Bytes::from(vec![255; HEAD + 3])).is_none());
    }
}
