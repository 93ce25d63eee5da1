//! A simulated connection: two byte pipes, each with bytes under way and bytes that arrived, and
//! the readiness that an edge-triggered poll would report for the server's end.

use std::collections::VecDeque;
use std::net::SocketAddr;

use hydrogen::base::{ConnId, Reason};
use hydrogen::engine::conn::SocketFault;

/// One direction.
#[derive(Default)]
pub struct Pipe {
    under_way: VecDeque<u8>,
    arrived: VecDeque<u8>,
    ended: bool,
    end_arrived: bool,
}

impl Pipe {
    pub fn waits(&self) -> usize {
        self.under_way.len() + self.arrived.len()
    }

    pub fn arrived(&self) -> usize {
        self.arrived.len()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.under_way.extend(bytes);
    }

    pub fn end(&mut self) {
        self.ended = true;
    }

    pub fn is_ended(&self) -> bool {
        self.ended
    }

    pub fn has_end(&self) -> bool {
        self.end_arrived && self.arrived.is_empty()
    }

    pub fn is_deliverable(&self) -> bool {
        !self.under_way.is_empty() || (self.ended && !self.end_arrived)
    }

    /// Moves up to `count` bytes to the other end; the end of the stream comes behind the last.
    pub fn deliver(&mut self, count: usize) {
        let count = count.min(self.under_way.len());
        self.arrived.extend(self.under_way.drain(..count));
        self.end_arrived |= self.ended && self.under_way.is_empty();
    }

    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let count = count.min(self.arrived.len());
        self.arrived.drain(..count).collect()
    }
}

/// Who holds the server's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody yet: it waits to be accepted, or in a reactor's queue.
    Nobody,
    /// A connection.
    Conn(usize, ConnId),
    /// A reactor that has finished with it and lets it linger.
    Linger(usize),
    /// It is closed.
    Gone,
}

/// What the poll reports next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Edges {
    pub readable: bool,
    pub writable: bool,
    pub read_closed: bool,
}

impl Edges {
    pub fn any(self) -> bool {
        self.readable || self.writable || self.read_closed
    }
}

pub struct Link {
    pub address: SocketAddr,
    /// From the client to the server.
    pub up: Pipe,
    /// From the server to the client.
    pub down: Pipe,
    pub capacity: usize,
    pub is_reset: bool,
    /// The client closed its socket: what is written to it is answered by a reset.
    pub client_is_gone: bool,
    pub holder: Holder,
    pub edges: Edges,
    /// The last write did not take all.
    pub is_full: bool,
    pub accepted: Option<ConnId>,
    pub ends: Vec<Reason>,
}

impl Link {
    pub fn new(address: SocketAddr, capacity: usize) -> Link {
        Link {
            address,
            up: Pipe::default(),
            down: Pipe::default(),
            capacity,
            is_reset: false,
            client_is_gone: false,
            holder: Holder::Nobody,
            edges: Edges::default(),
            is_full: false,
            accepted: None,
            ends: Vec::new(),
        }
    }

    /// What a poll reports at once for a socket that is registered.
    pub fn on_registered(&mut self) {
        self.edges = Edges {
            readable: self.up.arrived() > 0 || self.up.has_end() || self.is_reset,
            writable: true,
            read_closed: self.up.end_arrived || self.is_reset,
        };
    }

    /// The server reads. `None` is "would block"; nothing at all is the end.
    pub fn server_reads(&mut self, count: usize) -> Result<Option<Vec<u8>>, SocketFault> {
        if self.is_reset {
            return Err(SocketFault::Reset);
        }
        if self.up.arrived() > 0 {
            return Ok(Some(self.up.take(count)));
        }
        Ok(self.up.has_end().then(Vec::new))
    }

    /// The server writes: so many bytes are taken.
    pub fn server_writes(&mut self, bytes: &[u8], most: usize) -> Result<usize, SocketFault> {
        if self.is_reset {
            return Err(SocketFault::Reset);
        }
        if self.client_is_gone {
            // The answer to this write is a reset, which comes later.
            self.is_reset = true;
            self.edges.readable = true;
            self.edges.read_closed = true;
            return Ok(bytes.len());
        }
        let room = self.capacity.saturating_sub(self.down.waits());
        let count = bytes.len().min(room).min(most);
        self.down.write(&bytes[..count]);
        self.is_full = count < bytes.len();
        Ok(count)
    }

    pub fn reset(&mut self) {
        self.is_reset = true;
        self.client_is_gone = true;
        self.edges.readable = true;
        self.edges.read_closed = true;
    }

    /// Bytes from the client arrive.
    pub fn deliver_up(&mut self, count: usize) {
        self.up.deliver(count);
        self.edges.readable = true;
        self.edges.read_closed |= self.up.end_arrived;
    }

    /// The client took bytes, so that there may be room again.
    pub fn on_room(&mut self) {
        if self.is_full && self.down.waits() < self.capacity {
            self.is_full = false;
            self.edges.writable = true;
        }
    }
}
