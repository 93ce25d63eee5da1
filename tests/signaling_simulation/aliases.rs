//! What stands for keys in what people are told: who is meant, and that no key is told to another.

use hydrogen::base::ConnId;
use hydrogen::dialect::signaling::PeerKeys;

use crate::ask::Target;
use crate::keys::{NO_KEY, UNPAIRED, alias, key, number_if_one, number_of};
use crate::wire::Got;
use crate::world::World;

/// A room's id as a number.
pub fn number_of_room(room: &str) -> u64 {
    u64::from_str_radix(room, 16).unwrap_or_default()
}

impl World {
    pub fn has_aliases(&self) -> bool {
        self.plan.settings.peer_keys == PeerKeys::Alias
    }

    /// All keys that anybody states.
    pub fn all_keys(&self) -> impl Iterator<Item = u8> + use<> {
        let first = self.plan.first;
        (first..first + self.plan.people as u8).chain([UNPAIRED, NO_KEY])
    }

    /// Who is meant by what a connection is told of a key in a room.
    pub fn person(&mut self, conn: ConnId, room: &str, text: &str) -> u8 {
        self.person_for(self.server.conns[&conn].pinned, room, text)
    }

    /// The same, of who has a key: its own is told as it is, and nobody else's.
    pub fn person_for(&mut self, own: Option<u8>, room: &str, text: &str) -> u8 {
        if !self.has_aliases() {
            return number_of(text);
        }
        if let Some(number) = number_if_one(text) {
            assert!(own == Some(number), "the key {number} is told to {own:?}");
            return number;
        }
        if !self.aliases.contains_key(text) {
            for number in self.all_keys() {
                self.aliases.insert(alias(room, number), (room.into(), number));
            }
        }
        let (of, number) = self.aliases.get(text).unwrap_or_else(|| panic!("{text} stands for nobody in {room}"));
        assert!(**of == *room, "an alias of {of} is told in {room}");
        assert!(own != Some(*number), "{own:?} is told an alias of its own key");
        let is_member = self.journal.ever(room, 0, |it| it.is_some_and(|it| it.member(*number).is_some()));
        assert!(is_member, "an alias of {number} is told in {room}, where it never was a member");
        *number
    }

    /// Whose key a target is, as somebody with a key writes it in a room.
    pub fn meant(&self, target: Target, room: &str, by: Option<u8>) -> Option<u8> {
        match target {
            Target::Peer(peer) => self.keys.get(&peer).copied(),
            Target::Key(number) => (!self.has_aliases() || by == Some(number)).then_some(number),
            Target::Alias(of, number) => (of == number_of_room(room) && by != Some(number)).then_some(number),
        }
    }

    /// How a client names a member of a room: under aliases by that, but for some who know no better.
    pub fn named(&mut self, target: Target, room: &str) -> Target {
        match target {
            Target::Key(number) if self.has_aliases() && self.dice.chance(85) => {
                Target::Alias(number_of_room(room), number)
            }
            Target::Key(_) | Target::Peer(_) | Target::Alias(..) => target,
        }
    }

    /// A connection states the keys that stand in what it says.
    pub fn note_said(&mut self, conn: ConnId, payload: &serde_json::Value) {
        if self.has_aliases() {
            let text = payload.to_string();
            let said: Vec<u8> = self.all_keys().filter(|number| text.contains(&key(*number))).collect();
            self.conn(conn).said.extend(said);
        }
    }

    /// Nobody is told the key of another, anywhere in a message. An answer may repeat what was said,
    /// and a list be of the key in the header.
    pub fn check_hidden(&self, conn: ConnId, got: &Got, is_answer: bool) {
        if !self.has_aliases() {
            return;
        }
        let text = format!("{} {}", got.payload, got.id);
        let of = &self.server.conns[&conn];
        let is_list = matches!(got.kind.as_str(), "UserRooms" | "ComputerNetworks");
        for number in self.all_keys() {
            let may = of.pinned == Some(number)
                || is_answer && of.said.contains(&number)
                || is_list && of.header == Some(number);
            assert!(may || !text.contains(&key(number)), "{conn} is told the key {number}: {got:?}");
        }
    }
}
