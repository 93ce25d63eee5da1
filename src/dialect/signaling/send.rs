//! What goes out to a connection, in its era's words and its own encoding.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::Signaling;
use super::conn::Busy;
use super::peer::Meta;
use super::wire::{Encoding, Era, Message, Notice, Refusal, Reply, frame, reply, told};
use crate::base::{ConnId, Counters, Metric, Mono, Now, Reason};
use crate::engine::work::Order;

/// The place of this dialect in the label values of messages received.
pub(super) const MESSAGES_IN: usize = 6;
/// The place of this dialect in the label values of messages sent.
const MESSAGES_OUT: usize = 5;

fn count(counters: &Counters, frame: &Bytes) {
    counters.inc(Metric::MESSAGES_OUT.at(MESSAGES_OUT));
    counters.add(Metric::MESSAGE_BYTES_OUT.at(MESSAGES_OUT), frame.len() as u64);
}

/// The frames of one notice: made once for each era and encoding.
#[derive(Default)]
struct Frames(Vec<(Era, Encoding, Vec<Bytes>)>);

impl Frames {
    fn of(&mut self, notice: &Notice, era: Era, encoding: Encoding) -> &[Bytes] {
        let place = self.0.iter().position(|(its, as_, _)| (*its, *as_) == (era, encoding));
        let place = place.unwrap_or_else(|| {
            let id = match notice {
                Notice::Signal(signal) => &*signal.id,
                _ => "",
            };
            let frames = told(notice, era);
            let frames = frames.iter().map(|one| frame(id, one.name, &one.payload, encoding)).collect();
            self.0.push((era, encoding, frames));
            self.0.len() - 1
        });
        &self.0[place].2
    }
}

impl Signaling {
    fn put(&mut self, conn: ConnId, frame: Bytes, settles: u32, received_at: Mono) {
        count(&self.counters, &frame);
        self.fx.orders.push((conn, Order::Send { conn, frame, settles, received_at }));
    }

    pub(super) fn settle(&mut self, conn: ConnId) {
        self.fx.orders.push((conn, Order::Settle { conn, count: 1 }));
    }

    /// Answers one message.
    pub(super) fn respond(&mut self, conn: ConnId, meta: &Meta, message: &Message) {
        let Some(connection) = self.conns.get(&conn).filter(|connection| connection.away_until.is_none()) else {
            return;
        };
        let frame = frame(&meta.id, message.name, &message.payload, connection.encoding);
        self.put(conn, frame, 1, meta.read_at);
    }

    /// Answers one message with an error.
    pub(super) fn refuse(&mut self, conn: ConnId, meta: &Meta, refusal: &Refusal) {
        self.counters.inc(Metric::error(refusal.code()));
        self.counters.inc(Metric::SIGNALING_ERRORS);
        if let Some(message) = reply(&Reply::Refused(refusal.clone()), meta.era, Map::new()) {
            self.respond(conn, meta, &message);
        }
    }

    /// Sends what nobody asked for.
    pub(super) fn push(&mut self, conn: ConnId, id: &str, message: &Message, now: Now) {
        let Some(connection) = self.conns.get(&conn).filter(|connection| connection.away_until.is_none()) else {
            return;
        };
        let frame = frame(id, message.name, &message.payload, connection.encoding);
        self.put(conn, frame, 0, now.mono);
    }

    /// A fresh message id, as clients make them.
    pub(super) fn fresh_id(&mut self) -> String {
        use rand_chacha::rand_core::Rng;
        format!("{:08x}", self.random.next_u32())
    }

    /// What is added to the answers by which a connection enters a room, for who asks for grace.
    pub(super) fn extra(&mut self, conn: ConnId, grace: bool) -> Map<String, Value> {
        let mut extra = Map::new();
        let has_grace = grace && !self.settings.grace.is_zero() && self.draining.is_none();
        if has_grace {
            self.give_token(conn);
        }
        let Some(connection) = self.conns.get_mut(&conn) else { return extra };
        if let Some(token) = connection.token.as_ref().filter(|_| has_grace) {
            connection.has_grace = true;
            extra.insert("connection_id".into(), connection.peer_id().into());
            extra.insert("resume_token".into(), token.text().into());
            extra.insert("grace_seconds".into(), json!(self.settings.grace.as_secs()));
        }
        extra
    }

    /// Tells connections something, and does to them what it says.
    pub(super) fn on_tell(&mut self, conns: Vec<ConnId>, notice: &Arc<Notice>, now: Now) {
        // Who has the key that it is of is told that, and all others what stands for it.
        let for_others = self.aliases.notice(notice);
        let key = notice.of_key().map(|(_, key)| key);
        let (mut frames, mut frames_of_own) = (Frames::default(), Frames::default());
        for conn in conns {
            if let Some(handing) = self.handing.get_mut(&conn) {
                match &**notice {
                    Notice::Signal(signal) => {
                        let dropped = handing.handover.queue.push(signal.clone());
                        self.counters.add(Metric::SIGNALING_SIGNALS_DROPPED, dropped);
                    }
                    Notice::Deleted { room } | Notice::Kicked { room } | Notice::PutOut { room } => {
                        handing.handover.rooms.retain(|(own, _)| own != room);
                    }
                    _ => {}
                }
                continue;
            }
            let Some(connection) = self.conns.get_mut(&conn) else { continue };
            match &**notice {
                Notice::Deleted { room } | Notice::Kicked { room } | Notice::PutOut { room } => connection.leave(room),
                Notice::Signal(signal) if connection.away_until.is_some() => {
                    let dropped = connection.queue.push(signal.clone());
                    self.counters.add(Metric::SIGNALING_SIGNALS_DROPPED, dropped);
                    continue;
                }
                _ => {}
            }
            let is_kicked = matches!(&**notice, Notice::Kicked { .. });
            // Who is kicked has no place to take.
            if let Some(Busy::Resume { behind, .. }) = connection.busy.as_mut().filter(|_| !is_kicked) {
                let dropped = behind.push(notice.clone());
                self.counters.add(Metric::SIGNALING_SIGNALS_DROPPED, dropped);
                continue;
            }
            if connection.away_until.is_some() {
                if connection.rooms.is_empty() {
                    self.forget(conn);
                }
                continue;
            }
            let (era, encoding) = (connection.era, connection.encoding);
            connection.has_grace &= !is_kicked;
            let (frames, notice) = match &for_others {
                Some(_) if connection.key.as_deref() == key => (&mut frames_of_own, &**notice),
                Some(for_others) => (&mut frames, for_others),
                None => (&mut frames, &**notice),
            };
            for frame in frames.of(notice, era, encoding) {
                count(&self.counters, frame);
                let (frame, received_at) = (frame.clone(), now.mono);
                self.fx.orders.push((conn, Order::Send { conn, frame, settles: 0, received_at }));
            }
            if is_kicked {
                self.fx.orders.push((conn, Order::Close { conn, reason: Reason::ServerClosed, text: "kicked".into() }));
            }
        }
    }
}
