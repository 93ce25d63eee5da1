//! One reactor's endpoint and one worker's shard with its store, in one thread and without
//! sockets: what arrives is handed in as bytes, what leaves is gathered as a socket would be given
//! it. Batches and orders change hands as between the threads, so that their memory counts.

use std::collections::BTreeSet;
use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hydrogen::Config;
use hydrogen::base::limits::WRITE_SLICES;
use hydrogen::base::{ConnId, Counters, Metric, Mono, Now, ReactorId, Wall, WorkerId};
use hydrogen::dialect::hydrogen::system::{About, SystemChannel};
use hydrogen::dialect::hydrogen::{Channels, Hydrogen, Parts, Reports, ShardImage};
use hydrogen::engine::auth::{Access, BlockList, KeyRecord, KeyRing, Permissions, Throttle, ThrottlePolicy, Token};
use hydrogen::engine::channel::{CompletionSink, Responder};
use hydrogen::engine::endpoint::{CastStep, Endpoint, Taken};
use hydrogen::engine::store::{Op, StoreEvent, Told, Writer, answer};
use hydrogen::engine::work::{Completion, Order, Outbox, Shard};
use hydrogen::engine::ws::client::masked_frame;
use hydrogen::engine::ws::{Data, OpCode};
use hydrogen::server::shard::{Dialects, Peer};
use hydrogen::server::{hydrogen_settings, reactor_settings, topic_bounds};
use hydrogen::sys::store::memory::{MemoryBackend, MemoryDisk};

const START: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_790_000_000_000) };

/// What sockets would have been asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    pub reads: u64,
    pub writes: u64,
}

pub struct Driver {
    pub endpoint: Endpoint,
    pub shard: Dialects,
    pub calls: Calls,
    pub now: Now,
    /// What was written to this connection is kept in `heard`.
    pub listens_to: Option<ConnId>,
    pub heard: Vec<u8>,
    /// Where that lay which was written, and how long it was, if that is asked for.
    pub places: Option<BTreeSet<(usize, usize)>>,
    /// The endpoint's.
    counters: Arc<Counters>,
    out: Outbox<Peer>,
    backend: MemoryBackend,
    writer: Writer,
    told: Told,
    token: String,
    /// What is read into, as the reactor's buffer.
    buffer: Vec<u8>,
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

impl Driver {
    /// A server as the default configuration makes it, with one reactor and one worker.
    pub fn new() -> Driver {
        let mut config = Config::default();
        config.web_socket_server.io_threads = 1;
        config.web_socket_server.thread_pool_size = 1;
        let counters = Arc::new(Counters::default());
        let (access, token) = access();
        let throttle = Throttle::new(ThrottlePolicy::default());
        let own = Arc::new(Counters::default());
        let settings = Arc::new(reactor_settings(&config));
        let endpoint = Endpoint::new(ReactorId(0), settings, access.clone(), own.clone(), throttle);
        let settings = hydrogen_settings(&config);
        let delivery = settings.delivery;
        let opened = MemoryBackend::open(&MemoryDisk::default(), START.wall, delivery.dedup_window, delivery.dedup_max);
        let (mut backend, last) = (opened.backend, opened.image.last);
        let image = ShardImage::load(opened.image, &mut backend).unwrap();
        let mut channels = Channels::default();
        let system = Arc::new(SystemChannel::new(Arc::new(Sinks)));
        system.describe(About { info: "{}".into(), channels: serde_json::json!([]) });
        channels.add("system", system).unwrap();
        let hydrogen = Hydrogen::new(Parts {
            worker: WorkerId(0),
            workers: 1,
            settings: Arc::new(settings),
            access,
            channels: Arc::new(channels),
            completions: Arc::new(Sinks),
            reports: Arc::new(Sinks),
            counters: counters.clone(),
            bounds: topic_bounds(&config),
            seed: [7; 32],
            started: START,
            image: Arc::new(image),
        });
        Driver {
            endpoint,
            shard: Dialects::new(hydrogen, counters),
            calls: Calls::default(),
            now: START,
            listens_to: None,
            heard: Vec::with_capacity(1 << 20),
            places: None,
            counters: own,
            out: Outbox::new(1),
            backend,
            writer: Writer::new(last),
            told: Told::new(),
            token,
            buffer: Vec::with_capacity(1 << 20),
        }
    }

    /// A connection with a session.
    pub fn connect(&mut self) -> ConnId {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 40_000));
        let id = self.endpoint.on_accept(address, self.now).unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
             Sec-WebSocket-Protocol: hydrogen-protocol\r\nAuthorization: Key {}\r\n\r\n",
            self.token
        );
        self.receive(id, request.as_bytes());
        self.turn();
        assert!(self.endpoint.connection(id).unwrap().is_websocket(), "{:?}", self.endpoint.connection(id));
        id
    }

    /// Connections with a session each, subscribed to what `data` says.
    pub fn subscribers(&mut self, count: usize, data: impl Fn(usize) -> String) -> Vec<ConnId> {
        let connect = |index| {
            let id = self.connect();
            self.receive(id, &command("s", "subscribe", &data(index)));
            let text = self.answer(id);
            assert!(text.contains("\"status\":\"success\""), "{text}");
            id
        };
        (0..count).map(connect).collect()
    }

    /// One read of a socket.
    pub fn receive(&mut self, id: ConnId, bytes: &[u8]) {
        self.calls.reads += 1;
        self.buffer.clear();
        self.buffer.extend_from_slice(bytes);
        assert!(self.endpoint.may_read(id), "the connection may not be read from");
        self.endpoint.on_received(id, &mut self.buffer, self.now);
    }

    /// Everything that follows from what was read, up to the last write.
    pub fn turn(&mut self) {
        loop {
            self.flush();
            self.work();
            if !self.take_orders() && !self.store() {
                return;
            }
        }
    }

    /// The worker's step: the batch is its own, and so are its orders.
    pub fn work(&mut self) {
        if self.endpoint.batches()[0].items.is_empty() {
            return;
        }
        let batch = std::mem::take(&mut self.endpoint.batches()[0]);
        self.shard.on_batch(&batch, self.now, &mut self.out);
    }

    /// The orders that wait for the reactor.
    pub fn orders(&mut self) -> Vec<Order> {
        std::mem::take(&mut self.out.orders[0])
    }

    /// The reactor's step.
    pub fn hand_out(&mut self, orders: Vec<Order>) {
        let mut orders = orders.into_iter();
        while self.endpoint.take_orders(&mut orders, self.now) == Taken::Pressed {
            self.flush();
        }
        self.cast();
        self.flush();
    }

    /// Events that need no queue: written from one buffer to every socket.
    fn cast(&mut self) {
        let Some(mut cast) = self.endpoint.poll_cast() else { return };
        while let Some(step) = self.endpoint.next_of(&mut cast, self.now) {
            match step {
                CastStep::Flush(id) => self.write(id),
                CastStep::Send(id) => {
                    self.places.iter_mut().for_each(|places| _ = places.insert(place(cast.bytes())));
                    if self.listens_to == Some(id) {
                        self.heard.extend_from_slice(cast.bytes());
                    }
                    self.calls.writes += 1;
                    self.endpoint.on_cast(id, &cast, cast.bytes().len(), false, self.now);
                }
            }
        }
    }

    fn take_orders(&mut self) -> bool {
        if self.out.orders[0].is_empty() {
            return false;
        }
        let orders = self.orders();
        self.hand_out(orders);
        true
    }

    /// Writes once for each connection that has something to write; every socket takes all.
    pub fn flush(&mut self) {
        while let Some(id) = self.endpoint.poll_dirty() {
            self.write(id);
        }
    }

    fn write(&mut self, id: ConnId) {
        loop {
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.endpoint.gather(id, &mut slices);
            if filled == 0 {
                return;
            }
            let count = slices[..filled].iter().map(|slice| slice.len()).sum();
            self.places.iter_mut().for_each(|places| places.extend(slices[..filled].iter().map(|slice| place(slice))));
            if self.listens_to == Some(id) {
                slices[..filled].iter().for_each(|slice| self.heard.extend_from_slice(slice));
            }
            self.calls.writes += 1;
            self.endpoint.on_sent(id, count, false, self.now);
        }
    }

    /// What the store's thread does.
    fn store(&mut self) -> bool {
        if self.out.store.is_empty() {
            return false;
        }
        for request in std::mem::take(&mut self.out.store) {
            if matches!(request.op, Op::Write(_)) {
                self.writer.push(request, &mut self.told);
                continue;
            }
            while self.writer.is_due() {
                self.writer.commit(&mut self.backend, &mut self.told);
            }
            let (worker, event) = answer(&mut self.backend, request);
            self.told.one(worker, event);
        }
        while self.writer.is_due() {
            self.writer.commit(&mut self.backend, &mut self.told);
        }
        let events: Vec<StoreEvent> = self.told.drain().map(|(_, event)| event).collect();
        for event in &events {
            self.shard.on_store(event, self.now, &mut self.out);
        }
        true
    }

    /// Takes a turn; gives what was written to one connection meanwhile.
    pub fn answer(&mut self, id: ConnId) -> String {
        let before = self.listens_to.replace(id);
        self.heard.clear();
        self.turn();
        self.listens_to = before;
        String::from_utf8_lossy(&self.heard).into_owned()
    }

    /// Events that were handed to one subscriber each.
    pub fn delivered(&self) -> u64 {
        self.counters.value(Metric::EVENTS_DELIVERED)
    }

    /// Lets time pass, for all parts.
    pub fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono.after(time);
        self.now.wall = Wall(self.now.wall.0 + time.as_millis() as i64);
    }
}

/// Where bytes lie, and how many.
pub fn place(bytes: &[u8]) -> (usize, usize) {
    (bytes.as_ptr().addr(), bytes.len())
}

/// A client's frame.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::new();
    masked_frame(OpCode::Data(Data::Text), true, text.as_bytes(), [0x37, 0xfa, 0x21, 0x3d], &mut frame);
    frame
}

/// A command of the channel `system`, as a client's frame.
pub fn command(id: &str, action: &str, data: &str) -> Vec<u8> {
    frame(&format!(
        "{{\"type\":\"command\",\"id\":\"{id}\",\"channel\":\"system\",\"action\":\"{action}\",\"data\":{data}}}"
    ))
}

/// A publish of 256 bytes of payload.
pub fn publish(id: &str, topic: &str, guarantee: &str) -> Vec<u8> {
    let payload = "x".repeat(254);
    command(id, "publish", &format!("{{\"topic\":\"{topic}\",\"payload\":\"{payload}\"{guarantee}}}"))
}

fn access() -> (Arc<Access>, String) {
    let token = Token::mint(&[7; Token::RANDOM_BYTES]);
    let record = KeyRecord {
        id: token.id(),
        name: "everyone".into(),
        hash: token.hash(),
        permissions: Permissions::parse(&["connect", "subscribe:>", "publish:>", "call:>"]).unwrap(),
        created: Wall(0),
        expires: None,
        revoked: None,
        signing: None,
    };
    let keys = Arc::new(KeyRing::new(vec![record], None).unwrap());
    (Arc::new(Access { version: 0, keys, blocks: BlockList::default() }), token.expose().to_string())
}
