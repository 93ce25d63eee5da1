//! A simulated worker thread: what `sys/worker` does in a turn, in the same order.

use std::time::Duration;

use hydrogen::base::WorkerId;

use hydrogen::engine::store::Op;
use hydrogen::engine::work::{Batch, Order, Outbox, Shard};
use hydrogen::server::shard::{Dialects, Peer};

use crate::floor::Floor;
use crate::queues::{ToReactor, ToWorker};

const RETRY: Duration = Duration::from_micros(200);

pub struct Worker {
    pub index: usize,
    pub shard: Dialects,
    out: Outbox<Peer>,
    /// While effects are kept back, batches wait.
    takes_batches: bool,
}

impl Worker {
    pub fn new(index: usize, shard: Dialects, reactors: usize) -> Worker {
        Worker { index, shard, out: Outbox::new(reactors), takes_batches: true }
    }

    pub fn is_runnable(&self, floor: &Floor<'_>) -> bool {
        floor.queues.workers[self.index].is_over(floor.now.mono.0)
            || !floor.queues.messages[self.index].is_empty()
            || (self.takes_batches && !floor.queues.batches[self.index].is_empty())
    }

    /// Whether a reactor may borrow the shard: nothing waits that would be overtaken.
    pub fn is_lent(&self, floor: &Floor<'_>) -> bool {
        floor.queues.workers[self.index].is_asleep && self.is_idle(floor)
    }

    /// Steps the shard for a reactor; returns the orders for it, unless they have to queue.
    pub fn step_lent(&mut self, batch: &Batch, reactor: usize, floor: &mut Floor<'_>) -> Vec<Order> {
        floor.say(format!("reactor {reactor} takes a batch of {} for worker {}", batch.items.len(), self.index));
        self.shard.on_batch(batch, floor.now, &mut self.out);
        let has_room = floor.queues.orders[reactor].is_empty();
        let orders = if has_room { std::mem::take(&mut self.out.orders[reactor]) } else { Vec::new() };
        let handed_on = self.hand_on(floor);
        let sleep = &mut floor.queues.workers[self.index];
        let is_early = self.shard.poll_timeout().is_some_and(|at| sleep.until.is_none_or(|until| at.0 < until));
        sleep.is_asleep &= handed_on && !is_early;
        orders
    }

    /// Whether nothing that it was sent or has to send is left.
    pub fn is_idle(&self, floor: &Floor<'_>) -> bool {
        self.out.is_empty()
            && floor.queues.messages[self.index].is_empty()
            && floor.queues.batches[self.index].is_empty()
    }

    pub fn turn(&mut self, floor: &mut Floor<'_>) {
        let worked = self.take(floor);
        let handed_on = self.hand_on(floor);
        let sleep = &mut floor.queues.workers[self.index];
        self.takes_batches = handed_on;
        sleep.is_asleep = !(worked && handed_on);
        let retry = (!handed_on).then(|| floor.now.mono.after(RETRY));
        sleep.until = if handed_on { self.shard.poll_timeout() } else { retry }.map(|at| at.0);
    }

    fn take(&mut self, floor: &mut Floor<'_>) -> bool {
        let now = floor.now;
        let mut worked = false;
        for _ in 0..floor.plan.messages_per_turn {
            let Some(message) = floor.queues.messages[self.index].pop() else { break };
            floor.say(format!("worker {} takes {}", self.index, name(&message)));
            match message {
                ToWorker::Peer(from, message) => self.shard.on_peer(from, message, now, &mut self.out),
                ToWorker::Completion(completion) => self.shard.on_completion(completion, now, &mut self.out),
                ToWorker::Emission(emission) => {
                    floor.shadow.on_emitted(&emission);
                    self.shard.on_emission(emission, now, &mut self.out);
                }
                ToWorker::Store(event) => self.shard.on_store(&event, now, &mut self.out),
                ToWorker::Notice(notice) => self.shard.on_notice(&notice, now, &mut self.out),
            }
            worked = true;
        }
        if (self.out.is_empty() || worked)
            && self.hand_on(floor)
            && let Some(batch) = floor.queues.batches[self.index].pop()
        {
            floor.say(format!("worker {} takes a batch of {}", self.index, batch.items.len()));
            self.shard.on_batch(&batch, now, &mut self.out);
            worked = true;
        }
        if self.shard.poll_timeout().is_some_and(|at| at <= now.mono) {
            floor.say(format!("worker {} has a deadline", self.index));
            self.shard.on_timeout(now, &mut self.out);
            worked = true;
        }
        worked
    }

    fn hand_on(&mut self, floor: &mut Floor<'_>) -> bool {
        let mut all = true;
        for (index, orders) in self.out.orders.iter_mut().enumerate() {
            if orders.is_empty() {
                continue;
            }
            match floor.queues.send_reactor(index, ToReactor::Orders(std::mem::take(orders))) {
                Ok(()) => {}
                Err(ToReactor::Orders(back)) => {
                    *orders = back;
                    all = false;
                }
                Err(_) => {}
            }
        }
        let mut kept: Vec<(WorkerId, Peer)> = Vec::new();
        for (to, message) in self.out.peers.drain(..) {
            if kept.iter().any(|(held, _)| *held == to) {
                kept.push((to, message));
                continue;
            }
            let message = ToWorker::Peer(WorkerId(self.index as u16), message);
            match floor.queues.send_worker(usize::from(to.0), message) {
                Ok(()) => {}
                Err(ToWorker::Peer(_, message)) => kept.push((to, message)),
                Err(_) => {}
            }
        }
        all &= kept.is_empty();
        self.out.peers = kept;
        // Retained events alone: what a store does is for the simulation of guaranteed delivery.
        for request in self.out.store.drain(..) {
            assert!(matches!(request.op, Op::Write(_)), "nothing is read here");
            floor.desk.stored.push_back((request.worker, request.ticket));
        }
        while let Some(control) = self.out.controls.pop() {
            floor.desk.controls.push_back((WorkerId(self.index as u16), control));
        }
        all
    }
}

fn name(message: &ToWorker) -> &'static str {
    match message {
        ToWorker::Peer(..) => "a peer's message",
        ToWorker::Completion(_) => "a completion",
        ToWorker::Emission(_) => "an emission",
        ToWorker::Store(_) => "a completion of the store",
        ToWorker::Notice(_) => "a notice",
    }
}
