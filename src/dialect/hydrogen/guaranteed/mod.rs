//! Guaranteed subscriptions: each is a [`Consumer`] that one worker owns, its *home*. Connections
//! are members of it, wherever they live: their worker passes on what they ack, and the home
//! sends to them directly.
//!
//! A consumer is written to the store before its subscriber is answered; how far it has come is
//! written a little later, and by its way again with the next change. A crash in between means a
//! repeat, never a loss.

mod acks;
mod letter_index;
mod letters;
mod letters_command;
mod made;
mod make;
mod run;
mod save;

pub use acks::AckOf;
pub use save::{Definition, Progress};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::consumer_id::{ConsumerId, ConsumerKey};
use super::gather::Joined;
use super::reply_to::Reply;
use crate::base::Mono;
use crate::engine::delivery::{Consumer, DeadLetter};
use crate::engine::outbound::{Lane, Overflow};
use crate::engine::store::{Record, Seq};
use crate::engine::topic::TargetFlags;
use letter_index::LetterIndex;

/// Topics that one subscription is told to have lost.
const LOST_TOPICS: usize = 64;

/// Letters of one subscription that wait to be delivered again.
const REPLAYS: usize = 1000;

/// One consumer of this worker.
#[derive(Debug)]
pub(super) struct Held {
    pub key: ConsumerKey,
    pub consumer: Consumer,
    /// The lane of its events.
    pub lane: Lane,
    /// When its deadline is armed.
    pub armed: Option<Mono>,
    /// How far it is written down itself.
    pub writing: Writing,
    /// Who resumes a session and is told that it is there once it is written down.
    pub rejoining: Vec<Reply>,
    /// Its cursor is on its way to the store.
    pub is_saving: bool,
    /// Topics of which it lost events, until its client is told.
    pub lost: BTreeSet<Arc<str>>,
    /// Letters that are being fetched: so many are still to come, and those that are there, unless
    /// one could not be read.
    pub fetching: (usize, Option<Vec<Record>>),
    /// Letters that are delivered again as soon as its window has room, the oldest first.
    pub replays: BTreeMap<Seq, DeadLetter>,
    /// Since when it has no members.
    pub unattended: Option<Mono>,
}

/// Whether a consumer is in the store as it is here.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writing {
    under_way: u32,
    /// The last one to end failed, or none has ended yet.
    is_behind: bool,
    /// Some form of it is in the store.
    is_stored: bool,
}

impl Writing {
    /// It comes from the store.
    pub fn stored() -> Writing {
        Writing { is_stored: true, ..Writing::default() }
    }

    pub fn begin(&mut self) {
        self.under_way += 1;
        self.is_behind = true;
    }

    pub fn end(&mut self, is_done: bool) {
        self.under_way = self.under_way.saturating_sub(1);
        self.is_stored |= is_done;
        self.is_behind &= !(is_done && self.under_way == 0);
    }

    pub fn is_written(self) -> bool {
        !self.is_behind
    }

    /// Some form of it is in the store.
    pub fn is_stored(self) -> bool {
        self.is_stored
    }

    /// Nothing of it is on its way.
    pub fn is_idle(self) -> bool {
        self.under_way == 0
    }

    /// Nothing of it is in the store, nor on its way there.
    pub fn is_void(self) -> bool {
        !self.is_stored && self.is_idle()
    }
}

/// The consumers of one worker.
#[derive(Debug, Default)]
pub(super) struct Consumers {
    by_id: BTreeMap<ConsumerId, Held>,
    /// Those that must be pumped at the end of the step.
    touched: BTreeSet<ConsumerId>,
    /// Those whose cursor is to be saved.
    dirty: BTreeSet<ConsumerId>,
    /// Those that must be written down anew.
    redefined: BTreeSet<ConsumerId>,
    durables: usize,
    /// The dead letters that are at home here.
    pub(super) letters: LetterIndex,
    /// Letters that are being taken away to make room.
    evicting: usize,
    pub(super) is_save_armed: bool,
}

impl Consumers {
    pub(super) fn of_mut(&mut self, id: ConsumerId) -> Option<&mut Held> {
        self.by_id.get_mut(&id)
    }

    pub(super) fn of(&self, id: ConsumerId) -> Option<&Held> {
        self.by_id.get(&id)
    }

    pub(super) fn insert(&mut self, id: ConsumerId, key: ConsumerKey, consumer: Consumer, now: Mono) -> &mut Held {
        self.durables += usize::from(matches!(key, ConsumerKey::Durable { .. }));
        self.by_id.entry(id).or_insert(Held {
            key,
            consumer,
            lane: Lane::Events,
            armed: None,
            writing: Writing::default(),
            rejoining: Vec::new(),
            is_saving: false,
            lost: BTreeSet::new(),
            fetching: (0, None),
            replays: BTreeMap::new(),
            unattended: Some(now),
        })
    }

    pub(super) fn remove(&mut self, id: ConsumerId) -> Option<Held> {
        let held = self.by_id.remove(&id)?;
        self.touched.remove(&id);
        self.dirty.remove(&id);
        self.redefined.remove(&id);
        self.durables -= usize::from(matches!(held.key, ConsumerKey::Durable { .. }));
        Some(held)
    }

    pub(super) fn mark_dirty(&mut self, id: ConsumerId) {
        self.dirty.insert(id);
    }

    pub(super) fn clean(&mut self, id: ConsumerId) {
        self.dirty.remove(&id);
    }

    pub(super) fn dirty_ids(&self) -> Vec<ConsumerId> {
        self.dirty.iter().copied().collect()
    }

    pub(super) fn pop_touched(&mut self) -> Option<ConsumerId> {
        self.touched.pop_first()
    }

    pub(super) fn touch(&mut self, id: ConsumerId) {
        self.touched.insert(id);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ConsumerId, &Held)> {
        self.by_id.iter().map(|(id, held)| (*id, held))
    }

    pub(super) fn ids(&self) -> Vec<ConsumerId> {
        self.by_id.keys().copied().collect()
    }

    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(super) fn durables(&self) -> usize {
        self.durables
    }
}

impl Held {
    /// What whoever joins is told.
    pub(super) fn joined(&self, lost: Vec<Arc<str>>) -> Joined {
        let settings = self.consumer.settings();
        let (window, ack_timeout_ms) = (settings.window, settings.ack_timeout.as_millis() as u64);
        Joined { lost, window, ack_timeout_ms }
    }

    /// How its events go out: the window bounds them, so that none is ever dropped.
    pub(super) fn flags(&self) -> TargetFlags {
        TargetFlags::new(self.lane, Overflow::Disconnect, false)
    }

    /// A letter is to be delivered again. Beyond the bound it only stays a letter.
    pub(super) fn replay_later(&mut self, letter: DeadLetter) {
        if self.replays.len() < REPLAYS {
            self.replays.insert(letter.seq, letter);
        }
    }

    /// Delivers letters again as far as the window has room.
    pub(super) fn replay_waiting(&mut self, now: Mono) {
        while self.consumer.outstanding() < self.consumer.settings().window.max(1)
            && let Some((_, letter)) = self.replays.pop_first()
        {
            // One that is in flight already is not delivered twice.
            self.consumer.replay(letter, now);
        }
    }

    /// Remembers that events of a topic were lost.
    pub(super) fn lose(&mut self, topic: &Arc<str>) {
        if self.lost.len() < LOST_TOPICS {
            self.lost.insert(topic.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::engine::delivery::{Backoff, DeadReason, Settings};
    use crate::engine::topic::Epoch;

    fn letter(seq: u64) -> DeadLetter {
        DeadLetter {
            seq: Seq(seq),
            topic: "a".into(),
            epoch: Epoch::parse("3f5bd15d5b261b01").unwrap(),
            offset: seq,
            weight: 1,
            reason: DeadReason::AttemptsExhausted,
            deliveries: 1,
            history: Vec::new(),
        }
    }

    #[test]
    fn replays_beyond_the_window_wait_for_room() {
        let settings = Settings {
            window: 2,
            window_bytes: 1024,
            ack_timeout: Duration::from_secs(1),
            backoff: Backoff { base: Duration::from_secs(1), max: Duration::from_secs(1) },
            attempts_max: 1,
        };
        let mut consumers = Consumers::default();
        let key = ConsumerKey::Session("1.a".into());
        let held = consumers.insert(key.id(), key, Consumer::new(settings, Seq(9000)), Mono(0));
        let waiting = |held: &Held| held.replays.keys().map(|seq| seq.0).collect::<Vec<_>>();
        for seq in [5, 3, 4, 1, 3] {
            held.replay_later(letter(seq));
        }
        held.replay_waiting(Mono(0));
        assert_eq!((held.consumer.outstanding(), waiting(held)), (2, vec![4, 5]));
        held.replay_waiting(Mono(0));
        assert_eq!((held.consumer.outstanding(), waiting(held)), (2, vec![4, 5]));
        held.consumer.set_settings(Settings { window: 3, ..*held.consumer.settings() });
        // The first is in flight already: it takes no room.
        held.replay_later(letter(1));
        held.replay_waiting(Mono(0));
        assert_eq!((held.consumer.outstanding(), waiting(held)), (3, vec![5]));
        for seq in 100..5000 {
            held.replay_later(letter(seq));
        }
        assert_eq!(held.replays.len(), REPLAYS);
    }
}
