//! What a shard begins with after a restart: the store's logs, and what it holds of subscriptions
//! and sessions. Every worker is handed all of it and takes its own.

use std::collections::{BTreeMap, BTreeSet};

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
        image.leave_out_unheld();
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

    /// A session and its unnamed subscription are two writes, and a crash may have come between them.
    /// What only the session has would be said to be back, and would get nothing.
    fn leave_out_unheld(&mut self) {
        let unnamed = self.subscriptions.iter().filter(|(key, ..)| matches!(key, ConsumerKey::Session(_)));
        let held: BTreeMap<String, &Definition> =
            unnamed.map(|(key, definition, _)| (key.to_string(), definition)).collect();
        for joined in self.sessions.iter_mut().flat_map(|session| &mut session.joined) {
            if let Some(definition) = held.get(&joined.key) {
                joined.patterns.retain(|pattern| definition.has(pattern));
            }
        }
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

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_session_comes_back_without_what_its_own_subscription_does_not_have() {
        let definition = |topics: &[&str]| {
            let patterns: Vec<Value> = topics.iter().map(|topics| json!({"topics": topics, "since": 1})).collect();
            let text = json!({"patterns": patterns, "window": 1, "ack_timeout_ms": 1000}).to_string();
            Definition::decode(text.as_bytes()).unwrap()
        };
        let durable = "d/n/ada";
        // (subscription in the store, what it has, key in the session, what the session has, what stays)
        for (key, has, joined, patterns, stays) in [
            ("s/1.a", &["a.b", "c.*"][..], "s/1.a", &["a.b", "c.*"][..], &["a.b", "c.*"][..]),
            ("s/1.a", &["a.b"], "s/1.a", &["a.b", "c.*"], &["a.b"]),
            // None of it is there: that is found, and told, by who resumes.
            ("s/2.b", &["a.b"], "s/1.a", &["a.b"], &["a.b"]),
            // Another may have made it anew.
            (durable, &["a.b"], durable, &["a.b", "c.*"], &["a.b", "c.*"]),
        ] {
            let record = json!({"id": "1.a", "identity": "ada", "secret": vec![0; 32],
                "joined": [{"key": joined, "patterns": patterns}]});
            let mut image = ShardImage {
                subscriptions: vec![(ConsumerKey::parse(key).unwrap(), definition(has), None)],
                sessions: vec![SessionRecord::decode(record.to_string().as_bytes()).unwrap()],
                ..ShardImage::default()
            };
            image.leave_out_unheld();
            assert_eq!(image.sessions[0].joined[0].patterns, stays, "{joined} with {has:?}");
        }
    }
}
