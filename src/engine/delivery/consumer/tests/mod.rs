//! The consumer's tests: a scene with a log, and a table or a story for each transition.

mod acks;
mod behind;
mod dead;
mod group;
mod model;
mod selecting;
mod timeouts;
mod trims;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{Consumer, Cursor, Effect, Offer, Settings, Source};
use crate::base::{ConnId, Mono, Now, Wall};
use crate::engine::delivery::{Backoff, DeadLetter, Selector};
use crate::engine::store::{Page, Record, Seq};
use crate::engine::topic::{Epoch, Filter, Pattern, Payload, UpTo};

const SECOND: Duration = Duration::from_secs(1);

fn settings(window: usize) -> Settings {
    Settings {
        window,
        window_bytes: 1 << 20,
        ack_timeout: 10 * SECOND,
        backoff: Backoff { base: SECOND, max: 8 * SECOND },
        attempts_max: 3,
    }
}

fn conn(n: u64) -> ConnId {
    ConnId::from_u64(n)
}

fn epoch() -> Epoch {
    Epoch::new(7)
}

fn selector(pattern: &str, since: u64) -> Selector {
    Selector { pattern: Pattern::parse(pattern).unwrap(), filter: None, since: Seq(since) }
}

fn filtered(pattern: &str, filter: serde_json::Value) -> Selector {
    let filter = Filter::parse(&filter).unwrap().map(Arc::new);
    Selector { filter, ..selector(pattern, 0) }
}

fn record(seq: u64, topic: &str, payload: &str) -> Record {
    let (topic, payload) = (topic.into(), Bytes::copy_from_slice(payload.as_bytes()));
    Record { seq: Seq(seq), topic, epoch: epoch(), offset: seq, time: Wall(0), expires: None, payload }
}

/// What was sent: to whom, which event, as which attempt.
type Sent = (u64, u64, u32);

/// A consumer, the log that it reads, and what it ordered.
struct Scene {
    consumer: Consumer,
    log: Vec<Record>,
    now: Now,
    out: Vec<Effect>,
    sent: Vec<Sent>,
    expired: u64,
    dead: Vec<DeadLetter>,
}

impl Scene {
    /// A consumer of `a.>`, and no members yet.
    fn new(settings: Settings) -> Scene {
        let mut consumer = Consumer::new(settings, Seq(0));
        assert!(consumer.select(selector("a.>", 0)));
        Scene::with(consumer)
    }

    fn with(consumer: Consumer) -> Scene {
        let now = Now { mono: Mono(0), wall: Wall(0) };
        Scene { consumer, log: vec![], now, out: vec![], sent: vec![], expired: 0, dead: vec![] }
    }

    /// The same with some members.
    fn started(settings: Settings, members: u64) -> Scene {
        let mut scene = Scene::new(settings);
        for n in 1..=members {
            scene.join(n);
        }
        scene
    }

    fn join(&mut self, n: u64) {
        assert!(self.consumer.attach(conn(n)));
        assert!(self.consumer.start(conn(n)));
    }

    fn next_seq(&self) -> u64 {
        self.log.last().map_or(1, |record| record.seq.0 + 1)
    }

    fn publish(&mut self, topic: &str) -> Offer {
        self.publish_record(record(self.next_seq(), topic, "{}"))
    }

    fn publish_record(&mut self, record: Record) -> Offer {
        let offer = self.consumer.offer(&record, &mut Payload::new(&record.payload), self.now);
        match offer {
            Offer::Taken { member } => self.sent.push((member.as_u64(), record.seq.0, 1)),
            Offer::Expired => self.expired += 1,
            Offer::NotMine | Offer::Behind => {}
        }
        self.log.push(record);
        offer
    }

    fn publish_many(&mut self, count: usize) {
        for _ in 0..count {
            self.publish("a.b");
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.mono = self.now.mono.after(time);
        self.now.wall.0 += time.as_millis() as i64;
        self.consumer.on_time(self.now, 0, &mut self.out);
    }

    fn ack(&mut self, n: u64, seq: u64) -> bool {
        self.consumer.ack(conn(n), epoch(), seq, &mut self.out)
    }

    /// Pumps once, and gives what was ordered beyond what this scene notes by itself.
    fn pump(&mut self) -> Vec<Effect> {
        self.consumer.pump(self.now.mono, &mut self.out);
        self.drain()
    }

    fn drain(&mut self) -> Vec<Effect> {
        let effects = std::mem::take(&mut self.out);
        effects.into_iter().filter_map(|effect| self.note(effect)).collect()
    }

    fn note(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Send { member, attempt, record } => {
                self.sent.push((member.as_u64(), record.seq.0, attempt));
                None
            }
            Effect::Expired(count) => {
                self.expired += count;
                None
            }
            Effect::Dead(letter) => {
                self.dead.push(*letter);
                None
            }
            Effect::Read { .. } | Effect::Fetch { .. } | Effect::Resurrected { .. } => Some(effect),
        }
    }

    /// Pumps until nothing is ordered, and serves all reads from the log at once.
    fn settle(&mut self) {
        for _ in 0..1000 {
            let effects = self.pump();
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                self.serve(effect);
            }
        }
        panic!("it never comes to rest");
    }

    fn serve(&mut self, effect: Effect) {
        match effect {
            Effect::Read { patterns, after, through, limit, bytes } => {
                let page = page(&self.log, &patterns, (after, through), limit, bytes);
                self.consumer.on_page(page, self.now, &mut self.out);
            }
            Effect::Fetch { seqs, .. } => {
                let records = self.log.iter().filter(|record| seqs.contains(&record.seq)).cloned().collect();
                self.consumer.on_fetched(records, self.now, &mut self.out);
            }
            Effect::Send { .. } | Effect::Dead(_) | Effect::Resurrected { .. } | Effect::Expired(_) => {}
        }
    }

    fn sent(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.sent)
    }
}

/// What a store answers.
fn page(log: &[Record], patterns: &[Pattern], (after, through): (Seq, Seq), limit: usize, bytes: usize) -> Page {
    let mut page = Page { through, ..Page::default() };
    let mut room = bytes;
    for record in log.iter().filter(|record| record.seq > after && record.seq <= through) {
        if !patterns.iter().any(|pattern| pattern.matches(&record.topic)) {
            continue;
        }
        if page.records.len() >= limit || (record.weight() > room && !page.records.is_empty()) {
            page.through = page.records.last().unwrap().seq;
            break;
        }
        room = room.saturating_sub(record.weight());
        page.records.push(record.clone());
    }
    page
}

#[test]
fn a_live_consumer_takes_what_counts_and_passes_over_the_rest() {
    let mut scene = Scene::with(Consumer::new(settings(8), Seq(0)));
    scene.consumer.select(filtered("a.*", serde_json::json!({"x": 1})));
    scene.join(1);
    scene.settle();
    assert!(scene.consumer.is_live());
    for (topic, payload, ttl, expected) in [
        ("a.b", "{\"x\":1}", None, Offer::Taken { member: conn(1) }),
        ("a.b", "{\"x\":2}", None, Offer::NotMine),
        ("b.b", "{\"x\":1}", None, Offer::NotMine),
        ("a.b", "{\"x\":1}", Some(0), Offer::Expired),
        ("a.b", "{\"x\":1}", Some(1), Offer::Taken { member: conn(1) }),
    ] {
        let event = Record { expires: ttl.map(Wall), ..record(scene.next_seq(), topic, payload) };
        assert_eq!(scene.publish_record(event), expected, "{topic} {payload}");
        assert!(scene.consumer.is_live());
    }
    let again = scene.log[0].clone();
    assert_eq!(scene.publish_record(again), Offer::NotMine, "an event comes once");
    assert_eq!((scene.consumer.outstanding(), scene.consumer.floor()), (2, Seq(0)));
    assert!(scene.ack(1, 1));
    assert_eq!(scene.consumer.floor(), Seq(4));
}

#[test]
fn without_selectors_there_is_nothing_to_read() {
    let mut scene = Scene::with(Consumer::new(settings(8), Seq(0)));
    assert_eq!(scene.publish("a.b"), Offer::Behind);
    scene.join(1);
    assert!(scene.pump().is_empty());
    assert!(scene.consumer.is_live());
}

#[test]
fn a_flight_is_small() {
    assert!(size_of::<super::flight::Flight>() <= 176, "{}", size_of::<super::flight::Flight>());
}
