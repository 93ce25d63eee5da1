//! Pings and idleness: whether the peer of a WebSocket is still there.

use super::websocket::reads_its_answers;
use super::{Connection, Cx, Event, State, TimerKind};
use crate::base::{Metric, Reason};
use crate::engine::ws;

impl Connection {
    /// Bytes of the peer wait in its socket, and are not read. Unless that is because it does not
    /// read what it is sent, its silence says nothing.
    pub fn on_held_back(&mut self, cx: &mut Cx<'_>) {
        if reads_its_answers(&self.outbound, cx.settings) {
            self.last_received = cx.now.mono;
        }
    }

    pub(super) fn on_liveness(&mut self, cx: &mut Cx<'_>) {
        let silent_since = self.last_received;
        match self.state {
            State::Connected => {
                let due = silent_since.after(cx.settings.ping_interval);
                if cx.now.mono < due {
                    self.timers.set(TimerKind::Liveness, due);
                    return;
                }
                cx.counters.inc(Metric::PINGS_OUT);
                self.enter(Event::PingDue, cx);
                // A ping that goes out late, after a stop of the process, has its time to be answered.
                let answer_time = cx.settings.idle_timeout.saturating_sub(cx.settings.ping_interval);
                self.timers.set(TimerKind::Liveness, cx.now.mono.after(answer_time));
                self.push_control(ws::ping(b""), cx);
            }
            State::Heartbeat => {
                let due = silent_since.after(cx.settings.idle_timeout);
                if cx.now.mono < due {
                    self.timers.set(TimerKind::Liveness, due);
                    return;
                }
                self.enter(Event::IdleTimeout, cx);
                self.close(Reason::Idle, "idle: nothing came for the idle timeout", cx);
            }
            State::Connecting
            | State::Verifying
            | State::Established
            | State::Inactive
            | State::Closing
            | State::Failed
            | State::Rejected
            | State::Closed => {}
        }
    }
}
