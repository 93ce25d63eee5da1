//! What can go wrong in a store, and what was found damaged.

use std::fmt;

use super::request::Table;
use crate::base::{Code, Error};
use crate::engine::topic::Epoch;

/// Why the store did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// What kind of trouble.
    pub fault: StoreFault,
    /// For the log; it may name files, so that no client is told.
    pub text: Box<str>,
}

/// The kinds of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreFault {
    /// The disk, or the store's own limit, is full. Nothing of the group was kept.
    Full,
    /// The disk takes no writes. Nothing of the group was kept.
    ReadOnly,
    /// A write or a sync failed. Whether the group is on the disk is not known until the store is
    /// opened again, which takes back what was not answered.
    Io,
    /// What the store keeps makes no sense.
    Damaged,
    /// The request was stamped in a term that is over.
    Stale,
    /// The asker did what the contract refuses.
    Refused,
}

impl StoreFault {
    /// All kinds.
    pub const ALL: [StoreFault; 6] = [
        StoreFault::Full,
        StoreFault::ReadOnly,
        StoreFault::Io,
        StoreFault::Damaged,
        StoreFault::Stale,
        StoreFault::Refused,
    ];

    /// Their names, in the same order: the values of the metric label `fault`.
    pub const NAMES: [&'static str; 6] = ["full", "read_only", "io", "damaged", "stale", "refused"];

    /// The name in logs, status and metrics.
    pub fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }
}

impl StoreError {
    /// An error with its text for the log.
    pub fn new(fault: StoreFault, text: impl Into<Box<str>>) -> StoreError {
        StoreError { fault, text: text.into() }
    }

    /// What a client is told.
    pub fn error(&self) -> Error {
        match self.fault {
            StoreFault::Full => Error::new(Code::StorageFull, "the store is full"),
            StoreFault::ReadOnly => Error::new(Code::Unavailable, "the store cannot be written"),
            StoreFault::Io | StoreFault::Damaged => Error::new(Code::Unavailable, "the store is in trouble"),
            StoreFault::Stale => Error::new(Code::Unavailable, "the store is coming back"),
            StoreFault::Refused => Error::new(Code::Internal, "the store refused the request"),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.fault.as_str(), self.text)
    }
}

impl std::error::Error for StoreError {}

/// Something that was found damaged and set aside: it is never served.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// Events of a log.
    Events {
        /// The topic.
        topic: Box<str>,
        /// Which of its logs.
        epoch: Epoch,
        /// The first offset that is gone.
        first: u64,
        /// The last offset that is gone.
        last: u64,
    },
    /// A small value.
    Value {
        /// Where.
        table: Table,
        /// Which; empty if that cannot be told.
        key: Box<str>,
    },
    /// A part of the store's files that says nothing of what was in it.
    File {
        /// What was found.
        text: Box<str>,
    },
}

impl Damage {
    /// Its place among the values of the metric label `kind`: events, value, file.
    pub fn kind(&self) -> usize {
        match self {
            Damage::Events { .. } => 0,
            Damage::Value { .. } => 1,
            Damage::File { .. } => 2,
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Events { topic, epoch, first, last } => {
                write!(f, "topic={topic} epoch={epoch} offsets={first}..={last}")
            }
            Damage::Value { table, key } => write!(f, "table={} key={key:?}", table.as_str()),
            Damage::File { text } => f.write_str(text),
        }
    }
}
