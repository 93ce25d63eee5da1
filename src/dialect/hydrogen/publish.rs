//! Publishing on a topic of this shard: stamp, encode once, hand to each reactor.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;

use super::asked::Plan;
use super::reply::{count_out, kind};
use super::reply_to::Reply;
use super::{Hydrogen, Peer};
use crate::base::{Error, Metric, Mono, Now, Wall};
use crate::engine::outbound::EventFrame;
use crate::engine::store::{DedupKey, Level};
use crate::engine::topic::{Payload, Stamp, Target};
use crate::engine::wire::{EventHead, event, event_room, push_u64};
use crate::engine::work::{Order, Outbox};
use crate::engine::ws::FrameBuilder;

/// An event to publish here. Permissions and the topic's name were checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub retain: bool,
    pub ttl: Option<Duration>,
    pub low_priority: bool,
    pub published_at: Mono,
    /// The time that it carries.
    pub time: Wall,
    /// What tells a repeat from a new publish.
    pub dedup: Option<DedupKey>,
}

impl Event<'_> {
    /// A retained null lets go of what was retained: nothing is kept in its place.
    fn clears(&self) -> bool {
        self.retain && self.payload == b"null"
    }

    fn keeps(&self) -> bool {
        self.retain && !self.clears()
    }

    /// Bytes of its frame and its payload, at most.
    fn retained_bytes(&self) -> usize {
        2 * self.payload.len() + self.topic.len() + 256
    }
}

/// `{"event":…,"offset":…,"receivers":…,"level":…}`. There is one for each publication, so nothing is
/// formatted that can be copied.
pub(super) fn answer(stamp: Stamp, receivers: usize, level: Level) -> Box<str> {
    let mut text = Vec::with_capacity(128);
    text.extend_from_slice(b"{\"event\":\"");
    text.extend_from_slice(&stamp.epoch.digits());
    text.push(b'-');
    push_u64(&mut text, stamp.offset);
    text.extend_from_slice(b"\",\"offset\":");
    push_u64(&mut text, stamp.offset);
    text.extend_from_slice(b",\"receivers\":");
    push_u64(&mut text, receivers as u64);
    text.extend_from_slice(b",\"level\":\"");
    text.extend_from_slice(level.as_str().as_bytes());
    text.extend_from_slice(b"\"}");
    // All of it is ASCII.
    String::from_utf8(text).unwrap_or_default().into()
}

impl Hydrogen {
    /// Publishes. `None` if the answer comes later, to `reply`.
    pub(super) fn publish_here(
        &mut self,
        publish: &Event<'_>,
        plan: Plan,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<Option<Box<str>>, Error> {
        let topic = publish.topic;
        if publish.keeps() {
            self.topics.make_room(topic, publish.retained_bytes(), now.mono)?;
        }
        match plan {
            Plan::Disk => return self.append(publish, Level::Disk, reply, now, out),
            Plan::Memory => return self.append(publish, Level::Memory, reply, now, out),
            Plan::Unlogged => {}
        }
        let before = self.topics.counts().topics;
        let stamp = self.topics.begin(topic, now.mono, self.random.next_u64())?;
        if self.topics.counts().topics > before {
            self.counters.inc(Metric::TOPICS_MADE);
            self.ensure_sweep(now.mono);
        }
        self.counters.inc(Metric::EVENTS_PUBLISHED);
        let receivers = self.hand_out(publish, stamp, false, now, out)?;
        Ok(Some(answer(stamp, receivers, Level::Memory)))
    }

    /// Hands a stamped event to its best-effort subscribers, and keeps it where that is asked for.
    /// Returns how many get it.
    pub(super) fn hand_out(
        &mut self,
        publish: &Event<'_>,
        stamp: Stamp,
        is_logged: bool,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<usize, Error> {
        let topic = publish.topic;
        let keeps = publish.keeps();
        let name = self.topics.name(topic);
        let mut payload = Payload::new(publish.payload);
        let fan_out = self.topics.fan_out(topic, &mut payload);
        let receivers = fan_out.receivers;
        let mut frame = None;
        if receivers > 0 || keeps {
            frame = Some(encode(topic, stamp, is_logged, self.clock.of(publish.time), publish.payload));
        }
        if let Some(frame) = &frame
            && receivers > 0
        {
            count_out(&self.counters, kind::EVENT, frame, receivers);
            let event = Arc::new(EventFrame::new(frame.clone(), name, publish.low_priority));
            for reactor in fan_out.reactors() {
                let Some(orders) = out.orders.get_mut(usize::from(reactor.reactor().0)) else { continue };
                for targets in [reactor.everyone(), reactor.selected()] {
                    if !targets.is_empty() {
                        orders.push(Order::Broadcast {
                            event: event.clone(),
                            targets: targets.clone(),
                            published_at: publish.published_at,
                        });
                    }
                }
            }
        }
        if publish.clears() {
            if self.topics.clear(topic) {
                self.mark_retained(topic, now);
            }
        } else if keeps && let Some(frame) = frame {
            let payload = Bytes::copy_from_slice(publish.payload);
            self.topics.retain(topic, frame, payload, publish.ttl, now.mono)?;
            self.mark_retained(topic, now);
        }
        Ok(receivers)
    }

    /// Sends one connection what a pattern's topics retain.
    pub(super) fn send_retained(
        &mut self,
        target: Target,
        pattern: &crate::engine::topic::Pattern,
        filter: Option<&crate::engine::topic::Filter>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(orders) = out.orders.get_mut(usize::from(target.conn.reactor().0)) else { return };
        for (topic, retained) in self.topics.retained_matching(pattern, now.mono, RETAINED_AT_ONCE) {
            if filter.is_some_and(|filter| !filter.passes(&mut Payload::new(&retained.payload))) {
                continue;
            }
            count_out(&self.counters, kind::EVENT, &retained.event, 1);
            let event = Arc::new(EventFrame::new(retained.event.clone(), topic, false));
            let targets: Arc<[Target]> = Arc::from([target]);
            orders.push(Order::Broadcast { event, targets, published_at: now.mono });
        }
    }
}

/// Retained events sent for one subscription.
const RETAINED_AT_ONCE: usize = 10_000;

fn encode(topic: &str, stamp: Stamp, is_logged: bool, timestamp: &str, payload: &[u8]) -> Bytes {
    // A topic has two tokens at least.
    let (channel, action) = topic.split_once('.').unwrap_or((topic, ""));
    let digits = stamp.epoch.digits();
    let head = EventHead {
        // Hexadecimal digits are ASCII.
        epoch: std::str::from_utf8(&digits).unwrap_or_default(),
        offset: stamp.offset,
        timestamp,
        channel,
        action,
        history: is_logged,
        prev: (stamp.offset > 1).then(|| stamp.offset - 1),
        ack: false,
        attempt: 1,
    };
    let mut frame = FrameBuilder::with_capacity(event_room(topic.len(), payload.len()));
    event(&mut frame, &head, payload);
    frame.finish_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::topic::Epoch;

    #[test]
    fn an_answer_names_the_event_and_its_level() {
        let stamp = Stamp { epoch: Epoch::new(7), offset: 12, prev: 11 };
        let expected = format!("{{\"event\":\"{stamp}\",\"offset\":12,\"receivers\":0,\"level\":\"disk\"}}");
        assert_eq!(*answer(stamp, 0, Level::Disk), *expected);
    }
}
