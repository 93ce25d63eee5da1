//! One history of each room: what all were told, put together, goes round in no circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::world::World;

/// Something that several are told of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    Enter(u64),
    Exit(u64),
    Renamed(String),
}

/// What connections heard of one room, each in its order.
#[derive(Default)]
pub struct History {
    heard: Vec<Vec<Event>>,
    /// How often a peer came in, as it was seen, and as it was answered.
    pub entries: BTreeMap<u64, u32>,
    pub answers: BTreeMap<u64, u32>,
}

impl History {
    /// What one connection heard between its coming and its going.
    pub fn push(&mut self, heard: Vec<Event>) {
        let mut seen = BTreeMap::new();
        for event in &heard {
            match event {
                Event::Enter(peer) => seen.entry(*peer).or_insert((0, 0)).0 += 1,
                Event::Exit(peer) => seen.entry(*peer).or_insert((0, 0)).1 += 1,
                Event::Renamed(_) => {}
            }
        }
        for (peer, (enters, exits)) in seen {
            let entries = self.entries.entry(peer).or_default();
            *entries = enters.max(exits).max(*entries);
        }
        self.heard.push(heard);
    }

    /// Whether there is an order that all agree with. Who came more than once is left out: a
    /// message does not say which time is meant.
    fn check(&self, room: &str) {
        let is_once = |times: Option<&u32>| times.is_none_or(|times| *times <= 1);
        let is_clear = |event: &&Event| match event {
            Event::Enter(peer) | Event::Exit(peer) => {
                is_once(self.entries.get(peer)) && is_once(self.answers.get(peer))
            }
            Event::Renamed(_) => true,
        };
        let mut behind: BTreeMap<&Event, BTreeSet<&Event>> = BTreeMap::new();
        let mut before: BTreeMap<&Event, usize> = BTreeMap::new();
        for heard in &self.heard {
            let clear: Vec<&Event> = heard.iter().filter(is_clear).collect();
            for event in clear.iter().copied() {
                before.entry(event).or_default();
            }
            for pair in clear.windows(2) {
                if behind.entry(pair[0]).or_default().insert(pair[1]) {
                    *before.entry(pair[1]).or_default() += 1;
                }
            }
        }
        let mut free: Vec<&Event> = before.iter().filter(|(_, count)| **count == 0).map(|(event, _)| *event).collect();
        let mut done = 0;
        while let Some(event) = free.pop() {
            done += 1;
            for next in behind.get(event).into_iter().flatten() {
                let count = before.get_mut(next).expect("an event that was counted");
                *count -= 1;
                if *count == 0 {
                    free.push(next);
                }
            }
        }
        assert!(done == before.len(), "room {room}: what its members heard has no common order: {:?}", self.heard);
    }
}

impl World {
    /// What a connection heard of a room is complete: it is out, or gone.
    pub fn keep_heard(&mut self, room: &str, heard: Vec<Event>) {
        if heard.len() > 1 {
            self.histories.entry(room.into()).or_default().push(heard);
        }
    }

    /// All have one history of each room.
    pub fn check_order(&mut self) {
        let mut conns = std::mem::take(&mut self.server.conns);
        for conn in conns.values_mut() {
            for (room, view) in &mut conn.views {
                self.keep_heard(room, std::mem::take(&mut view.heard));
            }
        }
        self.server.conns = conns;
        for (room, history) in &self.histories {
            history.check(room);
        }
    }
}
