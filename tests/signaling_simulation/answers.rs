//! Answers: each request has one, of its kind, and what it says is so.

use std::collections::{BTreeMap, BTreeSet};

use hydrogen::base::ConnId;
use serde_json::Value;

use crate::ask::{Ask, PASSWORD};
use crate::keys::{NO_KEY, number_of};
use crate::view::{Seen, View};
use crate::wire::{Era, Got};
use crate::world::World;

/// The last byte of an address.
fn byte_of(ip: &str) -> u8 {
    ip.strip_prefix("10.10.0.").and_then(|byte| byte.parse().ok()).expect("an address of a room")
}

impl World {
    /// A request is answered.
    pub fn answered(&mut self, conn: ConnId, got: &Got) {
        if got.id.is_empty() {
            let of = self.conn(conn);
            assert!(got.kind == "Error" && of.blank > 0, "{conn} is answered, and asked nothing: {got:?}");
            of.blank -= 1;
            return;
        }
        let n: usize = got.id.strip_prefix('q').and_then(|n| n.parse().ok()).expect("a request's id");
        let request = &mut self.requests[n];
        assert!(request.conn == conn, "request {n} is answered to another connection");
        assert!(request.answered.is_none(), "request {n} is answered twice");
        request.answered = Some(self.step);
        let (ask, era) = (request.ask.clone(), request.era);
        let of = self.conn(conn);
        if ask.is_serial() {
            assert!(of.serial.pop_front() == Some(n), "request {n} is answered out of its turn");
        } else {
            of.loose.retain(|other| *other != n);
        }
        if got.kind == "Error" {
            return self.refused(conn, n, &ask, got.text("error"));
        }
        self.granted(conn, n, &ask, era, got);
    }

    fn granted(&mut self, conn: ConnId, n: usize, ask: &Ask, era: Era, got: &Got) {
        let sent = self.requests[n].sent;
        let room = got.room().to_owned();
        self.check_may(conn, ask, sent, &room);
        let expected = match ask {
            Ask::Create { .. } => era.pick("RoomCreated", "NetworkCreated"),
            Ask::Join { .. } => era.pick("RoomJoined", "NetworkJoined"),
            Ask::Connect { .. } => era.pick("RoomConnected", "NetworkConnected"),
            Ask::Disconnect { .. } => era.pick("RoomDisconnected", "NetworkDisconnected"),
            Ask::Leave { .. } => era.pick("LeaveRoom", "LeaveNetwork"),
            Ask::Kick { .. } => era.pick("KickSuccess", "KickResponse"),
            Ask::Rename { .. } => era.pick("RenameSuccess", "RenameResponse"),
            Ask::Signal(_) => "SignalSent",
            Ask::Presence { .. } => "Presence",
            Ask::Rooms { .. } => era.pick("UserRooms", "ComputerNetworks"),
            Ask::Info { .. } => "UpdateClientInfoResponse",
            Ask::Ping { .. } => "Ping",
            Ask::IceServers => "IceServers",
            Ask::Challenge => "Challenge",
            Ask::Prove(_) => "Proved",
            Ask::Resume { .. } => "Resumed",
            Ask::Relay(_) | Ask::Unknown | Ask::Malformed(_) => "Error",
        };
        assert!(got.kind == expected, "{ask:?} is answered with {got:?}");
        match ask {
            Ask::Create { key, name, is_right, grace } => {
                assert!(*is_right && *key != NO_KEY, "a room is made that may not be: {got:?}");
                let is_so = |it: &crate::journal::Record| it.owner == *key && it.name == *name;
                let is_so = self.journal.ever(&room, sent, |it| it.is_some_and(is_so));
                assert!(is_so, "{room} is answered as made, and is not written down");
                if era == Era::Room {
                    assert!(got.text("password") == PASSWORD, "another password comes back");
                }
                self.pin(conn, *key);
                assert!(!self.conn(conn).is_in(&room), "{conn} was in {room} before it was made");
                self.came_in(conn, &room, sent);
                self.take_token(conn, *grace, got);
            }
            Ask::Join { room: asked, key, is_right, grace, .. } => {
                assert!(*is_right, "a wrong password is good enough: {got:?}");
                self.entered(conn, n, asked, *key, got);
                self.take_token(conn, *grace, got);
            }
            Ask::Connect { room: asked, key, grace } => {
                self.entered(conn, n, asked, *key, got);
                self.take_token(conn, *grace, got);
            }
            Ask::Disconnect { room: asked } => {
                assert!(asked.as_ref().is_none_or(|asked| *asked == room), "another room is disconnected: {got:?}");
                assert!(self.conn(conn).is_in(&room), "{conn} was not in {room}");
                self.left_room(conn, &room, self.step);
            }
            Ask::Leave { room: asked, key } => {
                assert!(asked.as_ref().is_none_or(|asked| *asked == room), "another room is left: {got:?}");
                let key = key.or(self.conn(conn).pinned).expect("somebody left");
                let is_out = self.journal.ever(&room, sent, |it| it.is_none_or(|it| it.member(key).is_none()));
                assert!(is_out, "member {key} is told that it left {room}, and did not");
                self.pin(conn, key);
                self.left_room(conn, &room, self.step);
            }
            Ask::Kick { room: asked, target } => {
                assert!(room == *asked && got.text("target_id") == target.text(), "another kick: {got:?}");
                self.check_owner(conn, &room, sent);
                let key = self.meant(*target, &room, self.server.conns[&conn].pinned);
                let key = key.unwrap_or_else(|| panic!("{target:?} is nobody in {room}, and is said to be kicked"));
                let is_out = self.journal.ever(&room, sent, |it| it.is_none_or(|it| it.member(key).is_none()));
                assert!(is_out, "member {key} of {room} is said to be kicked, and is not");
            }
            Ask::Rename { room: asked, name } => {
                let told = got.payload["room_name"].as_str().or(got.payload["network_name"].as_str());
                assert!(room == *asked && told == Some(name), "another name: {got:?}");
                self.check_owner(conn, &room, sent);
                let is_so = self.journal.ever(&room, sent, |it| it.is_some_and(|it| it.name == *name));
                assert!(is_so, "{room} is said to be renamed, and is not");
            }
            Ask::Signal(number) => self.accepted(*number, &room, got),
            Ask::Presence { room: asked } => {
                assert!(asked.is_empty() || room == *asked, "another room's presence");
                self.presence(conn, &room, got);
            }
            Ask::Rooms { key } => {
                self.pin(conn, *key);
                self.listed(conn, *key, sent, got);
            }
            Ask::Info { key, name } => {
                assert!(number_of(got.text("public_key")) == *key && got.text("client_name") == name, "{got:?}");
                self.pin(conn, *key);
                for room in self.rooms_of(*key, sent) {
                    let is_so = |it: &crate::journal::Record| it.member(*key).is_some_and(|it| it.name == *name);
                    let has_name = self.journal.ever(room, sent, |it| it.is_some_and(is_so));
                    assert!(has_name, "member {key} is not called {name} in {room}");
                }
            }
            Ask::Ping { stamp } => {
                assert!(got.payload["client_timestamp"] == *stamp && got.text("status") == "ok", "{got:?}");
            }
            Ask::IceServers => {
                assert!(got.payload["ice_servers"].is_array() && !self.conn(conn).views.is_empty(), "{got:?}");
            }
            Ask::Challenge => self.challenged(conn, got, true),
            Ask::Prove(shown) => self.proved(conn, shown, sent, got),
            Ask::Resume { token, text } => self.resumed(conn, *token, text, sent, got),
            Ask::Relay(_) | Ask::Unknown | Ask::Malformed(_) => unreachable!("they are answered with errors"),
        }
    }

    /// A connection has one key: the first.
    pub fn pin(&mut self, conn: ConnId, key: u8) {
        let pinned = self.conn(conn).pinned.get_or_insert(key);
        assert!(*pinned == key, "{conn} is bound to key {pinned}, and acts as {key}");
    }

    fn check_owner(&mut self, conn: ConnId, room: &str, sent: u64) {
        let pinned = self.conn(conn).pinned;
        let is_owner = self.journal.ever(room, sent, |it| it.is_some_and(|it| Some(it.owner) == pinned));
        assert!(is_owner, "{conn} with key {pinned:?} acts as the owner of {room}");
    }

    fn entered(&mut self, conn: ConnId, n: usize, asked: &str, key: u8, got: &Got) {
        let (room, sent) = (got.room().to_owned(), self.requests[n].sent);
        assert!(room == asked, "another room than {asked}: {got:?}");
        let address = got.payload["computer_ip"].as_str().map(byte_of);
        let is_so = |it: &crate::journal::Member| address.is_none_or(|address| address == it.address);
        let is_so = self.journal.ever(&room, sent, |it| it.and_then(|it| it.member(key)).is_some_and(is_so));
        assert!(is_so, "member {key} is told that it is in {room} ({address:?}), and is not");
        self.pin(conn, key);
        self.came_in(conn, &room, sent);
        self.active(&room, n);
    }

    /// Who is there, as it is told, is who came and did not go.
    fn presence(&mut self, conn: ConnId, room: &str, got: &Got) {
        let mut told = BTreeMap::new();
        for row in got.payload["peers"].as_array().expect("a list") {
            let id = row["connection_id"].as_str().expect("an id");
            let peer = u64::from_str_radix(id, 16).expect("a peer's id");
            let key = self.person(conn, room, row["public_key"].as_str().expect("a key"));
            let before = told.insert(peer, Seen { key, is_away: row["state"] == "away" });
            assert!(before.is_none(), "peer {peer:x} is there twice");
        }
        let view = &self.server.conns[&conn].views[room];
        // It may have come and gone in one step, or have taken another place since: then it is the
        // one of which it never heard.
        let fresh = || told.keys().find(|peer| !view.peers.contains_key(peer)).copied().unwrap_or_default();
        let is_it = |peer: &u64| told.contains_key(peer) && !view.peers.contains_key(peer);
        let own = self.peers.get(&conn).copied().filter(is_it).unwrap_or_else(fresh);
        let is_there = told.remove(&own);
        assert!(is_there.is_some_and(|own| !own.is_away), "{conn} is not told of itself: {got:?}");
        let view = self.conn(conn).views.get_mut(room).expect("who asks is in the room");
        view.end_list();
        if std::mem::take(&mut view.is_vague) {
            view.keys = told.values().map(|seen| seen.key).collect();
            view.peers = told;
            return;
        }
        let keys: BTreeSet<u8> = told.values().map(|seen| seen.key).collect();
        assert!(view.keys == keys, "{conn} knows the keys {:?} in {room}, and {keys:?} are there", view.keys);
        assert!(view.peers == told, "{conn} heard of {:x?} in {room}, and is told of {told:x?}", view.peers);
    }

    /// A member's rooms: those in which it was all the time are there, and none in which it never was.
    fn listed(&mut self, conn: ConnId, key: u8, sent: u64, got: &Got) {
        let rows = got.payload.get("rooms").or(got.payload.get("networks")).and_then(Value::as_array).expect("a list");
        let id = |row: &Value| row["room_id"].as_str().or(row["network_id"].as_str()).expect("an id").to_owned();
        let rooms: Vec<String> = rows.iter().map(id).collect();
        let is_member = |it: Option<&crate::journal::Record>| it.is_some_and(|it| it.member(key).is_some());
        for room in &rooms {
            // What is written is so for the room's worker when it hears of it.
            let went = self.gone.get(&(room.as_str().into(), key)).is_some_and(|at| *at < sent);
            let since = if went { sent } else { 0 };
            assert!(self.journal.ever(room, since, is_member), "member {key} is listed in {room}");
            self.check_listed(conn, room, key, sent);
        }
        for room in self.rooms_of(key, sent) {
            let is_listed = rooms.iter().any(|listed| **listed == *room);
            assert!(is_listed || self.may_be_hidden(conn, room, key, sent), "member {key} is not listed in {room}");
        }
        for (row, room) in rows.iter().zip(&rooms) {
            self.check_people(key, room, row);
        }
    }

    /// The people in a row of a member's list are members, and it is among them.
    pub fn check_people(&mut self, own: u8, room: &str, row: &Value) {
        let Some(computers) = row["computers"].as_array() else { return };
        let text = |value: &Value| value.as_str().expect("a key").to_owned();
        let owner = self.person_for(Some(own), room, &text(&row["admin_public_key"]));
        let people: Vec<u8> =
            computers.iter().map(|computer| self.person_for(Some(own), room, &text(&computer["public_key"]))).collect();
        assert!(people.contains(&owner) && people.contains(&own), "{own} is told of {people:?} in {room}");
    }

    /// The rooms in which a member was all the time, and knew it.
    fn rooms_of(&self, key: u8, since: u64) -> impl Iterator<Item = &str> {
        let known = self.members.iter().filter(move |((_, member), told)| *member == key && **told < since);
        known.filter_map(move |((room, _), told)| {
            let is_member = |it: Option<&crate::journal::Record>| it.is_some_and(|it| it.member(key).is_some());
            self.journal.always(room, *told, is_member).then_some(&**room)
        })
    }

    /// An answer may bring a token for the place.
    fn take_token(&mut self, conn: ConnId, asked: bool, got: &Got) {
        let Some(text) = got.payload["resume_token"].as_str() else {
            assert!(!asked || self.plan.settings.grace.is_zero() || self.is_stopping, "no token is given: {got:?}");
            return;
        };
        assert!(asked, "a token is given, and nobody asked: {got:?}");
        let own = got.peer("connection_id");
        let own = own.expect("a token comes with an id");
        // It may have come and gone, and taken another's place, in one step.
        let is_own = self.conn(conn).resuming > 0 || self.is_known_by(conn, own);
        assert!(is_own, "{conn} is told another id than others");
        let number = match self.tokens.iter().position(|token| token.text == text) {
            Some(number) => {
                assert!(self.tokens[number].conn == conn, "one token for two connections");
                number
            }
            None => {
                let token = crate::world::Token { text: text.into(), conn, tries: 0, is_used: false };
                self.tokens.push(token);
                self.tokens.len() - 1
            }
        };
        let of = self.conn(conn);
        of.has_grace = true;
        if !of.is_deaf {
            let client = of.client;
            self.clients[client].token = Some(number);
        }
    }

    /// A lost connection's place is taken.
    fn resumed(&mut self, conn: ConnId, number: usize, text: &str, sent: u64, got: &Got) {
        let token = &mut self.tokens[number];
        assert!(token.text == text, "a wrong token is good enough");
        assert!(!token.is_used, "a token is good twice");
        token.is_used = true;
        let (before, step) = (token.conn, self.step);
        let pinned = self.server.conns[&before].pinned.expect("who has a place has a key");
        self.pin(conn, pinned);
        self.takes_proof(conn, before, pinned);
        let missed = got.payload["missed"].as_u64().expect("a number");
        let rows = got.payload.get("rooms").or(got.payload.get("networks")).and_then(Value::as_array).expect("a list");
        let rooms: Vec<String> = rows
            .iter()
            .map(|row| row["room_id"].as_str().or(row["network_id"].as_str()).expect("an id").to_owned())
            .collect();
        let old = std::mem::take(&mut self.conn(before).views);
        // It may have been taking another's place itself.
        let known = self.peers.get(&before).copied();
        let peer = got.peer("connection_id").or(known).expect("who has a place is known");
        assert!(self.is_known_by(before, peer), "{conn} gets another's place than that of {before}");
        self.peers.insert(conn, peer);
        self.ids.entry((conn, peer)).or_insert(self.step);
        *self.missed.entry(peer).or_default() += missed;
        let of = self.conn(conn);
        of.resuming -= 1;
        of.has_resumed = true;
        assert!(of.views.is_empty(), "{conn} is in rooms before it is back");
        for room in &rooms {
            assert!(!of.is_in(room), "{room} is there twice");
            of.views.insert(room.clone(), View { is_vague: true, ..View::new(step, sent) });
        }
        for (room, view) in old {
            if !rooms.contains(&room) {
                self.out.insert((room.as_str().into(), peer), step);
            }
            self.keep_heard(&room, view.heard);
        }
        self.take_token(conn, true, got);
    }
}
