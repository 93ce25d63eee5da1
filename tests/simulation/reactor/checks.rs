//! What must hold after each turn of a reactor.

use super::Reactor;
use crate::floor::Floor;

impl Reactor {
    /// Nothing may be left to do that no event will ever remind of.
    pub(super) fn check_asleep(&self, floor: &Floor<'_>) {
        for (id, socket) in &self.sockets {
            let Some(conn) = self.endpoint.connection(*id) else { continue };
            let worker = usize::from(hydrogen::engine::work::worker_of(*id, floor.plan.workers).0);
            let stalled = conn.is_websocket() && self.stalled[worker];
            assert!(
                !socket.readable || socket.queued || socket.at_end || stalled || !conn.may_read(&floor.plan.settings),
                "{id} has bytes to read, and nothing will wake the reactor for them"
            );
            assert!(
                conn.outbound.bytes() == 0 || floor.links[socket.link].is_full || floor.links[socket.link].edges.any(),
                "{id} has bytes to write, and nothing will wake the reactor for them"
            );
        }
    }

    /// The bounds of every queue, and the sums.
    pub(super) fn check(&self, floor: &Floor<'_>) {
        let limits = floor.plan.settings.outbound;
        let mut bytes = 0;
        for id in self.sockets.keys() {
            let Some(conn) = self.endpoint.connection(*id) else { continue };
            bytes += conn.outbound.bytes();
            // Events have the limit, but for one that is larger and waits alone, and one that is
            // partly out; the close frame always may wait.
            let largest = floor.shadow.largest_frame;
            let events = conn.outbound.bytes() - conn.outbound.control_bytes();
            let most = limits.bytes_max.max(largest) + largest + 127;
            assert!(events <= most, "{id}: {events} bytes of events wait, {most} may");
            // Answers are bounded by what may be asked before the first of them is read, and what
            // the server tells of its own accord is a few.
            let (answers, most) = (conn.outbound.control_frames(), 2 * floor.plan.settings.in_flight_max as usize + 16);
            assert!(answers <= most, "{id}: {answers} answers wait, {most} may");
            // One is partly out, and one may be the close frame.
            let (frames, most) = (conn.outbound.frames() - answers, limits.frames_max + 2);
            assert!(frames <= most, "{id}: {frames} events wait, {most} may");
        }
        assert_eq!(bytes, self.endpoint.outbound_bytes(), "reactor {}: bytes that wait", self.index);
        for (id, flight) in &self.flights {
            assert!(*flight <= floor.plan.settings.in_flight_max, "{id}: {flight} messages are with its worker");
        }
    }

    /// Messages that are with the workers and not settled.
    pub fn in_flight(&self) -> u32 {
        self.flights.values().sum()
    }
}
