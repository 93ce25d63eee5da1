//! Logs: offsets, epochs, groups, numbers, trims.

use super::*;
use crate::engine::store::LogHead;

pub fn offsets_follow(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    for wrong in [0, 2, 7, u64::MAX] {
        store.is_refused(&[event("a.b", 1, wrong)]);
    }
    store.commit(&events("a.b", 1, 1..=3));
    for wrong in [0, 1, 3, 5] {
        store.is_refused(&[event("a.b", 1, wrong)]);
    }
    store.is_refused(&[event("a.b", 1, 4), event("a.b", 1, 6)]);
    store.commit(&[event("a.b", 1, 4)]);
    store.commit(&[trim("a.b", 1, 4)]);
    store.is_refused(&[event("a.b", 1, 1)]);
    let mut store = store.closed();
    store.is_refused(&[event("a.b", 1, 1)]);
    store.commit(&[event("a.b", 1, 5)]);
    assert_eq!(store.offsets("a.b", 1), [5]);
}

pub fn a_new_epoch_begins_a_log_that_is_the_newest(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    // The newest is the one begun last, not the one with the greatest epoch.
    store.commit(&events("a.b", 9, 1..=2));
    store.is_refused(&[event("a.b", 5, 3)]);
    store.commit(&events("a.b", 5, 1..=1));
    store.is_refused(&[event("a.b", 9, 3)]);
    store.is_refused(&[event("a.b", 7, 1), event("a.b", 5, 2)]);
    store.commit(&[event("a.b", 5, 2), event("a.c", 9, 1)]);
    for round in 0..2 {
        assert_eq!(store.offsets("a.b", 9), [1, 2]);
        assert_eq!(store.offsets("a.b", 5), [1, 2]);
        if round == 0 {
            store = store.closed();
        }
    }
    let mut heads: Vec<_> = store.image.logs.iter().map(|l| (&*l.topic, l.epoch, l.is_newest)).collect();
    heads.sort();
    let expected = [("a.b", Epoch::new(5), true), ("a.b", Epoch::new(9), false), ("a.c", Epoch::new(9), true)];
    assert_eq!(heads, expected);
    store.is_refused(&[event("a.b", 9, 3)]);
    store.commit(&[event("a.b", 5, 3)]);
}

pub fn a_group_is_kept_as_a_whole_or_not_at_all(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&[event("a.b", 1, 1), put(Table::Meta, "k", "old"), put(Table::Meta, "l", "old")]);
    store.is_refused(&[
        event("a.b", 1, 2),
        event("x.y", 1, 1),
        put(Table::Meta, "k", "new"),
        delete(Table::Meta, "l"),
        trim("a.b", 1, 1),
        event("a.b", 1, 2),
    ]);
    for kill in [false, true, false] {
        assert_eq!(store.offsets("a.b", 1), [1]);
        assert!(store.offsets("x.y", 1).is_empty());
        let values = store.backend.scan(Table::Meta, "", None, 9).unwrap();
        assert_eq!(values, [("k".into(), Bytes::from("old")), ("l".into(), Bytes::from("old"))]);
        store = if kill { store.killed() } else { store.closed() };
        assert_eq!((store.image.last, store.image.logs.len()), (Seq(1), 1));
    }
    store.commit(&[event("a.b", 1, 2), event("x.y", 1, 1)]);
}

pub fn a_group_may_hold_everything_at_once(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    let gone = store.commit(&[
        event("a.b", 1, 1),
        put(Table::Meta, "k", "1"),
        event("x.y", 1, 1),
        event("a.b", 1, 2),
        trim("a.b", 1, 1),
        event("a.b", 1, 3),
        trim("x.y", 1, 5),
        event("x.y", 2, 1),
        delete(Table::Meta, "k"),
        put(Table::Meta, "k", "2"),
        trim("a.b", 1, 2),
    ]);
    assert_eq!(gone, [vec![Seq(1)], vec![Seq(2)], vec![Seq(3)]]);
    assert_eq!(store.offsets("a.b", 1), [3]);
    assert_eq!(seqs(&store.read("x.y", 2, 0, 9)), [5]);
    assert_eq!(store.backend.get(Table::Meta, "k").unwrap(), Some(Bytes::from("2")));
    assert_eq!(store.commit(&[]), Vec::<Vec<Seq>>::new());
}

pub fn numbers_are_given_once_and_may_leave_gaps(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&events("a.b", 1, 1..=2));
    for first in 0..=2 {
        let refused = store.backend.commit(&[event("a.b", 1, 3)], Seq(first), true);
        assert_eq!(refused.map_err(|error| error.fault), Err(StoreFault::Refused));
    }
    store.last = Seq(10);
    store.commit(&events("a.b", 1, 3..=4));
    assert_eq!(seqs(&store.read("a.b", 1, 0, 9)), [1, 2, 11, 12]);
    store.commit(&[trim("a.b", 1, 4)]);
    let mut store = store.killed();
    assert_eq!((store.image.last, store.image.logs[0].last_seq), (Seq(12), Seq(12)));
    let refused = store.backend.commit(&[event("a.b", 1, 5)], Seq(12), true);
    assert_eq!(refused.map_err(|error| error.fault), Err(StoreFault::Refused));
    store.commit(&[event("a.b", 1, 5)]);
    assert_eq!(seqs(&store.read("a.b", 1, 0, 9)), [13]);
}

pub fn a_trim_takes_the_oldest_and_says_which(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&[event("a.b", 1, 1), event("x.y", 1, 1), event("a.b", 1, 2), event("a.b", 1, 3)]);
    for (topic, epoch, through, gone) in [
        ("a.b", 1, 0, vec![]),
        ("a.b", 2, 9, vec![]),
        ("n.n", 1, 9, vec![]),
        ("a.b", 1, 2, vec![Seq(1), Seq(3)]),
        ("a.b", 1, 2, vec![]),
        ("a.b", 1, 9, vec![Seq(4)]),
        ("a.b", 1, u64::MAX, vec![]),
    ] {
        assert_eq!(store.commit(&[trim(topic, epoch, through)]), [gone], "{topic} {epoch} {through}");
    }
    assert_eq!(store.offsets("x.y", 1), [1]);
    store.commit(&[event("a.b", 1, 4)]);
    assert_eq!(store.offsets("a.b", 1), [4]);
}

pub fn a_log_that_holds_nothing_is_forgotten_unless_it_is_the_newest(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&events("a.b", 1, 1..=2));
    store.commit(&[event("a.b", 2, 1)]);
    store.commit(&[trim("a.b", 1, 2), trim("a.b", 2, 1)]);
    // This one is empty before it stops being the newest.
    store.commit(&[event("x.y", 1, 1), trim("x.y", 1, 1), event("x.y", 2, 1)]);
    let store = store.closed();
    let mut logs = store.image.logs.clone();
    logs.sort_by(|a, b| a.topic.cmp(&b.topic));
    let head = |topic: &str, first, seq, bytes, first_time| LogHead {
        topic: topic.into(),
        epoch: Epoch::new(2),
        is_newest: true,
        first,
        last: 1,
        last_seq: Seq(seq),
        bytes,
        first_time,
        is_mixed: false,
        is_cut: false,
    };
    assert_eq!(logs, [head("a.b", 2, 3, 0, None), head("x.y", 1, 5, 12 + 3 + 64, Some(NOW))]);
}

pub fn bytes_are_those_of_the_events_held(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&events("a.b", 1, 1..=3));
    let weight = store.read("a.b", 1, 0, 1).records[0].weight() as u64;
    for held in [3, 2, 0] {
        store.commit(&[trim("a.b", 1, 3 - held)]);
        store = store.closed();
        assert_eq!(store.image.logs[0].bytes, held * weight);
        assert_eq!(store.backend.size().events, held);
    }
}
