//! Events that were given up, and what was tried before.

use std::sync::Arc;

use crate::base::{ConnId, Wall};
use crate::engine::store::Seq;
use crate::engine::topic::Epoch;

/// An event that was given up. Its payload is in the log, or, if it was a dead letter before, in
/// the table of dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its place among all events.
    pub seq: Seq,
    /// Its topic.
    pub topic: Arc<str>,
    /// The topic's epoch.
    pub epoch: Epoch,
    /// Its place in the log.
    pub offset: u64,
    /// Its weight, as [`crate::engine::store::Record::weight`] counts it.
    pub weight: usize,
    /// Why.
    pub reason: DeadReason,
    /// How often it was sent.
    pub deliveries: u32,
    /// The last attempts, oldest first.
    pub history: Vec<Attempt>,
}

/// Why an event was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadReason {
    /// The client refused it, with this text.
    Rejected(Box<str>),
    /// It was sent as often as is allowed, and never acked in time.
    AttemptsExhausted,
}

impl DeadReason {
    /// The name in lists and metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            DeadReason::Rejected(_) => "rejected",
            DeadReason::AttemptsExhausted => "attempts_exhausted",
        }
    }
}

/// An attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When it ended.
    pub at: Wall,
    /// To whom it was sent.
    pub conn: ConnId,
    /// How it ended.
    pub outcome: Outcome,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// No ack came in time.
    TimedOut,
    /// The connection went.
    Disconnected,
    /// The client refused it.
    Rejected,
}

impl Outcome {
    /// The name in lists.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::TimedOut => "timed_out",
            Outcome::Disconnected => "disconnected",
            Outcome::Rejected => "rejected",
        }
    }

    /// Reads what [`Outcome::as_str`] gave.
    pub fn parse(text: &str) -> Option<Outcome> {
        [Outcome::TimedOut, Outcome::Disconnected, Outcome::Rejected].into_iter().find(|one| one.as_str() == text)
    }
}
