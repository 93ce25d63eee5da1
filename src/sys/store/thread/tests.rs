use bytes::Bytes;
use crossbeam_channel::{Receiver, unbounded};

use super::*;
use crate::base::Wall;
use crate::engine::store::{
    Answer, Append, Damage, Level, Page, Read, Size, StoreError, StoreFault, Table, Trimmed, Write,
};
use crate::engine::topic::Epoch;
use crate::sys::store::conformance::{DEDUP_MAX, DEDUP_WINDOW, NOW};
use crate::sys::store::memory::{Faults, MemoryBackend, MemoryDisk, SyncFault};

const PATIENCE: Duration = Duration::from_secs(20);

struct Run {
    thread: StoreThread,
    told: Receiver<(WorkerId, StoreEvent)>,
    commits: Receiver<Committed>,
    gauges: Arc<StoreGauges>,
}

impl Run {
    fn on(backend: Box<dyn Backend>) -> Run {
        let (tell, told) = unbounded();
        let (note, commits) = unbounded();
        let gauges = Arc::new(StoreGauges::default());
        let sink: Sink = Box::new(move |worker, events| {
            for event in events {
                tell.send((worker, event)).unwrap();
            }
        });
        let on_commit: OnCommit = Box::new(move |committed| note.send(committed).unwrap());
        let start = |run: super::Run| std::thread::Builder::new().spawn(run);
        let thread = StoreThread::spawn(backend, Seq(0), 2, sink, on_commit, gauges.clone(), start).unwrap();
        Run { thread, told, commits, gauges }
    }

    fn ask(&self, requests: Vec<Request>) {
        self.thread.sender().try_send(requests).unwrap();
    }

    fn next(&self) -> (WorkerId, StoreEvent) {
        self.told.recv_timeout(PATIENCE).unwrap()
    }

    /// The completion of one request; the events before it are let go.
    fn done(&self, worker: u16, wanted: u64) -> Result<Answer, StoreError> {
        loop {
            if let (WorkerId(at), StoreEvent::Done { ticket, result }) = self.next()
                && (at, ticket) == (worker, wanted)
            {
                return result;
            }
        }
    }
}

fn memory(disk: &MemoryDisk) -> Box<MemoryBackend> {
    Box::new(MemoryBackend::open(disk, NOW, DEDUP_WINDOW, DEDUP_MAX).backend)
}

fn request(worker: u16, ticket: u64, term: u64, op: Op) -> Request {
    Request { worker: WorkerId(worker), ticket, term, op }
}

fn append(worker: u16, ticket: u64, term: u64, offset: u64) -> Request {
    let topic = format!("w{worker}.t").into();
    let payload = Bytes::from_static(b"{}");
    let (epoch, time, level) = (Epoch::new(1), Wall(5), Level::Disk);
    let append = Append { topic, epoch, offset, is_mixed: false, time, expires: None, payload, level, dedup: None };
    request(worker, ticket, term, Op::Write(Write::Append(append)))
}

fn put(worker: u16, ticket: u64, key: &str, level: Level) -> Request {
    let value = Bytes::from_static(b"v");
    request(worker, ticket, 0, Op::Write(Write::Put { table: Table::Meta, key: key.into(), value, level }))
}

fn get(worker: u16, ticket: u64, key: &str) -> Request {
    request(worker, ticket, 0, Op::Get { table: Table::Meta, key: key.into() })
}

fn value(answer: Result<Answer, StoreError>) -> Option<Bytes> {
    let Ok(Answer::Value(value)) = answer else { panic!("{answer:?}") };
    value
}

/// A store whose commits take long.
struct Slow(Box<MemoryBackend>, Duration);

impl Backend for Slow {
    fn commit(&mut self, group: &[Write], first: Seq, sync: bool) -> Result<Vec<Trimmed>, StoreError> {
        std::thread::sleep(self.1);
        self.0.commit(group, first, sync)
    }

    fn reopen(&mut self, last: Seq) -> Result<(), StoreError> {
        self.0.reopen(last)
    }

    fn failure(&self) -> Option<StoreError> {
        self.0.failure()
    }

    fn read(&mut self, read: &Read) -> Result<Page, StoreError> {
        self.0.read(read)
    }

    fn get(&mut self, table: Table, key: &str) -> Result<Option<Bytes>, StoreError> {
        self.0.get(table, key)
    }

    fn scan(
        &mut self,
        table: Table,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(Box<str>, Bytes)>, StoreError> {
        self.0.scan(table, prefix, after, limit)
    }

    fn close(&mut self) -> Result<(), StoreError> {
        self.0.close()
    }

    fn take_damage(&mut self) -> Vec<Damage> {
        self.0.take_damage()
    }

    fn size(&mut self) -> Size {
        self.0.size()
    }
}

#[test]
fn a_look_sees_what_its_worker_wrote_before_and_nothing_that_it_wrote_after() {
    let run = Run::on(memory(&MemoryDisk::new()));
    let gone = request(0, 4, 0, Op::Write(Write::Delete { table: Table::Meta, key: "k".into(), level: Level::Disk }));
    run.ask(vec![get(0, 1, "k"), put(0, 2, "k", Level::Disk), get(0, 3, "k"), gone, get(0, 5, "k"), get(1, 6, "k")]);
    let mut order = Vec::new();
    let mut found = Vec::new();
    while order.len() < 6 {
        let (worker, StoreEvent::Done { ticket, result }) = run.next() else { continue };
        order.push((worker.0, ticket));
        if let Ok(Answer::Value(value)) = result {
            found.push((ticket, value.is_some()));
        }
    }
    let of_first: Vec<u64> = order.iter().filter(|(worker, _)| *worker == 0).map(|(_, ticket)| *ticket).collect();
    assert_eq!(of_first, [1, 2, 3, 4, 5]);
    found.sort_unstable();
    assert_eq!(found[..3], [(1, false), (3, true), (5, false)]);
    run.thread.stop();
}

#[test]
fn every_worker_hears_of_every_commit_and_only_the_asker_of_its_own() {
    let run = Run::on(memory(&MemoryDisk::new()));
    run.ask(vec![append(0, 1, 0, 1), put(1, 2, "k", Level::Disk)]);
    let mut heard: Vec<(u16, &str)> = (0..3)
        .map(|_| match run.next() {
            (worker, StoreEvent::Committed(commit)) => {
                assert_eq!((commit.entries.len(), commit.last(), commit.level), (1, Seq(1), Level::Disk));
                (worker.0, "committed")
            }
            (worker, StoreEvent::Done { ticket: 2, result: Ok(Answer::Done) }) => (worker.0, "done"),
            other => panic!("{other:?}"),
        })
        .collect();
    heard.sort_unstable();
    assert_eq!(heard, [(0, "committed"), (1, "committed"), (1, "done")]);
    run.thread.stop();
}

#[test]
fn while_one_group_is_synced_the_next_gathers() {
    let run = Run::on(Box::new(Slow(memory(&MemoryDisk::new()), Duration::from_millis(100))));
    for ticket in 0..200 {
        run.ask(vec![put(0, ticket, "k", Level::Disk)]);
    }
    run.done(0, 199).unwrap();
    let groups: Vec<u64> = run.commits.try_iter().map(|commit| commit.requests).collect();
    assert_eq!(groups.iter().sum::<u64>(), 200);
    assert!(groups.len() <= 8, "{groups:?}");
    assert!(run.gauges.figures().last_sync_ns >= 100_000_000);
    run.thread.stop();
}

#[test]
fn a_group_that_nobody_waits_for_lingers_and_one_that_somebody_waits_for_takes_it_along() {
    let run = Run::on(memory(&MemoryDisk::new()));
    for ticket in 0..5 {
        run.ask(vec![put(0, ticket, "k", Level::Memory)]);
    }
    run.done(0, 4).unwrap();
    let groups: Vec<Committed> = run.commits.try_iter().collect();
    assert!(groups.len() < 5 && groups.iter().all(|group| !group.is_synced), "{groups:?}");
    run.ask(vec![put(0, 5, "k", Level::Memory), put(1, 6, "l", Level::Disk)]);
    run.done(1, 6).unwrap();
    let group = run.commits.try_iter().next().unwrap();
    assert!(group.is_synced && group.requests == 2, "{group:?}");
    run.thread.stop();
}

#[test]
fn after_a_failed_sync_everything_waiting_fails_and_the_store_gets_well() {
    let disk = MemoryDisk::new();
    let run = Run::on(memory(&disk));
    disk.set_faults(Faults { next_sync: Some(SyncFault::Reached), ..Faults::default() });
    run.ask(vec![append(0, 1, 0, 1), append(0, 2, 0, 2)]);
    assert_eq!(run.done(0, 1).unwrap_err().fault, StoreFault::Io);
    assert_eq!(run.done(0, 2).unwrap_err().fault, StoreFault::Io);
    while !matches!(run.next(), (WorkerId(1), StoreEvent::Well)) {}
    run.ask(vec![append(0, 3, 0, 1), append(0, 4, 1, 1)]);
    assert_eq!(run.done(0, 3).unwrap_err().fault, StoreFault::Stale);
    run.ask(vec![get(0, 5, "none")]);
    assert_eq!(value(run.done(0, 5)), None);
    let gauges = run.gauges.clone();
    run.thread.stop();
    let figures = gauges.figures();
    assert!(gauges.is_well() && figures.fault.is_none());
    assert_eq!((figures.written.events, figures.written.failures, figures.size.events), (1, 1, 1));
}

#[test]
fn a_disk_without_room_is_tried_again_until_it_has_some() {
    let disk = MemoryDisk::new();
    let run = Run::on(memory(&disk));
    disk.set_faults(Faults { capacity: Some(10), ..Faults::default() });
    run.ask(vec![append(0, 1, 0, 1)]);
    assert_eq!(run.done(0, 1).unwrap_err().fault, StoreFault::Full);
    std::thread::sleep(Duration::from_millis(150));
    run.ask(vec![append(0, 2, 1, 1)]);
    assert_eq!(run.done(0, 2).unwrap_err().fault, StoreFault::Full);
    assert_eq!(run.gauges.figures().fault, Some(StoreFault::Full));
    disk.set_faults(Faults::default());
    while !matches!(run.next(), (WorkerId(0), StoreEvent::Well)) {}
    run.thread.stop();
}

#[test]
fn what_was_queued_before_the_stop_is_done_and_the_store_is_closed() {
    let disk = MemoryDisk::new();
    let run = Run::on(Box::new(Slow(memory(&disk), Duration::from_millis(20))));
    for offset in 1..=50 {
        run.ask(vec![append(0, offset, 0, offset), put(1, offset, "k", Level::Memory)]);
    }
    let Run { thread, told, .. } = run;
    thread.stop();
    let dones = told.try_iter().filter(|(_, event)| matches!(event, StoreEvent::Done { result: Ok(_), .. })).count();
    assert_eq!(dones, 50);
    let opened = MemoryBackend::open(&disk, NOW, DEDUP_WINDOW, DEDUP_MAX);
    assert_eq!((opened.image.last, opened.image.was_closed), (Seq(50), true));
}

#[test]
fn a_full_queue_gives_back_what_does_not_fit() {
    let run = Run::on(Box::new(Slow(memory(&MemoryDisk::new()), Duration::from_millis(300))));
    let sender = run.thread.sender();
    let mut refused = None;
    for ticket in 0..2 * BATCHES as u64 + 2 * GROUP_REQUESTS as u64 {
        if let Err(back) = sender.try_send(vec![put(0, ticket, "k", Level::Disk)]) {
            refused = Some((ticket, back));
            break;
        }
    }
    let (ticket, back) = refused.unwrap();
    assert_eq!((back.len(), back[0].ticket), (1, ticket));
    run.done(0, ticket - 1).unwrap();
    run.thread.stop();
    assert!(sender.try_send(back).is_err());
}
