//! What one address may do: rooms made and joined, and wrong passwords. One worker counts for each
//! address, so that many connections are one asker.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::limits::ADDRESSES;
use super::meter::{Meter, Rate};
use super::settings::SignalingSettings;
use crate::base::{Mono, WorkerId};
use crate::engine::auth::Prefix;

/// The worker that counts for an address.
pub(super) fn worker_of_address(address: IpAddr, workers: usize) -> WorkerId {
    let hash = crc32fast::hash(&Prefix::of(address).to_be_bytes());
    WorkerId((hash as usize % workers.max(1)) as u16)
}

/// Why a request is not let through; the numbers are places in the metric's label values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Throttled {
    Rate = 0,
    RoomPasswords = 1,
    AddressPasswords = 2,
}

#[derive(Clone, Copy, Debug, Default)]
struct Record {
    requests: Meter,
    wrong: Meter,
}

impl Record {
    fn idle_at(&self) -> Mono {
        self.requests.full_at.max(self.wrong.full_at)
    }
}

/// The addresses that asked lately.
#[derive(Debug)]
pub(super) struct Throttle {
    requests: Option<Rate>,
    wrong: Option<Rate>,
    records: BTreeMap<Prefix, Record>,
    by_idle: BTreeSet<(Mono, Prefix)>,
}

impl Throttle {
    pub(super) fn new(settings: &SignalingSettings) -> Throttle {
        Throttle {
            requests: settings.rate.map(|rate| Rate { burst: rate.requests.into(), period: rate.period }),
            wrong: passwords(settings),
            records: BTreeMap::new(),
            by_idle: BTreeSet::new(),
        }
    }

    /// Lets one request through. One with a password is counted as wrong until it is known to be
    /// right, so that many at once find no gap.
    pub(super) fn admit(&mut self, address: IpAddr, has_password: bool, now: Mono) -> Result<(), Throttled> {
        let mut record = self.record(address);
        if self.requests.is_some_and(|rate| !record.requests.take(1, rate, now)) {
            return Err(Throttled::Rate);
        }
        let wrong = self.wrong.filter(|_| has_password);
        let result = match wrong {
            Some(rate) if !record.wrong.take(1, rate, now) => Err(Throttled::AddressPasswords),
            _ => Ok(()),
        };
        self.keep(address, record, now);
        result
    }

    /// The password of an admitted request was not wrong.
    pub(super) fn refund(&mut self, address: IpAddr, now: Mono) {
        let Some(rate) = self.wrong else { return };
        let mut record = self.record(address);
        record.wrong.give_back(rate);
        self.keep(address, record, now);
    }

    fn record(&self, address: IpAddr) -> Record {
        self.records.get(&Prefix::of(address)).copied().unwrap_or_default()
    }

    fn keep(&mut self, address: IpAddr, record: Record, now: Mono) {
        let prefix = Prefix::of(address);
        if let Some(before) = self.records.remove(&prefix) {
            self.by_idle.remove(&(before.idle_at(), prefix));
        }
        // Two at a time, while each call adds one at most; when full, the one nearest to idle goes.
        for _ in 0..2 {
            let Some(&(idle_at, idle)) = self.by_idle.first() else { break };
            if idle_at > now && self.records.len() < ADDRESSES {
                break;
            }
            self.by_idle.pop_first();
            self.records.remove(&idle);
        }
        if record.idle_at() > now {
            self.records.insert(prefix, record);
            self.by_idle.insert((record.idle_at(), prefix));
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.records.len()
    }
}

/// How many wrong passwords are borne.
pub(super) fn passwords(settings: &SignalingSettings) -> Option<Rate> {
    settings.passwords.map(|limit| Rate { burst: limit.failures.into(), period: limit.period })
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn three_requests_a_minute_go_through_by_address() {
        let mut throttle = Throttle::new(&SignalingSettings::default());
        let (a, b) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut admit = |address, s: u64| throttle.admit(address, false, Mono(s * S + 1)).is_ok();
        assert_eq!([admit(a, 0), admit(a, 0), admit(a, 0), admit(a, 0)], [true, true, true, false]);
        assert!(admit(b, 0) && !admit(a, 19) && admit(a, 20) && !admit(a, 21));
    }

    #[test]
    fn one_ipv6_network_is_one_address() {
        let mut throttle = Throttle::new(&SignalingSettings::default());
        for last in 0..4 {
            let from = address(&format!("2001:db8::{last:x}"));
            assert_eq!(throttle.admit(from, false, Mono(1)).is_ok(), last < 3);
        }
        assert!(throttle.admit(address("2001:db8:0:1::1"), false, Mono(1)).is_ok());
    }

    #[test]
    fn wrong_passwords_are_counted_until_they_are_known_to_be_right() {
        let settings = SignalingSettings { rate: None, ..SignalingSettings::default() };
        let mut throttle = Throttle::new(&settings);
        let a = address("192.0.2.1");
        for _ in 0..50 {
            assert!(throttle.admit(a, true, Mono(1)).is_ok());
            throttle.refund(a, Mono(1));
        }
        for _ in 0..10 {
            assert!(throttle.admit(a, true, Mono(1)).is_ok());
        }
        assert_eq!(throttle.admit(a, true, Mono(1)), Err(Throttled::AddressPasswords));
        assert!(throttle.admit(a, false, Mono(1)).is_ok());
        assert!(throttle.admit(a, true, Mono(361 * S)).is_ok());
    }

    #[test]
    fn the_table_is_bounded_and_idle_addresses_go() {
        let mut throttle = Throttle::new(&SignalingSettings::default());
        for number in 0..ADDRESSES as u32 + 10 {
            assert!(throttle.admit(IpAddr::V4(number.into()), false, Mono(1)).is_ok());
        }
        assert_eq!(throttle.len(), ADDRESSES);
        for number in 0..ADDRESSES as u32 {
            let _ = throttle.admit(IpAddr::V4((1 << 30 | number).into()), false, Mono(100 * S + u64::from(number) * S));
        }
        assert!(throttle.len() < 100, "{}", throttle.len());
    }
}
