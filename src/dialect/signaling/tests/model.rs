//! What rooms are, simply: who is told what by every request. The shards must agree with it.

use std::collections::{BTreeMap, BTreeSet};

use super::person::key;
use crate::base::ConnId;

/// Connections that a room of the model takes.
pub const CLIENTS: usize = 3;
/// Members that it takes.
pub const MEMBERS: usize = 4;

/// What a connection is told: a type, and what it is about.
pub type Told = (String, String);

#[derive(Clone, Debug)]
pub struct ModelRoom {
    pub owner: u8,
    pub members: Vec<u8>,
    /// Members that have proved their keys.
    pub proved: BTreeSet<u8>,
    pub live: Vec<ConnId>,
}

#[derive(Clone, Debug, Default)]
pub struct ModelConn {
    pub key: Option<u8>,
    pub is_proved: bool,
    /// The last one is the current.
    pub rooms: Vec<String>,
}

#[derive(Clone, Debug, Default)]
pub struct Model {
    pub rooms: BTreeMap<String, ModelRoom>,
    pub conns: BTreeMap<ConnId, ModelConn>,
    /// What each connection is to have been told.
    pub told: BTreeMap<ConnId, Vec<Told>>,
    /// Who is to have been closed.
    pub kicked: Vec<ConnId>,
}

type Refused = Result<(), String>;

fn refused(text: impl Into<String>) -> Refused {
    Err(text.into())
}

impl Model {
    fn tell(&mut self, conns: &[ConnId], kind: &str, about: &str) {
        for conn in conns {
            self.told.entry(*conn).or_default().push((kind.into(), about.into()));
        }
    }

    /// Does a request and says what its answer is.
    pub fn answer(&mut self, conn: ConnId, done: Refused) {
        if let Err(text) = done {
            self.tell(&[conn], "Error", &text);
        }
    }

    fn may_state(&self, conn: ConnId, who: u8) -> Refused {
        match self.conns[&conn].key {
            Some(own) if own != who => refused("Public key does not match this connection"),
            _ => Ok(()),
        }
    }

    /// Nobody only states a key that is proved in a room.
    fn may_use(&self, conn: ConnId, room: &ModelRoom, who: u8) -> Refused {
        match room.proved.contains(&who) && !self.conns[&conn].is_proved {
            true => refused("Proof of possession required"),
            false => Ok(()),
        }
    }

    fn may_use_anywhere(&self, conn: ConnId, who: u8) -> Refused {
        self.may_state(conn, who)?;
        self.rooms.values().try_for_each(|room| self.may_use(conn, room, who))
    }

    fn key_of(&self, conn: ConnId) -> u8 {
        self.conns[&conn].key.unwrap_or_default()
    }

    fn put_in(&mut self, conn: ConnId, who: u8, room: &str) {
        let state = self.conns.get_mut(&conn).unwrap();
        state.key.get_or_insert(who);
        state.rooms.retain(|own| own != room);
        state.rooms.push(room.to_owned());
    }

    fn take_out(&mut self, conn: ConnId, room: &str) {
        if let Some(state) = self.conns.get_mut(&conn) {
            state.rooms.retain(|own| own != room);
        }
        if let Some(room) = self.rooms.get_mut(room) {
            room.live.retain(|live| *live != conn);
        }
    }

    pub fn prove(&mut self, conn: ConnId, who: u8, fails: bool) -> Refused {
        self.may_state(conn, who)?;
        let open = |room: &ModelRoom| room.members.contains(&who) && !room.proved.contains(&who);
        let open: Vec<String> = self.rooms.iter().filter(|(_, room)| open(room)).map(|(id, _)| id.clone()).collect();
        if fails && !open.is_empty() {
            return refused("Error updating user in database");
        }
        let state = self.conns.get_mut(&conn).unwrap();
        state.key.get_or_insert(who);
        state.is_proved = true;
        for id in open {
            self.rooms.get_mut(&id).unwrap().proved.insert(who);
            self.put_out_unproved(&id, who);
        }
        self.tell(&[conn], "Proved", &key(who));
        Ok(())
    }

    /// Who is in a room with a key that it only states, and another has proved, is put out.
    fn put_out_unproved(&mut self, id: &str, who: u8) {
        let is_it = |conn: &ConnId| self.key_of(*conn) == who && !self.conns[conn].is_proved;
        let gone: Vec<ConnId> = self.rooms[id].live.iter().copied().filter(is_it).collect();
        for conn in &gone {
            self.take_out(*conn, id);
            self.tell(&[*conn], "RoomDisconnected", id);
        }
        if !gone.is_empty() {
            self.tell_left(id, who, gone.len());
            self.tell_who_stays(id, who);
        }
    }

    /// `made` is the room's id, if the server made one.
    pub fn create(&mut self, conn: ConnId, who: u8, fails: bool, made: Option<&str>) -> Refused {
        self.may_use_anywhere(conn, who)?;
        if let Some((id, _)) = self.rooms.iter().find(|(_, room)| room.owner == who) {
            return refused(format!("This public key has already created room: {id}"));
        }
        if fails {
            return refused("Error creating room in database");
        }
        let id = made.ok_or("no room was made")?;
        let proved = BTreeSet::from_iter(self.conns[&conn].is_proved.then_some(who));
        self.rooms.insert(id.into(), ModelRoom { owner: who, members: vec![who], proved, live: vec![conn] });
        self.put_in(conn, who, id);
        self.tell(&[conn], "RoomCreated", id);
        Ok(())
    }

    pub fn join(&mut self, conn: ConnId, id: &str, who: u8, is_right: bool, fails: bool) -> Refused {
        self.may_use_anywhere(conn, who)?;
        let Some(room) = self.rooms.get(id) else { return refused("Room does not exist") };
        if !is_right {
            return refused("Incorrect password");
        }
        if !room.live.contains(&conn) && room.live.len() >= CLIENTS {
            return refused("Room is full");
        }
        let (is_member, proves) = (room.members.contains(&who), self.proves(conn, room, who));
        if !is_member && room.members.len() >= MEMBERS {
            return refused("Room is full");
        }
        if (!is_member || proves) && fails {
            return refused("Error adding user to room");
        }
        if !is_member {
            self.rooms.get_mut(id).unwrap().members.push(who);
        }
        self.enter(conn, id, who, "RoomJoined", "PeerJoined");
        Ok(())
    }

    /// Whether a connection comes in with a proof that the room does not know of.
    fn proves(&self, conn: ConnId, room: &ModelRoom, who: u8) -> bool {
        self.conns[&conn].is_proved && !room.proved.contains(&who)
    }

    pub fn connect(&mut self, conn: ConnId, id: &str, who: u8, fails: bool) -> Refused {
        self.may_state(conn, who)?;
        let Some(room) = self.rooms.get(id) else { return refused("Room does not exist") };
        if !room.members.contains(&who) {
            return refused("You must join this room first");
        }
        self.may_use(conn, room, who)?;
        if !room.live.contains(&conn) && room.live.len() >= CLIENTS {
            return refused("Room is full");
        }
        if self.proves(conn, room, who) && fails {
            return refused("Error adding user to room");
        }
        self.enter(conn, id, who, "RoomConnected", "PeerConnected");
        Ok(())
    }

    fn enter(&mut self, conn: ConnId, id: &str, who: u8, answer: &str, notice: &str) {
        if self.conns[&conn].is_proved {
            self.rooms.get_mut(id).unwrap().proved.insert(who);
            self.put_out_unproved(id, who);
        }
        let live = self.rooms[id].live.clone();
        let others: Vec<ConnId> = live.iter().copied().filter(|other| *other != conn).collect();
        self.tell(&[conn], answer, id);
        for other in &others {
            let other = key(self.key_of(*other));
            self.tell(&[conn], notice, &other);
        }
        if !live.contains(&conn) {
            self.tell(&others, notice, &key(who));
            self.rooms.get_mut(id).unwrap().live.push(conn);
        }
        self.put_in(conn, who, id);
    }

    pub fn disconnect(&mut self, conn: ConnId, named: Option<&str>) -> Refused {
        let id = self.room_of(conn, named)?;
        self.take_out(conn, &id);
        self.tell(&[conn], "RoomDisconnected", &id);
        let (others, who) = (self.rooms[&id].live.clone(), self.key_of(conn));
        self.tell(&others, "PeerDisconnected", &key(who));
        self.tell_who_stays(&id, who);
        Ok(())
    }

    fn room_of(&self, conn: ConnId, named: Option<&str>) -> Result<String, String> {
        let own = &self.conns[&conn].rooms;
        match named {
            Some(id) if own.iter().any(|room| room == id) => Ok(id.to_owned()),
            Some(_) => Err("Not connected to this room".into()),
            None => own.last().cloned().ok_or_else(|| "Not connected to any room".into()),
        }
    }

    pub fn leave(&mut self, conn: ConnId, named: Option<&str>, who: u8, fails: bool) -> Refused {
        let current = self.conns[&conn].rooms.last().cloned();
        let id = named.map(ToOwned::to_owned).or(current).ok_or("Not connected to any room")?;
        self.may_state(conn, who)?;
        let Some(room) = self.rooms.get(&id).cloned() else { return refused("Room not found") };
        self.may_use(conn, &room, who)?;
        self.check_first(conn, &room, who)?;
        if room.owner == who {
            if fails {
                return refused("Failed to delete room from database");
            }
            self.rooms.remove(&id);
            for live in &room.live {
                self.take_out(*live, &id);
            }
            let others: Vec<ConnId> = room.live.into_iter().filter(|other| *other != conn).collect();
            self.tell(&others, "RoomDeleted", &id);
        } else if room.members.contains(&who) {
            if fails {
                return refused("Error removing user from room");
            }
            let gone = self.put_out(&id, who);
            let twins: Vec<ConnId> = gone.iter().copied().filter(|other| *other != conn).collect();
            self.tell(&twins, "RoomDisconnected", &id);
            self.tell_left(&id, who, gone.len().max(1));
        }
        self.tell(&[conn], "LeaveRoom", &id);
        self.conns.get_mut(&conn).unwrap().key.get_or_insert(who);
        Ok(())
    }

    /// Of several connections with one key the first that came has the say.
    fn check_first(&self, conn: ConnId, room: &ModelRoom, who: u8) -> Refused {
        match room.live.iter().find(|live| self.key_of(**live) == who) {
            Some(first) if *first != conn && !self.conns[&conn].is_proved => {
                refused("Public key is in use by another connection")
            }
            _ => Ok(()),
        }
    }

    /// A key is no member any more.
    fn put_out(&mut self, id: &str, who: u8) -> Vec<ConnId> {
        let room = self.rooms.get_mut(id).unwrap();
        room.members.retain(|member| *member != who);
        room.proved.remove(&who);
        let live = room.live.clone();
        let gone: Vec<ConnId> = live.into_iter().filter(|conn| self.conns[conn].key == Some(who)).collect();
        for conn in &gone {
            self.take_out(*conn, id);
        }
        gone
    }

    /// One of a key's connections went: all are told once more of another that is there, if it is not
    /// their own.
    fn tell_who_stays(&mut self, id: &str, who: u8) {
        let live = self.rooms[id].live.clone();
        let staying = live.iter().filter(|conn| self.key_of(**conn) == who).count();
        let is_told = |conn: &ConnId| staying > usize::from(self.key_of(*conn) == who);
        let told: Vec<ConnId> = live.iter().copied().filter(is_told).collect();
        self.tell(&told, "PeerJoined", &key(who));
    }

    fn tell_left(&mut self, id: &str, who: u8, times: usize) {
        let others = self.rooms[id].live.clone();
        for _ in 0..times {
            self.tell(&others, "PeerLeft", &key(who));
        }
    }

    fn check_owner(&self, conn: ConnId, id: &str, text: &str) -> Refused {
        let Some(room) = self.rooms.get(id) else { return refused("Room does not exist") };
        if self.conns[&conn].key != Some(room.owner) {
            return refused(text);
        }
        self.may_use(conn, room, room.owner)?;
        self.check_first(conn, room, room.owner)
    }

    pub fn kick(&mut self, conn: ConnId, id: &str, who: u8, fails: bool) -> Refused {
        self.check_owner(conn, id, "Only room owner can kick users")?;
        let room = &self.rooms[id];
        if room.owner == who || !room.members.contains(&who) {
            return refused("Target client not found");
        }
        if fails {
            return refused("Error removing user from room");
        }
        self.tell(&[conn], "KickSuccess", id);
        let gone = self.put_out(id, who);
        self.tell(&gone, "Kicked", id);
        self.tell_left(id, who, gone.len().max(1));
        self.kicked.extend(gone);
        Ok(())
    }

    pub fn rename(&mut self, conn: ConnId, id: &str, fails: bool) -> Refused {
        self.check_owner(conn, id, "Only room owner can rename the room")?;
        if fails {
            return refused("Error updating room name in database");
        }
        let all = self.rooms[id].live.clone();
        self.tell(&all, "RoomRenamed", id);
        self.tell(&[conn], "RenameSuccess", id);
        Ok(())
    }

    pub fn offer(&mut self, conn: ConnId, named: Option<&str>, who: u8) -> Refused {
        let own = self.conns[&conn].rooms.clone();
        self.room_of(conn, named.filter(|_| !own.is_empty()))?;
        let rooms: Vec<String> = own.into_iter().filter(|room| named.is_none_or(|named| named == room)).collect();
        let find = |id: &String| {
            let live = &self.rooms[id].live;
            live.iter().rev().copied().find(|other| *other != conn && self.key_of(*other) == who)
        };
        let Some((id, to)) = rooms.iter().rev().find_map(|id| find(id).map(|to| (id.clone(), to))) else {
            return refused("Target client not found");
        };
        let own = key(self.key_of(conn));
        self.tell(&[to], "Offer", &own);
        self.tell(&[conn], "SignalSent", &id);
        Ok(())
    }

    pub fn close(&mut self, conn: ConnId) {
        let who = self.key_of(conn);
        for id in self.conns[&conn].rooms.clone() {
            self.take_out(conn, &id);
            self.tell_left(&id, who, 1);
            self.tell_who_stays(&id, who);
        }
        self.conns.remove(&conn);
        self.told.remove(&conn);
    }

    pub fn restart(&mut self) {
        self.conns.clear();
        self.told.clear();
        for room in self.rooms.values_mut() {
            room.live.clear();
        }
    }
}
