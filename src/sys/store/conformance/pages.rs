//! Pages: what a read gives, and what it says about the rest.

use std::sync::Arc;

use super::*;
use crate::engine::store::Record;
use crate::engine::topic::Pattern;

pub fn pages_of_a_log_by_offset(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&events("a.b", 1, 1..=6));
    store.commit(&[trim("a.b", 1, 2), event("a.b", 2, 1)]);
    for (epoch, after, limit, given, first, more, missing) in [
        (1, 0, 9, &[3, 4, 5, 6][..], 3, false, true),
        (1, 0, 2, &[3, 4], 3, true, true),
        (1, 1, 2, &[3, 4], 3, true, true),
        (1, 2, 2, &[3, 4], 3, true, false),
        (1, 3, 3, &[4, 5, 6], 3, false, false),
        (1, 6, 9, &[], 3, false, false),
        (1, 99, 9, &[], 3, false, false),
        (1, u64::MAX, 9, &[], 3, false, false),
        (2, 0, 9, &[1], 1, false, false),
        (3, 0, 9, &[], 0, false, true),
    ] {
        let page = store.read("a.b", epoch, after, limit);
        assert_eq!(offsets(&page), given, "epoch {epoch} after {after}");
        assert_eq!((page.first, page.more, page.missing), (first, more, missing), "epoch {epoch} after {after}");
    }
    store.commit(&[trim("a.b", 2, 1)]);
    for (after, missing) in [(0, true), (1, false)] {
        let page = store.read("a.b", 2, after, 9);
        assert_eq!((offsets(&page), page.first, page.more, page.missing), (vec![], 0, false, missing));
    }
}

pub fn pages_of_a_log_by_time(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    // The clock was set back before the fourth.
    for (offset, ms) in [(1, 10), (2, 20), (3, 20), (4, 5), (5, 30)] {
        store.commit(&[Write::Append(Append { time: Wall(ms), ..append("a.b", 1, offset) })]);
    }
    let mut look = |trimmed: u64, since: i64, limit: usize| {
        store.commit(&[trim("a.b", 1, trimmed)]);
        let (topic, epoch, since) = ("a.b".into(), Epoch::new(1), Wall(since));
        let page = store.backend.read(&Read::Time { topic, epoch, since, limit, bytes: usize::MAX }).unwrap();
        (offsets(&page), page.first, page.more, page.missing)
    };
    assert_eq!(look(0, i64::MIN, 9), (vec![1, 2, 3, 4, 5], 1, false, false));
    assert_eq!(look(0, 10, 2), (vec![1, 2], 1, true, false));
    assert_eq!(look(0, 11, 9), (vec![2, 3, 4, 5], 1, false, false));
    assert_eq!(look(0, 21, 9), (vec![5], 1, false, false));
    assert_eq!(look(0, 31, 9), (vec![], 1, false, false));
    // What went may have been published then or later; nobody knows any more.
    assert_eq!(look(1, 20, 9), (vec![2, 3, 4, 5], 2, false, true));
    assert_eq!(look(1, 25, 9), (vec![5], 2, false, false));
    assert_eq!(look(5, 0, 9), (vec![], 0, false, true));
}

pub fn pages_of_a_log_are_bounded_in_bytes_but_give_one_event(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&events("a.b", 1, 1..=4));
    let weight = store.read("a.b", 1, 0, 1).records[0].weight();
    let patterns: Arc<[Pattern]> = [Pattern::parse("a.b").unwrap()].into();
    for (bytes, given) in [(0, 1), (1, 1), (weight, 1), (2 * weight - 1, 1), (2 * weight, 2), (usize::MAX, 4)] {
        let (topic, epoch) = (Arc::<str>::from("a.b"), Epoch::new(1));
        let read = Read::Offset { topic: topic.clone(), epoch, after: 0, limit: 9, bytes };
        let page = store.backend.read(&read).unwrap();
        assert_eq!((page.records.len(), page.more), (given, given < 4));
        let page = store.backend.read(&Read::Time { topic, epoch, since: Wall(0), limit: 9, bytes }).unwrap();
        assert_eq!((page.records.len(), page.more), (given, given < 4));
        let read = Read::Patterns { patterns: patterns.clone(), after: Seq(0), through: Seq(4), limit: 9, bytes };
        let page = store.backend.read(&read).unwrap();
        assert_eq!((page.records.len(), page.through), (given, Seq(given as u64)));
    }
}

fn since(store: &mut Store, ms: i64) -> Vec<u64> {
    seqs(&store.backend.read(&Read::Since { since: Wall(ms) }).unwrap())
}

fn at(topic: &str, offset: u64, ms: i64) -> Write {
    Write::Append(Append { time: Wall(ms), ..append(topic, 1, offset) })
}

pub fn the_first_event_since_a_time_is_found_over_all_logs(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    assert!(since(&mut store, 0).is_empty());
    store.commit(&[at("a.b", 1, 10), at("x.y", 1, 20), at("a.b", 2, 20)]);
    store.last = Seq(100);
    store.commit(&[at("x.y", 2, 30), at("n.n", 1, 40)]);
    let found = [(i64::MIN, vec![1]), (10, vec![1]), (11, vec![2]), (20, vec![2]), (21, vec![101]), (40, vec![102])];
    for (ms, expected) in found.into_iter().chain([(41, vec![]), (i64::MAX, vec![])]) {
        assert_eq!(since(&mut store, ms), expected, "{ms}");
    }
    store.commit(&[trim("a.b", 1, 9), trim("n.n", 1, 1)]);
    for (ms, expected) in [(0, vec![2]), (21, vec![101]), (31, vec![])] {
        assert_eq!(since(&mut store, ms), expected, "{ms}");
    }
}

pub fn the_first_event_since_a_time_is_found_though_times_are_out_of_order(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    // Neighbours came from workers whose clocks and queues differ.
    let late = |seq: i64| 10 * seq - 95 * i64::from(seq % 7 == 0);
    let group: Vec<Write> = (1..=3000).map(|seq| at("a.b", seq as u64, late(seq))).collect();
    store.commit(&group);
    for ms in (0..30_050).step_by(49) {
        let expected: Vec<u64> = (1..=3000).find(|seq| late(*seq) >= ms).map(|seq| seq as u64).into_iter().collect();
        assert_eq!(since(&mut store, ms), expected, "{ms}");
    }
}

fn patterns(texts: &[&str]) -> Arc<[Pattern]> {
    texts.iter().map(|text| Pattern::parse(text).unwrap()).collect()
}

pub fn pages_by_patterns_give_each_event_once_in_order(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&[event("a.b", 1, 1), event("x.y", 1, 1), event("a.b", 2, 1), event("a.c", 1, 1)]);
    store.commit(&[event("a.b", 2, 2), event("system.log", 1, 1), event("a.b.c", 1, 1), event("x.y", 1, 2)]);
    store.commit(&[trim("x.y", 1, 1)]);
    for round in 0..2 {
        for (texts, after, through, given) in [
            (&["a.b"][..], 0, 8, &[1, 3, 5][..]),
            (&["a.*"], 0, 8, &[1, 3, 4, 5]),
            (&["a.>", "a.*", "a.b"], 0, 8, &[1, 3, 4, 5, 7]),
            (&[">"], 0, 8, &[1, 3, 4, 5, 7, 8]),
            (&["system.*", "x.*"], 0, 8, &[6, 8]),
            (&[">"], 3, 5, &[4, 5]),
            (&[">"], 1, 2, &[]),
            (&[">"], 5, 3, &[]),
            (&["n.n"], 0, 8, &[]),
            (&[], 0, 8, &[]),
            (&["a.>"], 6, u64::MAX, &[7]),
        ] {
            let (patterns, after, through) = (patterns(texts), Seq(after), Seq(through));
            let read = Read::Patterns { patterns, after, through, limit: 99, bytes: usize::MAX };
            let page = store.backend.read(&read).unwrap();
            assert_eq!(seqs(&page), given, "{texts:?} {after} {through}");
            assert_eq!(page.through, through);
        }
        if round == 0 {
            store = store.closed();
        }
    }
}

pub fn pages_by_patterns_say_how_far_they_looked(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&events("a.b", 1, 1..=2));
    store.commit(&events("x.y", 1, 1..=5));
    store.commit(&events("a.b", 1, 3..=3));
    store.commit(&events("x.y", 1, 6..=9));
    let mut look = |after: u64, limit: usize| {
        let (patterns, after, through) = (patterns(&["a.b"]), Seq(after), Seq(11));
        let page = store.backend.read(&Read::Patterns { patterns, after, through, limit, bytes: usize::MAX }).unwrap();
        (seqs(&page), page.through.0)
    };
    // Anything from the last given up to the one before the next is true.
    let (given, through) = look(0, 2);
    assert!(given == [1, 2] && (2..8).contains(&through), "{given:?} {through}");
    assert_eq!(look(0, 1), (vec![1], 1));
    assert_eq!(look(0, 3), (vec![1, 2, 8], 11));
    assert_eq!(look(8, 3), (vec![], 11));
    assert_eq!(look(through, 1), (vec![8], 11));
}

pub fn pages_of_single_events_leave_out_what_is_gone(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    store.commit(&[event("a.b", 1, 1), event("x.y", 1, 1), event("a.b", 1, 2), event("a.b", 1, 3)]);
    store.commit(&[trim("a.b", 1, 1)]);
    for (asked, given) in
        [(&[1, 2, 3, 4][..], &[2, 3, 4][..]), (&[4, 2], &[4, 2]), (&[1, 0, 5, u64::MAX], &[]), (&[], &[])]
    {
        let page = store.backend.read(&Read::Seqs { seqs: asked.iter().copied().map(Seq).collect() }).unwrap();
        assert_eq!(seqs(&page), given, "{asked:?}");
    }
}

pub fn pages_give_events_as_they_were_written(new_lab: NewLab) {
    let mut store = Store::new(new_lab);
    let large: String = format!("\"{}\"", "x".repeat(300_000));
    let payloads = ["null", "{\"a\":[1,2,\"ü\"]}", &large];
    for (offset, payload) in (1..).zip(payloads) {
        let time = Wall(NOW.0 + offset as i64);
        let expires = (offset == 2).then_some(Wall(i64::MAX));
        let payload = Bytes::copy_from_slice(payload.as_bytes());
        store.commit(&[Write::Append(Append { time, expires, payload, ..append("a.b", u64::MAX, offset) })]);
    }
    for round in 0..2 {
        let page = store.read("a.b", u64::MAX, 0, 9);
        for ((offset, payload), record) in (1..).zip(payloads).zip(&page.records) {
            let expected = Record {
                seq: Seq(offset),
                topic: "a.b".into(),
                epoch: Epoch::new(u64::MAX),
                offset,
                time: Wall(NOW.0 + offset as i64),
                expires: (offset == 2).then_some(Wall(i64::MAX)),
                payload: Bytes::copy_from_slice(payload.as_bytes()),
            };
            assert!(*record == expected, "event {offset} came back different");
        }
        assert_eq!(page.records.len(), 3);
        if round == 0 {
            store = store.killed();
        }
    }
}
