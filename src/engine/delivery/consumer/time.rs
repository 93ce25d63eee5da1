//! Acks that do not come in time, and rests that are over.

use super::Consumer;
use super::effect::Effect;
use super::flight::State;
use crate::base::{ConnId, Mono, Now};
use crate::engine::delivery::dead::{DeadReason, Outcome};
use crate::engine::store::Seq;

impl Consumer {
    /// Does what is due.
    pub fn on_time(&mut self, now: Now, random: u64, out: &mut Vec<Effect>) {
        if self.rests_until.is_some_and(|until| until <= now.mono) {
            self.rests_until = None;
        }
        // Ends, even if time stands still: each flight comes to a state without a timer.
        while let Some((_, seq)) = self.flights.next_timer().filter(|(at, _)| *at <= now.mono) {
            match self.flights.flight(seq).map(|flight| flight.state.clone()) {
                Some(State::Sent { member, .. }) => self.timed_out(seq, member, now, random, out),
                Some(State::Waiting { .. }) => self.enter(seq, State::Unsent),
                Some(State::Dying { reason, .. }) => {
                    self.enter(seq, State::Dying { reason, again: None });
                    self.hand_out(seq, out);
                }
                Some(State::Unsent) | None => {
                    debug_assert!(false, "a timer of {seq}, which has none");
                    return;
                }
            }
        }
    }

    /// The store works again: what rested because of it goes on at once.
    pub fn store_is_well(&mut self, out: &mut Vec<Effect>) {
        (self.rests_until, self.failures) = (None, 0);
        let dying: Vec<Seq> =
            self.flights.iter().filter(|(_, flight)| flight.is_late_dying()).map(|(seq, _)| seq).collect();
        for seq in dying {
            if let Some(State::Dying { reason, .. }) = self.flights.flight(seq).map(|flight| flight.state.clone()) {
                self.enter(seq, State::Dying { reason, again: None });
                self.hand_out(seq, out);
            }
        }
    }

    /// When there is something to do next.
    pub fn next_deadline(&self) -> Option<Mono> {
        let timer = self.flights.next_timer().map(|(at, _)| at);
        match (timer, self.rests_until) {
            (Some(timer), Some(rest)) => Some(timer.min(rest)),
            (timer, rest) => timer.or(rest),
        }
    }

    fn timed_out(&mut self, seq: Seq, member: ConnId, now: Now, random: u64, out: &mut Vec<Effect>) {
        let Some(flight) = self.flights.flight_mut(seq) else { return };
        flight.failed(member, now.wall, Outcome::TimedOut);
        flight.timeouts = flight.timeouts.saturating_add(1);
        let timeouts = flight.timeouts;
        if timeouts >= self.settings.attempts_max {
            self.enter(seq, State::Dying { reason: DeadReason::AttemptsExhausted, again: None });
            self.hand_out(seq, out);
        } else {
            let due = now.mono.after(self.settings.backoff.wait(timeouts, random, seq.0));
            self.enter(seq, State::Waiting { due });
        }
    }
}
