//! What all connections of an endpoint share, and each step of one may look at or add to.

use std::sync::Arc;

use crate::base::{Counters, Now};
use crate::engine::auth::{Access, Throttle};
use crate::engine::conn::{Cx, Gauge, Settings};
use crate::engine::outbound::Spare;
use crate::engine::work::{Batch, Request};
use crate::engine::ws::deflate::Zlib;

/// The surroundings of every step.
#[derive(Debug)]
pub(super) struct Surroundings {
    pub settings: Arc<Settings>,
    pub access: Arc<Access>,
    pub counters: Arc<Counters>,
    pub throttle: Throttle,
    pub gauge: Gauge,
    pub batches: Vec<Batch>,
    pub requests: Vec<Request>,
    pub spare: Spare,
    pub zlib: Zlib,
}

impl Surroundings {
    /// As one connection's step sees them.
    pub(super) fn cx(&mut self, now: Now) -> Cx<'_> {
        Cx {
            now,
            settings: &self.settings,
            access: &self.access,
            counters: &self.counters,
            batches: &mut self.batches,
            requests: &mut self.requests,
            throttle: &mut self.throttle,
            gauge: &mut self.gauge,
            zlib: &mut self.zlib,
        }
    }
}
