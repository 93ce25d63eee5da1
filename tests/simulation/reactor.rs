//! A simulated reactor thread: what `sys/reactor` does in a turn, in the same order, on simulated
//! sockets; and what must hold after each turn.

mod checks;

use std::collections::{BTreeMap, VecDeque};
use std::io::IoSlice;
use std::time::Duration;

use hydrogen::base::limits::WRITE_SLICES;
use hydrogen::base::{ConnId, Mono, WorkerId};
use hydrogen::engine::conn::SocketFault;
use hydrogen::engine::endpoint::{CastStep, Endpoint, Taken};
use hydrogen::engine::work::{Batch, Item, Order};

use crate::floor::Floor;
use crate::link::Holder;
use crate::mutation::Mutation;
use crate::queues::ToReactor;
use crate::worker::Worker;

const STALL_RETRY: Duration = Duration::from_millis(1);
/// How often in a turn shards are borrowed, and for batches of how many items.
const LENT_ROUNDS: usize = 4;
const LENT_ITEMS: usize = 8;
const LINGER: Duration = Duration::from_secs(2);

/// A socket as the reactor knows it.
struct Socket {
    link: usize,
    readable: bool,
    read_closed: bool,
    queued: bool,
    /// The end of the stream was read.
    at_end: bool,
}

pub struct Reactor {
    pub index: usize,
    pub endpoint: Endpoint,
    stalled: Vec<bool>,
    sockets: BTreeMap<ConnId, Socket>,
    ready: VecDeque<ConnId>,
    lingering: VecDeque<(Mono, usize)>,
    /// Messages of each connection that its worker has and has not settled.
    flights: BTreeMap<ConnId, u32>,
}

enum Read {
    Bytes(Vec<u8>, bool),
    NotNow,
    Eof,
}

impl Reactor {
    pub fn new(index: usize, endpoint: Endpoint, workers: usize) -> Reactor {
        Reactor {
            index,
            endpoint,
            stalled: vec![false; workers],
            sockets: BTreeMap::new(),
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            flights: BTreeMap::new(),
        }
    }

    /// Whether the poll would return now.
    pub fn is_runnable(&self, floor: &Floor<'_>) -> bool {
        floor.queues.reactors[self.index].is_over(floor.now.mono.0)
            || !floor.queues.orders[self.index].is_empty()
            || (self.index == 0 && !floor.desk.backlog.is_empty() && !floor.desk.is_closed)
            || self.sockets.values().any(|socket| floor.links[socket.link].edges.any())
            || self.lingering.iter().any(|(_, link)| floor.links[*link].edges.any())
    }

    pub fn turn(&mut self, workers: &mut [Worker], floor: &mut Floor<'_>) {
        self.take_events(floor);
        if self.index == 0 {
            self.accept(floor);
        }
        self.drain_inbox(floor);
        self.take_readable();
        self.read_ready(floor);
        self.endpoint.on_time(floor.now);
        self.lingering_on_time(floor);
        self.finish(floor);
        self.work(workers, floor);
        self.flush(floor);
        self.finish(floor);
        self.hand_on(floor);
        self.check(floor);
        self.sleep(floor);
    }

    fn take_events(&mut self, floor: &mut Floor<'_>) {
        let ids: Vec<ConnId> = self.sockets.keys().copied().collect();
        for id in ids {
            let Some(socket) = self.sockets.get_mut(&id) else { continue };
            let edges = std::mem::take(&mut floor.links[socket.link].edges);
            if (edges.readable || edges.read_closed) && !floor.saboteur.strikes(Mutation::LoseReadiness, 5) {
                socket.read_closed |= edges.read_closed;
                socket.readable = true;
                if !socket.queued {
                    socket.queued = true;
                    self.ready.push_back(id);
                }
            }
            if edges.writable {
                self.write(id, floor);
            }
        }
        // Lingering sockets share a token: when it fires, each is tried.
        if self.lingering.iter().any(|(_, link)| floor.links[*link].edges.any()) {
            self.lingering.retain(|(_, link)| {
                let link = &mut floor.links[*link];
                link.edges = Default::default();
                loop {
                    match link.server_reads(1024) {
                        Ok(Some(bytes)) if !bytes.is_empty() => {}
                        Ok(None) => return true,
                        Ok(Some(_)) | Err(_) => {
                            link.holder = Holder::Gone;
                            return false;
                        }
                    }
                }
            });
        }
    }

    fn accept(&mut self, floor: &mut Floor<'_>) {
        if floor.desk.is_closed {
            return;
        }
        while let Some(link) = floor.desk.backlog.pop_front() {
            let turn = floor.desk.next_reactor;
            floor.desk.next_reactor = (turn + 1) % floor.plan.reactors;
            if turn == self.index || floor.queues.send_reactor(turn, ToReactor::Adopt(link)).is_err() {
                self.adopt(link, floor);
            }
        }
    }

    fn adopt(&mut self, link: usize, floor: &mut Floor<'_>) {
        let address = floor.links[link].address;
        let Some(id) = self.endpoint.on_accept(address, floor.now) else { panic!("a socket found no place") };
        floor.say(format!("reactor {} accepts link {link} as {id}", self.index));
        floor.links[link].holder = Holder::Conn(self.index, id);
        floor.links[link].accepted = Some(id);
        floor.links[link].on_registered();
        floor.shadow.on_accepted(link, id);
        self.sockets.insert(id, Socket { link, readable: false, read_closed: false, queued: false, at_end: false });
    }

    fn drain_inbox(&mut self, floor: &mut Floor<'_>) {
        while let Some(message) = floor.queues.orders[self.index].pop() {
            if matches!(message, ToReactor::Drain) {
                self.cast(floor);
            }
            match message {
                ToReactor::Orders(orders) => self.take_orders(orders, floor),
                ToReactor::Adopt(link) => self.adopt(link, floor),
                ToReactor::Access(access) => self.endpoint.on_access(access),
                ToReactor::Drain => {
                    if self.index == 0 {
                        floor.desk.is_closed = true;
                    }
                    self.endpoint.on_drain(floor.now);
                }
            }
        }
        self.cast(floor);
    }

    /// Writes broadcasts straight to their targets.
    fn cast(&mut self, floor: &mut Floor<'_>) {
        let Some(mut cast) = self.endpoint.poll_cast() else { return };
        while let Some(step) = self.endpoint.next_of(&mut cast, floor.now) {
            let id = match step {
                CastStep::Flush(id) => {
                    self.write(id, floor);
                    continue;
                }
                CastStep::Send(id) => id,
            };
            let Some(socket) = self.sockets.get(&id) else { continue };
            match write_socket(socket.link, id, self.index, cast.bytes(), floor) {
                Ok((count, blocked)) => self.endpoint.on_cast(id, &cast, count, blocked, floor.now),
                Err(fault) => self.endpoint.on_socket_error(id, fault, floor.now),
            }
        }
    }

    /// One order after the other, as the endpoint itself does, so that the shadow sees each.
    fn take_orders(&mut self, orders: Vec<Order>, floor: &mut Floor<'_>) {
        for order in orders {
            match &order {
                Order::Send { conn, settles, frame, .. } => {
                    self.settle(*conn, *settles);
                    floor.shadow.on_frame(frame.len());
                }
                Order::Settle { conn, count } => self.settle(*conn, *count),
                Order::Broadcast { event, targets, .. } => {
                    floor.shadow.on_frame(event.frame.len());
                    for target in targets.iter() {
                        let open = self.endpoint.connection(target.conn);
                        if open.is_some_and(|conn| conn.state().is_open() && conn.reason().is_none()) {
                            floor.shadow.on_pushed(target.conn);
                        }
                    }
                }
                Order::Ready { .. } | Order::Close { .. } | Order::CredentialRefused { .. } | Order::Answer { .. } => {}
                Order::Dialect { .. } | Order::Farewell { .. } => unreachable!("signaling is off"),
            }
            let conns: Vec<ConnId> = self.sockets.keys().copied().collect();
            let mut orders = floor.saboteur.order(order, &conns).into_iter();
            while self.endpoint.take_orders(&mut orders, floor.now) == Taken::Pressed {
                self.flush(floor);
            }
        }
    }

    fn settle(&mut self, conn: ConnId, count: u32) {
        if let Some(flight) = self.flights.get_mut(&conn) {
            *flight = flight.checked_sub(count).unwrap_or_else(|| panic!("{conn}: more settled than was sent on"));
        }
    }

    fn take_readable(&mut self) {
        while let Some(id) = self.endpoint.poll_readable() {
            if let Some(socket) = self.sockets.get_mut(&id)
                && socket.readable
                && !socket.queued
            {
                socket.queued = true;
                self.ready.push_back(id);
            }
        }
    }

    fn read_ready(&mut self, floor: &mut Floor<'_>) {
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            if self.read(id, floor) {
                self.ready.push_back(id);
            } else if let Some(socket) = self.sockets.get_mut(&id) {
                socket.queued = false;
            }
        }
    }

    fn read(&mut self, id: ConnId, floor: &mut Floor<'_>) -> bool {
        let mut budget = floor.plan.read_budget;
        loop {
            if !self.endpoint.may_read(id) {
                return false;
            }
            let Some(socket) = self.sockets.get_mut(&id) else { return false };
            match read_socket(socket, floor) {
                Ok(Read::Bytes(mut bytes, more)) => {
                    floor.say(format!("reactor {} reads {} bytes of {id}", self.index, bytes.len()));
                    self.endpoint.on_received(id, &mut bytes, floor.now);
                    if !more {
                        return false;
                    }
                    budget = budget.saturating_sub(bytes.len());
                    if budget == 0 {
                        return true;
                    }
                }
                Ok(Read::NotNow) => return false,
                Ok(Read::Eof) => {
                    socket.at_end = true;
                    floor.say(format!("reactor {} finds the end of {id}", self.index));
                    self.endpoint.on_eof(id, floor.now);
                    return false;
                }
                Err(fault) => {
                    floor.say(format!("reactor {} fails to read {id}", self.index));
                    self.endpoint.on_socket_error(id, fault, floor.now);
                    return false;
                }
            }
        }
    }

    fn lingering_on_time(&mut self, floor: &mut Floor<'_>) {
        while let Some((at, link)) = self.lingering.front().copied() {
            if at > floor.now.mono {
                break;
            }
            self.lingering.pop_front();
            floor.links[link].holder = Holder::Gone;
        }
    }

    fn flush(&mut self, floor: &mut Floor<'_>) {
        while let Some(id) = self.endpoint.poll_dirty() {
            self.write(id, floor);
        }
    }

    fn write(&mut self, id: ConnId, floor: &mut Floor<'_>) {
        loop {
            let Some(socket) = self.sockets.get(&id) else { return };
            let mut slices = [IoSlice::new(&[]); WRITE_SLICES];
            let filled = self.endpoint.gather(id, &mut slices);
            if filled == 0 {
                return;
            }
            let bytes: Vec<u8> = slices[..filled].iter().flat_map(|slice| slice.iter().copied()).collect();
            match write_socket(socket.link, id, self.index, &bytes, floor) {
                Ok((count, blocked)) => {
                    self.endpoint.on_sent(id, count, blocked, floor.now);
                    if blocked {
                        return;
                    }
                }
                Err(fault) => {
                    self.endpoint.on_socket_error(id, fault, floor.now);
                    return;
                }
            }
        }
    }

    fn finish(&mut self, floor: &mut Floor<'_>) {
        while let Some(finished) = self.endpoint.poll_finished(floor.now) {
            let reason = finished.reason;
            floor.say(format!("reactor {} ends {}: {}", self.index, finished.conn, reason.as_str()));
            self.flights.remove(&finished.conn);
            if floor.saboteur.strikes(Mutation::LeakConnection, 20) {
                continue;
            }
            let Some(socket) = self.sockets.remove(&finished.conn) else {
                panic!("{} ended, and has no socket: it ended before", finished.conn)
            };
            let link = &mut floor.links[socket.link];
            link.ends.push(reason);
            link.down.end();
            floor.shadow.on_finished(socket.link, reason);
            link.holder = if finished.lingers { Holder::Linger(self.index) } else { Holder::Gone };
            if finished.lingers {
                link.on_registered();
                self.lingering.push_back((floor.now.mono.after(LINGER), socket.link));
            }
        }
    }

    /// Borrows shards for small batches, in some of the runs.
    fn work(&mut self, workers: &mut [Worker], floor: &mut Floor<'_>) {
        if !floor.plan.lends {
            return;
        }
        for _ in 0..LENT_ROUNDS {
            let mut orders = Vec::new();
            for worker in workers.iter_mut() {
                let batch = &mut self.endpoint.batches()[worker.index];
                if batch.items.is_empty() || self.stalled[worker.index] || !worker.is_lent(floor) {
                    continue;
                }
                // The lock is held by its thread now and then.
                if batch.items.len() > LENT_ITEMS || floor.dice.chance(20) {
                    continue;
                }
                batch.items.retain(|item| floor.saboteur.lets_pass(item));
                let batch = std::mem::take(batch);
                self.take_off(&talk(&batch));
                orders.extend(worker.step_lent(&batch, self.index, floor));
            }
            if orders.is_empty() {
                return;
            }
            self.take_orders(orders, floor);
            self.cast(floor);
        }
    }

    /// Takes note of messages that are a worker's now.
    fn take_off(&mut self, conns: &[ConnId]) {
        for conn in conns {
            if self.sockets.contains_key(conn) {
                *self.flights.entry(*conn).or_default() += 1;
            }
        }
    }

    fn hand_on(&mut self, floor: &mut Floor<'_>) {
        for index in 0..floor.plan.workers {
            let batch = &mut self.endpoint.batches()[index];
            if batch.items.is_empty() {
                continue;
            }
            batch.items.retain(|item| floor.saboteur.lets_pass(item));
            let talk = talk(batch);
            match floor.queues.batch(index, std::mem::take(batch)) {
                Ok(()) => {
                    self.take_off(&talk);
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
        floor.desk.requests.extend(self.endpoint.requests().drain(..));
    }

    /// How long the poll may wait: not at all while something is left to do.
    fn sleep(&mut self, floor: &mut Floor<'_>) {
        if !floor.saboteur.strikes(Mutation::SleepEarly, 100) {
            self.take_readable();
        }
        let sleep = &mut floor.queues.reactors[self.index];
        sleep.is_asleep = self.ready.is_empty();
        if !sleep.is_asleep {
            return;
        }
        let now = floor.now.mono;
        let stalled = self.stalled.contains(&true).then(|| now.after(STALL_RETRY));
        let lingering = self.lingering.front().map(|(at, _)| *at);
        sleep.until = [self.endpoint.poll_timeout(), lingering, stalled].into_iter().flatten().min().map(|at| at.0);
        self.check_asleep(floor);
    }
}

/// Whose messages are in a batch.
fn talk(batch: &Batch) -> Vec<ConnId> {
    let conn_of = |item: &Item| match item {
        Item::Text { conn, .. } | Item::Binary { conn, .. } => Some(*conn),
        Item::Open(_) | Item::Dropped { .. } | Item::Closed { .. } => None,
    };
    batch.items.iter().filter_map(conn_of).collect()
}

/// How much the socket took, and whether that is less than it was offered.
fn write_socket(
    link: usize,
    id: ConnId,
    reactor: usize,
    bytes: &[u8],
    floor: &mut Floor<'_>,
) -> Result<(usize, bool), SocketFault> {
    // Now and then a socket takes less than it has room for.
    let most = if floor.dice.chance(10) { floor.dice.below(bytes.len()) } else { bytes.len() };
    let count = floor.links[link].server_writes(bytes, most)?;
    floor.trace.mix(&bytes[..count]);
    floor.say(format!("reactor {reactor} writes {count} of {} bytes to {id}", bytes.len()));
    Ok((count, count < bytes.len()))
}

fn read_socket(socket: &mut Socket, floor: &mut Floor<'_>) -> Result<Read, SocketFault> {
    match floor.links[socket.link].server_reads(floor.plan.read_buffer)? {
        None => {
            socket.readable = false;
            Ok(Read::NotNow)
        }
        Some(bytes) if bytes.is_empty() => Ok(Read::Eof),
        Some(bytes) => {
            let more = bytes.len() == floor.plan.read_buffer || socket.read_closed;
            socket.readable = more;
            Ok(Read::Bytes(bytes, more))
        }
    }
}
