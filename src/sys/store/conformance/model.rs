//! A store as simple as can be: all that ever was, looked through for every answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::{DEDUP_MAX, DEDUP_WINDOW, NOW};
use crate::base::Wall;
use crate::engine::store::{DedupKey, Image, LogHead, Page, Record, Seq, Table, Trimmed, Write};
use crate::engine::topic::{Epoch, Pattern};

#[derive(Clone, Default)]
pub struct Model {
    /// All events that ever were, in order.
    events: Vec<Past>,
    pub values: BTreeMap<(Table, Box<str>), Bytes>,
}

#[derive(Clone)]
struct Past {
    record: Record,
    dedup: Option<DedupKey>,
    is_mixed: bool,
    is_held: bool,
}

impl Model {
    pub fn last(&self) -> Seq {
        self.events.last().map_or(Seq(0), |event| event.record.seq)
    }

    /// How many events there ever were.
    pub fn count(&self) -> usize {
        self.events.len()
    }

    pub fn newest(&self, topic: &str) -> Option<Epoch> {
        self.events.iter().rev().map(|event| &event.record).find(|record| *record.topic == *topic).map(|r| r.epoch)
    }

    pub fn epochs(&self, topic: &str) -> Vec<Epoch> {
        let epochs: BTreeSet<Epoch> =
            self.events.iter().filter(|event| *event.record.topic == *topic).map(|event| event.record.epoch).collect();
        epochs.into_iter().collect()
    }

    pub fn last_offset(&self, topic: &str, epoch: Epoch) -> u64 {
        self.log(topic, epoch).map(|event| event.record.offset).max().unwrap_or(0)
    }

    pub fn apply(&mut self, group: &[Write], first: Seq) -> Vec<Trimmed> {
        let mut seq = first;
        let mut gone = Vec::new();
        for write in group {
            match write.clone() {
                Write::Append(a) => {
                    let is_mixed = self.log(&a.topic, a.epoch).next().map_or(a.is_mixed, |event| event.is_mixed);
                    let record = Record {
                        seq,
                        topic: a.topic,
                        epoch: a.epoch,
                        offset: a.offset,
                        time: a.time,
                        expires: a.expires,
                        payload: a.payload,
                    };
                    self.events.push(Past { record, dedup: a.dedup, is_mixed, is_held: true });
                    seq = seq.next();
                }
                Write::Trim { topic, epoch, through, before } => {
                    let mut trimmed = Trimmed::default();
                    for event in &mut self.events {
                        let record = &event.record;
                        if record.topic != topic || record.epoch != epoch || !event.is_held {
                            continue;
                        }
                        if record.offset > through || before.is_some_and(|before| record.time >= before) {
                            break;
                        }
                        event.is_held = false;
                        trimmed.gone.push(record.seq);
                    }
                    let held: Vec<&Record> = self.held().filter(|r| *r.topic == *topic && r.epoch == epoch).collect();
                    trimmed.bytes = held.iter().map(|record| record.weight() as u64).sum();
                    trimmed.first_time = held.first().map(|record| record.time);
                    let last = self.last_offset(&topic, epoch);
                    // An older log without events is forgotten.
                    let is_known = !trimmed.gone.is_empty() || self.newest(&topic) == Some(epoch);
                    trimmed.first = held.first().map_or(if is_known { last + 1 } else { 0 }, |record| record.offset);
                    gone.push(trimmed);
                }
                Write::Put { table, key, value, .. } => {
                    self.values.insert((table, key), value);
                }
                Write::Delete { table, key, .. } => {
                    self.values.remove(&(table, key));
                }
            }
        }
        gone
    }

    pub fn by_offset(&self, topic: &str, epoch: Epoch, after: u64, limit: usize, bytes: usize) -> Page {
        let held: Vec<&Record> = self.held().filter(|r| *r.topic == *topic && r.epoch == epoch).collect();
        if held.is_empty() && self.newest(topic) != Some(epoch) {
            return Page { missing: true, ..Page::default() };
        }
        let behind: Vec<&Record> = held.iter().copied().filter(|r| r.offset > after).collect();
        let records = fit(&behind, limit, bytes);
        let more = records.len() < behind.len();
        let end = if more { records.last().map_or(after, |r| r.offset) } else { self.last_offset(topic, epoch) };
        let missing = (after..end).any(|offset| !held.iter().any(|r| r.offset == offset + 1));
        Page { records, first: held.first().map_or(0, |r| r.offset), more, missing, ..Page::default() }
    }

    pub fn by_time(&self, topic: &str, epoch: Epoch, since: Wall, limit: usize, bytes: usize) -> Page {
        let held = self.held().filter(|r| *r.topic == *topic && r.epoch == epoch);
        let after = held.take_while(|r| r.time < since).last().map_or(0, |r| r.offset);
        self.by_offset(topic, epoch, after, limit, bytes)
    }

    pub fn since(&self, since: Wall) -> Vec<Record> {
        self.held().find(|record| record.time >= since).cloned().into_iter().collect()
    }

    /// The page, and the greatest number that it may say it looked at.
    pub fn by_patterns(
        &self,
        patterns: &[Pattern],
        after: Seq,
        through: Seq,
        limit: usize,
        bytes: usize,
    ) -> (Page, Seq) {
        let behind: Vec<&Record> = self
            .held()
            .filter(|r| r.seq > after && r.seq <= through && patterns.iter().any(|p| p.matches(&r.topic)))
            .collect();
        let records = fit(&behind, limit, bytes);
        let (least, most) = match behind.get(records.len()) {
            Some(next) => (records.last().map_or(after, |r| r.seq), Seq(next.seq.0 - 1)),
            None => (through, through),
        };
        (Page { records, through: least, ..Page::default() }, most)
    }

    pub fn by_seqs(&self, seqs: &[Seq]) -> Vec<Record> {
        seqs.iter().filter_map(|seq| self.held().find(|record| record.seq == *seq)).cloned().collect()
    }

    pub fn scan(&self, table: Table, prefix: &str, after: Option<&str>, limit: usize) -> Vec<(Box<str>, Bytes)> {
        let all = self.values.iter().filter(|((of, key), _)| *of == table && key.starts_with(prefix));
        let behind = all.filter(|((_, key), _)| after.is_none_or(|after| **key > *after));
        behind.take(limit).map(|((_, key), value)| (key.clone(), value.clone())).collect()
    }

    /// Whether a store that holds just this may have been opened with that image.
    pub fn agrees(&self, image: &Image) -> Result<(), String> {
        let mut logs = image.logs.clone();
        logs.sort_by(|a, b| (&a.topic, a.epoch).cmp(&(&b.topic, b.epoch)));
        if image.last != self.last() || logs != self.heads() {
            return Err(format!("last {}, {logs:?}; expected {}, {:?}", image.last, self.last(), self.heads()));
        }
        let known: Vec<(Seq, bool)> = image.dedup.iter().filter_map(|entry| self.find_dedup(entry)).collect();
        if known.len() != image.dedup.len() || known.len() > DEDUP_MAX || !known.is_sorted() {
            return Err(format!("ids {:?}", image.dedup));
        }
        // The ids of events that are held must be there, as far as there is room for them.
        let with_id = self.events.iter().rev().filter(|event| event.dedup.is_some()).take(DEDUP_MAX);
        for event in with_id.filter(|event| event.is_held && is_recent(event.record.time)) {
            if !known.contains(&(event.record.seq, true)) {
                return Err(format!("the id of {} is not known", event.record.seq));
            }
        }
        Ok(())
    }

    fn find_dedup(&self, entry: &(DedupKey, Epoch, u64, Wall)) -> Option<(Seq, bool)> {
        let (key, epoch, offset, time) = *entry;
        let is_it = |event: &&Past| {
            let record = &event.record;
            event.dedup == Some(key) && record.epoch == epoch && record.offset == offset && record.time == time
        };
        self.events.iter().find(is_it).filter(|_| is_recent(time)).map(|event| (event.record.seq, event.is_held))
    }

    fn heads(&self) -> Vec<LogHead> {
        let logs: BTreeSet<(Arc<str>, Epoch)> =
            self.events.iter().map(|event| (event.record.topic.clone(), event.record.epoch)).collect();
        let mut heads = Vec::new();
        for (topic, epoch) in logs {
            let is_newest = self.newest(&topic) == Some(epoch);
            let held: Vec<&Record> = self.log(&topic, epoch).filter(|e| e.is_held).map(|e| &e.record).collect();
            let Some(newest) = self.log(&topic, epoch).last().filter(|_| is_newest || !held.is_empty()) else {
                continue;
            };
            heads.push(LogHead {
                epoch,
                is_newest,
                first: held.first().map_or(newest.record.offset + 1, |r| r.offset),
                last: newest.record.offset,
                last_seq: newest.record.seq,
                bytes: held.iter().map(|r| r.weight() as u64).sum(),
                first_time: held.first().map(|r| r.time),
                is_mixed: newest.is_mixed,
                is_cut: false,
                topic,
            });
        }
        heads
    }

    fn log(&self, topic: &str, epoch: Epoch) -> impl Iterator<Item = &Past> {
        self.events.iter().filter(move |event| *event.record.topic == *topic && event.record.epoch == epoch)
    }

    fn held(&self) -> impl Iterator<Item = &Record> {
        self.events.iter().filter(|event| event.is_held).map(|event| &event.record)
    }
}

fn is_recent(time: Wall) -> bool {
    time.0 >= NOW.0 - DEDUP_WINDOW.as_millis() as i64
}

fn fit(records: &[&Record], limit: usize, bytes: usize) -> Vec<Record> {
    let mut total = 0;
    let fits = |(index, record): &(usize, &&Record)| {
        total += record.weight();
        *index < limit && (*index == 0 || total <= bytes)
    };
    records.iter().enumerate().take_while(fits).map(|(_, record)| (*record).clone()).collect()
}
