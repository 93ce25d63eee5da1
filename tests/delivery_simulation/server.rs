//! One life of the server: its workers' shards, the queues between them, and its connections.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

use hydrogen::base::{ConnId, Counters, ReactorId, WorkerId};
use hydrogen::dialect::hydrogen::system::SystemChannel;
use hydrogen::dialect::hydrogen::{Channels, Hydrogen, Parts, Peer, Reports, ShardImage};
use hydrogen::engine::channel::{CompletionSink, Responder};
use hydrogen::engine::store::StoreEvent;
use hydrogen::engine::topic::Bounds;
use hydrogen::engine::work::{Batch, Completion, Item, Notice, Order, Outbox, Shard, StopCause, worker_of};
use hydrogen::server::shard::{self, Dialects};
use rustc_hash::FxHashMap;

use crate::book::Rules;
use crate::keys::keys;
use crate::mutation::Mutation;
use crate::trace::say;
use crate::wire::{self, Sent, string, text_of};
use crate::world::World;

/// A message in a worker's queue.
pub enum Message {
    /// From a reactor; of an ack, which one.
    Batch(Batch, Option<usize>),
    Peer(WorkerId, Peer, Option<usize>),
    Store(StoreEvent),
    Drain,
}

/// An order on its way to a client.
pub enum Down {
    Event(ConnId, Sent),
    Text(ConnId, bytes::Bytes, u32),
    Settle(ConnId, u32),
    Close(ConnId),
}

pub struct Worker {
    pub shard: Dialects,
    /// By sender: the workers, the store, the reactors.
    pub inbox: Vec<VecDeque<Message>>,
    pub orders: VecDeque<Down>,
    /// The newest event of which it has heard.
    pub heard: u64,
}

/// A connection, as the world sees it.
pub struct Conn {
    pub client: usize,
    /// The subscription that it asked for, or got back.
    pub sub: Option<usize>,
    /// It is a member of its client's subscription.
    pub is_joined: bool,
    /// The client is told to go, or went.
    pub is_over: bool,
    /// The client's end is gone.
    pub is_closed: bool,
    /// The worker knows that it is gone; so many homes of subscriptions are still to hear of it.
    pub is_known_gone: bool,
    pub leaves: u32,
    pub session: Option<Box<str>>,
    /// Messages that the server took, and those that it settled.
    pub taken: u32,
    pub settled: u32,
}

#[derive(Default)]
pub struct Server {
    pub workers: Vec<Worker>,
    pub conns: FxHashMap<ConnId, Conn>,
    slots: Vec<(ConnId, bool)>,
}

struct Sinks;

impl CompletionSink for Sinks {
    fn complete(&self, _: WorkerId, _: Completion) {}
}

impl Reports for Sinks {
    fn status(&self, _: bool, responder: Responder) {
        responder.done("{}");
    }
}

thread_local! {
    /// Their cells are many, and nobody but this thread counts in them.
    static COUNTERS: Arc<Counters> = Arc::new(Counters::default());
    static OUTBOX: RefCell<Option<Outbox<shard::Peer>>> = const { RefCell::new(None) };
}

pub fn counters() -> Arc<Counters> {
    COUNTERS.with(Arc::clone)
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
        let is_idle = |worker: &Worker| worker.inbox.iter().all(VecDeque::is_empty) && worker.orders.is_empty();
        self.workers.iter().all(is_idle)
    }

    /// A place for a connection.
    pub fn open(&mut self, reactor: u8, client: usize) -> ConnId {
        let same = |(id, taken): &&mut (ConnId, bool)| !*taken && id.reactor() == ReactorId(reactor);
        let free = self.slots.iter_mut().find(same);
        let id = match free {
            Some((id, taken)) => {
                *id = ConnId::new(id.reactor(), id.slot(), id.generation() + 1);
                *taken = true;
                *id
            }
            None => {
                let slot = self.slots.iter().filter(|(id, _)| id.reactor() == ReactorId(reactor)).count();
                let id = ConnId::new(ReactorId(reactor), slot, 0);
                self.slots.push((id, true));
                id
            }
        };
        let conn = Conn {
            client,
            sub: None,
            is_joined: false,
            is_over: false,
            is_closed: false,
            is_known_gone: false,
            leaves: 0,
            session: None,
            taken: 0,
            settled: 0,
        };
        self.conns.insert(id, conn);
        id
    }

    pub fn free(&mut self, id: ConnId) {
        for slot in self.slots.iter_mut().filter(|slot| slot.0 == id) {
            slot.1 = false;
        }
    }
}

impl World {
    /// The server begins, with what the store holds.
    pub fn begin(&mut self, image: Arc<ShardImage>) {
        let plan = &self.plan;
        let workers = self.worker_count;
        let bounds = Bounds { listed_targets: 8, patched_from: 2, ..Bounds::default() };
        self.server = Server::default();
        for index in 0..workers {
            let hydrogen = Hydrogen::new(Parts {
                worker: WorkerId(index as u16),
                workers,
                settings: plan.settings.clone(),
                access: keys().access.clone(),
                channels: channels().clone(),
                completions: Arc::new(Sinks),
                reports: Arc::new(Sinks),
                counters: counters(),
                bounds,
                seed: self.dice.bytes(),
                started: self.now,
                image: image.clone(),
            });
            self.server.workers.push(Worker {
                shard: Dialects::new(hydrogen, counters()),
                inbox: (0..workers + 1 + plan.reactors).map(|_| VecDeque::new()).collect(),
                orders: VecDeque::new(),
                heard: image.store.last.0,
            });
        }
    }

    /// A message of a connection goes to its worker.
    pub fn hand_in(&mut self, conn: ConnId, items: Vec<Item>, texts: String, ack: Option<usize>) {
        let worker = usize::from(worker_of(conn, self.worker_count).0);
        let sender = self.worker_count + 1 + usize::from(conn.reactor().0);
        let batch = Batch { items, texts, bytes: Vec::new(), read_at: self.now.mono };
        self.server.workers[worker].inbox[sender].push_back(Message::Batch(batch, ack));
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
        let shard = &mut self.server.workers[worker].shard;
        let mut tag = None;
        match message {
            Message::Batch(batch, ack) => {
                self.before_batch(worker, &batch, ack);
                let shard = &mut self.server.workers[worker].shard;
                let is_lost = ack.is_some() && self.saboteur.strikes(Mutation::IgnoreAck, 30);
                if is_lost {
                    let Some(Item::Text { conn, .. }) = batch.items.first() else { unreachable!("an ack is a text") };
                    out.order(*conn, Order::Settle { conn: *conn, count: 1 });
                } else {
                    shard.on_batch(&batch, now, &mut out);
                }
                tag = ack;
            }
            Message::Peer(from, peer, ack) => {
                say!(self, "worker {worker} hears of worker {}: {peer:?}", from.0);
                let left = if let Peer::Leave { conn, .. } = &peer { self.server.conns.get_mut(conn) } else { None };
                if let Some(left) = left {
                    left.leaves -= 1;
                }
                let shard = &mut self.server.workers[worker].shard;
                shard.on_peer(from, shard::Peer::Hydrogen(peer), now, &mut out);
                tag = ack;
            }
            Message::Store(event) => {
                if self.trace.is_kept {
                    let text = format!("worker {worker} hears of the store: {event:?}");
                    self.trace.line(self.step, &text);
                }
                let worker = &mut self.server.workers[worker];
                if let StoreEvent::Committed(commit) = &event {
                    worker.heard = commit.last().0;
                }
                worker.shard.on_store(&event, now, &mut out);
            }
            Message::Drain => shard.on_notice(&Notice::Drain(StopCause::Asked), now, &mut out),
        }
        self.carry(worker, out, tag);
    }

    fn before_batch(&mut self, worker: usize, batch: &Batch, ack: Option<usize>) {
        let mut texts = &*batch.texts;
        for item in &batch.items {
            match item {
                Item::Text { conn, len, .. } => {
                    let (text, rest) = texts.split_at(*len as usize);
                    texts = rest;
                    say!(self, "worker {worker} takes of {conn}: {text}");
                    let conn = self.server.conns.get_mut(conn).expect("who speaks is there");
                    conn.taken += 1;
                    if let Some(ack) = ack {
                        self.book.acks[ack].counts = conn.is_joined && !conn.is_over;
                    }
                }
                other => {
                    say!(self, "worker {worker} takes {other:?}");
                    if let Item::Closed { conn, .. } = other
                        && let Some(conn) = self.server.conns.get_mut(conn)
                    {
                        conn.is_known_gone = true;
                    }
                }
            }
        }
    }

    /// Deadlines of workers that have passed.
    pub fn time_out(&mut self) -> bool {
        let now = self.now;
        let count = self.worker_count;
        let first = self.dice.below(count);
        for worker in (0..count).map(|index| (first + index) % count) {
            if self.server.workers[worker].shard.poll_timeout().is_some_and(|at| at <= now.mono) {
                say!(self, "worker {worker} has a deadline");
                let mut out = self.outbox();
                self.server.workers[worker].shard.on_timeout(now, &mut out);
                self.carry(worker, out, None);
                return true;
            }
        }
        false
    }

    fn outbox(&self) -> Outbox<shard::Peer> {
        OUTBOX.with(|kept| kept.borrow_mut().take()).unwrap_or_else(|| Outbox::new(2))
    }

    /// Hands on what a step ordered, and looks at it.
    fn carry(&mut self, worker: usize, mut out: Outbox<shard::Peer>, tag: Option<usize>) {
        for reactor in 0..out.orders.len() {
            for order in out.orders[reactor].drain(..) {
                self.order(worker, order);
            }
        }
        let mut tag = tag;
        for (to, message) in out.peers.drain(..) {
            let shard::Peer::Hydrogen(message) = message else { unreachable!("signaling is off") };
            if let Peer::Leave { conn, .. } = &message
                && let Some(conn) = self.server.conns.get_mut(conn)
            {
                conn.leaves += 1;
            }
            let ack = if matches!(message, Peer::Ack { .. }) { tag.take() } else { None };
            let message = Message::Peer(WorkerId(worker as u16), message, ack);
            self.server.workers[usize::from(to.0)].inbox[worker].push_back(message);
        }
        if let Some(ack) = tag {
            self.book.acked(ack, self.now.mono);
        }
        for request in out.store.drain(..) {
            self.storage.queue.push_back((request, self.step));
        }
        assert!(out.controls.is_empty(), "nobody blocks anybody");
        OUTBOX.with(|kept| *kept.borrow_mut() = Some(out));
    }

    fn order(&mut self, worker: usize, order: Order) {
        match order {
            Order::Ready { .. } => {}
            Order::Send { conn, frame, settles, .. } => {
                if settles > 0 && self.saboteur.strikes(Mutation::LoseResponse, 5) {
                    return self.server.workers[worker].orders.push_back(Down::Settle(conn, settles));
                }
                self.sent(conn, &frame);
                if settles > 0 && self.saboteur.strikes(Mutation::RepeatResponse, 5) {
                    self.server.workers[worker].orders.push_back(Down::Text(conn, frame.clone(), 0));
                }
                self.server.workers[worker].orders.push_back(Down::Text(conn, frame, settles));
            }
            Order::Settle { conn, count } => self.server.workers[worker].orders.push_back(Down::Settle(conn, count)),
            Order::Broadcast { event, targets, .. } => {
                let text = text_of(&event.frame);
                let Some(sent) = wire::event(text) else { panic!("an event of the server's own for many: {text}") };
                for target in &*targets {
                    self.emit(worker, target.conn, sent);
                    if self.saboteur.strikes(Mutation::RepeatEvent, 10) {
                        self.emit(worker, target.conn, sent);
                    }
                }
            }
            Order::Close { conn, reason, .. } => {
                say!(self, "worker {worker} closes {conn}: {}", reason.as_str());
                if let Some(of) = self.server.conns.get_mut(&conn) {
                    of.is_over = true;
                    let client = &mut self.clients[of.client];
                    let is_own = client.conn == Some(conn);
                    let session = client.session.as_mut().filter(|own| of.session.as_deref() == Some(&*own.id));
                    if let Some(session) = session.filter(|_| is_own) {
                        // It is kept from now on, whenever the client hears of it.
                        session.lost = self.now.mono;
                        client.has_session = false;
                    }
                }
                self.server.workers[worker].orders.push_back(Down::Close(conn));
            }
            Order::CredentialRefused { .. } | Order::Answer { .. } | Order::Dialect { .. } | Order::Farewell { .. } => {
                panic!("nobody asked for {order:?}")
            }
        }
    }

    /// An event goes out: the rules are looked at here, where it is decided.
    fn emit(&mut self, worker: usize, conn: ConnId, sent: Sent) {
        let conn = if self.saboteur.strikes(Mutation::MisdirectEvent, 10) {
            self.server.conns.keys().copied().min().unwrap_or(conn)
        } else {
            conn
        };
        say!(
            self,
            "worker {worker} sends {conn} {:016x}-{} of {} (attempt {}, {})",
            sent.epoch,
            sent.offset,
            sent.n,
            sent.attempt,
            if sent.ack { "to be acked" } else { "best effort" }
        );
        self.trace.mix(conn.as_u64() ^ sent.epoch ^ sent.offset);
        if let Some(history) = sent.history {
            assert!(history == sent.offset, "an event's offset is not that of its id");
            assert!(sent.prev == (sent.offset > 1).then(|| sent.offset - 1), "an event's prev is wrong: {sent:?}");
        }
        self.book.seen(sent.epoch, sent.offset, sent.n);
        if sent.ack {
            let of = self.server.conns.get(&conn).expect("events go to those who are there");
            let is_ghost = self.clients[of.client].conn != Some(conn);
            let Some(sub) = of.sub else {
                assert!(is_ghost, "client {} is sent a guaranteed event, and never asked", of.client);
                return;
            };
            let conns = &self.server.conns;
            let is_here = |conn: ConnId| conns.get(&conn).is_some_and(|conn| !conn.is_over && !conn.is_closed);
            let ack_timeout = std::time::Duration::from_millis(self.plan.ack_ms);
            let is_gone = |conn: ConnId| conns.get(&conn).is_none_or(|conn| conn.is_known_gone && conn.leaves == 0);
            let rules = Rules { ack_timeout, is_here: &is_here, is_gone: &is_gone };
            self.book.emitted(sub, &sent, conn, self.now.mono, &rules);
        }
        let orders = &mut self.server.workers[worker].orders;
        orders.push_back(Down::Event(conn, sent));
        let last = orders.len() - 1;
        if last > 0 && self.saboteur.kind == Mutation::SwapEvents {
            orders.swap(last, last - 1);
        }
    }

    /// A text goes out: what it says of the session and of publishes is known from now on.
    fn sent(&mut self, conn: ConnId, frame: &bytes::Bytes) {
        let text = text_of(frame);
        say!(self, "to {conn}: {text}");
        let Some(of) = self.server.conns.get_mut(&conn) else { return };
        let client = of.client;
        if text.starts_with("{\"type\":\"event\"") {
            if string(text, "\"action\":\"") == Some("session") {
                let data = &text[text.find(",\"data\":").unwrap()..];
                let session = string(data, "\"session\":\"").unwrap();
                of.session = Some(session.into());
                if data.contains("\"resumed\":true") {
                    self.resumed(client, conn);
                } else {
                    self.bind(client, conn);
                }
            }
            return;
        }
        if text.contains("\"status\":\"success\"") {
            match string(text, "\"action\":\"") {
                Some("subscribe") => {
                    of.is_joined |= self.clients[client].conn == Some(conn);
                }
                Some("resume") => {
                    of.session = string(text, "\"session\":\"").map(Into::into);
                    self.resumed(client, conn);
                }
                Some("publish") => self.answered(text),
                _ => {}
            }
        }
    }

    /// A publish is answered: what is said to be synced must be.
    fn answered(&mut self, text: &str) {
        let n: usize = string(text, "\"id\":\"p").and_then(|n| n.parse().ok()).expect("a publish's id");
        let data = &text[text.find(",\"data\":").unwrap()..];
        let (epoch, offset) = wire::id_of(string(data, "\"event\":\"").unwrap()).unwrap();
        let event = self.book.seen(epoch, offset, n);
        let is_disk = string(data, "\"level\":\"") == Some("disk");
        let publish = &mut self.book.publishes[n];
        assert!(is_disk || !publish.guaranteed, "publish {n} is answered before it is synced: {text}");
        if is_disk {
            assert!(event.is_some(), "publish {n} is answered as synced, and is in no log");
            publish.is_synced = true;
            if let Some(before) = publish.answer {
                let may_differ = publish.has_failed || self.plan.forgets_ids() || self.has_jumped;
                assert!(before == (epoch, offset) || may_differ, "publish {n} is answered with another event: {text}");
            }
            publish.answer = Some((epoch, offset));
        }
    }
}
