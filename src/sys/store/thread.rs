//! The store's thread: it alone touches the backend.
//!
//! Owns the queue of requests and the order in which they are done; the writer owns groups and
//! terms. While one group is synced the next gathers in the queue, so there is no waiting for
//! company, but for groups that nobody waits to see synced: those linger for up to `LINGER`.
//!
//! ```text
//!   take in what waits -> linger, if nobody waits for a sync -> commit one group -> tell -> again
//! ```
//!
//! A look is answered when it is taken in, unless its worker has changes that wait: then it, and
//! all that the worker asks behind it, comes after the commit.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::gauges::StoreGauges;
use crate::base::WorkerId;
use crate::base::limits::GROUP_REQUESTS;
use crate::engine::store::{Backend, Op, Request, Seq, StoreEvent, To, Told, Writer, answer};

/// Batches of requests that the queue holds.
const BATCHES: usize = 1024;

/// How long a group waits for company if nobody waits for its sync.
const LINGER: Duration = Duration::from_millis(5);

/// Waits between two tries to become well again: the first, and the longest.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// Orders that are taken in before something is committed and told.
const ORDERS: usize = 64;

/// How often the size is looked up: while there is work, and while there is none.
const SIZE: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

/// Where the thread's events go: all that one turn has for a worker, in order.
pub type Sink = Box<dyn Fn(WorkerId, Vec<StoreEvent>) + Send>;

/// What the thread does, from its start to its end.
pub type Run = Box<dyn FnOnce() + Send>;

/// Hears of every group that was committed.
pub type OnCommit = Box<dyn FnMut(Committed) + Send>;

/// What is told of a committed group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// How long the commit took, with its sync, in nanoseconds.
    pub ns: u64,
    /// Whether it was synced.
    pub is_synced: bool,
    /// How many events it brought.
    pub events: u64,
    /// How many changes it held.
    pub requests: u64,
}

enum Order {
    Requests(Vec<Request>),
    Stop,
}

/// The way to the store.
#[derive(Clone)]
pub struct StoreSender {
    queue: Sender<Order>,
}

/// The store's thread.
pub struct StoreThread {
    sender: StoreSender,
    thread: JoinHandle<()>,
}

impl StoreSender {
    /// Queues requests; gives them back if the queue is full or the store is gone.
    pub fn try_send(&self, requests: Vec<Request>) -> Result<(), Vec<Request>> {
        match self.queue.try_send(Order::Requests(requests)) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => match order {
                Order::Requests(requests) => Err(requests),
                Order::Stop => Ok(()),
            },
        }
    }
}

impl StoreThread {
    /// Starts the thread on a store that was opened. `last` is its image's newest number. `start`
    /// makes a thread of what it is given, and sees to it that its loss is noticed.
    #[allow(clippy::too_many_arguments, reason = "each is one thing that the thread talks to")]
    pub fn spawn(
        backend: Box<dyn Backend>,
        last: Seq,
        workers: u16,
        sink: Sink,
        on_commit: OnCommit,
        gauges: Arc<StoreGauges>,
        start: impl FnOnce(Run) -> io::Result<JoinHandle<()>>,
    ) -> io::Result<StoreThread> {
        let (send, queue) = bounded(BATCHES);
        let keeper = Keeper {
            backend,
            writer: Writer::new(last),
            told: Told::new(),
            queue,
            waiting: BTreeSet::new(),
            held: BTreeSet::new(),
            deferred: VecDeque::new(),
            linger_until: None,
            needs_sync: false,
            retry: RETRY.0,
            retry_at: None,
            well_since: None,
            size_at: Instant::now(),
            mail: vec![Vec::new(); usize::from(workers)],
            sink,
            on_commit,
            gauges,
        };
        let thread = start(Box::new(move || keeper.run()))?;
        Ok(StoreThread { sender: StoreSender { queue: send }, thread })
    }

    /// The way to it.
    pub fn sender(&self) -> StoreSender {
        self.sender.clone()
    }

    /// Does what was queued before, closes the store in order, and waits for that.
    pub fn stop(self) {
        // If it is gone, it has panicked, and said so.
        let _ = self.sender.queue.send(Order::Stop);
        if self.thread.join().is_err() {
            log::error!("the store's thread has panicked");
        }
    }
}

struct Keeper {
    backend: Box<dyn Backend>,
    writer: Writer,
    told: Told,
    queue: Receiver<Order>,
    /// Workers whose changes wait for a commit.
    waiting: BTreeSet<WorkerId>,
    /// Workers with deferred requests.
    held: BTreeSet<WorkerId>,
    /// Looks that must see changes that wait, and what was asked behind them.
    deferred: VecDeque<Request>,
    /// While nobody waits for a sync.
    linger_until: Option<Instant>,
    needs_sync: bool,
    retry: Duration,
    retry_at: Option<Instant>,
    well_since: Option<Instant>,
    size_at: Instant,
    mail: Vec<Vec<StoreEvent>>,
    sink: Sink,
    on_commit: OnCommit,
    gauges: Arc<StoreGauges>,
}

impl Keeper {
    fn run(mut self) {
        self.gauges.set_size(self.backend.size());
        while self.turn() {}
        self.end();
    }

    /// One turn. False if it is to stop.
    fn turn(&mut self) -> bool {
        // Deferred requests come first, or a busy queue would keep them for ever.
        let may_take = self.deferred.is_empty();
        let goes_on = !may_take || self.take_in();
        if self.writer.is_due() {
            self.commit();
        } else {
            self.settle();
        }
        self.look_after();
        if self.retry_at.is_some_and(|at| at <= Instant::now()) {
            self.reopen();
        }
        self.look_around();
        self.deliver();
        goes_on
    }

    /// Takes in what waits; waits itself if there is nothing to do. False if it is to stop.
    fn take_in(&mut self) -> bool {
        for _ in 0..ORDERS {
            if self.writer.waiting() >= GROUP_REQUESTS || !self.deferred.is_empty() {
                break;
            }
            let order = match self.queue.try_recv() {
                Ok(order) => order,
                Err(_) => {
                    // What was answered on the way is told before anything is waited for.
                    self.deliver();
                    match self.wait() {
                        Ok(order) => order,
                        Err(RecvTimeoutError::Timeout) => return true,
                        Err(RecvTimeoutError::Disconnected) => return false,
                    }
                }
            };
            match order {
                Order::Requests(requests) => requests.into_iter().for_each(|request| self.take(request)),
                Order::Stop => return false,
            }
        }
        true
    }

    fn wait(&self) -> Result<Order, RecvTimeoutError> {
        let until = if self.writer.is_due() {
            // A group that somebody waits for is committed at once.
            if self.needs_sync {
                return Err(RecvTimeoutError::Timeout);
            }
            self.linger_until
        } else {
            self.retry_at
        };
        self.queue.recv_deadline(until.unwrap_or_else(|| Instant::now() + SIZE.1))
    }

    fn take(&mut self, request: Request) {
        let worker = request.worker;
        let is_held = self.held.contains(&worker);
        match &request.op {
            Op::Write(write) if !is_held => {
                let needs_sync = write.needs_sync();
                let before = self.writer.waiting();
                self.writer.push(request, &mut self.told);
                if self.writer.waiting() > before {
                    self.needs_sync |= needs_sync;
                    self.waiting.insert(worker);
                    self.linger_until.get_or_insert_with(|| Instant::now() + LINGER);
                }
            }
            Op::Read(_) | Op::Get { .. } | Op::Scan { .. } if !is_held && !self.waiting.contains(&worker) => {
                self.answer(request);
            }
            Op::Write(_) | Op::Read(_) | Op::Get { .. } | Op::Scan { .. } => {
                self.held.insert(worker);
                self.deferred.push_back(request);
            }
        }
    }

    fn answer(&mut self, request: Request) {
        let (worker, event) = answer(&mut *self.backend, request);
        self.told.one(worker, event);
        self.told.damage(&mut *self.backend);
    }

    fn commit(&mut self) {
        let before = self.writer.written();
        let begun = Instant::now();
        self.writer.commit(&mut *self.backend, &mut self.told);
        let ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let after = self.writer.written();
        if after.groups > before.groups {
            let is_synced = after.synced > before.synced;
            if is_synced {
                self.gauges.set_last_sync(ns);
            }
            let (events, requests) = (after.events - before.events, after.requests - before.requests);
            (self.on_commit)(Committed { ns, is_synced, events, requests });
            // In a full store that made room.
            let soon = Instant::now() + RETRY.0;
            self.retry_at = self.retry_at.map(|at| at.min(soon));
        }
        if !self.writer.is_due() {
            self.settle();
        }
    }

    /// Notices that the store fails, whatever met it, and when to try again.
    fn look_after(&mut self) {
        self.writer.look_after(&*self.backend, &mut self.told);
        if let Some(failure) = self.writer.failure()
            && self.retry_at.is_none()
        {
            log::error!("the store takes no changes: {failure}");
            // A store that fails again soon after it was well is tried less often.
            let was_short = self.well_since.is_some_and(|since| since.elapsed() < 2 * RETRY.1);
            self.retry = if was_short { (2 * self.retry).min(RETRY.1) } else { RETRY.0 };
            self.retry_at = Some(Instant::now() + self.retry);
        }
        if !self.writer.is_due() {
            self.settle();
        }
    }

    /// Nothing waits for a commit any more: what had to wait for one is done, in its order.
    fn settle(&mut self) {
        self.waiting.clear();
        self.needs_sync = false;
        self.linger_until = None;
        self.held.clear();
        for request in std::mem::take(&mut self.deferred) {
            self.take(request);
        }
    }

    fn reopen(&mut self) {
        if self.writer.try_reopen(&mut *self.backend, &mut self.told) {
            log::info!("the store takes changes again");
            self.well_since = Some(Instant::now());
            self.retry_at = None;
        } else {
            self.retry = (2 * self.retry).min(RETRY.1);
            self.retry_at = Some(Instant::now() + self.retry);
        }
    }

    fn look_around(&mut self) {
        let now = Instant::now();
        if now >= self.size_at {
            self.gauges.set_size(self.backend.size());
            self.size_at = now + SIZE.0;
        }
        let fault = self.writer.failure().map(|failure| failure.fault);
        self.gauges.set_written(self.writer.written(), fault, self.writer.waiting());
    }

    /// Hands over what is to be told: to each worker in one piece.
    fn deliver(&mut self) {
        if self.told.is_empty() {
            return;
        }
        for (to, event) in self.told.drain() {
            if let StoreEvent::Damaged(damage) = &event {
                self.gauges.add_damaged(damage.len());
                damage.iter().for_each(|damage| log::error!("damaged and set aside: {damage}"));
            }
            match to {
                To::All => self.mail.iter_mut().for_each(|mail| mail.push(event.clone())),
                To::One(worker) => {
                    if let Some(mail) = self.mail.get_mut(usize::from(worker.0)) {
                        mail.push(event);
                    }
                }
            }
        }
        for (worker, mail) in (0..).map(WorkerId).zip(&mut self.mail) {
            if !mail.is_empty() {
                (self.sink)(worker, std::mem::take(mail));
            }
        }
    }

    /// Does all that was asked, and closes the store.
    fn end(&mut self) {
        loop {
            while let Ok(order) = self.queue.try_recv() {
                if let Order::Requests(requests) = order {
                    requests.into_iter().for_each(|request| self.take(request));
                }
            }
            if !self.writer.is_due() && self.deferred.is_empty() {
                break;
            }
            if self.writer.is_due() {
                self.commit();
            } else {
                self.settle();
            }
            self.deliver();
        }
        self.gauges.set_size(self.backend.size());
        if let Err(error) = self.backend.close() {
            log::error!("the store could not be closed in order: {error}");
        }
        let fault = self.writer.failure().map(|failure| failure.fault);
        self.gauges.set_written(self.writer.written(), fault, 0);
        self.deliver();
    }
}

#[cfg(test)]
mod tests;
