//! The store's thread, stepped: requests are taken, committed as the server's own thread does it,
//! and the workers are told. And everything that goes wrong with a disk.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use hydrogen::base::WorkerId;
use hydrogen::engine::store::{Answer, Backend, Op, Request, StoreEvent, Table, To, Told, Writer, answer};
use hydrogen::sys::store::memory::{Faults, MemoryBackend, MemoryDisk, SyncFault};

use crate::journal::{Record, Version};
use crate::mutation::{Bent, Mutation, Stored};
use crate::server::Message;
use crate::trace::say;
use crate::world::World;

/// A page of a scan; no world has as many rooms.
const ALL: usize = 10_000;

pub struct Storage {
    pub backend: Bent,
    pub writer: Writer,
    told: Told,
    pub queue: VecDeque<Request>,
    /// Changes that failed and may have reached the disk all the same.
    unknown: Vec<Stored>,
}

/// Opens what is on the disk.
pub fn open(disk: &MemoryDisk, now: hydrogen::base::Wall, mutation: Mutation) -> Storage {
    let opened = MemoryBackend::open(disk, now, Duration::from_secs(1), usize::MAX);
    assert!(opened.damage.is_empty(), "nothing is damaged here");
    let writer = Writer::new(opened.image.last);
    let backend = Bent::new(opened.backend, mutation);
    Storage { backend, writer, told: Told::new(), queue: VecDeque::new(), unknown: Vec::new() }
}

impl Storage {
    /// All rooms that it holds.
    pub fn rooms(&mut self) -> Vec<(Box<str>, Bytes)> {
        self.backend.inner.scan(Table::Rooms, "", None, ALL).expect("a store that is well can be read")
    }
}

impl World {
    /// The store's thread takes what waits, or some of it. Returns false if there was nothing.
    pub fn store_turn(&mut self) -> bool {
        if self.storage.writer.failure().is_some()
            && !self.is_stopping
            && self.dice.chance(if self.is_calm { 100 } else { 15 })
        {
            let Storage { backend, writer, told, .. } = &mut self.storage;
            let is_well = writer.try_reopen(backend, told);
            say!(self, "the store is opened again: {}", if is_well { "it is well" } else { "it is not" });
            self.find_unknown();
            if is_well {
                self.journal.sync();
            }
            self.tell();
        }
        if self.storage.queue.is_empty() {
            return false;
        }
        let most = if self.dice.chance(50) { self.dice.between(1, 3) } else { usize::MAX };
        let mut taken = 0;
        while taken < most
            && let Some(request) = self.storage.queue.pop_front()
        {
            taken += 1;
            say!(self, "the store takes of worker {}: {:?}", request.worker.0, request.op);
            if matches!(request.op, Op::Write(_)) {
                let Storage { writer, told, .. } = &mut self.storage;
                writer.push(request, told);
                if writer.failure().is_some() {
                    self.last_failure = self.step;
                }
                continue;
            }
            self.commit();
            let Storage { backend, told, .. } = &mut self.storage;
            let (worker, event) = answer(backend, request);
            told.one(worker, event);
        }
        self.commit();
        self.tell();
        true
    }

    fn commit(&mut self) {
        while self.storage.writer.is_due() {
            let order = self.disk.faults().next_sync;
            let Storage { backend, writer, told, .. } = &mut self.storage;
            writer.commit(backend, told);
            let (stored, failed) = (std::mem::take(&mut backend.stored), std::mem::take(&mut backend.failed));
            let is_synced = std::mem::take(&mut backend.is_synced);
            if writer.failure().is_some() {
                self.last_failure = self.step;
            }
            let has_failed = order.is_some() && self.disk.faults().next_sync.is_none();
            if has_failed && order == Some(SyncFault::Reached) {
                self.storage.unknown = failed;
            }
            for Stored { room, value } in stored {
                self.written(&room, value.as_ref(), is_synced);
            }
            if is_synced {
                self.journal.sync();
            }
        }
    }

    /// What a failed sync left on the disk all the same becomes known.
    fn find_unknown(&mut self) {
        let unknown = std::mem::take(&mut self.storage.unknown);
        for Stored { room, value } in unknown {
            let record = value.as_ref().map(Record::read);
            say!(self, "room {room} is on the disk after all: {record:?}");
            let step = self.step;
            self.journal.push(&room, Version { step, record, is_durable: false, is_ghost: true });
        }
        if self.storage.writer.failure().is_none() {
            let there = self.storage.rooms().len();
            assert_eq!(there, self.journal.there().count(), "the world does not know the rooms");
        }
    }

    /// The workers are told, each in the same order.
    fn tell(&mut self) {
        let workers = self.worker_count;
        let told = std::mem::take(&mut self.storage.told).drain().collect::<Vec<_>>();
        for (to, mut event) in told {
            if let StoreEvent::Failed(failure) = &event {
                say!(self, "the store fails: {}", failure.error);
            }
            match to {
                To::All => {
                    for worker in &mut self.server.workers {
                        worker.inbox[workers].push_back(Message::Store(event.clone()));
                    }
                }
                To::One(WorkerId(worker)) => {
                    if self.saboteur.strikes(Mutation::LoseDone, 10) {
                        continue;
                    }
                    if let StoreEvent::Done { result, .. } = &mut event
                        && result.is_err()
                        && self.saboteur.strikes(Mutation::FailedAsDone, 100)
                    {
                        *result = Ok(Answer::Done);
                    }
                    self.server.workers[usize::from(worker)].inbox[workers].push_back(Message::Store(event));
                }
            }
        }
    }

    /// Something goes wrong with the disk, or is well again.
    pub fn trouble(&mut self) {
        let faults = self.disk.faults();
        if faults != Faults::default() && self.dice.chance(50) {
            say!(self, "the disk is well");
            return self.disk.set_faults(Faults::default());
        }
        let size = self.storage.backend.size().bytes;
        let faults = match self.dice.below(5) {
            0 => Faults { next_sync: Some(SyncFault::Lost), ..faults },
            1 | 2 => Faults { next_sync: Some(SyncFault::Reached), ..faults },
            3 => Faults { capacity: Some(size + self.dice.below(600) as u64), ..faults },
            _ => Faults { is_read_only: true, ..faults },
        };
        say!(self, "the disk: {faults:?}");
        self.disk.set_faults(faults);
    }

    /// The server ends at once, or in order, and begins again.
    pub fn restart(&mut self) {
        let in_order = self.dice.chance(20);
        let cut = self.plan.cuts && !in_order && self.dice.chance(50);
        if in_order {
            self.stop_in_order();
        }
        if cut {
            let dice = &mut self.dice;
            let cut = self.disk.cut(&mut |below| dice.next() % below.max(1));
            say!(self, "the power goes: {cut:?}");
        } else {
            say!(self, "the server {}", if in_order { "stops" } else { "is killed" });
            self.disk.kill();
        }
        if self.dice.chance(40) {
            self.worker_count = self.dice.between(1, 4);
        }
        let wait = self.dice.between(1, 2000) as u64;
        self.pass(Duration::from_millis(wait));
        self.begin_again();
    }

    /// A new life, on what the disk holds.
    pub fn begin_again(&mut self) {
        self.lost_all();
        let (disk, kind) = (self.disk.clone(), self.saboteur.kind);
        let unknown = std::mem::take(&mut self.storage.unknown);
        self.storage = open(&disk, self.now.wall, kind);
        self.look_at_all(&unknown);
        self.plan.change_rule(&mut self.dice);
        self.begin();
        say!(self, "another life begins, with {} workers", self.worker_count);
    }

    /// What is there after a crash was written once, and nothing that lasts is missing.
    fn look_at_all(&mut self, unknown: &[Stored]) {
        let there = self.storage.rooms();
        let step = self.step;
        for (room, value) in &there {
            let record = Record::read(value);
            let versions = self.journal.rooms.get(room).map(Vec::as_slice).unwrap_or_default();
            let last = versions.iter().rposition(|version| version.is_durable).unwrap_or(0);
            let is_known =
                versions[last..].iter().any(|version| version.record.as_ref().is_some_and(|it| it.is_like(&record)));
            let was_unknown = unknown.iter().any(|it| it.room == *room && it.value.as_ref() == Some(value));
            assert!(is_known || was_unknown, "room {room} comes back as it never was: {record:?}");
            self.journal.push(room, Version { step, record: Some(record), is_durable: true, is_ghost: false });
        }
        let ids: Vec<Box<str>> = self.journal.rooms.keys().cloned().collect();
        for room in ids.iter().filter(|room| !there.iter().any(|(id, _)| id == *room)) {
            let versions = &self.journal.rooms[room];
            let last =
                versions.iter().rposition(|version| version.is_durable).map_or(&versions[..], |at| &versions[at..]);
            let has_lost = versions.iter().all(|version| !version.is_durable);
            let is_known = has_lost || last.iter().any(|version| version.record.is_none());
            let was_unknown = unknown.iter().any(|it| it.room == *room && it.value.is_none());
            assert!(is_known || was_unknown, "room {room} is lost");
            self.journal.push(room, Version { step, record: None, is_durable: true, is_ghost: false });
        }
        self.journal.check_owners();
    }

    fn stop_in_order(&mut self) {
        self.is_stopping = true;
        for worker in &mut self.server.workers {
            worker.inbox[0].push_back(Message::Drain);
        }
        self.rest();
        self.check_farewell();
        for worker in 0..self.worker_count {
            self.stop_worker(worker);
        }
        self.rest();
        self.is_stopping = false;
        if self.storage.writer.failure().is_none() {
            let _ = self.storage.backend.close();
        }
    }

    fn rest(&mut self) {
        for _ in 0..10_000 {
            self.begin_step();
            if !self.work() && !self.store_turn() {
                return;
            }
        }
        panic!("messages go round and round");
    }
}
