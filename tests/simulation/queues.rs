//! The queues between the threads: bounded, with the wake-ups that the real ones have.

use std::collections::VecDeque;
use std::sync::Arc;

use hydrogen::base::WorkerId;

use hydrogen::engine::auth::Access;
use hydrogen::engine::store::StoreEvent;
use hydrogen::engine::work::{Batch, Completion, Emission, Notice, Order};
use hydrogen::server::shard::Peer;

/// What a reactor is sent.
pub enum ToReactor {
    Orders(Vec<Order>),
    /// The link of this number.
    Adopt(usize),
    Access(Arc<Access>),
    Drain,
}

/// What a worker is sent, besides batches.
pub enum ToWorker {
    Peer(WorkerId, Peer),
    Completion(Completion),
    Emission(Emission),
    Store(StoreEvent),
    Notice(Notice),
}

/// A bounded queue.
pub struct Queue<T> {
    items: VecDeque<T>,
    most: usize,
}

impl<T> Queue<T> {
    fn new(most: usize) -> Queue<T> {
        Queue { items: VecDeque::new(), most }
    }

    pub fn push(&mut self, item: T) -> Result<(), T> {
        if self.items.len() >= self.most {
            return Err(item);
        }
        self.items.push_back(item);
        assert!(self.items.len() <= self.most);
        Ok(())
    }

    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// One thread's sleep: until it is woken, or until a time.
#[derive(Default)]
pub struct Sleep {
    pub is_asleep: bool,
    pub until: Option<u64>,
}

impl Sleep {
    pub fn is_over(&self, now: u64) -> bool {
        !self.is_asleep || self.until.is_some_and(|until| until <= now)
    }
}

pub struct Queues {
    pub orders: Vec<Queue<ToReactor>>,
    pub batches: Vec<Queue<Batch>>,
    pub messages: Vec<Queue<ToWorker>>,
    pub reactors: Vec<Sleep>,
    pub workers: Vec<Sleep>,
}

impl Queues {
    pub fn new(plan: &crate::plan::Plan) -> Queues {
        Queues {
            orders: (0..plan.reactors).map(|_| Queue::new(plan.orders_max)).collect(),
            batches: (0..plan.workers).map(|_| Queue::new(plan.batches_max)).collect(),
            messages: (0..plan.workers).map(|_| Queue::new(plan.messages_max)).collect(),
            reactors: (0..plan.reactors).map(|_| Sleep::default()).collect(),
            workers: (0..plan.workers).map(|_| Sleep::default()).collect(),
        }
    }

    pub fn send_reactor(&mut self, reactor: usize, message: ToReactor) -> Result<(), ToReactor> {
        self.orders[reactor].push(message)?;
        self.reactors[reactor].is_asleep = false;
        Ok(())
    }

    pub fn send_worker(&mut self, worker: usize, message: ToWorker) -> Result<(), ToWorker> {
        self.messages[worker].push(message)?;
        self.workers[worker].is_asleep = false;
        Ok(())
    }

    pub fn batch(&mut self, worker: usize, batch: Batch) -> Result<(), Batch> {
        self.batches[worker].push(batch)?;
        self.workers[worker].is_asleep = false;
        Ok(())
    }
}
