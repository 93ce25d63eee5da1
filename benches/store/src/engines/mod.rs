//! Owns what an engine must do here, and which engines and settings there are.

mod fjall;
mod heed;
mod marked;
mod redb;
mod sqlite;

use crate::event::Event;
use std::path::Path;

/// Whatever went wrong, as the engine says it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;
/// Memory that every engine gets for its cache, where it can be told.
const CACHE: usize = 32 << 20;

/// A log per topic, in one database.
pub trait Engine {
    /// Stores the events in one commit, synced when it returns.
    fn append(&mut self, events: &[Event]) -> Result<(), Failure>;
    /// The last offset of a topic.
    fn last(&self, topic: u32) -> Result<Option<u64>, Failure>;
    /// Passes up to `limit` events from an offset on, and says how many.
    fn read(&self, topic: u32, from: u64, limit: usize, each: &mut dyn FnMut(u64, &[u8])) -> Result<usize, Failure>;
    /// Deletes the offsets `from..to` in one commit.
    fn trim(&mut self, topic: u32, from: u64, to: u64) -> Result<(), Failure>;
    /// Closes it in order.
    fn close(self: Box<Self>) -> Result<(), Failure>;
}

/// Names of all engines and settings.
pub const ALL: &[&str] = &["fjall", "redb", "redb-quick", "sqlite", "sqlite-8k", "sqlite-ck", "heed"];

/// The same engines, made to look at the whole file when they open it; and one with a mark of what was committed.
pub const CHECKED: &[&str] = &["redb-check", "sqlite-check", "sqlite-mark"];

/// Opens the database in a folder, or makes it.
pub fn open(name: &str, dir: &Path) -> Result<Box<dyn Engine>, Failure> {
    std::fs::create_dir_all(dir)?;
    Ok(match name {
        "fjall" => Box::new(fjall::Fjall::open(dir)?),
        "redb" => Box::new(redb::Redb::open(dir, false, false)?),
        "redb-quick" => Box::new(redb::Redb::open(dir, true, false)?),
        "redb-check" => Box::new(redb::Redb::open(dir, true, true)?),
        "sqlite" => Box::new(sqlite::Sqlite::open(dir, 4096, 1000, false)?),
        "sqlite-8k" => Box::new(sqlite::Sqlite::open(dir, 8192, 1000, false)?),
        "sqlite-ck" => Box::new(sqlite::Sqlite::open(dir, 4096, 8000, false)?),
        "sqlite-check" => Box::new(sqlite::Sqlite::open(dir, 4096, 1000, true)?),
        "sqlite-mark" => Box::new(marked::Marked::open(dir)?),
        "heed" => Box::new(heed::Lmdb::open(dir)?),
        other => return Err(format!("no engine {other}").into()),
    })
}

/// Topic and offset as bytes that sort as the numbers do.
fn key(topic: u32, offset: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&topic.to_be_bytes());
    key[4..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in such a key.
fn offset(key: &[u8]) -> Result<u64, Failure> {
    Ok(u64::from_be_bytes(key.get(4..12).ok_or("key too short")?.try_into()?))
}

/// Topic and offset in one integer, for engines that have integer keys.
fn integer(topic: u32, offset: u64) -> u64 {
    u64::from(topic) << 40 | offset
}

/// The offset in such an integer.
fn integer_offset(key: u64) -> u64 {
    key & ((1 << 40) - 1)
}
