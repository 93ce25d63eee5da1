//! What a store holds, and what a group does to it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::base::Wall;
use crate::engine::store::{
    Append, DedupKey, Image, LogHead, Record, Seq, StoreError, StoreFault, Table, Trimmed, Write,
};
use crate::engine::topic::Epoch;

/// Everything that is held.
#[derive(Clone, Debug)]
pub(super) struct State {
    /// The newest number that was given to an event.
    pub(super) last: Seq,
    pub(super) events: BTreeMap<Seq, Event>,
    /// What is held, in bytes.
    pub(super) bytes: u64,
    topics: BTreeMap<Arc<str>, Topic>,
    tables: [BTreeMap<Box<str>, Value>; Table::ALL.len()],
    dedup: VecDeque<(DedupKey, Epoch, u64, Wall)>,
    dedup_max: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Event {
    pub(super) record: Record,
    pub(super) is_flipped: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) bytes: Bytes,
    pub(super) is_flipped: bool,
}

#[derive(Clone, Debug)]
struct Topic {
    newest: Epoch,
    logs: BTreeMap<Epoch, Log>,
}

#[derive(Clone, Debug)]
pub(super) struct Log {
    /// The events that it holds, by offset.
    pub(super) held: BTreeMap<u64, Seq>,
    /// The newest offset that it ever held.
    pub(super) last: u64,
    last_seq: Seq,
    bytes: u64,
    is_mixed: bool,
}

impl Default for State {
    fn default() -> State {
        State {
            last: Seq(0),
            events: BTreeMap::new(),
            bytes: 0,
            topics: BTreeMap::new(),
            tables: Default::default(),
            dedup: VecDeque::new(),
            dedup_max: usize::MAX,
        }
    }
}

impl State {
    /// Whether the group may be applied, and how many bytes it brings at most.
    pub(super) fn check(&self, group: &[Write], first: Seq) -> Result<u64, StoreError> {
        let mut growth = 0;
        let mut ends: BTreeMap<&str, (Epoch, u64)> = BTreeMap::new();
        let mut begun: BTreeSet<(&str, Epoch)> = BTreeSet::new();
        for write in group {
            growth += match write {
                Write::Append(_) | Write::Put { .. } => write.weight() as u64,
                Write::Trim { .. } | Write::Delete { .. } => 0,
            };
            let Write::Append(append) = write else { continue };
            if first <= self.last {
                return Err(refused(format!("number {first} was given before")));
            }
            let topic = self.topics.get(&append.topic);
            let end = match ends.get(&*append.topic) {
                Some(end) => Some(*end),
                None => topic.and_then(|t| t.logs.get(&t.newest).map(|log| (t.newest, log.last))),
            };
            let expected = match end {
                Some((epoch, last)) if epoch == append.epoch => last + 1,
                _ if topic.is_some_and(|t| t.logs.contains_key(&append.epoch))
                    || begun.contains(&(&*append.topic, append.epoch)) =>
                {
                    return Err(refused(format!("{} has a newer log than {}", append.topic, append.epoch)));
                }
                _ => 1,
            };
            if append.offset != expected {
                let text = format!("offset {} of {} where {expected} follows", append.offset, append.topic);
                return Err(refused(text));
            }
            ends.insert(&append.topic, (append.epoch, append.offset));
            begun.insert((&append.topic, append.epoch));
        }
        Ok(growth)
    }

    /// Applies a group that was checked. Returns what each trim did.
    pub(super) fn apply(&mut self, group: &[Write], first: Seq) -> Vec<Trimmed> {
        let mut seq = first;
        let mut gone = Vec::new();
        for write in group {
            match write {
                Write::Append(append) => {
                    self.append(append, seq);
                    seq = seq.next();
                }
                Write::Trim { topic, epoch, through, before } => {
                    gone.push(self.trim(topic, *epoch, *through, *before));
                }
                Write::Put { table, key, value, .. } => self.put(*table, key, value),
                Write::Delete { table, key, .. } => {
                    self.delete(*table, key);
                }
            }
        }
        gone
    }

    fn append(&mut self, append: &Append, seq: Seq) {
        let Append { epoch, offset, is_mixed, time, expires, dedup, .. } = *append;
        let topic = append.topic.clone();
        let record =
            Record { seq, topic: topic.clone(), epoch, offset, time, expires, payload: append.payload.clone() };
        let weight = record.weight() as u64;
        let of_topic = self.topics.entry(topic).or_insert_with(|| Topic { newest: epoch, logs: BTreeMap::new() });
        of_topic.newest = epoch;
        let log = of_topic.logs.entry(epoch).or_insert_with(|| Log::new(is_mixed));
        log.held.insert(offset, seq);
        (log.last, log.last_seq) = (offset, seq);
        log.bytes += weight;
        if offset == 1 {
            of_topic.forget_empty();
        }
        self.bytes += weight;
        self.last = seq;
        self.events.insert(seq, Event { record, is_flipped: false });
        if let Some(key) = dedup {
            self.dedup.push_back((key, epoch, offset, time));
            self.keep_dedup(self.dedup_max);
        }
    }

    fn trim(&mut self, topic: &str, epoch: Epoch, through: u64, before: Option<Wall>) -> Trimmed {
        let Some(log) = self.log(topic, epoch) else { return Trimmed::default() };
        let last = log.last;
        let is_old = |seq: &Seq| before.is_none_or(|before| self.time(*seq).is_some_and(|time| time < before));
        let gone: Vec<Seq> = log.held.range(..=through).map(|(_, seq)| *seq).take_while(is_old).collect();
        for seq in &gone {
            self.remove(*seq);
        }
        let left = self.log(topic, epoch);
        let oldest = left.and_then(|log| log.held.first_key_value());
        Trimmed {
            gone,
            first: oldest.map_or(last + 1, |(offset, _)| *offset),
            bytes: left.map_or(0, |log| log.bytes),
            first_time: oldest.and_then(|(_, seq)| self.time(*seq)),
        }
    }

    fn time(&self, seq: Seq) -> Option<Wall> {
        self.events.get(&seq).map(|event| event.record.time)
    }

    /// Takes one event out.
    pub(super) fn remove(&mut self, seq: Seq) -> Option<Record> {
        let Event { record, .. } = self.events.remove(&seq)?;
        let weight = record.weight() as u64;
        self.bytes -= weight;
        if let Some(topic) = self.topics.get_mut(&record.topic) {
            if let Some(log) = topic.logs.get_mut(&record.epoch) {
                log.held.remove(&record.offset);
                log.bytes -= weight;
            }
            topic.forget_empty();
        }
        Some(record)
    }

    fn put(&mut self, table: Table, key: &str, value: &Bytes) {
        self.delete(table, key);
        self.bytes += value_weight(key, value);
        self.tables[table as usize].insert(key.into(), Value { bytes: value.clone(), is_flipped: false });
    }

    /// Takes one value out.
    pub(super) fn delete(&mut self, table: Table, key: &str) -> Option<Bytes> {
        let Value { bytes, .. } = self.tables[table as usize].remove(key)?;
        self.bytes -= value_weight(key, &bytes);
        Some(bytes)
    }

    /// Damages the one with that place among all that is whole.
    pub(super) fn flip(&mut self, which: u64) {
        let events = self.events.values_mut().map(|event| &mut event.is_flipped);
        let values = self.tables.iter_mut().flat_map(|table| table.values_mut().map(|value| &mut value.is_flipped));
        if let Some(is_flipped) = events.chain(values).filter(|is_flipped| !**is_flipped).nth(which as usize) {
            *is_flipped = true;
        }
    }

    /// From now on so many ids of publishes are remembered at most.
    pub(super) fn keep_dedup(&mut self, dedup_max: usize) {
        self.dedup_max = dedup_max;
        self.dedup.drain(..self.dedup.len().saturating_sub(dedup_max));
    }

    /// How much is not damaged.
    pub(super) fn whole(&self) -> u64 {
        let events = self.events.values().filter(|event| !event.is_flipped).count();
        let values = self.tables.iter().flat_map(BTreeMap::values).filter(|value| !value.is_flipped).count();
        (events + values) as u64
    }

    pub(super) fn flipped_events(&self) -> Vec<Seq> {
        self.events.iter().filter(|(_, event)| event.is_flipped).map(|(seq, _)| *seq).collect()
    }

    pub(super) fn flipped_values(&self) -> Vec<(Table, Box<str>)> {
        let of = |table: Table| {
            self.table(table).iter().filter(|(_, value)| value.is_flipped).map(move |(key, _)| (table, key.clone()))
        };
        Table::ALL.into_iter().flat_map(of).collect()
    }

    pub(super) fn log(&self, topic: &str, epoch: Epoch) -> Option<&Log> {
        self.topics.get(topic)?.logs.get(&epoch)
    }

    pub(super) fn table(&self, table: Table) -> &BTreeMap<Box<str>, Value> {
        &self.tables[table as usize]
    }

    /// What the workers begin with.
    pub(super) fn image(&self, now: Wall, dedup_window: Duration) -> Image {
        let window_ms = i64::try_from(dedup_window.as_millis()).unwrap_or(i64::MAX);
        let since = Wall(now.0.saturating_sub(window_ms));
        let mut logs = Vec::new();
        for (name, topic) in &self.topics {
            for (epoch, log) in &topic.logs {
                let oldest = log.held.first_key_value();
                logs.push(LogHead {
                    topic: name.clone(),
                    epoch: *epoch,
                    is_newest: *epoch == topic.newest,
                    first: oldest.map_or(log.last + 1, |(offset, _)| *offset),
                    last: log.last,
                    last_seq: log.last_seq,
                    bytes: log.bytes,
                    first_time: oldest.and_then(|(_, seq)| self.events.get(seq)).map(|event| event.record.time),
                    is_mixed: log.is_mixed,
                    is_cut: false,
                });
            }
        }
        let dedup = self.dedup.iter().filter(|entry| entry.3 >= since).copied().collect();
        Image { last: self.last, logs, dedup, was_closed: false }
    }
}

impl Topic {
    /// Logs that hold nothing are forgotten, but for the newest.
    fn forget_empty(&mut self) {
        let newest = self.newest;
        self.logs.retain(|epoch, log| *epoch == newest || !log.held.is_empty());
    }
}

impl Log {
    fn new(is_mixed: bool) -> Log {
        Log { held: BTreeMap::new(), last: 0, last_seq: Seq(0), bytes: 0, is_mixed }
    }
}

fn value_weight(key: &str, value: &Bytes) -> u64 {
    (key.len() + value.len() + 64) as u64
}

fn refused(text: String) -> StoreError {
    StoreError::new(StoreFault::Refused, text)
}
