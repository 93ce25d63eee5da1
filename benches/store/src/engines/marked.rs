//! Owns SQLite with a mark beside it: the newest event committed, written after each commit and never synced. A store
//! that ends before its mark has lost commits, and says so. A mark that is damaged or behind says nothing.

use super::{Engine, Failure, sqlite::Sqlite};
use crate::event::Event;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

pub struct Marked {
    store: Sqlite,
    mark: File,
}

impl Marked {
    pub fn open(dir: &Path) -> Result<Marked, Failure> {
        let store = Sqlite::open(dir, 4096, 1000, false)?;
        let mark = File::options().read(true).write(true).create(true).truncate(false).open(dir.join("mark"))?;
        let mut bytes = [0; 16];
        if mark.read_exact_at(&mut bytes, 0).is_ok() && bytes[12..] == crc32c::crc32c(&bytes[..12]).to_be_bytes() {
            let topic = u32::from_be_bytes(bytes[..4].try_into()?);
            let offset = u64::from_be_bytes(bytes[4..12].try_into()?);
            if store.last(topic)?.is_none_or(|last| last < offset) {
                return Err(format!("commits lost: topic {topic} does not reach offset {offset}").into());
            }
        }
        Ok(Marked { store, mark })
    }
}

impl Engine for Marked {
    fn append(&mut self, events: &[Event]) -> Result<(), Failure> {
        self.store.append(events)?;
        if let Some(newest) = events.last() {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&newest.topic.to_be_bytes());
            bytes[4..12].copy_from_slice(&newest.offset.to_be_bytes());
            let sum = crc32c::crc32c(&bytes[..12]);
            bytes[12..].copy_from_slice(&sum.to_be_bytes());
            self.mark.write_all_at(&bytes, 0)?;
        }
        Ok(())
    }

    fn last(&self, topic: u32) -> Result<Option<u64>, Failure> {
        self.store.last(topic)
    }

    fn read(&self, topic: u32, from: u64, limit: usize, each: &mut dyn FnMut(u64, &[u8])) -> Result<usize, Failure> {
        self.store.read(topic, from, limit, each)
    }

    fn trim(&mut self, topic: u32, from: u64, to: u64) -> Result<(), Failure> {
        self.store.trim(topic, from, to)
    }

    fn close(self: Box<Self>) -> Result<(), Failure> {
        Box::new(self.store).close()
    }
}
