//! The writer on a disk where everything goes wrong: what was answered as synced is never lost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::WorkerId;
use crate::engine::store::{Append, Level, Op, Request, StoreEvent, Told, Writer};
use crate::engine::topic::Epoch;

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish { topic: usize, level: Level },
    Commit,
    Fault(Faults),
    Reopen,
    Kill,
    Cut(u64),
}

const TOPICS: [&str; 2] = ["a.b", "x.y"];

fn step() -> impl Strategy<Value = Step> {
    let level = prop_oneof![Just(Level::Disk), Just(Level::Memory)];
    let sync = prop_oneof![
        2 => Just(None),
        1 => Just(Some(SyncFault::Lost)),
        1 => Just(Some(SyncFault::Reached))
    ];
    let fault = (sync, prop::option::weighted(0.3, 0..2000_u64), prop::bool::weighted(0.2));
    prop_oneof![
        12 => (0..TOPICS.len(), level).prop_map(|(topic, level)| Step::Publish { topic, level }),
        6 => Just(Step::Commit),
        2 => fault.prop_map(|(next_sync, capacity, is_read_only)| {
            Step::Fault(Faults { next_sync, capacity, is_read_only })
        }),
        2 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => (0..20_u64).prop_map(Step::Cut),
    ]
}

/// A worker that stamps offsets as workers do, and the store it talks to.
struct World {
    disk: MemoryDisk,
    backend: MemoryBackend,
    writer: Writer,
    /// The worker's next offset in each topic, ahead of what is committed.
    next: [u64; TOPICS.len()],
    /// What it knows to be committed.
    committed: [u64; TOPICS.len()],
    term: u64,
    is_well: bool,
    tickets: u64,
    /// Requests that wait for their completion.
    open: BTreeMap<u64, Level>,
    /// Payloads that were answered as synced, by topic and offset.
    synced: BTreeMap<(usize, u64), Bytes>,
    /// Payloads that were answered as in memory since then.
    unsynced: BTreeMap<(usize, u64), Bytes>,
}

impl World {
    fn new() -> World {
        let disk = MemoryDisk::new();
        let Opened { backend, image, .. } = MemoryBackend::open(&disk, Wall(0), Duration::ZERO, 0);
        World {
            backend,
            disk,
            writer: Writer::new(image.last),
            next: [1; TOPICS.len()],
            committed: [0; TOPICS.len()],
            term: 0,
            is_well: true,
            tickets: 0,
            open: BTreeMap::new(),
            synced: BTreeMap::new(),
            unsynced: BTreeMap::new(),
        }
    }

    fn step(&mut self, step: Step) {
        let mut out = Told::new();
        match step {
            Step::Publish { topic, level } => self.publish(topic, level, &mut out),
            Step::Commit => self.writer.commit(&mut self.backend, &mut out),
            Step::Fault(faults) => self.disk.set_faults(faults),
            Step::Reopen => {
                let is_well = self.writer.try_reopen(&mut self.backend, &mut out);
                assert_eq!(is_well, self.writer.failure().is_none());
            }
            Step::Kill => {
                self.disk.kill();
                self.start();
                // The system keeps what the process had written.
                self.has(&self.unsynced);
            }
            Step::Cut(at) => {
                self.disk.cut(&mut |below| at % below);
                self.start();
                self.unsynced.clear();
            }
        }
        self.hear(out);
        assert!(self.writer.is_due() || self.open.is_empty(), "nothing waits, but {:?} is not answered", self.open);
    }

    fn publish(&mut self, topic: usize, level: Level, out: &mut Told) {
        self.tickets += 1;
        let append = Append {
            topic: TOPICS[topic].into(),
            epoch: Epoch::new(1),
            offset: self.next[topic],
            is_mixed: true,
            time: Wall(0),
            expires: None,
            payload: Bytes::from(self.tickets.to_string()),
            level,
            dedup: None,
        };
        self.next[topic] += 1;
        self.open.insert(self.tickets, level);
        let op = Op::Write(Write::Append(append));
        self.writer.push(Request { worker: WorkerId(0), ticket: self.tickets, term: self.term, op }, out);
    }

    fn hear(&mut self, mut out: Told) {
        for (_, event) in out.drain() {
            match event {
                StoreEvent::Committed(commit) => {
                    if commit.level == Level::Disk {
                        self.synced.append(&mut self.unsynced);
                    }
                    for entry in &commit.entries {
                        let record = &entry.record;
                        let topic = TOPICS.iter().position(|topic| *topic == &*record.topic).unwrap();
                        assert_eq!(record.offset, self.committed[topic] + 1);
                        self.committed[topic] = record.offset;
                        let asked = self.open.remove(&entry.ticket).unwrap();
                        assert!(commit.level >= asked);
                        let held = if commit.level == Level::Disk { &mut self.synced } else { &mut self.unsynced };
                        assert_eq!(held.insert((topic, record.offset), record.payload.clone()), None);
                    }
                }
                StoreEvent::Done { ticket, result } => {
                    assert!(self.open.remove(&ticket).is_some() && result.is_err());
                }
                StoreEvent::Failed(failure) => {
                    assert!(failure.term > self.term);
                    // Offsets in this world always follow.
                    assert_ne!(failure.error.fault, StoreFault::Refused);
                    (self.term, self.is_well) = (failure.term, false);
                    self.next = self.committed.map(|last| last + 1);
                }
                StoreEvent::Well => {
                    self.is_well = true;
                    self.synced.append(&mut self.unsynced);
                }
                StoreEvent::Damaged(damage) => panic!("nothing was damaged, but {damage:?}"),
            }
        }
        assert_eq!(self.is_well, self.writer.failure().is_none());
        assert_eq!(self.term, self.writer.term());
    }

    /// A new process begins.
    fn start(&mut self) {
        let Opened { backend, image, damage } = MemoryBackend::open(&self.disk, Wall(0), Duration::ZERO, 0);
        assert_eq!(damage, []);
        (self.backend, self.writer) = (backend, Writer::new(image.last));
        (self.term, self.is_well) = (0, true);
        self.open.clear();
        self.committed =
            TOPICS.map(|topic| image.logs.iter().find(|log| *log.topic == *topic).map_or(0, |log| log.last));
        self.next = self.committed.map(|last| last + 1);
        self.has(&self.synced);
    }

    /// Whether all of these are there, as they were answered.
    fn has(&self, answered: &BTreeMap<(usize, u64), Bytes>) {
        let disk = self.disk.lock();
        for ((topic, offset), payload) in answered {
            let log = disk.now.log(TOPICS[*topic], Epoch::new(1)).unwrap();
            let record = &disk.now.events[&log.held[offset]].record;
            assert_eq!(&record.payload, payload, "{} {offset}", TOPICS[*topic]);
        }
    }
}

proptest! {
    #[test]
    fn what_was_answered_as_synced_is_never_lost(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.step(Step::Cut(0));
    }
}
