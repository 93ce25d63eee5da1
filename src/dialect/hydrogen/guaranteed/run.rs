//! Guaranteed delivery under way: events are offered as they are committed, read again when they
//! were missed, and sent to whoever is a member.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::rand_core::Rng;

use super::super::asked::Asked;
use super::super::consumer_id::ConsumerId;
use super::super::reply::{count_out, kind};
use super::super::stored::frame_event;
use super::super::timers::Timer;
use super::super::{Hydrogen, Peer};
use super::Held;
use crate::base::{Metric, Mono, Now};
use crate::engine::delivery::{Effect, Offer, Source};
use crate::engine::outbound::EventFrame;
use crate::engine::store::{Answer, Entry, Op, Read, Record, Seq, StoreError};
use crate::engine::topic::{Payload, Target, TargetFlags};
use crate::engine::work::{Order, Outbox};

impl Hydrogen {
    /// Offers a committed event to this worker's consumers. One frame serves all who get it now.
    pub(in super::super) fn offer(&mut self, entry: &Entry, now: Now, out: &mut Outbox<Peer>) {
        let record = &entry.record;
        let matching = self.interest.matching(&record.topic);
        if matching.is_empty() {
            return;
        }
        let mut payload = Payload::new(&record.payload);
        let mut targets: Vec<Target> = Vec::new();
        for id in matching.iter() {
            let Some(held) = self.consumers.of_mut(*id) else { continue };
            match held.consumer.offer(record, &mut payload, now) {
                Offer::Taken { member } => {
                    targets.push(Target { conn: member, flags: held.flags() });
                    self.consumers.mark_dirty(*id);
                    self.arm(*id, now);
                }
                Offer::Expired => self.counters.inc(Metric::EVENTS_EXPIRED),
                Offer::Behind => self.consumers.touch(*id),
                Offer::NotMine => {}
            }
        }
        if targets.is_empty() {
            return;
        }
        targets.sort_unstable();
        self.counters.add(Metric::CONSUMER_SENT, targets.len() as u64);
        let frame = entry.frame.get_or_init(|| frame_event(record, 1)).clone();
        count_out(&self.counters, kind::EVENT, &frame, targets.len());
        let event = Arc::new(EventFrame::new(frame, record.topic.clone(), false));
        let published_at = published_at(record, now);
        for of_reactor in targets.chunk_by(|one, other| one.conn.reactor() == other.conn.reactor()) {
            let reactor = usize::from(of_reactor[0].conn.reactor().0);
            let Some(orders) = out.orders.get_mut(reactor) else { continue };
            orders.push(Order::Broadcast { event: event.clone(), targets: of_reactor.into(), published_at });
        }
        self.arm_save(now);
    }

    /// Lets the consumers that something happened to go on.
    pub(in super::super) fn pump_touched(&mut self, now: Now, out: &mut Outbox<Peer>) {
        while let Some(id) = self.consumers.pop_touched() {
            let mut effects = Vec::new();
            let head = self.store.head;
            let Some(held) = self.consumers.of_mut(id) else { continue };
            held.consumer.head_moved(head);
            held.replay_waiting(now.mono);
            held.consumer.pump(now.mono, &mut effects);
            self.carry_out(id, effects, now, out);
        }
    }

    /// Does what a consumer orders.
    pub(super) fn carry_out(&mut self, id: ConsumerId, effects: Vec<Effect>, now: Now, out: &mut Outbox<Peer>) {
        for effect in effects {
            match effect {
                Effect::Send { member, attempt, record } => {
                    let flags = self.consumers.of(id).map_or_else(TargetFlags::default, Held::flags);
                    self.send_event(Target { conn: member, flags }, attempt, &record, now, out);
                }
                Effect::Read { patterns, after, through, limit, bytes } => {
                    let read = Read::Patterns { patterns, after, through, limit, bytes };
                    self.store.ask(Asked::Behind(id), Op::Read(read), out);
                }
                Effect::Fetch { source: Source::Log, seqs } => {
                    self.store.ask(Asked::Again(id), Op::Read(Read::Seqs { seqs }), out);
                }
                Effect::Fetch { source: Source::DeadLetters, seqs } => self.fetch_letters(id, seqs, out),
                Effect::Dead(letter) => self.bury(id, *letter, out),
                Effect::Resurrected { seq } => self.forget_letter(id, seq, out),
                Effect::Expired(count) => self.counters.add(Metric::EVENTS_EXPIRED, count),
            }
        }
        let Some(held) = self.consumers.of_mut(id) else { return };
        if held.consumer.take_dirty() {
            self.consumers.mark_dirty(id);
            self.arm_save(now);
        }
        self.arm(id, now);
    }

    fn send_event(&mut self, target: Target, attempt: u32, record: &Record, now: Now, out: &mut Outbox<Peer>) {
        let frame = frame_event(record, attempt);
        self.counters.inc(Metric::CONSUMER_SENT);
        if attempt > 1 {
            self.counters.inc(Metric::EVENTS_REDELIVERED);
        }
        count_out(&self.counters, kind::EVENT, &frame, 1);
        let event = Arc::new(EventFrame::new(frame, record.topic.clone(), false));
        let targets: Arc<[Target]> = Arc::from([target]);
        let published_at = if attempt > 1 { now.mono } else { published_at(record, now) };
        out.order(target.conn, Order::Broadcast { event, targets, published_at });
    }

    /// Arms a consumer's deadline, if it is before the one that is armed.
    pub(super) fn arm(&mut self, id: ConsumerId, now: Now) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        let Some(at) = held.consumer.next_deadline() else { return };
        // A deadline that passed since the consumer was asked is due at once.
        let at = at.max(now.mono);
        if held.armed.is_none_or(|armed| at < armed) {
            if let Some(armed) = held.armed.replace(at) {
                self.timers.cancel(armed, Timer::Consumer(id));
            }
            self.timers.set(at, Timer::Consumer(id));
        }
    }

    /// A consumer's deadline has passed, or a later one took its place.
    pub(in super::super) fn on_consumer_time(&mut self, id: ConsumerId, now: Now, out: &mut Outbox<Peer>) {
        let random = self.random.next_u64();
        let mut effects = Vec::new();
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.armed = None;
        held.consumer.on_time(now, random, &mut effects);
        self.carry_out(id, effects, now, out);
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    /// Events that a consumer had missed were read.
    pub(in super::super) fn on_behind(
        &mut self,
        id: ConsumerId,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let random = self.random.next_u64();
        let mut effects = Vec::new();
        let head = self.store.head;
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.consumer.head_moved(head);
        match result {
            Ok(Answer::Page(page)) => held.consumer.on_page(page.clone(), now, &mut effects),
            Ok(_) | Err(_) => held.consumer.on_read_failed(now.mono, random),
        }
        self.carry_out(id, effects, now, out);
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    /// Events that are to be delivered again were read.
    pub(in super::super) fn on_again(
        &mut self,
        id: ConsumerId,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let records = match result {
            Ok(Answer::Page(page)) => Some(page.records.clone()),
            Ok(_) | Err(_) => None,
        };
        self.on_fetched(id, records, now, out);
    }

    pub(super) fn on_fetched(
        &mut self,
        id: ConsumerId,
        records: Option<Vec<Record>>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let random = self.random.next_u64();
        let mut effects = Vec::new();
        let Some(held) = self.consumers.of_mut(id) else { return };
        match records {
            Some(records) => held.consumer.on_fetched(records, now, &mut effects),
            None => held.consumer.on_fetch_failed(now.mono, random),
        }
        self.carry_out(id, effects, now, out);
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    /// Retention took events away.
    pub(in super::super) fn on_gone(&mut self, topic: &Arc<str>, gone: &[Seq], now: Now, out: &mut Outbox<Peer>) {
        let matching = self.interest.matching(topic);
        for id in matching.iter() {
            let mut effects = Vec::new();
            let Some(held) = self.consumers.of_mut(*id) else { continue };
            held.consumer.trimmed(topic, gone, &mut effects);
            if effects.iter().any(|effect| matches!(effect, Effect::Expired(_))) {
                held.lose(topic);
                self.consumers.mark_dirty(*id);
                self.arm_save(now);
            }
            self.carry_out(*id, effects, now, out);
            self.consumers.touch(*id);
        }
        self.pump_touched(now, out);
    }

    /// The store is well again: what rested goes on.
    pub(in super::super) fn resume_delivery(&mut self, now: Now, out: &mut Outbox<Peer>) {
        for id in self.consumers.ids() {
            let mut effects = Vec::new();
            if let Some(held) = self.consumers.of_mut(id) {
                held.consumer.store_is_well(&mut effects);
            }
            self.carry_out(id, effects, now, out);
            self.consumers.touch(id);
        }
        self.arm_save(now);
        self.pump_touched(now, out);
    }
}

/// When an event was published, by the clock of durations. The two clocks may disagree: it is for
/// a histogram.
fn published_at(record: &Record, now: Now) -> Mono {
    let age_ms = u64::try_from(now.wall.0.saturating_sub(record.time.0)).unwrap_or(0);
    Mono(now.mono.0.saturating_sub(Duration::from_millis(age_ms).as_nanos() as u64))
}
