//! A room has answered: what it means for the connection, and what it is told.

use std::sync::Arc;

use super::Signaling;
use super::conn::Busy;
use super::peer::{Ask, Meta};
use super::wire::{Reply, reply};
use crate::base::{ConnId, Metric, Now};
use serde_json::Map;

impl Signaling {
    pub(super) fn on_answer(
        &mut self,
        conn: ConnId,
        meta: &Meta,
        alone: bool,
        key: Arc<str>,
        answer: &Reply,
        now: Now,
    ) {
        if alone && self.handing.contains_key(&conn) {
            return self.on_last_answer(conn, answer);
        }
        let Some(connection) = self.conns.get_mut(&conn) else {
            // It is over, or another has its place: nobody is in the room.
            if let Reply::Created { room, .. } | Reply::Joined { room, .. } | Reply::Connected { room, .. } = answer {
                self.fx.ask_room(room, Ask::Gone { conn });
            }
            return;
        };
        let busy = if alone { connection.busy.take() } else { None };
        let mut extra = Map::new();
        match answer {
            Reply::Created { room, .. } | Reply::Joined { room, .. } | Reply::Connected { room, .. } => {
                connection.enter(room);
                connection.key.get_or_insert(key);
                if connection.away_until.is_some() {
                    self.fx.ask_room(room, Ask::Away { conn });
                } else {
                    let grace = matches!(busy, Some(Busy::Room { grace: true }));
                    extra = self.extra(conn, grace);
                }
            }
            Reply::Left { room } => {
                connection.leave(room);
                connection.key.get_or_insert(key);
            }
            Reply::Disconnected { room } => connection.leave(room),
            Reply::Refused(refusal) => {
                self.counters.inc(Metric::error(refusal.code()));
                self.counters.inc(Metric::SIGNALING_ERRORS);
            }
            Reply::Kicked { .. }
            | Reply::Renamed { .. }
            | Reply::Sent { .. }
            | Reply::Present { .. }
            | Reply::Nothing => {}
        }
        match reply(answer, meta.era, extra) {
            Some(message) => self.respond(conn, meta, &message),
            None => self.settle(conn),
        }
        if alone {
            self.take_held(conn, now);
        }
    }
}
