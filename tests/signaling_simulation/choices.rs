//! What clients choose by chance: whom they mean, where, and as whom.

use hydrogen::base::ConnId;

use crate::ask::{Ask, Target};
use crate::keys::NO_KEY;
use crate::world::World;

impl World {
    /// An owner puts somebody out, or somebody else tries to.
    pub fn some_kick(&mut self, conn: ConnId) -> Ask {
        let of = &self.server.conns[&conn];
        let is_owner = |room: &str| self.journal.now(room).is_some_and(|record| Some(record.owner) == of.pinned);
        let own: Vec<(String, Target)> = of
            .views
            .iter()
            .filter(|(room, _)| is_owner(room))
            .flat_map(|(room, view)| view.peers.iter().map(|peer| (room.clone(), peer)).collect::<Vec<_>>())
            .flat_map(|(room, (peer, seen))| [(room.clone(), Target::Peer(*peer)), (room, Target::Key(seen.key))])
            .collect();
        if own.is_empty() || self.dice.chance(20) {
            return Ask::Kick { room: self.own_room(conn), target: self.some_target(conn) };
        }
        let (room, target) = own[self.dice.below(own.len())].clone();
        let target = self.named(target, &room);
        Ask::Kick { room, target }
    }

    /// A key that a client states: mostly its own.
    pub fn some_key(&mut self, c: usize) -> u8 {
        if self.dice.chance(self.plan.strange) {
            return if self.dice.chance(90) {
                self.plan.first + self.dice.below(self.plan.people) as u8
            } else {
                NO_KEY
            };
        }
        self.clients[c].who
    }

    pub fn new_name(&mut self) -> String {
        self.names += 1;
        format!("name-{}", self.names)
    }

    /// A room that is, or was.
    pub fn some_room(&mut self) -> String {
        let count = self.journal.rooms.len();
        if count == 0 || self.dice.chance(2) {
            return self.dice.pick(&["0123456789abcdef", "nonsense", ""]).to_owned();
        }
        let there: Vec<String> = self.journal.there().map(|(id, _)| id.to_owned()).collect();
        match there.is_empty() || self.dice.chance(10) {
            true => {
                let at = self.dice.below(count);
                self.journal.rooms.keys().nth(at).expect("a room").to_string()
            }
            false => there[self.dice.below(there.len())].clone(),
        }
    }

    /// A room in which the connection is, if it is in any.
    pub fn own_room(&mut self, conn: ConnId) -> String {
        let views = &self.server.conns[&conn].views;
        let rooms: Vec<String> = views.keys().cloned().collect();
        if rooms.is_empty() || self.dice.chance(10) {
            return self.some_room();
        }
        rooms[self.dice.below(rooms.len())].clone()
    }

    /// A room, or none: then the current one is meant.
    pub fn maybe_room(&mut self, conn: ConnId) -> Option<String> {
        let room = self.own_room(conn);
        (self.dice.chance(60) && !room.is_empty()).then_some(room)
    }

    /// A peer that the connection knows of, mostly.
    pub fn some_target(&mut self, conn: ConnId) -> Target {
        let views = self.server.conns[&conn].views.values();
        let seen: Vec<u64> = views.flat_map(|view| view.peers.keys().copied()).collect();
        if !seen.is_empty() && self.dice.chance(70) {
            return Target::Peer(seen[self.dice.below(seen.len())]);
        }
        let known: Vec<u64> = self.keys.keys().copied().collect();
        if !known.is_empty() && self.dice.chance(20) {
            return Target::Peer(known[self.dice.below(known.len())]);
        }
        let target = Target::Key(self.plan.first + self.dice.below(self.plan.people) as u8);
        if !self.has_aliases() {
            return target;
        }
        let room = self.own_room(conn);
        self.named(target, &room)
    }
}
