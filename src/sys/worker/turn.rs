//! A worker's shard and what carries its effects: orders to the reactors, messages to other
//! workers, requests to the keeper of the access snapshot and to the store.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use super::{END_WITHIN, Next, Parts, RETRY};
use crate::base::{Metric, Mono};
use crate::engine::work::{Batch, Outbox, Shard};
use crate::sys::mailbox::{ToReactor, ToWorker};

/// Messages that are taken before effects are handed on.
pub(super) const MESSAGES_PER_TURN: usize = 256;

/// All of a worker but its thread.
pub(super) struct Core<S: Shard> {
    pub(super) parts: Parts<S>,
    pub(super) out: Outbox<S::Peer>,
    /// When the thread wakes by itself; `None` if it does not.
    pub(super) wakes_at: Option<Mono>,
    /// When it may be lent again.
    pub(super) lent_from: Mono,
    stop: bool,
}

impl<S: Shard> Core<S> {
    pub(super) fn new(parts: Parts<S>) -> Core<S> {
        let out = Outbox::new(parts.reactors.len());
        Core { parts, out, wakes_at: None, lent_from: Mono(0), stop: false }
    }

    /// Whether it takes nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        self.stop
    }

    /// Takes what waits, hands on what comes of it, and says how to go on.
    pub(super) fn turn(&mut self) -> Next {
        let worked = self.work();
        let handed_on = self.hand_on();
        if self.stop {
            return Next::End;
        }
        if worked && handed_on {
            return Next::Again;
        }
        let wait = if handed_on { self.until_timeout() } else { Some(RETRY) };
        self.wakes_at = wait.map(|wait| self.parts.clock.now().mono.after(wait));
        Next::Sleep { wait, takes_messages: self.takes_messages(), takes_batches: handed_on }
    }

    /// The last turn: takes what came before the end and waits still, and hands on what the shard
    /// asks of the store. Nothing that is stuck keeps it for long.
    pub(super) fn end(&mut self) {
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
                self.on_batch(&batch);
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
    fn work(&mut self) -> bool {
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
                self.on_batch(&batch);
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

    pub(super) fn on_batch(&mut self, batch: &Batch) {
        let now = self.parts.clock.now();
        let counters = self.parts.counters.clone();
        counters.record_ns(Metric::QUEUE_WAIT_NS, now.mono.since(batch.read_at).as_nanos() as u64);
        self.guarded(|shard, out| shard.on_batch(batch, now, out));
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
    pub(super) fn hand_on(&mut self) -> bool {
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
