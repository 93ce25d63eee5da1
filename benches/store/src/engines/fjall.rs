//! Owns fjall: a journal and sorted files (LSM). Refuses nothing by itself; a failed sync poisons it.

use super::{CACHE, Engine, Failure, key, offset};
use crate::event::Event;
use std::path::Path;

pub struct Fjall {
    db: fjall::Database,
    events: fjall::Keyspace,
}

impl Fjall {
    pub fn open(dir: &Path) -> Result<Fjall, Failure> {
        let db = fjall::Database::builder(dir.join("db")).cache_size(CACHE as u64).open()?;
        let options = || fjall::KeyspaceCreateOptions::default().max_memtable_size(16 << 20);
        let events = db.keyspace("events", options)?;
        Ok(Fjall { db, events })
    }
}

impl Engine for Fjall {
    fn append(&mut self, events: &[Event]) -> Result<(), Failure> {
        let mut batch = self.db.batch().durability(Some(fjall::PersistMode::SyncData));
        for event in events {
            batch.insert(&self.events, key(event.topic, event.offset), event.bytes);
        }
        Ok(batch.commit()?)
    }

    fn last(&self, topic: u32) -> Result<Option<u64>, Failure> {
        match self.events.prefix(topic.to_be_bytes()).next_back() {
            Some(guard) => Ok(Some(offset(&guard.key()?)?)),
            None => Ok(None),
        }
    }

    fn read(&self, topic: u32, from: u64, limit: usize, each: &mut dyn FnMut(u64, &[u8])) -> Result<usize, Failure> {
        let mut count = 0;
        for guard in self.events.range(key(topic, from)..=key(topic, u64::MAX)).take(limit) {
            let (key, value) = guard.into_inner()?;
            each(offset(&key)?, &value);
            count += 1;
        }
        Ok(count)
    }

    fn trim(&mut self, topic: u32, from: u64, to: u64) -> Result<(), Failure> {
        let mut batch = self.db.batch().durability(Some(fjall::PersistMode::SyncData));
        for at in from..to {
            batch.remove(&self.events, key(topic, at));
        }
        Ok(batch.commit()?)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(self.db.persist(fjall::PersistMode::SyncAll)?)
    }
}
