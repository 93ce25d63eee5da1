//! Credentials during a connection: shown in band, renewed, changed, revoked, blocked.

use std::sync::Arc;

use serde_json::json;

use super::receive::describe;
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
            Err(refused) => return Outcome::Failed(self.on_wrong_credential(conn, refused.error(), out)),
        };
        if !identity.permissions.may_connect() {
            return Outcome::Failed(Error::new(Code::Forbidden, "this identity may not connect"));
        }
        let Some(session) = self.sessions.of_mut(conn) else {
            return Outcome::Failed(Error::new(Code::Unavailable, "the session is over"));
        };
        if self.access.blocks.is_blocked(Some(session.address.ip()), Some(&identity), now.wall).is_some() {
            self.counters.inc(Metric::BLOCKED);
            let text = "blocked".into();
            out.order(conn, Order::Close { conn, reason: Reason::Blocked, text });
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

    fn on_wrong_credential(&mut self, conn: ConnId, error: Error, out: &mut Outbox<Peer>) -> Error {
        self.counters.inc(Metric::AUTH_REFUSED);
        if let Some(session) = self.sessions.of_mut(conn) {
            session.failed_credentials += 1;
            if session.failed_credentials >= FAILED_CREDENTIALS_MAX {
                let text = "too many wrong credentials".into();
                out.order(conn, Order::Close { conn, reason: Reason::AuthenticationFailed, text });
            }
        }
        error
    }

    /// The session is this identity's from now on; what it may no longer hear ends.
    fn become_identity(&mut self, conn: ConnId, identity: Arc<Identity>, now: Now, out: &mut Outbox<Peer>) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        if session.identity.is_none() {
            session.name = (&*identity.name).into();
        }
        let lost: Vec<Pattern> = session
            .subscriptions
            .keys()
            .filter(|pattern| !identity.permissions.may_subscribe(pattern))
            .cloned()
            .collect();
        session.identity = Some(identity);
        self.arm_expiry(conn, now);
        if lost.is_empty() {
            return;
        }
        for pattern in &lost {
            self.forget(conn, pattern, out);
        }
        let topics: Vec<&str> = lost.iter().map(Pattern::as_str).collect();
        self.tell(conn, "unsubscribed", &json!({"topics": topics, "reason": "forbidden"}), now, out);
    }

    /// Keys, permissions or blocks changed: every session is looked at again.
    pub(super) fn on_access(&mut self, access: Arc<Access>, now: Now, out: &mut Outbox<Peer>) {
        self.access = access;
        let all: Vec<ConnId> = self.sessions.iter().map(|session| session.conn).collect();
        for conn in all {
            let Some(session) = self.sessions.of(conn) else { continue };
            let Some(identity) = session.identity.clone() else { continue };
            if self.access.blocks.is_blocked(Some(session.address.ip()), Some(&identity), now.wall).is_some() {
                self.counters.inc(Metric::BLOCKED);
                let text = "blocked".into();
                out.order(conn, Order::Close { conn, reason: Reason::Blocked, text });
                continue;
            }
            let close =
                |text: &'static str| Order::Close { conn, reason: Reason::CredentialExpired, text: text.into() };
            match self.access.keys.current(&identity, now.wall) {
                Current::Same => {}
                Current::Changed(identity) if identity.permissions.may_connect() => {
                    self.become_identity(conn, identity, now, out);
                }
                Current::Changed(_) => out.order(conn, close("the identity may no longer connect")),
                Current::Expired => out.order(conn, close("the credential is expired")),
                Current::Revoked => out.order(conn, close("the credential was revoked")),
            }
        }
    }
}
