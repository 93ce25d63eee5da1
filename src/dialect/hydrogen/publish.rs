//! Publishing on a topic of this shard: stamp, encode once, hand to each reactor.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rand_chacha::rand_core::Rng;

use super::reply::{count_out, kind};
use super::{Hydrogen, Peer};
use crate::base::{Error, Metric, Mono, Now};
use crate::engine::outbound::EventFrame;
use crate::engine::topic::{Payload, Stamp, Target};
use crate::engine::wire::{EventHead, Raw, event};
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
}

impl Hydrogen {
    /// Publishes; the answer is `{"event":…,"offset":…,"receivers":…}`.
    pub(super) fn publish_here(
        &mut self,
        publish: &Event<'_>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<Box<str>, Error> {
        let topic = publish.topic;
        // A retained null lets go of what was retained: nothing is kept in its place.
        let clears = publish.retain && publish.payload == b"null";
        let keeps = publish.retain && !clears;
        if keeps {
            self.topics.make_room(topic, 2 * publish.payload.len() + topic.len() + 160, now.mono)?;
        }
        let before = self.topics.counts().topics;
        let stamp = self.topics.begin(topic, now.mono, self.random.next_u64())?;
        if self.topics.counts().topics > before {
            self.counters.inc(Metric::TOPICS_MADE);
            self.ensure_sweep(now.mono);
        }
        self.counters.inc(Metric::EVENTS_PUBLISHED);
        let mut payload = Payload::new(publish.payload);
        let fan_out = self.topics.fan_out(topic, &mut payload);
        let receivers = fan_out.receivers;
        let mut frame = None;
        if receivers > 0 || keeps {
            frame = Some(encode(topic, stamp, self.clock.of(now.wall), publish.payload));
        }
        if let Some(frame) = &frame
            && receivers > 0
        {
            count_out(&self.counters, kind::EVENT, frame, receivers);
            let event =
                Arc::new(EventFrame { frame: frame.clone(), topic: topic.into(), low_priority: publish.low_priority });
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
        if clears {
            self.topics.clear(topic);
        } else if keeps && let Some(frame) = frame {
            let payload = Bytes::copy_from_slice(publish.payload);
            self.topics.retain(topic, frame, payload, publish.ttl, now.mono)?;
        }
        Ok(format!("{{\"event\":\"{stamp}\",\"offset\":{},\"receivers\":{receivers}}}", stamp.offset).into())
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
            let event = Arc::new(EventFrame { frame: retained.event.clone(), topic, low_priority: false });
            let targets: Arc<[Target]> = Arc::from([target]);
            orders.push(Order::Broadcast { event, targets, published_at: now.mono });
        }
    }

    /// `{"topic":…,"events":[…],"missing":…}`: of a topic without a log, what it retains.
    pub(super) fn history_here(&self, topic: &str, since: Option<u64>, now: Now) -> Box<str> {
        let since = since.unwrap_or(0);
        let newest = self.topics.topic(topic).map_or(0, |topic| topic.offset());
        let retained = self.topics.retained(topic, now.mono).map(|retained| payload_of(&retained.event));
        let offset = retained.and_then(offset_of);
        let events = retained.filter(|_| offset.is_some_and(|offset| offset > since)).unwrap_or_default();
        let had = offset.filter(|offset| *offset > since).map_or(0, |_| 1);
        let missing = newest.saturating_sub(since) > had;
        let topic = serde_json::json!(topic);
        format!("{{\"topic\":{topic},\"events\":[{events}],\"missing\":{missing}}}").into()
    }
}

/// Retained events sent for one subscription.
const RETAINED_AT_ONCE: usize = 10_000;

fn encode(topic: &str, stamp: Stamp, timestamp: &str, payload: &[u8]) -> Bytes {
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
        history: false,
        prev: None,
        ack: false,
        attempt: 1,
    };
    let mut frame = FrameBuilder::with_capacity(payload.len() + topic.len() + 160);
    event(&mut frame, &head, payload);
    frame.finish_text()
}

/// The text in one of our own frames: behind the header, whose length its second byte tells.
fn payload_of(frame: &Bytes) -> &str {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        Some(_) | None => 2,
    };
    frame.get(header..).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or_default()
}

fn offset_of(event: &str) -> Option<u64> {
    Raw::trusted(event).member("id")?.as_str()?.rsplit_once('-')?.1.parse().ok()
}
