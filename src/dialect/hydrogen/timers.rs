//! The deadlines of one shard, and what happens when they pass.

use std::collections::BTreeSet;
use std::time::Duration;

use super::consumer_id::ConsumerId;
use super::session::Session;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Mono, Now, Reason};
use crate::engine::work::{Order, Outbox};

/// What a deadline is for. One that finds its cause gone does nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// A credential expires.
    Expiry(ConnId),
    /// A client must have authenticated.
    Authenticate(ConnId),
    /// Commands that are still under way while the server stops are answered.
    Drain,
    /// Idle topics, expired retained values, logs that hold too much and sessions that nobody came
    /// back for are looked for.
    Sweep,
    /// Cursors and sessions that changed are written down.
    Save,
    /// An ack is late, or a rest is over.
    Consumer(ConsumerId),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    armed: BTreeSet<(Mono, Timer)>,
    pub sweeps: bool,
}

impl Timers {
    pub(super) fn set(&mut self, at: Mono, timer: Timer) {
        self.armed.insert((at, timer));
    }

    pub(super) fn cancel(&mut self, at: Mono, timer: Timer) {
        self.armed.remove(&(at, timer));
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.armed.len()
    }

    /// Takes back what a session has armed.
    pub(super) fn cancel_all(&mut self, session: &mut Session) {
        if let Some(at) = session.expiry_at.take() {
            self.cancel(at, Timer::Expiry(session.conn));
        }
        if let Some(at) = session.authenticate_at.take() {
            self.cancel(at, Timer::Authenticate(session.conn));
        }
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.armed.first().map(|(at, _)| *at)
    }

    fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        let (at, _) = *self.armed.first()?;
        if at > now {
            return None;
        }
        self.armed.pop_first().map(|(_, timer)| timer)
    }
}

/// Between two looks at the topics.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// Topics looked at in one sweep.
const SWEEP_BUDGET: usize = 4096;

impl Hydrogen {
    /// The time has come.
    pub fn on_timeout(&mut self, now: Now, out: &mut Outbox<Peer>) {
        while let Some(ticket) = self.pending.overdue(now.mono) {
            let error = Error::new(Code::Timeout, "the command was not answered in time");
            self.give_up(ticket, error, now, out);
        }
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Expiry(conn) => self.check_expiry(conn, now, out),
                Timer::Authenticate(conn) => {
                    let Some(session) = self.sessions.of_mut(conn) else { continue };
                    session.authenticate_at = None;
                    if session.identity.is_none() {
                        let text = "no credential came within the handshake timeout".into();
                        out.order(conn, Order::Close { conn, reason: Reason::AuthenticationFailed, text });
                    }
                }
                Timer::Drain => {
                    for ticket in self.pending.tickets() {
                        self.give_up(ticket, Error::new(Code::Draining, "the server is stopping"), now, out);
                    }
                }
                Timer::Save => self.save_dirty(now, out),
                Timer::Consumer(id) => self.on_consumer_time(id, now, out),
                Timer::Sweep => {
                    let swept = self.topics.sweep(now.mono, self.settings.topic_idle, SWEEP_BUDGET);
                    self.counters.add(Metric::TOPICS_ENDED, swept.topics as u64);
                    for topic in self.topics.take_expired() {
                        self.mark_retained(&topic, now);
                    }
                    self.sweep_logs(now, out);
                    self.expire_sessions(now, out);
                    self.expire_durables(now, out);
                    let figures = self.delivery_figures(now);
                    self.reports.delivery(self.worker, figures);
                    self.timers.sweeps = self.topics.counts().topics > 0
                        || self.logs.len() > 0
                        || self.kept.len() > 0
                        || self.consumers.len() > 0;
                    if self.timers.sweeps {
                        self.timers.set(now.mono.after(SWEEP_INTERVAL), Timer::Sweep);
                    }
                }
            }
        }
    }

    /// A topic got state: sweeping begins if it rested.
    pub(super) fn ensure_sweep(&mut self, now: Mono) {
        if !self.timers.sweeps {
            self.timers.sweeps = true;
            self.timers.set(now.after(SWEEP_INTERVAL), Timer::Sweep);
        }
    }

    pub(super) fn on_drain(&mut self, now: Now) {
        self.timers.set(now.mono.after(self.settings.drain_grace), Timer::Drain);
    }

    /// Arms the deadline of a credential. Wall time may jump, so it is looked at again when it
    /// has passed, and at least once a day.
    pub(super) fn arm_expiry(&mut self, conn: ConnId, now: Now) {
        self.disarm(conn);
        let Some(session) = self.sessions.of_mut(conn) else { return };
        let Some(expires) = session.identity.as_ref().and_then(|identity| identity.expires) else { return };
        let wait = expires.0.saturating_sub(now.wall.0).clamp(0, 86_400_000) as u64;
        let at = now.mono.after(Duration::from_millis(wait));
        session.expiry_at = Some(at);
        self.timers.set(at, Timer::Expiry(conn));
    }

    /// Arms the deadline of a client that has not authenticated yet.
    pub(super) fn arm_authenticate(&mut self, conn: ConnId, now: Now) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        let at = now.mono.after(self.settings.handshake_timeout);
        session.authenticate_at = Some(at);
        self.timers.set(at, Timer::Authenticate(conn));
    }

    /// Takes back the deadlines of one session.
    pub(super) fn disarm(&mut self, conn: ConnId) {
        if let Some(session) = self.sessions.of_mut(conn) {
            self.timers.cancel_all(session);
        }
    }

    fn check_expiry(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        let Some(session) = self.sessions.of_mut(conn) else { return };
        session.expiry_at = None;
        let Some(identity) = &session.identity else { return };
        if identity.is_expired(now.wall) {
            self.shut_out(conn, Reason::CredentialExpired, "the credential is expired", now, out);
        } else {
            self.arm_expiry(conn, now);
        }
    }
}
