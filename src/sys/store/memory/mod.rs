//! A store in memory, with faults to order: for tests and for the simulator.
//!
//! The [`MemoryDisk`] outlives the process that is simulated: it is killed or loses its power,
//! and a new [`MemoryBackend`] is opened on what is left. Everything here repeats exactly;
//! randomness is an argument. It does not model disks that lie about a sync: nothing can be
//! built on those.

#[cfg(test)]
mod answered;
mod disk;
mod look;
mod state;
#[cfg(test)]
mod tests;

pub use disk::{Cut, Faults, MemoryDisk, SetAside, SyncFault};

use std::time::Duration;

use bytes::Bytes;

use crate::base::Wall;
use crate::engine::store::{
    Backend, Damage, Opened, Page, Read, Seq, Size, StoreError, StoreFault, Table, Trimmed, Write,
};
use disk::{Disk, Group};

/// What a probe for room writes.
const PROBE_BYTES: u64 = 64;

/// Room that a full disk must have again before the store is well: this, or a 64th of the disk.
const RESERVE_BYTES: u64 = 256;

/// Groups that are not synced. Then they are written back, as a system does after some time.
const PENDING_GROUPS: usize = 4096;

/// A store on a [`MemoryDisk`].
#[derive(Debug)]
pub struct MemoryBackend {
    disk: MemoryDisk,
    /// The process that this belongs to; the disk knows which one lives.
    process: u64,
    broken: Option<StoreError>,
    /// What there was no room for since it was well.
    wanted: u64,
    damage: Vec<Damage>,
}

impl MemoryBackend {
    /// Opens what is on the disk, as a new process: one that still has it open is killed. Ids of
    /// publishes are remembered for `dedup_window`, `dedup_max` of them at most.
    pub fn open(disk: &MemoryDisk, now: Wall, dedup_window: Duration, dedup_max: usize) -> Opened<MemoryBackend> {
        disk.kill();
        let mut inner = disk.lock();
        let mut damage = Vec::new();
        inner.set_aside_all(&mut damage);
        // What is there counts from now on, so it is synced, as by any store that is recovered.
        inner.sync();
        let image = inner.open(now, dedup_window, dedup_max);
        let backend =
            MemoryBackend { disk: disk.clone(), process: inner.process(), broken: None, wanted: 0, damage: Vec::new() };
        Opened { backend, image, damage }
    }

    /// Does something with the disk, if this process may still use it.
    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Disk, &mut Vec<Damage>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut disk = self.disk.lock();
        if disk.process() != self.process {
            return Err(StoreError::new(StoreFault::Io, "the process that had it open is gone"));
        }
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let result = act(&mut disk, &mut self.damage);
        if let Err(error) = &result
            && error.fault == StoreFault::Io
        {
            self.broken = Some(error.clone());
        }
        result
    }
}

impl Backend for MemoryBackend {
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        let mut wanted = self.wanted;
        let done = self.with(|disk, _| {
            let growth = disk.now.check(group, first)?;
            let writable = disk.is_writable(growth);
            if writable.as_ref().is_err_and(|error| error.fault == StoreFault::Full) {
                wanted = wanted.max(growth);
            }
            writable?;
            let fault = if sync { disk.faults.next_sync.take() } else { None };
            if let Some(fault) = fault {
                match fault {
                    SyncFault::Lost => {}
                    SyncFault::Reached => disk.unknown = Some(Group { writes: group.to_vec(), first }),
                }
                return Err(StoreError::new(StoreFault::Io, "the sync failed"));
            }
            if sync {
                disk.sync();
                disk.synced.apply(group, first);
            } else {
                if disk.pending.len() >= PENDING_GROUPS {
                    disk.sync();
                }
                disk.pending.push(Group { writes: group.to_vec(), first });
            }
            Ok(disk.now.apply(group, first))
        });
        self.wanted = wanted;
        done
    }

    fn reopen(&mut self, last: Seq) -> Result<(), StoreError> {
        self.broken = None;
        let wanted = self.wanted;
        self.with(|disk, _| {
            if last < disk.now.last {
                let text = format!("events up to {} were answered, not up to {last}", disk.now.last);
                return Err(StoreError::new(StoreFault::Refused, text));
            }
            // It was there all the time: what is written from now on comes behind it.
            if let Some(Group { mut writes, first }) = disk.unknown.take() {
                writes.retain(|write| !matches!(write, Write::Append(_)));
                disk.now.apply(&writes, first);
                disk.pending.push(Group { writes, first });
            }
            let capacity = disk.faults.capacity.unwrap_or(0);
            let reserve = (capacity / 64).max(RESERVE_BYTES).max(wanted.min(capacity / 4));
            disk.is_writable(if wanted > 0 { reserve } else { PROBE_BYTES })?;
            if disk.faults.next_sync.take().is_some() {
                return Err(StoreError::new(StoreFault::Io, "the sync failed"));
            }
            disk.sync();
            Ok(())
        })?;
        self.wanted = 0;
        Ok(())
    }

    fn failure(&self) -> Option<StoreError> {
        self.broken.clone()
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        self.with(|disk, damage| {
            loop {
                let mut flipped = Vec::new();
                let page = look::page(&disk.now, read, &mut flipped)?;
                if flipped.is_empty() {
                    return Ok(page);
                }
                for seq in flipped {
                    disk.set_aside_event(seq, damage);
                }
            }
        })
    }

    fn get(&mut self, table: Table, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.with(|disk, damage| match look::value(&disk.now, table, key) {
            Some(value) if value.is_flipped => {
                disk.set_aside_value(table, key, damage);
                Ok(None)
            }
            value => Ok(value.map(|value| value.bytes.clone())),
        })
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError> {
        self.with(|disk, damage| {
            let mut flipped = Vec::new();
            let values = look::values(&disk.now, table, prefix, after, limit, &mut flipped);
            for key in flipped {
                disk.set_aside_value(table, &key, damage);
            }
            Ok(values)
        })
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.with(|disk, _| {
            disk.is_writable(0)?;
            if disk.faults.next_sync.take().is_some() {
                return Err(StoreError::new(StoreFault::Io, "the sync failed"));
            }
            disk.close();
            Ok(())
        })
    }

    fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    fn size(&mut self) -> Size {
        let disk = self.disk.lock();
        let bytes = disk.now.bytes;
        let free = disk.faults.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(bytes));
        Size { bytes, free, events: disk.now.events.len() as u64 }
    }
}
