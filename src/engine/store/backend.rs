//! What keeps the data: one implementation in memory, one on the disk.

use std::sync::Arc;

use bytes::Bytes;

use super::event::{Page, Trimmed};
use super::fault::{Damage, StoreError};
use super::record::{DedupKey, Seq};
use super::request::{Read, Table, Write};
use crate::base::Wall;
use crate::engine::topic::Epoch;

/// Keeps the data. It is used by one thread, blocks, and knows no tickets.
///
/// Whatever it returns was checked by the record's own checksum. What does not pass is set aside
/// and reported by [`Backend::take_damage`], never returned.
pub trait Backend: Send {
    /// Commits a group as a whole. Its appends are numbered from `first` on, in order. With
    /// `sync`, it and everything before it survives a power cut from now on. After an error nothing
    /// of the group counts; after [`super::StoreFault::Io`] the backend refuses everything until it
    /// is opened again. Returns what each trim of the group did, in order.
    ///
    /// Refused, with nothing changed: an append whose offset does not follow the last of its log
    /// (a new log begins with 1), one to a log that is not its topic's newest, and a `first` that
    /// was given to an event before.
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError>;

    /// Tries to become well after a failure: opens everything anew, takes back events behind
    /// `last`, the newest that was answered, and writes and syncs something to see that it can.
    /// Other changes of the group that failed may be there or not; their askers repeat them. It
    /// stays [`super::StoreFault::Full`] until there is room for more than the next event, so that it is
    /// not well and full by turns; groups that only take away are committed all the same,
    /// and cursors as long as they find room.
    fn reopen(&mut self, last: Seq) -> Result<(), StoreError>;

    /// Why it refuses everything until it is opened again, if it does.
    fn failure(&self) -> Option<StoreError>;

    /// Reads events.
    fn read(&mut self, read: &Read) -> Result<Page, StoreError>;

    /// One value.
    fn get(&mut self, table: Table, key: &str) -> Result<Option<Bytes>, StoreError>;

    /// Values in the order of their keys: those that begin with `prefix`, behind `after`, up to
    /// `limit`.
    fn scan(
        &mut self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError>;

    /// Syncs everything and marks the store as closed in order. Nothing is asked of it afterwards.
    fn close(&mut self) -> Result<(), StoreError>;

    /// What was found damaged since the last call.
    fn take_damage(&mut self) -> Vec<Damage>;

    /// How large it is.
    fn size(&mut self) -> Size;
}

/// How large a store is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of its files.
    pub bytes: u64,
    /// Bytes that are free on its disk; `u64::MAX` if that is not known.
    pub free: u64,
    /// Events that it holds, about.
    pub events: u64,
}

/// A store that was opened.
pub struct Opened<B> {
    /// It.
    pub backend: B,
    /// What the workers begin with.
    pub image: Image,
    /// What was found damaged. It is set aside.
    pub damage: Vec<Damage>,
}

/// What the workers begin with.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// The number of the newest event ever appended.
    pub last: Seq,
    /// Every log that holds events, and the newest log of every topic even if it holds none.
    pub logs: Vec<LogHead>,
    /// Ids of publishes, oldest first, with what they were answered: the newest within the window.
    /// Those of events that are gone may be left out.
    pub dedup: Vec<(DedupKey, Epoch, u64, Wall)>,
    /// Whether the store was closed in order, or is new.
    pub was_closed: bool,
}

/// One log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The topic.
    pub topic: Arc<str>,
    /// The epoch.
    pub epoch: Epoch,
    /// Whether it is the topic's newest log.
    pub is_newest: bool,
    /// The oldest offset it holds; one more than `last` if it holds none.
    pub first: u64,
    /// The newest offset it ever held.
    pub last: u64,
    /// The number of the newest event it ever held.
    pub last_seq: Seq,
    /// Bytes of the events it holds, as [`super::Record::weight`] counts them.
    pub bytes: u64,
    /// When its oldest event was published.
    pub first_time: Option<Wall>,
    /// Whether it takes events of level memory. If the store was not closed in order, some may
    /// be missing at its end: it gets no more events then, so that no offset is given twice.
    pub is_mixed: bool,
    /// Whether events at its end were lost to damage, or may have been. It takes no more events,
    /// so that no offset is given twice: the topic needs a new epoch.
    pub is_cut: bool,
}
