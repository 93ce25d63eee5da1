//! A new connection takes the place of a lost one, with what was queued for it.
//!
//! The lost one's worker tells each room who has the place now; each room answers after all that
//! it has said to the lost one. So when all have answered the queue is complete, and what rooms
//! say to the new one meanwhile waits behind it.

use std::net::SocketAddr;
use std::sync::Arc;

use rand_chacha::rand_core::Rng;
use serde_json::{Value, json};

use super::Signaling;
use super::conn::Busy;
use super::peer::{Ask, Meta, Say};
use super::place::{Behind, Handing, Handover};
use super::settings::Proof;
use super::token::Token;
use super::wire::{Message, Notice, Refusal, Reply};
use crate::base::{ConnId, Metric, Now, Reason};
use crate::engine::work::{Order, worker_of};

impl Signaling {
    /// A connection gets a token, unless it has one.
    pub(super) fn give_token(&mut self, conn: ConnId) {
        let worker = self.fx.worker;
        let Some(connection) = self.conns.get_mut(&conn).filter(|connection| connection.token.is_none()) else {
            return;
        };
        let mut secret = [0; 16];
        self.random.fill_bytes(&mut secret);
        let id = self.random.next_u64();
        connection.token = Some(Token::new(worker, id, secret));
        self.tokens.insert(id, conn);
    }

    pub(super) fn resume(&mut self, conn: ConnId, token: &str, meta: Meta) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let token = Token::parse(token, self.fx.workers).filter(|_| connection.rooms.is_empty());
        let Some(token) = token else { return self.refuse(conn, &meta, &Refusal::NoResume) };
        connection.busy = Some(Busy::Resume { meta, put_out: Vec::new(), behind: Behind::default() });
        let (address, key, is_proved) = (connection.address, connection.key.clone(), connection.is_proved);
        self.fx.say(token.worker, Say::Resume { to: conn, address, token, key, is_proved });
    }

    /// Asked of the lost connection's worker.
    pub(super) fn on_resume(
        &mut self,
        to: ConnId,
        address: SocketAddr,
        token: &Token,
        key: Option<&Arc<str>>,
        proves: bool,
    ) {
        let from = self.tokens.get(&token.id).copied();
        let fits = from.and_then(|from| self.conns.get(&from)).is_some_and(|connection| {
            let is_right = connection.token.as_ref().is_some_and(|own| own.fits(token));
            // Who was put out of all rooms has no place.
            let has_place = !connection.rooms.is_empty() || matches!(connection.busy, Some(Busy::Room { .. }));
            let is_its = key.is_none_or(|key| connection.key.as_ref() == Some(key)) && connection.conn != to;
            is_right && is_its && has_place
        });
        let Some(from) = from.filter(|_| fits) else {
            let handover = None;
            return self.fx.say(worker_of(to, self.fx.workers), Say::Resumed { to, handover });
        };
        let Some(connection) = self.conns.get_mut(&from) else { return };
        let (peer, key, era) = (connection.peer, connection.key.clone(), connection.era);
        let is_proved = connection.is_proved;
        let is_asking = matches!(connection.busy, Some(Busy::Room { .. }));
        let queue = std::mem::take(&mut connection.queue);
        if connection.away_until.is_none() {
            // It was lost without a word: the client knew before its server did.
            let text = "its place was taken by another connection".into();
            self.fx.orders.push((from, Order::Close { conn: from, reason: Reason::TakenOver, text }));
        }
        let rooms = self.forget(from);
        let back = self.fx.worker;
        for room in &rooms {
            self.fx.ask_room(room, Ask::Rebind { from, to, address, is_proved: proves, back });
        }
        let handover = Handover { peer, key, is_proved, era, rooms: Vec::new(), queue };
        // What it has asked may yet bring it into a room, in which nobody may be twice.
        let waits = rooms.len() + usize::from(is_asking);
        self.handing.insert(from, Handing { to, address, is_proved: proves, waits, handover });
        self.hand_over(from);
    }

    pub(super) fn on_rebound(&mut self, from: ConnId, room: Box<str>, name: Option<Box<str>>) {
        let Some(handing) = self.handing.get_mut(&from) else { return };
        handing.waits -= 1;
        if let Some(name) = name {
            handing.handover.rooms.push((room, name));
        }
        self.hand_over(from);
    }

    /// The last request of a connection whose place is being taken is answered.
    pub(super) fn on_last_answer(&mut self, from: ConnId, answer: &Reply) {
        let back = self.fx.worker;
        let Some(handing) = self.handing.get_mut(&from) else { return };
        let (to, address, is_proved) = (handing.to, handing.address, handing.is_proved);
        match answer {
            Reply::Created { room, .. } | Reply::Joined { room, .. } | Reply::Connected { room, .. } => {
                self.fx.ask_room(room, Ask::Rebind { from, to, address, is_proved, back });
            }
            Reply::Disconnected { .. }
            | Reply::Left { .. }
            | Reply::Kicked { .. }
            | Reply::Renamed { .. }
            | Reply::Sent { .. }
            | Reply::Present { .. }
            | Reply::Nothing
            | Reply::Refused(_) => {
                handing.waits -= 1;
                self.hand_over(from);
            }
        }
    }

    fn hand_over(&mut self, from: ConnId) {
        if self.handing.get(&from).is_none_or(|handing| handing.waits > 0) {
            return;
        }
        let Some(Handing { to, handover, .. }) = self.handing.remove(&from) else { return };
        let handover = Some(Box::new(handover));
        self.fx.say(worker_of(to, self.fx.workers), Say::Resumed { to, handover });
    }

    /// Answered to the new connection's worker.
    pub(super) fn on_resumed(&mut self, to: ConnId, handover: Option<Box<Handover>>, now: Now) {
        let busy = self.conns.get_mut(&to).filter(|connection| connection.away_until.is_none());
        let busy = busy.and_then(|connection| connection.busy.take_if(|busy| matches!(busy, Busy::Resume { .. })));
        let Some(Busy::Resume { meta, put_out, behind }) = busy else {
            // It is over too.
            for (room, _) in handover.into_iter().flat_map(|handover| handover.rooms) {
                self.fx.ask_room(&room, Ask::Gone { conn: to });
            }
            return;
        };
        match handover {
            Some(handover) => self.take_place(to, *handover, &meta, &put_out, behind, now),
            None => self.refuse(to, &meta, &Refusal::NoResume),
        }
        self.take_held(to, now);
    }

    fn take_place(
        &mut self,
        conn: ConnId,
        handover: Handover,
        meta: &Meta,
        put_out: &[Box<str>],
        behind: Behind,
        now: Now,
    ) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        let Handover { peer, key, is_proved, era, mut rooms, mut queue } = handover;
        rooms.retain(|(room, _)| !put_out.contains(room));
        (connection.peer, connection.key, connection.era) = (peer, key, era);
        let is_first = is_proved && !connection.is_proved;
        connection.is_proved |= is_proved;
        let own = connection.client_id.clone().filter(|own| is_first && Some(own) == connection.key.as_ref());
        connection.rooms = rooms.iter().map(|(room, _)| room.clone()).collect();
        self.counters.inc(Metric::SIGNALING_RESUMED);
        let list: Vec<Value> = rooms.iter().map(|(id, name)| json!({era.id(): id, era.name(): name})).collect();
        let mut fields = self.extra(conn, true);
        fields.insert(era.pick("rooms", "networks").into(), list.into());
        fields.insert("missed".into(), (queue.missed + behind.missed).into());
        let payload = Value::Object(fields).to_string();
        self.respond(conn, meta, &Message { name: "Resumed", payload });
        while let Some(signal) = queue.pop() {
            // It was put out of this one meanwhile.
            if !rooms.iter().any(|(room, _)| *room == signal.room) {
                continue;
            }
            let message = Message { name: signal.name, payload: signal.payload.into() };
            self.push(conn, &signal.id, &message, now);
        }
        for notice in behind.into_notices() {
            // Of a room that it was put out of it is told that, and nothing else.
            let is_end = matches!(*notice, Notice::Deleted { .. } | Notice::PutOut { .. });
            if is_end || !put_out.iter().any(|room| **room == *notice.room()) {
                self.on_tell(vec![conn], &notice, now);
            }
        }
        // What was held back from who had not proved its key.
        if let Some(key) = own.filter(|_| self.settings.proof == Proof::Required) {
            self.push_rooms(conn, key, true, now);
        }
    }
}
