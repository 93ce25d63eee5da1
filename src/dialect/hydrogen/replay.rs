//! What a subscription without acks gets from the past: read from the logs of this worker's
//! topics, sent in order, and only then the subscription begins, so that nothing is left out in
//! between.
//!
//! What is still on its way into a log is read as well: the store answers a worker's reads behind
//! what the worker has asked it to write.
//!
//! It is bounded to the newest [`NEWEST`] events of each topic. Whoever wants all of a long log
//! takes a guaranteed subscription, whose window holds the server back.

use std::sync::Arc;

use super::asked::Asked;
use super::gather::Part;
use super::past::{At, End, Past, Place, Replay};
use super::reply::{count_out, kind};
use super::reply_to::Reply;
use super::stored::frame_unacked;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Now};
use crate::engine::channel::StartFrom;
use crate::engine::outbound::EventFrame;
use crate::engine::store::{Answer, Op, Page, Read, StoreError};
use crate::engine::topic::{Filter, Payload, SubKey, Target};
use crate::engine::work::{Order, Outbox};

/// Events of one topic, at most: its newest.
const NEWEST: u64 = 1000;
/// Topics under one pattern, at most.
const TOPICS: usize = 10_000;
/// Times that all topics are gone through, since they get more while others are read.
const PASSES: u32 = 16;
/// Events, and bytes, that are read at a time.
const PAGE: (usize, usize) = (256, 128 * 1024);

impl Hydrogen {
    /// Gives a subscriber what a pattern's topics keep, from some place on; then goes on with `end`.
    pub(super) fn begin_replay(&mut self, past: Past<'_>, end: End, reply: Reply, now: Now, out: &mut Outbox<Peer>) {
        let Past { target, filter, pattern, from } = past;
        if from == StartFrom::Last {
            self.send_retained(target, pattern, filter.as_deref(), now, out);
        }
        let mut places = Vec::new();
        for topic in self.logs.matching(pattern, TOPICS) {
            let Some(log) = self.logs.of(&topic) else { continue };
            let newest = At::Offset(log.handed_out.saturating_sub(NEWEST));
            let from = match from {
                StartFrom::New => continue,
                // What is retained was sent.
                StartFrom::Last if self.topics.retained(&topic, now.mono).is_some() => continue,
                StartFrom::Last => At::Offset(log.handed_out.saturating_sub(1)),
                StartFrom::All => newest,
                StartFrom::Offset(after) => At::Offset(after.max(log.handed_out.saturating_sub(NEWEST))),
                StartFrom::Time(since) => At::Time(since),
            };
            places.push(Place { topic, epoch: log.epoch, from, end: log.handed_out });
        }
        let number = self.random_number();
        if let End::Subscribe { key, .. } = &end {
            self.replaying.insert(*key, number);
        }
        let is_last = from == StartFrom::Last;
        self.go_on_replaying(
            Replay { target, filter, places, next: 0, is_last, passes: 0, number, end, reply },
            now,
            out,
        );
    }

    /// Reads on, or ends.
    fn go_on_replaying(&mut self, mut replay: Replay, now: Now, out: &mut Outbox<Peer>) {
        if let End::Subscribe { key, .. } = &replay.end
            && self.replaying.get(key) != Some(&replay.number)
        {
            // Its connection is gone, it was ended, or it was asked for anew.
            return self.part(replay.reply, Part::Done, now, out);
        }
        // A topic that was read may have got more while another was.
        let is_behind = |place: &Place| {
            let log = self.logs.of(&place.topic).filter(|log| log.epoch == place.epoch);
            match place.from {
                At::Offset(after) => log.is_some_and(|log| log.handed_out > after),
                At::Time(_) => log.is_some(),
            }
        };
        if replay.next >= replay.places.len() && !replay.is_last {
            replay.next = replay.places.iter().position(is_behind).unwrap_or(replay.places.len());
            replay.passes += 1;
            if replay.next < replay.places.len() && replay.passes > PASSES {
                let error =
                    Error::new(Code::Unavailable, "its topics get more than can be read: begin with what is new");
                return self.fail_replay(&replay, error, now, out);
            }
        }
        while replay.places.get(replay.next).is_some_and(|place| !is_behind(place)) {
            replay.next += 1;
        }
        let end = |place: &Place| self.logs.of(&place.topic).map_or(0, |log| log.handed_out);
        let Some(place) = replay.places.get_mut(replay.next) else {
            if replay.is_last || replay.places.iter().all(|place| !is_behind(place)) {
                return self.end_replay(replay, now, out);
            }
            return self.go_on_replaying(replay, now, out);
        };
        place.end = end(place);
        let (topic, epoch, (limit, bytes)) = (place.topic.clone(), place.epoch, PAGE);
        let read = match place.from {
            At::Offset(after) => Read::Offset { topic, epoch, after, limit, bytes },
            At::Time(since) => Read::Time { topic, epoch, since, limit, bytes },
        };
        self.store.ask(Asked::Replay(Box::new(replay)), Op::Read(read), out);
    }

    /// Events of the past were read.
    pub(super) fn on_replay(
        &mut self,
        mut replay: Replay,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let page = match result {
            Ok(Answer::Page(page)) => page,
            Ok(_) => {
                let error = Error::new(Code::Internal, "the store answered something else");
                return self.fail_replay(&replay, error, now, out);
            }
            Err(error) => return self.fail_replay(&replay, error.error(), now, out),
        };
        self.send_page(&replay, page, now, out);
        if let Some(place) = replay.places.get_mut(replay.next) {
            // A page without events has nothing behind it.
            place.from = At::Offset(page.records.last().map_or(place.end, |record| record.offset));
            if !page.more {
                replay.next += 1;
            }
        }
        self.go_on_replaying(replay, now, out);
    }

    fn send_page(&mut self, replay: &Replay, page: &Page, now: Now, out: &mut Outbox<Peer>) {
        let targets: Arc<[Target]> = Arc::from([replay.target]);
        for record in &page.records {
            let passes = |filter: &Arc<Filter>| filter.passes(&mut Payload::new(&record.payload));
            if record.is_expired(now.wall) || !replay.filter.as_ref().is_none_or(passes) {
                continue;
            }
            let frame = frame_unacked(record);
            count_out(&self.counters, kind::EVENT, &frame, 1);
            self.counters.inc(Metric::EVENTS_REPLAYED);
            let event = Arc::new(EventFrame::new(frame, record.topic.clone(), false));
            let order = Order::Broadcast { event, targets: targets.clone(), published_at: now.mono };
            out.order(replay.target.conn, order);
        }
    }

    /// A subscription that waits for its past does not begin any more.
    pub(super) fn cancel_replay(&mut self, key: SubKey) {
        self.replaying.remove(&key);
    }

    /// The same for all of a connection.
    pub(super) fn cancel_replays(&mut self, conn: ConnId) {
        self.replaying.retain(|key, _| key.conn != conn);
    }

    fn fail_replay(&mut self, replay: &Replay, error: Error, now: Now, out: &mut Outbox<Peer>) {
        if let End::Subscribe { key, .. } = &replay.end
            && self.replaying.get(key) == Some(&replay.number)
        {
            self.replaying.remove(key);
        }
        self.part(replay.reply, Part::Failed(error), now, out);
    }

    fn end_replay(&mut self, replay: Replay, now: Now, out: &mut Outbox<Peer>) {
        let part = match replay.end {
            End::Subscribe { key, pattern, options, identity } => {
                self.replaying.remove(&key);
                match self.topics.subscribe(key, &pattern, options, identity) {
                    Ok(()) => Part::Done,
                    Err(full) => Part::Failed(full.into()),
                }
            }
            End::Guaranteed { head } => Part::Head(head),
        };
        self.part(replay.reply, part, now, out);
    }
}
