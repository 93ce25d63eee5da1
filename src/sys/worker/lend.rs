//! A worker's shard, lent to a reactor for one small batch.
//!
//! While little happens, what a command costs is not the work but the two times that a thread is
//! woken for it. So a reactor that has a small batch for a worker that sleeps, and has nothing left to
//! do, steps the shard itself and carries out the orders in the same turn. The lock makes it the
//! shard's owner for that time; who finds it held, or anything waiting, queues as ever, and so
//! everything keeps its order.

use std::time::Duration;

use parking_lot::Mutex;

use super::turn::Core;
use crate::base::{Metric, ReactorId};
use crate::engine::work::{Batch, Order, Shard};
use crate::sys::mailbox::as_worker_thread;

/// Messages of a batch that is worth no other thread.
const ITEMS_MAX: usize = 8;
/// Bytes of such a batch.
const BYTES_MAX: usize = 16 * 1024;
/// A step that takes longer keeps the reactor from its sockets.
const LONG: Duration = Duration::from_micros(500);
/// After a long one the reactor has this many times as much to itself.
const REST: u32 = 10;

/// A shard that may be borrowed.
pub trait Lent: Send + Sync {
    /// Steps the shard with a batch, unless that is for its own thread: then nothing has changed.
    ///
    /// `has_room` says whether nothing waits in the reactor's own queue. If so the orders for it are put
    /// into `orders`, otherwise they come by its queue, behind what waits there.
    fn step(&self, batch: &Batch, from: ReactorId, has_room: &dyn Fn() -> bool, orders: &mut Vec<Order>) -> Step;
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It was taken.
    Taken,
    /// It is to be queued.
    Busy,
}

impl<S: Shard> Lent for Mutex<Core<S>> {
    fn step(&self, batch: &Batch, from: ReactorId, has_room: &dyn Fn() -> bool, orders: &mut Vec<Order>) -> Step {
        if batch.items.len() > ITEMS_MAX || batch.texts.len() + batch.bytes.len() > BYTES_MAX {
            return Step::Busy;
        }
        let Some(mut core) = self.try_lock() else { return Step::Busy };
        let began = core.parts.clock.now().mono;
        if core.has_ended() || !core.parts.inbox.is_empty() || !core.out.is_empty() || began < core.lent_from {
            return Step::Busy;
        }
        as_worker_thread(|| core.on_batch(batch));
        core.parts.counters.inc(Metric::BATCHES_LENT);
        if has_room()
            && let Some(own) = core.out.orders.get_mut(usize::from(from.0))
        {
            orders.append(own);
        }
        let handed_on = core.hand_on();
        let now = core.parts.clock.now().mono;
        let took = now.since(began);
        if took > LONG {
            core.lent_from = now.after(took * REST);
        }
        // The thread sleeps until a time that was right before this.
        let wakes_at = core.wakes_at;
        let is_early = core.parts.shard.poll_timeout().is_some_and(|at| wakes_at.is_none_or(|wakes_at| at < wakes_at));
        if !handed_on || is_early {
            core.parts.inbox.nudge();
        }
        Step::Taken
    }
}
