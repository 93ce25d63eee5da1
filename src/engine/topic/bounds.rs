//! The bounds of one shard, what stands against more, and what is held.

use std::fmt;

use super::retained::NoRoom;
use crate::base::{Code, Error};

/// The bounds of one shard.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Topics that have state.
    pub topics: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Retained values.
    pub retained_values: usize,
    /// Bytes of all retained values.
    pub retained_bytes: usize,
    /// Targets of all lists kept ready, 16 bytes each.
    pub listed_targets: usize,
    /// Length from which on a list is patched when subscriptions change, not made anew.
    pub patched_from: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            topics: 100_000,
            subscriptions: 1_000_000,
            retained_values: 100_000,
            retained_bytes: 64 * 1024 * 1024,
            listed_targets: 4_000_000,
            patched_from: 256,
        }
    }
}

/// Which bound of the shard is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// Too many topics.
    Topics,
    /// Too many subscriptions.
    Subscriptions,
    /// Too many retained values.
    RetainedValues,
    /// Too many bytes retained.
    RetainedBytes,
}

impl Full {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Full::Topics => "the server holds as many topics as it may",
            Full::Subscriptions => "the server holds as many subscriptions as it may",
            Full::RetainedValues => "the server retains as many values as it may",
            Full::RetainedBytes => "the server retains as many bytes as it may",
        }
    }
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::error::Error for Full {}

impl From<Full> for Error {
    fn from(full: Full) -> Error {
        Error::new(Code::Unavailable, full.as_str())
    }
}

impl From<NoRoom> for Full {
    fn from(room: NoRoom) -> Full {
        match room {
            NoRoom::Values => Full::RetainedValues,
            NoRoom::Bytes => Full::RetainedBytes,
        }
    }
}

/// What a shard holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Topics that have state.
    pub topics: usize,
    /// Subscriptions.
    pub subscriptions: usize,
    /// Connections that have any.
    pub connections: usize,
    /// Distinct filters.
    pub filters: usize,
    /// Retained values, expired ones among them.
    pub retained_values: usize,
    /// Their bytes.
    pub retained_bytes: usize,
    /// Distinct sets of patterns that topics fall under.
    pub lists: usize,
    /// Targets of the lists kept ready.
    pub listed_targets: usize,
}
