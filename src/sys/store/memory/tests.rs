use super::*;
use crate::engine::store::{Append, Image, Level};
use crate::engine::topic::{Epoch, Pattern};
use crate::sys::store::conformance::{self, DEDUP_MAX, DEDUP_WINDOW, Lab, NOW};

struct MemoryLab(MemoryDisk);

impl Lab for MemoryLab {
    fn open(&mut self) -> Opened<Box<dyn Backend>> {
        let Opened { backend, image, damage } = open(&self.0);
        Opened { backend: Box::new(backend), image, damage }
    }

    fn open_narrow(&mut self, bytes: u64) -> Opened<Box<dyn Backend>> {
        self.0.set_faults(Faults { capacity: Some(bytes), ..Faults::default() });
        self.open()
    }

    fn kill(&mut self, backend: Box<dyn Backend>) {
        self.0.kill();
        drop(backend);
    }
}

conformance::conforms!(MemoryLab(MemoryDisk::new()));

fn open(disk: &MemoryDisk) -> Opened<MemoryBackend> {
    MemoryBackend::open(disk, NOW, DEDUP_WINDOW, DEDUP_MAX)
}

fn event(topic: &str, offset: u64) -> Write {
    Write::Append(Append {
        topic: topic.into(),
        epoch: Epoch::new(1),
        offset,
        is_mixed: false,
        time: NOW,
        expires: None,
        payload: Bytes::from_static(b"12345678"),
        level: Level::Disk,
        dedup: None,
    })
}

fn put(key: &str) -> Write {
    Write::Put { table: Table::Cursors, key: key.into(), value: Bytes::from_static(b"v"), level: Level::Disk }
}

fn trim(topic: &str, through: u64) -> Write {
    Write::Trim { topic: topic.into(), epoch: Epoch::new(1), through, before: None }
}

fn read(backend: &mut MemoryBackend, topic: &str) -> Page {
    let (topic, epoch) = (topic.into(), Epoch::new(1));
    backend.read(&Read::Offset { topic, epoch, after: 0, limit: 99, bytes: 9999 }).unwrap()
}

fn offsets(backend: &mut MemoryBackend, topic: &str) -> Vec<u64> {
    read(backend, topic).records.iter().map(|record| record.offset).collect()
}

fn fault<T: std::fmt::Debug>(result: Result<T, StoreError>) -> StoreFault {
    result.unwrap_err().fault
}

fn damaged(topic: &str, first: u64, last: u64) -> Damage {
    Damage::Events { topic: topic.into(), epoch: Epoch::new(1), first, last }
}

/// Chooses always the same place.
fn at(place: u64) -> impl FnMut(u64) -> u64 {
    move |below| place.min(below - 1)
}

/// Events 1 and 2 synced, 3, 4 and 5 in groups of their own that are not.
fn half_synced() -> (MemoryDisk, MemoryBackend) {
    let disk = MemoryDisk::new();
    let mut backend = open(&disk).backend;
    backend.commit(&[event("a.b", 1), event("a.b", 2)], Seq(1), true).unwrap();
    for offset in 3..=5 {
        backend.commit(&[event("a.b", offset), put(&offset.to_string())], Seq(offset), false).unwrap();
    }
    (disk, backend)
}

#[test]
fn a_kill_leaves_all_groups_and_a_power_cut_a_prefix_of_those_not_synced() {
    let (disk, _) = half_synced();
    disk.kill();
    assert_eq!(offsets(&mut open(&disk).backend, "a.b"), [1, 2, 3, 4, 5]);
    for survived in 0..=3 {
        let (disk, mut old) = half_synced();
        let cut = disk.cut(&mut at(survived));
        assert_eq!(cut, Cut { survived: survived as usize, lost: 3 - survived as usize });
        let Opened { mut backend, image: Image { last, .. }, .. } = open(&disk);
        assert_eq!(last, Seq(2 + survived));
        assert_eq!(offsets(&mut backend, "a.b"), (1..=2 + survived).collect::<Vec<_>>());
        let keys = backend.scan(Table::Cursors, "", None, 9).unwrap();
        assert_eq!(keys.len() as u64, survived);
        assert_eq!(fault(old.get(Table::Cursors, "3")), StoreFault::Io);
        backend.commit(&[event("a.b", 3 + survived)], last.next(), false).unwrap();
        assert_eq!(disk.cut(&mut at(0)), Cut { survived: 0, lost: 1 });
        assert_eq!(offsets(&mut open(&disk).backend, "a.b"), (1..=2 + survived).collect::<Vec<_>>());
    }
}

#[test]
fn a_sync_saves_all_groups_before_it() {
    let (disk, mut backend) = half_synced();
    backend.commit(&[], Seq(6), true).unwrap();
    assert_eq!(disk.cut(&mut at(0)), Cut { survived: 0, lost: 0 });
    assert_eq!(open(&disk).image.last, Seq(5));
}

#[test]
fn after_a_failed_sync_nothing_works_until_it_is_reopened_and_what_was_not_answered_is_taken_back() {
    for how in [SyncFault::Lost, SyncFault::Reached] {
        let (disk, mut backend) = half_synced();
        disk.set_faults(Faults { next_sync: Some(how), ..Faults::default() });
        assert_eq!(fault(backend.commit(&[event("a.b", 6), put("x")], Seq(6), true)), StoreFault::Io);
        assert_eq!(disk.faults(), Faults::default());
        assert_eq!(fault(backend.commit(&[event("a.b", 6)], Seq(6), true)), StoreFault::Io);
        assert_eq!(fault(backend.get(Table::Cursors, "3")), StoreFault::Io);
        assert_eq!(fault(backend.close()), StoreFault::Io);
        disk.set_faults(Faults { next_sync: Some(SyncFault::Lost), ..Faults::default() });
        assert_eq!(fault(backend.reopen(Seq(5))), StoreFault::Io);
        backend.reopen(Seq(5)).unwrap();
        assert_eq!(offsets(&mut backend, "a.b"), [1, 2, 3, 4, 5]);
        assert_eq!(backend.get(Table::Cursors, "x").unwrap().is_some(), how == SyncFault::Reached);
        backend.commit(&[event("a.b", 6)], Seq(6), true).unwrap();
        assert_eq!(disk.cut(&mut at(0)), Cut { survived: 0, lost: 0 });
        assert_eq!(offsets(&mut open(&disk).backend, "a.b"), [1, 2, 3, 4, 5, 6]);
    }
}

#[test]
fn a_new_process_finds_what_reached_the_disk_though_its_sync_failed() {
    for (how, last) in [(SyncFault::Lost, 5), (SyncFault::Reached, 6)] {
        for cut in [false, true] {
            let (disk, mut backend) = half_synced();
            disk.set_faults(Faults { next_sync: Some(how), ..Faults::default() });
            backend.commit(&[event("a.b", 6)], Seq(6), true).unwrap_err();
            if cut {
                disk.cut(&mut at(9));
            }
            assert_eq!(open(&disk).image.last, Seq(last));
        }
    }
}

#[test]
fn a_full_or_read_only_disk_keeps_nothing_of_the_group_and_can_be_read() {
    let (disk, mut backend) = half_synced();
    let Size { bytes, free, events } = backend.size();
    assert_eq!((bytes, free, events), (5 * (8 + 3 + 64) + 3 * 66, u64::MAX, 5));
    let full = Faults { capacity: Some(bytes + 100), ..Faults::default() };
    let read_only = Faults { is_read_only: true, ..Faults::default() };
    for (faults, expected) in [(full, StoreFault::Full), (read_only, StoreFault::ReadOnly)] {
        disk.set_faults(faults);
        assert_eq!(fault(backend.commit(&[event("a.b", 6), event("a.b", 7)], Seq(6), true)), expected);
        assert_eq!(offsets(&mut backend, "a.b"), [1, 2, 3, 4, 5]);
    }
    assert_eq!(fault(backend.reopen(Seq(5))), StoreFault::ReadOnly);
    assert_eq!(fault(backend.close()), StoreFault::ReadOnly);
    disk.set_faults(Faults { capacity: Some(bytes), ..Faults::default() });
    assert_eq!(backend.size().free, 0);
    assert_eq!(fault(backend.reopen(Seq(5))), StoreFault::Full);
    // What brings nothing goes through, and makes room.
    assert_eq!(backend.commit(&[trim("a.b", 1)], Seq(6), false).unwrap()[0].gone, [Seq(1)]);
    assert_eq!(fault(backend.reopen(Seq(5))), StoreFault::Full);
    backend.commit(&[trim("a.b", 4)], Seq(6), false).unwrap();
    backend.reopen(Seq(5)).unwrap();
    backend.commit(&[event("a.b", 6)], Seq(6), true).unwrap();
}

#[test]
fn a_damaged_event_is_reported_once_set_aside_and_never_given() {
    for patterns in [false, true] {
        let (disk, mut backend) = half_synced();
        assert!(disk.flip(&mut at(1)) && disk.flip(&mut at(1)));
        if patterns {
            let patterns = [Pattern::parse(">").unwrap()].into();
            let read = Read::Patterns { patterns, after: Seq(0), through: Seq(5), limit: 9, bytes: 9999 };
            let page = backend.read(&read).unwrap();
            assert_eq!(page.records.iter().map(|r| r.seq.0).collect::<Vec<_>>(), [1, 4, 5]);
            assert_eq!(page.through, Seq(5));
        } else {
            let page = read(&mut backend, "a.b");
            assert_eq!(page.records.iter().map(|r| r.offset).collect::<Vec<_>>(), [1, 4, 5]);
            assert!(page.missing && !page.more);
        }
        assert_eq!(backend.take_damage(), [damaged("a.b", 2, 3)]);
        assert_eq!(backend.take_damage(), []);
        assert!(read(&mut backend, "a.b").missing);
        assert!(
            matches!(&disk.set_aside()[..], [SetAside::Event(a), SetAside::Event(b)] if a.offset == 2 && b.offset == 3)
        );
        disk.cut(&mut at(0));
        let Opened { mut backend, damage, .. } = open(&disk);
        assert_eq!(damage, []);
        assert_eq!(offsets(&mut backend, "a.b"), [1, 4, 5]);
    }
}

#[test]
fn damage_at_a_logs_end_gives_no_offset_twice() {
    let (disk, mut backend) = half_synced();
    assert!(disk.flip(&mut at(4)));
    let page = read(&mut backend, "a.b");
    assert!(page.records.len() == 4 && page.missing);
    assert_eq!(backend.take_damage(), [damaged("a.b", 5, 5)]);
    disk.kill();
    let Opened { mut backend, image, .. } = open(&disk);
    assert_eq!((image.last, image.logs[0].last, image.logs[0].last_seq), (Seq(5), 5, Seq(5)));
    assert_eq!(fault(backend.commit(&[event("a.b", 5)], Seq(6), true)), StoreFault::Refused);
    backend.commit(&[event("a.b", 6)], Seq(6), true).unwrap();
}

#[test]
fn a_damaged_value_is_reported_and_never_given() {
    for scan in [false, true] {
        let (disk, mut backend) = half_synced();
        assert!(disk.flip(&mut at(6)));
        if scan {
            let keys: Vec<_> = backend.scan(Table::Cursors, "", None, 2).unwrap().into_iter().map(|v| v.0).collect();
            assert_eq!(keys, ["3".into(), "5".into()]);
        }
        assert_eq!(backend.get(Table::Cursors, "4").unwrap(), None);
        assert_eq!(backend.take_damage(), [Damage::Value { table: Table::Cursors, key: "4".into() }]);
        assert!(matches!(&disk.set_aside()[..], [SetAside::Value { key, .. }] if **key == *"4"));
        backend.commit(&[put("4")], Seq(6), true).unwrap();
        assert!(backend.get(Table::Cursors, "4").unwrap().is_some());
    }
}

#[test]
fn damage_is_found_when_the_store_is_opened() {
    let (disk, _) = half_synced();
    for place in [0, 3, 2, 3] {
        assert!(disk.flip(&mut at(place)));
    }
    let Opened { mut backend, image, damage } = open(&disk);
    let value = Damage::Value { table: Table::Cursors, key: "4".into() };
    assert_eq!(damage, [damaged("a.b", 1, 1), damaged("a.b", 4, 5), value]);
    assert_eq!((image.logs[0].first, image.logs[0].last), (2, 5));
    assert_eq!(backend.take_damage(), []);
    assert_eq!(offsets(&mut backend, "a.b"), [2, 3]);
}

#[test]
fn everything_can_be_damaged_and_then_nothing_more() {
    let (disk, mut backend) = half_synced();
    for _ in 0..8 {
        assert!(disk.flip(&mut at(0)));
    }
    assert!(!disk.flip(&mut at(0)));
    assert!(offsets(&mut backend, "a.b").is_empty());
    assert_eq!(backend.take_damage(), [damaged("a.b", 1, 5)]);
}

#[test]
fn groups_that_are_never_synced_are_written_back_at_some_time() {
    let disk = MemoryDisk::new();
    let mut backend = open(&disk).backend;
    for _ in 0..=PENDING_GROUPS {
        backend.commit(&[put("k")], Seq(1), false).unwrap();
    }
    assert_eq!(disk.cut(&mut at(0)), Cut { survived: 0, lost: 1 });
}

#[test]
fn a_group_that_fails_has_no_effect_on_the_next() {
    let disk = MemoryDisk::new();
    let mut backend = open(&disk).backend;
    disk.set_faults(Faults { next_sync: Some(SyncFault::Lost), ..Faults::default() });
    backend.commit(&[put("k")], Seq(1), false).unwrap();
    assert_eq!(disk.faults().next_sync, Some(SyncFault::Lost));
    assert_eq!(fault(backend.reopen(Seq(0))), StoreFault::Io);
    assert_eq!(
        fault(backend.reopen(Seq(0)).and_then(|()| backend.commit(&[event("a.b", 2)], Seq(1), true))),
        StoreFault::Refused
    );
    backend.commit(&[event("a.b", 1)], Seq(1), true).unwrap();
    assert_eq!(fault(backend.reopen(Seq(0))), StoreFault::Refused);
    backend.reopen(Seq(1)).unwrap();
}
