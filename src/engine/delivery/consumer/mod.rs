//! The guaranteed delivery of one subscription, stepped.
//!
//! A consumer owns which events were taken and not acked yet (its flights), who of its members
//! holds them, and how far it has come in the log. It refuses to keep payloads: an event is sent as
//! it is published, or it is read from the log. While nobody listens, or the window is full, the
//! consumer is behind: events pass it without a trace, and it reads them when there is room.
//!
//! The law of stepping: after any call but [`Consumer::offer`], [`Consumer::head_moved`] and the
//! figures, [`Consumer::pump`] is called, once for any number of them, and its effects are carried
//! out. A flight's lifecycle stands at `State` in `flight.rs`.
//!
//! Order: first deliveries go in the order of the log. What is to be sent again goes before
//! anything that is newer. An event that rests after a timeout holds nothing up.
//!
//! The window counts the events in flight over all members together, those that rest or wait for a
//! member too. So a group with a window of 1 handles one event at a time.

mod ack;
mod attach;
mod cursor;
mod dying;
mod effect;
mod flight;
mod flights;
mod live;
mod members;
mod pump;
mod time;
mod trim;

#[cfg(test)]
mod tests;

use std::time::Duration;

pub use cursor::Cursor;
pub use effect::{Effect, Offer, Source};

use super::backoff::Backoff;
use super::selector::{Selector, Selectors};
use crate::base::{ConnId, Mono};
use crate::engine::store::Seq;
use flight::{Flight, State};
use flights::Flights;
use members::Members;

/// How a consumer delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Most events in flight, over all members; at least 1.
    pub window: usize,
    /// Most bytes in flight to one member, which gets one event at least.
    pub window_bytes: usize,
    /// How long an ack may take.
    pub ack_timeout: Duration,
    /// How long an event rests after a timeout, and the store after a failure.
    pub backoff: Backoff,
    /// After so many acks that did not come in time an event is given up. Disconnects do not count.
    pub attempts_max: u32,
}

/// The guaranteed delivery of one subscription.
#[derive(Debug)]
pub struct Consumer {
    settings: Settings,
    selectors: Selectors,
    members: Members,
    flights: Flights,
    /// Everything up to here was taken or passed over; `None` while that is `head`: the consumer
    /// is live.
    position: Option<Seq>,
    /// The newest event that is known to be committed.
    head: Seq,
    /// What the next event to be read weighed when there was no room for it.
    next_weight: usize,
    reading: Option<pump::Reading>,
    fetching: Option<pump::Fetching>,
    /// After a failure the store is left alone until then.
    rests_until: Option<Mono>,
    failures: u32,
    is_dirty: bool,
}

impl Consumer {
    /// A consumer without selectors that has nothing behind `head`, the newest event that its
    /// worker knows to be committed.
    pub fn new(settings: Settings, head: Seq) -> Consumer {
        Consumer {
            settings,
            selectors: Selectors::default(),
            members: Members::default(),
            flights: Flights::default(),
            position: None,
            head,
            next_weight: 0,
            reading: None,
            fetching: None,
            rests_until: None,
            failures: 0,
            is_dirty: true,
        }
    }

    /// A consumer as its cursor describes it. What happened after the cursor was saved happens
    /// again.
    pub fn restore(
        settings: Settings,
        selectors: impl IntoIterator<Item = Selector>,
        cursor: &Cursor,
        head: Seq,
        now: Mono,
    ) -> Consumer {
        let mut consumer = Consumer::new(settings, head);
        for selector in selectors {
            consumer.selectors.insert(selector);
        }
        consumer.position = Some(cursor.at()).filter(|at| *at < head);
        for (seq, weight, deliveries, timeouts) in cursor.open() {
            if !consumer.flights.contains(seq) {
                consumer.flights.insert(seq, Flight::restored(weight, deliveries, timeouts, now));
            }
        }
        consumer.is_dirty = false;
        consumer
    }

    /// Changes how it delivers. Deadlines that run stay as they are.
    pub fn set_settings(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// How it delivers.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// How far it has come. An event that was a dead letter and is delivered again is not listed:
    /// it stays a dead letter until it is acked.
    pub fn cursor(&self) -> Cursor {
        let mut cursor = Cursor::new(self.taken());
        for (seq, flight) in self.flights.iter() {
            match flight.source {
                Source::Log => cursor.push(seq, flight.weight, flight.deliveries, flight.timeouts),
                Source::DeadLetters => {}
            }
        }
        cursor
    }

    /// Whether the cursor changed since this was last asked. That the head moved under a live
    /// consumer does not count: an older cursor says the same then.
    pub fn take_dirty(&mut self) -> bool {
        std::mem::take(&mut self.is_dirty)
    }

    /// What it wants.
    pub fn selectors(&self) -> impl Iterator<Item = &Selector> {
        self.selectors.iter()
    }

    /// Its members.
    pub fn members(&self) -> impl Iterator<Item = ConnId> {
        self.members.conns()
    }

    /// How many members it has.
    pub fn members_len(&self) -> usize {
        self.members.len()
    }

    /// How many events are taken and not acked.
    pub fn outstanding(&self) -> usize {
        self.flights.len()
    }

    /// Since when the oldest event in flight is unacked.
    pub fn unacked_since(&self) -> Option<Mono> {
        self.flights.iter().map(|(_, flight)| flight.since).min()
    }

    /// Whether it has come to the head, so that events go to it as they are published.
    pub fn is_live(&self) -> bool {
        self.position.is_none()
    }

    /// Everything up to this number was taken, is done or does not count.
    pub fn taken(&self) -> Seq {
        self.position.unwrap_or(self.head)
    }

    /// Everything up to this number is done.
    pub fn floor(&self) -> Seq {
        let first = self.flights.iter().find(|(_, flight)| flight.source == Source::Log);
        first.map_or(self.taken(), |(seq, _)| self.taken().min(Seq(seq.0.saturating_sub(1))))
    }

    /// A flight's way from state to state. What its member holds follows.
    fn enter(&mut self, seq: Seq, state: State) {
        let Some(weight) = self.flights.flight(seq).map(|flight| flight.weight) else { return };
        if let State::Sent { member, .. } = state {
            self.members.charge(member, weight);
        }
        if let Some(State::Sent { member, .. }) = self.flights.enter(seq, state) {
            self.members.release(member, weight);
        }
        self.is_dirty = true;
    }

    /// An event's end, whatever it is.
    fn finish(&mut self, seq: Seq) -> Option<Flight> {
        let flight = self.flights.remove(seq)?;
        if let State::Sent { member, .. } = flight.state {
            self.members.release(member, flight.weight);
        }
        self.is_dirty = true;
        Some(flight)
    }
}
