//! Who listens, and to what.

use std::sync::Arc;

use super::flight::State;
use super::{Consumer, Source};
use crate::base::{ConnId, Now};
use crate::engine::delivery::dead::Outcome;
use crate::engine::delivery::selector::Selector;
use crate::engine::store::Seq;
use crate::engine::topic::{Filter, Pattern};

impl Consumer {
    /// Adds a member. It may ack, and gets nothing before [`Consumer::start`]: the client is told
    /// of its subscription first. Returns false if it is one already.
    pub fn attach(&mut self, conn: ConnId) -> bool {
        self.members.attach(conn)
    }

    /// A member's delivery begins. Returns false if it is none.
    pub fn start(&mut self, conn: ConnId) -> bool {
        self.members.start(conn)
    }

    /// A member is gone. What it held goes to whoever is there, before anything newer, and so does
    /// what rests after a timeout. Returns how many events it held.
    pub fn detach(&mut self, conn: ConnId, now: Now) -> usize {
        if !self.members.detach(conn) {
            return 0;
        }
        let nobody = self.members.len() == 0;
        let mut held = Vec::new();
        let mut resting = Vec::new();
        for (seq, flight) in self.flights.iter() {
            match &flight.state {
                State::Sent { member, .. } if *member == conn => held.push(seq),
                State::Waiting { .. } if nobody || flight.holder == Some(conn) => resting.push(seq),
                State::Sent { .. } | State::Waiting { .. } | State::Unsent | State::Dying { .. } => {}
            }
        }
        for seq in &held {
            if let Some(flight) = self.flights.flight_mut(*seq) {
                flight.failed(conn, now.wall, Outcome::Disconnected);
            }
        }
        for seq in held.iter().chain(&resting) {
            self.enter(*seq, State::Unsent);
        }
        held.len()
    }

    /// Adds a selector. Returns false if there is one with its pattern and filter, which stays.
    ///
    /// If it wants events from before the place where this consumer is, the consumer goes back
    /// there, and the other selectors' `since` is raised to where it was. Whoever stores selectors
    /// stores the cursor first then: the other way round a crash in between would lose events.
    pub fn select(&mut self, selector: Selector) -> bool {
        let since = selector.since;
        let taken = self.taken();
        if self.selectors.has(&selector) {
            return false;
        }
        if since < taken {
            self.selectors.raise(taken);
            self.position = Some(since);
            self.next_weight = 0;
        }
        // A page that was asked for does not have what it takes.
        if let Some(reading) = self.reading.as_mut().filter(|reading| since < reading.through) {
            reading.is_stale = true;
        }
        self.is_dirty = true;
        self.selectors.insert(selector)
    }

    /// Gives the selector with a pattern another filter, from what is not taken yet on. Returns
    /// whether there is a selector with that pattern, and whether its filter changed.
    pub fn refilter(&mut self, pattern: &Pattern, filter: Option<&Arc<Filter>>) -> (bool, bool) {
        (self.selectors.has_pattern(pattern), self.selectors.refilter(pattern, filter))
    }

    /// Takes out all selectors with a pattern. What is in flight and under no other pattern is
    /// dropped. Returns how many events were; `None` if there is no such selector.
    pub fn deselect(&mut self, pattern: &Pattern) -> Option<usize> {
        if !self.selectors.remove(pattern) {
            return None;
        }
        let is_dropped = |name: &super::flight::Name| !self.selectors.name(&name.topic);
        let dropped: Vec<Seq> = self
            .flights
            .iter()
            .filter(|(_, flight)| flight.source == Source::Log && !flight.is_dying())
            .filter(|(_, flight)| flight.name.as_ref().is_some_and(is_dropped))
            .map(|(seq, _)| seq)
            .collect();
        for seq in &dropped {
            self.finish(*seq);
        }
        Some(dropped.len())
    }
}
