//! The store on a disk: what every backend must do, and what only this one can show.

mod checks;
mod damaged;
mod limits;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::{SqliteBackend, SqliteSettings};
use crate::base::Wall;
use crate::engine::store::{Append, Backend, Level, Opened, Read, Record, Seq, Table, Write};
use crate::engine::topic::Epoch;
use crate::sys::store::conformance::{DEDUP_MAX, DEDUP_WINDOW, Lab, NOW, conforms};

struct Folder {
    dir: TempDir,
    killed: usize,
}

impl Folder {
    fn new() -> Folder {
        Folder { dir: tempfile::tempdir().unwrap(), killed: 0 }
    }

    fn path(&self) -> std::path::PathBuf {
        self.dir.path().join(self.killed.to_string())
    }
}

impl Lab for Folder {
    fn open(&mut self) -> Opened<Box<dyn Backend>> {
        self.open_narrow(1 << 30)
    }

    fn open_narrow(&mut self, bytes: u64) -> Opened<Box<dyn Backend>> {
        let settings = SqliteSettings { max_bytes: bytes, ..settings(&self.path()) };
        let opened = SqliteBackend::open(settings, NOW).unwrap();
        Opened { backend: Box::new(opened.backend), image: opened.image, damage: opened.damage }
    }

    /// The files as they are at this moment are what a killed process leaves.
    fn kill(&mut self, backend: Box<dyn Backend>) {
        let from = self.path();
        self.killed += 1;
        copy(&from, &self.path());
        drop(backend);
    }
}

fn settings(path: &Path) -> SqliteSettings {
    SqliteSettings {
        path: path.to_owned(),
        max_bytes: 1 << 30,
        min_free_bytes: 0,
        cache_bytes: 1 << 20,
        dedup_window: DEDUP_WINDOW,
        dedup_max: DEDUP_MAX,
    }
}

/// Copies the files of a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

conforms!(Folder::new());

fn append(topic: &str, epoch: u64, offset: u64, payload: usize) -> Write {
    Write::Append(Append {
        topic: topic.into(),
        epoch: Epoch::new(epoch),
        offset,
        is_mixed: false,
        time: Wall(NOW.0 + offset as i64),
        expires: None,
        payload: Bytes::from(format!("\"{offset}{}\"", "x".repeat(payload))),
        level: Level::Disk,
        dedup: None,
    })
}

fn put(key: &str, value: &str) -> Write {
    let value = Bytes::copy_from_slice(value.as_bytes());
    Write::Put { table: Table::Subscriptions, key: key.into(), value, level: Level::Disk }
}

fn read_all(backend: &mut SqliteBackend, topic: &str, epoch: u64) -> Vec<Record> {
    let (topic, epoch) = (topic.into(), Epoch::new(epoch));
    let read = Read::Offset { topic, epoch, after: 0, limit: 1_000_000, bytes: usize::MAX };
    backend.read(&read).unwrap().records
}

/// The payload of [`append`], checked.
fn offset_of(record: &Record) -> u64 {
    let text = std::str::from_utf8(&record.payload).unwrap();
    assert!(text.starts_with(&format!("\"{}x", record.offset)), "offset {} has {text}", record.offset);
    record.offset
}

#[test]
fn the_first_of_two_processes_keeps_the_store() {
    let folder = Folder::new();
    let first = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    let second = SqliteBackend::open(settings(&folder.path()), NOW).err().unwrap();
    assert!(matches!(&second, super::OpenError::InUse(text) if text.contains("in use by another process")));
    drop(first);
    assert!(SqliteBackend::open(settings(&folder.path()), NOW).is_ok());
}

#[test]
fn what_is_kept_is_for_its_owner_alone() {
    let mut folder = Folder::new();
    let mut backend = folder.open().backend;
    backend.commit(&[put("key", "value")], Seq(1), true).unwrap();
    for (file, expected) in [("", 0o700), ("db", 0o600), ("db-wal", 0o600)] {
        let mode = fs::metadata(folder.path().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, expected, "{file}");
    }
}

#[test]
fn what_a_newer_program_wrote_is_refused_and_left_alone() {
    let folder = Folder::new();
    let mut opened = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    let db = &opened.backend.live.as_ref().unwrap().db;
    super::schema::set_meta(db, super::Meta::Version, 2).unwrap();
    db.execute_batch("PRAGMA user_version=2").unwrap();
    opened.backend.close().unwrap();
    drop(opened);
    let before = fs::read(folder.path().join("db")).unwrap();
    let refused = SqliteBackend::open(settings(&folder.path()), NOW).err().unwrap();
    assert!(matches!(&refused, super::OpenError::Newer(text) if text.contains("newer version")), "{refused}");
    assert_eq!(fs::read(folder.path().join("db")).unwrap(), before);
    assert!(!folder.path().join("damaged").exists());
}

#[test]
fn a_file_in_the_place_of_the_folder_is_an_error() {
    let folder = Folder::new();
    fs::write(folder.path(), "x").unwrap();
    let refused = SqliteBackend::open(settings(&folder.path()), NOW).err().unwrap();
    assert!(matches!(refused, super::OpenError::Folder(_)), "{refused}");
}

#[test]
fn a_sync_covers_what_was_committed_without_one_even_if_it_brings_nothing() {
    let folder = Folder::new();
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    backend.commit(&[append("a.b", 1, 1, 9)], Seq(1), false).unwrap();
    assert!(backend.live.as_ref().unwrap().is_unsynced);
    let pages = backend.live.as_ref().unwrap().pages();
    let none = Write::Delete { table: Table::Meta, key: "none".into(), level: Level::Disk };
    backend.commit(&[none], Seq(2), true).unwrap();
    let live = backend.live.as_ref().unwrap();
    assert!(!live.is_unsynced && live.pages() > pages);
}

#[test]
fn many_logs_are_read_by_patterns_like_few() {
    let folder = Folder::new();
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    let mut seq = 1;
    for offset in 1..=150 {
        let group: Vec<Write> = (0..60).map(|topic| append(&format!("t.{topic}"), 1, offset, 9)).collect();
        backend.commit(&group, Seq(seq), offset == 150).unwrap();
        seq += 60;
    }
    for (pattern, step) in [("t.*", 1), ("t.7", 60), (">", 1)] {
        let patterns: std::sync::Arc<[_]> = [crate::engine::topic::Pattern::parse(pattern).unwrap()].into();
        let (mut after, mut given, mut calls) = (Seq(0), Vec::new(), 0);
        while after < Seq(9000) {
            let read = Read::Patterns {
                patterns: patterns.clone(),
                after,
                through: Seq(9000),
                limit: 100_000,
                bytes: 1 << 30,
            };
            let page = backend.read(&read).unwrap();
            assert!(page.through > after);
            after = page.through;
            given.extend(page.records.iter().map(|record| record.seq.0));
            calls += 1;
        }
        assert_eq!(given.len() as u64, 9000 / step, "{pattern}");
        assert!(given.is_sorted_by(|a, b| a < b) && calls < 5);
    }
}

#[test]
fn ids_of_publishes_are_taken_away_as_they_get_old() {
    let folder = Folder::new();
    let wide = SqliteSettings { dedup_max: 1000, dedup_window: Duration::from_millis(100), ..settings(&folder.path()) };
    let mut backend = SqliteBackend::open(wide, NOW).unwrap().backend;
    for offset in 1..=1000 {
        let Write::Append(event) = append("a.b", 1, offset, 9) else { unreachable!() };
        let dedup = Some(crate::engine::store::DedupKey(u128::from(offset)));
        backend.commit(&[Write::Append(Append { dedup, ..event })], Seq(offset), false).unwrap();
    }
    let live = backend.live.as_ref().unwrap();
    let count: u64 = live.db.query_row("SELECT count(*) FROM dedup", [], |row| row.get::<_, i64>(0)).unwrap() as u64;
    assert_eq!(count, live.dedup.count);
    assert!((100..=230).contains(&count), "{count}");
}
