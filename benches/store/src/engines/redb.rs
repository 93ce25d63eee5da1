//! Owns redb: one file, a copy-on-write tree with checksums. With `quick` it saves its allocator with each commit
//! (and commits in two phases), so that opening after a crash does not walk the whole file.

use super::{CACHE, Engine, Failure, integer, integer_offset};
use crate::event::Event;
use redb::{ReadableDatabase, TableDefinition};
use std::path::Path;

const EVENTS: TableDefinition<u64, &[u8]> = TableDefinition::new("events");

pub struct Redb {
    db: redb::Database,
    quick: bool,
}

impl Redb {
    pub fn open(dir: &Path, quick: bool, check: bool) -> Result<Redb, Failure> {
        let mut db = redb::Builder::new().set_cache_size(CACHE).create(dir.join("db"))?;
        if check && !db.check_integrity()? {
            return Err("repaired: the store is not what it was".into());
        }
        let opened = Redb { db, quick };
        let known = opened.db.begin_read()?.open_table(EVENTS);
        if let Err(redb::TableError::TableDoesNotExist(_)) = known {
            let txn = opened.begin()?;
            txn.open_table(EVENTS)?;
            txn.commit()?;
        } else {
            known?;
        }
        Ok(opened)
    }

    fn begin(&self) -> Result<redb::WriteTransaction, Failure> {
        let mut txn = self.db.begin_write()?;
        txn.set_quick_repair(self.quick);
        Ok(txn)
    }
}

impl Engine for Redb {
    fn append(&mut self, events: &[Event]) -> Result<(), Failure> {
        let txn = self.begin()?;
        {
            let mut table = txn.open_table(EVENTS)?;
            for event in events {
                table.insert(integer(event.topic, event.offset), &event.bytes[..])?;
            }
        }
        Ok(txn.commit()?)
    }

    fn last(&self, topic: u32) -> Result<Option<u64>, Failure> {
        let table = self.db.begin_read()?.open_table(EVENTS)?;
        let mut range = table.range(integer(topic, 0)..integer(topic + 1, 0))?;
        Ok(range.next_back().transpose()?.map(|(key, _)| integer_offset(key.value())))
    }

    fn read(&self, topic: u32, from: u64, limit: usize, each: &mut dyn FnMut(u64, &[u8])) -> Result<usize, Failure> {
        let table = self.db.begin_read()?.open_table(EVENTS)?;
        let mut count = 0;
        for entry in table.range(integer(topic, from)..integer(topic + 1, 0))?.take(limit) {
            let (key, value) = entry?;
            each(integer_offset(key.value()), value.value());
            count += 1;
        }
        Ok(count)
    }

    fn trim(&mut self, topic: u32, from: u64, to: u64) -> Result<(), Failure> {
        let txn = self.begin()?;
        txn.open_table(EVENTS)?.retain_in(integer(topic, from)..integer(topic, to), |_, _| false)?;
        Ok(txn.commit()?)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Ok(())
    }
}
