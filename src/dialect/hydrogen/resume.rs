//! Sessions that outlive their connection: kept at their home for a while, taken up again by who
//! knows the secret, written down so that a restart ends none.
//!
//! A session has one holder. A second connection that resumes it takes it over: the first is
//! closed with 4004. While a session is being resumed, its connection's messages wait.

use std::collections::BTreeSet;

use rand_chacha::rand_core::Rng;
use serde_json::json;
use subtle::ConstantTimeEq;

use super::asked::{Asked, Upkeep};
use super::consumer_id::{ConsumerKey, first_conn, home_of_session};
use super::gather::{Gather, Kind, Part, Restored};
use super::guaranteed::AckOf;
use super::kept::{ResumeAsk, WAITING_MAX};
use super::record::{SessionRecord, hash_of};
use super::reply_to::Reply;
use super::session::{Resuming, Session};
use super::{Hydrogen, HydrogenSettings, Peer};
use crate::base::{Code, ConnId, Error, Metric, Now, Reason};
use crate::engine::channel::{Resume, StartFrom};
use crate::engine::store::{Level, Op, Table, Write};
use crate::engine::topic::Pattern;
use crate::engine::work::{Order, Outbox};

/// A wrong secret and an unknown session are told apart by nothing.
fn no_such_session() -> Error {
    Error::new(Code::NotFound, "there is no such session, or the secret is not its own")
}

impl Hydrogen {
    /// A client wants a session back.
    pub(super) fn begin_resume(
        &mut self,
        conn: ConnId,
        resume: Resume,
        ticket: Option<u64>,
        out: &mut Outbox<Peer>,
    ) -> Result<(), Error> {
        if self.settings.session_ttl.is_zero() {
            return Err(Error::new(Code::Unsupported, "sessions cannot be resumed here"));
        }
        let worker = self.worker;
        let Some(session) = self.sessions.of_mut(conn) else { return Err(no_such_session()) };
        if session.identity.is_none() {
            return Err(Error::new(Code::Unauthenticated, "authenticate first"));
        }
        // What it has already would be nobody's.
        if session.is_resumed || session.resuming.is_some() {
            return Err(Error::new(Code::Conflict, "this connection has resumed a session already"));
        }
        if !session.subscriptions.is_empty() || !session.joined.is_empty() {
            return Err(Error::new(Code::Conflict, "this session has subscriptions already: resume comes first"));
        }
        let identity = session.name.clone();
        let Resume { session: id, secret, seen } = resume;
        let ask = ResumeAsk { conn, worker, session: id, secret: hash_of(&secret), identity };
        session.resuming = Some(Box::new(Resuming { secret, seen, ticket }));
        session.held.get_or_insert_default();
        out.peers.push((home_of_session(&ask.session, self.workers), Peer::Resume(Box::new(ask))));
        Ok(())
    }

    /// The home of a session gives it to who may have it, when nobody holds it any more.
    pub(super) fn on_resume(&mut self, ask: ResumeAsk, now: Now, out: &mut Outbox<Peer>) {
        let may = |record_identity: &str, record_secret: &[u8; 32]| {
            bool::from(record_secret.ct_eq(&ask.secret)) && *record_identity == *ask.identity
        };
        if !self.kept.by_id.contains_key(&ask.session)
            && let Some(conn) = first_conn(&ask.session)
            && let Some(session) = self.sessions.of(conn)
            && session.session_id == ask.session
            && !session.is_surrendered
            && session.conn != ask.conn
            && session.secret.as_ref().is_some_and(|secret| may(&session.name, &hash_of(secret)))
        {
            // It lives still, where it began.
            self.surrender(conn, now, out);
        }
        let Some(parked) = self.kept.by_id.get_mut(&ask.session) else {
            out.peers.push((ask.worker, Peer::Resumed { conn: ask.conn, result: Err(no_such_session()) }));
            return;
        };
        if !may(&parked.record.identity, &parked.record.secret) {
            out.peers.push((ask.worker, Peer::Resumed { conn: ask.conn, result: Err(no_such_session()) }));
            return;
        }
        if let Some((holder, worker)) = parked.holder {
            if parked.waiting.len() >= WAITING_MAX
                && let Some(oldest) = parked.waiting.pop_front()
            {
                let error = Error::new(Code::Conflict, "other connections resumed the session meanwhile");
                out.peers.push((oldest.worker, Peer::Resumed { conn: oldest.conn, result: Err(error) }));
            }
            // The one that waits first has asked its holder already.
            if parked.waiting.is_empty() {
                out.peers.push((worker, Peer::Surrender { conn: holder }));
            }
            parked.waiting.push_back(ask);
            return;
        }
        parked.holder = Some((ask.conn, ask.worker));
        let (record, is_wanted) = (parked.record.clone(), !parked.waiting.is_empty());
        self.kept.forget_expiry(&ask.session);
        out.peers.push((ask.worker, Peer::Resumed { conn: ask.conn, result: Ok(Box::new(record)) }));
        // Of several the last one keeps it, since a connection that is given up may have asked, too.
        if is_wanted {
            out.peers.push((ask.worker, Peer::Surrender { conn: ask.conn }));
        }
    }

    /// A session's connection loses it to another.
    pub(super) fn surrender(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        self.shut_out(conn, Reason::TakenOver, "the session was taken over by another connection", now, out);
        let Some(session) = self.sessions.of_mut(conn) else { return };
        session.is_surrendered = true;
        if let Some(record) = session.last_record.clone() {
            self.park(*record, now, out);
        }
    }

    /// A session is nobody's for now.
    pub(super) fn park(&mut self, record: SessionRecord, now: Now, out: &mut Outbox<Peer>) {
        let home = home_of_session(&record.id, self.workers);
        if home != self.worker {
            out.peers.push((home, Peer::Park(Box::new(record))));
            return;
        }
        let id = record.id.clone();
        self.kept.park(record, now.mono.after(self.settings.session_ttl));
        self.ensure_sweep(now.mono);
        let most = HydrogenSettings::share(self.settings.sessions_max, self.workers).max(1);
        while self.kept.unheld() > most {
            let Some(oldest) = self.kept.oldest() else { break };
            self.end_session(&oldest, now, out);
        }
        if let Some(ask) = self.kept.by_id.get_mut(&id).and_then(|parked| parked.waiting.pop_front()) {
            self.on_resume(ask, now, out);
        }
    }

    /// Forgets the sessions whose time is over.
    pub(super) fn expire_sessions(&mut self, now: Now, out: &mut Outbox<Peer>) {
        while let Some(id) = self.kept.due(now.mono) {
            self.counters.inc(Metric::SESSIONS_EXPIRED);
            self.end_session(&id, now, out);
        }
    }

    fn end_session(&mut self, id: &str, now: Now, out: &mut Outbox<Peer>) {
        let Some(parked) = self.kept.remove(id) else { return };
        for ask in parked.waiting {
            out.peers.push((ask.worker, Peer::Resumed { conn: ask.conn, result: Err(no_such_session()) }));
        }
        // The session first: if that comes alone, nobody gets a session back without what it had.
        self.delete(Table::Sessions, id.into(), out);
        self.end_consumer(ConsumerKey::Session(id.into()).id(), now, out);
    }

    /// The home has answered a connection that resumes.
    pub(super) fn on_resumed(
        &mut self,
        conn: ConnId,
        result: Result<Box<SessionRecord>, Error>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let record = match result {
            Ok(record) => record,
            Err(error) => return self.on_not_resumed(conn, error, now, out),
        };
        let is_here = self.sessions.of(conn).is_some_and(|session| session.resuming.is_some() && !session.is_shut_out);
        if !is_here {
            // It went away meanwhile.
            return self.park(*record, now, out);
        }
        let Some(session) = self.sessions.of_mut(conn) else { return };
        let ticket = session.resuming.as_ref().and_then(|resuming| resuming.ticket);
        session.session_id = record.id.clone();
        session.secret = session.resuming.as_ref().map(|resuming| resuming.secret.clone());
        let ticket = match ticket {
            Some(ticket) => ticket,
            None => self.defer_resume(conn, now),
        };
        let mut restored = Restored::default();
        let mut waits = Vec::new();
        // A crash may have come before a guaranteed one had taken its place.
        let unnamed = record.joined.iter().filter(|joined| joined.key.starts_with("s/"));
        let replaced: BTreeSet<&String> = unnamed.flat_map(|joined| &joined.patterns).collect();
        for written in record.subscriptions.iter().filter(|written| !replaced.contains(&written.topics)) {
            let Some((pattern, options)) = written.read() else { continue };
            match self.grant(conn, &pattern, &options, false) {
                Ok((key, name)) => waits.push((pattern, options, key, name)),
                Err(_) => restored.refused.push(written.topics.clone()),
            }
        }
        let mut joins = Vec::new();
        for super::record::Joined { key, patterns } in record.joined {
            let patterns: Vec<Pattern> = patterns.iter().filter_map(|text| Pattern::parse(text).ok()).collect();
            let (may, may_not): (Vec<Pattern>, Vec<Pattern>) =
                patterns.into_iter().partition(|pattern| self.may_subscribe(conn, pattern));
            restored.refused.extend(may_not.iter().map(|pattern| pattern.as_str().to_owned()));
            let Some(key) = ConsumerKey::parse(&key) else { continue };
            let is_durable = matches!(key, ConsumerKey::Durable { .. });
            if is_durable && !may_not.is_empty() {
                continue;
            }
            if !may_not.is_empty() {
                self.deselect(key.id(), may_not, now, out);
            }
            if may.is_empty() {
                continue;
            }
            joins.push(key.id());
            if let Some(session) = self.sessions.of_mut(conn) {
                session.join(key, &may);
            }
        }
        let holders: Vec<_> = waits
            .into_iter()
            .flat_map(|(pattern, options, key, name)| {
                let workers = self.holders(&pattern);
                workers.into_iter().map(move |worker| (worker, pattern.clone(), options.clone(), key, name.clone()))
            })
            .collect();
        let parts = holders.len() + joins.len();
        if let Some(command) = self.pending.of_mut(ticket) {
            command.gather = Some(Gather::new(parts, Kind::Resumed(conn, Box::new(restored))));
        }
        if parts == 0 {
            return self.on_part(ticket, Part::Nothing, now, out);
        }
        for (worker, pattern, options, key, identity) in holders {
            if worker == self.worker {
                let (from, reply) = (StartFrom::New, Reply::Own(ticket));
                self.subscribe_here(key, &pattern, options, identity, from, reply, now, out);
            } else {
                let from = StartFrom::New;
                out.peers.push((worker, Peer::Subscribe { ticket, key, pattern, options, identity, from }));
            }
        }
        for id in joins {
            let home = self.home(id);
            if home == self.worker {
                self.on_join(id, conn, Reply::Own(ticket), now, out);
            } else {
                out.peers.push((home, Peer::Join { ticket, id, conn }));
            }
        }
    }

    /// All parts of a resumed session are there: the client is told, then its events come.
    pub(super) fn finish_resume(
        &mut self,
        ticket: u64,
        conn: ConnId,
        mut restored: Restored,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(session) = self.sessions.of_mut(conn) else {
            self.undefer(ticket);
            return;
        };
        let resuming = session.resuming.take();
        session.is_resumed = true;
        for member in session.joined.extract_if(.., |member| restored.gone.contains(&member.id)) {
            for pattern in member.patterns {
                session.subscriptions.remove(&pattern);
                restored.refused.push(pattern.as_str().to_owned());
            }
        }
        let ids = session.consumers();
        let seen = resuming.as_ref().map(|resuming| resuming.seen.clone()).unwrap_or_default();
        self.counters.inc(Metric::SESSIONS_RESUMED);
        self.mark_session(conn, now);
        if resuming.is_some_and(|resuming| resuming.ticket.is_some()) {
            let data = self.resumed_json(conn, &restored);
            self.finish(ticket, Ok(data.to_string().into()), now, out);
        } else {
            self.undefer(ticket);
            out.order(conn, Order::Ready { conn });
            self.tell_session_resumed(conn, &restored, now, out);
        }
        for (topic, place) in seen {
            self.ack_at(ids.clone(), conn, AckOf::Seen(topic, place), 0, now, out);
        }
        for id in ids {
            self.start_delivery(id, conn, now, out);
        }
        self.release_held(conn, now, out);
    }

    fn resumed_json(&self, conn: ConnId, restored: &Restored) -> serde_json::Value {
        let Some(session) = self.sessions.of(conn) else { return serde_json::Value::Null };
        json!({
            "session": session.session_id,
            "secret": session.secret.as_ref().map(|secret| secret.expose()),
            "resumed": true,
            "topics": session.subscriptions.keys().map(Pattern::as_str).collect::<Vec<_>>(),
            "durable": session.durables().collect::<Vec<_>>(),
            "lost": restored.lost.iter().map(|topic| &**topic).collect::<Vec<_>>(),
            "refused": restored.refused,
        })
    }

    fn on_not_resumed(&mut self, conn: ConnId, error: Error, now: Now, out: &mut Outbox<Peer>) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        let Some(resuming) = session.resuming.take() else { return };
        match resuming.ticket {
            Some(ticket) => self.finish(ticket, Err(error), now, out),
            None => {
                // It goes on as a new session, and says so.
                self.count_error(error.code);
                out.order(conn, Order::Ready { conn });
                self.tell_session(conn, now, out);
            }
        }
        self.release_held(conn, now, out);
    }

    /// A command is over before it was answered. If it is one that resumes a session, nobody knows
    /// how much of that is restored: the connection ends, and the session can be resumed again.
    pub(super) fn give_up(&mut self, ticket: u64, error: Error, now: Now, out: &mut Outbox<Peer>) {
        let Some(command) = self.pending.of_mut(ticket) else { return };
        let (conn, is_handshake) = (command.conn, command.is_handshake);
        let resuming = self.sessions.of_mut(conn).and_then(|session| {
            let own = session.resuming.as_ref().map(|resuming| resuming.ticket);
            session.resuming.take_if(|_| is_handshake || own == Some(Some(ticket)))
        });
        if is_handshake {
            self.undefer(ticket);
        } else {
            self.finish(ticket, Err(error), now, out);
        }
        if resuming.is_none() {
            return;
        }
        if is_handshake {
            out.order(conn, Order::Ready { conn });
        }
        self.shut_out(conn, Reason::Internal, "the session could not be resumed in time", now, out);
        self.release_held(conn, now, out);
    }

    /// The session changed: it is written down with the next cursors.
    pub(super) fn mark_session(&mut self, conn: ConnId, now: Now) {
        if !self.settings.session_ttl.is_zero() {
            self.dirty_sessions.insert(conn);
            self.arm_save(now);
        }
    }

    /// Writes a session down. False if there is nothing to be written.
    pub(super) fn save_session(&mut self, conn: ConnId, level: Level, asked: Asked, out: &mut Outbox<Peer>) -> bool {
        if self.settings.session_ttl.is_zero() {
            return false;
        }
        let Some(record) = self.sessions.of(conn).and_then(Session::record) else { return false };
        self.dirty_sessions.remove(&conn);
        let (key, value) = (record.id.clone(), record.encode());
        self.store.ask(asked, Op::Write(Write::Put { table: Table::Sessions, key, value, level }), out);
        true
    }

    pub(super) fn save_sessions(&mut self, out: &mut Outbox<Peer>) {
        for conn in std::mem::take(&mut self.dirty_sessions) {
            self.save_session(conn, Level::Memory, Asked::Upkeep(Upkeep::Session(conn)), out);
        }
    }

    /// A session comes back after a restart, if it is at home here. What it is given for
    /// coming back begins anew.
    pub(super) fn restore_session(&mut self, record: SessionRecord, now: Now) {
        if home_of_session(&record.id, self.workers) == self.worker && !self.settings.session_ttl.is_zero() {
            self.kept.park(record, now.mono.after(self.settings.session_ttl));
        }
    }

    /// A change that waits to be written down is written now: the session's connection is gone.
    pub(super) fn save_session_if_dirty(&mut self, conn: ConnId, out: &mut Outbox<Peer>) {
        if self.dirty_sessions.contains(&conn) {
            self.save_session(conn, Level::Memory, Asked::Nothing, out);
        }
    }

    /// A session's connection is gone: it leaves its subscriptions, and is kept for a while.
    pub(super) fn keep_session(&mut self, conn: ConnId, session: &mut Session, now: Now, out: &mut Outbox<Peer>) {
        self.dirty_sessions.remove(&conn);
        let record = session.last_record.take().or_else(|| session.record().map(Box::new));
        for member in std::mem::take(&mut session.joined) {
            self.leave(member.id, conn, now, out);
            if self.settings.session_ttl.is_zero() && matches!(member.key, ConsumerKey::Session(_)) {
                self.deselect(member.id, member.patterns, now, out);
            }
        }
        if let Some(record) = record.filter(|_| !self.settings.session_ttl.is_zero() && !session.is_surrendered) {
            self.park(*record, now, out);
        }
    }

    /// A session's id: where it began, and something that nobody guesses.
    pub(super) fn session_id(&mut self, conn: ConnId) -> Box<str> {
        let random = self.random_text(16);
        format!("{:x}.{random}", conn.as_u64()).into()
    }

    /// A number for a session's own events.
    pub(super) fn random_number(&mut self) -> u64 {
        self.random.next_u64()
    }
}
