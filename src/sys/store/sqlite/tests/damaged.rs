//! Damage, at every place: the store opens, gives out nothing wrong, and reports what is gone.

use std::collections::BTreeSet;
use std::fs::File;

use super::super::open::THOROUGH;
use super::*;
use crate::engine::store::Damage;

const TOPICS: [&str; 3] = ["a.b", "a.c", "x.y"];

/// A store with some events and values. Returns its folder, closed in order or as if killed.
pub(super) fn sample(is_closed: bool, each: u64) -> Folder {
    let mut folder = Folder::new();
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    let mut seq = 1;
    for offset in 1..=each {
        let mut group: Vec<Write> = TOPICS.iter().map(|topic| append(topic, 1, offset, 200)).collect();
        group.push(put(&offset.to_string(), "value"));
        backend.commit(&group, Seq(seq), true).unwrap();
        seq += 3;
    }
    if is_closed {
        backend.close().unwrap();
    } else {
        folder.kill(Box::new(backend));
    }
    folder
}

/// Opens a damaged copy, and holds that what is not there was reported.
fn survives(path: &Path, each: u64, what: &str) -> Vec<Damage> {
    let Opened { mut backend, image, mut damage } =
        SqliteBackend::open(settings(path), NOW).unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut held = Vec::new();
    for topic in TOPICS {
        let offsets: BTreeSet<u64> = read_all(&mut backend, topic, 1).iter().map(offset_of).collect();
        held.push((topic, offsets));
    }
    let values = backend.scan(Table::Subscriptions, "", None, 1000).unwrap();
    assert!(values.iter().all(|(_, value)| value == "value"), "{what}");
    damage.extend(backend.take_damage());
    let has_file = damage.iter().any(|damage| matches!(damage, Damage::File { .. }));
    let lost_values = damage.iter().filter(|damage| matches!(damage, Damage::Value { .. })).count();
    assert!(values.len() as u64 == each || lost_values > 0 || has_file, "{what}: {} values, {damage:?}", values.len());
    for (topic, offsets) in held {
        let told = |offset: u64| {
            damage.iter().any(|damage| match damage {
                Damage::Events { topic: named, first, last, .. } => {
                    **named == *topic && (*first..=*last).contains(&offset)
                }
                Damage::Value { .. } | Damage::File { .. } => false,
            })
        };
        for offset in 1..=each {
            let is_there = offsets.contains(&offset);
            assert!(is_there || told(offset) || has_file, "{what}: {topic} {offset} is gone untold; {damage:?}");
            assert!(!(is_there && told(offset)), "{what}: {topic} {offset} is told to be gone and is there");
        }
        // No offset is given twice: the log goes on behind its end, or is cut.
        let head = image.logs.iter().find(|head| &*head.topic == topic);
        let is_safe = head.is_some_and(|head| head.last == each || head.is_cut);
        assert!(is_safe || has_file, "{what}: {topic} {head:?} {damage:?}");
    }
    let next = backend.commit(&[append("n.n", 1, 1, 9)], image.last.next(), true);
    assert!(next.is_ok(), "{what}: {next:?}");
    drop(backend);
    // What was reported once is settled. A killed store is looked through as one that was closed
    // is not: that may still find something, but nothing more is gone.
    let again = SqliteBackend::open(settings(path), NOW).unwrap();
    assert!(again.damage.iter().all(|damage| matches!(damage, Damage::File { .. })), "{what}: {:?}", again.damage);
    drop(again);
    let again = SqliteBackend::open(settings(path), NOW).unwrap();
    assert_eq!(again.damage, [], "{what}, opened again");
    damage
}

/// Every byte if `HYDROGEN_DAMAGE_ALL` is set, else each so many.
fn stride(usual: usize) -> usize {
    if std::env::var_os("HYDROGEN_DAMAGE_ALL").is_some() { 1 } else { usual }
}

fn flip_all(is_closed: bool, each: u64, file: &str, stride: usize) -> (usize, usize) {
    let folder = sample(is_closed, each);
    let length = fs::metadata(folder.path().join(file)).unwrap().len() as usize;
    let (mut places, mut exact) = (0, 0);
    for at in (0..length).step_by(self::stride(stride)) {
        let copied = folder.dir.path().join("copy");
        copy(&folder.path(), &copied);
        let mut bytes = fs::read(copied.join(file)).unwrap();
        bytes[at] ^= 1 << (at % 8);
        fs::write(copied.join(file), bytes).unwrap();
        let damage = survives(&copied, each, &format!("{file}, byte {at}"));
        places += 1;
        exact += usize::from(damage.iter().all(|damage| !matches!(damage, Damage::File { .. })));
        fs::remove_dir_all(copied).unwrap();
    }
    (places, exact)
}

#[test]
fn a_flipped_byte_in_the_database_is_survived_and_told() {
    let (places, exact) = flip_all(true, 40, "db", 211);
    assert!(places > 100 && exact > places / 2, "{exact} of {places} told exactly");
}

#[test]
fn every_byte_of_the_databases_header_may_be_anything() {
    // The bytes that decide how the file is opened at all: each bit, and some whole values.
    let folder = sample(true, 5);
    for at in 0..100 {
        let values = (0..8).map(|bit| 1u8 << bit).chain([0xff]);
        for flip in values.step_by(stride(4)) {
            let copied = folder.dir.path().join("copy");
            copy(&folder.path(), &copied);
            let mut bytes = fs::read(copied.join("db")).unwrap();
            bytes[at] ^= flip;
            fs::write(copied.join("db"), bytes).unwrap();
            survives(&copied, 5, &format!("db, byte {at} ^ {flip:#x}"));
            fs::remove_dir_all(copied).unwrap();
        }
    }
}

/// The last entry of each log in the index over places: no sum holds it.
fn newest_entries() -> [Vec<u8>; 3] {
    // The file format of SQLite, 2.1: the lengths of the record and of its head, three types, log, offset, number.
    // That the log is 1 is said by its type.
    [vec![6, 4, 9, 1, 1, 40, 118], vec![7, 4, 1, 1, 1, 2, 40, 119], vec![7, 4, 1, 1, 1, 3, 40, 120]]
}

#[test]
fn a_newest_event_that_its_index_does_not_know_any_more_is_found() {
    let folder = sample(true, 40);
    damage_entries(&folder, &newest_entries(), &[0x01, 0x02, 0x20, 0x40]);
}

#[test]
fn it_is_found_in_a_store_too_that_is_too_large_to_be_compared_as_a_whole() {
    let folder = sample(true, 40);
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    let value = Bytes::from("x".repeat(1 << 20));
    for number in 0..=THOROUGH >> 20 {
        let key = format!("filler-{number}").into();
        let put = Write::Put { table: Table::Sessions, key, value: value.clone(), level: Level::Memory };
        backend.commit(&[put], Seq(121), false).unwrap();
    }
    backend.close().unwrap();
    drop(backend);
    damage_entries(&folder, &newest_entries()[2..], &[0x04]);
}

fn damage_entries(folder: &Folder, entries: &[Vec<u8>], flips: &[u8]) {
    let whole = fs::read(folder.path().join("db")).unwrap();
    for entry in entries {
        let places: Vec<usize> = memchr::memmem::find_iter(&whole, entry).collect();
        assert!(!places.is_empty(), "the entry {entry:?} is in the file");
        for (place, byte) in places.iter().flat_map(|place| (1..entry.len()).map(move |byte| (place, byte))) {
            for flip in flips {
                let copied = folder.dir.path().join("copy");
                copy(&folder.path(), &copied);
                let mut bytes = whole.clone();
                bytes[place + byte] ^= flip;
                fs::write(copied.join("db"), bytes).unwrap();
                survives(&copied, 40, &format!("entry {entry:?} at {place}, byte {byte} ^ {flip}"));
                fs::remove_dir_all(copied).unwrap();
            }
        }
    }
}

#[test]
fn a_value_that_damage_moved_to_another_table_is_told_under_the_table_that_it_was_of() {
    for moved in [Table::Cursors as u8, 99] {
        let folder = sample(true, 5);
        let db = rusqlite::Connection::open(folder.path().join("db")).unwrap();
        assert_eq!(db.execute("UPDATE value SET tab = ?1 WHERE key = '3'", [moved]).unwrap(), 1);
        drop(db);
        let damage = survives(&folder.path(), 5, &format!("moved to {moved}"));
        assert_eq!(damage, [Damage::Value { table: Table::Subscriptions, key: "3".into() }]);
    }
}

#[test]
fn a_flipped_byte_in_the_log_is_survived_and_told() {
    let (places, _) = flip_all(false, 12, "db-wal", 499);
    assert!(places > 100, "{places}");
}

#[test]
fn a_flipped_byte_in_the_mark_says_nothing() {
    let folder = sample(false, 3);
    let length = fs::metadata(folder.path().join("mark")).unwrap().len() as usize;
    for at in (0..length).step_by(stride(7)) {
        let copied = folder.dir.path().join("copy");
        copy(&folder.path(), &copied);
        let mut bytes = fs::read(copied.join("mark")).unwrap();
        bytes[at] ^= 0x20;
        fs::write(copied.join("mark"), bytes).unwrap();
        assert_eq!(survives(&copied, 3, &format!("mark, byte {at}")), []);
        fs::remove_dir_all(copied).unwrap();
    }
}

#[test]
fn a_log_that_was_cut_off_is_told_by_topic_and_offset() {
    let folder = sample(false, 10);
    let log = folder.path().join("db-wal");
    let length = fs::metadata(&log).unwrap().len();
    File::options().write(true).open(&log).unwrap().set_len(length / 2).unwrap();
    let damage = survives(&folder.path(), 10, "half of the log");
    let ends: Vec<u64> =
        damage.iter().filter_map(|d| if let Damage::Events { last, .. } = d { Some(*last) } else { None }).collect();
    assert_eq!(ends, [10, 10, 10], "{damage:?}");
    let kept = fs::read_dir(folder.path().join("damaged")).unwrap().next().unwrap().unwrap();
    assert_eq!(fs::metadata(kept.path().join("db-wal")).unwrap().len(), length / 2);
}

#[test]
fn without_its_database_or_its_log_the_store_opens_and_tells() {
    for (is_closed, gone) in [(false, &["db", "db-wal"][..]), (false, &["db-wal"]), (false, &["db"]), (true, &["mark"])]
    {
        let folder = sample(is_closed, 5);
        for file in gone {
            fs::remove_file(folder.path().join(file)).unwrap();
        }
        let damage = survives(&folder.path(), 5, &format!("without {gone:?}"));
        assert_eq!(damage.is_empty(), is_closed, "without {gone:?}: {damage:?}");
    }
}

#[test]
fn rubbish_in_the_place_of_the_database_is_set_aside() {
    let folder = sample(true, 5);
    fs::write(folder.path().join("db"), "rubbish".repeat(5000)).unwrap();
    let opened = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    assert!(opened.damage.iter().any(|damage| matches!(damage, Damage::File { .. })));
    assert!(opened.image.logs.is_empty());
}

#[test]
fn one_damaged_event_is_set_aside_as_it_was_and_the_rest_is_read() {
    let folder = sample(true, 30);
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    let db = &backend.live.as_ref().unwrap().db;
    db.execute("UPDATE event SET payload = CAST('\"7y\"' AS BLOB) WHERE offset = 7", []).unwrap();
    db.execute("UPDATE event SET time = 5 WHERE log = 1 AND offset IN (1, 30)", []).unwrap();
    let offsets: Vec<u64> = read_all(&mut backend, "a.b", 1).iter().map(offset_of).collect();
    assert_eq!(offsets, (2..=29).filter(|offset| *offset != 7).collect::<Vec<_>>());
    let damage = backend.take_damage();
    let at = |first| Damage::Events { topic: "a.b".into(), epoch: Epoch::new(1), first, last: first };
    assert_eq!(damage, [at(1), at(7), at(30)]);
    let patterns: std::sync::Arc<[_]> = [crate::engine::topic::Pattern::parse(">").unwrap()].into();
    let read = Read::Patterns { patterns, after: Seq(0), through: Seq(90), limit: 1000, bytes: usize::MAX };
    assert_eq!(backend.read(&read).unwrap().records.len(), 90 - 5);
    assert_eq!(backend.take_damage().len(), 2);
    assert_eq!(backend.size().events, 90 - 5);
    let aside = fs::read_dir(folder.path().join("damaged")).unwrap().next().unwrap().unwrap().path();
    let lines = fs::read_to_string(aside).unwrap();
    assert_eq!(lines.lines().count(), 5);
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(line["row"]["payload_base64"].is_string() && line["row"]["topic"].is_string(), "{line}");
    }
    // The last offset is not given again.
    backend.commit(&[append("a.b", 1, 31, 9)], Seq(91), true).unwrap();
    backend.close().unwrap();
    drop(backend);
    let again = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    assert_eq!((again.damage.len(), again.image.logs[0].first), (0, 2));
}
