//! The store's thread, stepped: requests are taken, committed as the server's own thread does it,
//! and the workers are told. And everything that goes wrong with a disk.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hydrogen::base::WorkerId;
use hydrogen::dialect::hydrogen::ShardImage;
use hydrogen::engine::store::{
    Answer, Backend, Level, Op, Read, Request, Seq, StoreEvent, Table, To, Told, Write, Writer, answer,
};
use hydrogen::engine::topic::Pattern;
use hydrogen::sys::store::memory::{Faults, MemoryBackend, MemoryDisk, SyncFault};

use crate::mutation::{Bent, Mutation};
use crate::server::Message;
use crate::trace::say;
use crate::world::World;

/// What the world wants to know of a change when it is committed.
enum Kind {
    Cursor(usize),
    Letter(Box<str>, bool),
    /// A session that holds guaranteed subscriptions, synced.
    Session(Box<str>),
}

pub struct Storage {
    pub backend: Bent,
    pub writer: Writer,
    told: Told,
    /// Requests, each with the step in which it was made.
    pub queue: VecDeque<(Request, u64)>,
    noted: Vec<(WorkerId, u64, u64, Kind)>,
}

impl Storage {
    fn new(backend: Bent, last: Seq) -> Storage {
        let (told, queue) = (Told::new(), VecDeque::new());
        Storage { backend, writer: Writer::new(last), told, queue, noted: Vec::new() }
    }
}

/// Opens what is on the disk.
pub fn open(disk: &MemoryDisk, world: Option<&mut World>, mutation: Mutation) -> (Storage, Arc<ShardImage>) {
    let (now, window, most) = match &world {
        Some(world) => {
            let delivery = world.plan.settings.delivery;
            (world.now.wall, delivery.dedup_window, delivery.dedup_max)
        }
        None => (crate::world::START.wall, Duration::from_secs(1), usize::MAX),
    };
    let opened = MemoryBackend::open(disk, now, window, most);
    let mut backend = Bent { inner: opened.backend, kind: mutation };
    let last = opened.image.last;
    if let Some(world) = world {
        world.book.truncated(last.0);
        look_at_all(world, &mut backend, last);
        world.book.damaged(&opened.damage);
    }
    let image = ShardImage::load(opened.image, &mut backend).expect("a store that was opened can be read");
    (Storage::new(backend, last), Arc::new(image))
}

/// Whether a session's record holds guaranteed subscriptions.
fn is_joined(record: &[u8]) -> bool {
    std::str::from_utf8(record).is_ok_and(|text| text.contains("\"joined\":["))
}

/// A group whose sync failed may have reached the disk all the same.
fn look_at_all(world: &mut World, backend: &mut Bent, last: Seq) {
    let patterns: Arc<[Pattern]> = vec![Pattern::parse(">").unwrap()].into();
    let read = Read::Patterns { patterns, after: Seq(0), through: last, limit: 100_000, bytes: 1 << 30 };
    let records = backend.inner.read(&read).expect("a store that was opened can be read").records;
    for record in &records {
        if world.book.event_of_seq(record.seq.0).is_none() {
            say!(world, "{} is in the store after all", record.id());
            world.book.committed(record);
        }
    }
    let seqs: Vec<u64> = records.iter().map(|record| record.seq.0).collect();
    world.book.held(&seqs);
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
            self.tell();
            if is_well {
                self.look_again();
            }
        }
        if self.storage.queue.is_empty() {
            return false;
        }
        let most = if self.dice.chance(50) { self.dice.between(1, 3) } else { usize::MAX };
        let mut taken = 0;
        while taken < most
            && let Some((request, step)) = self.storage.queue.pop_front()
        {
            taken += 1;
            say!(self, "the store takes of worker {}: {:?}", request.worker.0, request.op);
            if let Op::Write(write) = &request.op {
                self.note(&request, write.clone(), step);
                let Storage { writer, told, .. } = &mut self.storage;
                writer.push(request, told);
                continue;
            }
            self.commit();
            let Storage { backend, told, .. } = &mut self.storage;
            let (worker, event) = answer(backend, request);
            told.one(worker, event);
            told.damage(backend);
        }
        self.commit();
        self.tell();
        true
    }

    fn commit(&mut self) {
        while self.storage.writer.is_due() {
            let Storage { backend, writer, told, .. } = &mut self.storage;
            let before = writer.written();
            writer.commit(backend, told);
            if writer.written().synced > before.synced {
                self.book.synced = self.groups + 1;
            }
            self.groups += 1;
            self.hear();
        }
    }

    fn note(&mut self, request: &Request, write: Write, step: u64) {
        let kind = match write {
            Write::Put { table: Table::Cursors, key, .. } => match self.book.keys.get(&key) {
                Some(sub) => Kind::Cursor(*sub),
                None => return,
            },
            Write::Put { table: Table::DeadLetters, key, .. } => Kind::Letter(key, true),
            Write::Delete { table: Table::DeadLetters, key, .. } => Kind::Letter(key, false),
            // Of what was joined while the store was in trouble, nothing may be written (docs/protocol.md).
            Write::Put { table: Table::Sessions, key, value, .. } if !is_joined(&value) => {
                self.book.sessions.remove(&key);
                return;
            }
            Write::Put { table: Table::Sessions, key, level: Level::Disk, .. } => Kind::Session(key),
            Write::Append(_) | Write::Trim { .. } | Write::Put { .. } | Write::Delete { .. } => return,
        };
        self.storage.noted.push((request.worker, request.ticket, step, kind));
    }

    /// The world learns what was committed, before anybody else does.
    fn hear(&mut self) {
        let told = std::mem::take(&mut self.storage.told);
        for (to, event) in told.events() {
            match (to, event) {
                (_, StoreEvent::Committed(commit)) => {
                    for entry in &commit.entries {
                        self.book.committed(&entry.record);
                    }
                    say!(self, "committed: {} events, {:?}", commit.entries.len(), commit.level);
                }
                (To::One(worker), StoreEvent::Done { ticket, result }) => {
                    if let Ok(Answer::Trimmed(trimmed)) = result {
                        for seq in &trimmed.gone {
                            self.book.trimmed(seq.0);
                        }
                    }
                    let is_it = |noted: &(WorkerId, u64, u64, Kind)| noted.0 == *worker && noted.1 == *ticket;
                    let Some(place) = self.storage.noted.iter().position(is_it) else { continue };
                    let (_, _, step, kind) = self.storage.noted.swap_remove(place);
                    self.noted(kind, step, result.is_ok());
                }
                (_, StoreEvent::Damaged(damage)) => self.book.damaged(damage),
                (_, StoreEvent::Failed(failure)) => {
                    say!(self, "the store fails: {}", failure.error);
                }
                (_, StoreEvent::Done { .. } | StoreEvent::Well) => {}
            }
        }
        self.heard.extend({
            let mut told = told;
            told.drain().collect::<Vec<_>>()
        });
    }

    fn noted(&mut self, kind: Kind, step: u64, is_done: bool) {
        match kind {
            Kind::Cursor(sub) if is_done => self.book.saved(sub, step, self.groups),
            Kind::Session(id) if is_done => {
                self.book.sessions.insert(id);
            }
            Kind::Cursor(_) | Kind::Session(_) => {}
            Kind::Letter(key, is_put) => {
                let Some((sub, event)) = self.book.letter(&key) else { return };
                let fate = self.book.subs[sub].fate(event);
                fate.was_dead = true;
                // Of a change that failed it is not known whether it is there.
                fate.has_letter = is_put && is_done;
            }
        }
    }

    fn look_again(&mut self) {
        let last = self.storage.writer.last();
        let mut backend = std::mem::replace(&mut self.storage.backend.kind, Mutation::Nothing);
        let patterns: Arc<[Pattern]> = vec![Pattern::parse(">").unwrap()].into();
        let read = Read::Patterns { patterns, after: Seq(0), through: last, limit: 100_000, bytes: 1 << 30 };
        let records = self.storage.backend.read(&read).expect("a store that is well can be read").records;
        let seqs: Vec<u64> = records.iter().map(|record| record.seq.0).collect();
        std::mem::swap(&mut self.storage.backend.kind, &mut backend);
        self.storage.told.damage(&mut self.storage.backend);
        self.tell();
        self.book.held(&seqs);
    }

    /// The workers are told, each in the same order.
    fn tell(&mut self) {
        self.hear();
        let workers = self.worker_count;
        for (to, event) in std::mem::take(&mut self.heard) {
            match to {
                To::All => {
                    for worker in &mut self.server.workers {
                        if matches!(event, StoreEvent::Committed(_)) && self.saboteur.strikes(Mutation::DeafWorker, 10)
                        {
                            continue;
                        }
                        worker.inbox[workers].push_back(Message::Store(event.clone()));
                    }
                }
                To::One(WorkerId(worker)) => {
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
        let faults = match self.dice.below(4) {
            0 => Faults { next_sync: Some(SyncFault::Lost), ..faults },
            1 => Faults { next_sync: Some(SyncFault::Reached), ..faults },
            2 => Faults { capacity: Some(size + self.dice.below(300) as u64), ..faults },
            _ => Faults { is_read_only: true, ..faults },
        };
        say!(self, "the disk: {faults:?}");
        self.disk.set_faults(faults);
    }

    /// The server ends at once, or in order, and begins again.
    pub fn restart(&mut self) {
        let dice = &mut self.dice;
        let in_order = dice.chance(20);
        let cut = self.plan.cuts && !in_order && dice.chance(50);
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
        self.lost_all();
        if self.dice.chance(40) {
            self.worker_count = self.dice.between(1, 3);
        }
        self.book.life += 1;
        let wait = self.dice.between(1, 2000) as u64;
        self.pass(Duration::from_millis(wait));
        let disk = self.disk.clone();
        self.book.lost(cut);
        let kind = self.saboteur.kind;
        let (storage, image) = open(&disk, Some(self), kind);
        self.storage = storage;
        self.begin(image);
        say!(self, "life {} begins, with {} workers", self.book.life, self.worker_count);
    }

    fn stop_in_order(&mut self) {
        self.is_stopping = true;
        // Once when it is told to stop, and once when its workers end.
        for _ in 0..2 {
            for worker in &mut self.server.workers {
                worker.inbox[0].push_back(Message::Drain);
            }
            for _ in 0..10_000 {
                self.begin_step();
                if !self.work() && !self.store_turn() {
                    break;
                }
            }
        }
        self.is_stopping = false;
        if self.storage.writer.failure().is_none() {
            let _ = self.storage.backend.close();
        }
    }
}
