//! The worker thread: a loop around a pure [`Shard`].
//!
//! Owns the thread, its sleep and its end. What a turn does is `Core`'s. While effects cannot be
//! handed on, no more batches are taken, so that a slow reactor pushes back on those who send.

mod lend;
mod turn;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::clock::Clock;
use super::mailbox::{ReactorSender, WorkerReceiver, WorkerSender};
use crate::base::{Counters, WorkerId};
use crate::engine::store;
use crate::engine::work::{Control, Shard};
use turn::Core;

pub use lend::{Lent, Step};

/// How long a worker waits before it tries a full queue again.
const RETRY: Duration = Duration::from_micros(200);
/// How long a worker that was told to stop goes on at most.
const END_WITHIN: Duration = Duration::from_secs(2);

/// Takes what a shard asks of the keeper of the access snapshot. Returns it if there is no room.
pub type ControlSink = Box<dyn Fn(WorkerId, Control) -> Result<(), Control> + Send>;

/// Takes what a shard asks of the store. Returns it if there is no room.
pub type StoreSink = Box<dyn Fn(Vec<store::Request>) -> Result<(), Vec<store::Request>> + Send>;

/// What a worker is made of.
pub struct Parts<S: Shard> {
    /// Its number.
    pub id: WorkerId,
    /// Its state.
    pub shard: S,
    /// Its queues.
    pub inbox: Arc<WorkerReceiver<S::Peer>>,
    /// The reactors' queues, by number.
    pub reactors: Vec<ReactorSender>,
    /// The workers' queues, by number.
    pub workers: Vec<WorkerSender<S::Peer>>,
    /// Where control requests go.
    pub controls: ControlSink,
    /// Where store requests go.
    pub store: StoreSink,
    /// This thread's counters.
    pub counters: Arc<Counters>,
    /// Raised with every turn: whoever looks at it twice knows whether the thread lives.
    pub beat: Arc<AtomicU64>,
    /// The clocks.
    pub clock: Clock,
}

/// The running worker.
pub struct Worker<S: Shard> {
    /// Locked by the thread for as long as it works, and by a reactor that borrows it meanwhile.
    core: Arc<Mutex<Core<S>>>,
    inbox: Arc<WorkerReceiver<S::Peer>>,
    beat: Arc<AtomicU64>,
}

impl<S: Shard + 'static> Worker<S> {
    /// A worker that has not begun.
    pub fn new(parts: Parts<S>) -> Worker<S> {
        let (inbox, beat) = (parts.inbox.clone(), parts.beat.clone());
        Worker { core: Arc::new(Mutex::new(Core::new(parts))), inbox, beat }
    }

    /// What reactors may borrow of it.
    pub fn lent(&self) -> Arc<dyn Lent> {
        self.core.clone()
    }

    /// Works until told to stop.
    pub fn run(self) {
        self.inbox.attach();
        loop {
            self.beat.fetch_add(1, Ordering::Relaxed);
            let next = self.core.lock().turn();
            match next {
                Next::Again => {}
                Next::Sleep { wait, takes_messages, takes_batches } => {
                    self.inbox.sleep(wait, takes_messages, takes_batches);
                }
                Next::End => break,
            }
        }
        self.core.lock().end();
    }
}

/// What a worker does after a turn.
enum Next {
    /// Another one.
    Again,
    /// Nothing, until something comes that it takes at present.
    Sleep { wait: Option<Duration>, takes_messages: bool, takes_batches: bool },
    /// Nothing any more.
    End,
}

#[cfg(test)]
mod tests;
