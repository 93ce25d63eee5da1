//! Every subscription of one shard: by connection, by pattern, with its filter and identity.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use slab::Slab;
use smallvec::SmallVec;

use super::filter::{Filter, FilterId, FilterPool};
use super::index::{Index, NodeId, SubId};
use super::pattern::Pattern;
use super::subscription::{Options, SubKey, TargetFlags};
use crate::base::ConnId;

#[derive(Debug)]
struct Subscription {
    key: SubKey,
    flags: TargetFlags,
    filter: Option<FilterId>,
    identity: Arc<str>,
    pattern: Pattern,
}

impl super::Topics {
    /// Bytes of the record of one subscription, its place in the index not counted.
    pub const SUBSCRIPTION_BYTES: usize = size_of::<Subscription>();
}

/// A subscription as the making of a fan-out list sees it. Ordered by its key, which is unique.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub key: SubKey,
    pub flags: TargetFlags,
    pub filter: Option<FilterId>,
}

#[derive(Debug)]
pub(super) struct Subscriptions {
    table: Slab<Subscription>,
    /// By number; most connections have few.
    by_conn: FxHashMap<ConnId, SmallVec<[(u32, SubId); 2]>>,
    index: Index,
    filters: FilterPool,
}

impl Subscriptions {
    pub fn new(seed: u64) -> Subscriptions {
        Subscriptions {
            table: Slab::new(),
            by_conn: FxHashMap::default(),
            index: Index::new(seed),
            filters: FilterPool::default(),
        }
    }

    /// Adds one. Its key must be free. Returns whether it is the first of its pattern.
    pub fn insert(&mut self, key: SubKey, pattern: &Pattern, options: Options, identity: Arc<str>) -> bool {
        let flags = TargetFlags::from(&options);
        let filter = options.filter.map(|filter| self.filters.acquire(filter));
        let subscription = Subscription { key, flags, filter, identity, pattern: pattern.clone() };
        let sub = SubId(self.table.insert(subscription) as u32);
        let numbers = self.by_conn.entry(key.conn).or_default();
        let at = numbers.partition_point(|(number, _)| *number < key.number);
        numbers.insert(at, (key.number, sub));
        self.index.insert(sub, pattern, key.conn)
    }

    /// Takes one out. Returns its pattern, and whether it was the last of it.
    pub fn remove(&mut self, key: SubKey) -> Option<(Pattern, bool)> {
        let numbers = self.by_conn.get_mut(&key.conn)?;
        let at = numbers.binary_search_by_key(&key.number, |(number, _)| *number).ok()?;
        let (_, sub) = numbers.remove(at);
        if numbers.is_empty() {
            self.by_conn.remove(&key.conn);
        }
        Some(self.forget(sub))
    }

    /// Takes out the last one of a connection, until there is none.
    pub fn pop(&mut self, conn: ConnId) -> Option<(Pattern, bool)> {
        let numbers = self.by_conn.get_mut(&conn)?;
        let (_, sub) = numbers.pop()?;
        if numbers.is_empty() {
            self.by_conn.remove(&conn);
        }
        Some(self.forget(sub))
    }

    pub fn contains(&self, key: SubKey) -> bool {
        self.numbers(key.conn).binary_search_by_key(&key.number, |(number, _)| *number).is_ok()
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn connections(&self) -> usize {
        self.by_conn.len()
    }

    pub fn distinct_filters(&self) -> usize {
        self.filters.len()
    }

    pub fn index(&self) -> &Index {
        &self.index
    }

    /// From now on these patterns remember whose subscriptions change.
    pub fn log_changes(&mut self, nodes: &[NodeId]) {
        nodes.iter().for_each(|node| self.index.log_changes(*node));
    }

    pub fn filter(&self, id: FilterId) -> &Arc<Filter> {
        self.filters.filter(id)
    }

    /// A connection's subscriptions by number.
    pub fn of(&self, conn: ConnId) -> impl ExactSizeIterator<Item = (u32, &Pattern)> {
        self.numbers(conn).iter().map(|(number, sub)| (*number, &self.at(*sub).pattern))
    }

    /// How many subscriptions these patterns have.
    pub fn count(&self, nodes: &[NodeId]) -> usize {
        nodes.iter().map(|node| self.index.members(*node).len()).sum()
    }

    /// Adds all subscriptions to these patterns.
    pub fn candidates(&self, nodes: &[NodeId], out: &mut Vec<Candidate>) {
        out.reserve(self.count(nodes));
        for node in nodes {
            out.extend(self.index.members(*node).iter().map(|sub| self.at(*sub).candidate()));
        }
    }

    /// Adds one connection's subscriptions to these patterns, by number. `nodes` is sorted.
    pub fn candidates_of(&self, conn: ConnId, nodes: &[NodeId], out: &mut Vec<Candidate>) {
        let subs = self.numbers(conn).iter().map(|(_, sub)| *sub);
        let within = |sub: &SubId| self.index.node_of(*sub).is_some_and(|node| nodes.binary_search(&node).is_ok());
        out.extend(subs.filter(within).map(|sub| self.at(sub).candidate()));
    }

    /// Adds identity and connection of all subscriptions to these patterns.
    pub fn identities<'a>(&'a self, nodes: &[NodeId], out: &mut Vec<(&'a Arc<str>, ConnId)>) {
        for node in nodes {
            let subs = self.index.members(*node).iter().map(|sub| self.at(*sub));
            out.extend(subs.map(|subscription| (&subscription.identity, subscription.key.conn)));
        }
    }

    fn numbers(&self, conn: ConnId) -> &[(u32, SubId)] {
        self.by_conn.get(&conn).map_or(&[], SmallVec::as_slice)
    }

    fn at(&self, sub: SubId) -> &Subscription {
        &self.table[sub.0 as usize]
    }

    fn forget(&mut self, sub: SubId) -> (Pattern, bool) {
        let Subscription { key, filter, pattern, .. } = self.table.remove(sub.0 as usize);
        if let Some(filter) = filter {
            self.filters.release(filter);
        }
        let is_last = self.index.remove(sub, key.conn);
        (pattern, is_last)
    }
}

impl Subscription {
    fn candidate(&self) -> Candidate {
        Candidate { key: self.key, flags: self.flags, filter: self.filter }
    }
}
