//! What the store says: commits, answers, trouble.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use super::fault::{Damage, StoreError};
use super::record::{Level, Record, Seq};
use crate::base::{Wall, WorkerId};

/// What a worker hears from the store.
#[derive(Clone, Debug)]
pub enum StoreEvent {
    /// A group with events was committed. Every worker hears of every commit, in the order of
    /// their numbers.
    Committed(Arc<Commit>),
    /// A request's completion, to its asker alone. An append that was committed has none but its
    /// entry in the commit.
    Done {
        /// Which request.
        ticket: u64,
        /// What came of it.
        result: Result<Answer, StoreError>,
    },
    /// A group could not be committed. Every worker hears of it; the appends of the term that is
    /// over fail one by one, each with its completion.
    Failed(Arc<Failure>),
    /// The store works again after a failure.
    Well,
    /// Something was found damaged and was set aside. Every worker hears of it.
    Damaged(Arc<[Damage]>),
}

/// A committed group's events.
#[derive(Debug)]
pub struct Commit {
    /// Its events, in the order of their numbers.
    pub entries: Vec<Entry>,
    /// How safe they are.
    pub level: Level,
}

impl Commit {
    /// The last event's number.
    pub fn last(&self) -> Seq {
        self.entries.last().map_or(Seq(0), |entry| entry.record.seq)
    }
}

/// One committed event.
#[derive(Debug)]
pub struct Entry {
    /// The event.
    pub record: Record,
    /// Who appended it.
    pub worker: WorkerId,
    /// That worker's number for the append.
    pub ticket: u64,
    /// The frame of its first delivery to those who ack: encoded by the first worker that needs it.
    pub frame: OnceLock<Bytes>,
}

/// A group that could not be committed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Why.
    pub error: StoreError,
    /// The term that begins now.
    pub term: u64,
}

/// What comes of a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A put or delete was committed.
    Done,
    /// A trim was committed.
    Trimmed(Trimmed),
    /// Events.
    Page(Page),
    /// A value, if there is one.
    Value(Option<Bytes>),
    /// Keys and values, in the order of the keys.
    Values(Vec<(Box<str>, Bytes)>),
}

/// What a trim took away, and what it left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trimmed {
    /// The events that went, in order.
    pub gone: Vec<Seq>,
    /// The oldest offset that the log still has; one more than its newest if it has none; 0 if
    /// there is no such log.
    pub first: u64,
    /// Bytes of what is left, as [`Record::weight`] counts them.
    pub bytes: u64,
    /// When the oldest event that is left was published.
    pub first_time: Option<Wall>,
}

/// Events that were read.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The events, in order.
    pub records: Vec<Record>,
    /// Reading by patterns: everything up to and including this number was looked at. At the end
    /// it is what `through` was.
    pub through: Seq,
    /// Reading one log: the oldest offset that the log still has; 0 if it has none.
    pub first: u64,
    /// Reading one log: whether there is more behind the last of `records`.
    pub more: bool,
    /// Reading one log: whether something between the place asked for and the last of `records`
    /// is not there any more. If there is no more to read, what is gone from the log's end counts,
    /// and so does a log that the store does not know.
    pub missing: bool,
}
