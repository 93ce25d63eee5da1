//! The ids of signed messages, remembered for as long as their timestamps would be accepted.
//!
//! One id is good once per identity, whichever connection it comes on, so all messages of one
//! identity have to ask the same window. What does not fit is refused: nothing is forgotten
//! early, or a flood of messages would open the way for a replay.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use ring::digest;
use rustc_hash::{FxHashMap, FxHashSet};

use super::signature::is_within_skew;
use crate::base::limits::{SIGNED_IDS, SIGNED_IDS_PER_IDENTITY};
use crate::base::{Code, Error, Wall};

/// Ids forgotten in one call. More than the one that a call adds, so a backlog shrinks.
const FORGET_BATCH: usize = 256;

/// A part of SHA-256 over identity and id: 16 bytes whatever the peer chose. Two ids of one
/// identity that collide harm that identity alone.
type Digest = [u8; 16];

/// The ids of signed messages within the skew.
#[derive(Debug)]
pub struct ReplayWindow {
    skew: Duration,
    per_identity: usize,
    total: usize,
    seen: FxHashSet<Digest>,
    by_age: BinaryHeap<Reverse<(Wall, Digest, Arc<str>)>>,
    counts: FxHashMap<Arc<str>, usize>,
    /// Messages up to this timestamp may have been seen and forgotten.
    forgotten_through: Wall,
}

impl ReplayWindow {
    /// An empty window. What was signed at `started` or before may have been seen by an earlier
    /// run of the server, so it is refused.
    pub fn new(skew: Duration, started: Wall) -> ReplayWindow {
        ReplayWindow::with_bounds(skew, started, SIGNED_IDS_PER_IDENTITY, SIGNED_IDS)
    }

    /// The same, with other bounds on the ids of one identity and of all.
    pub fn with_bounds(skew: Duration, started: Wall, per_identity: usize, total: usize) -> ReplayWindow {
        ReplayWindow {
            skew,
            per_identity,
            total,
            seen: FxHashSet::default(),
            by_age: BinaryHeap::new(),
            counts: FxHashMap::default(),
            forgotten_through: started,
        }
    }

    /// Takes another skew. A wider one never readmits what was forgotten under the narrower.
    pub fn set_skew(&mut self, skew: Duration) {
        self.skew = skew;
    }

    /// Lets a message pass whose signature was verified, once.
    pub fn admit(&mut self, identity: &str, id: &str, timestamp: Wall, now: Wall) -> Result<(), Error> {
        self.forget(now);
        if !is_within_skew(timestamp, now, self.skew) || timestamp <= self.forgotten_through {
            return Err(Error::new(Code::Replayed, "the signed message is too old"));
        }
        let digest = digest_of(identity, id);
        if self.seen.contains(&digest) {
            return Err(Error::new(Code::Replayed, "the id was used before"));
        }
        let known = self.counts.get_key_value(identity);
        let count = known.map_or(0, |(_, count)| *count);
        if count >= self.per_identity || self.seen.len() >= self.total {
            let error = Error::new(Code::RateLimited, "too many signed messages within the accepted skew");
            return Err(error.retry_after_ms(self.room_in_ms(now)));
        }
        let name = known.map_or_else(|| Arc::from(identity), |(name, _)| name.clone());
        self.counts.insert(name.clone(), count + 1);
        self.seen.insert(digest);
        self.by_age.push(Reverse((timestamp, digest, name)));
        Ok(())
    }

    /// Number of ids that are remembered.
    pub fn len(&self) -> usize {
        self.seen.len()
    }

    /// Whether no id is remembered.
    pub fn is_empty(&self) -> bool {
        self.seen.is_empty()
    }

    fn forget(&mut self, now: Wall) {
        for _ in 0..FORGET_BATCH {
            match self.by_age.peek() {
                Some(Reverse((timestamp, ..))) if *timestamp < now && !is_within_skew(*timestamp, now, self.skew) => {}
                Some(_) | None => return,
            }
            let Some(Reverse((timestamp, digest, name))) = self.by_age.pop() else { return };
            // A clock that is set back must not make forgotten messages acceptable again.
            self.forgotten_through = self.forgotten_through.max(timestamp);
            self.seen.remove(&digest);
            if let Some(count) = self.counts.get_mut(&name) {
                *count -= 1;
                if *count == 0 {
                    self.counts.remove(&name);
                }
            }
        }
    }

    /// When the oldest id will be forgotten.
    fn room_in_ms(&self, now: Wall) -> u64 {
        let skew = i64::try_from(self.skew.as_millis()).unwrap_or(i64::MAX);
        let oldest = self.by_age.peek().map_or(now, |Reverse((timestamp, ..))| *timestamp);
        let until = oldest.0.saturating_add(skew).saturating_add(1);
        u64::try_from(until.saturating_sub(now.0)).unwrap_or(0).max(1)
    }
}

fn digest_of(identity: &str, id: &str) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    // The length first: no two pairs give the same bytes.
    context.update(&(identity.len() as u64).to_le_bytes());
    context.update(identity.as_bytes());
    context.update(id.as_bytes());
    let mut out = Digest::default();
    out.copy_from_slice(&context.finish().as_ref()[..16]);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SKEW: Duration = Duration::from_millis(100);

    fn window() -> ReplayWindow {
        ReplayWindow::new(SKEW, Wall(0))
    }

    fn code(result: Result<(), Error>) -> Option<Code> {
        result.err().map(|error| error.code)
    }

    #[test]
    fn an_id_passes_once_per_identity() {
        let mut window = window();
        assert_eq!(code(window.admit("a", "1", Wall(1000), Wall(1000))), None);
        assert_eq!(code(window.admit("a", "1", Wall(1000), Wall(1000))), Some(Code::Replayed));
        assert_eq!(code(window.admit("a", "1", Wall(1050), Wall(1001))), Some(Code::Replayed));
        assert_eq!(code(window.admit("b", "1", Wall(1000), Wall(1000))), None);
        assert_eq!(code(window.admit("a", "2", Wall(1000), Wall(1000))), None);
        // Where the name ends and the id begins makes a difference.
        assert_eq!(code(window.admit("a2", "", Wall(1000), Wall(1000))), None);
    }

    #[test]
    fn an_id_is_remembered_until_its_timestamp_is_refused() {
        let mut window = window();
        window.admit("a", "early", Wall(1100), Wall(1000)).unwrap();
        assert_eq!(code(window.admit("a", "early", Wall(1100), Wall(1200))), Some(Code::Replayed));
        assert_eq!(window.len(), 1);
        assert_eq!(code(window.admit("a", "early", Wall(1100), Wall(1201))), Some(Code::Replayed));
        assert!(window.is_empty() && window.counts.is_empty());
        assert_eq!(code(window.admit("a", "early", Wall(1201), Wall(1201))), None);
    }

    #[test]
    fn a_clock_set_back_and_a_wider_skew_readmit_nothing() {
        let mut window = window();
        window.admit("a", "1", Wall(1000), Wall(1000)).unwrap();
        window.admit("a", "2", Wall(5000), Wall(5000)).unwrap();
        assert_eq!(window.len(), 1);
        assert_eq!(code(window.admit("a", "1", Wall(1000), Wall(1000))), Some(Code::Replayed));
        window.set_skew(Duration::from_millis(10_000));
        assert_eq!(code(window.admit("a", "1", Wall(1000), Wall(5000))), Some(Code::Replayed));
        assert_eq!(code(window.admit("a", "3", Wall(4000), Wall(5000))), None);
    }

    #[test]
    fn what_was_signed_before_the_start_is_refused() {
        let mut window = ReplayWindow::new(SKEW, Wall(1000));
        assert_eq!(code(window.admit("a", "1", Wall(1000), Wall(1010))), Some(Code::Replayed));
        assert_eq!(code(window.admit("a", "1", Wall(1001), Wall(1010))), None);
    }

    #[test]
    fn a_full_window_refuses_new_ids_and_still_knows_the_old() {
        let mut window = ReplayWindow::with_bounds(SKEW, Wall(0), 2, 3);
        window.admit("a", "1", Wall(1000), Wall(1000)).unwrap();
        window.admit("a", "2", Wall(1010), Wall(1010)).unwrap();
        let error = window.admit("a", "3", Wall(1020), Wall(1020)).unwrap_err();
        assert_eq!((error.code, error.retry_after_ms), (Code::RateLimited, Some(81)));
        window.admit("b", "1", Wall(1020), Wall(1020)).unwrap();
        assert_eq!(code(window.admit("c", "1", Wall(1020), Wall(1020))), Some(Code::RateLimited));
        assert_eq!(code(window.admit("a", "1", Wall(1000), Wall(1020))), Some(Code::Replayed));
        assert_eq!(code(window.admit("a", "3", Wall(1101), Wall(1101))), None);
    }

    #[test]
    fn times_at_the_ends_of_the_world_are_refused_quietly() {
        let mut window = ReplayWindow::new(Duration::MAX, Wall(i64::MIN));
        assert_eq!(code(window.admit("a", "1", Wall(i64::MAX), Wall(i64::MIN))), None);
        let mut window = ReplayWindow::with_bounds(Duration::MAX, Wall(i64::MIN), 0, 0);
        assert_eq!(code(window.admit("a", "1", Wall(i64::MAX), Wall(i64::MAX))), Some(Code::RateLimited));
    }

    proptest! {
        /// The model keeps every id for ever and walks all of them.
        #[test]
        fn decisions_are_those_of_a_list_that_forgets_nothing(
            steps in prop::collection::vec((0i64..40, -130i64..130, 0u8..3, 0u8..6), 1..120),
            per_identity in 1usize..6,
            total in 1usize..9,
        ) {
            let mut window = ReplayWindow::with_bounds(SKEW, Wall(0), per_identity, total);
            let mut model: BTreeMap<(String, String), i64> = BTreeMap::new();
            let mut now = 10_000;
            for (wait, offset, who, id) in steps {
                now += wait;
                let (who, id, timestamp) = (who.to_string(), id.to_string(), now + offset);
                let held = |at: &i64| now - at <= 100;
                let is_used = model.get(&(who.clone(), id.clone())).is_some_and(held);
                let expected = if offset.abs() > 100 || is_used {
                    Some(Code::Replayed)
                } else if model.values().filter(|at| held(at)).count() >= total
                    || model.iter().filter(|((name, _), at)| *name == who && held(at)).count() >= per_identity
                {
                    Some(Code::RateLimited)
                } else {
                    model.insert((who.clone(), id.clone()), timestamp);
                    None
                };
                prop_assert_eq!(code(window.admit(&who, &id, Wall(timestamp), Wall(now))), expected);
                prop_assert_eq!(window.len(), model.values().filter(|at| held(at)).count());
            }
        }
    }
}
