//! What clients say of events that they were sent.

use super::Consumer;
use super::effect::{Effect, Source};
use super::flight::State;
use crate::base::{ConnId, Now};
use crate::engine::delivery::dead::{DeadReason, Outcome};
use crate::engine::store::Seq;
use crate::engine::topic::{Epoch, UpTo};

impl Consumer {
    /// An event is done. Any member may say so, also after a timeout, or of an event that another
    /// member was sent: the id names it beyond doubt. Returns false if it is not outstanding.
    pub fn ack(&mut self, conn: ConnId, epoch: Epoch, offset: u64, out: &mut Vec<Effect>) -> bool {
        let seq = self.outstanding_seq(conn, epoch, offset);
        seq.map(|seq| self.acked(seq, out)).is_some()
    }

    /// Everything of one topic is done, up to a place. Returns how many events were.
    ///
    /// Such an ack must never reach an event that its sender may not have seen. So it counts for
    /// what was last sent to this very connection, and for the epoch that it names. If it names none,
    /// and events of several epochs are in flight to the connection, it counts for the oldest of
    /// these: its sender may not have seen the next one yet.
    pub fn ack_through(&mut self, conn: ConnId, topic: &str, place: UpTo, out: &mut Vec<Effect>) -> usize {
        let UpTo { mut epoch, offset } = place;
        let mut seqs: Vec<Seq> = Vec::new();
        for (seq, flight) in self.flights.iter() {
            let Some(name) = flight.name.as_ref().filter(|name| *name.topic == *topic) else { continue };
            if flight.holder == Some(conn)
                && !flight.is_dying()
                && *epoch.get_or_insert(name.epoch) == name.epoch
                && name.offset <= offset
            {
                seqs.push(seq);
            }
        }
        if !self.members.is_member(conn) {
            return 0;
        }
        for seq in &seqs {
            self.acked(*seq, out);
        }
        seqs.len()
    }

    /// Whoever comes back has dealt with everything of one topic, up to a place: of what is in
    /// flight, whoever held it. As with an ack, the oldest epoch in flight is meant if none is named.
    /// Returns how many events there were.
    pub fn seen(&mut self, topic: &str, place: UpTo, out: &mut Vec<Effect>) -> usize {
        let UpTo { mut epoch, offset } = place;
        let mut seqs: Vec<Seq> = Vec::new();
        for (seq, flight) in self.flights.iter() {
            let Some(name) = flight.name.as_ref().filter(|name| *name.topic == *topic) else { continue };
            if !flight.is_dying()
                && *epoch.get_or_insert(name.epoch) == name.epoch
                && name.offset <= offset
                && flight.deliveries > 0
            {
                seqs.push(seq);
            }
        }
        for seq in &seqs {
            self.acked(*seq, out);
        }
        seqs.len()
    }

    /// A client refuses an event for good: it is given up at once. Returns false if it is not
    /// outstanding.
    pub fn reject(
        &mut self,
        conn: ConnId,
        epoch: Epoch,
        offset: u64,
        text: &str,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> bool {
        let Some(seq) = self.outstanding_seq(conn, epoch, offset) else { return false };
        if let Some(flight) = self.flights.flight_mut(seq) {
            flight.failed(conn, now.wall, Outcome::Rejected);
        }
        self.enter(seq, State::Dying { reason: DeadReason::Rejected(text.into()), again: None });
        self.hand_out(seq, out);
        true
    }

    fn outstanding_seq(&self, conn: ConnId, epoch: Epoch, offset: u64) -> Option<Seq> {
        let seq = self.flights.by_id(epoch, offset).filter(|_| self.members.is_member(conn))?;
        self.flights.flight(seq).filter(|flight| !flight.is_dying()).map(|_| seq)
    }

    fn acked(&mut self, seq: Seq, out: &mut Vec<Effect>) {
        match self.finish(seq).map(|flight| flight.source) {
            Some(Source::DeadLetters) => out.push(Effect::Resurrected { seq }),
            Some(Source::Log) | None => {}
        }
    }
}
