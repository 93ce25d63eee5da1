//! Owns SQLite: one table with an integer key, a write-ahead log, a sync for each commit.

use super::{CACHE, Engine, Failure, integer, integer_offset};
use crate::event::Event;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

pub struct Sqlite {
    db: Connection,
}

impl Sqlite {
    pub fn open(dir: &Path, page: u32, checkpoint: u32, check: bool) -> Result<Sqlite, Failure> {
        let db = Connection::open(dir.join("db"))?;
        db.execute_batch(&format!(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA page_size={page}; PRAGMA journal_mode=WAL;
             PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint={checkpoint}; PRAGMA cell_size_check=ON;
             PRAGMA cache_size=-{}; PRAGMA temp_store=MEMORY;
             CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, event BLOB NOT NULL);",
            CACHE >> 10
        ))?;
        if check {
            let found: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
            if found != "ok" {
                return Err(found.into());
            }
        }
        Ok(Sqlite { db })
    }
}

impl Engine for Sqlite {
    fn append(&mut self, events: &[Event]) -> Result<(), Failure> {
        let txn = self.db.transaction()?;
        {
            let mut insert = txn.prepare_cached("INSERT INTO events (id, event) VALUES (?1, ?2)")?;
            for event in events {
                insert.execute(params![integer(event.topic, event.offset) as i64, &event.bytes[..]])?;
            }
        }
        Ok(txn.commit()?)
    }

    fn last(&self, topic: u32) -> Result<Option<u64>, Failure> {
        let mut query =
            self.db.prepare_cached("SELECT id FROM events WHERE id >= ?1 AND id < ?2 ORDER BY id DESC LIMIT 1")?;
        let (from, to) = (integer(topic, 0) as i64, integer(topic + 1, 0) as i64);
        let found: Option<i64> = query.query_row([from, to], |row| row.get(0)).optional()?;
        Ok(found.map(|id| integer_offset(id as u64)))
    }

    fn read(&self, topic: u32, from: u64, limit: usize, each: &mut dyn FnMut(u64, &[u8])) -> Result<usize, Failure> {
        let mut query =
            self.db.prepare_cached("SELECT id, event FROM events WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3")?;
        let mut rows = query.query([integer(topic, from) as i64, integer(topic + 1, 0) as i64, limit as i64])?;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            each(integer_offset(id as u64), row.get_ref(1)?.as_blob()?);
            count += 1;
        }
        Ok(count)
    }

    fn trim(&mut self, topic: u32, from: u64, to: u64) -> Result<(), Failure> {
        let mut delete = self.db.prepare_cached("DELETE FROM events WHERE id >= ?1 AND id < ?2")?;
        delete.execute([integer(topic, from) as i64, integer(topic, to) as i64])?;
        Ok(())
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        self.db.close().map_err(|(_, why)| why.into())
    }
}
