//! What a step of a connection may look at and where its effects go.

use super::settings::Settings;
use crate::base::{ConnId, Counters, Now};
use crate::engine::auth::{Access, Throttle};
use crate::engine::outbound::OutboundLimits;
use crate::engine::work::{Batch, Item, Request, worker_of};
use crate::engine::ws::deflate::Zlib;

/// What is counted over all connections of one reactor, and decides about each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Gauge {
    /// Open WebSocket connections.
    pub websockets: usize,
    /// Open WebSocket connections of the other reactors.
    pub elsewhere: usize,
    /// Bytes that wait in all outbound queues.
    pub outbound_bytes: usize,
    /// The server is stopping.
    pub draining: bool,
}

/// The surroundings of one step.
#[derive(Debug)]
pub struct Cx<'a> {
    /// The time of this turn.
    pub now: Now,
    /// The configuration.
    pub settings: &'a Settings,
    /// Keys, permissions and blocks.
    pub access: &'a Access,
    /// This thread's counters.
    pub counters: &'a Counters,
    /// This turn's batch for each worker.
    pub batches: &'a mut [Batch],
    /// Plain requests to be answered.
    pub requests: &'a mut Vec<Request>,
    /// Addresses that failed to authenticate.
    pub throttle: &'a mut Throttle,
    /// Sums over the connections.
    pub gauge: &'a mut Gauge,
    /// What compresses and inflates messages.
    pub zlib: &'a mut Zlib,
}

/// When the budget of all queues together is used up, each connection's own limit shrinks to this.
const TIGHT_BYTES: usize = 64 * 1024;
/// The same for responses.
const CONTROL_TIGHT_BYTES: usize = 1024 * 1024;

impl Cx<'_> {
    /// The limits of one connection's queue: tighter while all queues together hold too much.
    pub fn outbound_limits(&self) -> OutboundLimits {
        let mut limits = self.settings.outbound;
        if self.gauge.outbound_bytes > self.settings.outbound_total_max {
            limits.bytes_max = limits.bytes_max.min(TIGHT_BYTES);
        }
        limits
    }

    /// Bytes of responses that may wait for one connection. Only the bound of all queues together
    /// holds here: what a client has asked for is its to get.
    pub fn control_bytes_max(&self) -> usize {
        if self.gauge.outbound_bytes > self.settings.outbound_total_max {
            CONTROL_TIGHT_BYTES.min(self.settings.outbound_total_max)
        } else {
            self.settings.outbound_total_max
        }
    }

    /// The batch of the worker that a connection belongs to.
    pub fn batch(&mut self, conn: ConnId) -> &mut Batch {
        let worker = worker_of(conn, self.batches.len());
        let batch = &mut self.batches[usize::from(worker.0)];
        if batch.items.is_empty() {
            batch.read_at = self.now.mono;
        }
        batch
    }

    /// Hands one item to the connection's worker.
    pub fn submit(&mut self, conn: ConnId, item: Item) {
        self.batch(conn).items.push(item);
    }
}
