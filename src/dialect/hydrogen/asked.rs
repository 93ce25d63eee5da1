//! The line to the store: what was asked and not heard of yet, and whether the store is well.
//!
//! Owns the bounds on what waits for the disk: beyond them publishes are refused, so that a disk
//! that does not keep up costs neither memory nor anybody else's time. Best-effort events have a
//! bound of their own: however many there are, guaranteed ones find room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Peer;
use super::consumer_id::{ConsumerId, ConsumerKey};
use super::letter::LettersAsk;
use super::making::Saving;
use super::past::Replay;
use super::reply_to::Reply;
use crate::base::{Code, ConnId, Error, Mono, Wall, WorkerId};
use crate::engine::delivery::DeadLetter;
use crate::engine::store::{DedupKey, Level, Op, Request, Seq, StoreError, StoreFault, Table};
use crate::engine::topic::{Epoch, Pattern, Stamp};
use crate::engine::work::Outbox;

/// What becomes of a publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// The topic keeps no log.
    Unlogged,
    /// It is logged; its publisher does not wait.
    Memory,
    /// It is logged; its publisher waits for the disk.
    Disk,
}

/// An event on its way into a log.
#[derive(Debug)]
pub(super) struct Appended {
    pub topic: Arc<str>,
    pub stamp: Stamp,
    pub time: Wall,
    pub payload: Bytes,
    pub weight: usize,
    pub level: Level,
    pub retain: bool,
    pub ttl: Option<Duration>,
    pub low_priority: bool,
    pub published_at: Mono,
    /// It went out to the best-effort subscribers already.
    pub is_fanned_out: bool,
    pub dedup: Option<DedupKey>,
    pub reply: Reply,
}

/// A client's question.
#[derive(Debug)]
pub(super) struct HistoryAsk {
    pub topic: Arc<str>,
    pub epoch: Epoch,
    /// The place asked for is in another epoch, or in none that there is.
    pub is_cut: bool,
    pub reply: Reply,
}

/// What is written though nobody waits for it: it is written again if it fails.
#[derive(Debug)]
pub(super) enum Upkeep {
    /// A subscription that lost a pattern.
    Definition(ConsumerId),
    /// A session that changed.
    Session(ConnId),
    /// What is over.
    Delete(Table, Box<str>),
}

/// What a completion is for.
#[derive(Debug)]
pub(super) enum Asked {
    /// An event on its way into a log.
    Append(Box<Appended>),
    /// A log that held too much.
    Trim { topic: Arc<str>, epoch: Epoch },
    /// A page of history for a client.
    History(Box<HistoryAsk>),
    /// What a subscription without acks is given of the past.
    Replay(Box<Replay>),
    /// Where a subscription begins: behind `head`, if nothing that is there is for it.
    Place { pattern: Pattern, head: Seq, reply: Reply },
    /// A subscription that a command waits for.
    Made(Box<Saving>),
    /// A session that a command waits for.
    Saved { ticket: u64 },
    /// Events for a subscription that is behind.
    Behind(ConsumerId),
    /// Events to be delivered again.
    Again(ConsumerId),
    /// The event of a letter to be.
    Dying(ConsumerId, Box<DeadLetter>),
    /// The letter that it was before.
    DyingAgain(ConsumerId, Box<DeadLetter>),
    /// A letter that is being written.
    Buried(ConsumerKey, Seq),
    /// The letter that makes room.
    Evicted(Arc<str>, Seq),
    /// A letter that is done with.
    Forgotten(ConsumerKey, Seq),
    /// A letter's event, to be delivered again.
    FetchedLetter(ConsumerId, Seq),
    /// Whether a letter's subscription is still there.
    LettersOf(String, Box<LettersAsk>),
    /// A letter that a command names.
    Letter(Box<str>, Box<LettersAsk>),
    /// Letters that a command is about.
    Letters(Box<LettersAsk>),
    /// How far logs were left behind: it is saved again if it fails.
    Seal(Seq),
    /// Nobody waits for it: it is saved again if it fails.
    Cursor(ConsumerId),
    /// Nobody waits for it.
    Upkeep(Upkeep),
    /// A topic's retained event.
    Retained(Arc<str>),
    /// Nobody waits for it.
    Nothing,
}

/// How much more than guaranteed events best-effort ones may have on their way to their logs:
/// nobody waits for them, so that they come faster.
const MEMORY_SHARE: usize = 4;

/// Appends under way, and their bytes.
#[derive(Clone, Copy, Debug, Default)]
struct UnderWay {
    appends: usize,
    bytes: usize,
}

/// The line to the store.
#[derive(Debug)]
pub(super) struct StoreLink {
    worker: WorkerId,
    term: u64,
    next: u64,
    asked: BTreeMap<u64, Asked>,
    /// Of events whose publishers wait for the disk.
    disk: UnderWay,
    /// Of best-effort events.
    memory: UnderWay,
    appends_max: usize,
    append_bytes_max: usize,
    trouble: Option<StoreError>,
    /// The newest event of which this worker has heard.
    pub head: Seq,
}

impl StoreLink {
    pub(super) fn new(worker: WorkerId, head: Seq, appends_max: usize, bytes_max: usize) -> StoreLink {
        StoreLink {
            worker,
            term: 0,
            next: 0,
            asked: BTreeMap::new(),
            disk: UnderWay::default(),
            memory: UnderWay::default(),
            appends_max,
            append_bytes_max: bytes_max,
            trouble: None,
            head,
        }
    }

    /// Asks the store. Its completion finds `asked` again.
    pub(super) fn ask(&mut self, asked: Asked, op: Op, out: &mut Outbox<Peer>) -> u64 {
        self.next += 1;
        if let Asked::Append(append) = &asked {
            let under_way = self.under_way(append.level);
            under_way.appends += 1;
            under_way.bytes += append.weight;
        }
        self.asked.insert(self.next, asked);
        out.store.push(Request { worker: self.worker, ticket: self.next, term: self.term, op });
        self.next
    }

    /// What a completion is for; once.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Asked> {
        let asked = self.asked.remove(&ticket)?;
        if let Asked::Append(append) = &asked {
            let under_way = self.under_way(append.level);
            under_way.appends -= 1;
            under_way.bytes -= append.weight;
        }
        Some(asked)
    }

    fn under_way(&mut self, level: Level) -> &mut UnderWay {
        match level {
            Level::Memory => &mut self.memory,
            Level::Disk => &mut self.disk,
        }
    }

    /// Whether another append may be asked for, and the error that says why not.
    pub(super) fn may_append(&self, level: Level) -> Result<(), Error> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.error().retry_after_ms(1000));
        }
        let (under_way, share) = match level {
            Level::Memory => (self.memory, MEMORY_SHARE),
            Level::Disk => (self.disk, 1),
        };
        let appends_max = self.appends_max.saturating_mul(share);
        if under_way.appends >= appends_max || under_way.bytes >= self.append_bytes_max.saturating_mul(share) {
            return Err(crowded());
        }
        Ok(())
    }

    pub(super) fn is_down(&self) -> bool {
        self.trouble.is_some()
    }

    /// Whether logs may be trimmed and cursors saved: also while the store is full.
    pub(super) fn takes_upkeep(&self) -> bool {
        self.trouble.as_ref().is_none_or(|trouble| trouble.fault == StoreFault::Full)
    }

    /// What a client is told while the store is in trouble.
    pub(super) fn trouble(&self) -> Option<Error> {
        self.trouble.as_ref().map(|trouble| trouble.error().retry_after_ms(1000))
    }

    pub(super) fn on_failed(&mut self, error: &StoreError, term: u64) {
        self.trouble = Some(error.clone());
        self.term = term;
    }

    pub(super) fn on_well(&mut self) {
        self.trouble = None;
    }

    /// The topics with appends under way, each as often as it has some.
    pub(super) fn topics_under_way(&self) -> Vec<Arc<str>> {
        let topic = |asked: &Asked| match asked {
            Asked::Append(append) => Some(append.topic.clone()),
            _ => None,
        };
        self.asked.values().filter_map(topic).collect()
    }

    /// Requests that wait for the store, for the simulator's checks.
    pub(super) fn waiting(&self) -> usize {
        self.asked.len()
    }
}

/// What a publisher is told whose event would wait behind too many.
pub(super) fn crowded() -> Error {
    Error::new(Code::Unavailable, "too many events wait for the disk").retry_after_ms(200)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::store::{Append, Write};

    fn append(link: &mut StoreLink, level: Level, out: &mut Outbox<Peer>) -> u64 {
        let (topic, payload, epoch): (Arc<str>, _, _) = ("a.b".into(), Bytes::from_static(b"1"), Epoch::new(1));
        let stamp = Stamp { epoch, offset: 1, prev: 0 };
        let appended = Appended {
            topic: topic.clone(),
            stamp,
            time: Wall(0),
            payload: payload.clone(),
            weight: 10,
            level,
            retain: false,
            ttl: None,
            low_priority: false,
            published_at: Mono(0),
            is_fanned_out: false,
            dedup: None,
            reply: Reply::Nobody,
        };
        let write = Append {
            topic,
            epoch,
            offset: 1,
            is_mixed: true,
            time: Wall(0),
            expires: None,
            payload,
            level,
            dedup: None,
        };
        link.ask(Asked::Append(Box::new(appended)), Op::Write(Write::Append(write)), out)
    }

    #[test]
    fn best_effort_events_that_wait_leave_guaranteed_ones_their_room() {
        for (appends_max, bytes_max) in [(2, 1000), (1000, 20)] {
            let (mut link, mut out) = (StoreLink::new(WorkerId(0), Seq(0), appends_max, bytes_max), Outbox::new(1));
            let mut last = 0;
            for _ in 0..8 {
                assert!(link.may_append(Level::Memory).is_ok());
                last = append(&mut link, Level::Memory, &mut out);
            }
            let refused = link.may_append(Level::Memory).unwrap_err();
            assert_eq!((refused.code, refused.retry_after_ms), (Code::Unavailable, Some(200)));
            for _ in 0..2 {
                assert!(link.may_append(Level::Disk).is_ok());
                append(&mut link, Level::Disk, &mut out);
            }
            assert!(link.may_append(Level::Disk).is_err());
            link.take(last);
            assert!(link.may_append(Level::Memory).is_ok());
            assert!(link.may_append(Level::Disk).is_err());
        }
    }
}
