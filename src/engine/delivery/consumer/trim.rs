//! Events that the store let go.

use super::Consumer;
use super::effect::{Effect, Source};
use super::pump::count;
use crate::base::limits::TRIMMED_WHILE_READING;
use crate::engine::store::Seq;

impl Consumer {
    /// Events of a topic were trimmed. Those in flight are dropped and counted as expired, and so
    /// are those that were never taken. Of the latter the payload is not known: they count if some
    /// selector's pattern names the topic, whatever its filter says. What is on its way to the dead
    /// letters, or comes from there, stays.
    pub fn trimmed(&mut self, topic: &str, seqs: &[Seq], out: &mut Vec<Effect>) {
        let mut expired = 0;
        for &seq in seqs {
            match self.flights.flight(seq) {
                Some(flight) if flight.is_dying() || flight.source == Source::DeadLetters => {}
                Some(_) => {
                    self.finish(seq);
                    expired += 1;
                }
                None => expired += u64::from(self.passed_over(topic, seq)),
            }
        }
        count(expired, out);
    }

    /// Whether an event is still to be read, so that it is lost now.
    fn passed_over(&mut self, topic: &str, seq: Seq) -> bool {
        if self.position.is_none_or(|position| seq <= position) || !self.selectors.may_take(topic, seq) {
            return false;
        }
        // A page that is on its way may still have it.
        if let Some(reading) = &mut self.reading {
            match reading.trimmed.len() < TRIMMED_WHILE_READING {
                true => reading.trimmed.push(seq),
                false => reading.is_stale = true,
            }
        }
        true
    }
}
