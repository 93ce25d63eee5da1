//! How the store is doing: written by its thread, read by anyone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::engine::store::{Size, StoreFault, Written};

/// How the store is doing.
#[derive(Debug, Default)]
pub struct StoreGauges {
    bytes: AtomicU64,
    free: AtomicU64,
    events: AtomicU64,
    /// 0 while it is well, else one more than the fault's place in its list.
    fault: AtomicU64,
    last_sync_ns: AtomicU64,
    groups: AtomicU64,
    synced: AtomicU64,
    requests: AtomicU64,
    appended: AtomicU64,
    refused: AtomicU64,
    failures: AtomicU64,
    damaged: AtomicU64,
    waiting: AtomicU64,
}

/// The same, as it is at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// How large it is.
    pub size: Size,
    /// Why it takes no changes, if it does not.
    pub fault: Option<StoreFault>,
    /// How long the last commit with a sync took, in nanoseconds.
    pub last_sync_ns: u64,
    /// What the writer has done.
    pub written: Written,
    /// Reports of damage since the start.
    pub damaged: u64,
    /// Changes that wait for the next group.
    pub waiting: u64,
}

impl StoreGauges {
    /// As it stands now. The numbers may be of slightly different moments.
    pub fn figures(&self) -> StoreFigures {
        let fault = self.fault.load(Relaxed) as usize;
        StoreFigures {
            size: Size {
                bytes: self.bytes.load(Relaxed),
                free: self.free.load(Relaxed),
                events: self.events.load(Relaxed),
            },
            fault: fault.checked_sub(1).and_then(|place| StoreFault::ALL.get(place).copied()),
            last_sync_ns: self.last_sync_ns.load(Relaxed),
            written: Written {
                groups: self.groups.load(Relaxed),
                synced: self.synced.load(Relaxed),
                requests: self.requests.load(Relaxed),
                events: self.appended.load(Relaxed),
                refused: self.refused.load(Relaxed),
                failures: self.failures.load(Relaxed),
                ..Written::default()
            },
            damaged: self.damaged.load(Relaxed),
            waiting: self.waiting.load(Relaxed),
        }
    }

    /// Whether it takes changes.
    pub fn is_well(&self) -> bool {
        self.fault.load(Relaxed) == 0
    }

    /// Counts what was found damaged when the store was opened, or since.
    pub fn add_damaged(&self, reports: usize) {
        self.damaged.fetch_add(reports as u64, Relaxed);
    }

    pub(super) fn set_size(&self, size: Size) {
        self.bytes.store(size.bytes, Relaxed);
        self.free.store(size.free, Relaxed);
        self.events.store(size.events, Relaxed);
    }

    pub(super) fn set_written(&self, written: Written, fault: Option<StoreFault>, waiting: usize) {
        self.groups.store(written.groups, Relaxed);
        self.synced.store(written.synced, Relaxed);
        self.requests.store(written.requests, Relaxed);
        self.appended.store(written.events, Relaxed);
        self.refused.store(written.refused, Relaxed);
        self.failures.store(written.failures, Relaxed);
        self.waiting.store(waiting as u64, Relaxed);
        self.fault.store(fault.map_or(0, |fault| fault as u64 + 1), Relaxed);
    }

    pub(super) fn set_last_sync(&self, ns: u64) {
        self.last_sync_ns.store(ns, Relaxed);
    }
}
