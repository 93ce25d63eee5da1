//! Looks into a state. What is damaged is passed over, and named to be set aside.

use std::ops::Bound;

use bytes::Bytes;

use super::state::{Event, Log, State, Value};
use crate::base::Wall;
use crate::engine::store::{
    Gather, LogRange, Page, Read, Record, Seq, StoreError, Table, page_of_log, page_of_patterns,
};

/// What a read gives. It counts only if nothing was named in `flipped`; else it is asked again
/// when that has been set aside, since its page would not know what is missing.
pub(super) fn page(state: &State, read: &Read, flipped: &mut Vec<Seq>) -> Result<Page, StoreError> {
    match read {
        Read::Offset { topic, epoch, after, limit, bytes } => {
            page_from(state, state.log(topic, *epoch), *after, Gather::new(*limit, *bytes), flipped)
        }
        Read::Time { topic, epoch, since, limit, bytes } => {
            let log = state.log(topic, *epoch);
            let after = log.map_or(0, |log| before(state, log, *since));
            page_from(state, log, after, Gather::new(*limit, *bytes), flipped)
        }
        Read::Since { since } => {
            let first = state.events.values().find(|event| event.is_flipped || event.record.time >= *since);
            let records = first.and_then(|event| whole(event, flipped)).into_iter().collect();
            Ok(Page { records, ..Page::default() })
        }
        Read::Patterns { patterns, after, through, limit, bytes } => {
            let range = (Bound::Excluded(*after), Bound::Included((*through).max(after.next())));
            let found = state.events.range(range).map(|(_, event)| event);
            let found = found
                .take_while(|event| event.record.seq <= *through)
                .filter(|event| patterns.iter().any(|pattern| pattern.matches(&event.record.topic)))
                .filter_map(|event| whole(event, flipped));
            page_of_patterns(patterns, *through, Gather::new(*limit, *bytes), found.map(Ok))
        }
        Read::Seqs { seqs } => {
            let found = seqs.iter().filter_map(|seq| state.events.get(seq));
            Ok(Page { records: found.filter_map(|event| whole(event, flipped)).collect(), ..Page::default() })
        }
    }
}

fn page_from(
    state: &State,
    log: Option<&Log>,
    after: u64,
    gather: Gather,
    flipped: &mut Vec<Seq>,
) -> Result<Page, StoreError> {
    let Some(log) = log else { return page_of_log(None, after, gather, []) };
    let range = LogRange { first: log.held.keys().next().copied().unwrap_or(0), last: log.last };
    let behind = log.held.range((Bound::Excluded(after), Bound::Unbounded));
    let found = behind.filter_map(|(_, seq)| state.events.get(seq)).filter_map(|event| whole(event, flipped));
    page_of_log(Some(range), after, gather, found.map(Ok))
}

/// The offset held before the first event of that time or later; 0 if there is none.
fn before(state: &State, log: &Log, since: Wall) -> u64 {
    let mut before = 0;
    for (offset, seq) in &log.held {
        if state.events.get(seq).is_some_and(|event| event.is_flipped || event.record.time >= since) {
            break;
        }
        before = *offset;
    }
    before
}

fn whole(event: &Event, flipped: &mut Vec<Seq>) -> Option<Record> {
    if event.is_flipped {
        flipped.push(event.record.seq);
        return None;
    }
    Some(event.record.clone())
}

pub(super) fn value<'a>(state: &'a State, table: Table, key: &str) -> Option<&'a Value> {
    state.table(table).get(key)
}

pub(super) fn values(
    state: &State,
    table: Table,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    flipped: &mut Vec<Box<str>>,
) -> Vec<(Box<str>, Bytes)> {
    let start = match after {
        Some(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix),
    };
    let found = state.table(table).range::<str, _>((start, Bound::Unbounded));
    let mut values = Vec::new();
    for (key, value) in found.take_while(|(key, _)| key.starts_with(prefix)) {
        if values.len() >= limit {
            break;
        }
        if value.is_flipped {
            flipped.push(key.clone());
        } else {
            values.push((key.clone(), value.bytes.clone()));
        }
    }
    values
}
