//! The store, wired: opened before the workers, run on a thread of its own, closed after them.

use std::sync::Arc;

use super::build::StartError;
use crate::base::{Counters, Metric, Now, WorkerId};
use crate::config::Config;
use crate::dialect::hydrogen::{Peer, ShardImage};
use crate::engine::store::{Backend, StoreEvent};
use crate::sys::mailbox::{ToWorker, WorkerSender};
use crate::sys::store::gauges::StoreGauges;
use crate::sys::store::sqlite::{SqliteBackend, SqliteSettings};
use crate::sys::store::thread::{Committed, OnCommit, Sink};

/// A store that was opened, and what the workers begin with.
pub(super) struct Opened {
    pub backend: Box<dyn Backend>,
    pub image: Arc<ShardImage>,
}

/// Opens the store. Damage is told and set aside; it keeps no server from starting.
pub(super) fn open(config: &Config, now: Now, gauges: &StoreGauges, counters: &Counters) -> Result<Opened, StartError> {
    let settings = SqliteSettings {
        path: config.store_dir(),
        max_bytes: config.store.max_bytes,
        min_free_bytes: config.store.min_free_bytes,
        cache_bytes: config.store.cache_bytes as u64,
        dedup_window: config.delivery.deduplication_window,
        dedup_max: config.delivery.max_deduplication_ids,
    };
    let opened = SqliteBackend::open(settings, now.wall).map_err(|error| StartError::Store(error.to_string()))?;
    let mut backend: Box<dyn Backend> = Box::new(opened.backend);
    let image = ShardImage::load(opened.image, &mut *backend).map_err(|error| StartError::Store(error.to_string()))?;
    for damage in opened.damage.into_iter().chain(backend.take_damage()) {
        counters.inc(Metric::STORE_DAMAGED.at(damage.kind()));
        gauges.add_damaged(1);
        log::error!("the store is damaged, and what is damaged was set aside: {damage}");
    }
    Ok(Opened { backend, image: Arc::new(image) })
}

/// Where the store's events go.
pub(super) fn sink(workers: Arc<Vec<WorkerSender<Peer>>>) -> Sink {
    Box::new(move |WorkerId(worker), events: Vec<StoreEvent>| {
        if let Some(queue) = workers.get(usize::from(worker)) {
            queue.send(ToWorker::Store(events));
        }
    })
}

/// Counts what was committed.
pub(super) fn on_commit(counters: Arc<Counters>) -> OnCommit {
    Box::new(move |committed: Committed| {
        if committed.is_synced {
            counters.record_ns(Metric::SYNC_NS, committed.ns);
        }
    })
}
