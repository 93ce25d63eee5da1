//! What goes out: responses, the older clients' answers, and events for one session alone.

use std::fmt::Write;

use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Counters, Error, Metric, Mono, Now, Wall};
use crate::engine::topic::Epoch;
use crate::engine::wire::{EventHead, event, keepalive_ok, response_error, response_ok};
use crate::engine::work::{Order, Outbox};
use crate::engine::ws::FrameBuilder;

/// Places of the types in the metric's label values.
pub(super) mod kind {
    pub const COMMAND: usize = 0;
    pub const ACK: usize = 1;
    pub const STATUS: usize = 2;
    pub const KEEPALIVE: usize = 3;
    pub const BAD: usize = 5;
    pub const RESPONSE: usize = 0;
    pub const EVENT: usize = 1;
}

/// The text of the current millisecond: one turn's messages share it.
#[derive(Debug, Default)]
pub(super) struct ClockText {
    wall: Option<Wall>,
    text: String,
}

impl ClockText {
    pub(super) fn of(&mut self, wall: Wall) -> &str {
        if self.wall != Some(wall) {
            self.wall = Some(wall);
            self.text.clear();
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{wall}");
        }
        &self.text
    }
}

/// What a response repeats of its command.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta<'a> {
    pub conn: ConnId,
    pub id: &'a str,
    pub channel: &'a str,
    pub action: &'a str,
    pub read_at: Mono,
}

impl Hydrogen {
    /// Sends a command's one response.
    pub(super) fn respond(
        &mut self,
        meta: Meta<'_>,
        result: &Result<Box<str>, Error>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let size = result.as_ref().map_or(256, |data| data.len());
        let mut frame = FrameBuilder::with_capacity(size + 256);
        let time = self.clock.of(now.wall);
        match result {
            Ok(data) => response_ok(&mut frame, meta.id, time, meta.channel, meta.action, data.as_bytes()),
            Err(error) => {
                self.counters.inc(Metric::error(error.code));
                response_error(&mut frame, meta.id, time, Some(meta.channel), Some(meta.action), error);
            }
        }
        let frame = frame.finish_text();
        count_out(&self.counters, kind::RESPONSE, &frame, 1);
        out.order(meta.conn, Order::Send { conn: meta.conn, frame, settles: 1, received_at: meta.read_at });
    }

    /// Answers a message that was no command, as far as it could be read.
    pub(super) fn respond_bad(
        &mut self,
        conn: ConnId,
        refused: (Option<&str>, Option<&str>, Option<&str>, &Error),
        read_at: Mono,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let (id, channel, action, error) = refused;
        let made;
        let id = match id {
            Some(id) => id,
            None => {
                made = self.random_text(9);
                &made
            }
        };
        self.counters.inc(Metric::error(error.code));
        let mut frame = FrameBuilder::with_capacity(256);
        response_error(&mut frame, id, self.clock.of(now.wall), channel, action, error);
        let frame = frame.finish_text();
        count_out(&self.counters, kind::RESPONSE, &frame, 1);
        out.order(conn, Order::Send { conn, frame, settles: 1, received_at: read_at });
    }

    /// Answers an older client's keepalive.
    pub(super) fn respond_keepalive(&mut self, conn: ConnId, read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        let mut frame = FrameBuilder::with_capacity(64);
        keepalive_ok(&mut frame, now.wall.unix_s());
        let frame = frame.finish_text();
        count_out(&self.counters, kind::KEEPALIVE, &frame, 1);
        out.order(conn, Order::Send { conn, frame, settles: 1, received_at: read_at });
    }

    /// Answers an older client's status request: the bare object.
    pub(super) fn respond_status(&mut self, conn: ConnId, data: &str, read_at: Mono, out: &mut Outbox<Peer>) {
        let mut frame = FrameBuilder::with_capacity(data.len());
        frame.extend_from_slice(data.as_bytes());
        let frame = frame.finish_text();
        count_out(&self.counters, kind::STATUS, &frame, 1);
        out.order(conn, Order::Send { conn, frame, settles: 1, received_at: read_at });
    }

    /// Sends an event that is for one session alone, on a topic of the channel `system`.
    pub(super) fn tell(
        &mut self,
        conn: ConnId,
        action: &str,
        data: &serde_json::Value,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(session) = self.sessions.of_mut(conn).filter(|session| !session.is_shut_out) else { return };
        session.own_events += 1;
        let head = EventHead {
            epoch: &Epoch::new(session.epoch).to_string(),
            offset: session.own_events,
            timestamp: self.clock.of(now.wall),
            channel: "system",
            action,
            history: false,
            prev: None,
            ack: false,
            attempt: 1,
        };
        let mut frame = FrameBuilder::with_capacity(1024);
        event(&mut frame, &head, data.to_string().as_bytes());
        let frame = frame.finish_text();
        count_out(&self.counters, kind::EVENT, &frame, 1);
        out.order(conn, Order::Send { conn, frame, settles: 0, received_at: now.mono });
    }

    pub(super) fn count_error(&self, code: Code) {
        self.counters.inc(Metric::error(code));
    }
}

/// Counts a frame that goes to so many receivers.
pub(super) fn count_out(counters: &Counters, of_kind: usize, frame: &[u8], receivers: usize) {
    counters.add(Metric::MESSAGES_OUT.at(of_kind), receivers as u64);
    counters.add(Metric::MESSAGE_BYTES_OUT.at(of_kind), (frame.len() * receivers) as u64);
}
