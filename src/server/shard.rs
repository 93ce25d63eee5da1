//! One worker's state: all dialects side by side, each message handed to the one it is for.
//!
//! Each dialect has an outbox of its own, for what its shards tell each other. What is common to all
//! (orders, and requests to the keeper and to the store) is lent to it for a step and handed back, so
//! that it is written once and keeps its order.

mod early;
mod guests;
mod loan;
mod turn;

use std::sync::Arc;

use crate::base::{Counters, Mono, Now, WorkerId};
use crate::dialect::hydrogen::{self, Hydrogen};
use crate::dialect::signaling::{self, Signaling};
use crate::engine::auth::Access;
use crate::engine::store::StoreEvent;
use crate::engine::work::{Batch, Completion, Emission, Item, Notice, Order, Outbox, Shard};
use early::Early;
use guests::Guests;
use loan::Loan;
use turn::Turn;

/// Tickets of signaling's requests to the store have this bit.
const SIGNALING_TICKET: u64 = 1 << 63;

/// What the shards of two workers tell each other.
#[derive(Debug)]
pub enum Peer {
    /// From hydrogen-protocol to hydrogen-protocol.
    Hydrogen(hydrogen::Peer),
    /// From signaling to signaling. Boxed: it is the larger one, and the rarer.
    Signaling(Box<signaling::Peer>),
}

/// The dialects of one worker.
pub struct Dialects {
    hydrogen: Beside<Hydrogen, hydrogen::Peer>,
    signaling: Option<Served>,
    counters: Arc<Counters>,
}

/// A dialect, and where it puts what its shards tell each other.
struct Beside<D, P> {
    dialect: D,
    out: Outbox<P>,
}

impl<D, P> Beside<D, P> {
    fn new(dialect: D) -> Beside<D, P> {
        Beside { dialect, out: Outbox::new(0) }
    }

    /// One step, with what is common to all.
    fn step<Q>(&mut self, out: &mut Outbox<Q>, step: impl FnOnce(&mut D, &mut Outbox<P>)) {
        let mut loan = Loan::new(&mut self.out, out);
        step(&mut self.dialect, loan.outbox());
    }
}

/// Signaling, where it is served.
struct Served {
    worker: WorkerId,
    beside: Beside<Signaling, signaling::Peer>,
    early: Early,
    guests: Guests,
}

/// What signaling is served with.
pub struct Seat {
    /// This worker.
    pub worker: WorkerId,
    /// Keys, permissions and blocks.
    pub access: Arc<Access>,
    /// Whether it is for those alone who showed a key.
    pub needs_key: bool,
}

impl Dialects {
    /// A worker's dialects.
    pub fn new(hydrogen: Hydrogen, counters: Arc<Counters>) -> Dialects {
        Dialects { hydrogen: Beside::new(hydrogen), signaling: None, counters }
    }

    /// The same, with signaling beside them.
    #[must_use]
    pub fn with_signaling(mut self, signaling: Signaling, seat: Seat) -> Dialects {
        let (beside, early) = (Beside::new(signaling), Early::new(seat.needs_key));
        let guests = Guests::new(seat.access, self.counters.clone());
        self.signaling = Some(Served { worker: seat.worker, beside, early, guests });
        self
    }

    /// The hydrogen-protocol state, for the simulator's checks.
    pub fn hydrogen(&self) -> &Hydrogen {
        &self.hydrogen.dialect
    }

    /// The signaling state, for the simulator's checks.
    pub fn signaling(&self) -> Option<&Signaling> {
        self.signaling.as_ref().map(|served| &served.beside.dialect)
    }

    fn hydrogen_step(&mut self, out: &mut Outbox<Peer>, step: impl FnOnce(&mut Hydrogen, &mut Outbox<hydrogen::Peer>)) {
        self.hydrogen.step(out, step);
        self.hand_on(out);
    }

    fn signaling_step(
        &mut self,
        out: &mut Outbox<Peer>,
        step: impl FnOnce(&mut Signaling, &mut Outbox<signaling::Peer>),
    ) {
        if let Some(signaling) = &mut self.signaling {
            signaling.beside.step(out, step);
            self.hand_on(out);
        }
    }

    /// What the shards tell each other goes on its way.
    fn hand_on(&mut self, out: &mut Outbox<Peer>) {
        let told = self.hydrogen.out.peers.drain(..);
        out.peers.extend(told.map(|(worker, message)| (worker, Peer::Hydrogen(message))));
        if let Some(signaling) = &mut self.signaling {
            let told = signaling.beside.out.peers.drain(..);
            out.peers.extend(told.map(|(worker, message)| (worker, Peer::Signaling(Box::new(message)))));
        }
    }
}

impl Shard for Dialects {
    type Peer = Peer;

    fn on_batch(&mut self, batch: &Batch, now: Now, out: &mut Outbox<Peer>) {
        let (mut texts, mut bytes) = (&*batch.texts, &*batch.bytes);
        let read_at = batch.read_at;
        // Lent once for the whole batch: most of it is for hydrogen-protocol.
        let mut loan = Loan::new(&mut self.hydrogen.out, out);
        let mut turn = Turn {
            hydrogen: &mut self.hydrogen.dialect,
            signaling: &mut self.signaling,
            counters: &self.counters,
            out: loan.outbox(),
            read_at,
            now,
        };
        for item in &batch.items {
            match item {
                Item::Open(opening) => turn.on_open(opening),
                Item::Text { conn, dialect, len } => {
                    let (text, rest) = texts.split_at(*len as usize);
                    texts = rest;
                    turn.on_text(*conn, *dialect, text);
                }
                Item::Binary { conn, dialect, len } => {
                    let (message, rest) = bytes.split_at(*len as usize);
                    bytes = rest;
                    turn.on_binary(*conn, *dialect, message);
                }
                Item::Dropped { conn, dropped } => turn.hydrogen.on_dropped(*conn, dropped, now, turn.out),
                Item::Closed { conn, reason: _ } => turn.on_closed(*conn),
            }
        }
        drop(loan);
        self.hand_on(out);
    }

    fn on_peer(&mut self, from: WorkerId, message: Peer, now: Now, out: &mut Outbox<Peer>) {
        match message {
            Peer::Hydrogen(message) => self.hydrogen_step(out, |it, out| it.on_peer(from, message, now, out)),
            Peer::Signaling(message) => self.signaling_step(out, |it, out| it.on_peer(from, *message, now, out)),
        }
    }

    fn on_completion(&mut self, completion: Completion, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen_step(out, |it, out| it.on_completion(completion, now, out));
    }

    fn on_emission(&mut self, emission: Emission, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen_step(out, |it, out| it.on_emission(emission, now, out));
    }

    fn on_store(&mut self, event: &StoreEvent, now: Now, out: &mut Outbox<Peer>) {
        match event {
            StoreEvent::Done { ticket, .. } if ticket & SIGNALING_TICKET != 0 => {
                self.signaling_step(out, |it, out| it.on_store(event, now, out));
            }
            StoreEvent::Done { .. } | StoreEvent::Committed(_) | StoreEvent::Damaged(_) => {
                self.hydrogen_step(out, |it, out| it.on_store(event, now, out));
            }
            StoreEvent::Failed(_) | StoreEvent::Well => {
                self.hydrogen_step(out, |it, out| it.on_store(event, now, out));
                self.signaling_step(out, |it, out| it.on_store(event, now, out));
            }
        }
    }

    fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen_step(out, |it, out| it.on_notice(notice, now, out));
        self.signaling_step(out, |it, out| it.on_notice(notice, now, out));
        let Some(served) = &mut self.signaling else { return };
        match notice {
            Notice::Access(access) => served.guests.on_access(access, now, out),
            Notice::Drain(_) => {
                for orders in &mut out.orders {
                    orders.push(Order::Farewell { worker: served.worker });
                }
            }
        }
    }

    fn on_stop(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen_step(out, |it, out| it.on_stop(now, out));
        self.signaling_step(out, |it, out| it.on_stop(now, out));
    }

    fn poll_timeout(&self) -> Option<Mono> {
        let served = self.signaling.as_ref();
        let signaling = served.and_then(|served| served.beside.dialect.poll_timeout());
        let guests = served.and_then(|served| served.guests.poll_timeout());
        [self.hydrogen.dialect.poll_timeout(), signaling, guests].into_iter().flatten().min()
    }

    fn on_timeout(&mut self, now: Now, out: &mut Outbox<Peer>) {
        let is_due = |at: Option<Mono>| at.is_some_and(|at| at <= now.mono);
        if is_due(self.hydrogen.dialect.poll_timeout()) {
            self.hydrogen_step(out, |it, out| it.on_timeout(now, out));
        }
        if self.signaling.as_ref().is_some_and(|signaling| is_due(signaling.beside.dialect.poll_timeout())) {
            self.signaling_step(out, |it, out| it.on_timeout(now, out));
        }
        if let Some(served) = &mut self.signaling {
            served.guests.on_timeout(now, out);
        }
    }
}
