//! The audiences in use, shared by all topics that fall under the same patterns.
//!
//! A thousand topics under one popular wildcard share one list. An audience lives as long as a
//! topic uses it; its lists are let go when all lists together exceed their bound, and made anew
//! when they are needed.

use rustc_hash::FxHashMap;
use slab::Slab;

use super::audience::{FanOut, Lists};
use super::index::NodeId;
use super::patch::patch;
use super::payload::Payload;
use super::subscriptions::{Candidate, Subscriptions};

/// An audience in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AudienceId(u32);

#[derive(Debug)]
struct Audience {
    users: u32,
    nodes: Box<[NodeId]>,
    /// The generations of `nodes` when the lists were made; empty if there are no lists.
    seen: Vec<u64>,
    lists: Lists,
}

#[derive(Debug)]
pub(super) struct Audiences {
    table: Slab<Audience>,
    by_nodes: FxHashMap<Box<[NodeId]>, u32>,
    weight: usize,
    weight_max: usize,
    patched_from: usize,
    scratch: Vec<Candidate>,
}

impl Audiences {
    /// `weight_max` bounds the targets of all lists kept, give or take the largest list. Lists of
    /// `patched_from` targets and more are patched.
    pub fn new(weight_max: usize, patched_from: usize) -> Audiences {
        Audiences {
            table: Slab::new(),
            by_nodes: FxHashMap::default(),
            weight: 0,
            weight_max,
            patched_from,
            scratch: Vec::new(),
        }
    }

    /// From the audience that a topic had to that of `nodes`, which are sorted.
    pub fn switch(&mut self, held: Option<AudienceId>, nodes: &[NodeId]) -> AudienceId {
        if let Some(held) = held {
            if *self.table[held.0 as usize].nodes == *nodes {
                return held;
            }
            self.release(held);
        }
        if let Some(&slot) = self.by_nodes.get(nodes) {
            self.table[slot as usize].users += 1;
            return AudienceId(slot);
        }
        let audience = Audience { users: 1, nodes: nodes.into(), seen: Vec::new(), lists: Lists::default() };
        let slot = self.table.insert(audience) as u32;
        self.by_nodes.insert(nodes.into(), slot);
        AudienceId(slot)
    }

    /// One user less; the last one takes the audience along.
    pub fn release(&mut self, id: AudienceId) {
        let audience = &mut self.table[id.0 as usize];
        audience.users -= 1;
        if audience.users == 0 {
            let Audience { nodes, lists, .. } = self.table.remove(id.0 as usize);
            self.weight -= lists.weight();
            self.by_nodes.remove(&nodes);
        }
    }

    /// The receivers of an event, from lists that are brought up to date first.
    pub fn fan_out(
        &mut self,
        id: AudienceId,
        subscriptions: &mut Subscriptions,
        payload: &mut Payload<'_>,
    ) -> FanOut<'_> {
        let audience = &mut self.table[id.0 as usize];
        if !audience.is_current(subscriptions) {
            self.weight -= audience.lists.weight();
            audience.refresh(subscriptions, &mut self.scratch);
            let weight = audience.lists.weight();
            if weight >= self.patched_from {
                subscriptions.log_changes(&audience.nodes);
            }
            self.weight += weight;
            if self.weight > self.weight_max {
                self.forget_all_but(id);
            }
        }
        self.table[id.0 as usize].lists.fan_out(payload)
    }

    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// The targets of all lists kept.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// Its cost is paid by the making of what it lets go.
    fn forget_all_but(&mut self, id: AudienceId) {
        for (slot, audience) in &mut self.table {
            if slot != id.0 as usize {
                self.weight -= audience.lists.weight();
                audience.lists = Lists::default();
                audience.seen = Vec::new();
            }
        }
    }
}

impl Audience {
    fn is_current(&self, subscriptions: &Subscriptions) -> bool {
        let index = subscriptions.index();
        self.seen.len() == self.nodes.len()
            && self.nodes.iter().zip(&self.seen).all(|(node, seen)| index.generation(*node) == *seen)
    }

    fn refresh(&mut self, subscriptions: &Subscriptions, scratch: &mut Vec<Candidate>) {
        let is_made = self.seen.len() == self.nodes.len();
        if !is_made || !patch(&mut self.lists, &self.nodes, &self.seen, subscriptions) {
            scratch.clear();
            subscriptions.candidates(&self.nodes, scratch);
            scratch.sort_unstable_by_key(|candidate| candidate.key);
            self.lists = Lists::build(scratch, subscriptions);
        }
        self.seen.clear();
        self.seen.extend(self.nodes.iter().map(|node| subscriptions.index().generation(*node)));
    }
}
