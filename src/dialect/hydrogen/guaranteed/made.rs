//! How the making of a guaranteed subscription ends: the client is answered, or everything that was
//! done for it is taken back, wherever it was done.

use std::sync::Arc;
use std::time::Duration;

use super::super::consumer_id::{ConsumerId, ConsumerKey};
use super::super::gather::Part;
use super::super::making::{Make, Making, Started, Wanted};
use super::super::reply_to::Reply;
use super::super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Now, WorkerId};
use crate::engine::outbound::Lane;
use crate::engine::topic::Pattern;
use crate::engine::work::Outbox;

impl Hydrogen {
    /// The home has made a subscription: the client is told, then its events come.
    pub(in super::super) fn on_started(&mut self, ticket: u64, started: Started, now: Now, out: &mut Outbox<Peer>) {
        let Started { granting, key, conn, patterns, newly } = started;
        let id = key.id();
        // Who was shut out has it in what is kept of its session.
        let session = self.sessions.of(conn).filter(|session| !session.is_shut_out);
        let is_here = session.is_some();
        if session.is_some_and(|session| !session.is_joined(id, &patterns)) {
            let started = Started { granting, key, conn, patterns, newly };
            self.undo_started(&started, now, out);
            let error = Error::new(Code::Conflict, "the subscription was ended meanwhile");
            return self.finish(ticket, Err(error), now, out);
        }
        if is_here && matches!(key, ConsumerKey::Session(_)) {
            for pattern in &patterns {
                self.end_best_effort(conn, pattern, now, out);
            }
            if let Some(session) = self.sessions.of_mut(conn) {
                session.join(key, &patterns);
            }
        }
        self.finish(ticket, Ok(granting.json()), now, out);
        self.start_delivery(id, conn, now, out);
    }

    /// A resumed session's connection joins a subscription again.
    pub(in super::super) fn on_join(
        &mut self,
        id: ConsumerId,
        conn: ConnId,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let part = match self.consumers.of_mut(id) {
            Some(held) => {
                held.consumer.attach(conn);
                held.unattended = None;
                // What cannot be written down is dropped: nobody is told before that it is there.
                if !held.writing.is_stored() {
                    held.rejoining.push(reply);
                    return;
                }
                let lost: Vec<Arc<str>> = std::mem::take(&mut held.lost).into_iter().collect();
                let is_told = !lost.is_empty();
                let joined = held.joined(lost);
                if is_told {
                    self.consumers.mark_dirty(id);
                    self.arm_save(now);
                }
                Part::Joined(joined)
            }
            // It could not be written down, or was ended when the session should have been, too.
            None => Part::NotJoined(id),
        };
        self.part(reply, part, now, out);
    }

    /// The client is told that it has no subscription: so its session must not have it either, nor
    /// the home on its behalf.
    pub(in super::super) fn undo_started(&mut self, started: &Started, now: Now, out: &mut Outbox<Peer>) {
        let (id, conn) = (started.key.id(), started.conn);
        // Who is gone has left everything, and another may have its session already.
        let Some(session) = self.sessions.of_mut(conn).filter(|session| !session.is_shut_out) else { return };
        let is_over = session.unjoin(id, &started.newly).is_some();
        self.mark_session(conn, now);
        if is_over {
            self.leave(id, conn, now, out);
        }
        if matches!(started.key, ConsumerKey::Session(_)) && !started.newly.patterns.is_empty() {
            self.deselect(id, started.newly.patterns.clone(), now, out);
        }
    }

    /// A subscription is not made: whoever was told that it wants topics is told that it does not,
    /// and asks its home.
    pub(in super::super) fn unmake(&mut self, making: &Making, out: &mut Outbox<Peer>) {
        let id = making.make.key.id();
        for Wanted { pattern, .. } in &making.make.wanted {
            for worker in self.holders(pattern) {
                if worker == self.worker {
                    self.on_unmade(worker, id, pattern.clone(), out);
                } else {
                    out.peers.push((worker, Peer::Unmade { id, pattern: pattern.clone() }));
                }
            }
        }
    }

    /// What was shown for a subscription that was not made is taken back, unless its home holds it.
    pub(in super::super) fn on_unmade(
        &mut self,
        from: WorkerId,
        id: ConsumerId,
        pattern: Pattern,
        out: &mut Outbox<Peer>,
    ) {
        let home = self.home(id);
        if home != self.worker {
            out.peers.push((home, Peer::Unmade { id, pattern }));
            return;
        }
        let held = self.consumers.of(id);
        if held.is_some_and(|held| held.consumer.selectors().any(|selector| selector.pattern == pattern)) {
            return;
        }
        self.interest.remove(&pattern, id);
        if from != self.worker {
            out.peers.push((from, Peer::Uninterest { id, pattern }));
        }
    }

    /// The home refuses to make a subscription: all owners were told of it, so that it can be taken
    /// back from here.
    pub(super) fn refuse_make(
        &mut self,
        id: ConsumerId,
        wanted: &[Wanted],
        error: Error,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let held = self.consumers.of(id);
        let is_held = |pattern: &Pattern| {
            held.is_some_and(|held| held.consumer.selectors().any(|selector| selector.pattern == *pattern))
        };
        let wanted = wanted.iter().map(|wanted| wanted.pattern.clone());
        let unheld: Vec<Pattern> = wanted.filter(|pattern| !is_held(pattern)).collect();
        self.forget_interest(id, &unheld, out);
        self.part(reply, Part::Failed(error), now, out);
    }

    /// Whether a subscription is not in the store as it is to be.
    pub(super) fn must_be_written(
        &self,
        key: &ConsumerKey,
        wanted: &[Wanted],
        window: Option<usize>,
        ack_timeout: Option<Duration>,
        lane: Lane,
    ) -> bool {
        let Some(held) = self.consumers.of(key.id()) else { return true };
        let settings = self.consumer_settings(window, ack_timeout);
        let is_set_anew = (window.is_some() || ack_timeout.is_some()) && *held.consumer.settings() != settings;
        let has = |wanted: &Wanted| {
            let mut selectors = held.consumer.selectors();
            selectors.any(|own| own.pattern == wanted.pattern && own.filter == wanted.filter)
        };
        is_set_anew || held.lane != lane || !held.writing.is_written() || !wanted.iter().all(has)
    }

    /// Why a subscription whose topics' owners were told is not made after all.
    pub(super) fn refusal(&self, make: &Make) -> Option<Error> {
        let Some(session) = self.sessions.of(make.conn) else {
            return Some(Error::new(Code::Unavailable, "the session is over"));
        };
        // What was granted when the command came may have been taken away since.
        if !make.wanted.iter().all(|wanted| self.may_subscribe(make.conn, &wanted.pattern)) {
            return Some(Error::new(Code::Forbidden, "this identity may not subscribe to this"));
        }
        let is_other = matches!(&make.key, ConsumerKey::Session(id) if *id != session.session_id);
        (is_other || session.resuming.is_some())
            .then(|| Error::new(Code::Conflict, "another session was resumed meanwhile"))
    }
}
