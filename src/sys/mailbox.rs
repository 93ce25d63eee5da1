//! Bounded queues into the threads, each with a way to wake its reader once.
//!
//! A wake is a system call, so it is coalesced: a flag says that the reader sleeps, the first
//! sender clears it and wakes, the others only queue. The reader sets the flag before it looks a
//! last time.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, SendTimeoutError, Sender, TrySendError, bounded};

use crate::base::{ConnId, Mono, WorkerId};
use crate::engine::store::StoreEvent;
use crate::engine::work::{Batch, Completion, Emission, Notice, Order};

/// Batches of orders that a reactor's queue holds.
const ORDER_BATCHES: usize = 1024;
/// Batches of messages that a worker's queue holds.
pub const MESSAGE_BATCHES: usize = 256;
/// Other messages that a worker's queue holds.
const WORKER_MESSAGES: usize = 4096;

/// What a reactor is sent.
#[derive(Debug)]
pub enum ToReactor {
    /// Orders from a worker or a service.
    Orders(Vec<Order>),
    /// A socket that another reactor accepted.
    Adopt(std::net::TcpStream, std::net::SocketAddr),
    /// Keys, permissions or blocks changed.
    Access(Arc<crate::engine::auth::Access>),
    /// Let nobody in, and say goodbye to everybody.
    Drain,
    /// End now.
    Stop,
}

/// What a worker is sent, besides batches.
#[derive(Debug)]
pub enum ToWorker<P> {
    /// From another worker.
    Peer(WorkerId, P),
    /// A handler's late answer.
    Completion(Completion),
    /// An event that a channel emits.
    Emission(Emission),
    /// What the store says, in its order.
    Store(Vec<StoreEvent>),
    /// Something that concerns every worker.
    Notice(Notice),
    /// End now.
    Stop,
}

/// The sending side of a reactor's queue.
#[derive(Clone)]
pub struct ReactorSender {
    queue: Sender<ToReactor>,
    asleep: Arc<AtomicBool>,
    waker: Arc<mio::Waker>,
}

/// The receiving side of a reactor's queue.
pub struct ReactorReceiver {
    queue: Receiver<ToReactor>,
    asleep: Arc<AtomicBool>,
}

/// A queue into a reactor that is woken by `waker`.
pub fn reactor_mailbox(waker: mio::Waker) -> (ReactorSender, ReactorReceiver) {
    let (send, receive) = bounded(ORDER_BATCHES);
    let asleep = Arc::new(AtomicBool::new(false));
    (
        ReactorSender { queue: send, asleep: asleep.clone(), waker: Arc::new(waker) },
        ReactorReceiver { queue: receive, asleep },
    )
}

impl ReactorSender {
    /// Queues without waking; gives the message back if the queue is full. A reactor that is gone
    /// ended with the server: what is for it is nobody's loss.
    pub fn try_send(&self, message: ToReactor) -> Result<(), ToReactor> {
        match self.queue.try_send(message) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => Ok(()),
            Err(TrySendError::Full(message)) => Err(message),
        }
    }

    /// Queues and wakes, waiting for room: for service threads, which may wait.
    pub fn send(&self, message: ToReactor) {
        // The reactor is gone only when the server has ended.
        let _ = self.queue.send(message);
        self.wake();
    }

    /// Wakes the reader if it sleeps. Returns whether that was needed.
    pub fn wake(&self) -> bool {
        let needed = self.asleep.swap(false, Ordering::SeqCst);
        if needed && let Err(error) = self.waker.wake() {
            log::error!("waking a reactor failed: {error}");
        }
        needed
    }

    /// Has the reader take a turn, whatever it does: one that is about to sleep takes it too.
    pub fn nudge(&self) {
        if let Err(error) = self.waker.wake() {
            log::error!("waking a reactor failed: {error}");
        }
    }

    /// Sends orders for one connection from a service thread.
    pub fn send_order(&self, order: Order) {
        self.send(ToReactor::Orders(vec![order]));
    }
}

impl ReactorReceiver {
    /// Messages that wait.
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The next message, if one waits.
    pub fn try_recv(&self) -> Option<ToReactor> {
        self.queue.try_recv().ok()
    }

    /// Says that the reader is about to sleep. Returns false if it must not, since messages wait.
    pub fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        if self.queue.is_empty() {
            return true;
        }
        self.asleep.store(false, Ordering::SeqCst);
        false
    }

    /// Says that the reader is awake: before it drains.
    pub fn is_awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// The sending side of a worker's queues.
pub struct WorkerSender<P> {
    batches: Sender<Batch>,
    messages: Sender<ToWorker<P>>,
    parker: Arc<Parker>,
    ages: Arc<QueueAges>,
}

impl<P> Clone for WorkerSender<P> {
    fn clone(&self) -> WorkerSender<P> {
        WorkerSender {
            batches: self.batches.clone(),
            messages: self.messages.clone(),
            parker: self.parker.clone(),
            ages: self.ages.clone(),
        }
    }
}

/// The receiving side of a worker's queues.
pub struct WorkerReceiver<P> {
    batches: Receiver<Batch>,
    messages: Receiver<ToWorker<P>>,
    parker: Arc<Parker>,
    ages: Arc<QueueAges>,
}

/// When the batches that wait in one worker's queue were read: what the status tells of it.
#[derive(Debug)]
pub struct QueueAges {
    pushed: AtomicU64,
    popped: AtomicU64,
    read_at: Box<[AtomicU64]>,
}

impl Default for QueueAges {
    fn default() -> QueueAges {
        let read_at = (0..MESSAGE_BATCHES).map(|_| AtomicU64::new(0)).collect();
        QueueAges { pushed: AtomicU64::new(0), popped: AtomicU64::new(0), read_at }
    }
}

impl QueueAges {
    /// Batches that wait.
    pub fn depth(&self) -> u64 {
        let popped = self.popped.load(Ordering::Relaxed);
        self.pushed.load(Ordering::Relaxed).saturating_sub(popped)
    }

    /// How long the oldest of them has waited. With several reactors pushing at one moment it may
    /// be a neighbour's time.
    pub fn oldest(&self, now: Mono) -> Duration {
        if self.depth() == 0 {
            return Duration::ZERO;
        }
        let slot = self.popped.load(Ordering::Relaxed) as usize % MESSAGE_BATCHES;
        now.since(Mono(self.read_at[slot].load(Ordering::Relaxed)))
    }

    fn push(&self, read_at: Mono) {
        let slot = self.pushed.fetch_add(1, Ordering::Relaxed) as usize % MESSAGE_BATCHES;
        self.read_at[slot].store(read_at.0, Ordering::Relaxed);
    }

    fn pop(&self) {
        self.popped.fetch_add(1, Ordering::Relaxed);
    }
}

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Does what a worker does on a thread that is none.
pub(super) fn as_worker_thread(work: impl FnOnce()) {
    let before = IS_WORKER.replace(true);
    work();
    IS_WORKER.set(before);
}

/// Whether the calling thread is a worker, which must not wait for room in any worker's queue.
pub fn is_worker_thread() -> bool {
    IS_WORKER.get()
}

#[derive(Debug, Default)]
struct Parker {
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

/// Queues into a worker.
pub fn worker_mailbox<P>() -> (WorkerSender<P>, WorkerReceiver<P>) {
    let (send_batch, batches) = bounded(MESSAGE_BATCHES);
    let (send_message, messages) = bounded(WORKER_MESSAGES);
    let parker = Arc::new(Parker::default());
    let ages = Arc::new(QueueAges::default());
    (
        WorkerSender { batches: send_batch, messages: send_message, parker: parker.clone(), ages: ages.clone() },
        WorkerReceiver { batches, messages, parker, ages },
    )
}

impl<P> WorkerSender<P> {
    /// Queues a batch without waking; gives it back if the queue is full or its reader is gone.
    pub fn try_send_batch(&self, batch: Batch) -> Result<(), Batch> {
        let read_at = batch.read_at;
        self.batches.try_send(batch).map_err(TrySendError::into_inner)?;
        self.ages.push(read_at);
        Ok(())
    }

    /// What waits in the queue of batches, for the status.
    pub fn ages(&self) -> Arc<QueueAges> {
        self.ages.clone()
    }

    /// Queues a message without waking; gives it back if the queue is full or its reader is gone.
    pub fn try_send(&self, message: ToWorker<P>) -> Result<(), ToWorker<P>> {
        self.messages.try_send(message).map_err(TrySendError::into_inner)
    }

    /// Queues and wakes, waiting for room: for service threads, which may wait.
    pub fn send(&self, message: ToWorker<P>) {
        // The worker is gone only when the server has ended.
        let _ = self.messages.send(message);
        self.wake();
    }

    /// Queues and wakes, waiting so long for room. False if there was none; a worker that is gone
    /// ended with the server, and what is for it is nobody's loss.
    pub fn send_within(&self, message: ToWorker<P>, patience: Duration) -> bool {
        let sent = self.messages.send_timeout(message, patience);
        self.wake();
        !matches!(sent, Err(SendTimeoutError::Timeout(_)))
    }

    /// Wakes the worker if it sleeps. Returns whether that was needed.
    pub fn wake(&self) -> bool {
        let needed = self.parker.asleep.swap(false, Ordering::SeqCst);
        if needed && let Some(thread) = self.parker.thread.get() {
            thread.unpark();
        }
        needed
    }
}

impl<P> WorkerSender<P> {
    /// Has the worker take a turn, whatever it does: one that is about to sleep takes it too.
    pub fn nudge(&self) {
        if let Some(thread) = self.parker.thread.get() {
            thread.unpark();
        }
    }
}

impl<P> WorkerReceiver<P> {
    /// Makes the calling thread the one that is woken.
    pub fn attach(&self) {
        IS_WORKER.set(true);
        // Called once, by the worker's own thread, before it first sleeps.
        let _ = self.parker.thread.set(std::thread::current());
    }

    /// Whether neither a batch nor a message waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.messages.is_empty()
    }

    /// Has its own thread take a turn: one that is about to sleep takes it too.
    pub fn nudge(&self) {
        if let Some(thread) = self.parker.thread.get() {
            thread.unpark();
        }
    }

    /// The next batch, if one waits.
    pub fn try_recv_batch(&self) -> Option<Batch> {
        let batch = self.batches.try_recv().ok()?;
        self.ages.pop();
        Some(batch)
    }

    /// The next message, if one waits.
    pub fn try_recv(&self) -> Option<ToWorker<P>> {
        self.messages.try_recv().ok()
    }

    /// Sleeps until woken or until `wait` is over, unless something waits that the worker takes
    /// at present.
    pub fn sleep(&self, wait: Option<Duration>, takes_messages: bool, takes_batches: bool) {
        self.parker.asleep.store(true, Ordering::SeqCst);
        let has_messages = takes_messages && !self.messages.is_empty();
        let has_batches = takes_batches && !self.batches.is_empty();
        if !has_messages && !has_batches {
            match wait {
                Some(wait) => std::thread::park_timeout(wait),
                None => std::thread::park(),
            }
        }
        self.parker.asleep.store(false, Ordering::SeqCst);
    }
}

/// Where to send orders: the reactors' queues, by number.
#[derive(Clone, Default)]
pub struct Reactors(pub Arc<Vec<ReactorSender>>);

impl Reactors {
    /// The queue of the reactor that owns a connection.
    pub fn of(&self, conn: ConnId) -> Option<&ReactorSender> {
        self.0.get(usize::from(conn.reactor().0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reactor() -> (mio::Poll, ReactorSender, ReactorReceiver) {
        let poll = mio::Poll::new().unwrap();
        let waker = mio::Waker::new(poll.registry(), mio::Token(0)).unwrap();
        let (send, receive) = reactor_mailbox(waker);
        (poll, send, receive)
    }

    #[test]
    fn a_full_reactor_gives_back_and_one_that_is_gone_takes_everything() {
        let (_poll, send, receive) = reactor();
        for _ in 0..ORDER_BATCHES {
            assert!(send.try_send(ToReactor::Drain).is_ok());
        }
        assert!(matches!(send.try_send(ToReactor::Stop), Err(ToReactor::Stop)));
        drop(receive);
        assert!(send.try_send(ToReactor::Stop).is_ok());
    }

    #[test]
    fn only_attached_threads_are_workers() {
        let (_send, receive) = worker_mailbox::<()>();
        let attached = std::thread::spawn(move || {
            receive.attach();
            is_worker_thread()
        });
        assert!(attached.join().unwrap());
        assert!(!is_worker_thread());
    }

    #[test]
    fn a_worker_that_takes_nothing_sleeps_though_messages_wait() {
        let (send, receive) = worker_mailbox::<()>();
        receive.attach();
        assert!(send.try_send(ToWorker::Stop).is_ok());
        let before = std::time::Instant::now();
        receive.sleep(Some(Duration::from_secs(20)), true, true);
        assert!(before.elapsed() < Duration::from_secs(10), "a message is there");
        receive.sleep(Some(Duration::from_millis(20)), false, true);
        assert!(before.elapsed() >= Duration::from_millis(20));
    }
}
