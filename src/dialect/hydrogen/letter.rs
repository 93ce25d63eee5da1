//! Dead letters as they are kept and shown, and the commands about them under way.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::consumer_id::ConsumerKey;
use super::reply_to::Reply;
use crate::base::{ConnId, Wall};
use crate::engine::channel::{Letters, LettersOf};
use crate::engine::delivery::{Attempt, DeadLetter, DeadReason, Outcome};
use crate::engine::store::{Record, Seq};
use crate::engine::topic::Epoch;

/// Bytes of letters in one answer.
const LIST_BYTES: usize = 1024 * 1024;

/// A dead letter as it is kept and shown.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Letter {
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
    pub(super) fn of(key: &ConsumerKey, letter: &DeadLetter, record: &Record, died: Wall) -> Option<Letter> {
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
    pub(super) fn record(&self, seq: Seq) -> Option<Record> {
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

/// A command about dead letters, under way.
#[derive(Debug)]
pub(super) struct LettersAsk {
    pub letters: Letters,
    pub reply: Reply,
    /// Letters of a list so far.
    pub rows: Vec<Letter>,
    /// Their bytes.
    pub row_bytes: usize,
    /// Letters replayed or discarded so far.
    pub count: usize,
    /// Ids that are still to be looked at.
    pub ids: Vec<String>,
    /// Letters that were read and are still to be looked at.
    pub read: VecDeque<(Box<str>, Bytes)>,
    /// Behind which letter the next page begins; none if there is no next.
    pub after: Option<Box<str>>,
    /// Whether these subscriptions are still there.
    pub known: BTreeMap<String, bool>,
}

/// What is asked of the home of letters.
#[derive(Debug)]
pub enum LettersPeer {
    /// Deliver this one again.
    Replay(Seq, Bytes),
    /// This one is gone.
    Discarded(ConsumerKey, Seq),
}

impl LettersAsk {
    pub(super) fn of(&self) -> &LettersOf {
        const ALL: &LettersOf = &LettersOf { subscription: None, identity: None, topic: None };
        match &self.letters {
            Letters::List { of, .. } | Letters::ReplayAll(of) | Letters::DiscardAll(of) => of,
            Letters::Replay(_) | Letters::Discard(_) => ALL,
        }
    }

    /// A letter for the list.
    pub(super) fn list(&mut self, letter: Letter, bytes: usize) {
        self.rows.push(letter);
        self.row_bytes += bytes;
    }

    /// Whether the list holds one letter more than it may: the first of the next page. One letter
    /// is listed however large it is.
    pub(super) fn is_full(&self) -> bool {
        let is_large = self.rows.len() > 1 && self.row_bytes > LIST_BYTES;
        is_large || matches!(&self.letters, Letters::List { limit, .. } if self.rows.len() > *limit)
    }

    pub(super) fn answer(mut self) -> Box<str> {
        let answer = match &self.letters {
            Letters::List { .. } => {
                let more = self.is_full();
                if more {
                    self.rows.pop();
                }
                let next = self.rows.last().filter(|_| more).map(|letter| letter.id.clone());
                serde_json::json!({"items": self.rows, "next": next})
            }
            Letters::Replay(_) | Letters::ReplayAll(_) => serde_json::json!({"replayed": self.count}),
            Letters::Discard(_) | Letters::DiscardAll(_) => serde_json::json!({"discarded": self.count}),
        };
        answer.to_string().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(seq: u64) -> Letter {
        let id = format!("d/billing/shop#{seq:016x}");
        let text = format!(
            r#"{{"id":"{id}","topic":"a","event":"1-{seq}","offset":{seq},"published":"","died":"","reason":"rejected",
            "subscription":"billing","session":null,"identity":"shop","deliveries":1,"attempts":[],"payload":1}}"#
        );
        Letter::read(text.as_bytes()).unwrap()
    }

    /// Lists letters of these sizes until the list is full; gives how many are told, and whether
    /// more come.
    fn told(limit: usize, sizes: &[usize]) -> (usize, bool) {
        let of = LettersOf { subscription: None, identity: None, topic: None };
        let mut ask = LettersAsk {
            letters: Letters::List { of, after: None, limit },
            reply: Reply::Nobody,
            rows: Vec::new(),
            row_bytes: 0,
            count: 0,
            ids: Vec::new(),
            read: VecDeque::new(),
            after: None,
            known: BTreeMap::new(),
        };
        for (seq, size) in (1..).zip(sizes) {
            if ask.is_full() {
                break;
            }
            ask.list(letter(seq), *size);
        }
        let answer: serde_json::Value = serde_json::from_str(&ask.answer()).unwrap();
        let items = answer["items"].as_array().unwrap();
        let is_more = !answer["next"].is_null();
        assert!(!is_more || answer["next"] == items.last().unwrap()["id"]);
        (items.len(), is_more)
    }

    #[test]
    fn a_list_ends_at_its_limit_and_before_it_is_too_large() {
        let (kib, large) = (1024, 900 * 1024);
        for (limit, sizes, expected) in [
            (2, vec![kib; 2], (2, false)),
            (2, vec![kib; 9], (2, true)),
            (9, vec![large; 1], (1, false)),
            (9, vec![large; 3], (1, true)),
            (9, vec![2 * large, kib], (1, true)),
            (9, vec![2 * large], (1, false)),
            (9, vec![300 * kib; 5], (3, true)),
            (9, vec![], (0, false)),
        ] {
            assert_eq!(told(limit, &sizes), expected, "{limit} {sizes:?}");
        }
    }

    #[test]
    fn a_key_reads_as_it_was_written() {
        let key = ConsumerKey::Durable { identity: "a#b/c".into(), name: "billing".into() };
        assert_eq!(parse_key(&key_of(&key, Seq(31))), Some((key, Seq(31))));
        assert_eq!(parse_key("d-17"), None);
    }
}
