//! What owners do.

use super::Signaling;
use super::peer::Caller;
use super::room::{Change, Room, Then};
use super::settings::Proof;
use super::wire::{Notice, Refusal, Reply};
use crate::base::{ConnId, Metric, Now};

/// Whether it is the owner who asks, by the key that its connection has, and as the first that has it.
fn check_owner(room: &Room, caller: &Caller, proof: Proof, refusal: Refusal) -> Result<(), Refusal> {
    if caller.key != room.record.owner {
        return Err(refusal);
    }
    if room.needs_proof(&caller.key, proof) && !caller.is_proved {
        return Err(Refusal::ProofRequired);
    }
    if room.is_anothers(caller.conn, &caller.key, caller.is_proved) {
        return Err(Refusal::KeyInUse);
    }
    Ok(())
}

impl Signaling {
    pub(super) fn on_kick(&mut self, id: &str, caller: Box<Caller>, target: Box<str>) {
        let Some(room) = self.rooms.get(id) else { return };
        if let Err(refusal) = check_owner(room, &caller, self.settings.proof, Refusal::OnlyOwnerKicks) {
            return self.fx.refuse(*caller, refusal);
        }
        let live = room.find(&target, caller.conn, &caller.key).or_else(|| room.find_at(&target, caller.conn));
        let key = live.map(|live| live.key.clone()).or_else(|| self.aliases.member(&room.record, &target));
        let Some(key) = key.filter(|key| *key != room.record.owner) else {
            return self.fx.refuse(*caller, Refusal::NoTarget);
        };
        let mut record = room.record.clone();
        record.members.retain(|member| member.key != key);
        self.begin(id, Change::Put { record, then: Then::Kick { caller, target, key } });
    }

    pub(super) fn on_kicked(&mut self, id: &str, caller: Caller, target: Box<str>, key: &str) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let gone = room.take_key(key);
        let others = room.all();
        self.counters.inc(Metric::SIGNALING_KICKED);
        self.fx.answer(caller, Reply::Kicked { room: id.into(), target });
        let conns: Vec<ConnId> = gone.iter().map(|live| live.conn).collect();
        self.fx.tell(&conns, Notice::Kicked { room: id.into() });
        self.tell_left(id, key, gone.iter().map(|live| live.peer).collect(), &others, true);
    }

    pub(super) fn on_rename(&mut self, id: &str, caller: Box<Caller>, name: Box<str>, now: Now) {
        let Some(room) = self.rooms.get(id) else { return };
        if let Err(refusal) = check_owner(room, &caller, self.settings.proof, Refusal::OnlyOwnerRenames) {
            return self.fx.refuse(*caller, refusal);
        }
        let mut record = room.record.clone();
        record.name = name;
        record.last_active = record.last_active.max(now.wall);
        self.begin(id, Change::Put { record, then: Then::Rename { caller } });
    }

    /// Everyone is told, and the owner before it is answered.
    pub(super) fn on_renamed(&mut self, id: &str, caller: Caller) {
        let Some(room) = self.rooms.get(id) else { return };
        let (all, name) = (room.all(), room.record.name.clone());
        self.fx.tell(&all, Notice::Renamed { room: id.into(), name: name.clone() });
        self.fx.answer(caller, Reply::Renamed { room: id.into(), name });
    }
}
