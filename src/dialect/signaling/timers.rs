//! The deadlines of one shard.

use std::collections::BTreeSet;

use crate::base::{ConnId, Mono};

/// What a deadline is for. One that finds its cause gone does nothing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// The other workers are told of the rooms that this one began with.
    Announce,
    /// A lost connection's place is kept no longer.
    Grace(ConnId),
    /// An answer of many is given up.
    Gather(u64),
    /// Candidates have waited for an offer.
    Candidates(Box<str>),
    /// A room's activity is written down.
    Save(Box<str>),
    /// Rooms without activity are looked for.
    Expiry,
    /// Figures are told.
    Figures,
}

#[derive(Debug, Default)]
pub(super) struct Timers(BTreeSet<(Mono, Timer)>);

impl Timers {
    pub(super) fn set(&mut self, at: Mono, timer: Timer) {
        self.0.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, at: Mono, timer: Timer) {
        self.0.remove(&(at, timer));
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.0.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        self.0.first().filter(|(at, _)| *at <= now)?;
        self.0.pop_first().map(|(_, timer)| timer)
    }
}
