//! What the runs reached, over all seeds: a check that never meets what it checks proves nothing.

use std::collections::BTreeMap;

use crate::world::World;

/// Ends of connections that the default seeds must meet.
const REASONS: &[&str] = &[
    "handshake_timeout",
    "handshake_eof",
    "handshake_error",
    "bad_request",
    "unauthenticated",
    "forbidden",
    "rate_limited",
    "blocked_at_handshake",
    "server_full",
    "draining_at_handshake",
    "http_done",
    "peer_closed",
    "peer_eof",
    "peer_reset",
    "draining",
    "protocol_error",
    "invalid_utf8",
    "message_too_large",
    "bad_messages",
    "blocked",
    "authentication_failed",
    "slow_consumer",
    "credential_expired",
    "idle",
    "disconnected",
];

/// Errors that the default seeds must meet.
const CODES: &[&str] = &[
    "bad_json",
    "bad_type",
    "bad_signature",
    "conflict",
    "draining",
    "expired",
    "forbidden",
    "internal",
    "no_handler",
    "not_found",
    "rate_limited",
    "replayed",
    "timeout",
    "too_large",
    "unauthenticated",
    "unsupported",
];

/// Other things that must happen, each more than once.
const FIGURES: &[&str] = &["conflated", "dropped and told", "events", "open to the last check", "replays", "responses"];

/// Sums over runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    reasons: BTreeMap<&'static str, u64>,
    codes: BTreeMap<String, u64>,
    figures: BTreeMap<&'static str, u64>,
}

impl Tally {
    pub fn of(world: &World) -> Tally {
        let mut tally = Tally { codes: world.shadow.codes.clone(), ..Tally::default() };
        for book in &world.shadow.books {
            if let Some(reason) = book.end {
                *tally.reasons.entry(reason.as_str()).or_default() += 1;
            }
            for (name, count) in [
                ("events", book.events),
                ("dropped and told", book.told_dropped),
                ("open to the last check", u64::from(book.is_checked)),
                ("replays", book.grants.iter().map(|grant| grant.replayed.len() as u64).sum()),
                ("responses", book.responses),
            ] {
                *tally.figures.entry(name).or_default() += count;
            }
        }
        let conflated = world.registry.figures().count(hydrogen::base::Metric::EVENTS_DROPPED.at(1));
        tally.figures.insert("conflated", conflated);
        tally
    }

    pub fn add(&mut self, other: Tally) {
        for (name, count) in other.reasons {
            *self.reasons.entry(name).or_default() += count;
        }
        for (name, count) in other.codes {
            *self.codes.entry(name).or_default() += count;
        }
        for (name, count) in other.figures {
            *self.figures.entry(name).or_default() += count;
        }
    }

    /// What should have been met and was not.
    pub fn gaps(&self) -> Vec<&'static str> {
        let reasons = REASONS.iter().filter(|name| !self.reasons.contains_key(**name));
        let codes = CODES.iter().filter(|name| !self.codes.contains_key(**name));
        let figures = FIGURES.iter().filter(|name| self.figures.get(**name).is_none_or(|count| *count < 2));
        reasons.chain(codes).chain(figures).copied().collect()
    }

    pub fn print(&self) {
        println!("ends: {:?}\nerrors: {:?}\nfigures: {:?}", self.reasons, self.codes, self.figures);
    }
}
