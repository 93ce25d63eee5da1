//! The way of a broadcast by the queues: one entry in each target's.

use std::sync::Arc;

use super::{Endpoint, Taken, count_waiting};
use crate::base::{ConnId, Now};
use crate::engine::conn::State;
use crate::engine::outbound::{EventFrame, Policy};
use crate::engine::topic::Target;

/// A broadcast that is under way.
#[derive(Debug)]
pub(super) struct Broadcast {
    event: Arc<EventFrame>,
    targets: Arc<[Target]>,
    next: usize,
    /// The next target was written to meanwhile.
    is_resumed: bool,
}

impl Broadcast {
    pub fn new(event: Arc<EventFrame>, targets: Arc<[Target]>) -> Broadcast {
        Broadcast { event, targets, next: 0, is_resumed: false }
    }
}

impl Endpoint {
    /// Hands events to their targets' queues, from where it stopped.
    pub(super) fn hand_out(&mut self, now: Now) -> Taken {
        let limits = self.around.settings.outbound;
        while let Some(mut rest) = self.broadcasts.pop_front() {
            let size = rest.event.frame.len();
            while let Some(target) = rest.targets.get(rest.next) {
                let may_stop = !std::mem::take(&mut rest.is_resumed);
                if may_stop && self.table.get(target.conn).is_some_and(|conn| conn.is_pressed(size, &limits)) {
                    rest.is_resumed = true;
                    self.broadcasts.push_front(rest);
                    return Taken::Pressed;
                }
                self.push_event(target.conn, &rest.event, target.policy(), now);
                rest.next += 1;
            }
        }
        Taken::All
    }

    /// No deadline changes, so nothing but the write is looked after.
    pub(super) fn push_event(&mut self, id: ConnId, event: &Arc<EventFrame>, policy: Policy, now: Now) {
        let Some(slot) = self.table.slot(id) else { return };
        slot.conn.outbound.furnish(&mut self.around.spare);
        let before = slot.conn.outbound.bytes();
        let mut cx = self.around.cx(now);
        slot.conn.push_event(event, policy, &mut cx);
        let after = slot.conn.outbound.bytes();
        self.around.gauge.outbound_bytes = self.around.gauge.outbound_bytes + after - before;
        count_waiting(&self.around.counters, before, after);
        if after == 0 {
            // It takes no more.
            slot.conn.outbound.release(&mut self.around.spare);
        }
        if slot.conn.state() == State::Closing {
            // It overflowed: its deadlines changed.
            self.with(id, now, |_, _| ());
        } else if slot.wants_write(after) {
            slot.dirty = true;
            self.dirty.push(id);
        }
        self.table.stepped(id);
    }
}
