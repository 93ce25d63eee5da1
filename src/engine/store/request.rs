//! What is asked of the store.

use std::sync::Arc;

use bytes::Bytes;

use super::record::{DedupKey, Level, Seq};
use crate::base::{Wall, WorkerId};
use crate::engine::topic::{Epoch, Pattern};

/// One request. Requests of one worker are done in their order; each gets one completion that
/// names its ticket.
#[derive(Clone, Debug)]
pub struct Request {
    /// Who asks, and gets the completion.
    pub worker: WorkerId,
    /// The asker's number for it.
    pub ticket: u64,
    /// The writer's term that the asker knows. Appends of an older term are refused: they were
    /// stamped before a failure that made their offsets wrong.
    pub term: u64,
    /// What is asked.
    pub op: Op,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Op {
    /// A change; it goes through the writer.
    Write(Write),
    /// A look at logs; it sees all that was committed before it was asked.
    Read(Read),
    /// One value.
    Get {
        /// Where.
        table: Table,
        /// Which.
        key: Box<str>,
    },
    /// Values in the order of their keys.
    Scan {
        /// Where.
        table: Table,
        /// Only keys that begin so.
        prefix: Box<str>,
        /// Only keys behind this one.
        after: Option<Box<str>>,
        /// So many at most.
        limit: usize,
    },
}

/// One change. A group of changes is committed as a whole or not at all.
#[derive(Clone, Debug)]
pub enum Write {
    /// A new event at the end of a log.
    Append(Append),
    /// The oldest events of a log go, up to and including an offset.
    Trim {
        /// The topic.
        topic: Arc<str>,
        /// Which of its logs.
        epoch: Epoch,
        /// The last offset that goes.
        through: u64,
        /// Only events that were published before this go.
        before: Option<Wall>,
    },
    /// A value is set.
    Put {
        /// Where.
        table: Table,
        /// Which.
        key: Box<str>,
        /// The value.
        value: Bytes,
        /// Whether its completion says that it is synced. If not, it is synced with a later group.
        level: Level,
    },
    /// A value goes.
    Delete {
        /// Where.
        table: Table,
        /// Which.
        key: Box<str>,
        /// As for a put.
        level: Level,
    },
}

impl Write {
    /// Whether the group that it is in must be synced before it is answered.
    pub fn needs_sync(&self) -> bool {
        match self {
            Write::Append(append) => append.level == Level::Disk,
            Write::Trim { .. } => false,
            Write::Put { level, .. } | Write::Delete { level, .. } => *level == Level::Disk,
        }
    }

    /// Whether it is done while the store is full: what takes away, and cursors, which take the
    /// place of older ones, so that an ack is not forgotten because the store is full.
    pub fn is_for_full(&self) -> bool {
        self.makes_room() || matches!(self, Write::Put { table: Table::Cursors, .. })
    }

    /// Whether it only takes away.
    pub fn makes_room(&self) -> bool {
        match self {
            Write::Trim { .. } | Write::Delete { .. } => true,
            Write::Append(_) | Write::Put { .. } => false,
        }
    }

    /// Bytes that it brings, about.
    pub fn weight(&self) -> usize {
        match self {
            Write::Append(append) => append.payload.len() + append.topic.len() + 64,
            Write::Trim { topic, .. } => topic.len() + 64,
            Write::Put { key, value, .. } => key.len() + value.len() + 64,
            Write::Delete { key, .. } => key.len() + 64,
        }
    }
}

/// A new event at the end of a log. The topic's worker hands out offsets; the store refuses one
/// that does not follow the last.
#[derive(Clone, Debug)]
pub struct Append {
    /// The topic.
    pub topic: Arc<str>,
    /// Its epoch: a new one begins a new log.
    pub epoch: Epoch,
    /// The next offset of that log.
    pub offset: u64,
    /// Whether the log takes events of level memory: said when it begins, and then for good.
    pub is_mixed: bool,
    /// When it was published.
    pub time: Wall,
    /// When it is no longer worth delivering.
    pub expires: Option<Wall>,
    /// Its data: valid JSON.
    pub payload: Bytes,
    /// Whether its publisher waits for the sync.
    pub level: Level,
    /// Remembered with the event, so that a repeat is known after a restart.
    pub dedup: Option<DedupKey>,
}

/// Over how many events times may be out of order, for [`Read::Since`].
pub const SINCE_LOOK: usize = 1024;

/// A look at logs. Answered with a [`super::Page`].
#[derive(Clone, Debug)]
pub enum Read {
    /// One log from an offset on.
    Offset {
        /// The topic.
        topic: Arc<str>,
        /// Which of its logs.
        epoch: Epoch,
        /// Only what is behind this offset.
        after: u64,
        /// So many events at most.
        limit: usize,
        /// So many bytes at most, but one event at least.
        bytes: usize,
    },
    /// One log from a time on: the first event that was published then or later, and all behind
    /// it in the order of offsets, even if the clock was set back in between.
    Time {
        /// The topic.
        topic: Arc<str>,
        /// Which of its logs.
        epoch: Epoch,
        /// When the first was published, at the earliest.
        since: Wall,
        /// So many events at most.
        limit: usize,
        /// So many bytes at most, but one event at least.
        bytes: usize,
    },
    /// The first event of all logs that was published at a time or later: one or none. Times need
    /// not be quite in the order of numbers; where the clock was set back over more than
    /// [`SINCE_LOOK`] events, it may be a later one.
    Since {
        /// When it was published, at the earliest.
        since: Wall,
    },
    /// Events of all logs under some patterns, in the order of their numbers.
    Patterns {
        /// The patterns; an event is given once, however many match.
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
    /// Single events, in the order asked. Those that are gone are left out.
    Seqs {
        /// Which.
        seqs: Vec<Seq>,
    },
}

/// Where small values are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Table {
    /// What concerns the whole store.
    Meta = 0,
    /// Subscriptions that outlive their connection.
    Subscriptions = 1,
    /// How far each of them has come.
    Cursors = 2,
    /// Sessions that can be resumed.
    Sessions = 3,
    /// Events that were given up.
    DeadLetters = 4,
    /// The newest event of topics that retain it.
    Retained = 5,
    /// Blocked identities and addresses.
    Blocks = 6,
    /// Rooms of signaling, with their members.
    Rooms = 7,
}

impl Table {
    /// All tables.
    pub const ALL: [Table; 8] = [
        Table::Meta,
        Table::Subscriptions,
        Table::Cursors,
        Table::Sessions,
        Table::DeadLetters,
        Table::Retained,
        Table::Blocks,
        Table::Rooms,
    ];

    /// The name, in reports of damage and in the output of checks.
    pub fn as_str(self) -> &'static str {
        match self {
            Table::Meta => "meta",
            Table::Subscriptions => "subscriptions",
            Table::Cursors => "cursors",
            Table::Sessions => "sessions",
            Table::DeadLetters => "dead_letters",
            Table::Retained => "retained",
            Table::Blocks => "blocks",
            Table::Rooms => "rooms",
        }
    }
}
