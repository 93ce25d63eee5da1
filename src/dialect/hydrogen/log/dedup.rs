//! Which publishes were answered before: by identity, topic and the command's id, for a while.
//!
//! The store keeps the ids with their events, so that a restart forgets none. Here they are bounded
//! by time and by number; the oldest go first.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use ring::digest::{Context, SHA256};
use rustc_hash::FxBuildHasher;

use super::super::reply_to::Reply;
use crate::base::Wall;
use crate::engine::store::DedupKey;
use crate::engine::topic::Epoch;

/// What came of the first publish with an id.
#[derive(Debug)]
pub(in super::super) enum Before {
    /// It is on its way to the disk; those who repeated it meanwhile.
    UnderWay(Vec<Reply>),
    /// It was answered: its place, and how many got it.
    Answered(Epoch, u64, usize),
}

/// Commands that may wait for one publish that is on its way.
const REPEATS_MAX: usize = 64;

/// The ids of one shard's publishes.
#[derive(Debug)]
pub(in super::super) struct Dedup {
    by_key: HashMap<DedupKey, Before, FxBuildHasher>,
    answered: VecDeque<(Wall, DedupKey)>,
    window: Duration,
    keys_max: usize,
}

/// What a publish's id says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// It is new.
    New,
    /// The same is on its way; the reply was kept for its answer.
    Waits,
    /// It was answered before.
    Answered(Epoch, u64, usize),
    /// Too many repeats of one publish wait already.
    Refused,
}

impl Dedup {
    pub(in super::super) fn new(window: Duration, keys_max: usize) -> Dedup {
        Dedup { by_key: HashMap::default(), answered: VecDeque::new(), window, keys_max }
    }

    /// The key of a publish: nobody can make another's.
    pub(in super::super) fn key(identity: &str, topic: &str, id: &str) -> DedupKey {
        let mut digest = Context::new(&SHA256);
        for part in [identity, topic, id] {
            digest.update(&(part.len() as u64).to_le_bytes());
            digest.update(part.as_bytes());
        }
        let mut half = [0; 16];
        half.copy_from_slice(&digest.finish().as_ref()[..16]);
        DedupKey(u128::from_le_bytes(half))
    }

    /// An id comes back after a restart.
    pub(in super::super) fn restore(&mut self, key: DedupKey, epoch: Epoch, offset: u64, at: Wall) {
        // How many got it is not kept.
        self.answered(key, (epoch, offset, 0), at);
    }

    pub(in super::super) fn is_on(&self) -> bool {
        !self.window.is_zero() && self.keys_max > 0
    }

    /// Looks an id up; the first publish with it is entered as under way.
    pub(super) fn begin(&mut self, key: DedupKey, reply: Reply, now: Wall) -> Seen {
        self.forget_old(now);
        match self.by_key.get_mut(&key) {
            None => {
                self.by_key.insert(key, Before::UnderWay(Vec::new()));
                Seen::New
            }
            Some(Before::Answered(epoch, offset, receivers)) => Seen::Answered(*epoch, *offset, *receivers),
            Some(Before::UnderWay(waiting)) if waiting.len() < REPEATS_MAX => {
                waiting.push(reply);
                Seen::Waits
            }
            Some(Before::UnderWay(_)) => Seen::Refused,
        }
    }

    /// The publish is on the disk. Returns who waits for the same.
    pub(super) fn answered(
        &mut self,
        key: DedupKey,
        (epoch, offset, receivers): (Epoch, u64, usize),
        now: Wall,
    ) -> Vec<Reply> {
        let before = self.by_key.insert(key, Before::Answered(epoch, offset, receivers));
        if !matches!(before, Some(Before::Answered(..))) {
            self.answered.push_back((now, key));
        }
        self.forget_old(now);
        match before {
            Some(Before::UnderWay(waiting)) => waiting,
            Some(Before::Answered(..)) | None => Vec::new(),
        }
    }

    /// The publish failed: its id may be used again. Returns who waits for the same.
    pub(super) fn failed(&mut self, key: DedupKey) -> Vec<Reply> {
        match self.by_key.remove(&key) {
            Some(Before::UnderWay(waiting)) => waiting,
            Some(answered @ Before::Answered(..)) => {
                self.by_key.insert(key, answered);
                Vec::new()
            }
            None => Vec::new(),
        }
    }

    /// Time may jump back: then ids are kept for longer, up to their number.
    fn forget_old(&mut self, now: Wall) {
        let window = i64::try_from(self.window.as_millis()).unwrap_or(i64::MAX);
        while let Some((at, key)) = self.answered.front() {
            let is_old = now.0.saturating_sub(at.0) > window;
            if !is_old && self.answered.len() <= self.keys_max {
                break;
            }
            self.by_key.remove(key);
            self.answered.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dedup() -> Dedup {
        Dedup::new(Duration::from_secs(10), 2)
    }

    #[test]
    fn a_repeat_waits_for_the_first_and_then_gets_its_answer() {
        let (mut dedup, key) = (dedup(), Dedup::key("me", "a.b", "1"));
        assert_eq!(dedup.begin(key, Reply::Own(1), Wall(0)), Seen::New);
        assert_eq!(dedup.begin(key, Reply::Own(2), Wall(0)), Seen::Waits);
        let epoch = Epoch::new(7);
        assert_eq!(dedup.answered(key, (epoch, 3, 7), Wall(1)), [Reply::Own(2)]);
        assert_eq!(dedup.begin(key, Reply::Own(3), Wall(10_001)), Seen::Answered(epoch, 3, 7));
        assert_eq!(dedup.begin(key, Reply::Own(4), Wall(10_002)), Seen::New);
    }

    #[test]
    fn a_failed_publish_leaves_its_id_free() {
        let (mut dedup, key) = (dedup(), Dedup::key("me", "a.b", "1"));
        dedup.begin(key, Reply::Own(1), Wall(0));
        dedup.begin(key, Reply::Own(2), Wall(0));
        assert_eq!(dedup.failed(key), [Reply::Own(2)]);
        assert_eq!(dedup.begin(key, Reply::Own(3), Wall(0)), Seen::New);
    }

    #[test]
    fn the_oldest_ids_go_when_there_are_too_many() {
        let mut dedup = dedup();
        for id in ["1", "2", "3"] {
            let key = Dedup::key("me", "a.b", id);
            dedup.begin(key, Reply::Own(1), Wall(0));
            dedup.answered(key, (Epoch::new(1), 1, 0), Wall(0));
        }
        assert_eq!(dedup.begin(Dedup::key("me", "a.b", "1"), Reply::Own(1), Wall(0)), Seen::New);
        assert_ne!(dedup.begin(Dedup::key("me", "a.b", "3"), Reply::Own(1), Wall(0)), Seen::New);
    }

    #[test]
    fn parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(Dedup::key("ab", "c.d", "1"), Dedup::key("a", "bc.d", "1"));
        assert_ne!(Dedup::key("a", "c.d", "11"), Dedup::key("a", "c.d1", "1"));
    }
}
