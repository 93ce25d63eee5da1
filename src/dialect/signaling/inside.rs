//! What goes on inside of a room besides signals: presence, lost connections, and relayed data.

use std::net::SocketAddr;
use std::time::Duration;

use super::Signaling;
use super::limits::MESSAGE_BYTES;
use super::meter::Rate;
use super::peer::{Caller, Say};
use super::wire::{Notice, Refusal, Reply};
use crate::base::{ConnId, Metric, Now, WorkerId};

/// In which a relay's quota comes back.
pub(super) const MINUTE: Duration = Duration::from_secs(60);

impl Signaling {
    pub(super) fn on_presence(&mut self, id: &str, caller: Caller) {
        let Some(room) = self.rooms.get(id) else { return };
        let reply = match room.live(caller.conn) {
            Some(_) => Reply::Present { room: id.into(), peers: room.present(&caller.key) },
            None => Reply::Refused(Refusal::NotInThis),
        };
        self.fx.answer(caller, reply);
    }

    pub(super) fn on_away(&mut self, id: &str, conn: ConnId) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let others = room.others(conn);
        // One that was lost while it came in once more is told of twice.
        let Some(live) = room.live_mut(conn).filter(|live| !live.is_away) else { return };
        live.is_away = true;
        let notice = Notice::Away { room: id.into(), key: live.key.as_ref().into(), peer: live.peer };
        self.fx.tell(&others, notice);
    }

    pub(super) fn on_rebind(
        &mut self,
        id: &str,
        from: ConnId,
        to: ConnId,
        address: SocketAddr,
        is_proved: bool,
        back: WorkerId,
    ) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let (others, name) = (room.others(from), room.record.name.clone());
        let bound = room.live_mut(from).map(|live| {
            (live.conn, live.address, live.is_away) = (to, address, false);
            live.is_proved |= is_proved;
            Notice::Back { room: id.into(), key: live.key.as_ref().into(), peer: live.peer }
        });
        let name = bound.is_some().then_some(name);
        if let Some(notice) = bound {
            self.fx.tell(&others, notice);
        }
        self.fx.say(back, Say::Rebound { from, room: id.into(), name });
    }

    pub(super) fn on_relay(&mut self, id: &str, caller: Caller, target: &str, data: Box<str>, now: Now) {
        let quota = self.settings.relay.room_bytes.map(|bytes| Rate { burst: bytes as u64, period: MINUTE });
        let Some(room) = self.rooms.get_mut(id) else { return };
        if room.live(caller.conn).is_none() {
            return self.fx.refuse(caller, Refusal::NotInThis);
        }
        // Nothing relayed waits for who is away.
        let to: Vec<ConnId> = match target {
            "" => room
                .live
                .iter()
                .filter(|live| live.conn != caller.conn && !live.is_away)
                .map(|live| live.conn)
                .collect(),
            target => {
                let found = room.find(target, caller.conn, &caller.key).filter(|live| !live.is_away);
                found.map(|live| live.conn).into_iter().collect()
            }
        };
        if to.is_empty() && !target.is_empty() {
            return self.fx.refuse(caller, Refusal::NoTarget);
        }
        let bytes = (data.len() + MESSAGE_BYTES) * to.len();
        if quota.is_none_or(|quota| !room.relayed.take(bytes as u64, quota, now.mono)) {
            self.counters.inc(Metric::SIGNALING_RELAY_REFUSED);
            return self.fx.refuse(caller, Refusal::RelayQuota);
        }
        self.counters.add(Metric::SIGNALING_RELAYED, to.len() as u64);
        self.counters.add(Metric::SIGNALING_RELAYED_BYTES, (to.len() * data.len()) as u64);
        let (key, peer) = (caller.key.as_ref().into(), caller.peer);
        self.fx.tell(&to, Notice::Relay { room: id.into(), key, peer, data });
        self.fx.answer(caller, Reply::Nothing);
    }
}
