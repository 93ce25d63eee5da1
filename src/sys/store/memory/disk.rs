//! The disk that outlives a process: what is synced, what is on its way, and what goes wrong.
//!
//! A group that was committed but not synced survives the end of the process, as in the system's
//! page cache. A power cut leaves a prefix of such groups. A group that the cut tore in two is
//! dropped when the store is opened, as if all of it had been lost.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::state::State;
use crate::base::Wall;
use crate::engine::store::{Damage, Image, Record, Seq, StoreError, StoreFault, Table, Write};

/// A disk. Clones are handles of the same one.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk(Arc<Mutex<Disk>>);

/// What shall go wrong. Nothing, by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The next sync fails, once.
    pub next_sync: Option<SyncFault>,
    /// Bytes that the disk can hold: what would bring more is refused as full.
    pub capacity: Option<u64>,
    /// Nothing can be written.
    pub is_read_only: bool,
}

/// What becomes of a group whose sync failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncFault {
    /// It is lost.
    Lost,
    /// It reached the disk all the same: a new process finds it there.
    Reached,
}

/// What a power cut left of the groups that were not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// So many survived, the oldest.
    pub survived: usize,
    /// So many are lost.
    pub lost: usize,
}

/// Something that was found damaged, as it was before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetAside {
    /// An event.
    Event(Record),
    /// A small value.
    Value {
        /// Where.
        table: Table,
        /// Which.
        key: Box<str>,
        /// The value.
        value: Bytes,
    },
}

impl MemoryDisk {
    /// An empty disk.
    pub fn new() -> MemoryDisk {
        MemoryDisk::default()
    }

    /// What is ordered to go wrong.
    pub fn faults(&self) -> Faults {
        self.lock().faults
    }

    /// Orders what shall go wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// The process ends at once (SIGKILL): all groups that reached the disk stay. Whoever has it
    /// open can do nothing any more.
    pub fn kill(&self) {
        let mut disk = self.lock();
        disk.process += 1;
        if let Some(Group { writes, first }) = disk.unknown.take() {
            disk.now.apply(&writes, first);
            disk.pending.push(Group { writes, first });
        }
    }

    /// The power goes: of the groups that were not synced, a prefix survives. `random` gives a
    /// number below its argument.
    pub fn cut(&self, random: &mut dyn FnMut(u64) -> u64) -> Cut {
        self.kill();
        let mut disk = self.lock();
        let disk = &mut *disk;
        let count = disk.pending.len();
        // The remainder keeps a source that gives too much from asking for what is not there.
        let survived = (random(count as u64 + 1) % (count as u64 + 1)) as usize;
        if count > 0 {
            disk.pending.truncate(survived);
            disk.sync();
            if survived < count {
                disk.now = disk.synced.clone();
            }
        }
        Cut { survived, lost: count - survived }
    }

    /// One event or value is damaged where it lies. Whoever reads it finds out. Returns whether
    /// there was one that was whole. What is not synced is written first.
    pub fn flip(&self, random: &mut dyn FnMut(u64) -> u64) -> bool {
        let mut disk = self.lock();
        let disk = &mut *disk;
        disk.sync();
        let count = disk.synced.whole();
        if count == 0 {
            return false;
        }
        let which = random(count) % count;
        disk.now.flip(which);
        disk.synced.flip(which);
        true
    }

    /// What was set aside, in the order in which it was found.
    pub fn set_aside(&self) -> Vec<SetAside> {
        self.lock().set_aside.clone()
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Disk> {
        self.0.lock()
    }
}

/// A group as it was written.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) writes: Vec<Write>,
    pub(super) first: Seq,
}

#[derive(Debug)]
pub(super) struct Disk {
    /// What a read finds.
    pub(super) now: State,
    /// What a power cut leaves at least.
    pub(super) synced: State,
    /// The difference: groups that are committed but not synced.
    pub(super) pending: Vec<Group>,
    /// The group whose sync failed, though it reached the disk.
    pub(super) unknown: Option<Group>,
    pub(super) faults: Faults,
    set_aside: Vec<SetAside>,
    process: u64,
    is_closed: bool,
}

impl Default for Disk {
    fn default() -> Disk {
        Disk {
            now: State::default(),
            synced: State::default(),
            pending: Vec::new(),
            unknown: None,
            faults: Faults::default(),
            set_aside: Vec::new(),
            process: 0,
            is_closed: true,
        }
    }
}

impl Disk {
    /// The process that has it open.
    pub(super) fn process(&self) -> u64 {
        self.process
    }

    /// Begins a process, with its image.
    pub(super) fn open(&mut self, now: Wall, dedup_window: Duration, dedup_max: usize) -> Image {
        self.now.keep_dedup(dedup_max);
        self.synced.keep_dedup(dedup_max);
        let was_closed = std::mem::replace(&mut self.is_closed, false);
        Image { was_closed, ..self.now.image(now, dedup_window) }
    }

    /// Ends the process in order.
    pub(super) fn close(&mut self) {
        self.sync();
        self.is_closed = true;
        self.process += 1;
    }

    /// Everything that is committed survives a power cut from now on.
    pub(super) fn sync(&mut self) {
        for Group { writes, first } in self.pending.drain(..) {
            self.synced.apply(&writes, first);
        }
    }

    /// Whether so many bytes more can be written.
    pub(super) fn is_writable(&self, growth: u64) -> Result<(), StoreError> {
        if self.faults.is_read_only {
            return Err(StoreError::new(StoreFault::ReadOnly, "the disk is read-only"));
        }
        match self.faults.capacity {
            // What brings nothing must go through, or a full disk could never be emptied.
            Some(capacity) if growth > 0 && self.now.bytes + growth > capacity => {
                let text = format!("{} and {growth} bytes on a disk of {capacity}", self.now.bytes);
                Err(StoreError::new(StoreFault::Full, text))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn set_aside_event(&mut self, seq: Seq, damage: &mut Vec<Damage>) {
        self.synced.remove(seq);
        if let Some(record) = self.now.remove(seq) {
            report(damage, &record);
            self.set_aside.push(SetAside::Event(record));
        }
    }

    pub(super) fn set_aside_value(&mut self, table: Table, key: &str, damage: &mut Vec<Damage>) {
        self.synced.delete(table, key);
        if let Some(value) = self.now.delete(table, key) {
            damage.push(Damage::Value { table, key: key.into() });
            self.set_aside.push(SetAside::Value { table, key: key.into(), value });
        }
    }

    /// Everything that is damaged, as a check of the whole store finds it.
    pub(super) fn set_aside_all(&mut self, damage: &mut Vec<Damage>) {
        for seq in self.now.flipped_events() {
            self.set_aside_event(seq, damage);
        }
        for (table, key) in self.now.flipped_values() {
            self.set_aside_value(table, &key, damage);
        }
    }
}

/// Neighbours in a log are reported as one range.
fn report(damage: &mut Vec<Damage>, record: &Record) {
    for known in damage.iter_mut() {
        if let Damage::Events { topic, epoch, last, .. } = known
            && **topic == *record.topic
            && *epoch == record.epoch
            && *last + 1 == record.offset
        {
            *last = record.offset;
            return;
        }
    }
    damage.push(Damage::Events {
        topic: (*record.topic).into(),
        epoch: record.epoch,
        first: record.offset,
        last: record.offset,
    });
}
