//! The store, wired: opened before the workers, run on a thread of its own, closed after them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::shard::Peer;
use super::signaling::load_rooms;
use super::start_error::StartError;
use crate::base::limits::BLOCKS;
use crate::base::{Counters, Metric, Now, Wall, WorkerId};
use crate::config::Config;
use crate::dialect::hydrogen::ShardImage;
use crate::dialect::signaling::RoomRecord;
use crate::engine::auth::{Block, BlockList, Target};
use crate::engine::store::{Backend, Level, Seq, StoreError, StoreEvent, Table, Write};
use crate::sys::mailbox::{ToWorker, WorkerSender};
use crate::sys::store::gauges::StoreGauges;
use crate::sys::store::sqlite::{SqliteBackend, SqliteSettings};
use crate::sys::store::thread::{Committed, OnCommit, Sink};

/// A store that was opened, and what the workers begin with.
pub(super) struct Opened {
    pub backend: Box<dyn Backend>,
    pub image: Arc<ShardImage>,
    pub blocks: BlockList,
    /// Where signaling is served, its rooms.
    pub rooms: Vec<(Box<str>, RoomRecord)>,
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
    let blocks =
        load_blocks(&mut *backend, image.store.last, now).map_err(|error| StartError::Store(error.to_string()))?;
    let rooms = if config.signaling.enabled { load_rooms(&mut *backend) } else { Ok(Vec::new()) };
    let rooms = rooms.map_err(|error| StartError::Store(error.to_string()))?;
    for damage in opened.damage.into_iter().chain(backend.take_damage()) {
        counters.inc(Metric::STORE_DAMAGED.at(damage.kind()));
        gauges.add_damaged(1);
        log::error!("the store is damaged, and what is damaged was set aside: {damage}");
    }
    Ok(Opened { backend, image: Arc::new(image), blocks, rooms })
}

/// A block as it is written down, under the key of its target.
#[derive(Serialize, Deserialize)]
struct WrittenBlock {
    #[serde(default)]
    until: Option<i64>,
    #[serde(default)]
    reason: Box<str>,
}

fn block_key(target: &Target) -> String {
    match target {
        Target::Identity(name) => format!("i/{name}"),
        Target::Network(network) => format!("n/{network}"),
    }
}

/// The change that writes a block down.
pub(super) fn put_block(block: &Block) -> Write {
    let written = WrittenBlock { until: block.until.map(|until| until.0), reason: block.reason.clone() };
    Write::Put {
        table: Table::Blocks,
        key: block_key(&block.target).into(),
        // It holds nothing that JSON has no place for.
        value: serde_json::to_vec(&written).unwrap_or_default().into(),
        level: Level::Disk,
    }
}

/// The change that takes a block away.
pub(super) fn delete_block(target: &Target) -> Write {
    Write::Delete { table: Table::Blocks, key: block_key(target).into(), level: Level::Disk }
}

/// Reads the blocks; those that are over go from the store.
fn load_blocks(backend: &mut dyn Backend, last: Seq, now: Now) -> Result<BlockList, StoreError> {
    let mut blocks = BlockList::default();
    let mut over: Vec<Write> = Vec::new();
    let mut after: Option<Box<str>> = None;
    loop {
        let page = backend.scan(Table::Blocks, "", after.as_deref(), BLOCKS)?;
        for (key, value) in &page {
            let target = match key.split_once('/') {
                Some(("i", name)) => Target::identity(name).ok(),
                Some(("n", network)) => Target::network(network).ok(),
                Some(_) | None => None,
            };
            let read = target.zip(serde_json::from_slice::<WrittenBlock>(value).ok());
            let Some((target, WrittenBlock { until, reason })) = read else {
                log::error!("the store's block {key:?} cannot be read: it is left out");
                continue;
            };
            let block = Block { target, until: until.map(Wall), reason };
            if block.is_over(now.wall) {
                over.push(delete_block(&block.target));
                continue;
            }
            match blocks.with(block, now.wall) {
                Ok(list) => blocks = list,
                Err(why) => log::error!("the store's block {key:?} is left out: {why}"),
            }
        }
        match page.last() {
            Some((key, _)) if page.len() == BLOCKS => after = Some(key.clone()),
            Some(_) | None => break,
        }
    }
    if !over.is_empty()
        && let Err(error) = backend.commit(&over, last.next(), false)
    {
        log::warn!("blocks that are over stay in the store: {error}");
    }
    Ok(blocks)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::store::memory::{MemoryBackend, MemoryDisk};

    #[test]
    fn blocks_come_back_until_they_are_over() {
        let now = Now { wall: Wall(1_000), ..Now::default() };
        let opened = MemoryBackend::open(&MemoryDisk::new(), now.wall, std::time::Duration::ZERO, 0);
        let mut backend = opened.backend;
        let block = |target: Target, until: Option<i64>| Block { target, until: until.map(Wall), reason: "why".into() };
        let (ann, net) = (Target::identity("ann/1").unwrap(), Target::network("10.0.0.0/8").unwrap());
        let (bob, old) = (Target::identity("bob").unwrap(), Target::identity("old").unwrap());
        let group = [
            put_block(&block(ann.clone(), None)),
            put_block(&block(net.clone(), Some(2_000))),
            put_block(&block(bob.clone(), None)),
            put_block(&block(old, Some(1_000))),
            delete_block(&bob),
        ];
        backend.commit(&group, Seq(1), true).unwrap();
        let blocks = load_blocks(&mut backend, Seq(0), now).unwrap();
        let all: Vec<Block> = blocks.iter().cloned().collect();
        assert_eq!(all, [block(ann, None), block(net, Some(2_000))]);
    }
}
