//! From a topic to the subscriptions whose pattern it falls under.
//!
//! A trie over the tokens of the patterns, with `*` and `>` as branches of their own. What a look-up
//! visits are the beginnings of patterns that fit the topic so far, however many others there are.
//! Nodes live in a slab and go with their last subscription.
//!
//! Each node has a generation, which no two changes share, and the index has one for the set of its
//! wildcard patterns: from them a cached fan-out list knows whether it still holds. The index knows
//! nothing of filters, and trusts its caller that a subscription is inserted once.

mod changes;
mod tokens;

use rustc_hash::FxHashMap;
use slab::Slab;

pub(super) use changes::CHANGES;
use changes::Changes;
use tokens::Tokens;

use super::pattern::{Pattern, is_built_in};
use crate::base::ConnId;
use crate::base::limits::TOPIC_TOKENS;

/// A subscription's place in its shard's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubId(pub u32);

/// A pattern that has subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct NodeId(u32);

const ROOT: u32 = 0;
const NONE: u32 = u32::MAX;
/// A token that no pattern holds.
const UNKNOWN: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
enum Edge {
    Literal(u32),
    Star,
    Tail,
}

#[derive(Debug)]
struct Node {
    parent: u32,
    edge: Edge,
    star: u32,
    tail: u32,
    literals: u32,
    members: Vec<SubId>,
    is_wildcard: bool,
    generation: u64,
    changes: Option<Box<Changes>>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    node: u32,
    position: u32,
    order: u64,
}

const NOWHERE: Place = Place { node: NONE, position: 0, order: 0 };

/// Patterns and their subscriptions.
#[derive(Debug)]
pub struct Index {
    nodes: Slab<Node>,
    literals: FxHashMap<(u32, u32), u32>,
    tokens: Tokens,
    places: Vec<Place>,
    inserted: u64,
    generation: u64,
    shape: u64,
}

impl Index {
    /// An empty index. Tokens are hashed under `seed`.
    pub fn new(seed: u64) -> Index {
        let mut nodes = Slab::new();
        nodes.insert(Node::new(NONE, Edge::Star, false));
        Index {
            nodes,
            literals: FxHashMap::default(),
            tokens: Tokens::new(seed),
            places: Vec::new(),
            inserted: 0,
            generation: 0,
            shape: 0,
        }
    }

    /// Adds a subscription. Returns whether it is the first of its pattern.
    pub fn insert(&mut self, sub: SubId, pattern: &Pattern, conn: ConnId) -> bool {
        let node = pattern.tokens().fold(ROOT, |node, token| self.enter(node, token));
        let members = &mut self.nodes[node as usize].members;
        let place = Place { node, position: members.len() as u32, order: self.inserted };
        members.push(sub);
        self.inserted += 1;
        let slot = sub.0 as usize;
        if self.places.len() <= slot {
            self.places.resize(slot + 1, NOWHERE);
        }
        debug_assert_eq!(self.places[slot].node, NONE);
        self.places[slot] = place;
        self.on_change(node, conn, place.position == 0)
    }

    /// Takes a subscription out. Returns whether it was the last of its pattern.
    pub fn remove(&mut self, sub: SubId, conn: ConnId) -> bool {
        let Some(place) = self.places.get_mut(sub.0 as usize).filter(|place| place.node != NONE) else { return false };
        let Place { node, position, .. } = std::mem::replace(place, NOWHERE);
        let members = &mut self.nodes[node as usize].members;
        members.swap_remove(position as usize);
        if let Some(moved) = members.get(position as usize) {
            self.places[moved.0 as usize].position = position;
        }
        let is_last = members.is_empty();
        self.on_change(node, conn, is_last);
        if is_last {
            self.prune(node);
        }
        is_last
    }

    /// Fills `out` with the subscriptions whose pattern the topic falls under, oldest first.
    /// `topic` is a checked topic.
    pub fn matching(&self, topic: &str, out: &mut Vec<SubId>) {
        let mut nodes = Vec::new();
        self.matching_nodes(topic, &mut nodes);
        out.clear();
        out.extend(nodes.iter().flat_map(|node| self.members(*node)));
        out.sort_unstable_by_key(|sub| self.places[sub.0 as usize].order);
    }

    /// Fills `out` with the patterns that the topic falls under, in the order of their ids.
    pub(super) fn matching_nodes(&self, topic: &str, out: &mut Vec<NodeId>) {
        out.clear();
        let mut tokens = [UNKNOWN; TOPIC_TOKENS];
        let mut count = 0;
        for text in topic.split('.') {
            let Some(token) = tokens.get_mut(count) else { return };
            *token = self.tokens.find(text).unwrap_or(UNKNOWN);
            count += 1;
        }
        self.walk(ROOT, &tokens[..count], !is_built_in(topic), out);
        out.sort_unstable();
    }

    /// The subscriptions of a pattern, in no order that means anything.
    pub(super) fn members(&self, node: NodeId) -> &[SubId] {
        self.nodes.get(node.0 as usize).map_or(&[], |node| &node.members)
    }

    /// The pattern that a subscription is under.
    pub(super) fn node_of(&self, sub: SubId) -> Option<NodeId> {
        self.places.get(sub.0 as usize).filter(|place| place.node != NONE).map(|place| NodeId(place.node))
    }

    /// Grows with each change of the pattern's subscriptions. Never 0 while it has any.
    pub(super) fn generation(&self, node: NodeId) -> u64 {
        self.nodes.get(node.0 as usize).map_or(0, |node| node.generation)
    }

    /// From now on the pattern remembers whose subscriptions change.
    pub(super) fn log_changes(&mut self, node: NodeId) {
        if let Some(node) = self.nodes.get_mut(node.0 as usize) {
            node.changes.get_or_insert_with(|| Box::new(Changes::after(node.generation)));
        }
    }

    /// Whose subscriptions to the pattern changed after generation `seen`; `None` if unknown.
    pub(super) fn changes_since(&self, node: NodeId, seen: u64) -> Option<impl Iterator<Item = ConnId>> {
        self.nodes.get(node.0 as usize)?.changes.as_ref()?.since(seen)
    }

    /// Grows when a wildcard pattern gets its first or loses its last subscription.
    pub(super) fn shape(&self) -> u64 {
        self.shape
    }

    fn enter(&mut self, parent: u32, text: &str) -> u32 {
        let is_wildcard = self.nodes[parent as usize].is_wildcard;
        match text {
            "*" | ">" => {
                let (edge, child) = match text {
                    "*" => (Edge::Star, self.nodes[parent as usize].star),
                    _ => (Edge::Tail, self.nodes[parent as usize].tail),
                };
                if child != NONE {
                    return child;
                }
                let child = self.nodes.insert(Node::new(parent, edge, true)) as u32;
                match edge {
                    Edge::Star => self.nodes[parent as usize].star = child,
                    Edge::Tail | Edge::Literal(_) => self.nodes[parent as usize].tail = child,
                }
                child
            }
            _ => {
                if let Some(token) = self.tokens.find(text)
                    && let Some(&child) = self.literals.get(&(parent, token))
                {
                    return child;
                }
                let token = self.tokens.acquire(text);
                let child = self.nodes.insert(Node::new(parent, Edge::Literal(token), is_wildcard)) as u32;
                self.literals.insert((parent, token), child);
                self.nodes[parent as usize].literals += 1;
                child
            }
        }
    }

    fn prune(&mut self, mut at: u32) {
        while at != ROOT && self.nodes[at as usize].is_unused() {
            let Node { parent, edge, .. } = self.nodes.remove(at as usize);
            let above = &mut self.nodes[parent as usize];
            match edge {
                Edge::Star => above.star = NONE,
                Edge::Tail => above.tail = NONE,
                Edge::Literal(token) => {
                    above.literals -= 1;
                    self.literals.remove(&(parent, token));
                    self.tokens.release(token);
                }
            }
            at = parent;
        }
    }

    fn on_change(&mut self, node: u32, conn: ConnId, is_edge: bool) -> bool {
        self.generation += 1;
        let node = &mut self.nodes[node as usize];
        node.generation = self.generation;
        if let Some(changes) = &mut node.changes {
            changes.push(self.generation, conn);
        }
        if is_edge && node.is_wildcard {
            self.shape += 1;
        }
        is_edge
    }

    fn walk(&self, at: u32, rest: &[u32], wildcards: bool, out: &mut Vec<NodeId>) {
        let node = &self.nodes[at as usize];
        let Some((&token, rest)) = rest.split_first() else {
            if !node.members.is_empty() {
                out.push(NodeId(at));
            }
            return;
        };
        if wildcards && node.tail != NONE {
            out.push(NodeId(node.tail));
        }
        if wildcards && node.star != NONE {
            self.walk(node.star, rest, true, out);
        }
        if token != UNKNOWN
            && node.literals > 0
            && let Some(&child) = self.literals.get(&(at, token))
        {
            self.walk(child, rest, true, out);
        }
    }
}

impl Node {
    fn new(parent: u32, edge: Edge, is_wildcard: bool) -> Node {
        Node {
            parent,
            edge,
            star: NONE,
            tail: NONE,
            literals: 0,
            members: Vec::new(),
            is_wildcard,
            generation: 0,
            changes: None,
        }
    }

    fn is_unused(&self) -> bool {
        self.members.is_empty() && self.literals == 0 && self.star == NONE && self.tail == NONE
    }
}

#[cfg(test)]
mod tests;
