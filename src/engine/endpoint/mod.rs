//! All connections of one reactor: the table, the wake-ups, and what is to be done next.
//!
//! Owns every [`Connection`], hands each input to the right one, and remembers which of them want
//! a write, a read or an end. It refuses to touch a socket: the reactor thread, or the simulator,
//! asks what is wanted and tells what happened. Drained after every turn.

mod around;
mod broadcast;
mod cast;
mod ending;
mod orders;
mod table;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use super::auth::{Access, Throttle};
use super::conn::{Connection, Cx, Gauge, Settings, SocketFault};
use super::outbound::Spare;
use super::work::{Batch, Item, Order, Request, worker_of};
use super::ws::deflate::Zlib;
use crate::base::{ConnId, Counters, DialectId, Metric, Mono, Now, ReactorId, Reason, WorkerId};
use around::Surroundings;
use broadcast::Broadcast;
use table::{Slot, Table};

pub use cast::{Cast, CastStep};
pub use orders::Taken;

/// Sockets that may be open beyond the connection limit, so that a full server can still say so,
/// and be asked how it is.
const SPARE_SOCKETS: usize = 256;

/// The connections of one reactor.
#[derive(Debug)]
pub struct Endpoint {
    around: Surroundings,
    table: Table,
    /// Wake-ups; one that is no longer its connection's earliest is skipped.
    wakes: BinaryHeap<Reverse<(Mono, ConnId)>>,
    dirty: Vec<ConnId>,
    readable: Vec<ConnId>,
    finished: Vec<ConnId>,
    /// Workers whose queue is full: their connections are not read from.
    stalled: Vec<Stall>,
    /// Broadcasts on their way into the queues; the first waits until its next target was written to.
    broadcasts: VecDeque<Broadcast>,
    /// Broadcasts to the same targets that may be written without a queue.
    cast: Option<Cast>,
    /// An order that waits until what was held back has gone into the queues.
    held_order: Option<Order>,
    /// This turn's broadcasts have different targets: queues gather what is for one connection.
    is_mixed: bool,
    /// The counters of the other reactors: the connection limit is for all together.
    neighbours: Vec<Arc<Counters>>,
    /// Workers that have told their signaling connections that the server stops.
    farewells: Vec<bool>,
}

#[derive(Debug, Default)]
struct Stall {
    is_stalled: bool,
    held: Vec<ConnId>,
}

/// A connection that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Which.
    pub conn: ConnId,
    /// Why.
    pub reason: Reason,
    /// The peer may still be sending: closing at once would reset the answer under way.
    pub lingers: bool,
}

impl Endpoint {
    /// An endpoint without connections.
    pub fn new(
        reactor: ReactorId,
        settings: Arc<Settings>,
        access: Arc<Access>,
        counters: Arc<Counters>,
        throttle: Throttle,
    ) -> Endpoint {
        let workers = settings.workers.max(1);
        let batches = (0..workers).map(|_| Batch::default()).collect();
        let (gauge, requests) = (Gauge::default(), Vec::new());
        let zlib = Zlib::new(settings.deflate.as_ref());
        Endpoint {
            around: Surroundings {
                settings,
                access,
                counters,
                throttle,
                gauge,
                batches,
                requests,
                spare: Spare::default(),
                zlib,
            },
            table: Table::new(reactor),
            wakes: BinaryHeap::new(),
            dirty: Vec::new(),
            readable: Vec::new(),
            finished: Vec::new(),
            stalled: (0..workers).map(|_| Stall::default()).collect(),
            broadcasts: VecDeque::new(),
            cast: None,
            held_order: None,
            is_mixed: false,
            neighbours: Vec::new(),
            farewells: vec![false; workers],
        }
    }

    /// Tells of the other reactors, whose connections count towards the limit too.
    pub fn set_neighbours(&mut self, counters: Vec<Arc<Counters>>) {
        self.neighbours = counters;
    }

    /// A socket was accepted. `None` if there is no place for it: it is to be closed at once.
    pub fn on_accept(&mut self, address: SocketAddr, now: Now) -> Option<ConnId> {
        let most = self.around.settings.connections_max + SPARE_SOCKETS;
        if self.table.len() >= most + SPARE_SOCKETS {
            self.around.counters.inc(Metric::ACCEPT_DROPPED);
            return None;
        }
        self.count_neighbours();
        let id = self.table.reserve();
        let is_over = self.table.len() >= most;
        let mut cx = self.around.cx(now);
        let conn = Connection::new(id, address, &mut cx);
        self.table.fill(id, conn);
        self.with(id, now, |conn, cx| {
            if is_over {
                conn.refuse_unheard(cx);
            }
        });
        Some(id)
    }

    /// Bytes came. They may be changed.
    pub fn on_received(&mut self, id: ConnId, input: &mut [u8], now: Now) {
        self.with(id, now, |conn, cx| conn.on_received(input, cx));
    }

    /// The peer ended its stream.
    pub fn on_eof(&mut self, id: ConnId, now: Now) {
        self.with(id, now, |conn, cx| conn.on_eof(cx));
    }

    /// The socket failed.
    pub fn on_socket_error(&mut self, id: ConnId, fault: SocketFault, now: Now) {
        self.with(id, now, |conn, cx| conn.on_socket_error(fault, cx));
    }

    /// How many connections the other reactors have: looked at when sockets come, not for each message.
    fn count_neighbours(&mut self) {
        let open = |counters: &Arc<Counters>| -> u64 {
            let of =
                |metric: Metric| (0..DialectId::ALL.len()).map(|index| counters.value(metric.at(index))).sum::<u64>();
            of(Metric::DIALECT_OPENED).saturating_sub(of(Metric::DIALECT_CLOSED))
        };
        self.around.gauge.elsewhere = self.neighbours.iter().map(open).sum::<u64>() as usize;
    }

    /// Keys, permissions or blocks changed.
    pub fn on_access(&mut self, access: Arc<Access>) {
        self.around.access = access;
    }

    /// A worker's queue filled up or has room again. Its connections are read from no more, or again.
    pub fn on_stall(&mut self, worker: WorkerId, is_stalled: bool) {
        let Some(stall) = self.stalled.get_mut(usize::from(worker.0)) else { return };
        if is_stalled && !stall.is_stalled {
            self.around.counters.inc(Metric::QUEUE_FULL);
        }
        stall.is_stalled = is_stalled;
        if !is_stalled {
            for id in std::mem::take(&mut stall.held) {
                if let Some(slot) = self.table.slot(id) {
                    slot.stalled = false;
                    self.readable.push(id);
                }
            }
        }
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Now) {
        while let Some(Reverse((at, id))) = self.wakes.peek().copied() {
            if at > now.mono {
                break;
            }
            self.wakes.pop();
            let Some(slot) = self.table.slot(id) else { continue };
            if slot.wake_at != at {
                continue;
            }
            slot.wake_at = Slot::NO_WAKE;
            let is_held_back = slot.held || slot.stalled;
            self.with(id, now, |conn, cx| {
                if is_held_back {
                    conn.on_held_back(cx);
                }
                conn.on_time(cx);
            });
        }
    }

    /// When [`Endpoint::on_time`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.wakes.peek().map(|Reverse((at, _))| *at)
    }

    /// A connection that has something to write.
    pub fn poll_dirty(&mut self) -> Option<ConnId> {
        while let Some(id) = self.dirty.pop() {
            if let Some(slot) = self.table.slot(id) {
                slot.dirty = false;
                return Some(id);
            }
        }
        None
    }

    /// A connection that may be read from again.
    pub fn poll_readable(&mut self) -> Option<ConnId> {
        self.readable.pop()
    }

    /// A connection that is over. Its slot is free after this.
    pub fn poll_finished(&mut self, now: Now) -> Option<Finished> {
        let id = self.finished.pop()?;
        let told = self.table.slot(id)?.told;
        let conn = self.table.remove(id)?;
        let reason = conn.reason().unwrap_or(Reason::Internal);
        if let Some(dialect) = conn.dialect() {
            self.around.gauge.websockets -= 1;
            self.around.counters.inc(Metric::DIALECT_CLOSED.at(dialect as usize));
            if !told {
                self.around.cx(now).submit(id, Item::Closed { conn: id, reason });
            }
        }
        let waiting = conn.outbound.bytes();
        self.around.gauge.outbound_bytes -= waiting;
        self.around.counters.add(Metric::OUTBOUND_DONE, waiting as u64);
        Some(Finished { conn: id, reason, lingers: conn.lingers() })
    }

    /// Whether the connection's socket may be read from now. If not, it is named by
    /// [`Endpoint::poll_readable`] once it may.
    pub fn may_read(&mut self, id: ConnId) -> bool {
        let workers = self.around.batches.len();
        let Some(slot) = self.table.slot(id) else { return false };
        if slot.conn.is_websocket() {
            let stall = &mut self.stalled[usize::from(worker_of(id, workers).0)];
            if stall.is_stalled {
                // Asked many times, named once.
                if !std::mem::replace(&mut slot.stalled, true) {
                    stall.held.push(id);
                }
                return false;
            }
        }
        let may = slot.conn.may_read(&self.around.settings);
        slot.held = !may;
        may
    }

    /// Fills `slices` with what the connection writes next.
    pub fn gather<'a>(&'a self, id: ConnId, slices: &mut [IoSlice<'a>]) -> usize {
        self.table.get(id).map_or(0, |conn| conn.outbound.gather(slices))
    }

    /// So much of what was gathered went out; `blocked` if the socket took less than offered.
    pub fn on_sent(&mut self, id: ConnId, count: usize, blocked: bool, now: Now) {
        self.with(id, now, |conn, cx| conn.on_sent(count, blocked, cx));
    }

    /// Whose connections these are.
    pub fn reactor(&self) -> ReactorId {
        self.table.reactor()
    }

    /// This turn's batch for each worker, to be taken.
    pub fn batches(&mut self) -> &mut [Batch] {
        &mut self.around.batches
    }

    /// This turn's plain requests, to be taken.
    pub fn requests(&mut self) -> &mut Vec<Request> {
        &mut self.around.requests
    }

    /// A connection, for the simulator's checks and for the tests.
    pub fn connection(&self, id: ConnId) -> Option<&Connection> {
        self.table.get(id)
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.len() == 0
    }

    /// Bytes that wait in all outbound queues.
    pub fn outbound_bytes(&self) -> usize {
        self.around.gauge.outbound_bytes
    }

    /// One step of one connection, and the book-keeping behind it.
    fn with(&mut self, id: ConnId, now: Now, step: impl FnOnce(&mut Connection, &mut Cx<'_>)) {
        self.step(id, now, step);
        self.table.stepped(id);
    }

    /// A step, and what comes of it: bytes that wait, the write or the read that is wanted, the next
    /// deadline, the end.
    fn step(&mut self, id: ConnId, now: Now, step: impl FnOnce(&mut Connection, &mut Cx<'_>)) {
        let Some(slot) = self.table.slot(id) else { return };
        slot.conn.outbound.furnish(&mut self.around.spare);
        let before = slot.conn.outbound.bytes();
        let mut cx = self.around.cx(now);
        step(&mut slot.conn, &mut cx);
        let limits = cx.outbound_limits();
        if let Some(dropped) = slot.conn.outbound.take_dropped(&limits)
            && slot.conn.state().is_open()
        {
            cx.submit(id, Item::Dropped { conn: id, dropped: Box::new(dropped) });
        }
        // A peer that does not read makes a long close of it. Its worker knows at once, so that
        // events are no longer counted as on their way to it.
        let reason = slot.conn.reason().filter(|reason| *reason == Reason::SlowConsumer);
        if let Some(reason) = reason
            && !std::mem::replace(&mut slot.told, true)
        {
            cx.submit(id, Item::Closed { conn: id, reason });
        }
        slot.conn.outbound.release(&mut self.around.spare);
        let after = slot.conn.outbound.bytes();
        self.around.gauge.outbound_bytes = self.around.gauge.outbound_bytes + after - before;
        count_waiting(&self.around.counters, before, after);
        if slot.conn.state().is_terminal() {
            if !slot.finished {
                slot.finished = true;
                self.finished.push(id);
            }
            return;
        }
        if slot.wants_write(after) {
            slot.dirty = true;
            self.dirty.push(id);
        }
        if slot.held && slot.conn.may_read(&self.around.settings) {
            slot.held = false;
            self.readable.push(id);
        }
        if let Some(at) = slot.conn.next_deadline()
            && at < slot.wake_at
        {
            slot.wake_at = at;
            self.wakes.push(Reverse((at, id)));
        }
    }
}

fn count_waiting(counters: &Counters, before: usize, after: usize) {
    if after > before {
        counters.add(Metric::OUTBOUND_QUEUED, (after - before) as u64);
    } else if before > after {
        counters.add(Metric::OUTBOUND_DONE, (before - after) as u64);
    }
}
