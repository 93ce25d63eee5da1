//! How much a log keeps, and the trimming that holds it to that: in small steps, between the
//! commits, so that no publish waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::super::asked::Asked;
use super::super::{Hydrogen, Peer};
use super::Log;
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

/// Up to which offset a log is to be trimmed now, and whether by age alone.
fn excess(log: &Log, now: Wall) -> Option<(u64, Option<Wall>)> {
    let len = log.len();
    if len == 0 {
        return None;
    }
    let by_events = len.saturating_sub(log.retention.events);
    let by_bytes = if log.bytes > log.retention.bytes {
        // The size of one is not known, so the average is taken; at least one goes.
        ((log.bytes - log.retention.bytes) * len / log.bytes.max(1)).max(1)
    } else {
        0
    };
    let count = by_events.max(by_bytes).min(TRIM_EVENTS);
    if count > 0 {
        return Some((log.first + count - 1, None));
    }
    let cutoff = log.retention.cutoff(now)?;
    (log.first_time? < cutoff).then_some((log.first + len.min(TRIM_EVENTS) - 1, Some(cutoff)))
}

impl Hydrogen {
    /// Looks whether a log holds more than it may.
    pub(in super::super) fn trim_if_needed(&mut self, topic: &Arc<str>, now: Now, out: &mut Outbox<Peer>) {
        let Some(log) = self.logs.of_mut(topic) else { return };
        if log.is_trimming || !self.store.takes_upkeep() {
            return;
        }
        let Some((through, before)) = excess(log, now.wall) else { return };
        log.is_trimming = true;
        let epoch = log.epoch;
        let write = Write::Trim { topic: topic.clone(), epoch, through, before };
        self.store.ask(Asked::Trim { topic: topic.clone(), epoch }, Op::Write(write), out);
    }

    /// Looks at the next logs for what grew too old, and at those that only shrink.
    pub(in super::super) fn sweep_logs(&mut self, now: Now, out: &mut Outbox<Peer>) {
        for topic in self.logs.next_to_sweep(SWEEP_LOGS) {
            self.trim_if_needed(&topic, now, out);
        }
        if !self.store.takes_upkeep() {
            return;
        }
        for older in self.logs.older.iter_mut().take(SWEEP_LOGS) {
            let cutoff = older.retention.cutoff(now.wall);
            let is_due = cutoff.is_some_and(|cutoff| older.first_time.is_none_or(|first| first < cutoff));
            if older.is_trimming || !is_due {
                continue;
            }
            older.is_trimming = true;
            let (topic, epoch) = (older.topic.clone(), older.epoch);
            let through = older.last.min(older.first + TRIM_EVENTS - 1);
            let write = Write::Trim { topic: topic.clone(), epoch, through, before: cutoff };
            self.store.ask(Asked::Trim { topic, epoch }, Op::Write(write), out);
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
            log.is_trimming = false;
            if let Some(trimmed) = trimmed {
                log.first = trimmed.first;
                log.bytes = trimmed.bytes;
                log.first_time = trimmed.first_time;
            }
        } else if let Some(place) = self.logs.older.iter().position(|log| log.epoch == epoch && log.topic == *topic) {
            let older = &mut self.logs.older[place];
            older.is_trimming = false;
            if let Some(trimmed) = trimmed {
                older.first = trimmed.first;
                older.first_time = trimmed.first_time;
                // What never got to the store is not known there.
                if older.first == 0 || older.first > older.last {
                    self.logs.older.swap_remove(place);
                }
            }
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
            }
        }
    }
}
