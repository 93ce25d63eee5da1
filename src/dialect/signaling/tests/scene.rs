//! Drives shards as the server does: queues between workers, a store that answers when it is told
//! to, and clients that read what was sent to them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::*;
use super::person::key;
use crate::base::{DialectId, ReactorId, Reason};
use crate::engine::store::{Answer, Op, Request, StoreError, StoreFault, Table, Write};
use crate::engine::work::{Opening, Order, StopCause};

/// A message as a client reads it.
#[derive(Clone, Debug, PartialEq)]
pub struct Got {
    pub id: String,
    pub kind: String,
    pub payload: Value,
}

#[derive(Default)]
pub struct Figures(pub Mutex<BTreeMap<WorkerId, RoomFigures>>);

impl Reports for Figures {
    fn rooms(&self, worker: WorkerId, figures: RoomFigures) {
        self.0.lock().insert(worker, figures);
    }
}

/// What the store does with a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disk {
    Good,
    Failing,
    /// It answers when [`Scene::write`] says so.
    Slow,
}

pub struct Scene {
    pub shards: Vec<Signaling>,
    pub counters: Arc<Counters>,
    pub figures: Arc<Figures>,
    pub settings: Arc<SignalingSettings>,
    pub now: Now,
    pub disk: Disk,
    pub written: BTreeMap<Box<str>, Bytes>,
    waiting: VecDeque<Request>,
    queues: BTreeMap<(WorkerId, WorkerId), VecDeque<Peer>>,
    pub closed: BTreeMap<ConnId, (Reason, String)>,
    pub inbox: BTreeMap<ConnId, VecDeque<Got>>,
    /// The texts of all messages, as they were sent.
    pub raw: Vec<(ConnId, String)>,
    pub addresses: BTreeMap<ConnId, SocketAddr>,
    /// Messages sent that are not settled.
    pub unsettled: BTreeMap<ConnId, i64>,
    pub open: BTreeSet<ConnId>,
    out: Outbox<Peer>,
    next: usize,
}

/// Nothing is throttled, and members are told each other's keys, which is what most tests look at.
pub fn loose() -> SignalingSettings {
    SignalingSettings {
        rate: None,
        passwords: None,
        signal_bytes: None,
        peer_keys: PeerKeys::Real,
        ..SignalingSettings::default()
    }
}

fn pepper() -> Pepper {
    Pepper::new([9; 32])
}

impl Scene {
    pub fn new(workers: usize, settings: SignalingSettings) -> Scene {
        let mut scene = Scene {
            shards: Vec::new(),
            counters: Arc::new(Counters::default()),
            figures: Arc::default(),
            settings: Arc::new(settings),
            now: Now { mono: Mono(1_000_000_000), wall: Wall(1_772_131_500_000) },
            disk: Disk::Good,
            written: BTreeMap::new(),
            waiting: VecDeque::new(),
            queues: BTreeMap::new(),
            closed: BTreeMap::new(),
            inbox: BTreeMap::new(),
            raw: Vec::new(),
            addresses: BTreeMap::new(),
            unsettled: BTreeMap::new(),
            open: BTreeSet::new(),
            out: Outbox::new(1),
            next: 0,
        };
        scene.start(workers);
        scene
    }

    /// Shards with what is written, and nobody connected.
    pub fn start(&mut self, workers: usize) {
        self.queues.clear();
        self.waiting.clear();
        self.open.clear();
        self.shards.clear();
        for worker in 0..workers {
            let worker = WorkerId(worker as u16);
            let records = self.written.iter().map(|(id, value)| RoomRecord::parse(id, value).unwrap());
            let parts = Parts {
                worker,
                workers,
                settings: self.settings.clone(),
                counters: self.counters.clone(),
                seed: [worker.0 as u8 + 1 + self.next as u8; 32],
                started: self.now,
                rooms: records.filter(|record| worker_of_room(&record.id, workers) == worker).collect(),
                pepper: Arc::new(pepper()),
                reports: self.figures.clone(),
            };
            self.shards.push(Signaling::new(parts));
        }
        self.pass(Duration::ZERO);
    }

    /// What stands for a key in a room, where keys are not shown.
    pub fn alias(&self, room: &str, key: &str) -> String {
        pepper().alias(room, key).into()
    }

    pub fn restart(&mut self) {
        let workers = self.shards.len();
        self.start(workers);
    }

    fn worker(&self, conn: ConnId) -> usize {
        usize::from(crate::engine::work::worker_of(conn, self.shards.len()).0)
    }

    pub fn open(&mut self) -> ConnId {
        self.open_as(None, "192.0.2.1:1000")
    }

    pub fn open_as(&mut self, client_id: Option<&str>, address: &str) -> ConnId {
        let conn = ConnId::new(ReactorId(0), self.next, 7);
        self.next += 1;
        let mut address: SocketAddr = address.parse().unwrap();
        address.set_port(address.port() + self.next as u16);
        self.addresses.insert(conn, address);
        let opening = Opening {
            conn,
            dialect: DialectId::Hydrogen,
            identity: None,
            address,
            protocol: None,
            access_version: 0,
            resume: None,
            client_id: client_id.map(Into::into),
        };
        self.open.insert(conn);
        let (worker, now) = (self.worker(conn), self.now);
        self.shards[worker].on_open(&opening, now, &mut self.out);
        self.settle(worker);
        conn
    }

    pub fn close(&mut self, conn: ConnId) {
        self.open.remove(&conn);
        let (worker, now) = (self.worker(conn), self.now);
        self.shards[worker].on_closed(conn, now, &mut self.out);
        self.settle(worker);
    }

    pub fn text(&mut self, conn: ConnId, text: &str) {
        let (worker, now) = (self.worker(conn), self.now);
        *self.unsettled.entry(conn).or_default() += 1;
        self.shards[worker].on_text(conn, text, now.mono, now, &mut self.out);
        self.settle(worker);
    }

    pub fn bytes(&mut self, conn: ConnId, bytes: &[u8]) {
        let (worker, now) = (self.worker(conn), self.now);
        *self.unsettled.entry(conn).or_default() += 1;
        self.shards[worker].on_binary(conn, bytes, now.mono, now, &mut self.out);
        self.settle(worker);
    }

    /// Sends a request as older clients do.
    pub fn send(&mut self, conn: ConnId, id: &str, kind: &str, payload: &Value) {
        let payload = STANDARD.encode(payload.to_string());
        self.text(conn, &json!({"message_id": id, "type": kind, "payload": payload}).to_string());
    }

    /// Sends a request and takes its answer out of what came.
    pub fn ask(&mut self, conn: ConnId, kind: &str, payload: &Value) -> Got {
        self.next_id();
        let id = format!("id{}", self.next);
        self.send(conn, &id, kind, payload);
        self.answer(conn, &id).unwrap_or_else(|| panic!("no answer to {kind} {payload}"))
    }

    fn next_id(&mut self) {
        self.next += 1;
    }

    pub fn answer(&mut self, conn: ConnId, id: &str) -> Option<Got> {
        let inbox = self.inbox.entry(conn).or_default();
        let place = inbox.iter().position(|got| got.id == id)?;
        inbox.remove(place)
    }

    /// The error that a request is answered with.
    pub fn error(&mut self, conn: ConnId, kind: &str, payload: &Value) -> String {
        let got = self.ask(conn, kind, payload);
        assert_eq!(got.kind, "Error", "{kind} {payload}: {got:?}");
        got.payload["error"].as_str().unwrap().to_owned()
    }

    /// All that a client was sent since.
    pub fn read(&mut self, conn: ConnId) -> Vec<Got> {
        self.inbox.entry(conn).or_default().drain(..).collect()
    }

    /// The types of what a client was sent since.
    pub fn kinds(&mut self, conn: ConnId) -> Vec<String> {
        self.read(conn).into_iter().map(|got| got.kind).collect()
    }

    /// Makes a room, and gives its id.
    pub fn room(&mut self, conn: ConnId, owner: u8) -> String {
        let got =
            self.ask(conn, "CreateRoom", &json!({"room_name": "r", "password": "1234", "public_key": key(owner)}));
        assert_eq!(got.kind, "RoomCreated", "{got:?}");
        got.payload["room_id"].as_str().unwrap().to_owned()
    }

    /// Joins a room.
    pub fn join(&mut self, conn: ConnId, room: &str, who: u8) -> Got {
        let payload =
            json!({"room_id": room, "password": "1234", "public_key": key(who), "username": format!("u{who}")});
        self.ask(conn, "JoinRoom", &payload)
    }

    /// Lets time pass, with all that it brings.
    pub fn pass(&mut self, wait: Duration) {
        let end = self.now.mono.after(wait);
        for _ in 0..10_000 {
            let due = self.shards.iter().filter_map(Signaling::poll_timeout).min().filter(|at| *at <= end);
            let Some(at) = due else { break };
            self.step_to(at.max(self.now.mono));
            for worker in 0..self.shards.len() {
                let now = self.now;
                self.shards[worker].on_timeout(now, &mut self.out);
                self.settle(worker);
            }
        }
        self.step_to(end);
    }

    fn step_to(&mut self, at: Mono) {
        self.now.wall.0 += at.since(self.now.mono).as_millis() as i64;
        self.now.mono = at;
    }

    pub fn drain(&mut self, cause: StopCause) {
        for worker in 0..self.shards.len() {
            let now = self.now;
            self.shards[worker].on_notice(&Notice::Drain(cause), now, &mut self.out);
            self.settle(worker);
        }
    }

    pub fn stop(&mut self) {
        for worker in 0..self.shards.len() {
            let now = self.now;
            self.shards[worker].on_stop(now, &mut self.out);
            self.settle(worker);
        }
    }

    /// The slow store answers all that it was asked.
    pub fn write(&mut self, is_good: bool) {
        while let Some(request) = self.waiting.pop_front() {
            self.answer_store(request, is_good);
        }
        if !is_good {
            self.tell_well();
        }
    }

    /// A store that failed is well again before it is asked anything else.
    fn tell_well(&mut self) {
        for worker in 0..self.shards.len() {
            let now = self.now;
            self.shards[worker].on_store(&StoreEvent::Well, now, &mut self.out);
            self.settle(worker);
        }
    }

    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    fn settle(&mut self, worker: usize) {
        self.take_out(worker);
        while self.deliver() {}
    }

    /// One message from shard to shard; whether there was one.
    fn deliver(&mut self) -> bool {
        let Some((&(from, to), _)) = self.queues.iter().find(|(_, queue)| !queue.is_empty()) else { return false };
        let message = self.queues.get_mut(&(from, to)).and_then(VecDeque::pop_front).unwrap();
        let now = self.now;
        self.shards[usize::from(to.0)].on_peer(from, message, now, &mut self.out);
        self.take_out(usize::from(to.0));
        true
    }

    /// Sends a request, and is lost when the shards have told each other so many things about it.
    pub fn send_and_lose(&mut self, conn: ConnId, kind: &str, payload: &Value, told: usize) {
        let (worker, now) = (self.worker(conn), self.now);
        let text = json!({"message_id": "id", "type": kind, "payload": payload}).to_string();
        self.shards[worker].on_text(conn, &text, now.mono, now, &mut self.out);
        self.take_out(worker);
        for _ in 0..told {
            self.deliver();
        }
        self.close(conn);
    }

    fn take_out(&mut self, worker: usize) {
        let from = WorkerId(worker as u16);
        for (to, message) in std::mem::take(&mut self.out.peers) {
            assert_ne!(to, from, "a shard tells itself without the queues");
            self.queues.entry((from, to)).or_default().push_back(message);
        }
        for order in std::mem::take(&mut self.out.orders[0]) {
            self.take_order(order);
        }
        for request in std::mem::take(&mut self.out.store) {
            assert!(request.ticket >> 63 == 1 && request.worker == from);
            match self.disk {
                Disk::Slow => self.waiting.push_back(request),
                Disk::Good => self.answer_store(request, true),
                Disk::Failing => {
                    self.answer_store(request, false);
                    self.disk = Disk::Good;
                    self.tell_well();
                    self.disk = Disk::Failing;
                }
            }
        }
    }

    fn answer_store(&mut self, request: Request, is_good: bool) {
        let Op::Write(write) = request.op else { panic!("only writes are asked") };
        let result = if is_good {
            match write {
                Write::Put { table: Table::Rooms, key, value, .. } => drop(self.written.insert(key, value)),
                Write::Delete { table: Table::Rooms, key, .. } => drop(self.written.remove(&key)),
                other => panic!("{other:?}"),
            }
            Ok(Answer::Done)
        } else {
            Err(StoreError::new(StoreFault::Io, "broken"))
        };
        let (worker, now) = (usize::from(request.worker.0), self.now);
        let event = StoreEvent::Done { ticket: request.ticket, result };
        self.shards[worker].on_store(&event, now, &mut self.out);
        self.settle(worker);
    }

    fn take_order(&mut self, order: Order) {
        match order {
            Order::Send { conn, frame, settles, .. } => {
                *self.unsettled.entry(conn).or_default() -= i64::from(settles);
                let text = text_of(&frame);
                self.raw.push((conn, text.to_owned()));
                let got = read_message(text);
                self.inbox.entry(conn).or_default().push_back(got);
            }
            Order::Settle { conn, count } => *self.unsettled.entry(conn).or_default() -= i64::from(count),
            Order::Close { conn, reason, text } => {
                self.closed.insert(conn, (reason, text.into_owned()));
            }
            Order::Ready { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

fn text_of(frame: &[u8]) -> &str {
    let header = match frame[1] {
        126 => 4,
        127 => 10,
        _ => 2,
    };
    std::str::from_utf8(&frame[header..]).unwrap()
}

/// Reads a message as a client that takes every encoding.
fn read_message(text: &str) -> Got {
    assert!(text.ends_with('\n'));
    let envelope: Value = serde_json::from_str(text).unwrap();
    let payload = match &envelope["payload"] {
        Value::String(text) => match STANDARD.decode(text) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap(),
            Err(_) => serde_json::from_str(text).unwrap(),
        },
        Value::Array(bytes) => {
            let bytes: Vec<u8> = bytes.iter().map(|byte| byte.as_u64().unwrap() as u8).collect();
            serde_json::from_slice(&bytes).unwrap()
        }
        object => object.clone(),
    };
    let text = |name: &str| envelope[name].as_str().unwrap().to_owned();
    Got { id: text("message_id"), kind: text("type"), payload }
}
