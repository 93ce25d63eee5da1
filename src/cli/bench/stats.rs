//! What one thread counts, and how counts and histograms of several are added up.

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency told apart, in nanoseconds: two minutes.
const LONGEST_NS: u64 = 120_000_000_000;

/// A latency histogram in nanoseconds, exact to three digits.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Latency {
        // Holds since 1 < LONGEST_NS and 3 digits are within the crate's bounds.
        Latency(Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("constant bounds are valid"))
    }
}

impl Latency {
    /// Enters one latency; a longer one than can be told apart counts as the longest.
    pub fn record_ns(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// Adds another's latencies.
    pub fn merge(&mut self, other: &Latency) {
        // Holds since all have the same bounds.
        self.0.add(&other.0).expect("equal bounds");
    }

    /// In microseconds; `None` if nothing was entered.
    pub fn summary(&self) -> Option<Summary> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        (!self.0.is_empty()).then(|| Summary {
            count: self.0.len(),
            mean_us: self.0.mean() / 1000.0,
            p50_us: at(0.5),
            p90_us: at(0.9),
            p99_us: at(0.99),
            p999_us: at(0.999),
            max_us: self.0.max() as f64 / 1000.0,
        })
    }
}

/// A histogram in a few figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Summary {
    /// How many latencies.
    pub count: u64,
    /// Their mean.
    pub mean_us: f64,
    /// Their median.
    pub p50_us: f64,
    /// Nine in ten were no longer.
    pub p90_us: f64,
    /// 99 in 100 were no longer.
    pub p99_us: f64,
    /// 999 in 1000 were no longer.
    pub p999_us: f64,
    /// The longest.
    pub max_us: f64,
}

/// What should not happen. All of it counts over the whole run, not only while measuring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Faults {
    /// Sent, and not come until the run's end.
    pub lost: u64,
    /// Come a second time.
    pub duplicates: u64,
    /// Overtaken by a later one of the same stream.
    pub out_of_order: u64,
    /// Error responses, messages of another run, answers nobody waited for.
    pub unexpected: u64,
    /// Times that nothing had moved for long, so that what was in flight was given up.
    pub stalls: u64,
    /// Due by the rate, and not sent since too many were in flight.
    pub throttled: u64,
}

impl Faults {
    /// Whether there was none.
    pub fn is_none(&self) -> bool {
        *self == Faults::default()
    }

    fn merge(&mut self, other: &Faults) {
        self.lost += other.lost;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.unexpected += other.unexpected;
        self.stalls += other.stalls;
        self.throttled += other.throttled;
    }
}

/// The results of one thread, or of all.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Echoes, responses, deliveries, pongs or answered guaranteed publications, while measuring.
    pub messages: u64,
    /// Deliveries of guaranteed publications, while measuring.
    pub deliveries: u64,
    /// Bytes of the messages received, with their envelopes, while measuring.
    pub bytes: u64,
    /// Messages or pings sent while measuring.
    pub sent: u64,
    /// Connections that read nothing, and that the server ended.
    pub deaf_ended: u64,
    /// From sending, or from when it was due, to receipt.
    pub latency: Latency,
    /// From publishing to the server's response to the publisher.
    pub accepted: Latency,
    /// From publishing to receipt by the last subscriber.
    pub complete: Latency,
    /// From `connect` to the upgrade's response.
    pub handshake: Latency,
    /// What should not have happened.
    pub faults: Faults,
}

impl Tally {
    /// Adds another thread's results.
    pub fn merge(&mut self, other: &Tally) {
        self.messages += other.messages;
        self.deliveries += other.deliveries;
        self.bytes += other.bytes;
        self.sent += other.sent;
        self.deaf_ended += other.deaf_ended;
        self.latency.merge(&other.latency);
        self.accepted.merge(&other.accepted);
        self.complete.merge(&other.complete);
        self.handshake.merge(&other.handshake);
        self.faults.merge(&other.faults);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tallies_add_up() {
        let mut one = Tally { messages: 2, bytes: 10, sent: 3, ..Tally::default() };
        let mut two = Tally { messages: 5, deliveries: 6, bytes: 1, sent: 4, ..Tally::default() };
        for us in 1..=99 {
            one.latency.record_ns(us * 1000);
        }
        two.latency.record_ns(5_000_000);
        two.faults.lost = 4;
        one.faults.stalls = 1;
        one.merge(&two);
        assert_eq!((one.messages, one.deliveries, one.bytes, one.sent), (7, 6, 11, 7));
        assert_eq!(one.faults, Faults { lost: 4, stalls: 1, ..Faults::default() });
        let summary = one.latency.summary().unwrap();
        assert_eq!(summary.count, 100);
        assert!((summary.p50_us - 50.0).abs() < 0.1, "{summary:?}");
        assert!((summary.p99_us - 99.0).abs() < 0.2, "{summary:?}");
        assert!((summary.max_us - 5000.0).abs() < 5.0, "{summary:?}");
    }

    #[test]
    fn nothing_recorded_has_no_summary_and_too_long_is_the_longest() {
        let mut latency = Latency::default();
        assert!(latency.summary().is_none());
        latency.record_ns(u64::MAX);
        assert!(latency.summary().unwrap().max_us >= 119_000_000.0);
    }
}
