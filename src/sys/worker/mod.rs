//! The worker thread: a loop around a pure [`Shard`].
//!
//! Owns the shard, and carries its effects: orders to the reactors, messages to other workers,
//! requests to the keeper of the access snapshot. While effects cannot be handed on, it takes no
//! more batches, so that a slow reactor pushes back on those who send.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::clock::Clock;
use super::mailbox::{ReactorSender, ToReactor, ToWorker, WorkerReceiver, WorkerSender};
use crate::base::{Counters, Metric, WorkerId};
use crate::engine::store;
use crate::engine::work::{Batch, Control, Outbox, Shard};

/// How long a worker waits before it tries a full queue again.
const RETRY: Duration = Duration::from_micros(200);
/// Messages that are taken before effects are handed on.
const MESSAGES_PER_TURN: usize = 256;

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
    pub inbox: WorkerReceiver<S::Peer>,
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
    parts: Parts<S>,
    out: Outbox<S::Peer>,
    stop: bool,
}

impl<S: Shard> Worker<S> {
    /// A worker that has not begun.
    pub fn new(parts: Parts<S>) -> Worker<S> {
        let out = Outbox::new(parts.reactors.len());
        Worker { parts, out, stop: false }
    }

    /// Works until told to stop.
    pub fn run(mut self) {
        self.parts.inbox.attach();
        while !self.stop {
            self.parts.beat.fetch_add(1, Ordering::Relaxed);
            let worked = self.turn();
            let handed_on = self.hand_on();
            if self.stop {
                break;
            }
            if worked && handed_on {
                continue;
            }
            let wait = if handed_on { self.until_timeout() } else { Some(RETRY) };
            self.parts.inbox.sleep(wait, self.takes_messages(), handed_on);
        }
        self.end();
    }

    /// The last turn: takes what came before the end and waits still, and hands on what the shard
    /// asks of the store. Nothing that is stuck keeps it for long.
    fn end(&mut self) {
        let began = self.parts.clock.now().mono;
        let is_late = |worker: &Self| worker.parts.clock.now().mono.since(began) >= END_WITHIN;
        while !is_late(self) {
            let mut worked = false;
            for _ in 0..MESSAGES_PER_TURN {
                let Some(message) = self.parts.inbox.try_recv() else { break };
                self.on_message(message);
                worked = true;
            }
            if let Some(batch) = self.parts.inbox.try_recv_batch() {
                self.on_batch(batch);
                worked = true;
            }
            self.hand_on();
            if !worked {
                break;
            }
        }
        let now = self.parts.clock.now();
        self.guarded(|shard, out| shard.on_stop(now, out));
        while !self.hand_on() && !self.out.store.is_empty() && !is_late(self) {
            std::thread::sleep(RETRY);
        }
    }

    /// Takes what waits, up to a bound. Returns whether anything was done.
    fn turn(&mut self) -> bool {
        let mut worked = false;
        let messages = if self.takes_messages() { MESSAGES_PER_TURN } else { 0 };
        for _ in 0..messages {
            let Some(message) = self.parts.inbox.try_recv() else { break };
            self.on_message(message);
            worked = true;
        }
        if self.out.is_empty() || worked {
            // With effects left over from before, batches wait.
            if self.hand_on()
                && let Some(batch) = self.parts.inbox.try_recv_batch()
            {
                self.on_batch(batch);
                worked = true;
            }
        }
        let now = self.parts.clock.now();
        if self.parts.shard.poll_timeout().is_some_and(|at| at <= now.mono) {
            self.guarded(|shard, out| shard.on_timeout(now, out));
            worked = true;
        }
        worked
    }

    fn on_batch(&mut self, batch: Batch) {
        let now = self.parts.clock.now();
        let counters = self.parts.counters.clone();
        counters.record_ns(Metric::QUEUE_WAIT_NS, now.mono.since(batch.read_at).as_nanos() as u64);
        self.guarded(|shard, out| shard.on_batch(&batch, now, out));
        let busy = self.parts.clock.now().mono.since(now.mono);
        counters.add(Metric::WORKER_BUSY_NS, busy.as_nanos() as u64);
    }

    fn on_message(&mut self, message: ToWorker<S::Peer>) {
        let now = self.parts.clock.now();
        match message {
            ToWorker::Peer(from, message) => self.guarded(|shard, out| shard.on_peer(from, message, now, out)),
            ToWorker::Completion(completion) => self.guarded(|shard, out| shard.on_completion(completion, now, out)),
            ToWorker::Emission(emission) => self.guarded(|shard, out| shard.on_emission(emission, now, out)),
            ToWorker::Store(events) => {
                for event in &events {
                    self.guarded(|shard, out| shard.on_store(event, now, out));
                }
            }
            ToWorker::Notice(notice) => self.guarded(|shard, out| shard.on_notice(&notice, now, out)),
            ToWorker::Stop => self.stop = true,
        }
    }

    /// Handlers are guarded one by one inside the shard; this is the last net, so that a defect
    /// of the shard itself costs one step and not the thread.
    fn guarded(&mut self, step: impl FnOnce(&mut S, &mut Outbox<S::Peer>)) {
        let (shard, out) = (&mut self.parts.shard, &mut self.out);
        if catch_unwind(AssertUnwindSafe(|| step(shard, out))).is_err() {
            self.parts.counters.inc(Metric::HANDLER_PANICS);
            log::error!("worker={} a step panicked; its effects so far stand", self.parts.id.0);
        }
    }

    /// While orders are stuck, messages would only make more of them. But when messages for other
    /// workers are stuck too, its own must be taken: two workers could wait for each other.
    fn takes_messages(&self) -> bool {
        !self.out.peers.is_empty() || self.out.orders.iter().all(Vec::is_empty)
    }

    fn until_timeout(&self) -> Option<Duration> {
        let now = self.parts.clock.now().mono;
        self.parts.shard.poll_timeout().map(|at| at.since(now))
    }

    /// Hands effects on; false if some did not fit and are kept.
    fn hand_on(&mut self) -> bool {
        let mut all = true;
        for (reactor, orders) in self.parts.reactors.iter().zip(&mut self.out.orders) {
            if orders.is_empty() {
                continue;
            }
            match reactor.try_send(ToReactor::Orders(std::mem::take(orders))) {
                Ok(()) => {
                    if reactor.wake() {
                        self.parts.counters.inc(Metric::WAKES);
                    }
                }
                Err(ToReactor::Orders(back)) => {
                    *orders = back;
                    all = false;
                }
                Err(_) => {}
            }
        }
        let mut kept = Vec::new();
        for (to, message) in self.out.peers.drain(..) {
            let Some(worker) = self.parts.workers.get(usize::from(to.0)) else { continue };
            // Once one message for a worker is kept, those behind it are too: order holds.
            if kept.iter().any(|(held, _)| *held == to) {
                kept.push((to, message));
                continue;
            }
            match worker.try_send(ToWorker::Peer(self.parts.id, message)) {
                Ok(()) => {
                    worker.wake();
                }
                Err(ToWorker::Peer(_, message)) => kept.push((to, message)),
                Err(_) => {}
            }
        }
        all &= kept.is_empty();
        self.out.peers = kept;
        if !self.out.store.is_empty()
            && let Err(back) = (self.parts.store)(std::mem::take(&mut self.out.store))
        {
            // The shard bounds what it has asked and not heard of.
            self.out.store = back;
            all = false;
        }
        let mut controls = std::mem::take(&mut self.out.controls).into_iter();
        while let Some(control) = controls.next() {
            if let Err(back) = (self.parts.controls)(self.parts.id, control) {
                self.out.controls.push(back);
                self.out.controls.extend(controls);
                return false;
            }
        }
        all
    }
}

#[cfg(test)]
mod tests;
