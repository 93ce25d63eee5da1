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
mod stock;

pub(super) use dedup::Dedup;
pub use retention::{Retention, TopicRule};

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use stock::Stock;

use crate::base::Wall;
use crate::engine::store::{Image, LogHead, Seq};
use crate::engine::topic::{Epoch, Pattern, Seeded};

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
    /// What the store has of it.
    pub stock: Stock,
    /// The newest offset that was committed.
    pub committed: u64,
    /// The newest offset that was handed out.
    pub handed_out: u64,
    /// Appends under way.
    pub pending: u32,
    /// Those of them that best-effort subscribers get with the commit, and nothing newer before.
    pub pending_sent: u32,
    /// Those of them whose publishers were answered already.
    pub pending_answered: u32,
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
            stock: Stock::default(),
            committed: 0,
            handed_out: 0,
            pending: 0,
            pending_sent: 0,
            pending_answered: 0,
            retention: rule.map_or(default, |rule| &rule.retention).clone(),
        }
    }

    fn of(head: &LogHead, sealed: Seq, rule: Option<&TopicRule>, default: &Arc<Retention>, now: Wall) -> Log {
        Log {
            // Its end is not known, so that its offsets must not be given to others.
            is_sealed: head.is_cut || (head.is_mixed && head.last_seq <= sealed),
            stock: Stock::of(head, now),
            committed: head.last,
            handed_out: head.last,
            ..Log::new(head.epoch, head.is_mixed, rule, default)
        }
    }

    /// How many events the store has.
    pub(super) fn len(&self) -> u64 {
        self.stock.len(self.committed)
    }
}

/// The logs of one shard's topics.
#[derive(Debug)]
pub(super) struct Logs {
    by_topic: HashMap<Arc<str>, Box<Log>, Seeded>,
    /// Topics with a log, in order: what the sweep walks.
    sorted: BTreeMap<Arc<str>, ()>,
    swept_to: Option<Arc<str>>,
    /// Topics that had no log when the interest of guaranteed subscriptions was as the number says.
    without: HashMap<Arc<str>, u64, Seeded>,
    /// Older logs that still hold events, the oldest first: they only shrink.
    older: BTreeMap<Arc<str>, Vec<OlderLog>>,
    older_swept_to: Option<Arc<str>>,
    rules: Arc<[TopicRule]>,
    /// Whether a rule says that every publish is synced before it is answered.
    has_guarantee: bool,
    default: Arc<Retention>,
    /// Topics that may have a log, and those of which is known that they have none.
    topics_max: usize,
}

/// A log that another one has taken the place of.
#[derive(Debug)]
pub(super) struct OlderLog {
    pub epoch: Epoch,
    /// The newest offset that the store has.
    pub last: u64,
    pub stock: Stock,
    /// Appends under way.
    pub pending: u32,
    pub retention: Arc<Retention>,
}

impl OlderLog {
    /// How many events the store has.
    pub(super) fn len(&self) -> u64 {
        self.stock.len(self.last)
    }

    /// Whether it holds nothing, and never will.
    fn is_over(&self) -> bool {
        self.pending == 0 && (self.stock.bytes == 0 || self.len() == 0)
    }
}

impl Logs {
    pub(super) fn new(seed: u64, rules: Arc<[TopicRule]>, default: Arc<Retention>, topics_max: usize) -> Logs {
        Logs {
            by_topic: HashMap::with_hasher(Seeded(seed)),
            sorted: BTreeMap::new(),
            swept_to: None,
            without: HashMap::with_hasher(Seeded(seed)),
            older: BTreeMap::new(),
            older_swept_to: None,
            has_guarantee: rules.iter().any(|rule| rule.is_guaranteed),
            rules,
            default,
            topics_max,
        }
    }

    /// Takes this worker's logs from what the store was opened with. Mixed ones that end at
    /// `sealed` or before get no more events.
    pub(super) fn restore(&mut self, image: &Image, sealed: Seq, now: Wall, is_own: impl Fn(&str) -> bool) {
        let rules = self.rules.clone();
        let mut heads: Vec<&LogHead> = image.logs.iter().filter(|head| is_own(&head.topic)).collect();
        heads.sort_by_key(|head| head.last_seq);
        for head in heads {
            let rule = rules.iter().find(|rule| rule.pattern.matches(&head.topic));
            if head.is_newest {
                let log = Log::of(head, sealed, rule, &self.default, now);
                self.insert(head.topic.clone(), log);
            } else if head.first <= head.last {
                self.older.entry(head.topic.clone()).or_default().push(OlderLog {
                    epoch: head.epoch,
                    last: head.last,
                    stock: Stock::of(head, now),
                    pending: 0,
                    retention: rule.map_or(&self.default, |rule| &rule.retention).clone(),
                });
            }
        }
    }

    pub(super) fn of(&self, topic: &str) -> Option<&Log> {
        self.by_topic.get(topic).map(|log| &**log)
    }

    pub(super) fn of_mut(&mut self, topic: &str) -> Option<&mut Log> {
        self.by_topic.get_mut(topic).map(|log| &mut **log)
    }

    /// Whether a topic is known to have no log, as long as interest is what it was.
    pub(super) fn is_known_without(&self, topic: &str, interest: u64) -> bool {
        self.without.get(topic).is_some_and(|known| *known == interest)
    }

    /// Remembers that a topic has no log.
    pub(super) fn remember_without(&mut self, topic: &str, interest: u64) {
        if let Some(known) = self.without.get_mut(topic) {
            *known = interest;
            return;
        }
        if self.without.len() >= self.topics_max {
            // It can be found out again, and as many have to come before it happens again.
            self.without.clear();
        }
        self.without.insert(topic.into(), interest);
    }

    /// Whether a rule says that every publish on a topic is synced before it is answered.
    pub(super) fn is_guaranteed(&self, topic: &str) -> bool {
        self.has_guarantee
            && match self.of(topic) {
                Some(log) => log.is_guaranteed,
                // Whatever the interest, no rule says so.
                None => !self.without.contains_key(topic) && self.rule(topic).is_some_and(|rule| rule.is_guaranteed),
            }
    }

    /// What is known of a topic that has no log is known no longer.
    pub(super) fn forget_without(&mut self, topic: &str) {
        self.without.remove(topic);
    }

    /// Whether no other topic may get a log.
    pub(super) fn is_full(&self) -> bool {
        self.sorted.len() >= self.topics_max
    }

    /// Gives a topic a log; one that it had goes on shrinking.
    pub(super) fn insert(&mut self, topic: Arc<str>, log: Log) {
        self.without.remove(&topic);
        if let Some(before) = self.by_topic.insert(topic.clone(), Box::new(log)) {
            let before = OlderLog {
                epoch: before.epoch,
                last: before.committed,
                stock: before.stock,
                pending: before.pending,
                retention: before.retention,
            };
            if !before.is_over() {
                self.older.entry(topic.clone()).or_default().push(before);
            }
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
    pub(super) fn older(&self, topic: &str) -> impl Iterator<Item = &OlderLog> {
        self.older.get(topic).into_iter().flatten().filter(|older| older.len() > 0)
    }

    /// The older log of a topic with an epoch.
    pub(super) fn older_mut(&mut self, topic: &str, epoch: Epoch) -> Option<&mut OlderLog> {
        self.older.get_mut(topic)?.iter_mut().find(|older| older.epoch == epoch)
    }

    /// The oldest log of a topic that is not its newest. Those that hold nothing are forgotten.
    pub(super) fn oldest(&mut self, topic: &Arc<str>) -> Option<&mut OlderLog> {
        let older = self.older.get_mut(topic)?;
        older.retain(|older| !older.is_over());
        if older.is_empty() {
            self.older.remove(topic);
        }
        self.older.get_mut(topic)?.iter_mut().find(|older| older.len() > 0)
    }

    /// How many events all of them hold, as far as it is known here.
    pub(super) fn events(&self) -> u64 {
        let of = |topic: &Arc<str>| self.of(topic).map_or(0, Log::len);
        self.sorted.keys().map(of).sum::<u64>() + self.older.values().flatten().map(OlderLog::len).sum::<u64>()
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
        next_of(&self.sorted, &mut self.swept_to, budget)
    }

    /// The same of those with older logs.
    pub(super) fn next_older_to_sweep(&mut self, budget: usize) -> Vec<Arc<str>> {
        next_of(&self.older, &mut self.older_swept_to, budget)
    }
}

fn next_of<T>(all: &BTreeMap<Arc<str>, T>, swept_to: &mut Option<Arc<str>>, budget: usize) -> Vec<Arc<str>> {
    use std::ops::Bound::{Excluded, Unbounded};
    let from = swept_to.as_ref().map_or(Unbounded, |topic| Excluded(topic.clone()));
    let topics: Vec<Arc<str>> = all.range((from, Unbounded)).take(budget).map(|(topic, _)| topic.clone()).collect();
    *swept_to = if topics.len() < budget { None } else { topics.last().cloned() };
    topics
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(topic: &str, epoch: u64, is_newest: bool, last_seq: u64) -> LogHead {
        LogHead {
            topic: topic.into(),
            epoch: Epoch::new(epoch),
            is_newest,
            first: 2,
            last: 4,
            last_seq: Seq(last_seq),
            bytes: 300,
            first_time: Some(Wall(10)),
            is_mixed: true,
            is_cut: false,
        }
    }

    fn logs(topics_max: usize) -> Logs {
        Logs::new(1, Arc::from([]), Arc::default(), topics_max)
    }

    #[test]
    fn older_logs_come_back_the_oldest_first_and_go_when_they_hold_nothing() {
        let (mut logs, topic): (_, Arc<str>) = (logs(10), "a.b".into());
        let heads = vec![head("a.b", 3, true, 9), head("a.b", 1, false, 6), head("a.b", 2, false, 3)];
        let image = Image { logs: heads, ..Image::default() };
        logs.restore(&image, Seq(0), Wall(50), |_| true);
        let epochs: Vec<Epoch> = logs.older("a.b").map(|older| older.epoch).collect();
        assert_eq!((epochs, logs.events()), (vec![Epoch::new(2), Epoch::new(1)], 9));
        assert!(logs.older("a.b").all(|older| older.stock.last_time == Some(Wall(50))));
        for epoch in [2, 1] {
            let oldest = logs.oldest(&topic).unwrap();
            assert_eq!(oldest.epoch, Epoch::new(epoch));
            (oldest.stock.first, oldest.stock.bytes) = (5, 0);
        }
        assert!(logs.oldest(&topic).is_none());
        assert!(logs.next_older_to_sweep(10).is_empty());
    }

    #[test]
    fn a_log_whose_appends_are_under_way_is_remembered_when_another_takes_its_place() {
        let (mut logs, epoch) = (logs(10), Epoch::new(1));
        logs.begin("a.b", epoch, true);
        logs.of_mut("a.b").unwrap().pending = 1;
        logs.begin("a.b", Epoch::new(2), true);
        logs.begin("a.b", Epoch::new(3), true);
        assert!(logs.older_mut("a.b", epoch).is_some_and(|older| older.pending == 1));
        assert!(logs.older_mut("a.b", Epoch::new(2)).is_none());
    }

    #[test]
    fn topics_without_a_log_are_remembered_within_bounds_and_take_no_room_from_logs() {
        let mut logs = logs(2);
        for topic in ["a.1", "a.2", "a.3"] {
            assert!(!logs.is_full());
            logs.remember_without(topic, 7);
            assert!(logs.is_known_without(topic, 7) && !logs.is_known_without(topic, 8));
            assert!(logs.without.len() <= 2);
        }
        logs.begin("a.3", Epoch::new(1), false);
        assert!(!logs.is_known_without("a.3", 7) && !logs.is_full());
        logs.begin("a.4", Epoch::new(2), false);
        assert!(logs.is_full());
    }
}
