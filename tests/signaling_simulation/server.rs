//! One life of the server: its workers' shards, the queues between them, and its connections.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, OnceLock};

use hydrogen::base::{ConnId, Counters, DialectId, ReactorId, Reason, WorkerId};
use hydrogen::dialect::hydrogen::system::SystemChannel;
use hydrogen::dialect::hydrogen::{Channels, Hydrogen, Parts as HydrogenParts, Reports as HydrogenReports, ShardImage};
use hydrogen::dialect::signaling::{
    self, Look, Pepper, Proof, RoomFigures, RoomRecord, Signaling, SignalingSettings, worker_of_room,
};
use hydrogen::engine::auth::Access;
use hydrogen::engine::channel::{CompletionSink, Responder};
use hydrogen::engine::store::StoreEvent;
use hydrogen::engine::topic::Bounds;
use hydrogen::engine::work::{Batch, Completion, Item, Notice, Opening, Order, Outbox, Shard, StopCause, worker_of};
use hydrogen::server::shard::{Dialects, Peer, Seat};

use crate::life::Conn;
use crate::mutation::Mutation;
use crate::trace::say;
use crate::wire::Got;
use crate::world::World;

/// A message in a worker's queue.
pub enum Message {
    /// From a reactor.
    Batch(Batch),
    Peer(WorkerId, Peer),
    Store(StoreEvent),
    Drain,
}

pub struct Worker {
    pub shard: Dialects,
    /// By sender: the workers, the store, the reactors.
    pub inbox: Vec<VecDeque<Message>>,
    /// What its shard held after its last step.
    pub look: Look,
}

#[derive(Default)]
pub struct Server {
    pub workers: Vec<Worker>,
    pub conns: BTreeMap<ConnId, Conn>,
    slots: Vec<(ConnId, bool)>,
}

struct Sinks;

impl CompletionSink for Sinks {
    fn complete(&self, _: WorkerId, _: Completion) {}
}

impl HydrogenReports for Sinks {
    fn status(&self, _: bool, responder: Responder) {
        responder.done("{}");
    }
}

impl signaling::Reports for Sinks {
    fn rooms(&self, _: WorkerId, figures: RoomFigures) {
        assert!(figures.connections_in_rooms <= figures.connections, "more connections in rooms than there are");
        assert!(figures.active_rooms <= figures.rooms, "more rooms with somebody in them than there are");
    }
}

thread_local! {
    /// Their cells are many, and nobody but this thread counts in them.
    static COUNTERS: Arc<Counters> = Arc::new(Counters::default());
    static OUTBOX: RefCell<Option<Outbox<Peer>>> = const { RefCell::new(None) };
}

fn channels() -> &'static Arc<Channels> {
    static CHANNELS: OnceLock<Arc<Channels>> = OnceLock::new();
    CHANNELS.get_or_init(|| {
        let mut channels = Channels::default();
        channels.add("system", Arc::new(SystemChannel::new(Arc::new(Sinks)))).unwrap();
        Arc::new(channels)
    })
}

impl Server {
    pub fn is_idle(&self) -> bool {
        self.workers.iter().all(|worker| worker.inbox.iter().all(VecDeque::is_empty))
    }

    /// A place for a connection.
    pub fn place(&mut self) -> ConnId {
        match self.slots.iter_mut().find(|(_, taken)| !taken) {
            Some((id, taken)) => {
                *id = ConnId::new(id.reactor(), id.slot(), id.generation() + 1);
                *taken = true;
                *id
            }
            None => {
                let id = ConnId::new(ReactorId(0), self.slots.len(), 0);
                self.slots.push((id, true));
                id
            }
        }
    }

    /// Its place may be given to another.
    pub fn free(&mut self, id: ConnId) {
        for slot in self.slots.iter_mut().filter(|slot| slot.0 == id) {
            slot.1 = false;
        }
    }
}

impl World {
    /// The server begins, with what the store holds.
    pub fn begin(&mut self) {
        let workers = self.worker_count;
        let bounds = Bounds { listed_targets: 8, patched_from: 2, ..Bounds::default() };
        let counters = COUNTERS.with(Arc::clone);
        let access = Arc::new(Access::default());
        let mut settings = self.plan.settings.clone();
        if self.saboteur.kind == Mutation::NotRequired && settings.proof == Proof::Required {
            settings = Arc::new(SignalingSettings { proof: Proof::Optional, ..(*settings).clone() });
        }
        let mut rooms = self.storage.rooms();
        self.proofs.begin(self.journal.there(), self.step);
        if self.saboteur.kind == Mutation::ForgetProofs {
            rooms.iter_mut().for_each(|(_, value)| crate::mutation::forget_proofs(value));
        }
        self.server = Server::default();
        for index in 0..workers {
            let worker = WorkerId(index as u16);
            let hydrogen = Hydrogen::new(HydrogenParts {
                worker,
                workers,
                settings: self.plan.hydrogen.clone(),
                access: access.clone(),
                channels: channels().clone(),
                completions: Arc::new(Sinks),
                reports: Arc::new(Sinks),
                counters: counters.clone(),
                bounds,
                seed: self.dice.bytes(),
                started: self.now,
                image: Arc::new(ShardImage::default()),
            });
            let records =
                rooms.iter().map(|(id, value)| RoomRecord::parse(id, value).expect("a room that was written"));
            let signaling = Signaling::new(signaling::Parts {
                worker,
                workers,
                settings: settings.clone(),
                counters: counters.clone(),
                seed: self.dice.bytes(),
                started: self.now,
                rooms: records.filter(|room| worker_of_room(&room.id, workers) == worker).collect(),
                pepper: Arc::new(Pepper::new(crate::keys::PEPPER)),
                reports: Arc::new(Sinks),
            });
            let look = signaling.look();
            let seat = Seat { worker, access: access.clone(), needs_key: false };
            self.server.workers.push(Worker {
                shard: Dialects::new(hydrogen, counters.clone()).with_signaling(signaling, seat),
                inbox: (0..workers + 1 + self.plan.reactors).map(|_| VecDeque::new()).collect(),
                look,
            });
        }
    }

    /// A connection reaches the server.
    pub fn let_in(&mut self, conn: ConnId, client_id: Option<String>, says_so: bool) {
        let dialect = if says_so { DialectId::Signaling } else { DialectId::Hydrogen };
        let port = 1000 + self.connects as u16;
        let opening = Opening {
            conn,
            dialect,
            identity: None,
            address: ([192, 0, 2, 1 + (self.connects % 3) as u8], port).into(),
            protocol: None,
            client_id: client_id.map(Into::into),
            access_version: 0,
            resume: None,
        };
        self.hand_in(conn, vec![Item::Open(Box::new(opening))], String::new(), Vec::new());
    }

    /// A connection's end reaches its worker.
    pub fn let_out(&mut self, conn: ConnId, reason: Reason) {
        self.hand_in(conn, vec![Item::Closed { conn, reason }], String::new(), Vec::new());
    }

    /// Messages of a connection go to its worker.
    pub fn hand_in(&mut self, conn: ConnId, items: Vec<Item>, texts: String, bytes: Vec<u8>) {
        let worker = usize::from(worker_of(conn, self.worker_count).0);
        // All ids are of one reactor, so that a worker's orders keep their order; the queues of several
        // are there all the same.
        let sender = self.worker_count + 1 + conn.slot() / 3 % self.plan.reactors;
        let batch = Batch { items, texts, bytes, read_at: self.now.mono };
        self.server.workers[worker].inbox[sender].push_back(Message::Batch(batch));
    }

    /// One worker takes one message. Returns false if there is none.
    pub fn work(&mut self) -> bool {
        let count = self.worker_count;
        let first = self.dice.below(count);
        for worker in (0..count).map(|index| (first + index) % count) {
            let senders = self.server.workers[worker].inbox.len();
            let from = self.dice.below(senders);
            for sender in (0..senders).map(|index| (from + index) % senders) {
                if let Some(message) = self.server.workers[worker].inbox[sender].pop_front() {
                    self.take(worker, message);
                    return true;
                }
            }
        }
        false
    }

    fn take(&mut self, worker: usize, message: Message) {
        let mut out = self.outbox();
        let now = self.now;
        match message {
            Message::Batch(batch) => {
                self.before_batch(worker, &batch);
                let is_deaf = matches!(batch.items[..], [Item::Closed { .. }])
                    && self.saboteur.strikes(Mutation::DeafToClose, 50);
                if !is_deaf {
                    self.server.workers[worker].shard.on_batch(&batch, now, &mut out);
                }
            }
            Message::Peer(from, peer) => {
                say!(self, "worker {worker} hears of worker {}: {peer:?}", from.0);
                self.server.workers[worker].shard.on_peer(from, peer, now, &mut out);
            }
            Message::Store(event) => {
                say!(self, "worker {worker} hears of the store: {event:?}");
                self.server.workers[worker].shard.on_store(&event, now, &mut out);
            }
            Message::Drain => {
                say!(self, "worker {worker} is told to stop");
                self.server.workers[worker].shard.on_notice(&Notice::Drain(StopCause::Asked), now, &mut out);
            }
        }
        self.carry(worker, out);
    }

    fn before_batch(&mut self, worker: usize, batch: &Batch) {
        let (mut texts, mut bytes) = (&*batch.texts, &*batch.bytes);
        for item in &batch.items {
            match item {
                Item::Text { conn, len, .. } => {
                    let (text, rest) = texts.split_at(*len as usize);
                    texts = rest;
                    say!(self, "worker {worker} takes of {conn}: {text}");
                    self.server.conns.get_mut(conn).expect("who speaks is there").taken += 1;
                }
                Item::Binary { conn, len, .. } => {
                    let (message, rest) = bytes.split_at(*len as usize);
                    bytes = rest;
                    say!(self, "worker {worker} takes bytes of {conn}: {}", String::from_utf8_lossy(message));
                    self.server.conns.get_mut(conn).expect("who speaks is there").taken += 1;
                }
                other => {
                    say!(self, "worker {worker} takes {other:?}");
                    if let Item::Closed { conn, .. } = other {
                        self.heard_of_end(*conn);
                    }
                }
            }
        }
    }

    /// Deadlines of workers that have passed.
    pub fn time_out(&mut self) -> bool {
        if self.saboteur.kind == Mutation::NoDeadlines {
            return false;
        }
        let now = self.now;
        let count = self.worker_count;
        let first = self.dice.below(count);
        for worker in (0..count).map(|index| (first + index) % count) {
            if self.server.workers[worker].shard.poll_timeout().is_some_and(|at| at <= now.mono) {
                say!(self, "worker {worker} has a deadline");
                let mut out = self.outbox();
                self.server.workers[worker].shard.on_timeout(now, &mut out);
                self.carry(worker, out);
                return true;
            }
        }
        false
    }

    /// A worker ends.
    pub fn stop_worker(&mut self, worker: usize) {
        let mut out = self.outbox();
        self.server.workers[worker].shard.on_stop(self.now, &mut out);
        self.carry(worker, out);
    }

    fn outbox(&self) -> Outbox<Peer> {
        OUTBOX.with(|kept| kept.borrow_mut().take()).unwrap_or_else(|| Outbox::new(1))
    }

    /// Hands on what a step ordered, and looks at it.
    fn carry(&mut self, worker: usize, mut out: Outbox<Peer>) {
        self.look_at(worker);
        let orders = &mut out.orders[0];
        if orders.len() > 1 && self.saboteur.strikes(Mutation::SwapMessages, 30) {
            orders.swap(0, 1);
        }
        for order in orders.drain(..) {
            self.order(order);
        }
        for (to, message) in out.peers.drain(..) {
            if matches!(message, Peer::Signaling(_)) && self.saboteur.strikes(Mutation::LosePeer, 3) {
                continue;
            }
            assert!(usize::from(to.0) != worker, "a worker tells itself without the queues");
            let queue = &mut self.server.workers[usize::from(to.0)].inbox[worker];
            queue.push_back(Message::Peer(WorkerId(worker as u16), message));
            let last = queue.len() - 1;
            if last > 0 && self.saboteur.strikes(Mutation::SwapPeers, 30) {
                queue.swap(last, last - 1);
            }
        }
        self.storage.queue.extend(out.store.drain(..));
        assert!(out.controls.is_empty(), "nobody blocks anybody");
        OUTBOX.with(|kept| *kept.borrow_mut() = Some(out));
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Ready { .. } | Order::Dialect { .. } | Order::Farewell { .. } => {}
            Order::Send { conn, frame, settles, .. } => {
                let is_answer = settles > 0;
                self.settled(conn, settles);
                if is_answer && self.saboteur.strikes(Mutation::LoseAnswer, 5) {
                    return;
                }
                let got = Got::read(&frame);
                say!(self, "to {conn}: {} {:?} {}", got.kind, got.id, got.payload);
                if is_answer {
                    if self.saboteur.strikes(Mutation::RepeatAnswer, 5) {
                        self.told(conn, got.clone(), true);
                    }
                    return self.told(conn, got, true);
                }
                self.sabotaged(conn, got);
            }
            Order::Settle { conn, count } => self.settled(conn, count),
            Order::Close { conn, reason, .. } => {
                say!(self, "the server closes {conn}: {}", reason.as_str());
                self.closed_by_server(conn, reason);
            }
            Order::CredentialRefused { .. } | Order::Answer { .. } | Order::Broadcast { .. } => {
                panic!("nobody asked for {order:?}")
            }
        }
    }

    fn settled(&mut self, conn: ConnId, count: u32) {
        let conn = self.server.conns.get_mut(&conn).expect("messages are settled of those who are there");
        conn.settled += count;
        assert!(conn.settled <= conn.taken, "{} messages settled, {} taken", conn.settled, conn.taken);
    }
}
