//! What shards tell each other, handed to whom it is for; and the end of a server.

use serde_json::json;

use super::Signaling;
use super::peer::Say;
use super::wire::Message;
use crate::base::{ConnId, Metric, Now, WorkerId};
use crate::engine::work::StopCause;

impl Signaling {
    pub(super) fn hear(&mut self, from: WorkerId, say: Say, now: Now) {
        match say {
            Say::Admit { conn, address, has_password } => {
                let result = self.throttle.admit(address, has_password, now.mono);
                if let Err(throttled) = result {
                    self.counters.inc(Metric::SIGNALING_THROTTLED.at(throttled as usize));
                    self.counters.inc(Metric::RATE_LIMITED);
                }
                let is_admitted = result.is_ok();
                self.fx.say(from, Say::Admitted { conn, is_admitted, has_password, address });
            }
            Say::Admitted { conn, is_admitted, has_password, address } => {
                self.on_admitted(conn, is_admitted, has_password, address, now);
                self.take_held(conn, now);
            }
            Say::Refund { address } => self.throttle.refund(address, now.mono),
            Say::Create { caller, name, password } => self.on_create(caller, name, password, now),
            Say::Room { room, ask } => self.on_ask(&room, ask, now),
            Say::Answer { conn, meta, alone, key, reply } => self.on_answer(conn, &meta, alone, key, &reply, now),
            Say::Tell { conns, notice } => self.on_tell(conns, &notice, now),
            Say::RoomsOf { ask, key, is_proved } => self.on_rooms_of(from, ask, &key, is_proved),
            Say::Member { ask, conn, key, deed, is_proved } => {
                self.on_member_all(from, ask, conn, &key, &deed, is_proved);
            }
            Say::IsProved { ask, key } => self.on_is_proved(from, ask, &key),
            Say::Part { ask, part } => self.on_part(ask, part, now),
            Say::Resume { to, address, token, key, is_proved } => {
                self.on_resume(to, address, &token, key.as_ref(), is_proved);
            }
            Say::Rebound { from, room, name } => self.on_rebound(from, room, name),
            Say::Resumed { to, handover } => self.on_resumed(to, handover, now),
            Say::Count(rooms) => {
                if let Some(count) = self.rooms_elsewhere.get_mut(usize::from(from.0)) {
                    *count = rooms;
                }
            }
        }
    }

    /// The server stops: everyone is told, and nothing is kept for who is lost now.
    pub(super) fn drain(&mut self, cause: StopCause, now: Now) {
        self.draining = Some(cause);
        let conns: Vec<ConnId> = self.conns.keys().copied().collect();
        for conn in conns {
            self.tell_end(conn, cause, now);
        }
        self.save_all(now);
    }

    /// A connection is told that the server stops.
    pub(super) fn tell_end(&mut self, conn: ConnId, cause: StopCause, now: Now) {
        let restart_info = match cause {
            StopCause::Asked => "Server is being restarted for maintenance.",
            StopCause::Interrupted => "Server will be back soon.",
        };
        let payload = json!({
            "message": "Server is shutting down for maintenance",
            // Connections are closed behind this message, as soon as what they asked is answered.
            "shutdown_in_seconds": 0,
            "restart_info": restart_info,
        });
        let message = Message { name: "ServerShutdown", payload: payload.to_string() };
        let id = self.fresh_id();
        self.push(conn, &id, &message, now);
    }

    /// All workers but this one.
    pub(super) fn other_workers(&self) -> impl Iterator<Item = WorkerId> + use<> {
        let own = self.fx.worker;
        (0..self.fx.workers as u16).map(WorkerId).filter(move |worker| *worker != own)
    }
}
