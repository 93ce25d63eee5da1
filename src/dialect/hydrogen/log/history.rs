//! What a topic keeps: read from its log, or what it retains if it has none.

use std::sync::Arc;

use super::super::asked::{Asked, HistoryAsk};
use super::super::reply_to::Reply;
use super::super::stored::{encode_event, payload_of};
use super::super::{Hydrogen, Peer};
use crate::base::{Code, Error, Now, Wall};
use crate::engine::channel::Since;
use crate::engine::store::{Answer, Op, Page, Read, StoreError};
use crate::engine::wire::Raw;
use crate::engine::work::Outbox;

/// Bytes of events in one answer.
const HISTORY_BYTES: usize = 512 * 1024;

impl Hydrogen {
    /// Answers `{"topic":…,"epoch":…,"first":…,"last":…,"events":[…],"missing":…,"more":…}`, at once
    /// or when the store has answered.
    pub(in super::super) fn history_here(
        &mut self,
        topic: &str,
        since: &Since,
        limit: usize,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<Option<Box<str>>, Error> {
        let Some(log) = self.logs.of(topic) else {
            return Ok(Some(self.retained_history(topic, since, now)));
        };
        let (epoch, committed) = (log.epoch, log.committed);
        let topic: Arc<str> = topic.into();
        let (limit, bytes) = (limit.max(1), HISTORY_BYTES);
        let mut is_cut = false;
        let offset = |after: u64| Read::Offset { topic: topic.clone(), epoch, after, limit, bytes };
        let read = match since {
            Since::Start => {
                // What an older log still has is asked for by an event's id.
                is_cut = self.logs.older(&topic).next().is_some();
                offset(0)
            }
            Since::Offset(after) => {
                is_cut = *after > committed;
                offset(*after)
            }
            Since::Event(of, after) if *of == epoch => offset(*after),
            Since::Event(of, after) if self.logs.older(&topic).any(|older| older.epoch == *of) => {
                let (epoch, after) = (*of, *after);
                let read = Read::Offset { topic: topic.clone(), epoch, after, limit, bytes };
                let ask = HistoryAsk { topic, epoch, is_cut: false, reply };
                self.store.ask(Asked::History(Box::new(ask)), Op::Read(read), out);
                return Ok(None);
            }
            Since::Event(..) => {
                is_cut = true;
                offset(0)
            }
            Since::Time(since) => {
                // What older logs have from then on is not in the answer.
                let reaches = |last: Option<Wall>| last.is_none_or(|last| last >= *since);
                is_cut = self.logs.older(&topic).any(|older| reaches(older.stock.last_time));
                Read::Time { topic: topic.clone(), epoch, since: *since, limit, bytes }
            }
        };
        let ask = HistoryAsk { topic, epoch, is_cut, reply };
        self.store.ask(Asked::History(Box::new(ask)), Op::Read(read), out);
        Ok(None)
    }

    pub(super) fn on_history(
        &mut self,
        ask: HistoryAsk,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let answer = match result {
            Ok(Answer::Page(page)) => Ok(self.history_json(&ask, page, now.wall)),
            Ok(_) => Err(Error::new(Code::Internal, "the store answered something else")),
            Err(error) => Err(error.error()),
        };
        self.reply(ask.reply, answer, now, out);
    }

    fn history_json(&mut self, ask: &HistoryAsk, page: &Page, now: Wall) -> Box<str> {
        use std::fmt::Write;
        let newest = self.logs.of(&ask.topic).filter(|log| log.epoch == ask.epoch);
        let older = self.logs.older(&ask.topic).find(|log| log.epoch == ask.epoch);
        let last = newest.map_or_else(|| older.map_or(0, |log| log.last), |log| log.committed);
        let newest_is_other = newest.is_none() && self.logs.of(&ask.topic).is_some();
        let mut missing = page.missing || ask.is_cut;
        let mut events = Vec::new();
        for record in &page.records {
            if record.is_expired(now) {
                missing = true;
                continue;
            }
            if !events.is_empty() {
                events.push(b',');
            }
            encode_event(&mut events, record, false, 1);
        }
        // What was encoded is JSON, so it is UTF-8.
        let events = String::from_utf8(events).unwrap_or_default();
        let topic = serde_json::json!(&*ask.topic);
        // Behind an older log comes the next.
        let (epoch, first, more) = (ask.epoch, page.first, page.more || newest_is_other);
        let mut text = String::with_capacity(events.len() + 160);
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{{\"topic\":{topic},\"epoch\":\"{epoch}\",\"first\":{first},\"last\":{last},\"events\":[{events}],\
             \"missing\":{missing},\"more\":{more}}}"
        );
        text.into()
    }

    /// Of a topic without a log: what it retains.
    fn retained_history(&self, topic: &str, since: &Since, now: Now) -> Box<str> {
        let own_epoch = self.topics.topic(topic).map(|topic| topic.epoch());
        let since = match since {
            Since::Start | Since::Time(_) => 0,
            Since::Offset(offset) => *offset,
            Since::Event(epoch, offset) => own_epoch.filter(|own| own == epoch).map_or(0, |_| *offset),
        };
        let retained = self.topics.retained(topic, now.mono).map(|retained| payload_of(&retained.event));
        let offset = retained.and_then(offset_of);
        // After a restart the retained event is there before its topic has counted anything.
        let counted = self.topics.topic(topic).map_or(0, |topic| topic.offset());
        let newest = offset.map_or(counted, |offset| offset.max(counted));
        let events = retained.filter(|_| offset.is_some_and(|offset| offset > since)).unwrap_or_default();
        let had = offset.filter(|offset| *offset > since).map_or(0, |_| 1);
        let missing = newest.saturating_sub(since) > had;
        let topic = serde_json::json!(topic);
        format!("{{\"topic\":{topic},\"events\":[{events}],\"missing\":{missing},\"more\":false}}").into()
    }
}

fn offset_of(event: &str) -> Option<u64> {
    Raw::trusted(event).member("id")?.as_str()?.rsplit_once('-')?.1.parse().ok()
}
