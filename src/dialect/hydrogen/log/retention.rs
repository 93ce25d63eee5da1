//! How much a log keeps, and the trimming that holds it to that: in small steps, between the
//! commits, so that no publish waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::super::asked::Asked;
use super::super::{Hydrogen, Peer};
use super::stock::Stock;
use crate::base::{Now, Wall};
use crate::engine::store::{Op, Seq, Trimmed, Write};
use crate::engine::topic::{Epoch, Pattern};
use crate::engine::work::Outbox;

/// Events that one trim takes away.
const TRIM_EVENTS: u64 = 512;
/// Logs looked at in one sweep.
const SWEEP_LOGS: usize = 1024;

/// How much a log keeps; the oldest events go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// No longer than this.
    pub age: Option<Duration>,
    /// No more events than this.
    pub events: u64,
    /// No more bytes than this.
    pub bytes: u64,
}

/// What the configuration says about the topics under a pattern.
#[derive(Clone, Debug)]
pub struct TopicRule {
    /// Which topics.
    pub pattern: Pattern,
    /// Every publish is synced before it is answered.
    pub is_guaranteed: bool,
    /// Best-effort publishes are logged too.
    pub keeps_history: bool,
    /// How much is kept.
    pub retention: Arc<Retention>,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { age: Some(Duration::from_secs(604_800)), events: 10_000_000, bytes: 1 << 30 }
    }
}

impl Retention {
    /// When the oldest event that is kept was published, at the earliest.
    fn cutoff(&self, now: Wall) -> Option<Wall> {
        let age = i64::try_from(self.age?.as_millis()).unwrap_or(i64::MAX);
        Some(Wall(now.0.saturating_sub(age)))
    }
}

/// Up to which offset a log of `len` events is to be trimmed now, and whether by age alone. `all`
/// are the events and bytes that count towards its bounds.
fn excess(stock: &Stock, len: u64, all: (u64, u64), bounds: &Retention, now: Wall) -> Option<(u64, Option<Wall>)> {
    if len == 0 {
        return None;
    }
    let (events, bytes) = all;
    let by_events = events.saturating_sub(bounds.events);
    let by_bytes = if bytes > bounds.bytes {
        // The size of one is not known, so the average is taken; at least one goes.
        let average = u128::from(bytes - bounds.bytes) * u128::from(events) / u128::from(bytes);
        u64::try_from(average).unwrap_or(u64::MAX).max(1)
    } else {
        0
    };
    let count = by_events.max(by_bytes).min(TRIM_EVENTS).min(len);
    if count > 0 {
        return Some((stock.first + count - 1, None));
    }
    let cutoff = bounds.cutoff(now)?;
    (stock.first_time? < cutoff).then_some((stock.first + len.min(TRIM_EVENTS) - 1, Some(cutoff)))
}

impl Hydrogen {
    /// Looks whether a log holds more than it may.
    pub(in super::super) fn trim_if_needed(&mut self, topic: &Arc<str>, now: Now, out: &mut Outbox<Peer>) {
        let Some(log) = self.logs.of_mut(topic) else { return };
        if log.stock.is_trimming() || !self.store.takes_upkeep() {
            return;
        }
        let all = (log.len(), log.stock.bytes);
        let Some((through, before)) = excess(&log.stock, all.0, all, &log.retention, now.wall) else { return };
        let epoch = log.epoch;
        let write = Write::Trim { topic: topic.clone(), epoch, through, before };
        let ticket = self.store.ask(Asked::Trim { topic: topic.clone(), epoch }, Op::Write(write), out);
        log.stock.begin_trim(ticket);
    }

    /// Looks whether all logs of a topic together hold more than one may; the oldest shrinks first.
    fn trim_oldest(&mut self, topic: &Arc<str>, now: Now, out: &mut Outbox<Peer>) {
        if !self.store.takes_upkeep() {
            return;
        }
        let mut all = self.logs.of(topic).map_or((0, 0), |log| (log.len(), log.stock.bytes));
        for older in self.logs.older(topic) {
            all = (all.0 + older.len(), all.1 + older.stock.bytes);
        }
        let Some(oldest) = self.logs.oldest(topic).filter(|oldest| !oldest.stock.is_trimming()) else { return };
        let found = excess(&oldest.stock, oldest.len(), all, &oldest.retention, now.wall);
        let Some((through, before)) = found else { return };
        let epoch = oldest.epoch;
        let write = Write::Trim { topic: topic.clone(), epoch, through, before };
        let ticket = self.store.ask(Asked::Trim { topic: topic.clone(), epoch }, Op::Write(write), out);
        oldest.stock.begin_trim(ticket);
    }

    /// Looks at the next logs for what grew too old, and at those that only shrink.
    pub(in super::super) fn sweep_logs(&mut self, now: Now, out: &mut Outbox<Peer>) {
        for topic in self.logs.next_to_sweep(SWEEP_LOGS) {
            self.trim_if_needed(&topic, now, out);
        }
        for topic in self.logs.next_older_to_sweep(SWEEP_LOGS) {
            self.trim_oldest(&topic, now, out);
        }
    }

    /// A trim was done, or was not.
    pub(super) fn on_trimmed(
        &mut self,
        topic: &Arc<str>,
        epoch: Epoch,
        trimmed: Option<&Trimmed>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let newest = self.logs.of_mut(topic).filter(|log| log.epoch == epoch);
        let is_newest = newest.is_some();
        if let Some(log) = newest {
            log.stock.trimmed(trimmed);
        } else if let Some(older) = self.logs.older_mut(topic, epoch) {
            older.stock.trimmed(trimmed);
        }
        let Some(trimmed) = trimmed else { return };
        if !trimmed.gone.is_empty() {
            let gone: Arc<[Seq]> = trimmed.gone.as_slice().into();
            for worker in self.others() {
                out.peers.push((worker, Peer::Gone { topic: topic.clone(), gone: gone.clone() }));
            }
            self.on_gone(topic, &gone, now, out);
            if is_newest {
                self.trim_if_needed(topic, now, out);
            } else {
                self.trim_oldest(topic, now, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_goes_in_steps_and_counts_all_logs_of_a_topic() {
        let stock = || {
            let mut stock = Stock::default();
            stock.appended(1, 1000, Wall(100));
            stock.first = 11;
            stock
        };
        let bounds = Retention { age: Some(Duration::from_millis(50)), events: 100, bytes: 10_000 };
        for (len, all, now, expected) in [
            (10, (100, 10_000), 150, None),
            (10, (103, 1000), 150, Some((13, None))),
            // Beyond what one log has others have to give.
            (10, (200, 1000), 150, Some((20, None))),
            (1000, (9000, 1000), 150, Some((522, None))),
            (10, (100, 10_001), 150, Some((11, None))),
            (10, (100, 10_500), 150, Some((14, None))),
            (10, (10, 1000), 151, Some((20, Some(Wall(101))))),
            (0, (200, 20_000), 151, None),
        ] {
            assert_eq!(excess(&stock(), len, all, &bounds, Wall(now)), expected, "{len} {all:?} {now}");
        }
    }
}
