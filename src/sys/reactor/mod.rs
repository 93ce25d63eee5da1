//! The reactor thread: a poll loop around the pure [`Endpoint`].
//!
//! Owns the poll, the listeners, the sockets and the shared read buffer. One turn: wait, accept,
//! read into the endpoint, take orders, let time pass, write once per connection, hand batches
//! on, wake whom it concerns. It decides nothing: what to write, when to end and whom to refuse
//! is the endpoint's.

mod accept;
mod linger;
mod socket;
mod sockets;
mod stream;
mod tls;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Duration;

use mio::{Events, Poll, Token};

use super::clock::Clock;
use super::mailbox::{ReactorReceiver, ReactorSender, ToReactor, WorkerSender};
use super::worker::{Lent, Step};
use crate::base::limits::{POLL_EVENTS, READ_BUDGET_PER_TURN, READ_BUFFER, WRITE_SLICES};
use crate::base::{ConnId, Counters, Metric, Mono, Now, ReactorId, WorkerId};
use crate::engine::conn::SocketFault;
use crate::engine::endpoint::{CastStep, Endpoint, Taken};
use crate::engine::work::{Order, Request};
use accept::Acceptor;
use linger::Lingering;
use socket::Socket;
use sockets::Sockets;
use stream::ReadOutcome;
use tls::Scratch;

pub use accept::{bind, listen_addresses};

/// Tokens of listeners, counted down from here; connection ids never reach them, since no
/// reactor has the number 255.
pub(crate) const LISTENER_TOKENS: u64 = u64::MAX - 64;
/// The token of the wake-up.
pub const WAKE: Token = Token(usize::MAX);
/// The token of sockets that linger.
const LINGER: Token = Token(usize::MAX - 1);

/// How often a full queue of a worker is tried again.
const STALL_RETRY: Duration = Duration::from_millis(1);

/// What a read takes of a connection's budget at least, whatever it brings.
const READ_COST: usize = 4096;

/// A poll that takes this long had to wait.
const IDLE: Duration = Duration::from_micros(10);

/// How often in a turn shards are borrowed.
const LENT_ROUNDS: usize = 4;

/// Takes plain HTTP requests: a service thread's queue. Returns the request if it is full.
pub type RequestSink = Box<dyn Fn(Box<Request>) -> Result<(), Box<Request>> + Send>;

/// What a reactor is made of.
pub struct Parts<P> {
    /// Its number.
    pub id: ReactorId,
    /// The poll, on which the waker of `inbox` is registered.
    pub poll: Poll,
    /// Its listeners; empty for all reactors but those that accept.
    pub listeners: Vec<std::net::TcpListener>,
    /// TLS for every connection, if configured.
    pub tls: Option<Arc<rustls::ServerConfig>>,
    /// Its queue.
    pub inbox: ReactorReceiver,
    /// The queues of all reactors, this one included: accepted sockets are handed out in turn.
    pub reactors: Vec<ReactorSender>,
    /// The workers' queues.
    pub workers: Vec<WorkerSender<P>>,
    /// The workers' shards, by number, as far as they may be borrowed.
    pub lent: Vec<Arc<dyn Lent>>,
    /// Where plain requests go.
    pub requests: RequestSink,
    /// The connections.
    pub endpoint: Endpoint,
    /// This thread's counters.
    pub counters: Arc<Counters>,
    /// The clocks.
    pub clock: Clock,
}

/// The running reactor.
pub struct Reactor<P> {
    poll: Poll,
    acceptor: Acceptor,
    tls: Option<Arc<rustls::ServerConfig>>,
    inbox: ReactorReceiver,
    workers: Vec<WorkerSender<P>>,
    lent: Vec<Arc<dyn Lent>>,
    /// There was nothing to do before this turn.
    was_idle: bool,
    /// Orders of a borrowed shard, on their way.
    orders: Vec<Order>,
    stalled: Vec<bool>,
    requests: RequestSink,
    refused: VecDeque<Box<Request>>,
    endpoint: Endpoint,
    counters: Arc<Counters>,
    clock: Clock,
    sockets: Sockets,
    /// Sockets that are readable and not read to the end.
    ready: VecDeque<ConnId>,
    lingering: Lingering,
    buffer: Box<[u8]>,
    scratch: Scratch,
    stop: bool,
}

impl<P: Send> Reactor<P> {
    /// Registers the listeners.
    pub fn new(parts: Parts<P>) -> io::Result<Reactor<P>> {
        let acceptor = Acceptor::new(parts.id, parts.listeners, parts.reactors, parts.poll.registry())?;
        Ok(Reactor {
            poll: parts.poll,
            acceptor,
            inbox: parts.inbox,
            stalled: vec![false; parts.workers.len()],
            workers: parts.workers,
            lent: parts.lent,
            was_idle: false,
            orders: Vec::new(),
            requests: parts.requests,
            refused: VecDeque::new(),
            endpoint: parts.endpoint,
            counters: parts.counters,
            clock: parts.clock,
            sockets: Sockets::default(),
            ready: VecDeque::new(),
            lingering: Lingering::default(),
            scratch: Scratch::new(parts.tls.is_some()),
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            tls: parts.tls,
            stop: false,
        })
    }

    /// Turns until told to stop.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(POLL_EVENTS);
        while !self.stop {
            let now = self.clock.now().mono;
            let timeout = self.timeout(now);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                return Err(error);
            }
            self.turn(&events, now);
        }
        Ok(())
    }

    /// How long the poll may wait: not at all while something is left to do.
    fn timeout(&mut self, now: Mono) -> Option<Duration> {
        if !self.ready.is_empty() || self.acceptor.is_ready() || !self.inbox.may_sleep() {
            return Some(Duration::ZERO);
        }
        let deadlines = [
            self.endpoint.poll_timeout(),
            self.acceptor.poll_timeout(),
            self.lingering.poll_timeout(),
            (self.stalled.contains(&true) || !self.refused.is_empty()).then(|| now.after(STALL_RETRY)),
        ];
        let next: Option<Mono> = deadlines.into_iter().flatten().min();
        next.map(|at| at.since(now))
    }

    fn turn(&mut self, events: &Events, polled_at: Mono) {
        self.inbox.is_awake();
        self.counters.inc(Metric::TURNS);
        let now = self.clock.now();
        self.was_idle = now.mono.since(polled_at) >= IDLE;
        let mut lingering = false;
        for event in events {
            match event.token() {
                WAKE => {}
                LINGER => lingering = true,
                token if token.0 as u64 > LISTENER_TOKENS => self.acceptor.on_ready(),
                token => self.on_socket_event(ConnId::from_u64(token.0 as u64), event, now),
            }
        }
        if lingering {
            self.lingering.on_ready(&mut self.buffer, &mut self.scratch);
        }
        self.accept(now);
        self.drain_inbox(now);
        self.read_ready(now);
        self.endpoint.on_time(now);
        self.lingering.on_time(now.mono);
        self.finish(now);
        self.work(now);
        self.flush(now);
        self.finish(now);
        self.hand_on();
        // Writing, or a worker's queue with room again, may have set connections free after the
        // turn's reads: their edge has come and will not come again.
        self.collect_readable();
    }

    fn on_socket_event(&mut self, id: ConnId, event: &mio::event::Event, now: Now) {
        let Some(socket) = self.sockets.of(id) else { return };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            socket.read_closed |= event.is_read_closed();
            socket.readable = true;
            if !socket.queued {
                socket.queued = true;
                self.ready.push_back(id);
            }
        }
        if event.is_writable() {
            self.write(id, now);
        }
    }

    fn accept(&mut self, now: Now) {
        let mut accepted = std::mem::take(&mut self.acceptor.accepted);
        self.acceptor.accept(now, &self.counters, &mut accepted);
        for (stream, address) in accepted.drain(..) {
            self.adopt(stream, address, now);
        }
        self.acceptor.accepted = accepted;
    }

    fn adopt(&mut self, stream: mio::net::TcpStream, address: std::net::SocketAddr, now: Now) {
        let Some(id) = self.endpoint.on_accept(address, now) else { return };
        let mut socket = match Socket::new(stream, self.tls.as_ref()) {
            Ok(socket) => socket,
            Err(error) => {
                log::warn!("connection={id} a TLS session could not be made: {error}");
                self.endpoint.on_socket_error(id, SocketFault::Tls, now);
                return;
            }
        };
        let registered = socket.register(self.poll.registry(), Token(id.as_u64() as usize));
        self.sockets.put(id, socket);
        if let Err(error) = registered {
            log::warn!("connection={id} could not be registered: {error}");
            self.endpoint.on_socket_error(id, SocketFault::Reset, now);
        }
    }

    fn drain_inbox(&mut self, now: Now) {
        // What comes while this is done has the next turn: sockets wait too.
        for _ in 0..self.inbox.len() {
            let Some(message) = self.inbox.try_recv() else { break };
            match message {
                ToReactor::Orders(orders) => self.take_orders(orders.into_iter(), now),
                ToReactor::Adopt(stream, address) => {
                    self.adopt(mio::net::TcpStream::from_std(stream), address, now);
                }
                ToReactor::Access(access) => self.endpoint.on_access(access),
                // The listeners stay: who comes now is told that the server is stopping.
                ToReactor::Drain => {
                    self.cast(now);
                    self.endpoint.on_drain(now);
                }
                ToReactor::Stop => {
                    self.cast(now);
                    self.endpoint.on_cut(now);
                    self.stop = true;
                }
            }
        }
        self.cast(now);
        self.collect_readable();
    }

    fn take_orders(&mut self, mut orders: impl Iterator<Item = Order>, now: Now) {
        while self.endpoint.take_orders(&mut orders, now) == Taken::Pressed {
            self.flush(now);
        }
    }

    /// Writes broadcasts straight to their targets, from one buffer.
    fn cast(&mut self, now: Now) {
        let Some(mut cast) = self.endpoint.poll_cast() else { return };
        while let Some(step) = self.endpoint.next_of(&mut cast, now) {
            let id = match step {
                CastStep::Flush(id) => {
                    self.write(id, now);
                    continue;
                }
                CastStep::Send(id) => id,
            };
            let Some(socket) = self.sockets.of(id) else { continue };
            self.counters.inc(Metric::WRITES);
            match socket.write_one(cast.bytes(), &mut self.scratch) {
                Ok(written) => self.endpoint.on_cast(id, &cast, written.count, written.blocked, now),
                Err(fault) => self.endpoint.on_socket_error(id, fault, now),
            }
        }
    }

    /// Connections that may be read from again, and whose sockets have something.
    fn collect_readable(&mut self) {
        while let Some(id) = self.endpoint.poll_readable() {
            if let Some(socket) = self.sockets.of(id)
                && socket.readable
                && !socket.queued
            {
                socket.queued = true;
                self.ready.push_back(id);
            }
        }
    }

    /// Reads every socket that was ready when the turn began, each up to its budget.
    fn read_ready(&mut self, now: Now) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            let more = self.read(id, now);
            self.hand_on_full();
            if more {
                self.ready.push_back(id);
            } else if let Some(socket) = self.sockets.of(id) {
                socket.queued = false;
            }
        }
    }

    /// Reads one socket; true if it has more to read and its budget for this turn is used up.
    fn read(&mut self, id: ConnId, now: Now) -> bool {
        let mut budget = READ_BUDGET_PER_TURN;
        loop {
            if !self.endpoint.may_read(id) {
                return false;
            }
            let Some(socket) = self.sockets.of(id) else { return false };
            self.counters.inc(Metric::READS);
            match socket.read(&mut self.buffer, &mut self.scratch) {
                Ok(ReadOutcome::Bytes(count, more)) => {
                    self.endpoint.on_received(id, &mut self.buffer[..count], now);
                    if !more {
                        return false;
                    }
                    budget = budget.saturating_sub(count.max(READ_COST));
                    if budget == 0 {
                        return true;
                    }
                }
                Ok(ReadOutcome::NotNow) => return false,
                Ok(ReadOutcome::Eof) => {
                    self.endpoint.on_eof(id, now);
                    return false;
                }
                Err(fault) => {
                    // A TLS alert may wait to be written.
                    socket.flush_tls();
                    self.endpoint.on_socket_error(id, fault, now);
                    return false;
                }
            }
        }
    }

    fn flush(&mut self, now: Now) {
        while let Some(id) = self.endpoint.poll_dirty() {
            self.write(id, now);
        }
    }

    /// Writes what waits for one connection, until it is out or the socket takes no more.
    fn write(&mut self, id: ConnId, now: Now) {
        loop {
            let Some(socket) = self.sockets.of(id) else { return };
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.endpoint.gather(id, &mut slices);
            if filled == 0 {
                socket.flush_tls();
                return;
            }
            self.counters.inc(Metric::WRITES);
            match socket.write(&slices[..filled], &mut self.scratch) {
                Ok(written) => {
                    self.endpoint.on_sent(id, written.count, written.blocked, now);
                    if written.blocked {
                        return;
                    }
                }
                Err(fault) => {
                    self.endpoint.on_socket_error(id, fault, now);
                    return;
                }
            }
        }
    }

    fn finish(&mut self, now: Now) {
        while let Some(finished) = self.endpoint.poll_finished(now) {
            log::debug!("connection={} closed reason={}", finished.conn, finished.reason.as_str());
            if let Some(socket) = self.sockets.take(finished.conn) {
                self.lingering.retire(socket, finished.lingers, self.poll.registry(), LINGER, now.mono);
            }
        }
    }

    /// Works small batches off on this thread where their worker sleeps, and carries out what comes
    /// of it, which may be more of them. What is to be written goes out with the turn's other writes.
    fn work(&mut self, now: Now) {
        // While much happens, what comes in the time of a hop goes together with what is there.
        if !self.was_idle {
            return;
        }
        for _ in 0..LENT_ROUNDS {
            if !self.borrow_shards() {
                return;
            }
            let mut orders = std::mem::take(&mut self.orders);
            self.take_orders(orders.drain(..), now);
            self.orders = orders;
            self.cast(now);
        }
    }

    /// Returns whether a shard took its batch.
    fn borrow_shards(&mut self) -> bool {
        let (id, inbox) = (self.endpoint.reactor(), &self.inbox);
        let mut any = false;
        for (index, lent) in self.lent.iter().enumerate() {
            let batch = &mut self.endpoint.batches()[index];
            if batch.items.is_empty() || self.stalled[index] {
                continue;
            }
            if lent.step(batch, id, &|| inbox.is_empty(), &mut self.orders) == Step::Taken {
                batch.clear();
                any = true;
            }
        }
        any
    }

    /// Hands batches to the workers and requests to the service thread.
    fn hand_on(&mut self) {
        for index in 0..self.workers.len() {
            self.send_batch(index);
        }
        self.refused.extend(self.endpoint.requests().drain(..).map(Box::new));
        while let Some(request) = self.refused.pop_front() {
            if let Err(back) = (self.requests)(request) {
                self.refused.push_front(back);
                break;
            }
        }
    }

    /// Hands on batches that are full before the turn is over.
    fn hand_on_full(&mut self) {
        for index in 0..self.workers.len() {
            if !self.stalled[index] && self.endpoint.batches()[index].is_full() {
                self.send_batch(index);
            }
        }
    }

    fn send_batch(&mut self, index: usize) {
        let batch = &mut self.endpoint.batches()[index];
        if batch.items.is_empty() {
            return;
        }
        let worker = &self.workers[index];
        match worker.try_send_batch(std::mem::take(batch)) {
            Ok(()) => {
                self.counters.inc(Metric::BATCHES);
                if worker.wake() {
                    self.counters.inc(Metric::WAKES);
                }
                if std::mem::take(&mut self.stalled[index]) {
                    self.endpoint.on_stall(WorkerId(index as u16), false);
                }
            }
            Err(back) => {
                self.endpoint.batches()[index] = back;
                self.stalled[index] = true;
                self.endpoint.on_stall(WorkerId(index as u16), true);
            }
        }
    }
}
