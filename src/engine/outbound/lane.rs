//! One lane: frames in order, and for conflation the place of each topic's newest event.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Entry, Payload};

/// Frames that wait, oldest first.
#[derive(Debug, Default)]
pub(super) struct LaneQueue {
    entries: VecDeque<Entry>,
    /// The running number of the front entry.
    front: u64,
    /// The running number of each topic's newest conflating event.
    newest: FxHashMap<Arc<str>, u64>,
    /// Low-priority droppable events that wait: saves the search where there are none.
    low: usize,
    /// Droppable events that wait.
    droppable: usize,
    /// Bytes that wait.
    bytes: usize,
}

/// Bytes that came and went with a replacement.
pub(super) struct Change {
    pub added: usize,
    pub removed: usize,
}

impl LaneQueue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Frames and topics that there is room for.
    pub(super) fn held(&self) -> usize {
        self.entries.capacity() + self.newest.capacity()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn at(&self, index: usize) -> &Entry {
        &self.entries[index]
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if let Payload::Event(event) = &entry.payload {
            if entry.conflate {
                self.newest.insert(event.topic.clone(), self.front + self.entries.len() as u64);
            } else if !self.newest.is_empty() {
                // In the place of one before this, a newer one would overtake this.
                self.newest.remove(&event.topic);
            }
            self.low += usize::from(entry.droppable && event.low_priority);
        }
        self.droppable += usize::from(entry.droppable);
        self.bytes += entry.bytes().len();
        self.entries.push_back(entry);
    }

    /// Bytes of the topic's newest conflating event.
    pub(super) fn newest_bytes(&self, topic: &str) -> Option<usize> {
        self.newest_index(topic).map(|index| self.entries[index].bytes().len())
    }

    /// Takes out the topic's newest conflating event.
    pub(super) fn take_newest(&mut self, topic: &str) -> Option<Entry> {
        self.newest_index(topic).and_then(|index| self.take(index))
    }

    fn newest_index(&self, topic: &str) -> Option<usize> {
        self.newest.get(topic).map(|number| (number - self.front) as usize)
    }

    /// Puts an event in the place of its topic's newest one; gives it back if none waits.
    pub(super) fn replace(&mut self, entry: Entry) -> Result<Change, Entry> {
        let Payload::Event(event) = &entry.payload else { return Err(entry) };
        let Some(index) = self.newest_index(&event.topic) else { return Err(entry) };
        self.uncount(index);
        let added = entry.bytes().len();
        self.low += usize::from(entry.droppable && event.low_priority);
        self.droppable += usize::from(entry.droppable);
        self.bytes += added;
        let old = std::mem::replace(&mut self.entries[index], entry);
        Ok(Change { added, removed: old.bytes().len() })
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        if self.entries.is_empty() {
            return None;
        }
        self.uncount(0);
        let entry = self.entries.pop_front()?;
        self.forget(&entry, self.front);
        self.front += 1;
        Some(entry)
    }

    /// Takes out the oldest droppable event, or the oldest of low priority.
    pub(super) fn drop_oldest(&mut self, low_only: bool) -> Option<Entry> {
        if (if low_only { self.low } else { self.droppable }) == 0 {
            return None;
        }
        let index = self.entries.iter().position(|entry| {
            entry.droppable && (!low_only || matches!(&entry.payload, Payload::Event(event) if event.low_priority))
        })?;
        self.take(index)
    }

    fn take(&mut self, index: usize) -> Option<Entry> {
        if index == 0 {
            return self.pop();
        }
        self.uncount(index);
        let entry = self.entries.remove(index)?;
        self.forget(&entry, self.front + index as u64);
        // Those behind moved up by one, which concerns nobody where nothing is conflated.
        let behind = if self.newest.is_empty() { self.entries.len() } else { index };
        for (offset, entry) in self.entries.iter().enumerate().skip(behind) {
            if let Payload::Event(event) = &entry.payload
                && entry.conflate
                && let Some(number) = self.newest.get_mut(&event.topic)
            {
                *number = self.front + offset as u64;
            }
        }
        Some(entry)
    }

    fn uncount(&mut self, index: usize) {
        let entry = &self.entries[index];
        if let Payload::Event(event) = &entry.payload {
            self.low -= usize::from(entry.droppable && event.low_priority);
        }
        self.droppable -= usize::from(entry.droppable);
        self.bytes -= entry.bytes().len();
    }

    fn forget(&mut self, entry: &Entry, number: u64) {
        if let Payload::Event(event) = &entry.payload
            && entry.conflate
            && self.newest.get(&event.topic) == Some(&number)
        {
            self.newest.remove(&event.topic);
        }
    }
}
