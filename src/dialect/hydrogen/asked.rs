//! The line to the store: what was asked and not heard of yet, and whether the store is well.
//!
//! Owns the bound on what waits for the disk: beyond it publishes are refused, so that a disk that
//! does not keep up costs neither memory nor anybody else's time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Peer;
use super::consumer_id::ConsumerId;
use super::letter::LettersAsk;
use super::making::Saving;
use super::replay::Replay;
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
    Buried(ConsumerId, Seq),
    /// The letter that makes room.
    OldestLetter(ConsumerId),
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

/// The line to the store.
#[derive(Debug)]
pub(super) struct StoreLink {
    worker: WorkerId,
    term: u64,
    next: u64,
    asked: BTreeMap<u64, Asked>,
    /// Appends under way, and their bytes.
    appends: usize,
    append_bytes: usize,
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
            appends: 0,
            append_bytes: 0,
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
            self.appends += 1;
            self.append_bytes += append.weight;
        }
        self.asked.insert(self.next, asked);
        out.store.push(Request { worker: self.worker, ticket: self.next, term: self.term, op });
        self.next
    }

    /// What a completion is for; once.
    pub(super) fn take(&mut self, ticket: u64) -> Option<Asked> {
        let asked = self.asked.remove(&ticket)?;
        if let Asked::Append(append) = &asked {
            self.appends -= 1;
            self.append_bytes -= append.weight;
        }
        Some(asked)
    }

    /// Whether another append may be asked for, and the error that says why not.
    pub(super) fn may_append(&self) -> Result<(), Error> {
        if let Some(trouble) = &self.trouble {
            return Err(trouble.error().retry_after_ms(1000));
        }
        if self.appends >= self.appends_max || self.append_bytes >= self.append_bytes_max {
            return Err(Error::new(Code::Unavailable, "too many events wait for the disk").retry_after_ms(200));
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
