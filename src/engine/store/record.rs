//! One stored event, and the numbers that name it.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::base::Wall;
use crate::engine::topic::Epoch;

/// An event's place among all that were ever appended, from 1. Within a topic it grows with the
/// offset; it is never used twice, and there may be gaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

impl Seq {
    /// The one behind this.
    pub fn next(self) -> Seq {
        Seq(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How safe an answered publish is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// In the memory of this process, and on its way to the disk if its topic keeps a log.
    Memory,
    /// Synced to the disk.
    Disk,
}

impl Level {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Memory => "memory",
            Level::Disk => "disk",
        }
    }
}

/// What tells a repeated publish from a new one: a hash over identity, topic and command id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DedupKey(pub u128);

/// One stored event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its place among all events.
    pub seq: Seq,
    /// Its topic.
    pub topic: Arc<str>,
    /// The topic's epoch. Another epoch of the same topic is another log.
    pub epoch: Epoch,
    /// Its place in the log: 1, 2, 3 and so on, without gaps.
    pub offset: u64,
    /// When it was published.
    pub time: Wall,
    /// When it is no longer worth delivering.
    pub expires: Option<Wall>,
    /// Its data: valid JSON.
    pub payload: Bytes,
}

impl Record {
    /// The event's id on the wire: `<epoch>-<offset>`.
    pub fn id(&self) -> String {
        format!("{}-{}", self.epoch, self.offset)
    }

    /// What it counts for against limits of bytes: payload, topic and the fixed part.
    pub fn weight(&self) -> usize {
        self.payload.len() + self.topic.len() + 64
    }

    /// Whether its time is over.
    pub fn is_expired(&self, now: Wall) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}
