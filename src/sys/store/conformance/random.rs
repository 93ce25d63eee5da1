//! Random histories, against the model.

use std::cell::RefCell;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use super::model::Model;
use super::*;
use crate::engine::store::DedupKey;
use crate::engine::topic::Pattern;

const TOPICS: [&str; 4] = ["a.b", "a.c", "a.b.c", "x.y"];
const KEYS: [&str; 6] = ["", "a", "a/1", "a/2", "b", "ü"];
const TABLES: [Table; 2] = [Table::Cursors, Table::DeadLetters];
const PATTERNS: [&str; 5] = ["a.b", "a.*", "a.>", ">", "*.y"];

#[derive(Clone, Debug)]
enum Step {
    /// A group that must be taken. Its first number leaves a gap of `gap`.
    Group {
        drafts: Vec<Draft>,
        gap: u64,
        sync: bool,
    },
    /// A group whose last change is an append that does not follow.
    Wrong {
        drafts: Vec<Draft>,
        topic: usize,
        by: u64,
    },
    Look {
        look: Look,
        limit: usize,
        bytes: usize,
    },
    Reopen,
    Close,
    Kill,
}

#[derive(Clone, Debug)]
enum Draft {
    Append { topic: usize, begins: bool, age_s: i64, id: Option<u8>, size: usize, is_mixed: bool },
    Trim { topic: usize, which: usize, through: u64, age_s: Option<i64> },
    Put { table: usize, key: usize, value: u8 },
    Delete { table: usize, key: usize },
}

#[derive(Clone, Debug)]
enum Look {
    Offset { topic: usize, which: usize, after: u64 },
    Time { topic: usize, which: usize, age_s: i64 },
    Since { age_s: i64 },
    Patterns { patterns: Vec<usize>, after: u64, through: u64 },
    Seqs(Vec<u64>),
    Get { table: usize, key: usize },
    Scan { table: usize, prefix: usize, after: Option<usize> },
}

fn draft() -> impl Strategy<Value = Draft> {
    let topic = 0..TOPICS.len();
    let id = prop::option::of(any::<u8>());
    prop_oneof![
        5 => (topic.clone(), prop::bool::weighted(0.15), 0..120_i64, id, 0..200_usize, any::<bool>()).prop_map(
            |(topic, begins, age_s, id, size, is_mixed)| Draft::Append { topic, begins, age_s, id, size, is_mixed }
        ),
        1 => (topic, 0..9_usize, 0..12_u64, prop::option::of(0..20_i64))
            .prop_map(|(topic, which, through, age_s)| Draft::Trim { topic, which, through, age_s }),
        2 => (0..TABLES.len(), 0..KEYS.len(), any::<u8>()).prop_map(|(table, key, value)| Draft::Put { table, key, value }),
        1 => (0..TABLES.len(), 0..KEYS.len()).prop_map(|(table, key)| Draft::Delete { table, key }),
    ]
}

fn look() -> impl Strategy<Value = Look> {
    let topic = 0..TOPICS.len();
    let table = 0..TABLES.len();
    let key = 0..KEYS.len();
    prop_oneof![
        (topic.clone(), 0..9_usize, 0..12_u64).prop_map(|(topic, which, after)| Look::Offset { topic, which, after }),
        (topic, 0..9_usize, 0..120_i64).prop_map(|(topic, which, age_s)| Look::Time { topic, which, age_s }),
        (0..125_i64).prop_map(|age_s| Look::Since { age_s }),
        (prop::collection::vec(0..PATTERNS.len(), 0..4), 0..40_u64, 0..60_u64)
            .prop_map(|(patterns, after, through)| Look::Patterns { patterns, after, through }),
        prop::collection::vec(0..60_u64, 0..6).prop_map(Look::Seqs),
        (table.clone(), key.clone()).prop_map(|(table, key)| Look::Get { table, key }),
        (table, key.clone(), prop::option::of(key)).prop_map(|(table, prefix, after)| Look::Scan {
            table,
            prefix,
            after
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let drafts = || prop::collection::vec(draft(), 0..5);
    let bytes = prop_oneof![Just(usize::MAX), 0..600_usize];
    prop_oneof![
        10 => (drafts(), 0..3_u64, any::<bool>()).prop_map(|(drafts, gap, sync)| Step::Group { drafts, gap, sync }),
        1 => (drafts(), 0..TOPICS.len(), 2..5_u64).prop_map(|(drafts, topic, by)| Step::Wrong { drafts, topic, by }),
        10 => (look(), 0..6_usize, bytes).prop_map(|(look, limit, bytes)| Step::Look { look, limit, bytes }),
        1 => Just(Step::Reopen),
        1 => Just(Step::Close),
        1 => Just(Step::Kill),
    ]
}

pub fn histories_agree_with_the_model(new_lab: NewLab) {
    let new_lab = RefCell::new(new_lab);
    let mut runner = TestRunner::new(Config { cases: 128, failure_persistence: None, ..Config::default() });
    let run = |steps: Vec<Step>| {
        let mut history = History::new(Store::open(new_lab.borrow_mut()()));
        for step in steps {
            history = history.step(step);
        }
        history.close();
        Ok(())
    };
    runner.run(&prop::collection::vec(step(), 0..60), run).unwrap();
}

/// A store beside its model.
struct History {
    store: Store,
    model: Model,
    /// The model as it was when the store was synced last, and after each group since: what may
    /// be left after a kill.
    since_sync: Vec<Model>,
}

impl History {
    fn new(store: Store) -> History {
        History { store, model: Model::default(), since_sync: vec![Model::default()] }
    }

    fn step(mut self, step: Step) -> History {
        match step {
            Step::Group { drafts, gap, sync } => {
                let first = Seq(self.model.last().0 + 1 + gap);
                let group = self.write(&drafts, first);
                let gone = self.store.backend.commit(&group, first, sync).unwrap();
                assert_eq!(gone, self.model.apply(&group, first));
                self.has_changed(sync);
            }
            Step::Wrong { drafts, topic, by } => {
                let first = self.model.last().next();
                let mut group = self.write(&drafts, first);
                let mut scratch = self.model.clone();
                scratch.apply(&group, first);
                let epoch = scratch.newest(TOPICS[topic]).unwrap_or(Epoch::new(1));
                let offset = scratch.last_offset(TOPICS[topic], epoch) + by;
                group.push(Write::Append(Append { epoch, ..append(TOPICS[topic], 0, offset) }));
                let refused = self.store.backend.commit(&group, first, true);
                assert_eq!(refused.map_err(|error| error.fault), Err(StoreFault::Refused));
            }
            Step::Look { look, limit, bytes } => self.look(look, limit, bytes),
            Step::Reopen => {
                self.store.backend.reopen(self.model.last()).unwrap();
                self.has_changed(true);
            }
            Step::Close => return self.close(),
            Step::Kill => return self.kill(),
        }
        self
    }

    fn close(mut self) -> History {
        self.store = self.store.closed();
        assert!(self.store.image.was_closed);
        self.model.agrees(&self.store.image).unwrap();
        self.values_agree();
        self.has_changed(true);
        self
    }

    fn kill(mut self) -> History {
        self.store = self.store.killed();
        assert!(!self.store.image.was_closed);
        let mut why = Vec::new();
        while let Some(model) = self.since_sync.pop() {
            match model.agrees(&self.store.image).and_then(|()| has_values(&model, &mut self.store)) {
                Ok(()) => {
                    self.model = model;
                    self.has_changed(true);
                    return self;
                }
                Err(error) => why.push(error),
            }
        }
        panic!("what the kill left is no prefix of what was committed: {why:#?}");
    }

    fn has_changed(&mut self, is_synced: bool) {
        if is_synced {
            self.since_sync.clear();
        }
        self.since_sync.push(self.model.clone());
    }

    fn values_agree(&mut self) {
        has_values(&self.model, &mut self.store).unwrap();
    }

    /// Makes a group that the store must take.
    fn write(&self, drafts: &[Draft], first: Seq) -> Vec<Write> {
        let mut scratch = self.model.clone();
        let mut seq = first;
        let mut group = Vec::new();
        for draft in drafts {
            let write = match *draft {
                Draft::Append { topic, begins, age_s, id, size, is_mixed } => {
                    let topic = TOPICS[topic];
                    // Neither used before nor in order.
                    let new = Epoch::new(scratch.count() as u64 ^ 0b1010);
                    let epoch = scratch.newest(topic).filter(|_| !begins).unwrap_or(new);
                    Write::Append(Append {
                        epoch,
                        is_mixed,
                        time: Wall(NOW.0 - age_s * 1000 - 500),
                        payload: Bytes::from(vec![b'7'; size]),
                        dedup: id.map(|id| DedupKey(u128::from(id))),
                        ..append(topic, 0, scratch.last_offset(topic, epoch) + 1)
                    })
                }
                Draft::Trim { topic, which, through, age_s } => {
                    let epoch = some_epoch(&scratch, TOPICS[topic], which);
                    let before = age_s.map(|age_s| Wall(NOW.0 - age_s * 1000));
                    Write::Trim { topic: TOPICS[topic].into(), epoch, through, before }
                }
                Draft::Put { table, key, value } => put(TABLES[table], KEYS[key], &value.to_string()),
                Draft::Delete { table, key } => delete(TABLES[table], KEYS[key]),
            };
            scratch.apply(std::slice::from_ref(&write), seq);
            if matches!(write, Write::Append(_)) {
                seq = seq.next();
            }
            group.push(write);
        }
        group
    }

    fn look(&mut self, look: Look, limit: usize, bytes: usize) {
        let History { store: Store { backend, .. }, model, .. } = self;
        match look {
            Look::Offset { topic, which, after } => {
                let topic = TOPICS[topic];
                let epoch = some_epoch(model, topic, which);
                let page = backend.read(&Read::Offset { topic: topic.into(), epoch, after, limit, bytes }).unwrap();
                is_same(&page, &model.by_offset(topic, epoch, after, limit, bytes));
            }
            Look::Time { topic, which, age_s } => {
                let topic = TOPICS[topic];
                let (epoch, since) = (some_epoch(model, topic, which), Wall(NOW.0 - age_s * 1000));
                let page = backend.read(&Read::Time { topic: topic.into(), epoch, since, limit, bytes }).unwrap();
                is_same(&page, &model.by_time(topic, epoch, since, limit, bytes));
            }
            Look::Since { age_s } => {
                let since = Wall(NOW.0 - age_s * 1000);
                assert_eq!(backend.read(&Read::Since { since }).unwrap().records, model.since(since));
            }
            Look::Patterns { patterns, after, through } => {
                let patterns: Arc<[Pattern]> =
                    patterns.iter().map(|&index| Pattern::parse(PATTERNS[index]).unwrap()).collect();
                let (after, through) = (Seq(after), Seq(through));
                let (expected, most) = model.by_patterns(&patterns, after, through, limit, bytes);
                let page = backend.read(&Read::Patterns { patterns, after, through, limit, bytes }).unwrap();
                assert!((expected.through..=most).contains(&page.through), "{page:?} for {expected:?}");
                assert_eq!(page.records, expected.records);
            }
            Look::Seqs(seqs) => {
                let seqs: Vec<Seq> = seqs.into_iter().map(Seq).collect();
                let page = backend.read(&Read::Seqs { seqs: seqs.clone() }).unwrap();
                assert_eq!(page.records, model.by_seqs(&seqs));
            }
            Look::Get { table, key } => {
                let (table, key) = (TABLES[table], KEYS[key]);
                assert_eq!(backend.get(table, key).unwrap().as_ref(), model.values.get(&(table, key.into())));
            }
            Look::Scan { table, prefix, after } => {
                let (table, prefix, after) = (TABLES[table], KEYS[prefix], after.map(|index| KEYS[index]));
                let found = backend.scan(table, prefix, after, limit).unwrap();
                assert_eq!(found, model.scan(table, prefix, after, limit));
            }
        }
    }
}

fn some_epoch(model: &Model, topic: &str, which: usize) -> Epoch {
    let epochs = model.epochs(topic);
    if epochs.is_empty() { Epoch::new(99_999) } else { epochs[which % epochs.len()] }
}

fn is_same(page: &Page, expected: &Page) {
    assert_eq!(page.records, expected.records);
    let facts = |page: &Page| (page.first, page.more, page.missing);
    assert_eq!(facts(page), facts(expected), "first, more, missing");
}

fn has_values(model: &Model, store: &mut Store) -> Result<(), String> {
    for table in TABLES {
        let found = store.backend.scan(table, "", None, usize::MAX).unwrap();
        let expected = model.scan(table, "", None, usize::MAX);
        if found != expected {
            return Err(format!("{} has {found:?}, expected {expected:?}", table.as_str()));
        }
    }
    Ok(())
}
