//! Signals between two peers of a room. Candidates that come before any offer wait for it.

use std::time::Duration;

use super::Signaling;
use super::limits::{
    CANDIDATE_BYTES_HELD, CANDIDATES_HELD, CANDIDATES_WAIT, MESSAGE_BYTES, SDP_BYTES, SIGNAL_BURST, SIGNAL_REST_BYTES,
};
use super::meter::Rate;
use super::peer::Caller;
use super::room::{Held, pair};
use super::timers::Timer;
use super::wire::{Notice, Refusal, Reply, Signal, SignalKind, peer_id};
use crate::base::{Metric, Now};

/// One signal of the largest goes through at any rate.
fn signal_rate(bytes_per_second: u64) -> Rate {
    let burst =
        (bytes_per_second * SIGNAL_BURST.as_secs()).max(2 * (SDP_BYTES + SIGNAL_REST_BYTES + MESSAGE_BYTES) as u64);
    Rate { burst, period: Duration::from_secs_f64(burst as f64 / bytes_per_second as f64) }
}

impl Signaling {
    pub(super) fn on_signal(&mut self, id: &str, caller: Box<Caller>, signal: Signal, rest: Vec<Box<str>>, now: Now) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let found = room.live(caller.conn).and_then(|_| room.find(&signal.target, caller.conn, &caller.key));
        let Some(found) = found else { return self.signal_elsewhere(caller, signal, rest) };
        let (to, to_peer, to_key) = (found.conn, found.peer, found.key.clone());
        // Who is meant by an alias knows itself by its key.
        let is_by_alias = *found.shown == *signal.target;
        let (kind, target, from_peer) = (signal.kind, signal.target.clone(), caller.peer);
        let rate = self.settings.signal_bytes.map(|bytes| signal_rate(bytes as u64));
        if let Some(rate) = rate {
            let sent = room.sent.entry((from_peer, to_peer)).or_default();
            if !sent.take((signal.weight() + MESSAGE_BYTES) as u64, rate, now.mono) {
                self.counters.inc(Metric::RATE_LIMITED);
                return self.fx.refuse(*caller, Refusal::RateLimited);
            }
        }
        let has_talked = room.talked.contains(&pair(from_peer, to_peer));
        let Some(own) = room.live(caller.conn) else { return };
        let to_name: &str = if is_by_alias { &to_key } else { &target };
        let out = signal.finish(&caller.meta.id, id, own.shown_to(&to_key), &peer_id(from_peer), to_name);
        if kind == SignalKind::Candidate && !has_talked {
            let until = now.mono.after(CANDIDATES_WAIT);
            let held = room.held.entry((from_peer, to_peer)).or_insert_with(|| {
                self.timers.set(until, Timer::Candidates(id.into()));
                Held { signals: Vec::new(), bytes: 0, until }
            });
            held.bytes += out.weight();
            held.signals.push(out);
            self.counters.inc(Metric::SIGNALING_CANDIDATES_HELD);
            let is_full = held.signals.len() >= CANDIDATES_HELD;
            let of_sender = (from_peer, u64::MIN)..=(from_peer, u64::MAX);
            let bytes: usize = room.held.range(of_sender).map(|(_, held)| held.bytes).sum();
            if is_full || bytes > CANDIDATE_BYTES_HELD {
                self.release(id, from_peer, to_peer);
            }
        } else {
            room.talked.insert(pair(from_peer, to_peer));
            self.count_signal(kind);
            self.fx.tell(&[to], Notice::Signal(out));
            if !has_talked {
                self.release(id, from_peer, to_peer);
                self.release(id, to_peer, from_peer);
            }
        }
        self.mark_active(id, now);
        let reply = match caller.meta.id.is_empty() {
            true => Reply::Nothing,
            false => Reply::Sent { room: id.into(), target },
        };
        self.fx.answer(*caller, reply);
    }

    /// Candidates go on their way.
    fn release(&mut self, id: &str, from: u64, to: u64) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let Some(held) = room.held.remove(&(from, to)) else { return };
        let Some(to) = room.live.iter().find(|live| live.peer == to).map(|live| live.conn) else { return };
        for signal in held.signals {
            self.count_signal(SignalKind::Candidate);
            self.fx.tell(&[to], Notice::Signal(signal));
        }
    }

    /// Candidates whose offer did not come are sent without it: their peers may talk elsewhere too.
    pub(super) fn release_late(&mut self, id: &str, now: Now) {
        let Some(room) = self.rooms.get(id) else { return };
        let late: Vec<(u64, u64)> =
            room.held.iter().filter(|(_, held)| held.until <= now.mono).map(|(pair, _)| *pair).collect();
        for (from, to) in late {
            self.release(id, from, to);
        }
    }
}
