//! Answers that all workers have a part in: a member's rooms, and what it does in all of them.

use std::cmp::Reverse;
use std::sync::Arc;

use serde_json::json;

use super::Signaling;
use super::claim::Claim;
use super::conn::Busy;
use super::limits::{GATHER_WAIT, MEMBERS_LISTED, PROOF_ROUNDS, ROOMS_LISTED};
use super::peer::{Ask, Deed, Meta, Part, Say};
use super::room::Room;
use super::timers::Timer;
use super::wire::{Era, Message, Refusal, Row, rooms};
use crate::base::{ConnId, Mono, Now, WorkerId};

/// An answer that is being collected.
#[derive(Debug)]
pub(super) struct Gather {
    conn: ConnId,
    what: What,
    waits: usize,
    is_failed: bool,
    /// Why a room did not do it, the first.
    refusal: Option<Refusal>,
    /// A worker has more rooms than it could ask at once.
    has_more: bool,
    rows: Vec<Row>,
    /// When it is given up.
    until: Option<Mono>,
}

#[derive(Debug)]
enum What {
    /// The rooms of who has just come; nobody asked.
    Push,
    /// The rooms of who asks.
    Rooms(Meta, Arc<str>),
    /// A new name.
    Name(Meta, Arc<str>, Box<str>),
    /// A proof of the key; and how often the workers were asked.
    Proof(Meta, Arc<str>, u32),
    /// A room to make or join with a key that is only stated.
    Claim(Claim),
}

impl Signaling {
    pub(super) fn push_rooms(&mut self, conn: ConnId, key: Arc<str>, is_proved: bool, now: Now) {
        let ask = self.gather(conn, What::Push, now);
        self.ask_all(|| Say::RoomsOf { ask, key: key.clone(), is_proved });
    }

    pub(super) fn ask_rooms(&mut self, conn: ConnId, key: &str, meta: Meta, now: Now) {
        let Some((key, is_proved)) = self.stated(conn, key, &meta, Refusal::KeyRequired) else { return };
        let ask = self.gather(conn, What::Rooms(meta, key.clone()), now);
        self.ask_all(|| Say::RoomsOf { ask, key: key.clone(), is_proved });
    }

    pub(super) fn ask_names(&mut self, conn: ConnId, key: &str, name: Box<str>, meta: Meta, now: Now) {
        let Some((key, is_proved)) = self.stated(conn, key, &meta, Refusal::InfoKeyRequired) else { return };
        if name.is_empty() {
            return self.refuse(conn, &meta, &Refusal::InfoNameRequired);
        }
        let ask = self.gather(conn, What::Name(meta, key.clone(), name.clone()), now);
        let deed = Deed::Name(name);
        self.ask_all(|| Say::Member { ask, conn, key: key.clone(), deed: deed.clone(), is_proved });
    }

    /// The key of a connection is proved: from now on it is nobody else's, wherever it is a member.
    pub(super) fn ask_proof(&mut self, conn: ConnId, key: Arc<str>, meta: Meta, round: u32, now: Now) {
        let ask = self.gather(conn, What::Proof(meta, key.clone(), round), now);
        self.ask_all(|| Say::Member { ask, conn, key: key.clone(), deed: Deed::Prove, is_proved: true });
    }

    /// Has somebody proved the key, as a member of some room?
    pub(super) fn ask_whose(&mut self, conn: ConnId, key: &Arc<str>, claim: Claim, now: Now) {
        let ask = self.gather(conn, What::Claim(claim), now);
        self.ask_all(|| Say::IsProved { ask, key: key.clone() });
    }

    /// The key in whose name it is asked, if the connection may state it.
    fn stated(&mut self, conn: ConnId, key: &str, meta: &Meta, missing: Refusal) -> Option<(Arc<str>, bool)> {
        let connection = self.conns.get(&conn)?;
        let checked = if key.is_empty() { Err(missing) } else { connection.may_state(key) };
        match checked {
            Ok(()) => Some((key.into(), connection.is_proved)),
            Err(refusal) => {
                self.refuse(conn, meta, &refusal);
                None
            }
        }
    }

    fn gather(&mut self, conn: ConnId, what: What, now: Now) -> u64 {
        if !matches!(what, What::Push)
            && let Some(connection) = self.conns.get_mut(&conn)
        {
            connection.busy = Some(Busy::Gather);
        }
        self.asks += 1;
        // Who comes into a room waits for all that is needed, as it waits for the room.
        let until = (!matches!(what, What::Claim(_))).then(|| now.mono.after(GATHER_WAIT));
        if let Some(until) = until {
            self.timers.set(until, Timer::Gather(self.asks));
        }
        let gather = Gather {
            conn,
            what,
            waits: self.fx.workers,
            is_failed: false,
            refusal: None,
            has_more: false,
            rows: Vec::new(),
            until,
        };
        self.gathers.insert(self.asks, gather);
        self.asks
    }

    fn ask_all(&mut self, say: impl Fn() -> Say) {
        for worker in 0..self.fx.workers as u16 {
            self.fx.say(WorkerId(worker), say());
        }
    }

    pub(super) fn on_rooms_of(&mut self, from: WorkerId, ask: u64, key: &str, is_proved: bool) {
        let proof = self.settings.proof;
        let is_told = |room: &&Room| room.is_made() && (is_proved || !room.needs_proof(key, proof));
        let found = self.rooms.of_member(key).filter(is_told);
        let mut found: Vec<_> = found.filter_map(|room| Some((room.record.member(key)?, room))).collect();
        // Of very many the last that were joined.
        found.sort_by_key(|(member, _)| Reverse(member.joined));
        found.truncate(ROOMS_LISTED);
        let mut members = 0;
        let mut rows = Vec::new();
        for (member, room) in found {
            let id = &*room.record.id;
            let mut people = room.people(MEMBERS_LISTED - members);
            for person in &mut people {
                person.key = self.aliases.shown_to(key, id, &person.key);
            }
            members += people.len();
            rows.push(Row {
                room: room.record.id.clone(),
                name: room.record.name.clone(),
                owner: self.aliases.shown_to(key, id, &room.record.owner),
                is_connected: room.has_key_live(key),
                joined: member.joined,
                last_connected: member.last_connected,
                address: member.address,
                people,
            });
        }
        self.fx.say(from, Say::Part { ask, part: Part::Rows(rows) });
    }

    pub(super) fn on_member_all(
        &mut self,
        from: WorkerId,
        ask: u64,
        conn: ConnId,
        key: &Arc<str>,
        deed: &Deed,
        is_proved: bool,
    ) {
        // What is proved already is no work: of very many rooms the next round reaches the next ones.
        let is_open = |room: &&Room| match deed {
            Deed::Name(_) => true,
            Deed::Prove => room.record.member(key).is_some_and(|member| !member.is_proved),
        };
        let rooms = self.rooms.of_member(key).filter(is_open).take(ROOMS_LISTED);
        let rooms: Vec<Box<str>> = rooms.map(|room| room.record.id.clone()).collect();
        self.fx.say(from, Say::Part { ask, part: Part::More(rooms.len()) });
        for room in rooms {
            let (key, deed) = (key.clone(), deed.clone());
            self.fx.ask_room(&room, Ask::Member { back: from, ask, conn, key, deed, is_proved });
        }
    }

    pub(super) fn on_part(&mut self, ask: u64, part: Part, now: Now) {
        let Some(gather) = self.gathers.get_mut(&ask) else { return };
        gather.waits -= 1;
        match part {
            Part::Rows(rows) => gather.rows.extend(rows),
            Part::More(more) => {
                gather.waits += more;
                gather.has_more |= more == ROOMS_LISTED;
            }
            Part::Refused(refusal) => gather.refusal = gather.refusal.take().or(Some(refusal)),
            Part::Done(is_done) => gather.is_failed |= !is_done,
        }
        if gather.waits == 0 {
            self.finish_gather(ask, now);
        }
    }

    /// Some worker has not answered in time, or a disk is slow.
    pub(super) fn give_up_gather(&mut self, ask: u64, now: Now) {
        if let Some(gather) = self.gathers.get_mut(&ask) {
            gather.is_failed = true;
            self.finish_gather(ask, now);
        }
    }

    fn finish_gather(&mut self, ask: u64, now: Now) {
        let Some(mut gather) = self.gathers.remove(&ask) else { return };
        if let Some(until) = gather.until {
            self.timers.cancel(until, Timer::Gather(ask));
        }
        let conn = gather.conn;
        gather.rows.sort_by(|a, b| (a.joined, &a.room).cmp(&(b.joined, &b.room)));
        let more = gather.rows.len().saturating_sub(ROOMS_LISTED);
        gather.rows.drain(..more);
        let mut left = MEMBERS_LISTED;
        for row in gather.rows.iter_mut().rev() {
            row.people.truncate(left);
            left -= row.people.len();
        }
        let (meta, key, message, refusal) = match gather.what {
            What::Push => return self.finish_push(conn, &gather.rows, now),
            What::Rooms(meta, key) => {
                let message = rooms(&gather.rows, meta.era);
                (meta, key, message, Refusal::RoomsFailed)
            }
            What::Name(meta, key, name) => {
                let payload = json!({"public_key": &*key, "client_name": name}).to_string();
                let message = Message { name: "UpdateClientInfoResponse", payload };
                (meta, key, message, Refusal::InfoFailed)
            }
            What::Claim(claim) => return self.finish_claim(conn, claim, gather.refusal, now),
            What::Proof(meta, key, round) if gather.has_more && !gather.is_failed && round < PROOF_ROUNDS => {
                return self.ask_proof(conn, key, meta, round + 1, now);
            }
            What::Proof(meta, key, _) => {
                return self.finish_proof(conn, meta, key, gather.is_failed || gather.has_more, now);
            }
        };
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.busy = None;
        if let Some(refusal) = gather.is_failed.then_some(refusal).or(gather.refusal) {
            self.refuse(conn, &meta, &refusal);
        } else {
            connection.key.get_or_insert(key);
            self.respond(conn, &meta, &message);
        }
        self.take_held(conn, now);
    }

    /// Clients of either era fill their lists with what they are told when they connect.
    fn finish_push(&mut self, conn: ConnId, rows: &[Row], now: Now) {
        let Some(connection) = self.conns.get(&conn) else { return };
        let ip = connection.address.ip().to_canonical();
        let (v4, v6) = if ip.is_ipv4() { (ip.to_string(), String::new()) } else { (String::new(), ip.to_string()) };
        let id = self.fresh_id();
        self.push(conn, &id, &rooms(rows, Era::Room), now);
        let payload = json!({"ipv4": v4, "ipv6": v6}).to_string();
        let id = self.fresh_id();
        self.push(conn, &id, &Message { name: "ClientIPInfo", payload }, now);
        self.push(conn, "", &rooms(rows, Era::Network), now);
    }
}
