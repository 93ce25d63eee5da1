//! The check of a store that nobody uses.

use super::super::{CheckError, check};
use super::damaged::sample;
use super::*;
use crate::engine::store::Damage;

fn bytes_of(path: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[test]
fn a_store_that_is_well_is_counted_and_left_as_it_was() {
    for is_closed in [true, false] {
        let folder = sample(is_closed, 8);
        let before = bytes_of(&folder.path());
        let report = check(&folder.path()).unwrap();
        assert!(report.is_well(), "{report:?}");
        assert_eq!(bytes_of(&folder.path()), before);
        assert_eq!((report.was_closed, report.last, report.logs.len()), (is_closed, 24, 3));
        assert!(report.logs.iter().all(|log| (log.first, log.last, log.events) == (1, 8, 8)));
        assert_eq!(report.values[Table::Subscriptions as usize], (Table::Subscriptions, 8));
    }
}

#[test]
fn a_store_in_use_is_not_looked_at_and_no_store_is_none() {
    let folder = sample(true, 2);
    let opened = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    assert!(matches!(check(&folder.path()), Err(CheckError::InUse(_))));
    drop(opened);
    assert!(matches!(check(&folder.dir.path().join("none")), Err(CheckError::Missing(_))));
}

#[test]
fn what_the_check_finds_is_what_opening_tells() {
    let folder = sample(true, 20);
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    let db = &backend.live.as_ref().unwrap().db;
    db.execute("UPDATE event SET time = 5 WHERE log = 2 AND offset IN (1, 9, 20)", []).unwrap();
    db.execute("UPDATE value SET value = x'00' WHERE key = '7'", []).unwrap();
    backend.close().unwrap();
    drop(backend);
    let report = check(&folder.path()).unwrap();
    let at = |first| Damage::Events { topic: "a.c".into(), epoch: Epoch::new(1), first, last: first };
    let value = Damage::Value { table: Table::Subscriptions, key: "7".into() };
    assert_eq!(report.damage, [at(1), at(9), at(20), value.clone()]);
    let Opened { mut backend, mut damage, .. } = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    read_all(&mut backend, "a.c", 1);
    backend.scan(Table::Subscriptions, "", None, 99).unwrap();
    damage.extend(backend.take_damage());
    damage.sort();
    assert_eq!(damage, [at(1), at(9), at(20), value]);
    backend.close().unwrap();
    drop(backend);
    let report = check(&folder.path()).unwrap();
    assert!(report.is_well(), "{report:?}");
    assert_eq!(report.settled, [at(1), at(9), at(20)]);
}

#[test]
fn a_damaged_page_and_a_short_log_are_found() {
    let folder = sample(true, 40);
    let db = folder.path().join("db");
    let mut bytes = fs::read(&db).unwrap();
    let page = bytes.len() - 4096;
    bytes[page..page + 100].fill(0xa5);
    fs::write(&db, bytes).unwrap();
    assert!(!check(&folder.path()).unwrap().is_well());
    let folder = sample(false, 10);
    let log = folder.path().join("db-wal");
    let length = fs::metadata(&log).unwrap().len();
    fs::File::options().write(true).open(&log).unwrap().set_len(length / 2).unwrap();
    let report = check(&folder.path()).unwrap();
    let ends: Vec<u64> = report
        .damage
        .iter()
        .filter_map(|d| if let Damage::Events { last, .. } = d { Some(*last) } else { None })
        .collect();
    assert_eq!(ends, [10, 10, 10], "{report:?}");
    assert!(!report.findings.is_empty());
}
