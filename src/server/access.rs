//! The keeper of the access snapshot: keys file, blocks, and telling everybody when they change.
//!
//! One service thread. It also emits the periodic `system.status_update`, and feeds the service
//! manager's watchdog, since those are timers of the same kind.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::first_start::keys_path;
use super::shard::Peer;
use super::start_error::StartError;
use super::status::StatusSource;
use super::store;
use super::watch::Watchdog;
use crate::base::limits::BLOCKS;
use crate::base::{Code, Error, WorkerId};
use crate::config::Config;
use crate::engine::auth::{Access, BlockList, Permissions, SharedKey};
use crate::engine::channel::CompletionSink;
use crate::engine::channel::Emitter;
use crate::engine::store::{Op, Request, Write};
use crate::engine::work::{Completion, Control, Notice};
use crate::sys::clock::Clock;
use crate::sys::keyfile::Watcher;
use crate::sys::mailbox::{ReactorSender, ToReactor, ToWorker, WorkerSender};
use crate::sys::store::gauges::StoreGauges;
use crate::sys::store::thread::StoreSender;

/// Between two looks at the keys file.
const KEYS_INTERVAL: Duration = Duration::from_secs(1);

/// A ticket that no dialect gives out.
const NOBODY: u64 = u64::MAX >> 1;

/// Changes of the blocks that wait to be written down.
const UNWRITTEN_MAX: usize = 2 * BLOCKS;
/// Times that a change is sent to a store that is well, a second apart.
const TRIES: u32 = 3;

/// What the keeper is sent.
pub(super) enum ToKeeper {
    /// From a shard.
    Control(WorkerId, Control),
    /// Look at the keys file now.
    Reload,
    /// End.
    Stop,
}

pub(super) type KeeperQueue = Sender<ToKeeper>;

/// The keeper's parts.
pub(super) struct Keeper {
    pub queue: Receiver<ToKeeper>,
    pub keys: Watcher,
    pub access: Arc<Access>,
    pub reactors: Vec<ReactorSender>,
    pub workers: Arc<Vec<WorkerSender<Peer>>>,
    pub completions: Arc<dyn CompletionSink>,
    pub clock: Clock,
    pub status: Arc<StatusSource>,
    pub status_interval: Option<Duration>,
    pub emitter: Emitter,
    pub watchdog: Option<Watchdog>,
    pub store: StoreSender,
    pub gauges: Arc<StoreGauges>,
    /// Changes of the blocks, and how often each was sent to a store that was well. Written twice is
    /// the same as once; a store that failed meanwhile has it then.
    pub unwritten: VecDeque<(Write, u32)>,
}

impl Keeper {
    pub(super) fn run(mut self) {
        let mut status_at = self.status_interval.map(|interval| Instant::now() + interval);
        let mut keys_at = Instant::now() + KEYS_INTERVAL;
        loop {
            let watchdog_at = self.watchdog.as_ref().map(Watchdog::next);
            let next = [status_at, Some(keys_at), watchdog_at].into_iter().flatten().min().unwrap_or(keys_at);
            match self.queue.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(ToKeeper::Control(worker, control)) => self.on_control(worker, control),
                Ok(ToKeeper::Reload) => self.look_at_keys(),
                Ok(ToKeeper::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
            let now = Instant::now();
            if keys_at <= now {
                keys_at = now + KEYS_INTERVAL;
                self.look_at_keys();
                self.write_blocks();
            }
            if let (Some(at), Some(interval)) = (status_at, self.status_interval)
                && at <= now
            {
                status_at = Some(now + interval);
                let status = self.status.status(self.clock.now()).to_string();
                // The name is a constant and a topic.
                let _ = self.emitter.emit("status_update", status, false);
            }
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.on_time(now, &self.reactors, &self.workers);
            }
        }
    }

    fn look_at_keys(&mut self) {
        match self.keys.poll() {
            None => {}
            Some(Ok((keys, warning))) => {
                if let Some(warning) = warning {
                    log::warn!("{warning}");
                }
                log::info!("the keys file changed and was read again");
                let blocks = self.access.blocks.clone();
                self.swap_at_reactors(Access { version: self.access.version + 1, keys: Arc::new(keys), blocks });
                self.tell_workers();
            }
            Some(Err(error)) => log::error!("the keys file cannot be used, the keys from before stay: {error}"),
        }
    }

    /// From now on nobody is let in but by this snapshot.
    fn swap_at_reactors(&mut self, access: Access) {
        self.access = Arc::new(access);
        self.status.on_access(self.access.clone());
        for reactor in &self.reactors {
            reactor.send(ToReactor::Access(self.access.clone()));
        }
    }

    /// Has those looked at again who are in already.
    fn tell_workers(&self) {
        for worker in self.workers.iter() {
            worker.send(ToWorker::Notice(Notice::Access(self.access.clone())));
        }
    }

    fn on_control(&mut self, worker: WorkerId, control: Control) {
        let (ticket, result) = match control {
            Control::Block { block, ticket } => {
                let now = self.clock.now().wall;
                let said = serde_json::json!({"blocked": block.target.to_string(),
                    "until": block.until.map(|until| until.to_string())});
                let list = self.access.blocks.with(block.clone(), now);
                let result = self.swap_blocks(list.map_err(|why| Error::new(Code::BadData, why)), &said);
                if result.is_ok() {
                    self.write_down(store::put_block(&block));
                }
                (ticket, result)
            }
            Control::Unblock { target, ticket } => {
                let said = serde_json::json!({ "unblocked": target.to_string() });
                let list = self.access.blocks.without(&target);
                let list = list.ok_or_else(|| Error::new(Code::NotFound, "nothing is blocked under this name"));
                let result = self.swap_blocks(list, &said);
                if result.is_ok() {
                    self.write_down(store::delete_block(&target));
                }
                (ticket, result)
            }
        };
        // The answer goes first: who is asked about may be who asks, and is closed then.
        let is_changed = result.is_ok();
        self.completions.complete(worker, Completion { ticket, result });
        if is_changed {
            self.tell_workers();
        }
    }

    /// A block holds at once; it is on the disk a moment later, so that a restart does not lift it.
    fn write_down(&mut self, write: Write) {
        if self.unwritten.len() >= UNWRITTEN_MAX {
            self.unwritten.pop_front();
            log::error!("a change of the blocks could not be written down: a restart forgets it");
        }
        self.unwritten.push_back((write, 0));
        self.write_blocks();
    }

    /// Sends what may not be written down yet, while the store is well.
    fn write_blocks(&mut self) {
        if !self.gauges.is_well() {
            return;
        }
        for (write, tries) in &mut self.unwritten {
            // No worker knows the ticket, so that none takes the completion for its own.
            let op = Op::Write(write.clone());
            let request = Request { worker: WorkerId(0), ticket: NOBODY, term: 0, op };
            if self.store.try_send(vec![request]).is_err() {
                return;
            }
            *tries += 1;
        }
        self.unwritten.retain(|(_, tries)| *tries < TRIES);
    }

    fn swap_blocks(&mut self, list: Result<BlockList, Error>, said: &serde_json::Value) -> Result<Box<str>, Error> {
        let blocks = list?;
        let keys = self.access.keys.clone();
        self.swap_at_reactors(Access { version: self.access.version + 1, keys, blocks });
        Ok(said.to_string().into())
    }
}

/// Reads the keys file, and makes the first snapshot from it.
pub(super) fn load_access(config: &Config, blocks: BlockList) -> Result<(Watcher, Arc<Access>), StartError> {
    let shared = match &config.web_socket_server.key {
        None => None,
        Some(key) => {
            // Hydrogen's own key opened everything but administration.
            let all = ["connect", "subscribe:>", "publish:>", "call:>", "subscribe:system.>", "call:network.>"];
            let permissions = Permissions::parse(&all).map_err(|error| StartError::Key(error.to_string()))?;
            let shared = SharedKey::parse(key.expose(), permissions)
                .map_err(|why| StartError::Key(format!("WebSocketServer.Key: {why}")))?;
            if shared.is_short() {
                log::warn!("WebSocketServer.Key is short: make keys of 256 bits with `hydrogen key create`");
            }
            Some(shared)
        }
    };
    let mut watcher = Watcher::new(keys_path(&config.data_dir), shared);
    let keys = match watcher.poll() {
        Some(Ok((keys, warning))) => {
            if let Some(warning) = warning {
                log::warn!("{warning}");
            }
            keys
        }
        Some(Err(error)) => return Err(StartError::Keys(error)),
        None => return Err(StartError::Key("the keys file was not read".to_owned())),
    };
    Ok((watcher, Arc::new(Access { version: 0, keys: Arc::new(keys), blocks })))
}
