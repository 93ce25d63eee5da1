//! Broadcasts that need no queue: all go to the same targets, from one buffer.
//!
//! Most connections have nothing waiting when an event comes. For those it is written straight from
//! the one frame, or from the frames of a turn put together once for all, and what the queue would do
//! for each of them is left out. Who has something waiting, or does not take all of it, goes by its
//! queue as ever, so that order and limits hold.

use std::sync::Arc;

use super::Endpoint;
use super::broadcast::Broadcast;
use crate::base::{ConnId, Metric, Now};
use crate::engine::outbound::EventFrame;
use crate::engine::topic::Target;

/// Events that are put together.
const EVENTS_MAX: usize = 64;
/// Bytes that are put together: few enough to find room in the tightest empty queue.
const BYTES_MAX: usize = 32 * 1024;

/// Events, in order, and who gets all of them.
#[derive(Debug)]
pub struct Cast {
    events: Vec<Arc<EventFrame>>,
    targets: Arc<[Target]>,
    /// The frames, one after another, where there are several.
    joined: Vec<u8>,
    bytes: usize,
    next: usize,
    /// The next target was written to meanwhile.
    is_resumed: bool,
}

/// What a cast asks for next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CastStep {
    /// Write [`Cast::bytes`] to this connection's socket, and tell [`Endpoint::on_cast`].
    Send(ConnId),
    /// Write what waits for this connection.
    Flush(ConnId),
}

impl Cast {
    fn new(event: Arc<EventFrame>, targets: Arc<[Target]>) -> Cast {
        let bytes = event.frame.len();
        Cast { events: vec![event], targets, joined: Vec::new(), bytes, next: 0, is_resumed: false }
    }

    /// What goes out to each target.
    pub fn bytes(&self) -> &[u8] {
        match &*self.events {
            [event] => &event.frame,
            _ => &self.joined,
        }
    }

    fn join(&mut self) {
        if self.events.len() > 1 {
            self.joined.reserve_exact(self.bytes);
            for event in &self.events {
                self.joined.extend_from_slice(&event.frame);
            }
        }
    }

    fn into_broadcasts(self) -> impl Iterator<Item = Broadcast> {
        self.events.into_iter().map(move |event| Broadcast::new(event, self.targets.clone()))
    }
}

impl Endpoint {
    /// Holds a broadcast back if it may go without a queue; otherwise it goes on the queues' way,
    /// behind those that were held back.
    pub(super) fn on_broadcast(&mut self, event: Arc<EventFrame>, targets: Arc<[Target]>) {
        if self.is_mixed {
            return self.broadcasts.push_back(Broadcast::new(event, targets));
        }
        let frames_max = EVENTS_MAX.min(self.around.settings.outbound.frames_max);
        let bytes_max = BYTES_MAX.min(self.around.settings.outbound.bytes_max);
        match &mut self.cast {
            None => self.cast = Some(Cast::new(event, targets)),
            Some(cast)
                if cast.events.len() < frames_max
                    && cast.bytes + event.frame.len() <= bytes_max
                    && (Arc::ptr_eq(&cast.targets, &targets) || cast.targets == targets) =>
            {
                cast.bytes += event.frame.len();
                cast.events.push(event);
            }
            Some(_) => {
                self.is_mixed = true;
                self.spill();
                self.broadcasts.push_back(Broadcast::new(event, targets));
            }
        }
    }

    /// What was held back goes by the queues after all. Returns whether there was anything.
    pub(super) fn spill(&mut self) -> bool {
        let Some(cast) = self.cast.take() else { return false };
        self.broadcasts.extend(cast.into_broadcasts());
        true
    }

    /// The broadcasts that were held back. To be asked for when there are no more orders, and to be
    /// carried out by [`Endpoint::next_of`] at once.
    pub fn poll_cast(&mut self) -> Option<Cast> {
        self.is_mixed = false;
        let mut cast = self.cast.take()?;
        cast.join();
        Some(cast)
    }

    /// Whom a cast goes to next, and how; `None` when it has gone to all.
    pub fn next_of(&mut self, cast: &mut Cast, now: Now) -> Option<CastStep> {
        let limits = self.around.settings.outbound;
        while let Some(target) = cast.targets.get(cast.next) {
            let conn = target.conn;
            if self.table.is_straight(conn) {
                cast.next += 1;
                return Some(CastStep::Send(conn));
            }
            let may_stop = !std::mem::take(&mut cast.is_resumed);
            if may_stop && self.table.get(conn).is_some_and(|conn| conn.is_pressed(cast.bytes, &limits)) {
                cast.is_resumed = true;
                return Some(CastStep::Flush(conn));
            }
            self.queue(conn, target, cast, now);
            cast.next += 1;
        }
        None
    }

    /// So much of a cast went out to a connection; `blocked` if its socket took less than offered.
    pub fn on_cast(&mut self, id: ConnId, cast: &Cast, count: usize, blocked: bool, now: Now) {
        if count == cast.bytes && !blocked {
            let counters = &self.around.counters;
            counters.add(Metric::EVENTS_DELIVERED, cast.events.len() as u64);
            counters.add(Metric::BYTES_OUT, count as u64);
            return;
        }
        // It was the last one handed out.
        if let Some(target) = cast.next.checked_sub(1).and_then(|last| cast.targets.get(last)) {
            self.queue(id, target, cast, now);
            self.on_sent(id, count, blocked, now);
        }
    }

    fn queue(&mut self, id: ConnId, target: &Target, cast: &Cast, now: Now) {
        for event in &cast.events {
            self.push_event(id, event, target.policy(), now);
        }
    }
}
