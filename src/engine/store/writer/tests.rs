use bytes::Bytes;

use super::*;
use crate::base::Wall;
use crate::engine::store::{Damage, Page, Read, Size, StoreFault, Table, To, Trimmed};
use crate::engine::topic::Epoch;

mod trouble;

/// Does what it is told to, and remembers what it was asked.
#[derive(Default)]
struct Script {
    commits: Vec<(usize, Seq, bool)>,
    reopens: Vec<Seq>,
    fails: Option<StoreFault>,
    /// Only what brings something fails.
    takes_trims: bool,
    broken: Option<StoreFault>,
    damage: Vec<Damage>,
}

impl Script {
    fn outcome(&self) -> Result<(), StoreError> {
        self.fails.map_or(Ok(()), |fault| Err(StoreError::new(fault, "as ordered")))
    }
}

impl Backend for Script {
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        self.commits.push((group.len(), first, sync));
        if !self.takes_trims || !group.iter().all(Write::makes_room) {
            self.outcome()?;
        }
        Ok(group
            .iter()
            .filter(|w| matches!(w, Write::Trim { .. }))
            .map(|_| Trimmed { gone: vec![Seq(77)], ..Trimmed::default() })
            .collect())
    }

    fn reopen(&mut self, last: Seq) -> Result<(), StoreError> {
        self.reopens.push(last);
        self.outcome()
    }

    fn failure(&self) -> Option<StoreError> {
        self.broken.map(|fault| StoreError::new(fault, "as ordered"))
    }

    fn read(&mut self, _: &Read) -> Result<Page, StoreError> {
        Ok(Page { first: 5, ..Page::default() })
    }

    fn get(&mut self, _: Table, key: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(Some(Bytes::copy_from_slice(key.as_bytes())))
    }

    fn scan(
        &mut self,
        _: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError> {
        Ok(vec![(format!("{prefix} {after:?} {limit}").into(), Bytes::new())])
    }

    fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    fn take_damage(&mut self) -> Vec<Damage> {
        std::mem::take(&mut self.damage)
    }

    fn size(&mut self) -> Size {
        Size::default()
    }
}

fn request(worker: u16, ticket: u64, term: u64, op: Op) -> Request {
    Request { worker: WorkerId(worker), ticket, term, op }
}

fn append_of(term: u64, ticket: u64, level: Level, bytes: usize) -> Request {
    let append = Append {
        topic: "a.b".into(),
        epoch: Epoch::new(1),
        offset: ticket,
        is_mixed: false,
        time: Wall(ticket as i64),
        expires: None,
        payload: Bytes::from(vec![b'1'; bytes]),
        level,
        dedup: None,
    };
    request(1, ticket, term, Op::Write(Write::Append(append)))
}

fn append(ticket: u64) -> Request {
    append_of(0, ticket, Level::Disk, 1)
}

fn put(ticket: u64, level: Level) -> Request {
    let write = Write::Put { table: Table::Cursors, key: "k".into(), value: Bytes::new(), level };
    request(2, ticket, 0, Op::Write(write))
}

fn trim(ticket: u64) -> Request {
    request(
        3,
        ticket,
        0,
        Op::Write(Write::Trim { topic: "a.b".into(), epoch: Epoch::new(1), through: 1, before: None }),
    )
}

fn told(out: &mut Told) -> Vec<String> {
    let name = |result: Result<Answer, StoreError>| match result {
        Ok(Answer::Done) => "done".to_owned(),
        Ok(Answer::Trimmed(trimmed)) => format!("trimmed {:?}", trimmed.gone),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.fault.as_str().to_owned(),
    };
    out.drain()
        .map(|(to, event)| {
            let to = match to {
                To::All => "all".to_owned(),
                To::One(worker) => worker.0.to_string(),
            };
            let what = match event {
                StoreEvent::Committed(commit) => {
                    let seqs: Vec<u64> = commit.entries.iter().map(|e| e.record.seq.0).collect();
                    let tickets: Vec<u64> = commit.entries.iter().map(|e| e.ticket).collect();
                    format!("committed {} {seqs:?} {tickets:?}", commit.level.as_str())
                }
                StoreEvent::Done { ticket, result } => format!("{ticket} {}", name(result)),
                StoreEvent::Failed(failure) => format!("failed {} {}", failure.error.fault.as_str(), failure.term),
                StoreEvent::Well => "well".to_owned(),
                StoreEvent::Damaged(damage) => format!("damaged {}", damage.len()),
            };
            format!("{to}: {what}")
        })
        .collect()
}

#[test]
fn a_group_is_told_to_all_and_completed_for_each_that_changed_something_else() {
    let (mut writer, mut script, mut out) = (Writer::new(Seq(10)), Script::default(), Told::new());
    for request in [append(1), put(2, Level::Memory), trim(3), append(4)] {
        writer.push(request, &mut out);
    }
    assert!(out.is_empty() && writer.is_due() && writer.waiting() == 4);
    writer.commit(&mut script, &mut out);
    assert_eq!(script.commits, [(4, Seq(11), true)]);
    assert_eq!(told(&mut out), ["all: committed disk [11, 12] [1, 4]", "2: 2 done", "3: 3 trimmed [Seq(77)]"]);
    assert!(!writer.is_due() && writer.last() == Seq(12));
    writer.commit(&mut script, &mut out);
    assert!(out.is_empty() && script.commits.len() == 1);
    let expected =
        Written { groups: 1, synced: 1, requests: 4, events: 2, bytes: 2 * 68 + 65 + 67, ..Written::default() };
    assert_eq!(writer.written(), expected);
}

#[test]
fn a_group_is_synced_only_if_one_of_its_changes_needs_it() {
    for (request, sync) in [
        (append(1), true),
        (append_of(0, 1, Level::Memory, 1), false),
        (put(1, Level::Disk), true),
        (put(1, Level::Memory), false),
        (trim(1), false),
    ] {
        let (mut writer, mut script, mut out) = (Writer::new(Seq(0)), Script::default(), Told::new());
        let is_append = matches!(request.op, Op::Write(Write::Append(_)));
        writer.push(request, &mut out);
        writer.commit(&mut script, &mut out);
        assert_eq!(script.commits, [(1, Seq(1), sync)]);
        let told = told(&mut out);
        assert_eq!(told.len(), 1);
        if is_append {
            let level = if sync { "disk" } else { "memory" };
            assert_eq!(told[0], format!("all: committed {level} [1] [1]"));
        }
    }
}

#[test]
fn a_group_is_bounded_in_number_and_in_bytes_but_has_one_request_at_least() {
    let half = GROUP_BYTES / 2;
    for (sizes, groups) in [
        (vec![1; GROUP_REQUESTS + 1], vec![GROUP_REQUESTS, 1]),
        (vec![half, half, 1], vec![1, 2]),
        (vec![half, half - 210, 1, 1], vec![3, 1]),
        (vec![GROUP_BYTES * 2, 1], vec![1, 1]),
    ] {
        let (mut writer, mut script, mut out) = (Writer::new(Seq(0)), Script::default(), Told::new());
        for (size, ticket) in sizes.iter().zip(1..) {
            writer.push(append_of(0, ticket, Level::Disk, *size), &mut out);
        }
        while writer.is_due() {
            writer.commit(&mut script, &mut out);
        }
        assert_eq!(script.commits.iter().map(|c| c.0).collect::<Vec<_>>(), groups);
        assert_eq!(script.commits[1].1, Seq(groups[0] as u64 + 1));
    }
}

#[test]
fn a_failure_is_told_to_all_first_and_fails_all_that_wait() {
    for fault in StoreFault::ALL {
        let (mut writer, mut out) = (Writer::new(Seq(3)), Told::new());
        let mut script = Script { fails: Some(fault), ..Script::default() };
        writer.push(append_of(0, 1, Level::Disk, GROUP_BYTES), &mut out);
        for request in [append(2), put(3, Level::Memory), trim(4)] {
            writer.push(request, &mut out);
        }
        writer.commit(&mut script, &mut out);
        let name = fault.as_str();
        let expected = [
            format!("all: failed {name} 1"),
            format!("1: 1 {name}"),
            format!("1: 2 {name}"),
            format!("2: 3 {name}"),
            format!("3: 4 {name}"),
        ];
        assert_eq!(script.commits, [(1, Seq(4), true)]);
        assert_eq!(told(&mut out), expected);
        assert_eq!((writer.term(), writer.last(), writer.is_due()), (1, Seq(3), false));
        assert_eq!(writer.failure().map(|e| e.fault), Some(fault));
    }
}

#[test]
fn while_failed_every_change_is_answered_with_the_error_until_the_store_is_reopened() {
    let (mut writer, mut out) = (Writer::new(Seq(3)), Told::new());
    let mut script = Script { fails: Some(StoreFault::Io), ..Script::default() };
    writer.push(append(1), &mut out);
    writer.commit(&mut script, &mut out);
    told(&mut out);
    assert!(!writer.try_reopen(&mut script, &mut out));
    assert!(out.is_empty());
    for request in [append(2), put(3, Level::Memory), trim(4)] {
        writer.push(request, &mut out);
    }
    assert_eq!(told(&mut out), ["1: 2 io", "2: 3 io", "3: 4 io"]);
    writer.commit(&mut script, &mut out);
    assert_eq!(script.commits.len(), 1);
    script.fails = None;
    assert!(writer.try_reopen(&mut script, &mut out));
    assert_eq!(script.reopens, [Seq(3), Seq(3)]);
    assert_eq!(told(&mut out), ["all: well"]);
    assert!(writer.try_reopen(&mut script, &mut out) && out.is_empty());
    writer.push(append_of(1, 5, Level::Disk, 1), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["all: committed disk [4] [5]"]);
}

#[test]
fn appends_of_a_term_that_is_over_are_stale_and_other_changes_are_not() {
    let (mut writer, mut out) = (Writer::new(Seq(0)), Told::new());
    let mut script = Script { fails: Some(StoreFault::Refused), ..Script::default() };
    writer.push(append(1), &mut out);
    writer.commit(&mut script, &mut out);
    script.fails = None;
    assert!(writer.try_reopen(&mut script, &mut out));
    told(&mut out);
    for request in [append(2), append_of(2, 3, Level::Disk, 1), put(4, Level::Disk), trim(5)] {
        writer.push(request, &mut out);
    }
    assert_eq!(told(&mut out), ["1: 2 stale", "1: 3 stale"]);
    assert_eq!(writer.waiting(), 2);
}

#[test]
fn an_append_refused_in_the_new_term_ends_that_term_too() {
    let (mut writer, mut out) = (Writer::new(Seq(0)), Told::new());
    let mut script = Script { fails: Some(StoreFault::Io), ..Script::default() };
    writer.push(append(1), &mut out);
    writer.commit(&mut script, &mut out);
    writer.push(append_of(1, 1, Level::Disk, 1), &mut out);
    told(&mut out);
    script.fails = None;
    assert!(writer.try_reopen(&mut script, &mut out));
    assert_eq!(told(&mut out), ["all: failed io 2", "all: well"]);
    // It was sent before its worker heard that the one before was refused.
    writer.push(append_of(1, 2, Level::Disk, 1), &mut out);
    assert_eq!(told(&mut out), ["1: 2 stale"]);
}

#[test]
fn damage_is_told_after_a_commit_and_after_reopening() {
    let damage = || vec![Damage::File { text: "x".into() }];
    let (mut writer, mut out) = (Writer::new(Seq(0)), Told::new());
    let mut script = Script { damage: damage(), ..Script::default() };
    writer.push(put(1, Level::Disk), &mut out);
    writer.commit(&mut script, &mut out);
    assert_eq!(told(&mut out), ["2: 1 done", "all: damaged 1"]);
    script.fails = Some(StoreFault::Io);
    writer.push(put(2, Level::Disk), &mut out);
    writer.commit(&mut script, &mut out);
    told(&mut out);
    (script.fails, script.damage) = (None, damage());
    assert!(writer.try_reopen(&mut script, &mut out));
    assert_eq!(told(&mut out), ["all: well", "all: damaged 1"]);
}

#[test]
fn looks_are_answered_by_the_reader_and_refused_by_the_writer_and_changes_the_other_way_round() {
    use crate::engine::store::answer;
    let mut script = Script::default();
    let looks = || {
        [
            Op::Get { table: Table::Meta, key: "k".into() },
            Op::Scan { table: Table::Meta, prefix: "p".into(), after: Some("q".into()), limit: 3 },
            Op::Read(Read::Seqs { seqs: vec![Seq(1)] }),
        ]
    };
    let mut out = Told::new();
    for look in looks() {
        let (worker, event) = answer(&mut script, request(4, 9, 0, look));
        out.one(worker, event);
    }
    let (worker, event) = answer(&mut script, append(2));
    out.one(worker, event);
    let answers = told(&mut out);
    assert_eq!(answers[0], "4: 9 Value(Some(b\"k\"))");
    assert_eq!(answers[1], "4: 9 Values([(\"p Some(\\\"q\\\") 3\", b\"\")])");
    assert!(answers[2].contains("first: 5"), "{}", answers[2]);
    assert_eq!(answers[3], "1: 2 refused");
    for look in looks() {
        let mut writer = Writer::new(Seq(0));
        writer.push(request(4, 9, 0, look), &mut out);
        assert_eq!(told(&mut out), ["4: 9 refused"]);
        assert!(!writer.is_due());
    }
}
