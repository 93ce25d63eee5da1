//! Dead letters: events that are given up, and those that get another chance.

use super::Consumer;
use super::effect::Effect;
use super::flight::{Flight, State};
use super::pump::count;
use crate::base::Mono;
use crate::engine::delivery::dead::DeadLetter;
use crate::engine::store::Seq;

impl Consumer {
    /// The dead letter is stored: its event is done.
    pub fn buried(&mut self, seq: Seq) {
        if self.is_dying(seq) {
            self.finish(seq);
        }
    }

    /// The dead letter could not be stored. It is handed out again later.
    pub fn not_buried(&mut self, seq: Seq, now: Mono, random: u64) {
        let Some(State::Dying { reason, again: None }) = self.flights.flight(seq).map(|flight| &flight.state) else {
            return;
        };
        let reason = reason.clone();
        let again = Some(now.after(self.settings.backoff.wait(u32::MAX, random, seq.0)));
        self.enter(seq, State::Dying { reason, again });
    }

    /// There is no payload for the dead letter any more: its event counts as expired.
    pub fn perished(&mut self, seq: Seq, out: &mut Vec<Effect>) {
        if self.is_dying(seq) {
            self.finish(seq);
            count(1, out);
        }
    }

    /// A dead letter gets another chance, with attempts counted anew. It stays a dead letter until
    /// it is acked ([`Effect::Resurrected`]); if it fails again, a longer history replaces it. Its
    /// payload is fetched from there, and its time to live does not count. Returns false if the
    /// window is full or the event is in flight already.
    pub fn replay(&mut self, letter: DeadLetter, now: Mono) -> bool {
        let seq = letter.seq;
        let is_free = self.flights.len() < self.settings.window.max(1) && !self.flights.contains(seq);
        if is_free {
            self.flights.insert(seq, Flight::again(letter, now));
        }
        is_free
    }

    /// Hands out the dead letter of a flight that is dying.
    pub(super) fn hand_out(&mut self, seq: Seq, out: &mut Vec<Effect>) {
        let letter = self.flights.flight(seq).and_then(|flight| flight.letter(seq));
        out.extend(letter.map(|letter| Effect::Dead(Box::new(letter))));
    }

    fn is_dying(&self, seq: Seq) -> bool {
        self.flights.flight(seq).is_some_and(Flight::is_dying)
    }
}
