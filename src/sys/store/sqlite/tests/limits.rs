//! A store that is full, and one that was in trouble.

use super::*;
use crate::engine::store::StoreFault;

fn fill(backend: &mut SqliteBackend, from: u64) -> (u64, StoreFault) {
    for offset in from.. {
        if let Err(error) = backend.commit(&[append("a.b", 1, offset, 1000)], Seq(offset), false) {
            return (offset - 1, error.fault);
        }
    }
    unreachable!()
}

#[test]
fn a_full_store_takes_no_events_until_a_trim_makes_room() {
    let folder = Folder::new();
    let small = SqliteSettings { max_bytes: 4 << 20, ..settings(&folder.path()) };
    let mut backend = SqliteBackend::open(small, NOW).unwrap().backend;
    let (last, fault) = fill(&mut backend, 1);
    assert_eq!(fault, StoreFault::Full);
    let full = backend.size();
    assert!((1500..4000).contains(&last) && full.bytes <= 4 << 20, "{last} events in {} bytes", full.bytes);
    // Cursors can still be moved.
    backend.commit(&[put("k", "v")], Seq(last + 1), true).unwrap();
    assert_eq!(backend.reopen(Seq(last)).unwrap_err().fault, StoreFault::Full);
    assert_eq!(fill(&mut backend, last + 1), (last, StoreFault::Full));
    let (topic, epoch) = ("a.b".into(), Epoch::new(1));
    let trim = Write::Trim { topic, epoch, through: last / 2, before: None };
    backend.commit(&[trim], Seq(last + 1), false).unwrap();
    let (more, fault) = fill(&mut backend, last + 1);
    assert_eq!(fault, StoreFault::Full);
    assert!(more > last + last / 3, "{more} after {last}");
    assert!(backend.size().bytes <= (4 << 20) + (64 << 10));
    assert_eq!(read_all(&mut backend, "a.b", 1).len() as u64, more - last / 2);
}

#[test]
fn a_disk_that_must_stay_free_counts_as_full() {
    let folder = Folder::new();
    let greedy = SqliteSettings { min_free_bytes: u64::MAX, ..settings(&folder.path()) };
    let mut backend = SqliteBackend::open(greedy, NOW).unwrap().backend;
    let refused = backend.commit(&[append("a.b", 1, 1, 9)], Seq(1), true).unwrap_err();
    assert_eq!(refused.fault, StoreFault::Full);
    assert!(backend.size().free < u64::MAX);
}

#[test]
fn after_trouble_everything_behind_the_last_answered_is_taken_back() {
    let folder = Folder::new();
    let mut backend = SqliteBackend::open(settings(&folder.path()), NOW).unwrap().backend;
    backend.commit(&[append("a.b", 1, 1, 9), append("x.y", 1, 1, 9)], Seq(1), true).unwrap();
    let gone = Write::Trim { topic: "x.y".into(), epoch: Epoch::new(1), through: 1, before: None };
    backend.commit(&[gone], Seq(3), true).unwrap();
    // A group whose sync failed may be on the disk all the same; memory does not know it.
    let (heads, last) = {
        let live = backend.live.as_ref().unwrap();
        (super::super::mark::Known::of(&live.heads, live.last), live.last)
    };
    let group = [append("a.b", 1, 2, 9), append("n.n", 1, 1, 9), append("x.y", 2, 1, 9), put("k", "v")];
    backend.commit(&group, Seq(3), true).unwrap();
    let live = backend.live.take().unwrap();
    live.abandon();
    backend.known = Some(heads);
    backend.fault = Some(crate::engine::store::StoreError::new(StoreFault::Io, "the sync failed"));
    let refused = backend.commit(&[append("a.b", 1, 2, 9)], Seq(3), true).unwrap_err();
    assert_eq!(refused.fault, StoreFault::Io);
    backend.reopen(last).unwrap();
    assert_eq!(backend.take_damage(), []);
    assert_eq!(read_all(&mut backend, "a.b", 1).len(), 1);
    assert!(read_all(&mut backend, "n.n", 1).is_empty());
    // The log that the failed group's new one had pushed out knows its offsets again.
    backend.commit(&[append("x.y", 1, 2, 9), append("a.b", 1, 2, 8), append("n.n", 5, 1, 9)], Seq(3), true).unwrap();
    assert_eq!(read_all(&mut backend, "a.b", 1).len(), 2);
    backend.close().unwrap();
    drop(backend);
    let opened = SqliteBackend::open(settings(&folder.path()), NOW).unwrap();
    assert_eq!((opened.damage, opened.image.last), (vec![], Seq(5)));
}
