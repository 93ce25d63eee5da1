//! What connections are told that they did not ask for.

use hydrogen::base::ConnId;

use crate::order::Event;
use crate::signals::is_signal;
use crate::view::View;
use crate::wire::{Encoding, Got};
use crate::world::World;

impl World {
    /// A message goes out to a connection: what the server knows is known exactly now.
    pub fn told(&mut self, conn: ConnId, got: Got, is_answer: bool) {
        self.trace.mix(conn.as_u64() ^ (got.kind.len() as u64) << 32 ^ got.id.len() as u64);
        let of = self.server.conns.get(&conn).expect("who is told is there");
        assert!(!of.is_known_gone, "{conn} is told something after its end");
        let is_known = got.encoding == Encoding::Base64 || of.encodings & got.encoding.bit() != 0;
        assert!(is_known, "{conn} is told in an encoding that it never used: {:?}", got.encoding);
        self.check_hidden(conn, &got, is_answer);
        if is_answer {
            self.answered(conn, &got);
        } else if is_signal(&got.kind) {
            self.signalled(conn, &got);
        } else {
            self.noticed(conn, &got);
        }
        self.unread(conn);
    }

    fn noticed(&mut self, conn: ConnId, got: &Got) {
        let last = std::mem::take(&mut self.conn(conn).last);
        let about = |what| Some((what, got.peer("connection_id").unwrap_or(0), got.room().to_owned()));
        match got.kind.as_str() {
            "ServerShutdown" => {
                assert!(self.is_stopping, "told of an end that nobody ordered");
                self.conn(conn).farewells += 1;
            }
            "Challenge" => self.challenged(conn, got, false),
            "UserRooms" => self.pushed(conn, got, 0),
            "ClientIPInfo" => self.pushed(conn, got, 1),
            "ComputerNetworks" => self.pushed(conn, got, 2),
            // What the later era tells in two messages is one thing.
            "ComputerConnected" if last == about("joined") => {}
            "ComputerDisconnected" if last == about("left") => {}
            "Relay" => self.relayed(conn, got),
            _ => {
                match got.kind.as_str() {
                    "ComputerJoined" => self.conn(conn).last = about("joined"),
                    "ComputerLeft" => self.conn(conn).last = about("left"),
                    _ => {}
                }
                self.room_notice(conn, got);
            }
        }
    }

    fn room_notice(&mut self, conn: ConnId, got: &Got) {
        assert!(got.id.is_empty(), "a notification with an id: {got:?}");
        let (room, step) = (got.room().to_owned(), self.step);
        let own = self.peers.get(&conn).copied();
        let key = got.payload["public_key"].as_str().map(|text| self.person(conn, &room, text));
        let peer = got.peer("connection_id");
        // In one step it may come into a room, go, and take the place of a peer that it heard of.
        let is_other = peer.is_none() || peer != own || self.conn(conn).resuming > 0;
        assert!(is_other, "{conn} is told of itself: {got:?}");
        if let (Some(peer), Some(key)) = (peer, key) {
            let known = *self.keys.entry(peer).or_insert(key);
            assert!(known == key, "peer {peer:x} has another key than {key}");
        }
        self.check_told(&room, got, key);
        if let (Some(peer), "PeerLeft" | "ComputerLeft" | "PeerDisconnected" | "ComputerDisconnected") =
            (peer, got.kind.as_str())
        {
            self.out.insert((room.as_str().into(), peer), step);
        }
        if matches!(got.kind.as_str(), "RoomDisconnected" | "NetworkDisconnected") {
            self.check_put_out(conn, &room);
        }
        let of = self.server.conns.get_mut(&conn).expect("who is told is there");
        of.was_kicked |= got.kind == "Kicked";
        if !of.is_in(&room) {
            // While it took a place it was put out of this room, or of all.
            let is_end =
                matches!(&*got.kind, "RoomDeleted" | "NetworkDeleted" | "RoomDisconnected" | "NetworkDisconnected");
            let is_so = (is_end && of.has_resumed) || (got.kind == "Kicked" && of.resuming > 0);
            assert!(is_so, "{conn} is told of room {room}, in which it is not: {got:?}");
            return;
        }
        let view = of.views.get_mut(&room).expect("it is in the room");
        let peer_key = || (peer.expect("a connection's id"), key.expect("a key"));
        match got.kind.as_str() {
            "PeerJoined" | "ComputerJoined" if got.payload["again"] == true => {
                let (peer, key) = peer_key();
                view.again(peer, key);
            }
            "PeerJoined" | "PeerConnected" | "ComputerJoined" | "ComputerConnected" => {
                let (peer, key) = peer_key();
                if self.out.contains_key(&(room.as_str().into(), peer)) {
                    // It may be another time than the one that others heard of.
                    *self.histories.entry(room.as_str().into()).or_default().entries.entry(peer).or_default() += 2;
                }
                if got.payload["polite"] == true { view.there(peer, key) } else { view.newcomer(peer, key) }
            }
            "PeerLeft" | "ComputerLeft" => match peer {
                Some(peer) => view.gone(peer, key.expect("a key")),
                None => view.left(key.expect("a key")),
            },
            "PeerDisconnected" | "ComputerDisconnected" => {
                let (peer, key) = peer_key();
                view.gone(peer, key);
            }
            "PeerAway" | "ComputerAway" => view.away(peer_key().0, true),
            "PeerBack" | "ComputerBack" => view.away(peer_key().0, false),
            "RoomRenamed" | "NetworkRenamed" => {
                view.end_list();
                let name = got.payload["room_name"].as_str().or(got.payload["network_name"].as_str());
                view.heard.push(Event::Renamed(name.unwrap_or_default().to_owned()));
            }
            "PeerRenamed" | "ComputerRenamed" => view.end_list(),
            "Kicked" | "RoomDeleted" | "NetworkDeleted" | "RoomDisconnected" | "NetworkDisconnected" => {
                self.left_room(conn, &room, step);
            }
            other => panic!("a message of an unknown type {other}"),
        }
    }

    /// What is told of a room is, or was, written down.
    fn check_told(&self, room: &str, got: &Got, key: Option<u8>) {
        match got.kind.as_str() {
            "RoomDeleted" | "NetworkDeleted" => {
                assert!(self.journal.ever(room, 0, |it| it.is_none()), "told that {room} is deleted");
            }
            "RoomRenamed" | "NetworkRenamed" => {
                let name = got.payload["room_name"].as_str().or(got.payload["network_name"].as_str());
                let is_so = self.journal.ever(room, 0, |it| it.is_some_and(|it| Some(&*it.name) == name));
                assert!(is_so, "told of a name that {room} never had: {got:?}");
            }
            "PeerRenamed" | "ComputerRenamed" => {
                let name = got.payload["new_username"].as_str().or(got.payload["new_computer_name"].as_str());
                let key = key.expect("a key");
                let is_so = self.journal.ever(room, 0, |it| {
                    it.and_then(|it| it.member(key)).is_some_and(|member| Some(&*member.name) == name)
                });
                assert!(is_so, "told of a name that no member of {room} ever had: {got:?}");
            }
            "PeerJoined" | "PeerConnected" | "ComputerJoined" | "ComputerConnected" => {
                let key = key.expect("a key");
                let is_so = self.journal.ever(room, 0, |it| it.is_some_and(|it| it.member(key).is_some()));
                assert!(is_so, "told of one who was never a member of {room}: {got:?}");
            }
            _ => {}
        }
    }

    /// What a client is told when it connects, since it said who it is.
    fn pushed(&mut self, conn: ConnId, got: &Got, place: u8) {
        let of = self.conn(conn);
        assert!(of.pushes == Some(place), "{conn} is pushed {}, after {:?} others", got.kind, of.pushes);
        of.pushes = Some(place + 1);
        assert!(got.id.is_empty() == (place == 2), "a push with the id {:?}", got.id);
        let rows = got.payload.get("rooms").or(got.payload.get("networks"));
        for row in rows.and_then(|rows| rows.as_array()).into_iter().flatten() {
            let room = row["room_id"].as_str().or(row["network_id"].as_str()).expect("a room's id");
            let (key, began) = (self.clients[self.server.conns[&conn].client].who, self.server.conns[&conn].began);
            let is_so = self.journal.ever(room, 0, |it| it.is_some_and(|it| it.member(key).is_some()));
            assert!(is_so, "member {key} is told that it is in {room}");
            self.check_listed(conn, room, key, began);
            self.check_people(key, room, row);
        }
    }

    /// A connection comes into a room, or says once more that it is in.
    pub fn came_in(&mut self, conn: ConnId, room: &str, asked: u64) {
        let step = self.step;
        if self.plan.settings.clients_max <= 3 {
            // In one step several may come and go.
            self.full.insert(room.into(), step);
        }
        let views = &mut self.conn(conn).views;
        let is_new = !views.contains_key(room);
        views.entry(room.into()).or_insert_with(|| View::new(step, asked)).list(is_new);
        let key = self.conn(conn).pinned.expect("who comes in has a key");
        self.members.entry((room.into(), key)).or_insert(step);
        if let Some(peer) = self.peers.get(&conn).filter(|_| is_new) {
            let history = self.histories.entry(room.into()).or_default();
            *history.answers.entry(*peer).or_default() += 1;
        }
    }

    /// A connection is out of a room.
    pub fn left_room(&mut self, conn: ConnId, room: &str, step: u64) {
        let of = self.conn(conn);
        let Some(mut view) = of.views.remove(room) else { return };
        view.end_list();
        if let Some(peer) = self.peers.get(&conn) {
            self.out.insert((room.into(), *peer), step);
        }
        self.keep_heard(room, view.heard);
    }
}
