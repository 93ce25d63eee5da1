//! What a member does in all of its rooms at once: it takes a new name, or has proved its key.

use std::sync::Arc;

use super::Signaling;
use super::peer::{Deed, Part, Say};
use super::room::{Change, Then};
use super::wire::{Notice, Refusal};
use crate::base::{ConnId, WorkerId};

impl Signaling {
    #[allow(clippy::too_many_arguments, reason = "one message's fields, taken apart once")]
    pub(super) fn on_member(
        &mut self,
        id: &str,
        back: WorkerId,
        ask: u64,
        conn: ConnId,
        key: Arc<str>,
        deed: Deed,
        is_proved: bool,
    ) {
        let policy = self.settings.proof;
        let Some(room) = self.rooms.get_mut(id) else { return };
        let refusal = if room.needs_proof(&key, policy) && !is_proved {
            Some(Refusal::ProofRequired)
        } else {
            room.is_anothers(conn, &key, is_proved).then_some(Refusal::KeyInUse)
        };
        if let Some(refusal) = refusal {
            return self.fx.say(back, Say::Part { ask, part: Part::Refused(refusal) });
        }
        let mut record = room.record.clone();
        let then = match (record.member_mut(&key), deed) {
            (Some(member), Deed::Name(name)) if member.name != name => {
                member.name = name;
                Then::Name { back, ask, key }
            }
            (Some(member), Deed::Prove) if !member.is_proved => {
                member.is_proved = true;
                Then::Prove { back, ask, conn, key }
            }
            (None, _) | (_, Deed::Name(_) | Deed::Prove) => {
                return self.fx.say(back, Say::Part { ask, part: Part::Done(true) });
            }
        };
        self.begin(id, Change::Put { record, then });
    }

    /// All but the member itself are told of its new name.
    pub(super) fn tell_name(&mut self, id: &str, key: &str) {
        let Some(room) = self.rooms.get(id) else { return };
        let told: Vec<ConnId> = room.live.iter().filter(|live| *live.key != *key).map(|live| live.conn).collect();
        let name = room.person(key).name;
        self.fx.tell(&told, Notice::Named { room: id.into(), key: key.into(), name });
    }

    /// Nobody is in a room any more with a key that it only states, and another connection has proved.
    pub(super) fn put_out_unproved(&mut self, id: &str, conn: ConnId, key: &str) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        if let Some(live) = room.live_mut(conn) {
            live.is_proved = true;
        }
        let gone = room.take_unproved(key);
        let others = room.all();
        let conns: Vec<ConnId> = gone.iter().map(|live| live.conn).collect();
        if !conns.is_empty() {
            self.fx.tell(&conns, Notice::PutOut { room: id.into() });
            self.tell_lost(id, key, &gone, &others);
        }
    }
}
