//! What must hold, judged from the clients' own records alone. It knows nothing of how the server
//! works, and of the protocol what is written in `docs/reliability.md`.

pub mod repeats;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::trace::{Entry, EventId, What};

/// A durable subscription, or a session that is resumed.
#[derive(Clone, Copy, Debug)]
pub struct Subscription {
    pub who: &'static str,
    /// Whether it is read by more than one connection at a time.
    pub is_group: bool,
    pub topics: &'static [&'static str],
    /// The filter: only events of this kind.
    pub kind: Option<&'static str>,
}

impl Subscription {
    pub fn wants(&self, topic: &str, number: u64) -> bool {
        self.kind.is_none_or(|kind| kind == kind_of(number)) && self.topics.iter().any(|name| matches(name, topic))
    }
}

/// The kind that a publish of this number has in its payload.
pub fn kind_of(number: u64) -> &'static str {
    ["a", "b", "c"][(number % 3) as usize]
}

/// Whether a pattern matches a topic.
fn matches(pattern: &str, topic: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('.'), topic.split('.'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(">"), Some(_)) => return true,
            (Some(token), Some(found)) if token == "*" || token == found => {}
            _ => return false,
        }
    }
}

/// What the server shows when it is asked, after everything else has come to rest.
#[derive(Clone, Debug, Default)]
pub struct Survey {
    /// The history of each topic, with the numbers in the payloads.
    pub history: BTreeMap<String, Vec<(EventId, u64)>>,
    pub dead: BTreeSet<EventId>,
}

/// How far earlier checks of the same data came, by topic and epoch: events up to there were
/// judged then.
pub type Floors = BTreeMap<(String, Arc<str>), u64>;

/// Everything that does not hold.
pub fn check(subscriptions: &[Subscription], trace: &[Entry], survey: &Survey, floors: &Floors) -> Vec<String> {
    let mut faults = broken(trace);
    let known = Known::gather(trace, survey, floors, &mut faults);
    known.check_offsets(floors, &mut faults);
    known.check_history(survey, floors, &mut faults);
    for subscription in subscriptions {
        let own: Vec<&Entry> = trace.iter().filter(|entry| entry.who == subscription.who).collect();
        known.check_arrivals(subscription, trace, survey, &mut faults);
        check_order(subscription, &own, floors, &mut faults);
        repeats::check(subscription, &own, survey, floors, &mut faults);
    }
    faults
}

/// What clients saw that the protocol does not allow.
pub fn broken(trace: &[Entry]) -> Vec<String> {
    let mut faults = Vec::new();
    for entry in trace {
        if let What::Broken { text } = &entry.what {
            faults.push(format!("{} on connection {}: {text}", entry.who, entry.connection));
        }
    }
    faults
}

/// Where the next check of the same data begins.
pub fn raise(floors: &mut Floors, trace: &[Entry], survey: &Survey) {
    let mut raise = |topic: &str, event: &EventId| {
        let floor = floors.entry((topic.to_owned(), event.epoch.clone())).or_default();
        *floor = (*floor).max(event.offset);
    };
    for entry in trace {
        if let What::Delivered { event, topic, .. } = &entry.what {
            raise(topic, event);
        }
    }
    for (topic, events) in &survey.history {
        events.iter().for_each(|(event, _)| raise(topic, event));
    }
}

/// Whether an earlier check has judged this event.
fn is_settled(floors: &Floors, topic: &str, event: &EventId) -> bool {
    floors.get(&(topic.to_owned(), event.epoch.clone())).is_some_and(|floor| event.offset <= *floor)
}

/// Numbers that were answered and that a subscription must get, with their events.
pub fn expected(subscription: &Subscription, trace: &[Entry]) -> BTreeMap<u64, EventId> {
    let mut found = BTreeMap::new();
    let mut sent = BTreeMap::new();
    let mut is_subscribed = false;
    for entry in trace {
        match &entry.what {
            What::Subscribed if entry.who == subscription.who => is_subscribed = true,
            What::Sent { number, topic, guaranteed: true } if is_subscribed => {
                sent.insert(*number, *topic);
            }
            What::Answered { number, event, .. }
                if sent.get(number).is_some_and(|topic| subscription.wants(topic, *number)) =>
            {
                found.entry(*number).or_insert_with(|| event.clone());
            }
            _ => {}
        }
    }
    found
}

/// Numbers that a subscription got.
pub fn received(who: &str, trace: &[Entry]) -> BTreeSet<u64> {
    let own = trace.iter().filter(|entry| entry.who == who);
    own.filter_map(|entry| match &entry.what {
        What::Delivered { number, .. } => Some(*number),
        _ => None,
    })
    .collect()
}

/// All that is known of events, from whomever.
#[derive(Default)]
struct Known {
    /// By event: its topic and the number in it.
    events: BTreeMap<EventId, (String, u64)>,
    numbers: BTreeMap<u64, EventId>,
    /// Publishes: topic, and whether they are guaranteed.
    sent: BTreeMap<u64, (&'static str, bool)>,
    answered: BTreeMap<u64, EventId>,
}

impl Known {
    fn gather(trace: &[Entry], survey: &Survey, floors: &Floors, faults: &mut Vec<String>) -> Known {
        let mut known = Known::default();
        for entry in trace {
            match &entry.what {
                What::Sent { number, topic, guaranteed } => {
                    known.sent.insert(*number, (topic, *guaranteed));
                }
                What::Answered { number, event, level } => {
                    let Some((topic, guaranteed)) = known.sent.get(number).copied() else {
                        faults.push(format!("number {number} was answered and never sent"));
                        continue;
                    };
                    known.note(topic, event, *number, "an answer", faults);
                    if guaranteed {
                        known.answered.entry(*number).or_insert_with(|| event.clone());
                        if level.as_deref() != Some("disk") {
                            faults.push(format!("number {number}, {event}: answered with the level {level:?}"));
                        }
                    }
                }
                What::Delivered { event, topic, number, .. } if !is_settled(floors, topic, event) => {
                    known.note(topic, event, *number, entry.who, faults);
                }
                _ => {}
            }
        }
        for (topic, events) in &survey.history {
            for (event, number) in events.iter().filter(|(event, _)| !is_settled(floors, topic, event)) {
                known.note(topic, event, *number, "the history", faults);
            }
        }
        known
    }

    /// One event has one payload, and one payload is one event.
    fn note(&mut self, topic: &str, event: &EventId, number: u64, from: &str, faults: &mut Vec<String>) {
        match self.sent.get(&number) {
            None => faults.push(format!("{from}: {topic} {event} holds number {number}, which nobody published")),
            Some((wanted, _)) if *wanted != topic => {
                faults.push(format!("{from}: number {number} of {wanted} is event {event} of {topic}"));
            }
            Some(_) => {}
        }
        match self.events.get(event) {
            Some((_, first)) if *first != number => {
                faults.push(format!("{from}: {topic} {event} is number {number}, and was number {first}"));
            }
            Some(_) => {}
            None => {
                self.events.insert(event.clone(), (topic.to_owned(), number));
            }
        }
        match self.numbers.get(&number) {
            Some(first) if first != event => {
                faults.push(format!("{from}: {topic} number {number} is event {event}, and was event {first}"));
            }
            Some(_) => {}
            None => {
                self.numbers.insert(number, event.clone());
            }
        }
    }

    /// No offset is missing in an epoch of a topic whose publishes are all guaranteed.
    fn check_offsets(&self, floors: &Floors, faults: &mut Vec<String>) {
        let loose: BTreeSet<&str> =
            self.sent.values().filter(|(_, guaranteed)| !guaranteed).map(|(topic, _)| *topic).collect();
        let mut next: BTreeMap<(String, Arc<str>), u64> = BTreeMap::new();
        for (event, (topic, _)) in self.events.iter().filter(|(_, (topic, _))| !loose.contains(topic.as_str())) {
            let key = (topic.clone(), event.epoch.clone());
            let begin = floors.get(&key).map_or(1, |floor| floor + 1);
            let wanted = next.entry(key).or_insert(begin);
            if event.offset > *wanted {
                faults.push(format!("{topic}: nobody knows offsets {wanted} to {} before {event}", event.offset - 1));
            }
            *wanted = event.offset + 1;
        }
    }

    /// History tells the same as the records: every answered event of the topic's newest epoch, in
    /// order. (What it tells that contradicts them was found by [`Known::note`].)
    fn check_history(&self, survey: &Survey, floors: &Floors, faults: &mut Vec<String>) {
        for (topic, events) in &survey.history {
            if events.windows(2).any(|two| two[0].0.epoch == two[1].0.epoch && two[0].0.offset >= two[1].0.offset) {
                faults.push(format!("{topic}: the history is out of order"));
            }
            let there: BTreeSet<&EventId> = events.iter().map(|(event, _)| event).collect();
            let Some((newest, _)) = events.last() else {
                if let Some((number, event)) = self.answered.iter().find(|(number, _)| self.sent[number].0 == topic) {
                    faults.push(format!("{topic}: the history is empty, and number {number} is {event}"));
                }
                continue;
            };
            for (number, event) in &self.answered {
                let (of, _) = self.sent[number];
                let is_due = of == topic && event.epoch == newest.epoch && !is_settled(floors, topic, event);
                if is_due && !there.contains(event) {
                    faults.push(format!("{topic}: number {number}, {event}, was answered and is not in the history"));
                }
            }
        }
    }

    /// Every answered event reached every subscription that it matched.
    fn check_arrivals(&self, on: &Subscription, trace: &[Entry], survey: &Survey, faults: &mut Vec<String>) {
        let received = received(on.who, trace);
        for (number, event) in expected(on, trace) {
            if !received.contains(&number) && !survey.dead.contains(&event) {
                let (topic, _) = self.sent[&number];
                faults.push(format!("{}: lost: {topic} {event}, number {number}, which was answered", on.who));
            }
        }
        for number in received {
            let Some((topic, _)) = self.sent.get(&number) else { continue };
            if !on.wants(topic, number) {
                faults.push(format!("{}: got number {number} of {topic}, which it did not ask for", on.who));
            }
        }
    }
}

/// What a subscription gets for the first time comes in the order of the topic, and on one
/// connection of its own so does everything that comes there for the first time. Where several
/// connections read at a time, what the server calls a first attempt does.
fn check_order(on: &Subscription, own: &[&Entry], floors: &Floors, faults: &mut Vec<String>) {
    let mut seen: BTreeSet<&EventId> = BTreeSet::new();
    let mut here: BTreeSet<(u32, &EventId)> = BTreeSet::new();
    let mut newest: BTreeMap<(Option<u32>, &str), &EventId> = BTreeMap::new();
    let mut left: BTreeSet<(&str, &str)> = BTreeSet::new();
    for entry in own {
        let What::Delivered { event, topic, attempt, prev, .. } = &entry.what else { continue };
        if is_settled(floors, topic, event) {
            continue;
        }
        // Without a gap, the one before is known before it is there.
        if prev.is_some_and(|prev| event.offset > 1 && prev + 1 != event.offset) && !topic.starts_with("mixed") {
            faults.push(format!("{}: {topic} {event} says that {prev:?} is before it", on.who));
        }
        let is_first = seen.insert(event);
        let is_first_here = here.insert((entry.connection, event));
        let lanes: [(bool, Option<u32>); 2] = match on.is_group {
            true => [(is_first_here && *attempt <= 1, Some(entry.connection)), (false, None)],
            false => [(is_first_here, Some(entry.connection)), (is_first, None)],
        };
        for (counts, lane) in lanes {
            if !counts {
                continue;
            }
            let Some(before) = newest.insert((lane, topic), event) else { continue };
            let is_behind = before.epoch == event.epoch && before.offset > event.offset;
            let is_back = before.epoch != event.epoch && left.contains(&(topic.as_str(), &*event.epoch));
            if is_behind || (is_back && lane.is_none()) {
                let connection = entry.connection;
                faults.push(format!("{}: {topic} {event} came behind {before}, connection {connection}", on.who));
            }
            if before.epoch != event.epoch && lane.is_none() {
                left.insert((topic, &before.epoch));
            }
        }
    }
}
