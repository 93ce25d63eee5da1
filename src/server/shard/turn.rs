//! One batch: each of its items goes to the dialect that it is for.

use super::early::Way;
use super::{Beside, Served};
use crate::base::{ConnId, Counters, DialectId, Mono, Now};
use crate::dialect::echo;
use crate::dialect::hydrogen::{self, Hydrogen};
use crate::dialect::signaling::{self, Signaling};
use crate::engine::work::{Opening, Order, Outbox};

/// The dialects of one worker, and what one batch has in common.
pub(super) struct Turn<'a> {
    pub hydrogen: &'a mut Hydrogen,
    pub signaling: &'a mut Option<Served>,
    pub counters: &'a Counters,
    pub out: &'a mut Outbox<hydrogen::Peer>,
    pub read_at: Mono,
    pub now: Now,
}

impl Turn<'_> {
    pub(super) fn on_open(&mut self, opening: &Opening) {
        match opening.dialect {
            DialectId::Hydrogen => {
                let is_undecided = self.signaling.as_mut().is_some_and(|served| served.early.on_open(opening));
                if is_undecided && opening.identity.is_some() {
                    // It is told nothing before it is known what it understands.
                    self.out.order(opening.conn, Order::Ready { conn: opening.conn });
                } else {
                    self.hydrogen.on_open(opening, self.now, self.out);
                }
            }
            DialectId::Echo => echo::on_open(opening.conn, self.out),
            DialectId::Signaling => self.open_signaling(opening),
        }
    }

    fn open_signaling(&mut self, opening: &Opening) {
        self.signal(|it, now, out| it.on_open(opening, now, out));
        if let Some(served) = self.signaling {
            served.guests.on_open(opening, self.now, self.out);
        }
    }

    pub(super) fn on_text(&mut self, conn: ConnId, marked: DialectId, text: &str) {
        let read_at = self.read_at;
        match self.dialect(conn, marked, || Signaling::speaks(text)) {
            DialectId::Hydrogen => self.hydrogen.on_text(conn, text, read_at, self.now, self.out),
            DialectId::Echo => echo::on_text(conn, text, read_at, self.counters, self.out),
            DialectId::Signaling => self.signal(|it, now, out| it.on_text(conn, text, read_at, now, out)),
        }
    }

    pub(super) fn on_binary(&mut self, conn: ConnId, marked: DialectId, bytes: &[u8]) {
        let read_at = self.read_at;
        match self.dialect(conn, marked, || std::str::from_utf8(bytes).is_ok_and(Signaling::speaks)) {
            DialectId::Hydrogen => self.hydrogen.on_binary(conn, read_at, self.now, self.out),
            DialectId::Echo => echo::on_binary(conn, bytes, read_at, self.counters, self.out),
            DialectId::Signaling => self.signal(|it, now, out| it.on_binary(conn, bytes, read_at, now, out)),
        }
    }

    /// A dialect that does not know the connection has nothing to give back.
    pub(super) fn on_closed(&mut self, conn: ConnId) {
        if let Some(served) = self.signaling {
            served.early.on_closed(conn);
            served.guests.on_closed(conn);
        }
        self.hydrogen.on_closed(conn, self.now, self.out);
        self.signal(|it, now, out| it.on_closed(conn, now, out));
    }

    /// The dialect that a message is for. The first message of a connection that did not say what it
    /// speaks moves it to signaling, or opens it where it is.
    fn dialect(&mut self, conn: ConnId, marked: DialectId, speaks: impl FnOnce() -> bool) -> DialectId {
        let Some(served) = self.signaling else { return marked };
        match served.early.way(conn, marked, speaks) {
            Way::Goes(dialect) => dialect,
            Way::Stays(opening) => {
                // Who may still show a credential was opened at once: it has a time for it.
                if opening.identity.is_some() {
                    self.hydrogen.on_open(&opening, self.now, self.out);
                }
                DialectId::Hydrogen
            }
            Way::Moves(opening) => {
                self.hydrogen.on_closed(conn, self.now, self.out);
                self.out.order(conn, Order::Dialect { conn, dialect: DialectId::Signaling });
                self.open_signaling(&opening);
                DialectId::Signaling
            }
        }
    }

    fn signal(&mut self, step: impl FnOnce(&mut Signaling, Now, &mut Outbox<signaling::Peer>)) {
        if let Some(Served { beside, .. }) = self.signaling {
            let beside: &mut Beside<Signaling, signaling::Peer> = beside;
            let now = self.now;
            beside.step(self.out, |signaling, out| step(signaling, now, out));
        }
    }
}
