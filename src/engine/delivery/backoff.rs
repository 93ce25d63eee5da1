//! How long to wait before the next try.

use std::time::Duration;

/// Exponential waits with jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait, before jitter.
    pub base: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
}

impl Backoff {
    /// The wait after so many failures, from 1: between half of the exponential wait and all of
    /// it. Equal arguments give equal waits; `salt` tells flights of one turn apart.
    pub fn wait(&self, failures: u32, random: u64, salt: u64) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.base.saturating_mul(1 << doublings).min(self.max);
        let half = u64::try_from(full.as_nanos() / 2).unwrap_or(u64::MAX / 2);
        Duration::from_nanos(half) + Duration::from_nanos(mix(random, salt) % half.saturating_add(1))
    }
}

/// The last step of splitmix64.
fn mix(random: u64, salt: u64) -> u64 {
    let mut bits = random.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_lose_half_at_most() {
        let backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_millis(1000) };
        for (failures, full_ms) in [(0, 100), (1, 100), (2, 200), (3, 400), (4, 800), (5, 1000), (u32::MAX, 1000)] {
            for random in [0, 1, 77, u64::MAX] {
                let wait = backoff.wait(failures, random, 9);
                let full = Duration::from_millis(full_ms);
                assert!(full / 2 <= wait && wait <= full, "{failures} {random}: {wait:?}");
            }
        }
    }

    #[test]
    fn flights_of_one_turn_are_spread() {
        let backoff = Backoff { base: Duration::from_secs(1), max: Duration::from_secs(1) };
        let waits: std::collections::BTreeSet<_> = (0..100).map(|salt| backoff.wait(1, 5, salt)).collect();
        assert!(waits.len() > 90);
    }

    #[test]
    fn the_longest_times_do_not_overflow() {
        let backoff = Backoff { base: Duration::MAX, max: Duration::MAX };
        assert!(backoff.wait(40, u64::MAX, u64::MAX) > Duration::from_secs(1 << 32));
    }
}
