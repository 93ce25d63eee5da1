//! What a connection's worker does with a request: what it knows itself it answers, the rest it
//! asks of those who do.

use std::net::IpAddr;

use super::Signaling;
use super::conn::{Busy, Connection};
use super::limits::{MESSAGE_BYTES, MOVES};
use super::peer::{Ask, Meta, Op, Say};
use super::record::worker_of_owner;
use super::settings::Proof;
use super::throttle::worker_of_address;
use super::wire::{Era, Kind, Message, Refusal, Request, Signal};
use crate::base::{ConnId, Metric, Now};

impl Signaling {
    pub(super) fn serve(&mut self, conn: ConnId, kind: Kind, request: Request, meta: Meta, now: Now) {
        let rooms_max = self.settings.rooms_per_connection_max;
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        if self.settings.proof == Proof::Required && !connection.is_proved && needs_key(kind) {
            return self.refuse(conn, &meta, &Refusal::ProofRequired);
        }
        if is_told_to_others(kind) && !connection.moved.take(1, MOVES, now.mono) {
            self.counters.inc(Metric::RATE_LIMITED);
            return self.refuse(conn, &meta, &Refusal::RateLimited);
        }
        match kind {
            Kind::Create | Kind::Join | Kind::Connect | Kind::Disconnect | Kind::Leave | Kind::Rooms => {
                connection.era = meta.era
            }
            // There is no other word for it.
            Kind::ClientInfo
            | Kind::Kick
            | Kind::Rename
            | Kind::Ping
            | Kind::Signal(_)
            | Kind::Challenge
            | Kind::Prove
            | Kind::Resume
            | Kind::Presence
            | Kind::IceServers
            | Kind::Relay => {}
        }
        match request {
            Request::Create { .. } | Request::Join { .. } => self.ask_admission(conn, request, meta),
            Request::Connect { room, key, username, grace } => {
                let checked = connection.may_state(&key).and_then(|()| connection.may_enter(&room, rooms_max));
                self.enter_room(conn, checked, &room, (&key, &username), grace, meta, Op::Connect);
            }
            Request::Disconnect { room } => {
                let named = (!room.is_empty()).then_some(&*room);
                match connection.room_of(named) {
                    Ok(room) => self.ask(conn, &room, None, meta, Op::Disconnect),
                    Err(refusal) => self.refuse(conn, &meta, &refusal),
                }
            }
            Request::Leave { room, key } => match connection.leaves(&room, &key) {
                Ok((room, key)) => self.ask(conn, &room, Some(&key), meta, Op::Leave),
                Err(refusal) => self.refuse(conn, &meta, &refusal),
            },
            Request::Kick { room, target } => self.ask(conn, &room, None, meta, Op::Kick { target }),
            Request::Rename { room, name } => self.ask(conn, &room, None, meta, Op::Rename { name }),
            Request::Ping { timestamp } => {
                let at = i128::from(now.wall.0) * 1_000_000;
                let payload =
                    format!("{{\"client_timestamp\":{timestamp},\"server_timestamp\":{at},\"status\":\"ok\"}}");
                self.respond(conn, &meta, &Message { name: "Ping", payload });
            }
            Request::Rooms { key } => self.ask_rooms(conn, &key, meta, now),
            Request::ClientInfo { key, name } => self.ask_names(conn, &key, name, meta, now),
            Request::Signal(signal) => self.send_signal(conn, signal, meta),
            Request::Challenge => self.challenge(conn, &meta),
            Request::Prove { key, signature } => self.prove(conn, &key, &signature, &meta, now),
            Request::Resume { token } => self.resume(conn, &token, meta),
            Request::Presence { room } => {
                let named = (!room.is_empty()).then_some(&*room);
                match connection.room_of(named) {
                    Ok(room) => self.ask(conn, &room, None, meta, Op::Presence),
                    Err(refusal) => self.refuse(conn, &meta, &refusal),
                }
            }
            Request::IceServers => self.ice_servers(conn, &meta, now),
            Request::Relay { room, target, data } => self.relay(conn, &room, target, data, meta, now),
        }
    }

    /// Asks a room; the connection's next request waits for the answer.
    pub(super) fn ask(&mut self, conn: ConnId, room: &str, key: Option<&str>, meta: Meta, op: Op) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.busy = Some(Busy::Room { grace: false });
        let caller = connection.caller(key, "", meta, true);
        self.fx.ask_room(room, Ask::Request(caller, op));
    }

    #[allow(clippy::too_many_arguments, reason = "one request's fields, taken apart once")]
    fn enter_room(
        &mut self,
        conn: ConnId,
        checked: Result<(), Refusal>,
        room: &str,
        (key, name): (&str, &str),
        grace: bool,
        meta: Meta,
        op: Op,
    ) {
        if let Err(refusal) = checked {
            return self.refuse(conn, &meta, &refusal);
        }
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.busy = Some(Busy::Room { grace });
        let caller = connection.caller(Some(key), name, meta, true);
        self.fx.ask_room(room, Ask::Request(caller, op));
    }

    fn ask_admission(&mut self, conn: ConnId, request: Request, meta: Meta) {
        let has_password = matches!(request, Request::Join { .. });
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.busy = Some(Busy::Admission(meta, Box::new(request)));
        let address = connection.address.ip();
        self.fx.say(worker_of_address(address, self.fx.workers), Say::Admit { conn, address, has_password });
    }

    /// Its address may, and the key is nobody else's: the room is asked.
    pub(super) fn admitted(&mut self, conn: ConnId, meta: Meta, request: Request, address: IpAddr) {
        let rooms_max = self.settings.rooms_per_connection_max;
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        match request {
            Request::Create { name, password, key, username, grace } => {
                let checked = connection.may_state(&key).and_then(|()| connection.may_enter("", rooms_max));
                if let Err(refusal) = checked {
                    return self.refuse(conn, &meta, &refusal);
                }
                connection.busy = Some(Busy::Room { grace });
                let caller = connection.caller(Some(&key), &username, meta, true);
                self.fx.say(worker_of_owner(&key, self.fx.workers), Say::Create { caller, name, password });
            }
            Request::Join { room, password, key, username, grace } => {
                let checked = connection.may_state(&key).and_then(|()| connection.may_enter(&room, rooms_max));
                if checked.is_err() {
                    self.give_back(address);
                }
                self.enter_room(conn, checked, &room, (&key, &username), grace, meta, Op::Join { password });
            }
            _ => {}
        }
    }

    fn send_signal(&mut self, conn: ConnId, signal: Signal, meta: Meta) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let mut rest = match connection.rooms_of_signal(&signal) {
            Ok(rooms) => rooms,
            Err(refusal) => return self.refuse(conn, &meta, &refusal),
        };
        // The room that it came to last is looked through first.
        let Some(room) = rest.pop() else { return };
        // One that may go from room to room must not be overtaken.
        let alone = signal.room.is_empty();
        if alone {
            connection.busy = Some(Busy::Room { grace: false });
        }
        let caller = connection.caller(None, "", meta, alone);
        self.fx.ask_room(&room, Ask::Request(caller, Op::Signal { signal, rest }));
    }

    fn relay(&mut self, conn: ConnId, room: &str, target: Box<str>, data: Box<str>, meta: Meta, now: Now) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let limit = self.settings.relay;
        let (Some(bytes), Some(_)) = (limit.connection_bytes, limit.room_bytes) else {
            return self.refuse(conn, &meta, &Refusal::RelayOff);
        };
        let room = match connection.room_of((!room.is_empty()).then_some(room)) {
            Ok(room) => room,
            Err(refusal) => return self.refuse(conn, &meta, &refusal),
        };
        let quota = super::meter::Rate { burst: bytes as u64, period: super::inside::MINUTE };
        if !connection.relayed.take((data.len() + MESSAGE_BYTES) as u64, quota, now.mono) {
            self.counters.inc(Metric::SIGNALING_RELAY_REFUSED);
            return self.refuse(conn, &meta, &Refusal::RelayQuota);
        }
        let caller = connection.caller(None, "", meta, false);
        self.fx.ask_room(&room, Ask::Request(caller, Op::Relay { target, data }));
    }
}

/// Whether the others in a room are told of a request each time that it is made.
fn is_told_to_others(kind: Kind) -> bool {
    match kind {
        Kind::Connect | Kind::Disconnect | Kind::Rename | Kind::ClientInfo => true,
        // Of the first two each address has only so many; a room is left, and a member kicked, once.
        Kind::Create
        | Kind::Join
        | Kind::Leave
        | Kind::Kick
        | Kind::Ping
        | Kind::Rooms
        | Kind::Signal(_)
        | Kind::Challenge
        | Kind::Prove
        | Kind::Resume
        | Kind::Presence
        | Kind::IceServers
        | Kind::Relay => false,
    }
}

/// Whether a request is done in the name of a key.
fn needs_key(kind: Kind) -> bool {
    match kind {
        Kind::Ping | Kind::Challenge | Kind::Prove | Kind::Resume | Kind::IceServers => false,
        Kind::Create
        | Kind::Join
        | Kind::Connect
        | Kind::Disconnect
        | Kind::Leave
        | Kind::Kick
        | Kind::Rename
        | Kind::Rooms
        | Kind::ClientInfo
        | Kind::Signal(_)
        | Kind::Presence
        | Kind::Relay => true,
    }
}

impl Connection {
    /// A connection has one key: the first that it stated.
    pub(super) fn may_state(&self, key: &str) -> Result<(), Refusal> {
        match &self.key {
            Some(own) if !key.is_empty() && **own != *key => Err(Refusal::ForeignKey),
            _ => Ok(()),
        }
    }

    fn may_enter(&self, room: &str, rooms_max: usize) -> Result<(), Refusal> {
        if self.rooms.len() >= rooms_max && !self.is_in(room) { Err(Refusal::TooManyRooms) } else { Ok(()) }
    }

    /// The room that is named, or the current one.
    fn room_of(&self, named: Option<&str>) -> Result<Box<str>, Refusal> {
        match named {
            Some(room) if !self.is_in(room) => Err(Refusal::NotInThis),
            Some(room) => Ok(room.into()),
            None => self.current().map(Into::into).ok_or(Refusal::NotInAny),
        }
    }

    /// Which room is left, and as whom. It need not be there.
    fn leaves(&self, room: &str, key: &str) -> Result<(Box<str>, Box<str>), Refusal> {
        let room = if room.is_empty() { self.current().ok_or(Refusal::NotInAny)? } else { room };
        self.may_state(key)?;
        let key = if key.is_empty() { self.key.as_deref().unwrap_or_default() } else { key };
        if key.is_empty() {
            return Err(Refusal::KeyRequired);
        }
        Ok((room.into(), key.into()))
    }

    fn rooms_of_signal(&self, signal: &Signal) -> Result<Vec<Box<str>>, Refusal> {
        if signal.era == Era::Network && self.key.is_none() {
            return Err(Refusal::SenderWithoutKey);
        }
        if self.rooms.is_empty() {
            return Err(signal.era.pick(Refusal::NotInAny, Refusal::SenderInNone));
        }
        match &*signal.room {
            "" => Ok(self.rooms.clone()),
            room if self.is_in(room) => Ok(vec![room.into()]),
            _ => Err(Refusal::NotInThis),
        }
    }
}
