//! Which worker owns a topic, and the hashing of names in one shard's tables.

use std::hash::{BuildHasher, DefaultHasher, Hasher};

use crate::base::WorkerId;

/// The worker that owns a topic: the same in every run and on every machine. `workers` is at
/// least 1.
pub fn owner(topic: &str, workers: usize) -> WorkerId {
    // FNV-1a, and a last mix because its low bits are poor for names that differ at the end.
    let mut hash = topic
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    WorkerId((hash % workers.max(1) as u64) as u16)
}

/// Hashes names under a secret seed, so that nobody can choose names that collide.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seeded(pub u64);

impl BuildHasher for Seeded {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_never_change_between_versions() {
        for (topic, workers, expected) in
            [("a.b", 1, 0), ("sensors.kitchen.temp", 4, 2), ("sensors.kitchen.humidity", 4, 2), ("news.today", 7, 5)]
        {
            assert_eq!(owner(topic, workers), WorkerId(expected), "{topic}");
        }
    }

    #[test]
    fn similar_names_spread_over_the_workers() {
        let mut counts = [0; 8];
        for n in 0..8000 {
            counts[usize::from(owner(&format!("sensors.room-{n}"), 8).0)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_seed_changes_the_hash() {
        assert_ne!(Seeded(1).hash_one("a.b"), Seeded(2).hash_one("a.b"));
        assert_eq!(Seeded(1).hash_one("a.b"), Seeded(1).hash_one("a.b"));
    }
}
