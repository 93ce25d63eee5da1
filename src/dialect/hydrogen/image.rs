//! What a shard begins with after a restart: the store's logs, and what it holds of subscriptions
//! and sessions. Every worker is handed all of it and takes its own.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Hydrogen;
use super::consumer_id::{ConsumerKey, home_of_session};
use super::guaranteed::{Definition, Progress};
use super::letter::parse_key;
use super::record::SessionRecord;
use crate::base::Now;
use crate::engine::store::{Backend, Image, Seq, StoreError, Table};
use crate::engine::topic::Epoch;

/// Values read at a time.
const PAGE: usize = 1024;

/// Dead letters read at a time: each holds an event's payload.
const LETTERS_PAGE: usize = 64;

/// Where each worker writes how far logs were left behind by a crash, or by a store that failed.
pub(super) const SEALED: &str = "sealed";

/// What a shard begins with.
#[derive(Debug, Default)]
pub struct ShardImage {
    /// The logs, and the ids of publishes.
    pub store: Image,
    /// Mixed logs that end here or before may lack events at their end, however often the store
    /// was closed in order since: they get no more.
    pub(super) sealed: Seq,
    /// Guaranteed subscriptions: key, definition, and how far they have come.
    subscriptions: Vec<(ConsumerKey, Definition, Option<Progress>)>,
    /// Sessions that can be resumed.
    sessions: Vec<SessionRecord>,
    /// Their ids.
    session_ids: BTreeSet<Box<str>>,
    /// Retained events, by topic.
    retained: Vec<(Box<str>, Bytes)>,
    /// The dead letters of each subscription, also of those that have ended.
    letters: Vec<(ConsumerKey, Vec<Seq>)>,
}

impl ShardImage {
    /// Reads what the store holds beside the logs. What cannot be understood is left out and told.
    pub fn load(store: Image, backend: &mut dyn Backend) -> Result<ShardImage, StoreError> {
        let mut image = ShardImage { store, ..ShardImage::default() };
        image.sealed = image.store.last;
        if image.store.was_closed {
            let by_worker = backend.scan(Table::Meta, SEALED, None, PAGE)?;
            let number = |value: &[u8]| std::str::from_utf8(value).ok()?.parse().ok();
            image.sealed = Seq(by_worker.iter().filter_map(|(_, value)| number(value)).max().unwrap_or(0));
        }
        each(backend, Table::Subscriptions, |backend, key, value| {
            let read = ConsumerKey::parse(key).zip(Definition::decode(value));
            let Some((name, definition)) = read else {
                log::error!("the store's subscription {key:?} cannot be read: it is left out");
                return Ok(());
            };
            let progress = backend.get(Table::Cursors, key)?.and_then(|value| serde_json::from_slice(&value).ok());
            image.subscriptions.push((name, definition, progress));
            Ok(())
        })?;
        each(backend, Table::Sessions, |_, key, value| {
            match SessionRecord::decode(value) {
                Some(record) => {
                    image.session_ids.insert(record.id.clone());
                    image.sessions.push(record);
                }
                None => log::error!("the store's session {key:?} cannot be read: it is left out"),
            }
            Ok(())
        })?;
        each(backend, Table::Retained, |_, key, value| {
            image.retained.push((key.into(), value.clone()));
            Ok(())
        })?;
        each(backend, Table::DeadLetters, |_, key, _| {
            let Some((of, seq)) = parse_key(key) else {
                log::error!("the store's dead letter {key:?} cannot be read: it is left out");
                return Ok(());
            };
            match image.letters.last_mut() {
                Some((last, seqs)) if *last == of => seqs.push(seq),
                Some(_) | None => image.letters.push((of, vec![seq])),
            }
            Ok(())
        })?;
        Ok(image)
    }
}

/// Looks at every value of a table.
fn each(
    backend: &mut dyn Backend,
    table: Table,
    mut look: impl FnMut(&mut dyn Backend, &str, &Bytes) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let limit = if table == Table::DeadLetters { LETTERS_PAGE } else { PAGE };
    let mut after: Option<Box<str>> = None;
    loop {
        let page = backend.scan(table, "", after.as_deref(), limit)?;
        for (key, value) in &page {
            look(backend, key, value)?;
        }
        match page.last() {
            Some((key, _)) if page.len() == limit => after = Some(key.clone()),
            Some(_) | None => return Ok(()),
        }
    }
}

impl Hydrogen {
    /// Takes from the image what is this worker's.
    pub(super) fn restore(&mut self, image: &ShardImage, now: Now) {
        let (own, workers) = (self.worker, self.workers);
        let is_own = |topic: &str| crate::engine::topic::owner(topic, workers) == own;
        self.logs.restore(&image.store, image.sealed, now.wall, is_own);
        if own.0 == 0 && !image.store.was_closed && image.sealed > Seq(0) {
            self.unsaved_seal = Some(image.sealed);
            self.arm_save(now);
        }
        // Ids of other workers' events would push out this one's own. Whose a log was that is gone
        // is not known, so that these are taken by all.
        let others = image.store.logs.iter().filter(|head| !is_own(&head.topic));
        let others: BTreeSet<Epoch> = others.map(|head| head.epoch).collect();
        for (key, epoch, offset, at) in image.store.dedup.iter().filter(|(_, epoch, ..)| !others.contains(epoch)) {
            self.dedup.restore(*key, *epoch, *offset, *at);
        }
        let is_resumable = !self.settings.session_ttl.is_zero();
        for record in &image.sessions {
            self.restore_session(record.clone(), now);
            if !is_resumable && home_of_session(&record.id, workers) == own {
                self.remember_delete(Table::Sessions, record.id.clone());
            }
        }
        for (key, definition, progress) in &image.subscriptions {
            let is_orphan = matches!(key, ConsumerKey::Session(id)
                if !is_resumable || !image.session_ids.contains(id));
            if !is_orphan {
                self.restore_consumer(key.clone(), definition, progress.as_ref(), now);
            } else if key.id().home(workers) == own {
                for table in [Table::Subscriptions, Table::Cursors] {
                    self.remember_delete(table, key.to_string().into());
                }
            }
        }
        if !self.unsaved_deletes.is_empty() {
            self.arm_save(now);
        }
        for (key, seqs) in &image.letters {
            if self.home(key.id()) == own {
                self.consumers.letters.restore(&key.to_string(), seqs);
            }
        }
        for (topic, value) in &image.retained {
            self.restore_retained(topic, value, now);
        }
        if self.topics.counts().topics + self.logs.len() + self.kept.len() + self.consumers.len() > 0 {
            self.ensure_sweep(now.mono);
        }
    }
}
