//! What a consumer orders.

use std::sync::Arc;

use crate::base::ConnId;
use crate::engine::delivery::dead::DeadLetter;
use crate::engine::store::{Record, Seq};
use crate::engine::topic::Pattern;

/// An order to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// An event goes to a member.
    Send {
        /// Which member.
        member: ConnId,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// The event.
        record: Record,
    },
    /// The logs are read, as by [`crate::engine::store::Read::Patterns`]. Answered by `on_page` or
    /// `on_read_failed`; until then there is no other.
    Read {
        /// The patterns.
        patterns: Arc<[Pattern]>,
        /// Only what is behind this number.
        after: Seq,
        /// Nothing behind this number.
        through: Seq,
        /// So many events at most.
        limit: usize,
        /// So many bytes at most, but one event at least.
        bytes: usize,
    },
    /// Single events are read. Answered by `on_fetched` or `on_fetch_failed`; until then there is
    /// no other.
    Fetch {
        /// Where they are.
        source: Source,
        /// Which, in order; 64 at most.
        seqs: Vec<Seq>,
    },
    /// An event is given up. Its dead letter is stored with its payload, in place of an earlier
    /// one; then `buried` is called, or `not_buried` on trouble, or `perished` if the payload is
    /// gone.
    Dead(Box<DeadLetter>),
    /// A dead letter that was delivered again is acked: it goes from its table.
    Resurrected {
        /// Which.
        seq: Seq,
    },
    /// So many events ended unacked because their time was over or they were trimmed.
    Expired(u64),
}

/// Where an event's payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// In its topic's log.
    Log,
    /// In the table of dead letters.
    DeadLetters,
}

/// What became of an event that was just published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offer {
    /// It goes to this member now, as its first attempt.
    Taken {
        /// Which member.
        member: ConnId,
    },
    /// No selector takes it.
    NotMine,
    /// It counted, and its time is over already.
    Expired,
    /// It is read from the log later, if it counts.
    Behind,
}
