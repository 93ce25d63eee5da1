//! Commands about dead letters: shown, delivered again, forgotten. A long list is walked page by
//! page, so that nobody waits behind it.

use bytes::Bytes;

use super::super::asked::Asked;
use super::super::consumer_id::ConsumerId;
use super::super::letter::{Letter, LettersAsk, LettersPeer, parse_key};
use super::super::reply_to::Reply;
use super::super::{Hydrogen, Peer};
use crate::base::{Code, Error, Now};
use crate::engine::channel::Letters;
use crate::engine::store::{Answer, Level, Op, StoreError, Table, Write};
use crate::engine::work::Outbox;

/// Letters read at a time.
const PAGE: usize = 128;

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
        ids.sort_unstable();
        ids.dedup();
        let after = match &letters {
            Letters::List { after, .. } => after.as_deref().map(Into::into),
            Letters::Replay(_) | Letters::ReplayAll(_) | Letters::Discard(_) | Letters::DiscardAll(_) => None,
        };
        let ask = LettersAsk { letters, reply, rows: Vec::new(), count: 0, ids };
        self.next_letters(ask, after, now, out);
        Ok(())
    }

    /// Asks for what comes next, or answers.
    fn next_letters(&mut self, mut ask: LettersAsk, after: Option<Box<str>>, now: Now, out: &mut Outbox<Peer>) {
        let table = Table::DeadLetters;
        if matches!(ask.letters, Letters::Replay(_) | Letters::Discard(_)) {
            match ask.ids.pop() {
                Some(id) => {
                    let key: Box<str> = id.into();
                    self.store.ask(Asked::Letter(key.clone(), Box::new(ask)), Op::Get { table, key }, out);
                }
                None => self.reply(ask.reply, Ok(ask.answer()), now, out),
            }
            return;
        }
        let prefix = ask.of().subscription.as_ref().map_or_else(String::new, |name| format!("d/{name}/"));
        let scan = Op::Scan { table, prefix: prefix.into(), after, limit: PAGE };
        self.store.ask(Asked::Letters(Box::new(ask)), scan, out);
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
        for (key, value) in values {
            self.take_letter(&mut ask, key, value, now, out);
            if ask.is_full() {
                break;
            }
        }
        let last = values.last().filter(|_| values.len() == PAGE && !ask.is_full());
        match last {
            Some((key, _)) => self.next_letters(ask, Some(key.clone()), now, out),
            None => self.reply(ask.reply, Ok(ask.answer()), now, out),
        }
    }

    /// One letter that was named was looked up.
    pub(in super::super) fn on_letter(
        &mut self,
        key: &str,
        mut ask: LettersAsk,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        match result {
            Ok(Answer::Value(Some(value))) => self.take_letter(&mut ask, key, value, now, out),
            Ok(_) => {}
            Err(error) => return self.reply(ask.reply, Err(error.error()), now, out),
        }
        self.next_letters(ask, None, now, out);
    }

    fn take_letter(&mut self, ask: &mut LettersAsk, text: &str, value: &Bytes, now: Now, out: &mut Outbox<Peer>) {
        let Some((key, seq)) = parse_key(text) else { return };
        let Some(letter) = Letter::read(value).filter(|letter| letter.is_of(ask.of())) else { return };
        match &ask.letters {
            Letters::List { .. } => ask.rows.push(letter),
            Letters::Replay(_) | Letters::ReplayAll(_) => {
                ask.count += 1;
                self.send_letters(key.id(), LettersPeer::Replay(seq, value.clone()), now, out);
            }
            Letters::Discard(_) | Letters::DiscardAll(_) => {
                ask.count += 1;
                let write = Write::Delete { table: Table::DeadLetters, key: text.into(), level: Level::Memory };
                self.store.ask(Asked::Nothing, Op::Write(write), out);
                self.send_letters(key.id(), LettersPeer::Discarded, now, out);
            }
        }
    }

    fn send_letters(&mut self, id: ConsumerId, what: LettersPeer, now: Now, out: &mut Outbox<Peer>) {
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
        let Some(held) = self.consumers.of_mut(id) else { return };
        match what {
            LettersPeer::Replay(seq, value) => {
                if let Some(letter) = Letter::read(&value).and_then(|letter| letter.dead(seq)) {
                    held.consumer.replay(letter, now.mono);
                }
            }
            LettersPeer::Discarded => held.letters = held.letters.saturating_sub(1),
        }
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }
}
