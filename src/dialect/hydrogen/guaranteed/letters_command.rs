//! Commands about dead letters: shown, delivered again, forgotten. A long list is walked page by
//! page, so that nobody waits behind it.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use super::super::asked::Asked;
use super::super::consumer_id::ConsumerId;
use super::super::letter::{Letter, LettersAsk, LettersPeer, parse_key};
use super::super::reply_to::Reply;
use super::super::{Hydrogen, Peer};
use crate::base::{Code, Error, Now};
use crate::engine::channel::Letters;
use crate::engine::store::{Answer, Op, StoreError, Table};
use crate::engine::work::Outbox;

/// Letters read at a time.
const PAGE: usize = 32;

impl Hydrogen {
    /// A command about dead letters.
    pub(in super::super) fn on_letters_command(
        &mut self,
        letters: Letters,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<(), Error> {
        let mut ids = match &letters {
            Letters::Replay(ids) | Letters::Discard(ids) => ids.clone(),
            Letters::List { .. } | Letters::ReplayAll(_) | Letters::DiscardAll(_) => Vec::new(),
        };
        if let Some(id) = ids.iter().find(|id| parse_key(id).is_none()) {
            return Err(Error::new(Code::BadData, format!("data.ids: {id:?} is no dead letter's id")));
        }
        // They are taken from the end: the oldest first.
        ids.sort_unstable_by(|one, other| other.cmp(one));
        ids.dedup();
        let (after, is_begun) = match &letters {
            Letters::List { after, .. } => (after.as_deref().map(Into::into), false),
            Letters::ReplayAll(_) | Letters::DiscardAll(_) => (None, false),
            Letters::Replay(_) | Letters::Discard(_) => (None, true),
        };
        let mut ask = LettersAsk {
            letters,
            reply,
            rows: Vec::new(),
            row_bytes: 0,
            count: 0,
            ids,
            read: VecDeque::new(),
            after: None,
            known: BTreeMap::new(),
        };
        if is_begun {
            self.next_letters(ask, now, out);
        } else {
            ask.after = after;
            self.read_letters(ask, out);
        }
        Ok(())
    }

    /// Asks for the next page.
    fn read_letters(&mut self, mut ask: LettersAsk, out: &mut Outbox<Peer>) {
        let prefix = ask.of().subscription.as_ref().map_or_else(String::new, |name| format!("d/{name}/"));
        let after = ask.after.take();
        let scan = Op::Scan { table: Table::DeadLetters, prefix: prefix.into(), after, limit: PAGE };
        self.store.ask(Asked::Letters(Box::new(ask)), scan, out);
    }

    /// Looks at what was read, asks for what comes next, or answers.
    fn next_letters(&mut self, mut ask: LettersAsk, now: Now, out: &mut Outbox<Peer>) {
        while let Some((key, value)) = ask.read.pop_front() {
            if ask.is_full() {
                break;
            }
            let replays = matches!(ask.letters, Letters::Replay(_) | Letters::ReplayAll(_));
            let of = key.rsplit_once('#').map_or(&*key, |(of, _)| of).to_owned();
            match ask.known.get(&of) {
                // A subscription that is over gets nothing any more.
                Some(false) if replays => {}
                None if replays => {
                    ask.read.push_front((key, value));
                    let get = Op::Get { table: Table::Subscriptions, key: of.as_str().into() };
                    self.store.ask(Asked::LettersOf(of, Box::new(ask)), get, out);
                    return;
                }
                Some(_) | None => self.take_letter(&mut ask, &key, &value, now, out),
            }
        }
        if let Some(id) = ask.ids.pop() {
            let (table, key): (_, Box<str>) = (Table::DeadLetters, id.into());
            self.store.ask(Asked::Letter(key.clone(), Box::new(ask)), Op::Get { table, key }, out);
        } else if ask.after.is_some() && !ask.is_full() {
            self.read_letters(ask, out);
        } else {
            self.reply(ask.reply, Ok(ask.answer()), now, out);
        }
    }

    /// A page of letters was read.
    pub(in super::super) fn on_letters(
        &mut self,
        mut ask: LettersAsk,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let values = match result {
            Ok(Answer::Values(values)) => values,
            Ok(_) => return self.reply(ask.reply, Err(Error::new(Code::Internal, "no letters came")), now, out),
            Err(error) => return self.reply(ask.reply, Err(error.error()), now, out),
        };
        ask.after = values.last().filter(|_| values.len() == PAGE).map(|(key, _)| key.clone());
        ask.read = values.iter().cloned().collect();
        self.next_letters(ask, now, out);
    }

    /// One letter that was named was looked up.
    pub(in super::super) fn on_letter(
        &mut self,
        key: Box<str>,
        mut ask: LettersAsk,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        match result {
            Ok(Answer::Value(value)) => ask.read.extend(value.clone().map(|value| (key, value))),
            Ok(_) => {}
            Err(error) => return self.reply(ask.reply, Err(error.error()), now, out),
        }
        self.next_letters(ask, now, out);
    }

    /// Whether a letter's subscription is still there was looked up.
    pub(in super::super) fn on_letters_of(
        &mut self,
        of: String,
        mut ask: LettersAsk,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        match result {
            Ok(answer) => ask.known.insert(of, matches!(answer, Answer::Value(Some(_)))),
            Err(error) => return self.reply(ask.reply, Err(error.error()), now, out),
        };
        self.next_letters(ask, now, out);
    }

    fn take_letter(&mut self, ask: &mut LettersAsk, text: &str, value: &Bytes, now: Now, out: &mut Outbox<Peer>) {
        let Some((key, seq)) = parse_key(text) else { return };
        let Some(letter) = Letter::read(value).filter(|letter| letter.is_of(ask.of())) else { return };
        match &ask.letters {
            Letters::List { .. } => ask.list(letter, value.len()),
            Letters::Replay(_) | Letters::ReplayAll(_) => {
                ask.count += 1;
                self.send_letters(key.id(), LettersPeer::Replay(seq, value.clone()), now, out);
            }
            Letters::Discard(_) | Letters::DiscardAll(_) => {
                ask.count += 1;
                self.delete_letter(key, seq, out);
            }
        }
    }

    pub(super) fn send_letters(&mut self, id: ConsumerId, what: LettersPeer, now: Now, out: &mut Outbox<Peer>) {
        let home = self.home(id);
        if home == self.worker {
            self.on_letters_peer(id, what, now, out);
        } else {
            out.peers.push((home, Peer::Letters { id, what }));
        }
    }

    /// The home of a letter delivers it again, or hears that it is forgotten.
    pub(in super::super) fn on_letters_peer(
        &mut self,
        id: ConsumerId,
        what: LettersPeer,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        match what {
            LettersPeer::Replay(seq, value) => {
                let Some(held) = self.consumers.of_mut(id) else { return };
                if let Some(letter) = Letter::read(&value).and_then(|letter| letter.dead(seq)) {
                    held.replay_later(letter);
                }
                self.consumers.touch(id);
                self.pump_touched(now, out);
            }
            LettersPeer::Discarded(key, seq) => self.consumers.letters.remove(&key.to_string(), seq),
        }
    }
}
