//! What comes from connections: they open, send messages, and close.

use super::gather::Restored;
use super::reply::kind;
use super::session::{Held, Opened, Session};
use super::settings::SessionEvent;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Mono, Now, Reason, Secret};
use crate::engine::auth::Identity;
use crate::engine::channel::{Responder, Resume};
use crate::engine::outbound::Dropped;
use crate::engine::wire::{BadMessage, Incoming, parse};
use crate::engine::work::{Opening, Order, Outbox};
use serde_json::json;
use std::sync::Arc;

impl Hydrogen {
    /// A connection was let in: it gets a session.
    pub fn on_open(&mut self, opening: &Opening, now: Now, out: &mut Outbox<Peer>) {
        let conn = opening.conn;
        let session_id = self.session_id(conn);
        let opened = Opened {
            conn,
            address: opening.address,
            protocol: opening.protocol.clone(),
            identity: opening.identity.clone(),
            session_id,
            epoch: self.random_number(),
        };
        self.sessions.insert(Session::new(opened, self.settings.rate, now));
        self.counters.inc(Metric::SESSIONS_OPENED);
        let claim = opening.resume.as_ref().filter(|_| opening.identity.is_some());
        let resumes = claim.is_some_and(|claim| {
            let resume = Resume { session: claim.session.clone(), secret: claim.secret.clone(), seen: Vec::new() };
            self.begin_resume(conn, resume, None, out).is_ok()
        });
        if !resumes {
            out.order(conn, Order::Ready { conn });
        }
        if opening.identity.is_none() {
            self.arm_authenticate(conn, now);
        } else {
            self.arm_expiry(conn, now);
        }
        // It was judged before a change that this worker has looked through its sessions for
        // already. A snapshot newer than the worker's comes to it with a look at all sessions.
        if opening.access_version < self.access.version {
            self.review(conn, now, out);
        }
        if !resumes && opening.identity.is_some() && self.settings.session_event == SessionEvent::Connect {
            self.tell_session(conn, now, out);
        }
    }

    /// A connection is over: what was its is given back.
    pub fn on_closed(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        self.save_session_if_dirty(conn, out);
        let Some(mut session) = self.sessions.remove(conn) else { return };
        self.timers.cancel_all(&mut session);
        self.counters.inc(Metric::SESSIONS_CLOSED);
        let best_effort = session.subscriptions.values().filter(|subscribed| !subscribed.is_guaranteed).count();
        self.counters.add(Metric::SUBSCRIPTIONS_ENDED, best_effort as u64);
        self.cancel_replays(conn);
        self.topics.drop_connection(conn);
        self.keep_session(conn, &mut session, now, out);
        if best_effort > 0 {
            for worker in self.others() {
                out.peers.push((worker, Peer::DropConnection { conn }));
            }
        }
    }

    /// Events were dropped for a slow connection that has caught up.
    pub fn on_dropped(&mut self, conn: ConnId, dropped: &Dropped, now: Now, out: &mut Outbox<Peer>) {
        let topics: Vec<&str> = dropped.topics.iter().map(|topic| &**topic).collect();
        self.tell(
            conn,
            "dropped",
            &json!({"dropped": dropped.count, "conflated": dropped.conflated, "topics": topics}),
            now,
            out,
        );
    }

    /// A text message.
    pub fn on_text(&mut self, conn: ConnId, text: &str, read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        let rate = self.settings.rate;
        let Some(session) = self.sessions.of_mut(conn) else { return };
        if let Some(rate) = rate
            && let Err(wait_ms) = session.take_token(rate, now.mono)
        {
            self.counters.inc(Metric::RATE_LIMITED);
            let error = too_fast(wait_ms);
            self.refuse_unread(conn, text, &error, read_at, now, out);
            return;
        }
        if let Some(held) = &mut session.held {
            // Bounded by the messages of one connection that may be in flight.
            held.push_back(Held { text: text.into(), read_at });
            return;
        }
        self.take(conn, text, read_at, now, out);
    }

    /// Takes a message whose turn it is.
    pub(super) fn take(&mut self, conn: ConnId, text: &str, read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        if self.sessions.of(conn).is_some_and(|session| session.is_shut_out) {
            self.refuse_unread(conn, text, &shut_out(), read_at, now, out);
            return;
        }
        match parse(&mut self.scanner, text, self.settings.depth_max) {
            Ok(Incoming::Command(command)) => {
                self.count_in(kind::COMMAND, text.len());
                self.on_command(conn, text, &command, read_at, now, out);
            }
            Ok(Incoming::Ack(ack)) => {
                self.count_in(kind::ACK, text.len());
                if self.may_ack(conn, ack.auth.as_ref(), now, out) {
                    self.on_ack(conn, &ack.of, now, out);
                }
                out.order(conn, Order::Settle { conn, count: 1 });
            }
            Ok(Incoming::LegacyStatus) => {
                self.count_in(kind::STATUS, text.len());
                if let Err(error) = self.check_older(conn) {
                    return self.respond_bad(conn, (None, None, None, &error), read_at, now, out);
                }
                let ticket = self.defer_status(conn, read_at, now);
                let responder = Responder::new(self.worker, ticket, self.completions.clone());
                self.reports.status(true, responder);
            }
            Ok(Incoming::LegacyKeepalive) => {
                self.count_in(kind::KEEPALIVE, text.len());
                self.respond_keepalive(conn, read_at, now, out);
            }
            Err(refused) => {
                let repeat = (refused.id.as_deref(), refused.channel.as_deref(), refused.action.as_deref());
                self.respond_bad(conn, (repeat.0, repeat.1, repeat.2, &refused.error), read_at, now, out);
                self.on_bad_message(conn, refused.kind, text.len(), out);
            }
        }
    }

    /// A binary message: none is taken.
    pub fn on_binary(&mut self, conn: ConnId, read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        let rate = self.settings.rate;
        let Some(session) = self.sessions.of_mut(conn) else { return };
        let error = match rate.map_or(Ok(()), |rate| session.take_token(rate, now.mono)) {
            Ok(()) => Error::new(Code::Unsupported, "binary messages are not taken: send JSON as text"),
            Err(wait_ms) => {
                self.counters.inc(Metric::RATE_LIMITED);
                too_fast(wait_ms)
            }
        };
        self.respond_bad(conn, (None, None, None, &error), read_at, now, out);
        self.on_bad_message(conn, BadMessage::Binary, 0, out);
    }

    /// The older clients' status asks for a credential like everything else.
    fn check_older(&self, conn: ConnId) -> Result<(), Error> {
        match self.sessions.of(conn).map(|session| session.identity.is_some()) {
            Some(true) if !self.settings.auth_per_message => Ok(()),
            _ => Err(Error::new(Code::Unauthenticated, "a credential is needed")),
        }
    }

    /// Answers a message that is not looked into, but for the id that the answer repeats.
    fn refuse_unread(
        &mut self,
        conn: ConnId,
        text: &str,
        error: &Error,
        read_at: Mono,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        match parse(&mut self.scanner, text, self.settings.depth_max) {
            Ok(Incoming::Command(command)) => {
                let repeat = (command.id.as_deref(), Some(&*command.channel), Some(&*command.action), error);
                self.respond_bad(conn, repeat, read_at, now, out);
            }
            Ok(Incoming::Ack(_)) => out.order(conn, Order::Settle { conn, count: 1 }),
            Ok(Incoming::LegacyStatus | Incoming::LegacyKeepalive) | Err(_) => {
                self.respond_bad(conn, (None, None, None, error), read_at, now, out);
            }
        }
    }

    fn on_bad_message(&mut self, conn: ConnId, what: BadMessage, bytes: usize, out: &mut Outbox<Peer>) {
        self.count_in(kind::BAD, bytes);
        self.counters.inc(Metric::BAD_MESSAGES_IN.at(what as usize));
        let Some(session) = self.sessions.of_mut(conn) else { return };
        session.bad_messages += 1;
        if self.settings.bad_messages_max > 0 && session.bad_messages > self.settings.bad_messages_max {
            let text = "too many bad messages".into();
            out.order(conn, Order::Close { conn, reason: Reason::BadMessages, text });
        }
    }

    /// Sends `system.session`, if it is still owed.
    pub(super) fn tell_session(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        let secret = Secret::new(self.random_text(24));
        self.tell_session_with(conn, Some(secret), &Restored::default(), now, out);
    }

    /// Sends `system.session` to who got a session back.
    pub(super) fn tell_session_resumed(&mut self, conn: ConnId, restored: &Restored, now: Now, out: &mut Outbox<Peer>) {
        self.tell_session_with(conn, None, restored, now, out);
    }

    fn tell_session_with(
        &mut self,
        conn: ConnId,
        secret: Option<Secret>,
        restored: &Restored,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        if !std::mem::take(&mut session.owes_session_event) {
            return;
        }
        // Who resumed a session knows its secret, which stays.
        let secret = session.secret.get_or_insert_with(|| secret.unwrap_or_else(|| Secret::new(""))).clone();
        let lost: Vec<&str> = restored.lost.iter().map(|topic| &**topic).collect();
        let identity = describe(session.identity.as_ref());
        let data = json!({
            "session": session.session_id,
            "secret": secret.expose(),
            "resumed": session.is_resumed,
            "lost": lost,
            "refused": restored.refused,
            "identity": identity["identity"],
            "permissions": identity["permissions"],
            "expires": identity["expires"],
            "ping_ms": self.settings.ping.as_millis() as u64,
            "idle_ms": self.settings.idle.as_millis() as u64,
            "limits": serde_json::from_str::<serde_json::Value>(&self.settings.limits).unwrap_or_default(),
            "server": {"name": self.settings.server_name, "version": self.settings.server_version},
        });
        self.tell(conn, "session", &data, now, out);
    }
}

fn too_fast(wait_ms: u64) -> Error {
    Error::new(Code::RateLimited, "messages come too fast").retry_after_ms(wait_ms.max(1))
}

/// What is answered to who lost the right to be there, until the connection is closed.
pub(super) fn shut_out() -> Error {
    Error::new(Code::Unauthenticated, "the connection is being closed")
}

/// `{identity, permissions, expires}`.
pub(super) fn describe(identity: Option<&Arc<Identity>>) -> serde_json::Value {
    let permissions: Vec<String> =
        identity.iter().flat_map(|identity| identity.permissions.iter()).map(|one| one.to_string()).collect();
    json!({
        "identity": identity.map(|identity| &*identity.name),
        "permissions": permissions,
        "expires": identity.and_then(|identity| identity.expires).map(|expires| expires.to_string()),
    })
}
