//! What the threads of a run share: where the run stands, and how many connections do.

use parking_lot::Mutex;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// Where the run stands. The main thread moves it on, the workers follow within milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Connections are being opened.
    SetUp,
    /// Load, not measured.
    WarmUp,
    /// Load, measured.
    Measure,
    /// Nothing new is sent; what is in flight comes in.
    Drain,
    /// The workers return.
    Done,
}

/// Failed connections whose reason is kept.
const REASONS_KEPT: usize = 5;

/// The state that all threads see.
#[derive(Debug)]
pub struct Shared {
    phase: AtomicU8,
    settled: AtomicUsize,
    failed: AtomicUsize,
    reasons: Mutex<Vec<String>>,
    /// By worker, what is still to come in; `u64::MAX` until it has looked.
    outstanding: Vec<AtomicU64>,
}

impl Shared {
    /// Before anything has begun.
    pub fn new(workers: usize) -> Shared {
        Shared {
            phase: AtomicU8::new(Phase::SetUp as u8),
            settled: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
            reasons: Mutex::new(Vec::new()),
            outstanding: (0..workers).map(|_| AtomicU64::new(u64::MAX)).collect(),
        }
    }

    /// Where the run stands.
    pub fn phase(&self) -> Phase {
        match self.phase.load(SeqCst) {
            0 => Phase::SetUp,
            1 => Phase::WarmUp,
            2 => Phase::Measure,
            3 => Phase::Drain,
            _ => Phase::Done,
        }
    }

    /// The run goes on.
    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, SeqCst);
    }

    /// One more connection is ready.
    pub fn count_settled(&self) {
        self.settled.fetch_add(1, SeqCst);
    }

    /// One more connection could not be set up, or broke.
    pub fn count_failed(&self, reason: &str) {
        self.failed.fetch_add(1, SeqCst);
        let mut reasons = self.reasons.lock();
        if reasons.len() < REASONS_KEPT && !reasons.iter().any(|known| known == reason) {
            reasons.push(reason.to_owned());
        }
    }

    /// Connections that became ready.
    pub fn settled(&self) -> usize {
        self.settled.load(SeqCst)
    }

    /// Connections that failed, before or after they were ready.
    pub fn failed(&self) -> usize {
        self.failed.load(SeqCst)
    }

    /// Some of the reasons for failures, each once.
    pub fn reasons(&self) -> Vec<String> {
        self.reasons.lock().clone()
    }

    /// A worker says what is still to come in.
    pub fn report_outstanding(&self, worker: usize, count: u64) {
        self.outstanding[worker].store(count, SeqCst);
    }

    /// What is still to come in, over all workers.
    pub fn outstanding(&self) -> u64 {
        self.outstanding.iter().fold(0, |sum, count| sum.saturating_add(count.load(SeqCst)))
    }

    /// Whether every worker has said that nothing is to come in.
    pub fn is_drained(&self) -> bool {
        self.outstanding() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_drained_when_every_worker_has_said_so() {
        let shared = Shared::new(2);
        shared.report_outstanding(0, 0);
        assert!(!shared.is_drained());
        shared.report_outstanding(1, 3);
        assert_eq!(shared.outstanding(), 3);
        assert!(!shared.is_drained());
        shared.report_outstanding(1, 0);
        assert!(shared.is_drained());
    }

    #[test]
    fn reasons_are_kept_once_each_and_not_without_end() {
        let shared = Shared::new(1);
        for index in 0..20 {
            shared.count_failed("same");
            shared.count_failed(&index.to_string());
        }
        assert_eq!(shared.failed(), 40);
        assert_eq!(shared.reasons(), ["same", "0", "1", "2", "3"]);
    }

    #[test]
    fn phases_follow_one_another() {
        let shared = Shared::new(1);
        for phase in [Phase::SetUp, Phase::WarmUp, Phase::Measure, Phase::Drain, Phase::Done] {
            shared.enter(phase);
            assert_eq!(shared.phase(), phase);
        }
    }
}
