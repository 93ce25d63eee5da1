//! The status: one set of figures, and four views of it (the command, the event, `/api/status`,
//! `/metrics`), beside the form that Hydrogen's own clients know.

mod json;
mod older;
pub(super) mod rooms;
mod text;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use std::sync::Arc;

use parking_lot::Mutex;

use super::delivery::Board;
use super::signaling::RoomSums;
use crate::base::counters::Registry;
use crate::base::{Figures, Now};
use crate::dialect::hydrogen::DeliveryFigures;
use crate::engine::auth::Access;
use crate::engine::store::StoreFault;
use crate::sys::mailbox::QueueAges;
use crate::sys::process::{ProcessMeter, SystemMeter};
use crate::sys::store::gauges::{StoreFigures, StoreGauges};
use rooms::RoomStatus;

/// What the figures are read from. Shared by the service threads.
pub struct StatusSource {
    registry: Registry,
    process: Mutex<ProcessMeter>,
    system: Mutex<SystemMeter>,
    started: Now,
    draining: AtomicBool,
    access: Mutex<Arc<Access>>,
    lost: Arc<AtomicU64>,
    queues: Vec<Arc<QueueAges>>,
    board: Arc<Board>,
    store: Arc<StoreGauges>,
    /// Where signaling is served.
    rooms: Option<RoomStatus>,
    about: About,
}

/// What does not change while the server runs.
#[derive(Clone, Debug)]
pub struct About {
    /// The server's name.
    pub server_name: String,
    /// The server's version.
    pub server_version: &'static str,
    /// Batches that the queues into all workers hold.
    pub queue_limit: usize,
    /// WebSocket connections that may be open.
    pub connections_max: usize,
    /// Worker threads.
    pub workers: usize,
    /// Bytes that all outbound queues may hold.
    pub outbound_max: usize,
}

impl StatusSource {
    /// Figures of these threads, with `lost` answers and events that found no room, of a server that started now.
    #[allow(clippy::too_many_arguments, reason = "it only gives names to what start() has at hand")]
    pub(super) fn new(
        registry: Registry,
        queues: Vec<Arc<QueueAges>>,
        lost: Arc<AtomicU64>,
        access: Arc<Access>,
        (board, store): (Arc<Board>, Arc<StoreGauges>),
        rooms: Option<RoomStatus>,
        about: About,
        started: Now,
    ) -> StatusSource {
        StatusSource {
            registry,
            process: Mutex::new(ProcessMeter::new()),
            system: Mutex::new(SystemMeter::new()),
            started,
            draining: AtomicBool::new(false),
            access: Mutex::new(access),
            lost,
            queues,
            board,
            store,
            rooms,
            about,
        }
    }

    /// The server is stopping.
    pub fn on_drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Keys or blocks changed.
    pub fn on_access(&self, access: Arc<Access>) {
        *self.access.lock() = access;
    }

    /// Whether no socket is open.
    pub fn is_empty(&self) -> bool {
        json::open_sockets(&self.registry.figures()) == 0
    }

    /// Why no new work is taken, if it is not.
    pub fn not_ready(&self) -> Option<&'static str> {
        if self.draining.load(Ordering::Relaxed) {
            return Some("draining");
        }
        self.store.figures().fault.map(|fault| match fault {
            StoreFault::Full => "store_full",
            StoreFault::ReadOnly => "store_read_only",
            StoreFault::Io | StoreFault::Damaged | StoreFault::Stale | StoreFault::Refused => "store_unavailable",
        })
    }

    /// The status object.
    pub fn status(&self, now: Now) -> serde_json::Value {
        json::status(&self.view(now))
    }

    /// The status object in the form of Hydrogen's own clients.
    pub fn older(&self, now: Now) -> serde_json::Value {
        let system = self.system.lock().read();
        older::status(&self.view(now), &system)
    }

    /// The metrics in Prometheus's text format.
    pub fn metrics(&self, now: Now) -> String {
        text::metrics(&self.view(now))
    }

    /// The rooms, where signaling is served.
    pub(super) fn rooms(&self) -> Option<&RoomStatus> {
        self.rooms.as_ref()
    }

    /// What GoVPN's server answers at `/stats`, where signaling is served.
    pub(super) fn room_stats(&self, now: Now) -> Option<serde_json::Value> {
        self.rooms.as_ref().map(|rooms| rooms::stats(&self.view(now), rooms))
    }

    fn view(&self, now: Now) -> View<'_> {
        View {
            figures: self.registry.figures(),
            process: self.process.lock().read(),
            about: &self.about,
            started: self.started,
            now,
            draining: self.draining.load(Ordering::Relaxed),
            blocks: self.access.lock().blocks.iter().filter(|block| !block.is_over(now.wall)).count(),
            lost: self.lost.load(Ordering::Relaxed),
            delivery: self.board.read(),
            store: self.store.figures(),
            serves_rooms: self.rooms.is_some(),
            rooms: self.rooms.as_ref().map(|rooms| rooms.board().sums()).unwrap_or_default(),
            queue_depth: self.queues.iter().map(|queue| queue.depth()).sum(),
            queue_oldest: self.queues.iter().map(|queue| queue.oldest(now.mono)).max().unwrap_or_default(),
        }
    }
}

/// Everything at one moment.
struct View<'a> {
    figures: Figures,
    process: crate::sys::process::ProcessFigures,
    about: &'a About,
    started: Now,
    now: Now,
    draining: bool,
    blocks: usize,
    lost: u64,
    delivery: Vec<DeliveryFigures>,
    store: StoreFigures,
    serves_rooms: bool,
    rooms: RoomSums,
    queue_depth: u64,
    queue_oldest: std::time::Duration,
}

impl View<'_> {
    /// A sum over the workers.
    fn delivery(&self, of: impl Fn(&DeliveryFigures) -> u64) -> u64 {
        self.delivery.iter().map(of).sum()
    }

    /// How long the oldest event has been in flight.
    fn oldest_unacked_ms(&self) -> u64 {
        self.delivery.iter().map(|figures| figures.oldest_ms).max().unwrap_or(0)
    }

    fn uptime_s(&self) -> u64 {
        self.now.mono.since(self.started.mono).as_secs()
    }
}
