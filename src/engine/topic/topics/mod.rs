//! One shard of the topics: their offsets, their subscriptions, who gets what, what is retained.
//!
//! A publish is [`Topics::begin`], which stamps the event so that it can be encoded, and then
//! [`Topics::fan_out`], which says who gets it. The lists of receivers are made once and shared;
//! a change of subscriptions touches only the lists of the pattern that changed.
//!
//! Refuses to know of permissions, frames, stores and clocks. Topics are checked by the caller.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::audience::FanOut;
use super::audiences::Audiences;
use super::bounds::{Bounds, Counts, Full};
use super::index::NodeId;
use super::pattern::Pattern;
use super::payload::Payload;
use super::retained::{Retained, RetainedValues};
use super::subscription::{Options, SubKey};
use super::subscriptions::Subscriptions;
use super::table::{Epoch, Route, Stamp, Table, Topic};
use crate::base::limits::PAGE_ROWS;
use crate::base::{ConnId, Mono};

/// A topic as the admin list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its name.
    pub name: Arc<str>,
    /// Its epoch.
    pub epoch: Epoch,
    /// The newest event's offset.
    pub offset: u64,
    /// The subscriptions that match, several of one connection counted each.
    pub subscriptions: usize,
    /// Whether it retains a value.
    pub is_retained: bool,
}

/// What a sweep took out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Idle topics.
    pub topics: usize,
    /// Expired retained values.
    pub retained: usize,
}

/// One shard of the topics.
#[derive(Debug)]
pub struct Topics {
    table: Table,
    subscriptions: Subscriptions,
    audiences: Audiences,
    retained: RetainedValues,
    /// The route of events to a topic that has no state.
    stateless: Route,
    nodes: Vec<NodeId>,
    subscriptions_max: usize,
}

impl Topics {
    /// An empty shard. `seed` is secret and random: names are hashed under it.
    pub fn new(bounds: Bounds, seed: u64) -> Topics {
        Topics {
            table: Table::new(seed, bounds.topics.min(u32::MAX as usize)),
            subscriptions: Subscriptions::new(seed),
            audiences: Audiences::new(bounds.listed_targets, bounds.patched_from),
            retained: RetainedValues::new(bounds.retained_values, bounds.retained_bytes),
            stateless: Route::default(),
            nodes: Vec::new(),
            // Places in the tables are numbered with 32 bits.
            subscriptions_max: bounds.subscriptions.min(u32::MAX as usize),
        }
    }

    /// Adds a subscription, in place of the one with the same key.
    pub fn subscribe(
        &mut self,
        key: SubKey,
        pattern: &Pattern,
        options: Options,
        identity: Arc<str>,
    ) -> Result<(), Full> {
        if !self.unsubscribe(key) && self.subscriptions.len() >= self.subscriptions_max {
            return Err(Full::Subscriptions);
        }
        if self.subscriptions.insert(key, pattern, options, identity) {
            self.on_pattern_change(pattern);
        }
        Ok(())
    }

    /// Ends a subscription. Returns whether there was one.
    pub fn unsubscribe(&mut self, key: SubKey) -> bool {
        let removed = self.subscriptions.remove(key);
        if let Some((pattern, true)) = &removed {
            self.on_pattern_change(pattern);
        }
        removed.is_some()
    }

    /// Ends all subscriptions of a connection. Returns how many there were.
    pub fn drop_connection(&mut self, conn: ConnId) -> usize {
        let mut count = 0;
        while let Some((pattern, is_last)) = self.subscriptions.pop(conn) {
            if is_last {
                self.on_pattern_change(&pattern);
            }
            count += 1;
        }
        count
    }

    /// Opens a topic, with new state in the epoch `random` if it has none.
    pub fn open(&mut self, topic: &str, now: Mono, random: u64) -> Result<&mut Topic, Full> {
        self.table.open(topic, now, Epoch::new(random)).ok_or(Full::Topics)
    }

    /// Sets where a topic's offsets stand, as the store has it.
    pub fn restore(&mut self, topic: &str, epoch: Epoch, offset: u64, now: Mono) -> Result<(), Full> {
        self.table.restore(topic, epoch, offset, now).ok_or(Full::Topics)
    }

    /// Stamps the next event of a topic. `random` becomes the epoch if the topic has no state.
    pub fn begin(&mut self, topic: &str, now: Mono, random: u64) -> Result<Stamp, Full> {
        Ok(self.open(topic, now, random)?.advance())
    }

    /// A topic's name, to be shared; a copy of it if the topic has no state.
    pub fn name(&self, topic: &str) -> Arc<str> {
        self.table.name(topic).cloned().unwrap_or_else(|| topic.into())
    }

    /// Who gets an event. Nothing is allocated if no subscription changed since the last event and
    /// no filter answers otherwise than it did then.
    pub fn fan_out(&mut self, topic: &str, payload: &mut Payload<'_>) -> FanOut<'_> {
        let route = match self.table.topic_mut(topic) {
            Some(topic) => &mut topic.route,
            None => {
                self.stateless.is_stale = true;
                &mut self.stateless
            }
        };
        let shape = self.subscriptions.index().shape();
        let audience = match route.audience {
            Some(audience) if route.shape == shape && !route.is_stale => audience,
            held => {
                self.subscriptions.index().matching_nodes(topic, &mut self.nodes);
                let audience = self.audiences.switch(held, &self.nodes);
                *route = Route { audience: Some(audience), shape, is_stale: false };
                audience
            }
        };
        self.audiences.fan_out(audience, &mut self.subscriptions, payload)
    }

    /// Whether an event of `bytes` (frame and payload) could be retained. Asked before an event is
    /// stamped that must be.
    pub fn make_room(&mut self, topic: &str, bytes: usize, now: Mono) -> Result<(), Full> {
        Ok(self.retained.make_room(topic, bytes, now)?)
    }

    /// Retains an event in place of the one before. The topic keeps its state as long.
    pub fn retain(
        &mut self,
        topic: &str,
        event: Bytes,
        payload: Bytes,
        ttl: Option<Duration>,
        now: Mono,
    ) -> Result<(), Full> {
        let expires = ttl.map(|ttl| now.after(ttl));
        Ok(self.retained.insert(topic, Retained { event, payload, expires }, now)?)
    }

    /// Lets a retained event go. Returns whether there was one.
    pub fn clear(&mut self, topic: &str) -> bool {
        self.retained.remove(topic)
    }

    /// Takes out topics that were idle for `idle` and retain nothing, and expired values. Looks at
    /// no more than `budget` of each; the next call goes on where this one ended.
    pub fn sweep(&mut self, now: Mono, idle: Duration, budget: usize) -> Swept {
        let retained = self.retained.drop_expired(now, budget);
        let is_over = |name: &str, topic: &Topic| now.since(topic.used()) >= idle && !self.retained.is_held(name);
        let over = self.table.sweep(budget, is_over);
        let stateless = std::mem::take(&mut self.stateless);
        let routes = over.iter().map(|topic| &topic.route).chain([&stateless]);
        for audience in routes.filter_map(|route| route.audience) {
            self.audiences.release(audience);
        }
        Swept { topics: over.len(), retained }
    }

    /// Topics whose retained value expired and was taken out since the last call.
    pub fn take_expired(&mut self) -> Vec<Arc<str>> {
        self.retained.take_expired()
    }

    /// A topic that has state.
    pub fn topic(&self, topic: &str) -> Option<&Topic> {
        self.table.topic(topic)
    }

    /// What a topic retains.
    pub fn retained(&self, topic: &str, now: Mono) -> Option<&Retained> {
        self.retained.value(topic, now)
    }

    /// What the topics under a pattern retain, by topic, up to `limit`.
    pub fn retained_matching(&self, pattern: &Pattern, now: Mono, limit: usize) -> Vec<(Arc<str>, Retained)> {
        let values = self.retained.matching(pattern, now).take(limit);
        values.map(|(name, value)| (name.clone(), value.clone())).collect()
    }

    /// Who is subscribed to a topic, and over how many connections: identities in order, from the
    /// one after `after`, up to `limit` and a page.
    pub fn presence(&self, topic: &str, after: Option<&str>, limit: usize) -> Vec<(Arc<str>, usize)> {
        let mut nodes = Vec::new();
        self.subscriptions.index().matching_nodes(topic, &mut nodes);
        let mut present = Vec::new();
        self.subscriptions.identities(&nodes, &mut present);
        present.retain(|(identity, _)| after.is_none_or(|after| &***identity > after));
        present.sort_unstable();
        present.dedup();
        let identities = present.chunk_by(|(a, _), (b, _)| a == b).take(limit.min(PAGE_ROWS));
        identities.map(|connections| (connections[0].0.clone(), connections.len())).collect()
    }

    /// Topics that have state, in the order of their names, from the one after `after`, up to
    /// `limit` and a page.
    pub fn list(&self, after: Option<&str>, limit: usize) -> Vec<Row> {
        let mut nodes = Vec::new();
        let row = |(name, topic): (&Arc<str>, &Topic)| {
            self.subscriptions.index().matching_nodes(name, &mut nodes);
            Row {
                name: name.clone(),
                epoch: topic.epoch(),
                offset: topic.offset(),
                subscriptions: self.subscriptions.count(&nodes),
                is_retained: self.retained.is_held(name),
            }
        };
        self.table.after(after).take(limit.min(PAGE_ROWS)).map(row).collect()
    }

    /// A connection's subscriptions, by number.
    pub fn subscriptions_of(&self, conn: ConnId) -> impl ExactSizeIterator<Item = (u32, &Pattern)> {
        self.subscriptions.of(conn)
    }

    /// Whether there is a subscription of this key.
    pub fn is_subscribed(&self, key: SubKey) -> bool {
        self.subscriptions.contains(key)
    }

    /// What the shard holds.
    pub fn counts(&self) -> Counts {
        Counts {
            topics: self.table.len(),
            subscriptions: self.subscriptions.len(),
            connections: self.subscriptions.connections(),
            filters: self.subscriptions.distinct_filters(),
            retained_values: self.retained.len(),
            retained_bytes: self.retained.bytes(),
            lists: self.audiences.len(),
            listed_targets: self.audiences.weight(),
        }
    }

    /// A wildcard that comes or goes shows in the index's shape; an exact pattern concerns its
    /// own topic alone.
    fn on_pattern_change(&mut self, pattern: &Pattern) {
        if let Some(topic) = self.table.topic_mut(pattern.as_str()) {
            topic.route.is_stale = true;
        }
    }
}

#[cfg(test)]
mod tests;
