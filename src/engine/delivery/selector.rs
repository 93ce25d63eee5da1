//! Which events a consumer wants.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::engine::store::{Record, Seq};
use crate::engine::topic::{Filter, Pattern, Payload};

/// One subscription of a consumer. An event counts if any of them takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selector {
    /// The topics.
    pub pattern: Pattern,
    /// What must hold for the payload.
    pub filter: Option<Arc<Filter>>,
    /// Only events behind this one.
    pub since: Seq,
}

impl Selector {
    fn takes(&self, record: &Record, payload: &mut Payload<'_>) -> bool {
        record.seq > self.since && self.filter.as_ref().is_none_or(|filter| filter.passes(payload))
    }

    fn is_same(&self, other: &Selector) -> bool {
        self.pattern == other.pattern && self.filter == other.filter
    }
}

/// A consumer's selectors. Those for one topic are found by its name: a session may have thousands.
#[derive(Debug, Default)]
pub(super) struct Selectors {
    exact: BTreeMap<Box<str>, Vec<Selector>>,
    wild: Vec<Selector>,
    patterns: Option<Arc<[Pattern]>>,
}

impl Selectors {
    /// Adds one. Returns false if there is one with this pattern and filter, which stays as it is.
    pub fn insert(&mut self, selector: Selector) -> bool {
        if self.has(&selector) {
            return false;
        }
        match selector.pattern.is_exact() {
            true => self.exact.entry(selector.pattern.as_str().into()).or_default().push(selector),
            false => self.wild.push(selector),
        }
        self.patterns = None;
        true
    }

    /// Whether there is one with the same pattern and filter.
    pub fn has(&self, selector: &Selector) -> bool {
        let list = match selector.pattern.is_exact() {
            true => self.exact.get(selector.pattern.as_str()),
            false => Some(&self.wild),
        };
        list.is_some_and(|list| list.iter().any(|other| other.is_same(selector)))
    }

    /// Gives the selector with a pattern another filter. Returns whether that changed anything;
    /// false too if there is none, or more than one.
    pub fn refilter(&mut self, pattern: &Pattern, filter: Option<&Arc<Filter>>) -> bool {
        let all = match pattern.is_exact() {
            true => self.exact.get_mut(pattern.as_str()),
            false => Some(&mut self.wild),
        };
        let mut own = all.into_iter().flatten().filter(|selector| selector.pattern == *pattern);
        match (own.next(), own.next()) {
            (Some(selector), None) if selector.filter.as_ref() != filter => {
                selector.filter = filter.cloned();
                true
            }
            (Some(_) | None, _) => false,
        }
    }

    /// Whether there is one with a pattern.
    pub fn has_pattern(&self, pattern: &Pattern) -> bool {
        self.iter().any(|selector| selector.pattern == *pattern)
    }

    /// Takes out all with a pattern. Returns whether there was one.
    pub fn remove(&mut self, pattern: &Pattern) -> bool {
        self.patterns = None;
        if pattern.is_exact() {
            return self.exact.remove(pattern.as_str()).is_some();
        }
        let before = self.wild.len();
        self.wild.retain(|selector| selector.pattern != *pattern);
        self.wild.len() < before
    }

    /// No selector takes anything up to `seq` any more.
    pub fn raise(&mut self, seq: Seq) {
        for selector in self.exact.values_mut().flatten().chain(&mut self.wild) {
            selector.since = selector.since.max(seq);
        }
    }

    /// Whether an event counts.
    pub fn take(&self, record: &Record, payload: &mut Payload<'_>) -> bool {
        let exact = self.exact.get(&*record.topic).into_iter().flatten();
        exact.clone().any(|selector| selector.takes(record, payload))
            || self
                .wild
                .iter()
                .any(|selector| selector.pattern.matches(&record.topic) && selector.takes(record, payload))
    }

    /// Whether any pattern names the topic.
    pub fn name(&self, topic: &str) -> bool {
        self.exact.contains_key(topic) || self.wild.iter().any(|selector| selector.pattern.matches(topic))
    }

    /// Whether an event whose payload is not known may have counted.
    pub fn may_take(&self, topic: &str, seq: Seq) -> bool {
        let exact = self.exact.get(topic).into_iter().flatten();
        exact.clone().any(|selector| seq > selector.since)
            || self.wild.iter().any(|selector| seq > selector.since && selector.pattern.matches(topic))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Selector> {
        self.exact.values().flatten().chain(&self.wild)
    }

    /// Their patterns, each once, for reading the logs.
    pub fn patterns(&mut self) -> Arc<[Pattern]> {
        if let Some(patterns) = &self.patterns {
            return patterns.clone();
        }
        let mut patterns: Vec<Pattern> = self.iter().map(|selector| selector.pattern.clone()).collect();
        patterns.sort_unstable();
        patterns.dedup();
        self.patterns.insert(patterns.into()).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::engine::topic::Epoch;

    fn selector(pattern: &str, filter: Option<serde_json::Value>, since: u64) -> Selector {
        let filter = filter.and_then(|filter| Filter::parse(&filter).unwrap()).map(Arc::new);
        Selector { pattern: Pattern::parse(pattern).unwrap(), filter, since: Seq(since) }
    }

    fn takes(selectors: &Selectors, seq: u64, topic: &str, payload: &'static str) -> bool {
        let payload = bytes::Bytes::from_static(payload.as_bytes());
        let (epoch, time) = (Epoch::new(1), Wall(0));
        let record = Record { seq: Seq(seq), topic: topic.into(), epoch, offset: seq, time, expires: None, payload };
        let taken = selectors.take(&record, &mut Payload::new(&record.payload));
        assert!(!taken || (selectors.name(topic) && selectors.may_take(topic, Seq(seq))));
        taken
    }

    #[test]
    fn any_selector_takes_an_event() {
        let mut selectors = Selectors::default();
        for one in [
            selector("a.b", None, 5),
            selector("a.b", Some(serde_json::json!({"x": 1})), 0),
            selector("c.*", None, 10),
            selector("d.>", Some(serde_json::json!({"x": 2})), 0),
        ] {
            assert!(selectors.insert(one));
        }
        for (seq, topic, payload, expected) in [
            (5, "a.b", "{}", false),
            (6, "a.b", "{}", true),
            (2, "a.b", "{\"x\":1}", true),
            (10, "c.x", "{}", false),
            (11, "c.x", "{}", true),
            (11, "c.x.y", "{}", false),
            (1, "d.x.y", "{\"x\":2}", true),
            (1, "d.x.y", "{\"x\":1}", false),
            (1, "e.x", "{}", false),
        ] {
            assert_eq!(takes(&selectors, seq, topic, payload), expected, "{seq} {topic} {payload}");
        }
        let names: Vec<_> = selectors.patterns().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a.b", "c.*", "d.>"]);
        selectors.raise(Seq(20));
        assert!(!takes(&selectors, 20, "a.b", "{\"x\":1}") && takes(&selectors, 21, "a.b", "{}"));
    }

    #[test]
    fn another_filter_takes_the_place_of_the_first() {
        let mut selectors = Selectors::default();
        selectors.insert(selector("a.*", Some(serde_json::json!({"x": 1})), 3));
        let pattern = Pattern::parse("a.*").unwrap();
        let other = selector("a.*", Some(serde_json::json!({"x": 2})), 0).filter;
        assert!(selectors.refilter(&pattern, other.as_ref()));
        assert!(!selectors.refilter(&pattern, other.as_ref()));
        assert!(!takes(&selectors, 3, "a.b", "{\"x\":2}") && takes(&selectors, 4, "a.b", "{\"x\":2}"));
        assert!(!takes(&selectors, 4, "a.b", "{\"x\":1}"));
        assert!(selectors.refilter(&pattern, None) && takes(&selectors, 4, "a.b", "{}"));
        assert!(!selectors.refilter(&Pattern::parse("b.*").unwrap(), None));
    }

    #[test]
    fn the_same_again_changes_nothing_and_removal_takes_every_filter() {
        let mut selectors = Selectors::default();
        assert!(selectors.insert(selector("a.b", None, 5)));
        assert!(!selectors.insert(selector("a.b", None, 0)));
        assert!(!takes(&selectors, 5, "a.b", "{}"));
        assert!(selectors.insert(selector("a.b", Some(serde_json::json!({"x": 1})), 0)));
        assert!(selectors.insert(selector("a.*", None, 0)));
        assert!(selectors.remove(&Pattern::parse("a.b").unwrap()));
        assert!(!selectors.remove(&Pattern::parse("a.b").unwrap()));
        assert_eq!(selectors.iter().count(), 1);
        assert!(selectors.remove(&Pattern::parse("a.*").unwrap()));
        assert!(selectors.patterns().is_empty());
    }
}
