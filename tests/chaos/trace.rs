//! What the clients saw, in the order in which they saw it. The checks know nothing else.

use std::fmt;
use std::sync::Arc;

/// An event's id, `<epoch>-<offset>`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventId {
    pub epoch: Arc<str>,
    pub offset: u64,
}

impl EventId {
    pub fn parse(text: &str) -> Option<EventId> {
        let (epoch, offset) = text.rsplit_once('-')?;
        Some(EventId { epoch: epoch.into(), offset: offset.parse().ok()? })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// One thing that a client did or saw.
#[derive(Clone, Debug)]
pub struct Entry {
    /// On the system's monotonic clock, as the power-cut log tells time.
    pub at_ns: u64,
    /// The publisher, or the durable subscription.
    pub who: &'static str,
    /// Its connection; no number is used twice.
    pub connection: u32,
    pub what: What,
}

#[derive(Clone, Debug)]
pub enum What {
    /// Connected to the server in this life of it.
    Opened { life: u32 },
    /// The subscription was granted, for the first time or again.
    Subscribed,
    /// A publish is about to be sent for the first time. `guaranteed`: `at_least_once`.
    Sent { number: u64, topic: &'static str, guaranteed: bool },
    /// A publish was answered with success.
    Answered { number: u64, event: EventId, level: Option<String> },
    /// An event came.
    Delivered { event: EventId, topic: String, number: u64, attempt: u64, prev: Option<u64> },
    /// An ack of these is about to be sent.
    Acked { events: Vec<EventId> },
    /// A refusal of this is about to be sent.
    Rejected { event: EventId },
    /// A ping is about to be sent: what answers it has seen the acks before.
    Pinged { ping: u64 },
    /// That ping was answered.
    Confirmed { ping: u64 },
    /// Something came that the protocol does not allow.
    Broken { text: String },
}
