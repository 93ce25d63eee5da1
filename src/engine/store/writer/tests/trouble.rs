//! Full stores, failures that change, and those that no commit met.

use super::*;

#[test]
fn while_full_what_takes_away_is_committed_and_the_failure_stays() {
    let gone = |ticket| {
        let write = Write::Delete { table: Table::Cursors, key: "k".into(), level: Level::Disk };
        request(3, ticket, 0, Op::Write(write))
    };
    let (mut writer, mut out) = (Writer::new(Seq(3)), Told::new());
    let mut script = Script { fails: Some(StoreFault::Full), takes_trims: true, ..Script::default() };
    writer.push(append(1), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["all: failed full 1", "1: 1 full"]);
    let value = Write::Put { table: Table::Meta, key: "k".into(), value: Bytes::new(), level: Level::Disk };
    let value = request(2, 3, 1, Op::Write(value));
    for request in [append_of(1, 2, Level::Disk, 1), value, trim(4), gone(5)] {
        writer.push(request, &mut out);
    }
    assert_eq!(told(&mut out), ["1: 2 full", "2: 3 full"]);
    assert!(writer.is_due());
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["3: 4 trimmed [Seq(77)]", "3: 5 done"]);
    assert_eq!(script.commits, [(1, Seq(4), true), (2, Seq(4), true)]);
    assert!(writer.failure().is_some() && !writer.try_reopen(&mut script, &mut out) && out.is_empty());
    // Not even that: those who know that it is full are not told so again.
    script.takes_trims = false;
    writer.push(trim(6), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!((told(&mut out), writer.term()), (vec!["3: 6 full".to_owned()], 1));
    script.fails = Some(StoreFault::Io);
    writer.push(trim(7), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["all: failed io 2", "3: 7 io"]);
    writer.push(trim(8), &mut out);
    assert_eq!(told(&mut out), ["3: 8 io"]);
}

#[test]
fn in_a_full_store_a_cursor_without_room_keeps_no_trim_from_making_some() {
    let cursor = |ticket| {
        let (table, level) = (Table::Cursors, Level::Memory);
        request(2, ticket, 1, Op::Write(Write::Put { table, key: "k".into(), value: Bytes::new(), level }))
    };
    let (mut writer, mut out) = (Writer::new(Seq(3)), Told::new());
    let mut script = Script { fails: Some(StoreFault::Full), takes_trims: true, ..Script::default() };
    writer.push(append(1), &mut out);
    writer.commit(&mut script, &mut out);
    told(&mut out);
    for request in [cursor(2), trim(3), trim(4), cursor(5)] {
        writer.push(request, &mut out);
    }
    let mut heard = Vec::new();
    while writer.is_due() {
        writer.commit(&mut script, &mut out);
        heard.extend(told(&mut out));
    }
    assert_eq!(heard, ["2: 2 full", "3: 3 trimmed [Seq(77)]", "3: 4 trimmed [Seq(77)]", "2: 5 full"]);
    script.fails = None;
    writer.push(cursor(6), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["2: 6 done"]);
    assert!(writer.failure().is_some());
}

#[test]
fn the_workers_are_told_when_it_fails_in_another_way() {
    let (mut writer, mut out) = (Writer::new(Seq(3)), Told::new());
    let mut script = Script { fails: Some(StoreFault::Io), ..Script::default() };
    writer.push(append(1), &mut out);
    writer.commit(&mut script, &mut out);
    told(&mut out);
    for (fault, expected) in [
        (StoreFault::Io, vec![]),
        (StoreFault::Full, vec!["all: failed full 2"]),
        (StoreFault::Full, vec![]),
        (StoreFault::ReadOnly, vec!["all: failed read_only 3"]),
    ] {
        script.fails = Some(fault);
        assert!(!writer.try_reopen(&mut script, &mut out));
        assert_eq!(told(&mut out), expected);
    }
    script.fails = None;
    assert!(writer.try_reopen(&mut script, &mut out));
    assert_eq!((told(&mut out), writer.written().failures), (vec!["all: well".to_owned()], 1));
    writer.push(append_of(3, 2, Level::Disk, 1), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["all: committed disk [4] [2]"]);
}

#[test]
fn a_backend_that_refuses_everything_is_noticed_without_a_commit() {
    let (mut writer, mut out) = (Writer::new(Seq(3)), Told::new());
    let mut script = Script::default();
    writer.push(append(1), &mut out);
    writer.look_after(&script, &mut out);
    assert!(out.is_empty() && writer.failure().is_none());
    script.broken = Some(StoreFault::Io);
    writer.look_after(&script, &mut out);
    assert_eq!(told(&mut out), ["all: failed io 1", "1: 1 io"]);
    writer.look_after(&script, &mut out);
    assert!(out.is_empty() && writer.written().failures == 1);
    script.broken = None;
    assert!(writer.try_reopen(&mut script, &mut out));
    assert_eq!(told(&mut out), ["all: well"]);
}
