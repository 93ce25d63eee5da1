//! A running server, and its end: nobody new, what is owed is answered, everybody is told, then
//! the threads end in the order of the data's way.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::access::{KeeperQueue, ToKeeper};
use super::health::Health;
use super::shard::Peer;
use super::status::StatusSource;
use crate::engine::work::{Notice, StopCause};
use crate::sys::clock::Clock;
use crate::sys::mailbox::{ReactorSender, ToReactor, ToWorker, WorkerSender};
use crate::sys::network::NetworkChannel;
use crate::sys::store::thread::StoreThread;

/// The threads of a server.
#[derive(Default)]
pub(super) struct Threads {
    pub reactors: Vec<JoinHandle<()>>,
    pub workers: Vec<JoinHandle<()>>,
    pub services: Vec<JoinHandle<()>>,
}

/// A running server. Dropping it stops it.
pub struct Server {
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) is_tls: bool,
    pub(super) drain_timeout: Duration,
    pub(super) clock: Clock,
    pub(super) reactors: Vec<ReactorSender>,
    pub(super) workers: Arc<Vec<WorkerSender<Peer>>>,
    pub(super) status: Arc<StatusSource>,
    pub(super) threads: Threads,
    pub(super) keeper: KeeperQueue,
    pub(super) network: Arc<NetworkChannel>,
    pub(super) store: Option<StoreThread>,
    pub(super) health: Arc<Health>,
}

/// Asks a server to look at its keys again, from any thread.
#[derive(Clone)]
pub struct Stopper {
    keeper: KeeperQueue,
}

impl Stopper {
    /// Looks at the keys file now.
    pub fn reload(&self) {
        // A full queue will look soon anyway.
        let _ = self.keeper.try_send(ToKeeper::Reload);
    }
}

impl Server {
    /// The addresses that are listened on.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where a browser finds the server: `http://…` or `https://…`.
    pub fn url(&self) -> String {
        let scheme = if self.is_tls { "https" } else { "http" };
        self.addresses.first().map_or_else(String::new, |address| format!("{scheme}://{address}"))
    }

    /// The status object, as `/api/status` shows it.
    pub fn status(&self) -> serde_json::Value {
        self.status.status(self.clock.now())
    }

    /// Whether every thread of it still runs. One that was lost to an error of the system or a
    /// defect is in the log, and does not come back: stop this server and start another.
    pub fn is_running(&self) -> bool {
        self.health.is_good()
    }

    /// A handle for other threads.
    pub fn stopper(&self) -> Stopper {
        Stopper { keeper: self.keeper.clone() }
    }

    /// Stops: no new connections, what was asked is answered, 1001 to all, output flushed; after
    /// the drain timeout whatever is left is cut.
    pub fn stop(self) {
        self.stop_for(StopCause::default());
    }

    /// Stops, and lets those know the cause who are told of it.
    pub fn stop_for(mut self, cause: StopCause) {
        self.drain_and_stop(cause);
    }

    fn drain_and_stop(&mut self, cause: StopCause) {
        if self.threads.reactors.is_empty() {
            return;
        }
        self.status.on_drain();
        let deadline = Instant::now() + self.drain_timeout;
        for reactor in &self.reactors {
            reactor.send(ToReactor::Drain);
        }
        for worker in self.workers.iter() {
            worker.send(ToWorker::Notice(Notice::Drain(cause)));
        }
        while !self.status.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        for reactor in &self.reactors {
            reactor.send(ToReactor::Stop);
        }
        join(self.threads.reactors.drain(..));
        for worker in self.workers.iter() {
            worker.send(ToWorker::Stop);
        }
        join(self.threads.workers.drain(..));
        // What the workers asked for last is written down before it is closed.
        if let Some(store) = self.store.take() {
            store.stop();
        }
        let _ = self.keeper.send(ToKeeper::Stop);
        self.network.stop();
        // The status service ends when the last queue into it is gone; nothing waits for it.
        self.threads.services.clear();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.drain_and_stop(StopCause::default());
    }
}

fn join(threads: impl Iterator<Item = JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            log::error!("a thread ended with a panic");
        }
    }
}
