//! What may come twice. An ack that was processed before the server was killed may be forgotten;
//! one that was processed in this life may not.

use std::collections::BTreeMap;

use super::{Floors, Subscription, Survey, is_settled};
use crate::trace::{Entry, EventId, What};

/// What subscriptions ask for, in milliseconds.
pub const ACK_TIMEOUT_MS: u64 = 1500;

/// A repeat that was on its way when the ack was processed comes within this time.
const ON_ITS_WAY_NS: u64 = 500_000_000;

/// An ack this soon after the delivery cannot have met a repeat.
const PROMPT_NS: u64 = ACK_TIMEOUT_MS * 1_000_000 / 2;

/// Without an ack, a repeat on the same connection cannot come sooner. It is less than the timeout,
/// because the repeat's wait has some chance in it and the first may have waited in a socket.
const EARLIEST_NS: u64 = ACK_TIMEOUT_MS * 1_000_000 / 4;

/// The ack of an event.
#[derive(Clone, Copy)]
struct Ack {
    life: u32,
    connection: u32,
    is_prompt: bool,
    is_reject: bool,
    /// When it was known to be processed.
    confirmed_ns: Option<u64>,
}

#[derive(Clone, Copy)]
struct Last {
    at_ns: u64,
    connection: u32,
    ack: Option<Ack>,
}

pub fn check(on: &Subscription, own: &[&Entry], survey: &Survey, floors: &Floors, faults: &mut Vec<String>) {
    let mut lives: BTreeMap<u32, (u32, u64)> = BTreeMap::new();
    let mut events: BTreeMap<&EventId, Last> = BTreeMap::new();
    // Acks on a connection that no ping has come behind, and those that each ping has before it.
    let mut loose: BTreeMap<u32, Vec<&EventId>> = BTreeMap::new();
    let mut before: BTreeMap<(u32, u64), Vec<&EventId>> = BTreeMap::new();
    for entry in own {
        let connection = entry.connection;
        match &entry.what {
            What::Opened { life } => {
                lives.insert(connection, (*life, entry.at_ns));
            }
            What::Delivered { event, topic, number, .. } => {
                if is_settled(floors, topic, event) {
                    continue;
                }
                let (life, opened_ns) = lives.get(&connection).copied().unwrap_or_default();
                let last = events.get(event);
                if let Some(why) = last.and_then(|last| why_not(last, entry, life, opened_ns)) {
                    faults.push(format!("{}: {topic} {event}, number {number}, came again {why}", on.who));
                }
                // A prompt ack still counts when what was on its way has come.
                let ack = last.and_then(|last| last.ack).filter(|ack| ack.life == life);
                events.insert(event, Last { at_ns: entry.at_ns, connection, ack });
            }
            What::Acked { events: acked } => {
                for event in acked {
                    settle(&mut events, event, entry, &lives, false);
                    loose.entry(connection).or_default().push(event);
                }
            }
            What::Rejected { event } => {
                settle(&mut events, event, entry, &lives, true);
                loose.entry(connection).or_default().push(event);
            }
            What::Pinged { ping } => {
                before.insert((connection, *ping), loose.remove(&connection).unwrap_or_default());
            }
            What::Confirmed { ping } => {
                for event in before.remove(&(connection, *ping)).unwrap_or_default() {
                    let ack = events.get_mut(event).and_then(|last| last.ack.as_mut());
                    if let Some(ack) = ack.filter(|ack| ack.connection == connection) {
                        ack.confirmed_ns.get_or_insert(entry.at_ns);
                    }
                }
            }
            What::Subscribed | What::Sent { .. } | What::Answered { .. } | What::Broken { .. } => {}
        }
    }
    for (event, last) in &events {
        let is_refused = last.ack.is_some_and(|ack| ack.is_reject && ack.confirmed_ns.is_some());
        if is_refused && !survey.dead.contains(*event) {
            faults.push(format!("{}: {event} was refused and is not among the dead letters", on.who));
        }
    }
}

fn settle<'a>(
    events: &mut BTreeMap<&'a EventId, Last>,
    event: &'a EventId,
    entry: &Entry,
    lives: &BTreeMap<u32, (u32, u64)>,
    is_reject: bool,
) {
    let connection = entry.connection;
    let life = lives.get(&connection).map_or(0, |(life, _)| *life);
    let Some(last) = events.get_mut(event) else { return };
    // Acked once in this life is acked.
    if last.ack.is_some_and(|ack| ack.life == life && ack.confirmed_ns.is_some()) {
        return;
    }
    let is_prompt = last.connection == connection && entry.at_ns - last.at_ns < PROMPT_NS;
    last.ack = Some(Ack { life, connection, is_prompt, is_reject, confirmed_ns: None });
}

/// Why this delivery may not be, after the last of the same event.
fn why_not(last: &Last, now: &Entry, life: u32, opened_ns: u64) -> Option<&'static str> {
    match last.ack {
        Some(ack) if ack.life == life => {
            let confirmed_ns = ack.confirmed_ns?;
            let is_late = now.at_ns > confirmed_ns + ON_ITS_WAY_NS;
            // It subscribed when there was nothing left to be on its way.
            let is_elsewhere = opened_ns > confirmed_ns + ON_ITS_WAY_NS / 5;
            let is_same = ack.connection == now.connection && ack.is_prompt;
            (is_late || is_elsewhere || is_same).then_some("although its ack had been processed in this life")
        }
        // The server was killed since.
        Some(_) => None,
        None => {
            let is_early = last.connection == now.connection && now.at_ns - last.at_ns < EARLIEST_NS;
            is_early.then_some("on the same connection, before the ack's time was over")
        }
    }
}
