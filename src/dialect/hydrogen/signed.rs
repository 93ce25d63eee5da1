//! Signed commands: the signature is checked here, and that its id is new by the worker that
//! keeps the identity's replay window. Until that is known, the connection's messages wait, so
//! that they keep their order.

use std::collections::VecDeque;
use std::sync::Arc;

use super::session::Held;
use super::{Hydrogen, Peer};
use crate::base::{ConnId, Error, Mono, Now, WorkerId};
use crate::engine::auth::Signed;
use crate::engine::wire::{Command, Incoming, parse};
use crate::engine::work::{Order, Outbox};

impl Hydrogen {
    /// Whether the command may go on: true; not before its id is claimed: false.
    pub(super) fn check_signature(
        &mut self,
        conn: ConnId,
        text: &str,
        command: &Command<'_>,
        read_at: Mono,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<bool, Error> {
        let signature = command.auth.as_ref().and_then(|auth| auth.signature.as_deref());
        let is_sensitive =
            self.settings.sensitive.iter().any(|pattern| pattern.matches(&command.channel, &command.action));
        if !is_sensitive && signature.is_none() {
            return Ok(true);
        }
        let Some(identity) = self.sessions.of(conn).and_then(|session| session.identity.clone()) else {
            return Ok(true);
        };
        let signed = Signed {
            kind: "command",
            id: command.id.as_deref().unwrap_or_default(),
            timestamp: command.timestamp.as_ref().map(|timestamp| &*timestamp.text),
            channel: &command.channel,
            action: &command.action,
            data: command.data.map_or(&[], |data| data.as_raw().as_bytes()),
        };
        let skew = self.settings.signature_skew;
        let timestamp = signed.verify(signature, identity.signing.as_ref(), now.wall, skew)?;
        let keeper = self.owner(&identity.name);
        if keeper == self.worker {
            self.replays.admit(&identity.name, signed.id, timestamp, now.wall)?;
            return Ok(true);
        }
        let claim = Peer::Claim { conn, identity: identity.name.clone(), id: signed.id.into(), timestamp };
        out.peers.push((keeper, claim));
        if let Some(session) = self.sessions.of_mut(conn) {
            session.held = Some(Box::new(VecDeque::from([Held { text: text.into(), read_at }])));
        }
        Ok(false)
    }

    /// Another worker asks whether a signature's id is new.
    pub(super) fn on_claim(&mut self, from: WorkerId, claim: Claim, now: Now, out: &mut Outbox<Peer>) {
        let result = self.replays.admit(&claim.identity, &claim.id, claim.timestamp, now.wall);
        out.peers.push((from, Peer::Claimed { conn: claim.conn, result }));
    }

    /// The keeper has answered: the command goes on or is refused, then those behind it.
    pub(super) fn on_claimed(&mut self, conn: ConnId, result: Result<(), Error>, now: Now, out: &mut Outbox<Peer>) {
        let Some(mut held) = self.sessions.of_mut(conn).and_then(|session| session.held.take()) else { return };
        if let Some(first) = held.pop_front() {
            self.go_on(conn, &first, result, now, out);
        }
        self.take_held(conn, *held, now, out);
    }

    /// A session is restored, or is not: the messages that waited for that are taken.
    pub(super) fn release_held(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        if let Some(held) = self.sessions.of_mut(conn).and_then(|session| session.held.take()) {
            self.take_held(conn, *held, now, out);
        }
    }

    fn take_held(&mut self, conn: ConnId, mut held: VecDeque<Held>, now: Now, out: &mut Outbox<Peer>) {
        // The first may have begun another wait.
        if let Some(again) = self.sessions.of_mut(conn).and_then(|session| session.held.as_mut()) {
            again.append(&mut held);
            return;
        }
        while let Some(next) = held.pop_front() {
            self.take(conn, &next.text, next.read_at, now, out);
            if let Some(session) = self.sessions.of_mut(conn)
                && let Some(again) = &mut session.held
            {
                again.append(&mut held);
                return;
            }
        }
    }

    fn go_on(&mut self, conn: ConnId, held: &Held, result: Result<(), Error>, now: Now, out: &mut Outbox<Peer>) {
        // It was parsed before, so it parses again; the signature was found good.
        let Ok(Incoming::Command(command)) = parse(&mut self.scanner, &held.text, self.settings.depth_max) else {
            out.order(conn, Order::Settle { conn, count: 1 });
            return;
        };
        self.resume_command(conn, &command, result, held.read_at, now, out);
    }
}

/// What a worker asks the keeper of an identity's replay window.
#[derive(Debug)]
pub struct Claim {
    /// The connection whose command waits.
    pub conn: ConnId,
    /// Whose signature it is.
    pub identity: Arc<str>,
    /// The command's id.
    pub id: Box<str>,
    /// The command's timestamp.
    pub timestamp: crate::base::Wall,
}
