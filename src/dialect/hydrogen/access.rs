//! Credentials during a connection: shown in band, renewed, changed, revoked, blocked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use super::consumer_id::ConsumerKey;
use super::receive::describe;
use super::session::Member;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Now, Reason};
use crate::engine::auth::{Access, Current, Identity};
use crate::engine::channel::Outcome;
use crate::engine::topic::Pattern;
use crate::engine::work::{Order, Outbox};

/// Wrong credentials after which a connection is closed.
const FAILED_CREDENTIALS_MAX: u32 = 3;

impl Hydrogen {
    /// A credential was shown in band.
    pub(super) fn authenticate(&mut self, conn: ConnId, token: &str, now: Now, out: &mut Outbox<Peer>) -> Outcome {
        let identity = match self.access.keys.authenticate(token, now.wall) {
            Ok(identity) => identity,
            Err(refused) => return Outcome::Failed(self.on_wrong_credential(conn, refused.error(), now, out)),
        };
        if !identity.permissions.may_connect() {
            return Outcome::Failed(Error::new(Code::Forbidden, "this identity may not connect"));
        }
        let Some(session) = self.sessions.of_mut(conn) else {
            return Outcome::Failed(Error::new(Code::Unavailable, "the session is over"));
        };
        if self.access.blocks.is_blocked(Some(session.address.ip()), Some(&identity), now.wall).is_some() {
            self.counters.inc(Metric::BLOCKED);
            self.shut_out(conn, Reason::Blocked, "blocked", now, out);
            return Outcome::Failed(Error::new(Code::Blocked, "blocked"));
        }
        if session.identity.as_ref().is_some_and(|own| own.name != identity.name) {
            return Outcome::Failed(Error::new(Code::Conflict, "the connection is another identity's"));
        }
        self.counters.inc(Metric::AUTH_ACCEPTED);
        let answer = Outcome::json(&describe(Some(&identity)));
        self.become_identity(conn, identity, now, out);
        answer
    }

    /// Counts a wrong credential, here and at the reactor for its address; the last one that is
    /// borne ends the connection.
    pub(super) fn on_wrong_credential(
        &mut self,
        conn: ConnId,
        error: Error,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Error {
        self.counters.inc(Metric::AUTH_REFUSED);
        out.order(conn, Order::CredentialRefused { conn });
        if let Some(session) = self.sessions.of_mut(conn) {
            session.failed_credentials += 1;
            if session.failed_credentials >= FAILED_CREDENTIALS_MAX {
                self.shut_out(conn, Reason::AuthenticationFailed, "too many wrong credentials", now, out);
            }
        }
        error
    }

    /// The session is this identity's from now on; what it may no longer hear ends.
    fn become_identity(&mut self, conn: ConnId, identity: Arc<Identity>, now: Now, out: &mut Outbox<Peer>) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        if session.identity.is_none() {
            session.name = identity.name.clone();
        }
        let mut lost: Vec<Pattern> = session
            .subscriptions
            .keys()
            .filter(|pattern| !identity.permissions.may_subscribe(pattern))
            .cloned()
            .collect();
        // A durable subscription that names a topic which is forbidden now is left: it is its
        // identity's, and waits for better times.
        let is_forbidden = |member: &Member| {
            matches!(member.key, ConsumerKey::Durable { .. })
                && !member.patterns.iter().all(|pattern| identity.permissions.may_subscribe(pattern))
        };
        let left: Vec<Member> = session.joined.extract_if(.., |member| is_forbidden(member)).collect();
        session.identity = Some(identity.clone());
        // What else of it is allowed may be subscribed to without acks, too: that stays.
        let own: BTreeSet<Pattern> = lost.iter().cloned().collect();
        let of_left: BTreeSet<Pattern> = left.iter().flat_map(|member| &member.patterns).cloned().collect();
        lost.extend(of_left.into_iter().filter(|pattern| !session.subscriptions.contains_key(pattern)));
        for member in &left {
            self.leave(member.id, conn, now, out);
        }
        self.arm_expiry(conn, now);
        if lost.is_empty() {
            return;
        }
        for pattern in &own {
            self.forget(conn, pattern, now, out);
        }
        self.mark_session(conn, now);
        let topics: Vec<&str> = lost.iter().map(Pattern::as_str).collect();
        self.tell(conn, "unsubscribed", &json!({"topics": topics, "reason": "forbidden"}), now, out);
    }

    /// Keys, permissions or blocks changed: every session is looked at again.
    pub(super) fn on_access(&mut self, access: Arc<Access>, now: Now, out: &mut Outbox<Peer>) {
        self.access = access;
        let all: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        for conn in all {
            self.review(conn, now, out);
        }
    }

    /// Looks at one session by the access snapshot of now.
    pub(super) fn review(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        let Some(session) = self.sessions.of(conn) else { return };
        if session.is_shut_out {
            return;
        }
        let identity = session.identity.clone();
        if self.access.blocks.is_blocked(Some(session.address.ip()), identity.as_deref(), now.wall).is_some() {
            self.counters.inc(Metric::BLOCKED);
            self.shut_out(conn, Reason::Blocked, "blocked", now, out);
            return;
        }
        let Some(identity) = identity else { return };
        match self.access.keys.current(&identity, now.wall) {
            Current::Same => {}
            Current::Changed(identity) if identity.permissions.may_connect() => {
                self.become_identity(conn, identity, now, out);
            }
            Current::Changed(_) => {
                self.shut_out(conn, Reason::CredentialExpired, "the identity may no longer connect", now, out);
            }
            Current::Expired => self.shut_out(conn, Reason::CredentialExpired, "the credential is expired", now, out),
            Current::Revoked => self.shut_out(conn, Reason::CredentialExpired, "the credential was revoked", now, out),
        }
    }

    /// Closes a session that has lost its right to be here. From now on it hears nothing and is
    /// refused everything, however long the close takes; commands under way get their answers.
    pub(super) fn shut_out(
        &mut self,
        conn: ConnId,
        reason: Reason,
        text: &'static str,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        if std::mem::replace(&mut session.is_shut_out, true) {
            return;
        }
        // Its owner may come back for it, with a credential that is good.
        session.last_record = session.record().map(Box::new);
        session.identity = None;
        let best_effort = session.subscriptions.iter().filter(|(_, subscribed)| !subscribed.is_guaranteed);
        let patterns: Vec<Pattern> = best_effort.map(|(pattern, _)| pattern.clone()).collect();
        let joined = std::mem::take(&mut session.joined);
        session.subscriptions.retain(|_, subscribed| !subscribed.is_guaranteed);
        for pattern in &patterns {
            self.forget(conn, pattern, now, out);
        }
        for member in joined {
            self.leave(member.id, conn, now, out);
        }
        self.disarm(conn);
        out.order(conn, Order::Close { conn, reason, text: text.into() });
    }
}
