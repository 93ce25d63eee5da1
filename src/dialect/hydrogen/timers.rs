//! The deadlines of one shard, and what happens when they pass.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

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
    /// Idle topics and expired retained values are looked for.
    Sweep,
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Mono, Timer)>>,
    pub sweeps: bool,
}

impl Timers {
    pub(super) fn set(&mut self, at: Mono, timer: Timer) {
        self.heap.push(Reverse((at, timer)));
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    fn pop_due(&mut self, now: Mono) -> Option<Timer> {
        let Reverse((at, timer)) = *self.heap.peek()?;
        if at > now {
            return None;
        }
        self.heap.pop();
        Some(timer)
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
            self.finish(ticket, Err(error), now, out);
        }
        while let Some(timer) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Expiry(conn) => self.check_expiry(conn, now, out),
                Timer::Authenticate(conn) => {
                    if self.sessions.of(conn).is_some_and(|session| session.identity.is_none()) {
                        let text = "no credential came within the handshake timeout".into();
                        out.order(conn, Order::Close { conn, reason: Reason::AuthenticationFailed, text });
                    }
                }
                Timer::Drain => {
                    for ticket in self.pending.tickets() {
                        self.finish(ticket, Err(Error::new(Code::Draining, "the server is stopping")), now, out);
                    }
                }
                Timer::Sweep => {
                    let swept = self.topics.sweep(now.mono, self.settings.topic_idle, SWEEP_BUDGET);
                    self.counters.add(Metric::TOPICS_ENDED, swept.topics as u64);
                    self.timers.sweeps = self.topics.counts().topics > 0;
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
        let Some(expires) = self.sessions.of(conn).and_then(|session| session.identity.as_ref()?.expires) else {
            return;
        };
        let wait = (expires.0 - now.wall.0).clamp(0, 86_400_000) as u64;
        self.timers.set(now.mono.after(Duration::from_millis(wait)), Timer::Expiry(conn));
    }

    fn check_expiry(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        let Some(identity) = self.sessions.of(conn).and_then(|session| session.identity.as_ref()) else { return };
        if identity.is_expired(now.wall) {
            let text = "the credential is expired".into();
            out.order(conn, Order::Close { conn, reason: Reason::CredentialExpired, text });
        } else {
            self.arm_expiry(conn, now);
        }
    }
}
