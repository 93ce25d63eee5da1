//! Opening a store again: what the image says, what survived.

use super::*;
use crate::engine::store::DedupKey;

pub fn a_new_store_is_empty(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    assert_eq!((store.image.last, store.image.logs.len(), store.image.dedup.len()), (Seq(0), 0, 0));
    assert!(store.image.was_closed);
    assert!(Table::ALL.iter().all(|&table| store.keys(table).is_empty()));
    assert_eq!(store.backend.take_damage(), []);
}

pub fn a_store_tells_whether_it_was_closed_in_order(new_lab: NewLab) {
    let store = Store::new(new_lab).killed();
    assert!(!store.image.was_closed);
    let mut store = store.closed();
    assert!(store.image.was_closed);
    store.commit(&[put(Table::Meta, "k", "v")]);
    let store = store.killed();
    assert!(!store.image.was_closed);
    assert!(store.closed().closed().image.was_closed);
}

pub fn what_was_synced_survives_the_process(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    for offset in 1..=3 {
        let group = [event("a.b", 1, offset), put(Table::Cursors, &offset.to_string(), "v")];
        store.backend.commit(&group, Seq(offset), false).unwrap();
    }
    // The sync of an empty group is one too.
    store.backend.commit(&[], Seq(4), true).unwrap();
    let mut store = store.killed();
    assert_eq!(store.image.last, Seq(3));
    assert_eq!(store.offsets("a.b", 1), [1, 2, 3]);
    assert_eq!(store.keys(Table::Cursors).len(), 3);
    // What is not synced is, when the store is closed in order.
    store.backend.commit(&[event("a.b", 1, 4)], Seq(4), false).unwrap();
    assert_eq!(store.closed().offsets("a.b", 1), [1, 2, 3, 4]);
}

fn known(topic: &str, epoch: u64, offset: u64, key: u128, age_s: i64) -> Write {
    let time = Wall(NOW.0 - age_s * 1000);
    Write::Append(Append { dedup: Some(DedupKey(key)), time, ..append(topic, epoch, offset) })
}

pub fn ids_of_publishes_are_remembered_within_the_window(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&[known("a.b", 1, 1, 11, 90), known("a.b", 1, 2, u128::MAX, 50)]);
    store.commit(&[event("a.b", 1, 3), known("x.y", 7, 1, 13, 0)]);
    for round in 0..2 {
        store = if round == 0 { store.closed() } else { store.killed() };
        let expected =
            [(DedupKey(u128::MAX), Epoch::new(1), 2, Wall(NOW.0 - 50_000)), (DedupKey(13), Epoch::new(7), 1, NOW)];
        assert_eq!(store.image.dedup, expected);
    }
}

pub fn so_many_ids_of_publishes_are_remembered_at_most(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    for offset in 1..=DEDUP_MAX as u64 + 3 {
        store.commit(&[known("a.b", 1, offset, u128::from(offset), 1)]);
    }
    let store = store.killed();
    let offsets: Vec<u64> = store.image.dedup.iter().map(|entry| entry.2).collect();
    assert_eq!(offsets, (4..=DEDUP_MAX as u64 + 3).collect::<Vec<_>>());
}

pub fn a_mixed_log_says_so_for_good(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    let mixed = |topic, offset, is_mixed| Write::Append(Append { is_mixed, ..append(topic, 1, offset) });
    store.commit(&[mixed("a.a", 1, true), mixed("a.b", 1, false)]);
    store.commit(&[mixed("a.a", 2, false), mixed("a.b", 2, true), trim("a.a", 1, 9)]);
    let store = store.killed();
    let mut heads: Vec<(&str, bool)> = store.image.logs.iter().map(|l| (&*l.topic, l.is_mixed)).collect();
    heads.sort_unstable();
    assert_eq!(heads, [("a.a", true), ("a.b", false)]);
}

pub fn reopening_a_store_that_is_well_changes_nothing(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.backend.reopen(Seq(0)).unwrap();
    store.commit(&[event("a.b", 1, 1), event("a.b", 1, 2), put(Table::Meta, "k", "v")]);
    store.backend.commit(&[event("a.b", 1, 3)], Seq(3), false).unwrap();
    store.backend.reopen(Seq(3)).unwrap();
    // It synced what was on its way.
    let mut store = store.killed();
    assert_eq!(store.offsets("a.b", 1), [1, 2, 3]);
    store.backend.reopen(Seq(3)).unwrap();
    store.commit(&[event("a.b", 1, 4), delete(Table::Meta, "k")]);
    assert_eq!(store.closed().offsets("a.b", 1), [1, 2, 3, 4]);
}
