//! Dead letters: events that a subscription gave up, with the reason and what was tried.
//!
//! A letter is on the disk before its event counts as done. It is kept under its subscription's
//! key and the event's number, so that burying it twice makes one letter.

use bytes::Bytes;
use rand_chacha::rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::super::log::Asked;
use super::super::{Hydrogen, Peer};
use super::{ConsumerId, ConsumerKey};
use crate::base::{ConnId, Metric, Now, Wall};
use crate::engine::channel::LettersOf;
use crate::engine::delivery::{Attempt, DeadLetter, DeadReason, Outcome};
use crate::engine::store::{Answer, Level, Op, Read, Record, Seq, StoreError, Table, Write};
use crate::engine::topic::Epoch;
use crate::engine::work::Outbox;

/// A dead letter as it is kept and shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct Letter {
    pub id: String,
    topic: String,
    event: String,
    offset: u64,
    published: String,
    died: String,
    reason: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    text: String,
    subscription: Option<String>,
    session: Option<String>,
    identity: Option<String>,
    deliveries: u32,
    attempts: Vec<Tried>,
    payload: Box<serde_json::value::RawValue>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tried {
    at: String,
    outcome: String,
    connection: String,
}

pub(super) fn key_of(key: &ConsumerKey, seq: Seq) -> String {
    format!("{key}#{:016x}", seq.0)
}

/// The subscription and the event of a letter's key.
pub(super) fn parse_key(text: &str) -> Option<(ConsumerKey, Seq)> {
    let (key, seq) = text.rsplit_once('#')?;
    Some((ConsumerKey::parse(key)?, Seq(u64::from_str_radix(seq, 16).ok()?)))
}

impl Letter {
    fn of(key: &ConsumerKey, letter: &DeadLetter, record: &Record, died: Wall) -> Option<Letter> {
        let (subscription, session, identity) = match key {
            ConsumerKey::Session(session) => (None, Some(session.to_string()), None),
            ConsumerKey::Durable { identity, name } => (Some(name.to_string()), None, Some(identity.to_string())),
        };
        let text = match &letter.reason {
            DeadReason::Rejected(text) => text.to_string(),
            DeadReason::AttemptsExhausted => String::new(),
        };
        let tried = |attempt: &Attempt| Tried {
            at: attempt.at.to_string(),
            outcome: attempt.outcome.as_str().to_owned(),
            connection: attempt.conn.to_string(),
        };
        Some(Letter {
            id: key_of(key, letter.seq),
            topic: letter.topic.to_string(),
            event: format!("{}-{}", letter.epoch, letter.offset),
            offset: letter.offset,
            published: record.time.to_string(),
            died: died.to_string(),
            reason: letter.reason.as_str().to_owned(),
            text,
            subscription,
            session,
            identity,
            deliveries: letter.deliveries,
            attempts: letter.history.iter().map(tried).collect(),
            payload: serde_json::from_slice(&record.payload).ok()?,
        })
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Letter> {
        serde_json::from_slice(bytes).ok()
    }

    pub(super) fn is_of(&self, of: &LettersOf) -> bool {
        of.subscription.as_ref().is_none_or(|name| self.subscription.as_ref() == Some(name))
            && of.identity.as_ref().is_none_or(|name| self.identity.as_ref() == Some(name))
            && of.topic.as_ref().is_none_or(|topic| self.topic == *topic)
    }

    fn place(&self) -> Option<(Epoch, u64)> {
        let (epoch, _) = self.event.split_once('-')?;
        Some((Epoch::parse(epoch)?, self.offset))
    }

    /// The event that it holds.
    fn record(&self, seq: Seq) -> Option<Record> {
        let (epoch, offset) = self.place()?;
        Some(Record {
            seq,
            topic: self.topic.as_str().into(),
            epoch,
            offset,
            time: Wall::parse(&self.published)?,
            expires: None,
            payload: Bytes::copy_from_slice(self.payload.get().as_bytes()),
        })
    }

    pub(super) fn dead(&self, seq: Seq) -> Option<DeadLetter> {
        let record = self.record(seq)?;
        let tried = |tried: &Tried| {
            Some(Attempt {
                at: Wall::parse(&tried.at)?,
                conn: tried.connection.parse::<ConnId>().ok()?,
                outcome: Outcome::parse(&tried.outcome)?,
            })
        };
        let reason = match self.reason.as_str() {
            "rejected" => DeadReason::Rejected(self.text.as_str().into()),
            _ => DeadReason::AttemptsExhausted,
        };
        Some(DeadLetter {
            seq,
            topic: record.topic.clone(),
            epoch: record.epoch,
            offset: record.offset,
            weight: record.weight(),
            reason,
            deliveries: self.deliveries,
            history: self.attempts.iter().filter_map(tried).collect(),
        })
    }
}

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
        let key = key_of(&held.key, seq);
        let record = match result {
            Ok(Answer::Page(page)) => page.records.first(),
            Ok(_) | Err(_) => return self.on_buried(id, seq, false, now, out),
        };
        let Some(record) = record else {
            // It may have been a dead letter before: then its payload is there.
            let get = Op::Get { table: Table::DeadLetters, key: key.into() };
            self.store.ask(Asked::DyingAgain(id, Box::new(letter)), get, out);
            return;
        };
        match Letter::of(&held.key, &letter, record, now.wall) {
            Some(letter) => self.write_letter(id, seq, &letter, out),
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
        let before = match result {
            Ok(Answer::Value(value)) => value.as_deref().and_then(Letter::read),
            Ok(_) | Err(_) => return self.on_buried(id, seq, false, now, out),
        };
        let record = before.and_then(|before| before.record(seq));
        match record.and_then(|record| Letter::of(&held.key, letter, &record, now.wall)) {
            Some(letter) => self.write_letter(id, seq, &letter, out),
            None => self.on_perished(id, seq, now, out),
        }
    }

    fn write_letter(&mut self, id: ConsumerId, seq: Seq, letter: &Letter, out: &mut Outbox<Peer>) {
        let most = self.settings.delivery.letters_max.div_ceil(self.workers);
        if let Some(held) = self.consumers.of(id)
            && held.letters >= most
        {
            // The oldest of this subscription makes room.
            let (prefix, limit) = (format!("{}#", held.key).into(), 1);
            let scan = Op::Scan { table: Table::DeadLetters, prefix, after: None, limit };
            self.store.ask(Asked::OldestLetter(id), scan, out);
        }
        let value = serde_json::to_vec(letter).unwrap_or_default().into();
        let write = Write::Put {
            table: Table::DeadLetters,
            key: letter.id.as_str().into(),
            value,
            level: Level::Disk,
        };
        self.store.ask(Asked::Buried(id, seq), Op::Write(write), out);
    }

    /// A letter is written, or could not be: then it is tried again later.
    pub(in super::super) fn on_buried(
        &mut self,
        id: ConsumerId,
        seq: Seq,
        is_written: bool,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let random = self.random.next_u64();
        let Some(held) = self.consumers.of_mut(id) else { return };
        if is_written {
            held.letters += 1;
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

    /// The oldest letter of a subscription that has too many.
    pub(in super::super) fn on_oldest_letter(
        &mut self,
        id: ConsumerId,
        result: &Result<Answer, StoreError>,
        out: &mut Outbox<Peer>,
    ) {
        let Ok(Answer::Values(values)) = result else { return };
        for seq in values.iter().filter_map(|(key, _)| Some(parse_key(key)?.1)) {
            self.counters.inc(Metric::LETTERS_EVICTED);
            self.forget_letter(id, seq, out);
        }
    }

    /// A letter goes.
    pub(super) fn forget_letter(&mut self, id: ConsumerId, seq: Seq, out: &mut Outbox<Peer>) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.letters = held.letters.saturating_sub(1);
        let key = key_of(&held.key, seq).into();
        let write = Write::Delete { table: Table::DeadLetters, key, level: Level::Memory };
        self.store.ask(Asked::Nothing, Op::Write(write), out);
    }

    /// Payloads of letters that are delivered again. The consumer asks for no more until it has them.
    pub(super) fn fetch_letters(&mut self, id: ConsumerId, seqs: Vec<Seq>, out: &mut Outbox<Peer>) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.fetching = (seqs.len(), Vec::new());
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
        if let Ok(Answer::Value(Some(value))) = result {
            records.extend(Letter::read(value).and_then(|letter| letter.record(seq)));
        }
        if *waits == 0 {
            let records = std::mem::take(records);
            self.on_fetched(id, Some(records), now, out);
        }
    }
}
