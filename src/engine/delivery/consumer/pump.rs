//! What comes next: events that are sent again, then events that were missed.

use super::Consumer;
use super::effect::{Effect, Source};
use super::flight::{Flight, Name, State};
use crate::base::limits::DELIVERY_PAGE;
use crate::base::{Mono, Now};
use crate::engine::store::{Page, Record, Seq};
use crate::engine::topic::Payload;

/// A page that was asked for.
#[derive(Debug)]
pub(super) struct Reading {
    pub after: Seq,
    pub through: Seq,
    /// It was asked for with other selectors, or too much of it was trimmed.
    pub is_stale: bool,
    /// What was trimmed and counted since.
    pub trimmed: Vec<Seq>,
}

/// Single events that were asked for.
#[derive(Debug)]
pub(super) struct Fetching {
    source: Source,
    seqs: Vec<Seq>,
}

impl Consumer {
    /// Decides what comes next. Called after every step; without a step in between, a second call
    /// orders nothing.
    pub fn pump(&mut self, now: Mono, out: &mut Vec<Effect>) {
        if !self.members.is_any_started() || self.rests_until.is_some_and(|until| now < until) {
            return;
        }
        if self.flights.has_unsent() {
            self.fetch(out);
        } else {
            self.read(out);
        }
    }

    /// The events that were fetched. What is missing is gone from the store.
    pub fn on_fetched(&mut self, mut records: Vec<Record>, now: Now, out: &mut Vec<Effect>) {
        let Some(Fetching { source, seqs }) = self.fetching.take() else { return };
        self.failures = 0;
        let mut expired = 0;
        let mut is_full = false;
        records.sort_unstable_by_key(|record| std::cmp::Reverse(record.seq));
        for seq in seqs {
            while records.last().is_some_and(|record| record.seq < seq) {
                records.pop();
            }
            let record = records.pop_if(|record| record.seq == seq);
            let is_wanted = |flight: &&Flight| flight.state == State::Unsent && flight.source == source;
            if self.flights.flight(seq).filter(is_wanted).is_none() {
                continue;
            }
            match record {
                None => {
                    self.finish(seq);
                    // A dead letter that was discarded did not expire.
                    expired += u64::from(source == Source::Log);
                }
                Some(record) if source == Source::Log && record.is_expired(now.wall) => {
                    self.finish(seq);
                    expired += 1;
                }
                Some(record) if source == Source::Log && !self.selectors.name(&record.topic) => drop(self.finish(seq)),
                // What came back meanwhile and is older goes first: this is fetched again after it.
                Some(record) if !is_full && self.flights.unsent().next() == Some(seq) => {
                    is_full = !self.send_again(record, now, out);
                }
                Some(_) => {}
            }
        }
        count(expired, out);
    }

    /// The page that was read.
    pub fn on_page(&mut self, page: Page, now: Now, out: &mut Vec<Effect>) {
        let Some(reading) = self.reading.take() else { return };
        self.failures = 0;
        // What is to be sent again goes before anything newer: the page is read again after it.
        if reading.is_stale || self.position != Some(reading.after) || self.flights.has_unsent() {
            return;
        }
        let mut at = reading.after;
        let mut expired = 0;
        let mut is_full = false;
        for record in page.records {
            if record.seq <= at {
                continue;
            }
            let seq = record.seq;
            let counts = !self.flights.contains(seq)
                && !reading.trimmed.contains(&seq)
                && self.selectors.take(&record, &mut Payload::new(&record.payload));
            if counts && record.is_expired(now.wall) {
                expired += 1;
            } else if counts && !self.send(record, now, out) {
                is_full = true;
                break;
            }
            at = seq;
        }
        if !is_full {
            at = at.max(page.through.min(reading.through));
            self.next_weight = 0;
        }
        if at > reading.after {
            self.is_dirty = true;
        }
        self.position = Some(at).filter(|at| *at < self.head);
        count(expired, out);
    }

    /// The page could not be read: it is asked for again later.
    pub fn on_read_failed(&mut self, now: Mono, random: u64) {
        if self.reading.take().is_some() {
            self.rest(now, random);
        }
    }

    /// The events could not be fetched: they are asked for again later.
    pub fn on_fetch_failed(&mut self, now: Mono, random: u64) {
        if self.fetching.take().is_some() {
            self.rest(now, random);
        }
    }

    fn rest(&mut self, now: Mono, random: u64) {
        self.failures = self.failures.saturating_add(1);
        self.rests_until = Some(now.after(self.settings.backoff.wait(self.failures, random, 0)));
    }

    fn fetch(&mut self, out: &mut Vec<Effect>) {
        let bytes_max = self.settings.window_bytes;
        let first = self.flights.unsent().next().and_then(|seq| self.flights.flight(seq));
        let Some((weight, source)) = first.map(|flight| (flight.weight, flight.source)) else { return };
        if self.fetching.is_some() || self.members.choose(weight, bytes_max).is_none() {
            return;
        }
        let mut room = self.members.room(bytes_max).max(weight);
        let mut seqs = Vec::new();
        for seq in self.flights.unsent().take(DELIVERY_PAGE) {
            let Some(flight) = self.flights.flight(seq) else { break };
            if flight.source != source || flight.weight > room {
                break;
            }
            room -= flight.weight;
            seqs.push(seq);
        }
        self.fetching = Some(Fetching { source, seqs: seqs.clone() });
        out.push(Effect::Fetch { source, seqs });
    }

    fn read(&mut self, out: &mut Vec<Effect>) {
        let Some(after) = self.position else { return };
        if self.reading.is_some() {
            return;
        }
        let patterns = self.selectors.patterns();
        if after >= self.head || patterns.is_empty() {
            self.position = None;
            self.is_dirty = true;
            return;
        }
        let bytes_max = self.settings.window_bytes;
        let room = self.settings.window.max(1).saturating_sub(self.flights.len());
        if room == 0 || self.members.choose(self.next_weight.max(1), bytes_max).is_none() {
            return;
        }
        let through = self.head;
        self.reading = Some(Reading { after, through, is_stale: false, trimmed: Vec::new() });
        let (limit, bytes) = (room.min(DELIVERY_PAGE), self.members.room(bytes_max));
        out.push(Effect::Read { patterns, after, through, limit, bytes });
    }

    /// An event's first time. Returns false if there is no room for it.
    fn send(&mut self, record: Record, now: Now, out: &mut Vec<Effect>) -> bool {
        if self.flights.len() >= self.settings.window.max(1) {
            return false;
        }
        let weight = record.weight();
        let Some(member) = self.members.choose(weight, self.settings.window_bytes) else {
            self.next_weight = weight;
            return false;
        };
        self.next_weight = 0;
        let deadline = now.mono.after(self.settings.ack_timeout);
        self.flights.insert(record.seq, Flight::first(&record, member, now.mono, deadline));
        self.members.charge(member, weight);
        out.push(Effect::Send { member, attempt: 1, record });
        true
    }

    /// Another attempt. Returns false if there is no room for it.
    fn send_again(&mut self, record: Record, now: Now, out: &mut Vec<Effect>) -> bool {
        let seq = record.seq;
        self.flights.name(seq, Name::of(&record), record.weight());
        let Some(member) = self.members.choose(record.weight(), self.settings.window_bytes) else { return false };
        let deadline = now.mono.after(self.settings.ack_timeout);
        self.enter(seq, State::Sent { member, deadline });
        let Some(flight) = self.flights.flight_mut(seq) else { return true };
        flight.holder = Some(member);
        flight.deliveries = flight.deliveries.saturating_add(1);
        out.push(Effect::Send { member, attempt: flight.deliveries, record });
        true
    }
}

/// Reports what expired, if anything did.
pub(super) fn count(expired: u64, out: &mut Vec<Effect>) {
    if expired > 0 {
        out.push(Effect::Expired(expired));
    }
}
