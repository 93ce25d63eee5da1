//! The topic logs of this shard: which topics have one, where it stands, what it may keep.
//!
//! A topic has a log if a rule says so, once something guaranteed was published on it, or while a
//! guaranteed subscription matches it. Offsets are handed out here and become final with the
//! commit; what fails to be committed is taken back. A log that may hold events of level memory
//! is a *mixed* one: after a crash its end is not known, so that another log, with another epoch,
//! goes on. A log that is not mixed keeps its epoch whatever happens.

mod answer;
mod append;
mod commit;
mod dedup;
mod history;
mod retention;

pub(super) use dedup::Dedup;
pub use retention::{Retention, TopicRule};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::base::Wall;
use crate::engine::store::{Image, LogHead, Seq};
use crate::engine::topic::{Epoch, Pattern, Seeded};

/// What is known of a topic's log.
#[derive(Debug)]
pub(super) enum Keeping {
    /// It had none when the interest of guaranteed subscriptions was as this number says.
    Not(u64),
    /// It has one.
    Log(Box<Log>),
}

/// One topic's newest log.
#[derive(Debug)]
pub(super) struct Log {
    pub epoch: Epoch,
    /// Whether it takes events of level memory.
    pub is_mixed: bool,
    /// Whether a rule says that every publish is synced before it is answered.
    pub is_guaranteed: bool,
    /// It gets no more events: the next one begins another log.
    pub is_sealed: bool,
    /// Events are not logged at present, since the store is in trouble.
    pub is_volatile: bool,
    /// The oldest offset that the store has.
    pub first: u64,
    /// The newest offset that was committed.
    pub committed: u64,
    /// The newest offset that was handed out.
    pub handed_out: u64,
    /// Bytes of what is committed.
    pub bytes: u64,
    pub first_time: Option<Wall>,
    /// Appends under way.
    pub pending: u32,
    /// Those of them that best-effort subscribers get with the commit, and nothing newer before.
    pub pending_sent: u32,
    /// Those of them whose publishers were answered already.
    pub pending_answered: u32,
    /// A trim is under way.
    pub is_trimming: bool,
    pub retention: Arc<Retention>,
}

impl Log {
    pub(super) fn new(epoch: Epoch, is_mixed: bool, rule: Option<&TopicRule>, default: &Arc<Retention>) -> Log {
        Log {
            is_guaranteed: rule.is_some_and(|rule| rule.is_guaranteed),
            epoch,
            is_mixed,
            is_sealed: false,
            is_volatile: false,
            first: 1,
            committed: 0,
            handed_out: 0,
            bytes: 0,
            first_time: None,
            pending: 0,
            pending_sent: 0,
            pending_answered: 0,
            is_trimming: false,
            retention: rule.map_or(default, |rule| &rule.retention).clone(),
        }
    }

    fn of(head: &LogHead, sealed: Seq, rule: Option<&TopicRule>, default: &Arc<Retention>) -> Log {
        Log {
            // Its end is not known, so that its offsets must not be given to others.
            is_sealed: head.is_cut || (head.is_mixed && head.last_seq <= sealed),
            first: head.first,
            committed: head.last,
            handed_out: head.last,
            bytes: head.bytes,
            first_time: head.first_time,
            ..Log::new(head.epoch, head.is_mixed, rule, default)
        }
    }

    /// How many events the store has.
    pub(super) fn len(&self) -> u64 {
        (self.committed + 1).saturating_sub(self.first)
    }
}

/// The logs of one shard's topics.
#[derive(Debug)]
pub(super) struct Logs {
    by_topic: HashMap<Arc<str>, Keeping, Seeded>,
    /// Topics with a log, in order: what the sweep walks.
    sorted: BTreeMap<Arc<str>, ()>,
    swept_to: Option<Arc<str>>,
    /// Older logs that still hold events: they only shrink.
    pub older: Vec<OlderLog>,
    rules: Arc<[TopicRule]>,
    default: Arc<Retention>,
    remembered_max: usize,
}

/// A log that another one has taken the place of.
#[derive(Debug)]
pub(super) struct OlderLog {
    pub topic: Arc<str>,
    pub epoch: Epoch,
    pub first: u64,
    pub last: u64,
    pub first_time: Option<Wall>,
    pub is_trimming: bool,
    pub retention: Arc<Retention>,
}

impl Logs {
    pub(super) fn new(seed: u64, rules: Arc<[TopicRule]>, default: Arc<Retention>, remembered_max: usize) -> Logs {
        Logs {
            by_topic: HashMap::with_hasher(Seeded(seed)),
            sorted: BTreeMap::new(),
            swept_to: None,
            older: Vec::new(),
            rules,
            default,
            remembered_max,
        }
    }

    /// Takes this worker's logs from what the store was opened with. Mixed ones that end at
    /// `sealed` or before get no more events.
    pub(super) fn restore(&mut self, image: &Image, sealed: Seq, is_own: impl Fn(&str) -> bool) {
        for head in image.logs.iter().filter(|head| is_own(&head.topic)) {
            let rules = self.rules.clone();
            let rule = rules.iter().find(|rule| rule.pattern.matches(&head.topic));
            if head.is_newest {
                let log = Log::of(head, sealed, rule, &self.default);
                self.insert(head.topic.clone(), log);
            } else if head.first <= head.last {
                self.older.push(OlderLog {
                    topic: head.topic.clone(),
                    epoch: head.epoch,
                    first: head.first,
                    last: head.last,
                    first_time: head.first_time,
                    is_trimming: false,
                    retention: rule.map_or(&self.default, |rule| &rule.retention).clone(),
                });
            }
        }
    }

    pub(super) fn of(&self, topic: &str) -> Option<&Log> {
        match self.by_topic.get(topic) {
            Some(Keeping::Log(log)) => Some(log),
            Some(Keeping::Not(_)) | None => None,
        }
    }

    pub(super) fn of_mut(&mut self, topic: &str) -> Option<&mut Log> {
        match self.by_topic.get_mut(topic) {
            Some(Keeping::Log(log)) => Some(log),
            Some(Keeping::Not(_)) | None => None,
        }
    }

    /// Whether a topic is known to have no log, as long as interest is what it was.
    pub(super) fn is_known_without(&self, topic: &str, interest: u64) -> bool {
        matches!(self.by_topic.get(topic), Some(Keeping::Not(known)) if *known == interest)
    }

    /// Remembers that a topic has no log.
    pub(super) fn remember_without(&mut self, topic: &str, interest: u64) {
        if let Some(Keeping::Not(known)) = self.by_topic.get_mut(topic) {
            *known = interest;
            return;
        }
        if self.by_topic.len() >= self.remembered_max {
            // Only what can be found out again is forgotten.
            self.by_topic.retain(|_, keeping| matches!(keeping, Keeping::Log(_)));
        }
        self.by_topic.insert(topic.into(), Keeping::Not(interest));
    }

    /// Whether a rule says that every publish on a topic is synced before it is answered.
    pub(super) fn is_guaranteed(&self, topic: &str) -> bool {
        self.rule(topic).is_some_and(|rule| rule.is_guaranteed)
    }

    /// What is known of a topic that has no log is known no longer.
    pub(super) fn forget_without(&mut self, topic: &str) {
        if let Some(Keeping::Not(_)) = self.by_topic.get(topic) {
            self.by_topic.remove(topic);
        }
    }

    /// Gives a topic a log; one that it had goes on shrinking.
    pub(super) fn insert(&mut self, topic: Arc<str>, log: Log) {
        let before = self.by_topic.insert(topic.clone(), Keeping::Log(Box::new(log)));
        if let Some(Keeping::Log(before)) = before
            && before.first <= before.handed_out
        {
            self.older.push(OlderLog {
                topic: topic.clone(),
                epoch: before.epoch,
                first: before.first,
                last: before.handed_out,
                first_time: before.first_time,
                is_trimming: false,
                retention: before.retention,
            });
        }
        self.sorted.insert(topic, ());
    }

    /// Topics under a pattern that have a log, up to `limit`.
    pub(super) fn matching(&self, pattern: &Pattern, limit: usize) -> Vec<Arc<str>> {
        if pattern.is_exact() {
            let topic = self.sorted.get_key_value(pattern.as_str());
            return topic.map(|(topic, ())| topic.clone()).into_iter().collect();
        }
        self.sorted.keys().filter(|topic| pattern.matches(topic)).take(limit).cloned().collect()
    }

    /// The older logs of a topic that still hold events.
    pub(super) fn older<'a>(&'a self, topic: &'a str) -> impl Iterator<Item = &'a OlderLog> {
        self.older.iter().filter(move |older| *older.topic == *topic && older.first <= older.last)
    }

    /// How many events all of them hold, as far as it is known here.
    pub(super) fn events(&self) -> u64 {
        let of = |topic: &Arc<str>| self.of(topic).map_or(0, Log::len);
        self.sorted.keys().map(of).sum::<u64>()
            + self.older.iter().map(|log| (log.last + 1).saturating_sub(log.first)).sum::<u64>()
    }

    /// How many topics have a log.
    pub(super) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(super) fn rule(&self, topic: &str) -> Option<&TopicRule> {
        self.rules.iter().find(|rule| rule.pattern.matches(topic))
    }

    /// Begins a log, in place of the one that the topic had.
    pub(super) fn begin(&mut self, topic: &str, epoch: Epoch, is_mixed: bool) {
        let log = Log::new(epoch, is_mixed, self.rule(topic), &self.default);
        self.insert(topic.into(), log);
    }

    /// The next topics with a log in the order of their names, `budget` of them, round and round.
    pub(super) fn next_to_sweep(&mut self, budget: usize) -> Vec<Arc<str>> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = self.swept_to.as_ref().map_or(Unbounded, |topic| Excluded(topic.clone()));
        let topics: Vec<Arc<str>> =
            self.sorted.range((from, Unbounded)).take(budget).map(|(topic, ())| topic.clone()).collect();
        self.swept_to = if topics.len() < budget { None } else { topics.last().cloned() };
        topics
    }
}
