//! What is written down of a guaranteed subscription, and how it comes back after a restart.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::super::asked::{Asked, Upkeep};
use super::super::consumer_id::{ConsumerId, ConsumerKey};
use super::super::image::SEALED;
use super::super::timers::Timer;
use super::super::{Hydrogen, Peer};
use super::{Held, Writing};
use crate::base::{Metric, Now};
use crate::engine::delivery::{Consumer, Cursor, Selector};
use crate::engine::outbound::Lane;
use crate::engine::store::{Level, Op, Seq, Table, Write};
use crate::engine::topic::{Filter, Pattern};
use crate::engine::work::Outbox;

/// Between a change of a cursor and its being written. Acks of this time may be lost in a crash.
const SAVE_AFTER: Duration = Duration::from_millis(50);

/// Things that wait to be taken out of the store, since it did not work the first time.
const DELETES_MAX: usize = 65_536;
/// Those of them that are asked for at once.
const DELETES_AT_ONCE: usize = 1024;

/// A guaranteed subscription as it is written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Definition {
    /// Its patterns.
    patterns: Vec<Written>,
    /// Events that may be in flight.
    window: usize,
    /// Until an event that was not acknowledged is sent again.
    ack_timeout_ms: u64,
    /// Whether its events may wait for others.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    bulk: bool,
}

/// How far a subscription has come, as it is written down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Its cursor.
    #[serde(flatten)]
    pub(super) cursor: Cursor,
    /// Topics of which it lost events, and nobody was told yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) lost: Vec<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Written {
    topics: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    filter: Option<serde_json::Value>,
    since: u64,
}

impl Definition {
    /// JSON, for the store.
    pub(super) fn encode(&self) -> Bytes {
        // It holds nothing that JSON has no place for.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// Reads what [`Definition::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Option<Definition> {
        serde_json::from_slice(bytes).ok()
    }

    /// Whether it has a pattern.
    pub(in super::super) fn has(&self, pattern: &str) -> bool {
        self.patterns.iter().any(|written| written.topics == pattern)
    }

    fn selectors(&self) -> Vec<Selector> {
        let selector = |written: &Written| {
            let filter = match &written.filter {
                Some(filter) => Filter::parse(filter).ok()?.map(Into::into),
                None => None,
            };
            Some(Selector { pattern: Pattern::parse(&written.topics).ok()?, filter, since: Seq(written.since) })
        };
        self.patterns.iter().filter_map(selector).collect()
    }
}

impl Held {
    pub(super) fn definition(&self) -> Definition {
        let written = |selector: &Selector| Written {
            topics: selector.pattern.as_str().to_owned(),
            filter: selector.filter.as_ref().map(|filter| filter.to_value()),
            since: selector.since.0,
        };
        let settings = self.consumer.settings();
        Definition {
            patterns: self.consumer.selectors().map(written).collect(),
            window: settings.window,
            ack_timeout_ms: settings.ack_timeout.as_millis() as u64,
            bulk: self.lane == Lane::Bulk,
        }
    }
}

impl Hydrogen {
    /// A subscription comes back after a restart.
    pub(in super::super) fn restore_consumer(
        &mut self,
        key: ConsumerKey,
        definition: &Definition,
        progress: Option<&Progress>,
        now: Now,
    ) {
        let id = key.id();
        let selectors = definition.selectors();
        for selector in &selectors {
            self.show_interest(&selector.pattern, id);
        }
        if id.home(self.workers) != self.worker {
            return;
        }
        let ack_timeout = Duration::from_millis(definition.ack_timeout_ms);
        let settings = self.consumer_settings(Some(definition.window), Some(ack_timeout));
        // A subscription whose cursor was not written yet has taken nothing: it begins where its
        // patterns do.
        let fresh = Progress::default();
        let progress = progress.unwrap_or(&fresh);
        let consumer = Consumer::restore(settings, selectors, &progress.cursor, self.store.head, now.mono);
        self.counters.inc(Metric::CONSUMERS_MADE);
        let held = self.consumers.insert(id, key, consumer, now.mono);
        held.writing = Writing::stored();
        held.lost = progress.lost.iter().map(|topic| topic.as_str().into()).collect();
        held.lane = if definition.bulk { Lane::Bulk } else { Lane::Events };
    }

    pub(in super::super) fn arm_save(&mut self, now: Now) {
        if !self.consumers.is_save_armed {
            self.consumers.is_save_armed = true;
            self.timers.set(now.mono.after(SAVE_AFTER), Timer::Save);
        }
    }

    /// Writes down what changed since the last time.
    pub(in super::super) fn save_dirty(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.consumers.is_save_armed = false;
        if !self.store.takes_upkeep() {
            // It is saved when the store is well again.
            return;
        }
        self.save_seal(out);
        for id in self.consumers.dirty_ids() {
            let Some(held) = self.consumers.of(id) else { continue };
            if held.is_saving {
                self.arm_save(now);
                continue;
            }
            self.save_cursor(id, Level::Memory, out);
        }
        if !self.store.is_down() {
            for id in std::mem::take(&mut self.consumers.redefined) {
                self.save_definition(id, out);
            }
            self.repeat_deletes(now, out);
            self.save_sessions(out);
            self.save_retained(now, out);
        }
    }

    /// The last time: what is on its way is followed by what is newer.
    pub(in super::super) fn save_last(&mut self, now: Now, out: &mut Outbox<Peer>) {
        for id in self.consumers.dirty_ids() {
            if let Some(held) = self.consumers.of_mut(id) {
                held.is_saving = false;
            }
        }
        self.save_dirty(now, out);
    }

    /// Something was not written down, or not taken out of the store: it is tried again when the
    /// store is well.
    pub(in super::super) fn not_kept_up(&mut self, what: Upkeep, now: Now) {
        match what {
            Upkeep::Definition(id) if self.consumers.of(id).is_some() => drop(self.consumers.redefined.insert(id)),
            Upkeep::Session(conn) if self.is_here(conn) => drop(self.dirty_sessions.insert(conn)),
            Upkeep::Delete(table, key) => self.remember_delete(table, key),
            Upkeep::Definition(_) | Upkeep::Session(_) => {}
        }
        self.arm_save(now);
    }

    /// Takes something out of the store.
    pub(in super::super) fn delete(&mut self, table: Table, key: Box<str>, out: &mut Outbox<Peer>) {
        let asked = Asked::Upkeep(Upkeep::Delete(table, key.clone()));
        self.store.ask(asked, Op::Write(Write::Delete { table, key, level: Level::Memory }), out);
    }

    /// Something is to be taken out of the store later. What finds no room here is found again
    /// after a restart.
    pub(in super::super) fn remember_delete(&mut self, table: Table, key: Box<str>) {
        if self.unsaved_deletes.len() < DELETES_MAX {
            self.unsaved_deletes.insert((table, key));
        }
    }

    fn repeat_deletes(&mut self, now: Now, out: &mut Outbox<Peer>) {
        for _ in 0..DELETES_AT_ONCE {
            let Some((table, key)) = self.unsaved_deletes.pop_first() else { return };
            // A durable subscription may have been made again meanwhile.
            let is_back = ConsumerKey::parse(&key).is_some_and(|key| self.consumers.of(key.id()).is_some());
            if !is_back {
                self.delete(table, key, out);
            }
        }
        if !self.unsaved_deletes.is_empty() {
            self.arm_save(now);
        }
    }

    /// Writes down a subscription that has fewer patterns than before.
    pub(super) fn save_definition(&mut self, id: ConsumerId, out: &mut Outbox<Peer>) {
        let Some(held) = self.consumers.of(id) else { return };
        let (key, value) = (held.key.to_string().into(), held.definition().encode());
        let write = Write::Put { table: Table::Subscriptions, key, value, level: Level::Memory };
        self.store.ask(Asked::Upkeep(Upkeep::Definition(id)), Op::Write(write), out);
    }

    /// Writes down how far logs were left behind, so that nothing is added to them after a restart.
    pub(in super::super) fn save_seal(&mut self, out: &mut Outbox<Peer>) {
        let Some(seq) = self.unsaved_seal.take() else { return };
        let (key, value) = (format!("{SEALED}/{}", self.worker.0).into(), seq.to_string().into());
        let write = Write::Put { table: Table::Meta, key, value, level: Level::Memory };
        self.store.ask(Asked::Seal(seq), Op::Write(write), out);
    }

    pub(super) fn save_cursor(&mut self, id: ConsumerId, level: Level, out: &mut Outbox<Peer>) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.is_saving = true;
        held.consumer.take_dirty();
        let key = held.key.to_string();
        // It holds nothing that JSON has no place for.
        let progress =
            Progress { cursor: held.consumer.cursor(), lost: held.lost.iter().map(ToString::to_string).collect() };
        let value = serde_json::to_vec(&progress).unwrap_or_default();
        self.consumers.clean(id);
        let write = Write::Put { table: Table::Cursors, key: key.into(), value: value.into(), level };
        self.store.ask(Asked::Cursor(id), Op::Write(write), out);
    }

    /// A cursor was written, or was not: then it is written again with the next.
    pub(in super::super) fn on_cursor_saved(&mut self, id: ConsumerId, is_saved: bool) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.is_saving = false;
        if !is_saved {
            self.consumers.mark_dirty(id);
        }
    }

    /// Ends durable subscriptions that nobody has attended to for as long as they are kept.
    pub(in super::super) fn expire_durables(&mut self, now: Now, out: &mut Outbox<Peer>) {
        let Some(expiry) = self.settings.delivery.durable_expiry else { return };
        let is_over = |held: &Held| {
            matches!(held.key, ConsumerKey::Durable { .. })
                && held.unattended.is_some_and(|since| now.mono.since(since) >= expiry)
        };
        let over: Vec<ConsumerId> = self.consumers.iter().filter(|(_, held)| is_over(held)).map(|(id, _)| id).collect();
        for id in over {
            log::info!("a durable subscription expired, since nobody attended to it");
            self.end_consumer(id, now, out);
        }
    }
}
