//! What every worker holds after every step: nothing passes its bound, and who is in a room is known.

use std::collections::BTreeSet;

use crate::keys::number_of;
use crate::trace::say;
use crate::world::World;

/// Requests that wait for one room, or for one connection.
const WAITING: usize = 1024;
/// Signals that wait, for one peer.
const SIGNALS: usize = 64;

impl World {
    /// A worker has made a step.
    pub fn look_at(&mut self, worker: usize) {
        let look = self.server.workers[worker].shard.signaling().expect("signaling is served").look();
        let settings = self.plan.settings.clone();
        assert!(look.held_messages <= WAITING, "{} messages wait for one connection", look.held_messages);
        assert!(look.queued_signals <= SIGNALS, "{} signals wait for one peer", look.queued_signals);
        assert!(look.tokens <= look.conns && look.away <= look.conns, "more tokens than connections");
        let mut conns = BTreeSet::new();
        for room in &look.rooms {
            let id = &room.record.id;
            assert!(room.live.len() <= settings.clients_max, "{} connections in {id}", room.live.len());
            assert!(room.members.len() <= settings.members_max, "{} members of {id}", room.members.len());
            assert!(room.mail <= WAITING, "{} requests wait for {id}", room.mail);
            assert!(room.held_candidates <= SIGNALS, "{} candidates are held in {id}", room.held_candidates);
            // In one step one may come, another be refused, and the first go; and so for each request that waited.
            let before = self.mails.insert(id.clone(), room.mail).unwrap_or(0);
            let served = before.saturating_sub(room.mail);
            if room.live.len() + served + 1 >= settings.clients_max || room.members.len() >= settings.members_max {
                self.full.insert(id.clone(), self.step);
            }
            conns.clear();
            for live in &room.live {
                assert!(conns.insert(live.conn), "{} is in {id} twice", live.conn);
                assert!(self.server.conns.contains_key(&live.conn), "{} is in {id}, and nowhere else", live.conn);
                let is_member = room.members.iter().any(|(key, _)| *key == live.key);
                assert!(is_member, "{} is in {id}, and its key is no member", live.conn);
                self.peers.insert(live.conn, live.peer);
                self.ids.entry((live.conn, live.peer)).or_insert(self.step);
                let before = self.keys.insert(live.peer, number_of(&live.key));
                assert!(before.is_none_or(|key| key == self.keys[&live.peer]), "peer {:x} has two keys", live.peer);
            }
        }
        self.compare_presence(worker, &look);
        if self.plan.has_proofs {
            self.proofs.follow(&self.server.workers[worker].look, &look, self.step);
            self.check_proved_places(&look);
        }
        self.server.workers[worker].look = look;
    }

    /// Who came into rooms and who went in this step.
    fn compare_presence(&mut self, worker: usize, look: &hydrogen::dialect::signaling::Look) {
        let step = self.step;
        let of = |look: &hydrogen::dialect::signaling::Look| -> BTreeSet<(Box<str>, u64)> {
            let of_room = |room: &hydrogen::dialect::signaling::RoomLook| {
                let id = room.record.id.clone();
                room.live.iter().map(move |live| (id.clone(), live.peer)).collect::<Vec<_>>()
            };
            look.rooms.iter().flat_map(of_room).collect()
        };
        let (before, after) = (of(&self.server.workers[worker].look), of(look));
        for room in &self.server.workers[worker].look.rooms {
            let is_there = |key: &str| {
                let same = look.rooms.iter().find(|other| other.record.id == room.record.id);
                same.is_some_and(|same| same.members.iter().any(|(other, _)| **other == *key))
            };
            for (key, _) in room.members.iter().filter(|(key, _)| !is_there(key)) {
                self.gone.insert((room.record.id.clone(), number_of(key)), step);
            }
        }
        for room in &look.rooms {
            for (key, _) in &room.members {
                self.gone.remove(&(room.record.id.clone(), number_of(key)));
            }
        }
        for gone in before.difference(&after) {
            say!(self, "peer {:x} is out of {}", gone.1, gone.0);
            self.present.remove(gone);
            self.went.insert(gone.clone(), step);
        }
        for new in after.difference(&before) {
            say!(self, "peer {:x} is in {}", new.1, new.0);
            self.present.insert(new.clone(), step);
            *self.histories.entry(new.0.clone()).or_default().entries.entry(new.1).or_default() += 1;
        }
    }

    /// Whether a peer was in a room all the time since before a step.
    pub fn was_there(&self, room: &str, peer: u64, since: u64) -> bool {
        let place = (Box::from(room), peer);
        let is_present = self.present.get(&place).is_some_and(|from| *from < since);
        is_present && self.out.get(&place).is_none_or(|at| *at < since)
    }
}
