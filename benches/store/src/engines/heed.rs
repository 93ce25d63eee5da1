//! Owns LMDB through heed: a mapped file, a copy-on-write tree without checksums.

use super::{Engine, Failure, key, offset};
use crate::event::Event;
use heed::types::Bytes;
use std::ops::Bound::{Excluded, Included};
use std::path::Path;

pub struct Lmdb {
    env: heed::Env<heed::WithTls>,
    events: heed::Database<Bytes, Bytes>,
}

impl Lmdb {
    pub fn open(dir: &Path) -> Result<Lmdb, Failure> {
        // SAFETY: the file is this process's alone; nobody else changes it while it is mapped.
        let env = unsafe { heed::EnvOpenOptions::new().map_size(8 << 30).max_dbs(1).open(dir)? };
        let mut txn = env.write_txn()?;
        let events = env.create_database(&mut txn, Some("events"))?;
        txn.commit()?;
        Ok(Lmdb { env, events })
    }
}

impl Engine for Lmdb {
    fn append(&mut self, events: &[Event]) -> Result<(), Failure> {
        let mut txn = self.env.write_txn()?;
        for event in events {
            self.events.put(&mut txn, &key(event.topic, event.offset), &event.bytes)?;
        }
        Ok(txn.commit()?)
    }

    fn last(&self, topic: u32) -> Result<Option<u64>, Failure> {
        let txn = self.env.read_txn()?;
        let found = self.events.rev_prefix_iter(&txn, &topic.to_be_bytes())?.next().transpose()?;
        found.map(|(key, _)| offset(key)).transpose()
    }

    fn read(&self, topic: u32, from: u64, limit: usize, each: &mut dyn FnMut(u64, &[u8])) -> Result<usize, Failure> {
        let txn = self.env.read_txn()?;
        let (from, to) = (key(topic, from), key(topic, u64::MAX));
        let mut count = 0;
        for entry in self.events.range(&txn, &(Included(&from[..]), Included(&to[..])))?.take(limit) {
            let (key, value) = entry?;
            each(offset(key)?, value);
            count += 1;
        }
        Ok(count)
    }

    fn trim(&mut self, topic: u32, from: u64, to: u64) -> Result<(), Failure> {
        let mut txn = self.env.write_txn()?;
        let (from, to) = (key(topic, from), key(topic, to));
        self.events.delete_range(&mut txn, &(Included(&from[..]), Excluded(&to[..])))?;
        Ok(txn.commit()?)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.env.prepare_for_closing().wait();
        Ok(())
    }
}
