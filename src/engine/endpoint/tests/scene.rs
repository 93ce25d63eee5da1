//! The stage of these tests: an endpoint, a clock, keys, and a way to every state.

use std::borrow::Cow;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::peer::{Reply, Seen, frames_of, get, reply_of, upgrade};
use crate::base::DialectId;
use crate::base::{ConnId, Counters, Metric, Mono, Now, ReactorId, Reason, Wall};
use crate::engine::auth::{Access, BlockList, KeyRecord, KeyRing, Permissions, Throttle, ThrottlePolicy, Token};
use crate::engine::conn::{Origins, Settings, SocketFault, State, TrustedProxies};
use crate::engine::endpoint::{CastStep, Endpoint, Finished, Taken};
use crate::engine::http::{Answer, HeadLimits};
use crate::engine::outbound::{EventFrame, Lane, OutboundLimits, Overflow};
use crate::engine::topic::{Target, TargetFlags};
use crate::engine::work::{Item, Order};
use crate::engine::ws;

pub const HANDSHAKE_S: u64 = 10;
pub const KEEP_ALIVE_S: u64 = 15;
pub const PING_S: u64 = 30;
pub const IDLE_S: u64 = 70;
pub const CLOSE_S: u64 = 5;

pub fn settings() -> Settings {
    Settings {
        handshake_timeout: Duration::from_secs(HANDSHAKE_S),
        keep_alive_timeout: Duration::from_secs(KEEP_ALIVE_S),
        ping_interval: Duration::from_secs(PING_S),
        idle_timeout: Duration::from_secs(IDLE_S),
        close_timeout: Duration::from_secs(CLOSE_S),
        connections_max: 8,
        workers: 2,
        protocols: vec!["hydrogen-protocol".into(), "hydrogen".into()],
        echo: true,
        signaling: None,
        auth_required: true,
        query_key: true,
        in_band_auth: false,
        origins: Origins::Any,
        proxies: TrustedProxies::default(),
        head: HeadLimits { bytes: 2048, headers: 16 },
        body_bytes_max: 100,
        frames: ws::Limits { frame_bytes_max: 1000, message_bytes_max: 2000, fragments_max: 8 },
        deflate: None,
        in_flight_max: 3,
        outbound: OutboundLimits { bytes_max: 4000, frames_max: 50 },
        outbound_total_max: 1_000_000,
        reconnect_spread: Duration::from_secs(10),
    }
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// The keys that the ring knows, and one that it does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Good,
    MayNotConnect,
    Expired,
    Revoked,
    Unknown,
}

impl Key {
    fn mint(self) -> Token {
        Token::mint(&[self as u8 + 1; Token::RANDOM_BYTES])
    }

    pub fn token(self) -> String {
        self.mint().expose()
    }

    /// A token with this key's id and another secret.
    pub fn with_wrong_secret(self) -> String {
        let mut random = [self as u8 + 1; Token::RANDOM_BYTES];
        random[Token::RANDOM_BYTES - 1] = 99;
        Token::mint(&random).expose()
    }
}

fn ring() -> KeyRing {
    let record = |key: Key, name: &str, permissions: &[&str]| KeyRecord {
        id: key.mint().id(),
        name: name.into(),
        hash: key.mint().hash(),
        permissions: Permissions::parse(permissions).unwrap(),
        created: Wall(0),
        expires: (key == Key::Expired).then_some(Wall(1)),
        revoked: (key == Key::Revoked).then_some(Wall(1)),
        signing: None,
    };
    let records = vec![
        record(Key::Good, "good", &["connect", "subscribe:>"]),
        record(Key::MayNotConnect, "may-not", &["publish:>"]),
        record(Key::Expired, "expired", &["connect"]),
        record(Key::Revoked, "revoked", &["connect"]),
    ];
    KeyRing::new(records, None).unwrap()
}

pub fn access(blocks: BlockList) -> Arc<Access> {
    Arc::new(Access { version: 0, keys: Arc::new(ring()), blocks })
}

/// What a worker was handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Handed {
    Open(ConnId, DialectId, Option<String>),
    Text(ConnId, String),
    Binary(ConnId, Vec<u8>),
    Dropped(ConnId, u64),
    Closed(ConnId, Reason),
}

pub struct Scene {
    pub endpoint: Endpoint,
    pub counters: Arc<Counters>,
    pub now: Now,
    pub address: SocketAddr,
}

impl Scene {
    pub fn new() -> Scene {
        Scene::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Scene {
        let mut settings = settings();
        change(&mut settings);
        let counters = Arc::new(Counters::default());
        let policy = ThrottlePolicy { free_failures: 20, ..ThrottlePolicy::default() };
        let endpoint = Endpoint::new(
            ReactorId(1),
            Arc::new(settings),
            access(BlockList::default()),
            counters.clone(),
            Throttle::new(policy),
        );
        let now = Now { mono: Mono(1_000_000_000), wall: Wall(1_772_131_500_000) };
        Scene { endpoint, counters, now, address: "192.0.2.7:4711".parse().unwrap() }
    }

    pub fn accept(&mut self) -> ConnId {
        self.endpoint.on_accept(self.address, self.now).expect("there is room")
    }

    pub fn receive(&mut self, id: ConnId, bytes: impl AsRef<[u8]>) {
        self.endpoint.on_received(id, &mut bytes.as_ref().to_vec(), self.now);
    }

    pub fn eof(&mut self, id: ConnId) {
        self.endpoint.on_eof(id, self.now);
    }

    pub fn reset(&mut self, id: ConnId) {
        self.endpoint.on_socket_error(id, SocketFault::Reset, self.now);
    }

    pub fn order(&mut self, order: Order) {
        self.endpoint.on_orders([order], self.now);
    }

    pub fn ready(&mut self, id: ConnId) {
        self.order(Order::Ready { conn: id });
    }

    /// The order for a response that settles nothing.
    pub fn response(&self, id: ConnId, text: &str) -> Order {
        let frame = ws::encoder::text(text.as_bytes());
        Order::Send { conn: id, frame, settles: 0, received_at: self.now.mono }
    }

    /// A response that settles one message.
    pub fn respond(&mut self, id: ConnId, text: &str) {
        let frame = ws::encoder::text(text.as_bytes());
        self.order(Order::Send { conn: id, frame, settles: 1, received_at: self.now.mono });
    }

    pub fn answer(&mut self, id: ConnId, body: &str) {
        let answer = Answer::text(200, Bytes::copy_from_slice(body.as_bytes()));
        self.order(Order::Answer { conn: id, answer });
    }

    pub fn close(&mut self, id: ConnId, reason: Reason) {
        self.order(Order::Close { conn: id, reason, text: Cow::Borrowed("so ordered") });
    }

    pub fn broadcast(&mut self, ids: &[ConnId], topic: &str, text: &str, overflow: Overflow, conflate: bool) {
        let flags = TargetFlags::new(Lane::Events, overflow, conflate);
        self.order(self.event_as(ids, topic, text, flags));
    }

    /// The order for an event that disconnects who does not read.
    pub fn event(&self, ids: &[ConnId], topic: &str, text: &str) -> Order {
        self.event_as(ids, topic, text, TargetFlags::default())
    }

    pub fn event_as(&self, ids: &[ConnId], topic: &str, text: &str, flags: TargetFlags) -> Order {
        let event = EventFrame::new(ws::encoder::text(text.as_bytes()), topic.into(), false);
        let targets: Vec<Target> = ids.iter().map(|conn| Target { conn: *conn, flags }).collect();
        Order::Broadcast { event: Arc::new(event), targets: targets.into(), published_at: self.now.mono }
    }

    /// Takes orders as the reactor does: what may go straight to a socket does. Each socket takes
    /// `room` bytes in one write. Returns what each connection's peer saw, in the order of the writes.
    pub fn carry_out(&mut self, orders: Vec<Order>, room: &mut dyn FnMut(ConnId) -> usize) -> Vec<(ConnId, Vec<u8>)> {
        let mut seen = Vec::new();
        let mut orders = orders.into_iter();
        while self.endpoint.take_orders(&mut orders, self.now) == Taken::Pressed {
            self.flush(room, &mut seen);
        }
        if let Some(mut cast) = self.endpoint.poll_cast() {
            while let Some(step) = self.endpoint.next_of(&mut cast, self.now) {
                match step {
                    CastStep::Flush(id) => {
                        let bytes = self.write(id, room(id));
                        seen.push((id, bytes));
                    }
                    CastStep::Send(id) => {
                        let count = room(id).min(cast.bytes().len());
                        seen.push((id, cast.bytes()[..count].to_vec()));
                        self.endpoint.on_cast(id, &cast, count, count < cast.bytes().len(), self.now);
                    }
                }
            }
        }
        self.flush(room, &mut seen);
        seen
    }

    fn flush(&mut self, room: &mut dyn FnMut(ConnId) -> usize, seen: &mut Vec<(ConnId, Vec<u8>)>) {
        while let Some(id) = self.endpoint.poll_dirty() {
            let bytes = self.write(id, room(id));
            seen.push((id, bytes));
        }
    }

    /// Lets time pass in steps of a tenth of a second, as a poll loop with other things to do would.
    pub fn pass(&mut self, wait: Duration) {
        let end = self.now.mono.after(wait);
        while self.now.mono < end {
            let step = end.since(self.now.mono).min(Duration::from_millis(100));
            self.jump(step);
        }
    }

    /// Lets time pass at once, as a process that was stopped sees it.
    pub fn jump(&mut self, wait: Duration) {
        self.now.mono = self.now.mono.after(wait);
        self.now.wall = Wall(self.now.wall.0 + wait.as_millis() as i64);
        self.endpoint.on_time(self.now);
    }

    /// Writes at most `max` bytes; the socket is full after that.
    pub fn write(&mut self, id: ConnId, max: usize) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let mut slices = [IoSlice::new(&[]); 4];
            let filled = self.endpoint.gather(id, &mut slices);
            let offered: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
            if offered.is_empty() {
                return all;
            }
            let count = offered.len().min(max - all.len());
            all.extend_from_slice(&offered[..count]);
            self.endpoint.on_sent(id, count, count < offered.len(), self.now);
            if count < offered.len() {
                return all;
            }
        }
    }

    /// Writes what is wanted, and returns what the peer saw.
    pub fn sent(&mut self, id: ConnId) -> Vec<u8> {
        while self.endpoint.poll_dirty().is_some() {}
        self.write(id, usize::MAX)
    }

    pub fn frames(&mut self, id: ConnId) -> Vec<Seen> {
        let bytes = self.sent(id);
        frames_of(&bytes)
    }

    pub fn reply(&mut self, id: ConnId) -> Reply {
        let bytes = self.sent(id);
        let (reply, rest) = reply_of(&bytes);
        assert!(rest.is_empty(), "one answer: {:?}", String::from_utf8_lossy(rest));
        reply
    }

    /// What all workers were handed, in order.
    pub fn handed(&mut self) -> Vec<Handed> {
        let mut handed = Vec::new();
        for batch in self.endpoint.batches() {
            let batch = std::mem::take(batch);
            let (mut text_at, mut byte_at) = (0, 0);
            for item in batch.items {
                handed.push(match item {
                    Item::Open(opening) => {
                        let name = opening.identity.map(|identity| identity.name.to_string());
                        Handed::Open(opening.conn, opening.dialect, name)
                    }
                    Item::Text { conn, len, .. } => {
                        text_at += len as usize;
                        Handed::Text(conn, batch.texts[text_at - len as usize..text_at].into())
                    }
                    Item::Binary { conn, len, .. } => {
                        byte_at += len as usize;
                        Handed::Binary(conn, batch.bytes[byte_at - len as usize..byte_at].into())
                    }
                    Item::Dropped { conn, dropped } => Handed::Dropped(conn, dropped.count),
                    Item::Closed { conn, reason } => Handed::Closed(conn, reason),
                });
            }
            assert_eq!((text_at, byte_at), (batch.texts.len(), batch.bytes.len()), "every payload has its item");
        }
        handed
    }

    /// The texts among what the workers were handed.
    pub fn texts(&mut self) -> Vec<String> {
        let texts = |handed| if let Handed::Text(_, text) = handed { Some(text) } else { None };
        self.handed().into_iter().filter_map(texts).collect()
    }

    pub fn finished(&mut self) -> Vec<Finished> {
        std::iter::from_fn(|| self.endpoint.poll_finished(self.now)).collect()
    }

    pub fn state(&self, id: ConnId) -> State {
        self.endpoint.connection(id).expect("it is still there").state()
    }

    pub fn reason(&self, id: ConnId) -> Option<Reason> {
        self.endpoint.connection(id).expect("it is still there").reason()
    }

    pub fn count(&self, metric: Metric) -> u64 {
        self.counters.value(metric)
    }

    /// How many connections are in a state, as the metrics have it.
    pub fn in_state(&self, state: State) -> u64 {
        self.count(Metric::STATE_ENTERED.at(state as usize)) - self.count(Metric::STATE_LEFT.at(state as usize))
    }

    /// Asserts that one connection is over for this reason, and that everything is given back.
    pub fn expect_end(&mut self, id: ConnId, reason: Reason) {
        assert_eq!(self.state(id), State::of_end(reason.end()), "{reason:?}");
        let finished = self.finished();
        assert_eq!(finished.iter().map(|over| (over.conn, over.reason)).collect::<Vec<_>>(), [(id, reason)]);
        assert!(self.endpoint.connection(id).is_none());
        if self.endpoint.is_empty() {
            self.expect_nothing_left();
        }
    }

    /// Asserts that nothing waits, and that the books say so.
    pub fn expect_books(&mut self) {
        assert_eq!(self.endpoint.outbound_bytes(), 0);
        assert_eq!(self.count(Metric::OUTBOUND_QUEUED), self.count(Metric::OUTBOUND_DONE));
    }

    /// Asserts that no connection is left, and that the books are square.
    pub fn expect_nothing_left(&mut self) {
        assert!(self.endpoint.is_empty());
        self.expect_books();
        for state in State::ALL.iter().filter(|state| !state.is_terminal()) {
            assert_eq!(self.in_state(*state), 0, "{state:?}");
        }
        for dialect in 0..DialectId::ALL.len() {
            let (opened, closed) = (Metric::DIALECT_OPENED.at(dialect), Metric::DIALECT_CLOSED.at(dialect));
            assert_eq!(self.count(opened), self.count(closed));
        }
        let opened = self.count(Metric::CONNECTIONS_OPENED);
        assert_eq!(Reason::ALL.iter().map(|reason| self.count(Metric::closed(*reason))).sum::<u64>(), opened);
        let ends = [State::Failed, State::Rejected, State::Closed];
        assert_eq!(ends.iter().map(|state| self.in_state(*state)).sum::<u64>(), opened);
        assert_eq!(self.count(Metric::IMPOSSIBLE_TRANSITIONS), 0);
        assert!(self.endpoint.poll_dirty().is_none() && self.endpoint.poll_finished(self.now).is_none());
    }

    /// A connection whose handshake is answered.
    pub fn established(&mut self) -> ConnId {
        self.handed();
        let id = self.accept();
        self.receive(id, upgrade(&format!("Authorization: Key {}\r\n", Key::Good.token())));
        assert_eq!(self.reply(id).status, 101);
        assert_eq!(self.state(id), State::Established);
        assert_eq!(self.handed(), [Handed::Open(id, DialectId::Hydrogen, Some("good".into()))]);
        id
    }

    pub fn connected(&mut self) -> ConnId {
        let id = self.established();
        self.ready(id);
        assert_eq!(self.state(id), State::Connected);
        id
    }

    pub fn heartbeat(&mut self) -> ConnId {
        let id = self.connected();
        self.pass(seconds(PING_S));
        assert_eq!(self.state(id), State::Heartbeat);
        assert_eq!(self.frames(id), [Seen::Ping]);
        id
    }

    /// A plain request that waits for its answer.
    pub fn verifying(&mut self) -> ConnId {
        let id = self.accept();
        self.receive(id, get("/status"));
        assert_eq!(self.state(id), State::Verifying);
        self.endpoint.requests().clear();
        id
    }

    /// A connection that the server closes; its close frame is out.
    pub fn closing(&mut self) -> ConnId {
        let id = self.connected();
        self.close(id, Reason::ServerClosed);
        assert_eq!(self.frames(id), [Seen::Close(Some(1000), "so ordered".into())]);
        assert_eq!(self.state(id), State::Closing);
        id
    }
}
