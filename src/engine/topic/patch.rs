//! Brings a fan-out list up to date by the few connections that changed.
//!
//! Only lists without filters are patched: what lies between the changed connections is copied in
//! runs, which costs a fraction of making the list anew.

use std::sync::Arc;

use super::audience::{Lists, ReactorTargets, unfiltered};
use super::index::{CHANGES, NodeId};
use super::subscription::Target;
use super::subscriptions::{Candidate, Subscriptions};
use crate::base::ConnId;

/// Subscriptions of a changed connection that are worth looking through.
const SUBSCRIPTIONS_LOOKED_THROUGH: usize = 64;

/// Patches the lists of an audience of `nodes`, made when their generations were `seen`. Returns
/// false, with nothing changed, if they must be made anew.
pub(super) fn patch(lists: &mut Lists, nodes: &[NodeId], seen: &[u64], subscriptions: &Subscriptions) -> bool {
    if lists.has_filters() {
        return false;
    }
    let Some(changed) = changed(nodes, seen, subscriptions) else { return false };
    let Some(fresh) = fresh(&changed, nodes, subscriptions) else { return false };
    let mut fresh = fresh.as_slice();
    for changed in changed.chunk_by(|a, b| a.reactor() == b.reactor()) {
        let reactor = changed[0].reactor();
        let ours = fresh.partition_point(|target| target.conn.reactor() == reactor);
        let (own, rest) = fresh.split_at(ours);
        fresh = rest;
        let at = lists.reactors.partition_point(|targets| targets.reactor < reactor);
        let is_held = lists.reactors.get(at).is_some_and(|targets| targets.reactor == reactor);
        let old: &[Target] = if is_held { &lists.reactors[at].everyone } else { &[] };
        let new: Arc<[Target]> = merge(old, changed, own).into();
        lists.unfiltered = lists.unfiltered - old.len() + new.len();
        match (is_held, new.is_empty()) {
            (true, false) => lists.reactors[at].everyone = new,
            (true, true) => drop(lists.reactors.remove(at)),
            (false, false) => lists.reactors.insert(at, ReactorTargets::new(reactor, new)),
            (false, true) => {}
        }
    }
    true
}

/// The connections whose subscriptions to these patterns changed, sorted.
fn changed(nodes: &[NodeId], seen: &[u64], subscriptions: &Subscriptions) -> Option<Vec<ConnId>> {
    let index = subscriptions.index();
    let mut changed = Vec::new();
    for (&node, &seen) in nodes.iter().zip(seen) {
        if index.generation(node) != seen {
            changed.extend(index.changes_since(node, seen)?);
        }
        if changed.len() > CHANGES {
            return None;
        }
    }
    changed.sort_unstable();
    changed.dedup();
    Some(changed)
}

/// What these connections are in the list now, sorted; `None` if a filter came.
fn fresh(changed: &[ConnId], nodes: &[NodeId], subscriptions: &Subscriptions) -> Option<Vec<Target>> {
    let mut fresh = Vec::with_capacity(changed.len());
    let mut own: Vec<Candidate> = Vec::new();
    for &conn in changed {
        if subscriptions.of(conn).len() > SUBSCRIPTIONS_LOOKED_THROUGH {
            return None;
        }
        own.clear();
        subscriptions.candidates_of(conn, nodes, &mut own);
        if own.iter().any(|candidate| candidate.filter.is_some()) {
            return None;
        }
        fresh.extend(unfiltered(&own));
    }
    Some(fresh)
}

/// `old` without the changed connections and with the fresh targets, all sorted by connection.
fn merge(mut old: &[Target], changed: &[ConnId], mut fresh: &[Target]) -> Vec<Target> {
    let mut out = Vec::with_capacity(old.len() + fresh.len());
    for &conn in changed {
        let (before, rest) = old.split_at(old.partition_point(|target| target.conn < conn));
        out.extend_from_slice(before);
        old = rest;
        if let Some((target, rest)) = old.split_first()
            && target.conn == conn
        {
            old = rest;
        }
        if let Some((target, rest)) = fresh.split_first()
            && target.conn == conn
        {
            out.push(*target);
            fresh = rest;
        }
    }
    out.extend_from_slice(old);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    use crate::engine::outbound::{Lane, Overflow};
    use crate::engine::topic::TargetFlags;

    proptest! {
        #[test]
        fn merging_replaces_just_the_changed_connections(
            old in prop::collection::btree_set(0u64..40, 0..20),
            changed in prop::collection::btree_map(0u64..40, any::<bool>(), 0..20),
        ) {
            let target = |conn: u64, bulk: bool| Target {
                conn: ConnId::from_u64(conn),
                flags: TargetFlags::new(if bulk { Lane::Bulk } else { Lane::Events }, Overflow::Disconnect, false),
            };
            let before: Vec<Target> = old.iter().map(|conn| target(*conn, false)).collect();
            let conns: Vec<ConnId> = changed.keys().map(|conn| ConnId::from_u64(*conn)).collect();
            let kept = |conns: &BTreeMap<u64, bool>| conns.iter().filter(|(_, kept)| **kept).map(|(conn, _)| *conn).collect();
            let fresh: BTreeSet<u64> = kept(&changed);
            let fresh: Vec<Target> = fresh.into_iter().map(|conn| target(conn, true)).collect();

            let mut expected: BTreeMap<u64, bool> = old.iter().map(|conn| (*conn, false)).collect();
            for (conn, kept) in changed {
                expected.remove(&conn);
                if kept {
                    expected.insert(conn, true);
                }
            }
            let expected: Vec<Target> = expected.into_iter().map(|(conn, bulk)| target(conn, bulk)).collect();
            prop_assert_eq!(merge(&before, &conns, &fresh), expected);
        }
    }
}
