//! Counters of one thread, and the sum over all threads.
//!
//! Each thread has cells of its own, so counting touches no shared cache line; a reader adds
//! them up. Only the owning thread writes, so a load and a store are enough.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::metric::{CELLS, FAMILIES, Family, HISTOGRAM_BUCKETS, Kind, Metric, bucket_of};

/// The cells of one thread. Written by that thread alone, read by anyone.
#[derive(Debug)]
pub struct Counters {
    cells: Box<[AtomicU64]>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters { cells: (0..CELLS).map(|_| AtomicU64::new(0)).collect() }
    }
}

impl Counters {
    /// Adds `n`. Only the owning thread may call this.
    pub fn add(&self, metric: Metric, n: u64) {
        let cell = &self.cells[metric.cell()];
        cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Adds one. Only the owning thread may call this.
    pub fn inc(&self, metric: Metric) {
        self.add(metric, 1);
    }

    /// Enters a duration into a histogram. Only the owning thread may call this.
    pub fn record_ns(&self, histogram: Metric, ns: u64) {
        self.inc(histogram.at(bucket_of(ns)));
        self.inc(histogram.at(HISTOGRAM_BUCKETS));
        self.add(histogram.at(HISTOGRAM_BUCKETS + 1), ns);
    }

    /// The number in one cell, for tests and for the owner.
    pub fn value(&self, metric: Metric) -> u64 {
        self.cells[metric.cell()].load(Relaxed)
    }
}

/// The counters of every thread, and the sum on request.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    threads: Vec<Arc<Counters>>,
}

impl Registry {
    /// Counters for one more thread.
    pub fn register(&mut self) -> Arc<Counters> {
        let counters = Arc::new(Counters::default());
        self.threads.push(counters.clone());
        counters
    }

    /// The sum over all threads, as it stands now.
    pub fn figures(&self) -> Figures {
        let mut cells = vec![0u64; CELLS].into_boxed_slice();
        for thread in &self.threads {
            for (sum, cell) in cells.iter_mut().zip(&thread.cells) {
                *sum = sum.wrapping_add(cell.load(Relaxed));
            }
        }
        Figures { cells }
    }
}

/// All cells, summed over the threads: what the four views of the status are made from.
#[derive(Clone, Debug)]
pub struct Figures {
    cells: Box<[u64]>,
}

impl Figures {
    /// A counter's value.
    pub fn count(&self, metric: Metric) -> u64 {
        self.cells[metric.cell()]
    }

    /// A gauge: its up-counts less its down-counts. `up` is the first of the pair.
    pub fn gauge(&self, up: Metric, down: Metric) -> u64 {
        self.count(up).saturating_sub(self.count(down))
    }

    /// The sum over a family's label values.
    pub fn total(&self, first: Metric, values: usize) -> u64 {
        (0..values).map(|value| self.count(first.at(value))).sum()
    }

    /// A histogram.
    pub fn histogram(&self, first: Metric) -> Histogram<'_> {
        let start = first.cell();
        Histogram {
            buckets: &self.cells[start..start + HISTOGRAM_BUCKETS],
            count: self.cells[start + HISTOGRAM_BUCKETS],
            sum_ns: self.cells[start + HISTOGRAM_BUCKETS + 1],
        }
    }

    /// Every family with its cells.
    pub fn families(&self) -> impl Iterator<Item = (&'static Family, &[u64])> {
        let mut start = 0;
        FAMILIES.iter().map(move |family| {
            let cells = &self.cells[start..start + family.cells()];
            start += family.cells();
            (family, cells)
        })
    }

    /// The same, with gauges already reduced to one number per label value and their
    /// down-counts left out.
    pub fn reduced(&self) -> Vec<(&'static Family, Vec<u64>)> {
        let mut out: Vec<(&'static Family, Vec<u64>)> = Vec::new();
        for (family, cells) in self.families() {
            match (family.kind, out.last_mut()) {
                (Kind::GaugeDown, Some((_, up))) => {
                    for (up, down) in up.iter_mut().zip(cells) {
                        *up = up.saturating_sub(*down);
                    }
                }
                (Kind::Counter | Kind::TimeCounter | Kind::GaugeUp | Kind::GaugeDown | Kind::Histogram, _) => {
                    out.push((family, cells.to_vec()));
                }
            }
        }
        out
    }
}

/// A histogram's cells: bucket `i` counts durations below `2^i` microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Histogram<'a> {
    /// Durations by bucket, not cumulative.
    pub buckets: &'a [u64],
    /// How many durations.
    pub count: u64,
    /// Their sum in nanoseconds.
    pub sum_ns: u64,
}

impl Histogram<'_> {
    /// An upper bound of the quantile `q` (0 to 1) in microseconds; 0 if nothing was recorded.
    pub fn quantile_us(&self, q: f64) -> u64 {
        let rank = (q * self.count as f64).ceil() as u64;
        let mut seen = 0;
        for (index, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank && seen > 0 {
                return 1 << index;
            }
        }
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Code, Reason};

    #[test]
    fn figures_are_the_sum_over_threads() {
        let mut registry = Registry::default();
        let (one, two) = (registry.register(), registry.register());
        one.add(Metric::BYTES_IN, 5);
        two.add(Metric::BYTES_IN, 7);
        one.inc(Metric::error(Code::BadJson));
        two.inc(Metric::closed(Reason::Idle));
        one.add(Metric::STATE_ENTERED.at(3), 2);
        two.add(Metric::STATE_LEFT.at(3), 1);
        let figures = registry.figures();
        assert_eq!(figures.count(Metric::BYTES_IN), 12);
        assert_eq!(figures.count(Metric::error(Code::BadJson)), 1);
        assert_eq!(figures.total(Metric::CONNECTIONS_CLOSED, Reason::ALL.len()), 1);
        assert_eq!(figures.gauge(Metric::STATE_ENTERED.at(3), Metric::STATE_LEFT.at(3)), 1);
        let reduced = figures.reduced();
        assert!(reduced.iter().all(|(family, _)| family.kind != Kind::GaugeDown));
    }

    #[test]
    fn quantiles_come_from_buckets() {
        let mut registry = Registry::default();
        let one = registry.register();
        for us in [1u64, 1, 1, 1, 1, 1, 1, 1, 1, 900] {
            one.record_ns(Metric::COMMAND_NS, us * 1000);
        }
        let figures = registry.figures();
        let histogram = figures.histogram(Metric::COMMAND_NS);
        assert_eq!(histogram.count, 10);
        assert_eq!(histogram.quantile_us(0.5), 2);
        assert_eq!(histogram.quantile_us(0.99), 1024);
    }
}
