//! Who goes: for a while, for good, or since its connection is over.

use super::Signaling;
use super::peer::Caller;
use super::room::{Change, Live, Then};
use super::wire::{Notice, Refusal, Reply};
use crate::base::{ConnId, Now};

impl Signaling {
    pub(super) fn on_disconnect(&mut self, id: &str, caller: Caller, now: Now) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let Some(gone) = room.take_live(caller.conn) else { return self.fx.refuse(caller, Refusal::NotInThis) };
        let (others, is_owner) = (room.all(), gone.key == room.record.owner);
        self.fx.answer(caller, Reply::Disconnected { room: id.into() });
        let (key, peer) = (gone.key.as_ref().into(), gone.peer);
        self.fx.tell(&others, Notice::Disconnected { room: id.into(), key, peer });
        self.tell_who_stays(id, &gone.key);
        if is_owner {
            self.mark_active(id, now);
        }
    }

    pub(super) fn on_leave(&mut self, id: &str, caller: Box<Caller>) {
        let Some(room) = self.rooms.get(id) else { return };
        if room.needs_proof(&caller.key, self.settings.proof) && !caller.is_proved {
            return self.fx.refuse(*caller, Refusal::ProofRequired);
        }
        if room.is_anothers(caller.conn, &caller.key, caller.is_proved) {
            return self.fx.refuse(*caller, Refusal::KeyInUse);
        }
        if caller.key == room.record.owner {
            return self.begin(id, Change::Delete { caller: Some(caller) });
        }
        if room.record.member(&caller.key).is_none() {
            return self.fx.answer(*caller, Reply::Left { room: id.into() });
        }
        let mut record = room.record.clone();
        record.members.retain(|member| member.key != caller.key);
        self.begin(id, Change::Put { record, then: Then::Leave { caller } });
    }

    pub(super) fn on_left(&mut self, id: &str, caller: Caller) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let (key, asker) = (caller.key.clone(), caller.conn);
        let gone = room.take_key(&key);
        let others = room.all();
        self.fx.answer(caller, Reply::Left { room: id.into() });
        for live in &gone {
            if live.conn != asker {
                self.fx.tell(&[live.conn], Notice::PutOut { room: id.into() });
            }
        }
        self.tell_left(id, &key, gone.iter().map(|live| live.peer).collect(), &others, false);
    }

    /// Others are told of each connection that went, or of a member that had none.
    pub(super) fn tell_left(&mut self, id: &str, key: &str, peers: Vec<u64>, others: &[ConnId], lost: bool) {
        let left = |peer: Option<u64>| {
            let lost = lost && peer.is_some();
            Notice::Left { room: id.into(), key: key.into(), peer, lost }
        };
        if peers.is_empty() {
            self.fx.tell(others, left(None));
        }
        for peer in peers {
            self.fx.tell(others, left(Some(peer)));
        }
    }

    /// Others are told of connections of a key that are in the room no more, and who of them is.
    pub(super) fn tell_lost(&mut self, id: &str, key: &str, gone: &[Live], others: &[ConnId]) {
        self.tell_left(id, key, gone.iter().map(|live| live.peer).collect(), others, true);
        self.tell_who_stays(id, key);
    }

    /// One connection of a key went, and others may be there: who knows members by their keys is told once
    /// more of the latest of them, and that one of the latest but it, with the part that each has.
    fn tell_who_stays(&mut self, id: &str, key: &str) {
        let Some(room) = self.rooms.get(id) else { return };
        let of_key = |is_away: bool| {
            let places = room.live.iter().enumerate().rev();
            places.filter(move |(_, live)| *live.key == *key && live.is_away == is_away).map(|(place, _)| place)
        };
        let mut staying = of_key(false).chain(of_key(true));
        let Some(latest) = staying.next() else { return };
        let others = (0..room.live.len()).filter(|place| *place != latest).collect();
        let rounds = [Some((latest, others)), staying.next().map(|next| (next, vec![latest]))];
        for (of, told) in rounds.into_iter().flatten() {
            let (live, person) = (&room.live[of], room.person(key));
            for polite in [false, true] {
                let told = told.iter().filter(|place| (**place > of) == polite);
                let conns: Vec<ConnId> = told.map(|place| room.live[*place].conn).collect();
                self.fx
                    .tell(&conns, Notice::Stays { room: id.into(), person: person.clone(), peer: live.peer, polite });
                if live.is_away {
                    self.fx.tell(&conns, Notice::Away { room: id.into(), key: key.into(), peer: live.peer });
                }
            }
        }
    }

    pub(super) fn on_gone(&mut self, id: &str, conn: ConnId, now: Now) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let Some(gone) = room.take_live(conn) else { return };
        let (others, is_owner, key) = (room.all(), gone.key == room.record.owner, gone.key.clone());
        self.tell_lost(id, &key, &[gone], &others);
        if is_owner {
            self.mark_active(id, now);
        }
    }
}
