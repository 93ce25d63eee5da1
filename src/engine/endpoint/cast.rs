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
use crate::engine::conn::Saved;
use crate::engine::outbound::{EventFrame, Lane};
use crate::engine::topic::Target;
use crate::engine::ws::deflate::Form;

/// Events that are put together.
const EVENTS_MAX: usize = 64;
/// Bytes that are put together: few enough to find room in the tightest empty queue.
const BYTES_MAX: usize = 32 * 1024;

/// Events, in order, and who gets all of them.
#[derive(Debug)]
pub struct Cast {
    plain: Run,
    /// The same events as connections with compression get them, by form and lane; made when the first of
    /// them is met.
    compressed: [Option<Run>; 4],
    /// Which of those the last step was for; `None` for the plain one.
    current: Option<usize>,
    targets: Arc<[Target]>,
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

/// Frames that are written as one.
#[derive(Debug, Default)]
struct Run {
    events: Vec<Arc<EventFrame>>,
    /// The frames, one after another, where there are several.
    joined: Vec<u8>,
    bytes: usize,
    /// What of it is compressed.
    saved: Saved,
}

impl Run {
    fn push(&mut self, event: Arc<EventFrame>) {
        self.bytes += event.frame.len();
        self.events.push(event);
    }

    fn join(&mut self) {
        if self.events.len() > 1 {
            self.joined.reserve_exact(self.bytes);
            for event in &self.events {
                self.joined.extend_from_slice(&event.frame);
            }
        }
    }

    fn bytes(&self) -> &[u8] {
        match &*self.events {
            [event] => &event.frame,
            _ => &self.joined,
        }
    }
}

impl Cast {
    fn new(event: Arc<EventFrame>, targets: Arc<[Target]>) -> Cast {
        let mut plain = Run::default();
        plain.push(event);
        Cast { plain, compressed: Default::default(), current: None, targets, next: 0, is_resumed: false }
    }

    /// What goes out to the connection of the last step.
    pub fn bytes(&self) -> &[u8] {
        self.run().bytes()
    }

    fn run(&self) -> &Run {
        self.current.and_then(|index| self.compressed[index].as_ref()).unwrap_or(&self.plain)
    }

    fn into_broadcasts(self) -> impl Iterator<Item = Broadcast> {
        self.plain.events.into_iter().map(move |event| Broadcast::new(event, self.targets.clone()))
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
                if cast.plain.events.len() < frames_max
                    && cast.plain.bytes + event.frame.len() <= bytes_max
                    && (Arc::ptr_eq(&cast.targets, &targets) || cast.targets == targets) =>
            {
                cast.plain.push(event);
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
        cast.plain.join();
        Some(cast)
    }

    /// Whom a cast goes to next, and how; `None` when it has gone to all.
    pub fn next_of(&mut self, cast: &mut Cast, now: Now) -> Option<CastStep> {
        let limits = self.around.settings.outbound;
        while let Some(target) = cast.targets.get(cast.next).copied() {
            let conn = target.conn;
            if self.table.is_straight(conn) {
                cast.current =
                    self.table.form(conn).map(|form| self.compress(conn, form, target.flags.lane(), cast, now));
                cast.next += 1;
                return Some(CastStep::Send(conn));
            }
            let may_stop = !std::mem::take(&mut cast.is_resumed);
            if may_stop && self.table.get(conn).is_some_and(|conn| conn.is_pressed(cast.plain.bytes, &limits)) {
                cast.is_resumed = true;
                return Some(CastStep::Flush(conn));
            }
            self.queue(conn, &target, cast, now);
            cast.next += 1;
        }
        None
    }

    /// So much of a cast went out to a connection; `blocked` if its socket took less than offered.
    pub fn on_cast(&mut self, id: ConnId, cast: &Cast, count: usize, blocked: bool, now: Now) {
        let run = cast.run();
        if count == run.bytes && !blocked {
            let counters = &self.around.counters;
            counters.add(Metric::EVENTS_DELIVERED, run.events.len() as u64);
            counters.add(Metric::BYTES_OUT, count as u64);
            if cast.current.is_some() {
                run.saved.count(counters);
            }
            return;
        }
        // It was the last one handed out.
        if let Some(target) = cast.next.checked_sub(1).and_then(|last| cast.targets.get(last)) {
            self.queue(id, target, cast, now);
            self.on_sent(id, count, blocked, now);
        }
    }

    /// Makes the form of the events that goes to a connection, unless it is made; says where it is.
    fn compress(&mut self, id: ConnId, form: Form, lane: Lane, cast: &mut Cast, now: Now) -> usize {
        let index = 2 * form as usize + usize::from(lane == Lane::Bulk);
        if cast.compressed[index].is_none()
            && let Some(conn) = self.table.get(id)
        {
            let mut run = Run::default();
            let mut cx = self.around.cx(now);
            for event in &cast.plain.events {
                let compressed = conn.compressed(event, lane, &mut cx);
                if let Some(compressed) = compressed {
                    run.saved.add(&event.frame, &compressed.frame);
                }
                run.push(compressed.unwrap_or(event).clone());
            }
            run.join();
            cast.compressed[index] = Some(run);
        }
        index
    }

    fn queue(&mut self, id: ConnId, target: &Target, cast: &Cast, now: Now) {
        for event in &cast.plain.events {
            self.push_event(id, event, target.policy(), now);
        }
    }
}
