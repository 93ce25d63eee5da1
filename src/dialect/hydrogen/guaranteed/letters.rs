//! Dead letters: events that a subscription gave up, with the reason and what was tried.
//!
//! A letter is on the disk before its event counts as done. It is kept under its subscription's
//! key and the event's number, so that burying it twice makes one letter.

use rand_chacha::rand_core::Rng;

use super::super::asked::Asked;
use super::super::consumer_id::{ConsumerId, ConsumerKey};
use super::super::letter::{Letter, LettersPeer, key_of};
use super::super::{Hydrogen, HydrogenSettings, Peer};
use crate::base::{Metric, Now};
use crate::engine::delivery::DeadLetter;
use crate::engine::store::{Answer, Level, Op, Read, Seq, StoreError, Table, Write};
use crate::engine::work::Outbox;

/// Letters that are being taken away at a time.
const EVICTIONS: usize = 64;

impl Hydrogen {
    /// A consumer gives an event up: its payload is fetched, and the letter written.
    pub(super) fn bury(&mut self, id: ConsumerId, letter: DeadLetter, out: &mut Outbox<Peer>) {
        let seqs = vec![letter.seq];
        self.store.ask(Asked::Dying(id, Box::new(letter)), Op::Read(Read::Seqs { seqs }), out);
    }

    /// The payload of an event that is given up was read.
    pub(in super::super) fn on_dying(
        &mut self,
        id: ConsumerId,
        letter: DeadLetter,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let seq = letter.seq;
        let Some(held) = self.consumers.of_mut(id) else { return };
        let key = held.key.clone();
        let record = match result {
            Ok(Answer::Page(page)) => page.records.first(),
            Ok(_) | Err(_) => return self.on_buried(&key, seq, false, now, out),
        };
        let Some(record) = record else {
            // It may have been a dead letter before: then its payload is there.
            let get = Op::Get { table: Table::DeadLetters, key: key_of(&key, seq).into() };
            self.store.ask(Asked::DyingAgain(id, Box::new(letter)), get, out);
            return;
        };
        match Letter::of(&key, &letter, record, now.wall) {
            Some(letter) => self.write_letter(key, seq, &letter, out),
            None => self.on_perished(id, seq, now, out),
        }
    }

    /// The letter that an event was before was read.
    pub(in super::super) fn on_dying_again(
        &mut self,
        id: ConsumerId,
        letter: &DeadLetter,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let seq = letter.seq;
        let Some(held) = self.consumers.of_mut(id) else { return };
        let key = held.key.clone();
        let before = match result {
            Ok(Answer::Value(value)) => value.as_deref().and_then(Letter::read),
            Ok(_) | Err(_) => return self.on_buried(&key, seq, false, now, out),
        };
        let record = before.and_then(|before| before.record(seq));
        match record.and_then(|record| Letter::of(&key, letter, &record, now.wall)) {
            Some(letter) => self.write_letter(key, seq, &letter, out),
            None => self.on_perished(id, seq, now, out),
        }
    }

    fn write_letter(&mut self, key: ConsumerKey, seq: Seq, letter: &Letter, out: &mut Outbox<Peer>) {
        let value = serde_json::to_vec(letter).unwrap_or_default().into();
        let write = Write::Put { table: Table::DeadLetters, key: letter.id.as_str().into(), value, level: Level::Disk };
        self.store.ask(Asked::Buried(key, seq), Op::Write(write), out);
    }

    /// A letter is written, or could not be: then it is tried again later.
    pub(in super::super) fn on_buried(
        &mut self,
        key: &ConsumerKey,
        seq: Seq,
        is_written: bool,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let id = key.id();
        let random = self.random.next_u64();
        if is_written {
            // Also if its subscription has ended meanwhile: the letter is there.
            self.consumers.letters.insert(&key.to_string(), seq);
            self.evict_letters(out);
        }
        let Some(held) = self.consumers.of_mut(id) else { return };
        if is_written {
            held.consumer.buried(seq);
            self.counters.inc(Metric::EVENTS_DEAD);
        } else {
            held.consumer.not_buried(seq, now.mono, random);
        }
        self.carry_out(id, Vec::new(), now, out);
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    fn on_perished(&mut self, id: ConsumerId, seq: Seq, now: Now, out: &mut Outbox<Peer>) {
        let mut effects = Vec::new();
        if let Some(held) = self.consumers.of_mut(id) {
            held.consumer.perished(seq, &mut effects);
        }
        self.carry_out(id, effects, now, out);
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    /// Letters beyond the bound go: a few at a time, the oldest of whoever has most first.
    fn evict_letters(&mut self, out: &mut Outbox<Peer>) {
        let most = HydrogenSettings::share(self.settings.delivery.letters_max, self.workers);
        while self.consumers.evicting < EVICTIONS
            && let Some((key, seq)) = self.consumers.letters.pop_surplus(most)
        {
            self.consumers.evicting += 1;
            let letter = format!("{key}#{:016x}", seq.0).into();
            let write = Write::Delete { table: Table::DeadLetters, key: letter, level: Level::Memory };
            self.store.ask(Asked::Evicted(key, seq), Op::Write(write), out);
        }
    }

    /// A letter made room, or could not be taken away: then the next burial tries again.
    pub(in super::super) fn on_evicted(&mut self, key: &str, seq: Seq, is_done: bool, out: &mut Outbox<Peer>) {
        self.consumers.evicting = self.consumers.evicting.saturating_sub(1);
        if is_done {
            self.counters.inc(Metric::LETTERS_EVICTED);
            self.evict_letters(out);
        } else {
            self.consumers.letters.insert(key, seq);
        }
    }

    /// A letter goes: its event was acked.
    pub(super) fn forget_letter(&mut self, id: ConsumerId, seq: Seq, out: &mut Outbox<Peer>) {
        let Some(held) = self.consumers.of(id) else { return };
        let key = held.key.clone();
        self.delete_letter(key, seq, out);
    }

    /// Takes a letter away, wherever it is at home.
    pub(super) fn delete_letter(&mut self, key: ConsumerKey, seq: Seq, out: &mut Outbox<Peer>) {
        let letter = key_of(&key, seq).into();
        let write = Write::Delete { table: Table::DeadLetters, key: letter, level: Level::Memory };
        self.store.ask(Asked::Forgotten(key, seq), Op::Write(write), out);
    }

    /// A letter is gone: its home counts one less.
    pub(in super::super) fn on_forgotten(&mut self, key: ConsumerKey, seq: Seq, now: Now, out: &mut Outbox<Peer>) {
        self.send_letters(key.id(), LettersPeer::Discarded(key, seq), now, out);
    }

    /// Payloads of letters that are delivered again. The consumer asks for no more until it has them.
    pub(super) fn fetch_letters(&mut self, id: ConsumerId, seqs: Vec<Seq>, out: &mut Outbox<Peer>) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.fetching = (seqs.len(), Some(Vec::new()));
        for seq in seqs {
            let key = key_of(&held.key, seq).into();
            self.store.ask(Asked::FetchedLetter(id, seq), Op::Get { table: Table::DeadLetters, key }, out);
        }
    }

    /// One letter's payload was read for its subscription.
    pub(in super::super) fn on_fetched_letter(
        &mut self,
        id: ConsumerId,
        seq: Seq,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        let (waits, records) = &mut held.fetching;
        *waits = waits.saturating_sub(1);
        match result {
            Ok(Answer::Value(None)) => {}
            Ok(Answer::Value(Some(value))) => {
                if let Some(records) = records {
                    records.extend(Letter::read(value).and_then(|letter| letter.record(seq)));
                }
            }
            // What could not be read is not gone: all of them are asked for again.
            Ok(_) | Err(_) => *records = None,
        }
        if *waits == 0 {
            let records = records.take();
            self.on_fetched(id, records, now, out);
        }
    }
}
