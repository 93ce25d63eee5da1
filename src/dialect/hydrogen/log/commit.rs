//! What the store says: commits are answered and handed out, failures are taken back.

use std::sync::Arc;

use super::super::asked::{Appended, Asked};
use super::super::gather::Part;
use super::super::publish::{Event, answer};
use super::super::{Hydrogen, Peer};
use super::Log;
use crate::base::{Error, Metric, Now};
use crate::engine::store::{Answer, Commit, Damage, Failure, Level, Record, StoreError, StoreEvent, StoreFault};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// What the store says.
    pub fn on_store(&mut self, event: &StoreEvent, now: Now, out: &mut Outbox<Peer>) {
        match event {
            StoreEvent::Committed(commit) => self.on_committed(commit, now, out),
            StoreEvent::Done { ticket, result } => {
                if let Some(asked) = self.store.take(*ticket) {
                    self.on_done(asked, result, now, out);
                }
            }
            StoreEvent::Failed(failure) => self.on_failed(failure, now),
            StoreEvent::Well => {
                self.store.on_well();
                self.resume_delivery(now, out);
                // What could not be trimmed meanwhile.
                self.sweep_logs(now, out);
            }
            StoreEvent::Damaged(damage) => self.on_damage(damage),
        }
    }

    /// Something was found damaged and set aside. All workers hear of it; one tells it.
    fn on_damage(&mut self, damage: &[Damage]) {
        for damage in damage {
            if self.worker.0 == 0 {
                self.counters.inc(Metric::STORE_DAMAGED.at(damage.kind()));
                log::error!("the store is damaged, and what is damaged was set aside: {damage}");
            }
            if let Damage::Events { topic, epoch, last, .. } = damage {
                let topic: Arc<str> = (&**topic).into();
                // A log that lost its end takes no more events.
                if let Some(log) = self.logs.of_mut(&topic).filter(|log| log.epoch == *epoch)
                    && *last >= log.committed
                {
                    log.is_sealed = true;
                }
                for id in self.interest.matching(&topic).iter() {
                    if let Some(held) = self.consumers.of_mut(*id) {
                        held.lose(&topic);
                    }
                }
            }
        }
    }

    fn on_committed(&mut self, commit: &Arc<Commit>, now: Now, out: &mut Outbox<Peer>) {
        for entry in &commit.entries {
            self.store.head = entry.record.seq;
            if entry.worker == self.worker
                && let Some(Asked::Append(append)) = self.store.take(entry.ticket)
            {
                self.on_appended(&append, (entry.ticket, &entry.record), now, out);
            }
            self.offer(entry, now, out);
        }
        self.pump_touched(now, out);
    }

    /// An event of this worker is in its log.
    fn on_appended(&mut self, append: &Appended, (ticket, record): (u64, &Record), now: Now, out: &mut Outbox<Peer>) {
        let (epoch, offset) = (append.stamp.epoch, append.stamp.offset);
        let weight = record.weight() as u64;
        if let Some(log) = self.logs.of_mut(&append.topic).filter(|log| log.epoch == epoch) {
            log.ended(append);
            log.committed = offset;
            log.stock.appended(ticket, weight, append.time);
        } else if let Some(older) = self.logs.older_mut(&append.topic, epoch) {
            older.pending = older.pending.saturating_sub(1);
            older.last = offset;
            older.stock.appended(ticket, weight, append.time);
        }
        let mut receivers = 0;
        if !append.is_fanned_out {
            // What was retained is no longer what a full table of retained values would refuse:
            // the event is published all the same.
            let best_effort = self.hand_out(&event_of(append), append.stamp, true, now, out).unwrap_or_default();
            receivers = best_effort + self.interest.matching(&append.topic).len();
        }
        if append.level == Level::Disk {
            self.counters.inc(Metric::EVENTS_PUBLISHED);
            let wait = now.mono.since(append.published_at).as_nanos() as u64;
            self.counters.record_ns(Metric::PUBLISH_NS, wait);
            let text = answer(append.stamp, receivers, Level::Disk);
            if let Some(key) = append.dedup {
                for repeat in self.dedup.answered(key, (append.stamp.epoch, append.stamp.offset, receivers), now.wall) {
                    self.reply(repeat, Ok(text.clone()), now, out);
                }
            }
            self.reply(append.reply, Ok(text), now, out);
        }
        self.trim_if_needed(&append.topic, now, out);
    }

    fn on_done(&mut self, asked: Asked, result: &Result<Answer, StoreError>, now: Now, out: &mut Outbox<Peer>) {
        match asked {
            Asked::Append(append) => {
                if let Err(error) = result {
                    self.on_not_appended(&append, &error.error(), now, out);
                }
            }
            Asked::Trim { topic, epoch } => {
                let trimmed = match result {
                    Ok(Answer::Trimmed(trimmed)) => Some(trimmed),
                    _ => None,
                };
                self.on_trimmed(&topic, epoch, trimmed, now, out);
            }
            Asked::History(ask) => self.on_history(*ask, result, now, out),
            Asked::Behind(consumer) => self.on_behind(consumer, result, now, out),
            Asked::Again(consumer) => self.on_again(consumer, result, now, out),
            Asked::Replay(replay) => self.on_replay(*replay, result, now, out),
            Asked::Place { pattern, head, reply } => self.on_place(pattern, head, reply, result, now, out),
            Asked::Made(saving) => self.on_made(*saving, error_of(result), now, out),
            Asked::Saved { ticket } => {
                let part = error_of(result).map_or_else(Part::Failed, |()| Part::Done);
                self.on_part(ticket, part, now, out);
            }
            Asked::Dying(consumer, letter) => self.on_dying(consumer, *letter, result, now, out),
            Asked::DyingAgain(consumer, letter) => self.on_dying_again(consumer, &letter, result, now, out),
            Asked::Buried(key, seq) => self.on_buried(&key, seq, result.is_ok(), now, out),
            Asked::Evicted(key, seq) => self.on_evicted(&key, seq, result.is_ok(), out),
            Asked::Forgotten(key, seq) => {
                if result.is_ok() {
                    self.on_forgotten(key, seq, now, out);
                }
            }
            Asked::FetchedLetter(consumer, seq) => self.on_fetched_letter(consumer, seq, result, now, out),
            Asked::LettersOf(of, ask) => self.on_letters_of(of, *ask, result, now, out),
            Asked::Letter(key, ask) => self.on_letter(key, *ask, result, now, out),
            Asked::Letters(ask) => self.on_letters(*ask, result, now, out),
            Asked::Cursor(consumer) => self.on_cursor_saved(consumer, result.is_ok()),
            Asked::Upkeep(what) => {
                if result.is_err() {
                    self.not_kept_up(what, now);
                }
            }
            Asked::Retained(topic) => self.on_retained_saved(topic, result.is_ok()),
            Asked::Seal(seq) => {
                if result.is_err() {
                    self.unsaved_seal = Some(seq);
                    self.arm_save(now);
                }
            }
            Asked::Nothing => {}
        }
    }

    /// An event did not get into its log: its publisher learns it. One that was answered already
    /// was best-effort; it goes out all the same.
    fn on_not_appended(&mut self, append: &Appended, error: &Error, now: Now, out: &mut Outbox<Peer>) {
        if let Some(log) = self.logs.of_mut(&append.topic).filter(|log| log.epoch == append.stamp.epoch) {
            log.ended(append);
        } else if let Some(older) = self.logs.older_mut(&append.topic, append.stamp.epoch) {
            older.pending = older.pending.saturating_sub(1);
        }
        if append.level == Level::Memory {
            self.counters.inc(Metric::EVENTS_UNLOGGED);
            if !append.is_fanned_out {
                let _ = self.hand_out(&event_of(append), append.stamp, false, now, out);
            }
            return;
        }
        let error = error.clone().retry_after_ms(1000);
        if let Some(key) = append.dedup {
            for repeat in self.dedup.failed(key) {
                self.reply(repeat, Err(error.clone()), now, out);
            }
        }
        self.reply(append.reply, Err(error), now, out);
    }

    /// Nothing that is under way will be committed: offsets that nobody was told go back.
    fn on_failed(&mut self, failure: &Failure, now: Now) {
        self.store.on_failed(&failure.error, failure.term);
        let mut topics = self.store.topics_under_way();
        topics.sort_unstable();
        topics.dedup();
        for topic in topics {
            let Some(log) = self.logs.of_mut(&topic) else { continue };
            // What is refused does not follow what the store has; it would be refused again.
            if log.pending_answered > 0 || failure.error.fault == StoreFault::Refused {
                log.is_sealed = true;
                // Somebody was told of offsets that are not in the store: also after a restart
                // nobody else is to be told of them.
                self.unsaved_seal = Some(self.store.head);
            } else {
                log.handed_out = log.committed;
                let (epoch, offset) = (log.epoch, log.committed);
                // It had its place before.
                let _ = self.topics.restore(&topic, epoch, offset, now.mono);
            }
        }
    }
}

impl Log {
    /// An append is over, one way or the other.
    fn ended(&mut self, append: &Appended) {
        self.pending = self.pending.saturating_sub(1);
        self.pending_sent = self.pending_sent.saturating_sub(u32::from(!append.is_fanned_out));
        self.pending_answered = self.pending_answered.saturating_sub(u32::from(append.level == Level::Memory));
    }
}

fn error_of(result: &Result<Answer, StoreError>) -> Result<(), Error> {
    result.as_ref().map(|_| ()).map_err(StoreError::error)
}

fn event_of(append: &Appended) -> Event<'_> {
    Event {
        topic: &append.topic,
        payload: &append.payload,
        retain: append.retain,
        ttl: append.ttl,
        low_priority: append.low_priority,
        published_at: append.published_at,
        time: append.time,
        dedup: None,
    }
}
