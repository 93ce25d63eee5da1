//! Guaranteed subscriptions of a session: what it may have is decided here, at its worker; they
//! are made at their home.

use std::collections::BTreeMap;

use super::consumer_id::{ConsumerId, ConsumerKey};
use super::making::{Granting, Make, Making, Place, Wanted};
use super::reply::Meta;
use super::reply_to::Reply;
use super::subscribe::refused;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Now};
use crate::engine::channel::{Guaranteed, Outcome, StartFrom};
use crate::engine::store::Seq;
use crate::engine::topic::{Options, Pattern};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// Whether a session's identity may hear these topics.
    pub(super) fn may_subscribe(&self, conn: ConnId, pattern: &Pattern) -> bool {
        let identity = self.sessions.of(conn).and_then(|session| session.identity.as_ref());
        identity.is_some_and(|identity| identity.permissions.may_subscribe(pattern))
    }

    /// Subscribes with acks. A durable subscription is granted as a whole or not at all; of the
    /// others each pattern by itself.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of one command, taken apart")]
    pub(super) fn subscribe_guaranteed(
        &mut self,
        meta: Meta<'_>,
        patterns: &[Pattern],
        options: &Options,
        from: StartFrom,
        guaranteed: Guaranteed,
        ticket: &mut Option<u64>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Outcome {
        let conn = meta.conn;
        // While the store is full, a durable subscription that is there can be joined: its home
        // knows whether it is.
        if let Some(error) = self.store.trouble()
            && !(guaranteed.name.is_some() && self.store.takes_upkeep())
        {
            return Outcome::Failed(error);
        }
        let Some(session) = self.sessions.of(conn) else {
            return Outcome::Failed(Error::new(Code::Unavailable, "the session is over"));
        };
        let key = match &guaranteed.name {
            Some(name) => ConsumerKey::Durable { identity: (&*session.name).into(), name: name.clone() },
            None => ConsumerKey::Session(session.session_id.clone()),
        };
        let mut wanted = Vec::new();
        let mut granting = Granting { name: guaranteed.name.clone(), ..Granting::default() };
        for pattern in patterns {
            match self.grant(conn, pattern, options, true) {
                Ok(_) => {
                    granting.rows.push(Ok(pattern.clone()));
                    let (pattern, filter) = (pattern.clone(), options.filter.clone());
                    wanted.push(Wanted { pattern, filter, place: Place::New(Seq(0)) });
                }
                Err(error) if guaranteed.name.is_some() || patterns.len() == 1 => return Outcome::Failed(error),
                Err(error) => granting.rows.push(Err(refused(pattern, &error))),
            }
        }
        if wanted.is_empty() {
            return Outcome::Failed(Error::new(Code::Forbidden, "this identity may not subscribe to any of these"));
        }
        let (window, ack_timeout) = (guaranteed.window, guaranteed.ack_timeout);
        let make = Make { key, conn, wanted, window, ack_timeout, lane: options.lane };
        let ticket = *ticket.get_or_insert_with(|| self.defer(meta, now));
        self.begin_making(ticket, Making { make, from, places: BTreeMap::new(), head: Seq(0), granting }, now, out);
        Outcome::Later
    }

    /// Ends a session's guaranteed subscription to a pattern. Returns whether there was one.
    pub(super) fn end_guaranteed(&mut self, conn: ConnId, pattern: &Pattern, now: Now, out: &mut Outbox<Peer>) -> bool {
        let Some(session) = self.sessions.of_mut(conn) else { return false };
        if !session.subscriptions.get(pattern).is_some_and(|subscribed| subscribed.is_guaranteed) {
            return false;
        }
        session.subscriptions.remove(pattern);
        let unnamed = session.joined.iter_mut().find(|member| matches!(member.key, ConsumerKey::Session(_)));
        let Some(unnamed) = unnamed else { return true };
        unnamed.patterns.retain(|own| own != pattern);
        let (id, is_over) = (unnamed.id, unnamed.patterns.is_empty());
        if is_over {
            session.joined.retain(|member| member.id != id);
        }
        self.mark_session(conn, now);
        self.deselect(id, vec![pattern.clone()], now, out);
        true
    }

    /// Ends a session's best-effort subscription to a pattern, which a guaranteed one takes the place of.
    pub(super) fn end_best_effort(&mut self, conn: ConnId, pattern: &Pattern, now: Now, out: &mut Outbox<Peer>) {
        let known = self.sessions.of(conn).and_then(|session| session.subscriptions.get(pattern));
        if known.is_some_and(|known| !known.is_guaranteed) {
            self.forget(conn, pattern, now, out);
        }
    }

    /// Patterns of a guaranteed subscription end, wherever it is at home.
    pub(super) fn deselect(&mut self, id: ConsumerId, patterns: Vec<Pattern>, now: Now, out: &mut Outbox<Peer>) {
        let home = self.home(id);
        if home == self.worker {
            self.on_deselect(id, &patterns, now, out);
        } else {
            out.peers.push((home, Peer::Deselect { id, patterns }));
        }
    }

    /// Ends a durable subscription of the session's identity, for all its connections.
    pub(super) fn unsubscribe_durable(
        &mut self,
        meta: Meta<'_>,
        name: &str,
        ticket: &mut Option<u64>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Outcome {
        let conn = meta.conn;
        // Or it would be there again after a restart.
        if !self.store.takes_upkeep()
            && let Some(error) = self.store.trouble()
        {
            return Outcome::Failed(error);
        }
        let Some(session) = self.sessions.of_mut(conn) else {
            return Outcome::Failed(Error::new(Code::Unavailable, "the session is over"));
        };
        let key = ConsumerKey::Durable { identity: (&*session.name).into(), name: name.into() };
        let id = key.id();
        session.joined.retain(|member| member.id != id);
        self.mark_session(conn, now);
        let home = self.home(id);
        if home == self.worker {
            return Outcome::Done(self.end_durable(&key, now, out));
        }
        let ticket = *ticket.get_or_insert_with(|| self.defer(meta, now));
        self.await_one(ticket);
        out.peers.push((home, Peer::EndDurable { ticket, key }));
        Outcome::Later
    }

    /// A command about history that this worker answers may be answered later.
    pub(super) fn own_reply(&mut self, meta: Meta<'_>, ticket: &mut Option<u64>, now: Now) -> Reply {
        Reply::Own(*ticket.get_or_insert_with(|| self.defer(meta, now)))
    }
}
