//! Publishing on a topic that has a log: the offset is handed out, the event goes to the store,
//! and what waits for the disk is answered with the commit.

use std::sync::Arc;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;

use super::super::asked::{Appended, Asked, Plan, crowded};
use super::super::publish::{Event, answer};
use super::super::reply_to::Reply;
use super::super::{Hydrogen, Peer};
use super::dedup::Seen;
use crate::base::{Code, Error, Metric, Now, Wall};
use crate::engine::store::{Append, Level, Op, Write};
use crate::engine::topic::{Epoch, Stamp};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// Whether a publish is logged, and whether its publisher waits for it.
    pub(in super::super) fn plan(&mut self, topic: &str, guaranteed: bool) -> Plan {
        if let Some(log) = self.logs.of(topic) {
            return if guaranteed || log.is_guaranteed { Plan::Disk } else { Plan::Memory };
        }
        let interest = self.interest.generation();
        if !guaranteed && self.logs.is_known_without(topic, interest) {
            return Plan::Unlogged;
        }
        let rule = self.logs.rule(topic);
        if guaranteed || rule.is_some_and(|rule| rule.is_guaranteed) {
            return Plan::Disk;
        }
        if rule.is_some_and(|rule| rule.keeps_history) || !self.interest.matching(topic).is_empty() {
            return Plan::Memory;
        }
        self.logs.remember_without(topic, interest);
        Plan::Unlogged
    }

    /// Publishes on a topic with a log. `None` if the answer comes with the commit.
    pub(in super::super) fn append(
        &mut self,
        event: &Event<'_>,
        level: Level,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<Option<Box<str>>, Error> {
        if level == Level::Disk {
            self.store.may_append(level)?;
            if let Some(key) = event.dedup {
                match self.dedup.begin(key, reply, now.wall) {
                    Seen::New => {}
                    Seen::Waits => return Ok(None),
                    Seen::Answered(epoch, offset, receivers) => return Ok(Some(repeated(epoch, offset, receivers))),
                    Seen::Refused => return Err(Error::new(Code::Conflict, "too many repeats of this publish wait")),
                }
            }
        } else if self.store.is_down() {
            return self.publish_volatile(event, now, out).map(Some);
        } else {
            // A disk that does not keep up is no reason to lose what a log is there for.
            self.store.may_append(level)?;
        }
        let stamp = match self.next_in_log(event.topic, level, now) {
            Ok(stamp) => stamp,
            Err(error) => {
                if let Some(key) = event.dedup.filter(|_| level == Level::Disk) {
                    self.dedup.failed(key);
                }
                return Err(error);
            }
        };
        let topic: Arc<str> = event.topic.into();
        let payload = Bytes::copy_from_slice(event.payload);
        let is_fanned_out = level == Level::Memory && self.logs.of(&topic).is_some_and(|log| log.pending_sent == 0);
        let mut receivers = 0;
        if is_fanned_out {
            // A full table of retained values takes back no offset that was handed out: without its
            // append the log would have a hole, and take nothing more.
            let best_effort = self.hand_out(event, stamp, true, now, out).unwrap_or_default();
            receivers = best_effort + self.interest.matching(&topic).len();
        }
        let weight = event.payload.len() + event.topic.len() + 64;
        let expires = event.ttl.map(|ttl| Wall(now.wall.0.saturating_add_unsigned(ttl.as_millis() as u64)));
        let is_mixed = self.logs.of(&topic).is_some_and(|log| log.is_mixed);
        if let Some(log) = self.logs.of_mut(&topic) {
            log.pending += 1;
            log.pending_sent += u32::from(!is_fanned_out);
            log.pending_answered += u32::from(level == Level::Memory);
        }
        let append = Append {
            topic: topic.clone(),
            epoch: stamp.epoch,
            offset: stamp.offset,
            is_mixed,
            time: now.wall,
            expires,
            payload: payload.clone(),
            level,
            dedup: event.dedup.filter(|_| level == Level::Disk),
        };
        let appended = Appended {
            topic,
            stamp,
            time: now.wall,
            payload,
            weight,
            level,
            retain: event.retain,
            ttl: event.ttl,
            low_priority: event.low_priority,
            published_at: event.published_at,
            is_fanned_out,
            dedup: append.dedup,
            reply,
        };
        self.store.ask(Asked::Append(Box::new(appended)), Op::Write(Write::Append(append)), out);
        match level {
            Level::Disk => Ok(None),
            Level::Memory => {
                self.counters.inc(Metric::EVENTS_PUBLISHED);
                Ok(Some(answer(stamp, receivers, Level::Memory)))
            }
        }
    }

    /// Hands out the next offset of a topic's log; begins one if there is none that may go on.
    fn next_in_log(&mut self, topic: &str, level: Level, now: Now) -> Result<Stamp, Error> {
        let may_go_on = |log: &super::Log| !log.is_sealed && (log.is_mixed || level == Level::Disk);
        if !self.logs.of(topic).is_some_and(may_go_on) {
            if self.logs.of(topic).is_none() && self.logs.is_full() {
                let error = Error::new(Code::Unavailable, "too many topics have a log");
                return Err(error.retry_after_ms(1000));
            }
            // An id of a log that is not mixed is never given to another event, since none that
            // was not synced is ever answered; a mixed one is left behind after a crash.
            let epoch = Epoch::new(self.random.next_u64());
            self.topics.restore(topic, epoch, 0, now.mono)?;
            self.logs.begin(topic, epoch, level == Level::Memory);
            self.ensure_sweep(now.mono);
        }
        let Some(log) = self.logs.of(topic) else {
            return Err(Error::new(Code::Internal, "a log that was begun is not there"));
        };
        let (epoch, handed_out) = (log.epoch, log.handed_out);
        let stands = self.topics.topic(topic).map(|topic| (topic.epoch(), topic.offset()));
        if stands != Some((epoch, handed_out)) {
            // It had lost its state, being idle; or goes on after a restart.
            if stands.is_none() {
                self.counters.inc(Metric::TOPICS_MADE);
                self.ensure_sweep(now.mono);
            }
            self.topics.restore(topic, epoch, handed_out, now.mono)?;
        }
        let stamp = self.topics.begin(topic, now.mono, 0)?;
        if let Some(log) = self.logs.of_mut(topic) {
            log.handed_out = stamp.offset;
            log.stock.reaches(now.wall);
        }
        Ok(stamp)
    }

    /// While the store takes nothing, best-effort events go on without it, in an epoch that is
    /// never logged.
    fn publish_volatile(&mut self, event: &Event<'_>, now: Now, out: &mut Outbox<Peer>) -> Result<Box<str>, Error> {
        // What is held back until its commit must not be overtaken.
        if self.logs.of(event.topic).is_some_and(|log| log.pending_sent > 0) {
            return Err(crowded());
        }
        let epoch = Epoch::new(self.random.next_u64());
        if let Some(log) = self.logs.of_mut(event.topic)
            && !std::mem::replace(&mut log.is_volatile, true)
        {
            log.is_sealed = true;
            self.topics.restore(event.topic, epoch, 0, now.mono)?;
        }
        let stamp = self.topics.begin(event.topic, now.mono, epoch.as_u64())?;
        self.counters.inc(Metric::EVENTS_PUBLISHED);
        self.counters.inc(Metric::EVENTS_UNLOGGED);
        let receivers = self.hand_out(event, stamp, false, now, out)?;
        Ok(answer(stamp, receivers, Level::Memory))
    }
}

/// The answer to a publish that was answered before: the same, but that it says so.
fn repeated(epoch: Epoch, offset: u64, receivers: usize) -> Box<str> {
    let head = format!("{{\"event\":\"{epoch}-{offset}\",\"offset\":{offset}");
    format!("{head},\"receivers\":{receivers},\"level\":\"disk\",\"duplicate\":true}}").into()
}
