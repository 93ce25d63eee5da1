//! Failed credentials by address: a few are free, then each doubles the wait.
//!
//! Owns one reactor's table of addresses. It counts failures only; a success forgives nothing,
//! or one good key would buy any number of guesses. Time forgives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use super::Prefix;
use crate::base::Mono;
use crate::base::limits::THROTTLED_ADDRESSES;

/// How failures are weighed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// Failures without a wait.
    pub free_failures: u32,
    /// The wait after the first failure that is not free; each further one doubles it.
    pub first_wait: Duration,
    /// The longest wait.
    pub longest_wait: Duration,
    /// The time that forgives one failure.
    pub forgive_after: Duration,
}

impl Default for ThrottlePolicy {
    fn default() -> ThrottlePolicy {
        ThrottlePolicy {
            free_failures: 5,
            first_wait: Duration::from_secs(1),
            longest_wait: Duration::from_secs(300),
            forgive_after: Duration::from_secs(60),
        }
    }
}

impl ThrottlePolicy {
    /// So many failures in a minute are let through, spread over so many tables; `None` for any
    /// number.
    pub fn per_minute(failures: Option<u32>, tables: usize) -> ThrottlePolicy {
        let usual = ThrottlePolicy::default();
        match failures {
            None => ThrottlePolicy { free_failures: u32::MAX, ..usual },
            Some(failures) => {
                let share = failures.div_ceil(u32::try_from(tables.max(1)).unwrap_or(u32::MAX)).max(1);
                // The last of those that are let through begins the wait.
                ThrottlePolicy { free_failures: share - 1, forgive_after: Duration::from_secs(60) / share, ..usual }
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Record {
    failures: u32,
    last: Mono,
    throttled_until: Mono,
}

/// The addresses that showed wrong credentials lately.
#[derive(Debug)]
pub struct Throttle {
    policy: ThrottlePolicy,
    capacity: usize,
    records: BTreeMap<Prefix, Record>,
    by_age: BTreeSet<(Mono, Prefix)>,
}

impl Throttle {
    /// An empty table of at most [`THROTTLED_ADDRESSES`].
    pub fn new(policy: ThrottlePolicy) -> Throttle {
        Throttle::with_capacity(policy, THROTTLED_ADDRESSES)
    }

    /// The same, with another bound. The address that failed longest ago makes room.
    pub fn with_capacity(policy: ThrottlePolicy, capacity: usize) -> Throttle {
        Throttle { policy, capacity: capacity.max(1), records: BTreeMap::new(), by_age: BTreeSet::new() }
    }

    /// Takes another policy. Waits that were already given stay.
    pub fn set_policy(&mut self, policy: ThrottlePolicy) {
        self.policy = policy;
    }

    /// A credential from this address was wrong.
    pub fn on_failure(&mut self, addr: IpAddr, now: Mono) {
        self.drop_forgiven(now);
        let prefix = Prefix::of(addr);
        let before = self.records.remove(&prefix);
        if let Some(before) = before {
            self.by_age.remove(&(before.last, prefix));
        } else if self.records.len() >= self.capacity
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.records.remove(&oldest);
        }
        let remembered = before.map_or(0, |record| record.failures.saturating_sub(self.forgiven(record, now)));
        let failures = remembered.saturating_add(1);
        let throttled_until = self.wait(failures).map_or(now, |wait| now.after(wait));
        let throttled_until = before.map_or(throttled_until, |record| record.throttled_until.max(throttled_until));
        self.records.insert(prefix, Record { failures, last: now, throttled_until });
        self.by_age.insert((now, prefix));
    }

    /// For how many milliseconds credentials from this address are not looked at; at least one.
    pub fn is_throttled(&self, addr: IpAddr, now: Mono) -> Option<u64> {
        let record = self.records.get(&Prefix::of(addr))?;
        let left = record.throttled_until.since(now);
        if left.is_zero() {
            return None;
        }
        Some(u64::try_from(left.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// Number of addresses that are remembered.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether no address is remembered.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    fn wait(&self, failures: u32) -> Option<Duration> {
        let doublings = failures.checked_sub(self.policy.free_failures)?.checked_sub(1)?;
        let factor = 1u32.checked_shl(doublings).unwrap_or(u32::MAX);
        Some(self.policy.first_wait.saturating_mul(factor).min(self.policy.longest_wait))
    }

    fn forgiven(&self, record: Record, now: Mono) -> u32 {
        let each = self.policy.forgive_after.as_nanos().max(1);
        u32::try_from(now.since(record.last).as_nanos() / each).unwrap_or(u32::MAX)
    }

    /// Two at a time, while each call adds one at most: the table shrinks when failures are rare.
    fn drop_forgiven(&mut self, now: Mono) {
        for _ in 0..2 {
            let Some((_, prefix)) = self.by_age.first().copied() else { return };
            let is_over = self
                .records
                .get(&prefix)
                .is_none_or(|record| self.forgiven(*record, now) >= record.failures && record.throttled_until <= now);
            if !is_over {
                return;
            }
            self.by_age.pop_first();
            self.records.remove(&prefix);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: u64) -> Mono {
        Mono(ms * 1_000_000)
    }

    fn addr(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn policy() -> ThrottlePolicy {
        ThrottlePolicy {
            free_failures: 2,
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_millis(1000),
            forgive_after: Duration::from_millis(5000),
        }
    }

    #[test]
    fn a_few_failures_are_free_and_then_the_wait_doubles_to_its_longest() {
        let mut throttle = Throttle::new(policy());
        let peer = addr("192.0.2.1");
        for expected in [None, None, Some(100), Some(200), Some(400), Some(800), Some(1000), Some(1000)] {
            throttle.on_failure(peer, at(1));
            assert_eq!(throttle.is_throttled(peer, at(1)), expected);
        }
        assert_eq!(throttle.is_throttled(peer, at(1000)), Some(1));
        assert_eq!(throttle.is_throttled(peer, Mono(at(1001).0 - 1)), Some(1));
        assert_eq!(throttle.is_throttled(peer, at(1001)), None);
        assert_eq!(throttle.is_throttled(addr("192.0.2.2"), at(1)), None);
        for _ in 0..100 {
            throttle.on_failure(peer, at(1));
        }
        assert_eq!(throttle.is_throttled(peer, at(1)), Some(1000));
    }

    #[test]
    fn time_forgives_one_failure_after_the_other() {
        let mut throttle = Throttle::new(policy());
        let peer = addr("192.0.2.1");
        for _ in 0..5 {
            throttle.on_failure(peer, at(0));
        }
        throttle.on_failure(peer, at(10_000));
        assert_eq!(throttle.is_throttled(peer, at(10_000)), Some(200));
        throttle.on_failure(peer, at(60_000));
        assert_eq!(throttle.is_throttled(peer, at(60_000)), None);
    }

    #[test]
    fn ipv6_counts_by_its_64_and_mapped_ipv4_as_ipv4() {
        let mut throttle = Throttle::new(ThrottlePolicy { free_failures: 0, ..policy() });
        throttle.on_failure(addr("2001:db8:1:2::3"), at(0));
        throttle.on_failure(addr("::ffff:192.0.2.1"), at(0));
        for (text, expected) in [
            ("2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:3::3", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("::192.0.2.1", false),
        ] {
            assert_eq!(throttle.is_throttled(addr(text), at(0)).is_some(), expected, "{text}");
        }
    }

    #[test]
    fn a_full_table_drops_the_address_that_failed_longest_ago() {
        let mut throttle = Throttle::with_capacity(ThrottlePolicy { free_failures: 0, ..policy() }, 2);
        let [one, two, three] = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(addr);
        throttle.on_failure(one, at(0));
        throttle.on_failure(two, at(1));
        throttle.on_failure(one, at(2));
        throttle.on_failure(three, at(3));
        let throttled = [one, two, three].map(|peer| throttle.is_throttled(peer, at(3)).is_some());
        assert_eq!((throttled, throttle.len()), ([true, false, true], 2));
    }

    #[test]
    fn forgiven_addresses_leave_the_table() {
        let mut throttle = Throttle::new(policy());
        for last in 0..100u8 {
            throttle.on_failure(IpAddr::from([192, 0, 2, last]), at(0));
        }
        for step in 0..60 {
            throttle.on_failure(addr("198.51.100.1"), at(10_000 + step));
        }
        assert_eq!(throttle.len(), 1);
        assert!(!throttle.is_empty());
    }

    proptest! {
        #[test]
        fn the_table_keeps_its_bound_and_its_two_views_agree(
            steps in prop::collection::vec((0u64..3000, 0u8..12), 0..200),
        ) {
            let mut throttle = Throttle::with_capacity(policy(), 5);
            let mut now = 0;
            for (wait, last) in steps {
                now += wait;
                let peer = IpAddr::from([192, 0, 2, last]);
                throttle.on_failure(peer, at(now));
                prop_assert!(throttle.len() <= 5 && throttle.len() == throttle.by_age.len());
                prop_assert!(throttle.by_age.iter().all(|(last, prefix)| throttle.records[prefix].last == *last));
                prop_assert!(throttle.is_throttled(peer, at(now)).is_none_or(|ms| (1..=1000).contains(&ms)));
                prop_assert_eq!(throttle.is_throttled(peer, at(now + 1000)), None);
            }
        }
    }
}
