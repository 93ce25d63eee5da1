//! All flights of a consumer, by number, by id and by timer. Changes of state go through
//! [`Flights::enter`] alone, so that the indices never differ from the flights.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::flight::{Flight, Name, State};
use crate::base::Mono;
use crate::engine::store::Seq;
use crate::engine::topic::Epoch;

#[derive(Debug, Default)]
pub(super) struct Flights {
    by_seq: BTreeMap<Seq, Flight>,
    // Epochs are the server's own random numbers: nobody can choose ids that collide.
    by_id: FxHashMap<(Epoch, u64), Seq>,
    timers: BTreeSet<(Mono, Seq)>,
    unsent: BTreeSet<Seq>,
}

impl Flights {
    /// Adds one. Its number must be free.
    pub fn insert(&mut self, seq: Seq, flight: Flight) {
        debug_assert!(!self.by_seq.contains_key(&seq), "{seq} is in flight");
        if let Some(name) = &flight.name {
            self.by_id.insert((name.epoch, name.offset), seq);
        }
        self.index(seq, flight.state.timer(), flight.state == State::Unsent);
        self.by_seq.insert(seq, flight);
    }

    /// Takes one out.
    pub fn remove(&mut self, seq: Seq) -> Option<Flight> {
        let flight = self.by_seq.remove(&seq)?;
        if let Some(name) = &flight.name {
            self.by_id.remove(&(name.epoch, name.offset));
        }
        self.unindex(seq, flight.state.timer());
        Some(flight)
    }

    /// Changes a flight's state. Returns the one before.
    pub fn enter(&mut self, seq: Seq, state: State) -> Option<State> {
        let flight = self.by_seq.get_mut(&seq)?;
        let timer = state.timer();
        let is_unsent = state == State::Unsent;
        let before = std::mem::replace(&mut flight.state, state);
        self.unindex(seq, before.timer());
        self.index(seq, timer, is_unsent);
        Some(before)
    }

    /// Says what the client calls a flight.
    pub fn name(&mut self, seq: Seq, name: Name, weight: usize) {
        let Some(flight) = self.by_seq.get_mut(&seq) else { return };
        self.by_id.insert((name.epoch, name.offset), seq);
        (flight.name, flight.weight) = (Some(name), weight);
    }

    pub fn flight(&self, seq: Seq) -> Option<&Flight> {
        self.by_seq.get(&seq)
    }

    /// For what is in no index: all but the state and the name.
    pub fn flight_mut(&mut self, seq: Seq) -> Option<&mut Flight> {
        self.by_seq.get_mut(&seq)
    }

    pub fn by_id(&self, epoch: Epoch, offset: u64) -> Option<Seq> {
        self.by_id.get(&(epoch, offset)).copied()
    }

    pub fn contains(&self, seq: Seq) -> bool {
        self.by_seq.contains_key(&seq)
    }

    pub fn len(&self) -> usize {
        self.by_seq.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = (Seq, &Flight)> {
        self.by_seq.iter().map(|(seq, flight)| (*seq, flight))
    }

    /// Those that go before anything newer, in order.
    pub fn unsent(&self) -> impl Iterator<Item = Seq> {
        self.unsent.iter().copied()
    }

    pub fn has_unsent(&self) -> bool {
        !self.unsent.is_empty()
    }

    pub fn next_timer(&self) -> Option<(Mono, Seq)> {
        self.timers.first().copied()
    }

    fn index(&mut self, seq: Seq, timer: Option<Mono>, is_unsent: bool) {
        if let Some(at) = timer {
            self.timers.insert((at, seq));
        }
        if is_unsent {
            self.unsent.insert(seq);
        }
    }

    fn unindex(&mut self, seq: Seq, timer: Option<Mono>) {
        if let Some(at) = timer {
            self.timers.remove(&(at, seq));
        }
        self.unsent.remove(&seq);
    }
}
