//! What comes in: connections, and messages in the order in which they came.

use std::collections::VecDeque;

use super::Signaling;
use super::conn::{Busy, Connection};
use super::key::is_ed25519;
use super::limits::{AWAY_MAX, BAD_MESSAGES, HELD_BYTES, HELD_MESSAGES};
use super::meter::Rate;
use super::peer::{Ask, Meta};
use super::send::MESSAGES_IN;
use super::settings::Proof;
use super::timers::Timer;
use super::wire::{Envelope, Era, Refusal, UNKNOWN, parse};
use crate::base::{ConnId, Metric, Mono, Now, Reason};
use crate::engine::work::{Opening, Order};
use rand_chacha::rand_core::Rng;

impl Signaling {
    pub(super) fn opened(&mut self, opening: &Opening, now: Now) {
        let conn = opening.conn;
        let mut connection = Connection::new(conn, self.random.next_u64(), opening.address);
        connection.client_id = opening.client_id.as_deref().filter(|key| is_ed25519(key)).map(Into::into);
        let client_id = connection.client_id.clone();
        self.conns.insert(conn, connection);
        self.fx.orders.push((conn, Order::Ready { conn }));
        // Where it may do without, it is told nothing that it has not asked for.
        if self.settings.proof == Proof::Required
            && let Some(challenge) = self.challenge_of(conn)
        {
            self.push(conn, "", &challenge, now);
        }
        if let Some(key) = client_id
            && self.settings.proof != Proof::Required
        {
            self.push_rooms(conn, key, false, now);
        }
        // It was let in before its reactor heard of the end.
        if let Some(cause) = self.draining {
            self.tell_end(conn, cause, now);
        }
    }

    pub(super) fn on_bytes(&mut self, conn: ConnId, bytes: &[u8], read_at: Mono, now: Now) {
        match simdutf8::basic::from_utf8(bytes) {
            Ok(text) => self.message(conn, text, read_at, now),
            // In its turn it is as bad as now: it asks for nothing.
            Err(_) => self.bad_message(conn, bytes.len(), read_at),
        }
    }

    pub(super) fn message(&mut self, conn: ConnId, text: &str, read_at: Mono, now: Now) {
        let Some(connection) = self.conns.get_mut(&conn).filter(|connection| connection.away_until.is_none()) else {
            return;
        };
        let rate = self.settings.messages.map(|limit| Rate { burst: limit.requests.into(), period: limit.period });
        if rate.is_some_and(|rate| !connection.spoken.take(1, rate, now.mono)) {
            return self.turn_away(conn, text, read_at, &Refusal::RateLimited);
        }
        if connection.busy.is_none() {
            return self.take(conn, text, read_at, now);
        }
        if connection.held.len() < HELD_MESSAGES && connection.held_bytes + text.len() <= HELD_BYTES {
            connection.held_bytes += text.len();
            connection.held.push_back((text.into(), read_at));
            return;
        }
        self.turn_away(conn, text, read_at, &Refusal::Busy);
    }

    /// A message that is not looked at further gets its answer all the same.
    fn turn_away(&mut self, conn: ConnId, text: &str, read_at: Mono, refusal: &Refusal) {
        let Some(connection) = self.conns.get(&conn) else { return };
        let id = Envelope::read(text).map(|envelope| envelope.id.into()).unwrap_or_default();
        let meta = Meta { id, era: connection.era, read_at };
        self.refuse(conn, &meta, refusal);
    }

    /// Messages that waited get their turn, up to one that others wait for.
    pub(super) fn take_held(&mut self, conn: ConnId, now: Now) {
        loop {
            let Some(connection) = self.conns.get_mut(&conn).filter(|connection| connection.busy.is_none()) else {
                return;
            };
            let Some((text, read_at)) = connection.held.pop_front() else { return };
            connection.held_bytes -= text.len();
            self.take(conn, &text, read_at, now);
        }
    }

    fn take(&mut self, conn: ConnId, text: &str, read_at: Mono, now: Now) {
        let Some(envelope) = Envelope::read(text) else { return self.bad_message(conn, text.len(), read_at) };
        self.counters.inc(Metric::MESSAGES_IN.at(MESSAGES_IN));
        self.counters.add(Metric::MESSAGE_BYTES_IN.at(MESSAGES_IN), text.len() as u64);
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.encoding = envelope.encoding.unwrap_or(connection.encoding);
        let (era, parsed) = parse(&envelope.kind, &envelope.payload, connection.era);
        let meta = Meta { id: envelope.id.into(), era, read_at };
        match parsed {
            Ok((kind, request)) => {
                self.counters.inc(Metric::SIGNALING_REQUESTS.at(kind.place()));
                self.serve(conn, kind, request, meta, now);
            }
            Err(Refusal::UnknownType) if meta.id.is_empty() => {
                self.counters.inc(Metric::SIGNALING_REQUESTS.at(UNKNOWN));
                self.settle(conn);
            }
            Err(refusal) => {
                if refusal == Refusal::UnknownType {
                    self.counters.inc(Metric::SIGNALING_REQUESTS.at(UNKNOWN));
                }
                self.refuse(conn, &meta, &refusal);
            }
        }
    }

    fn bad_message(&mut self, conn: ConnId, bytes: usize, read_at: Mono) {
        self.counters.inc(Metric::MESSAGES_IN.at(MESSAGES_IN));
        self.counters.add(Metric::MESSAGE_BYTES_IN.at(MESSAGES_IN), bytes as u64);
        self.counters.inc(Metric::SIGNALING_BAD_MESSAGES);
        let meta = Meta { id: Box::default(), era: Era::Room, read_at };
        self.refuse(conn, &meta, &Refusal::Message);
        self.strike(conn);
    }

    /// Something that no sound client sends.
    pub(super) fn strike(&mut self, conn: ConnId) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.bad_messages += 1;
        if connection.bad_messages == BAD_MESSAGES {
            let text = "too many bad messages".into();
            self.fx.orders.push((conn, Order::Close { conn, reason: Reason::InvalidUtf8, text }));
        }
    }

    pub(super) fn closed(&mut self, conn: ConnId, now: Now) {
        let Some(connection) = self.conns.get_mut(&conn).filter(|connection| connection.away_until.is_none()) else {
            return;
        };
        (connection.held, connection.held_bytes) = (VecDeque::new(), 0);
        let waits = connection.has_grace && connection.token.is_some() && !connection.rooms.is_empty();
        if !waits || self.draining.is_some() || self.away >= AWAY_MAX {
            return self.drop_conn(conn);
        }
        let until = now.mono.after(self.settings.grace);
        connection.away_until = Some(until);
        connection.queue = super::place::Queue::default();
        if !matches!(connection.busy, Some(Busy::Room { .. })) {
            connection.busy = None;
        }
        self.away += 1;
        self.timers.set(until, Timer::Grace(conn));
        for room in connection.rooms.clone() {
            self.fx.ask_room(&room, Ask::Away { conn });
        }
    }

    /// A connection is over, and so are its places.
    pub(super) fn drop_conn(&mut self, conn: ConnId) {
        let waited = self.conns.get(&conn).map_or(0, |connection| connection.queue.len());
        self.counters.add(Metric::SIGNALING_SIGNALS_DROPPED, waited as u64);
        for room in self.forget(conn) {
            self.fx.ask_room(&room, Ask::Gone { conn });
        }
    }

    /// A connection is over; its rooms are given back.
    pub(super) fn forget(&mut self, conn: ConnId) -> Vec<Box<str>> {
        let Some(connection) = self.conns.remove(&conn) else { return Vec::new() };
        if let Some(token) = &connection.token {
            self.tokens.remove(&token.id);
        }
        if let Some(until) = connection.away_until {
            self.away -= 1;
            self.timers.cancel(until, Timer::Grace(conn));
        }
        connection.rooms
    }
}
