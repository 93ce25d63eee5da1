//! The receivers of all topics that fall under the same patterns, made once and kept.
//!
//! A connection is listed once, however many of its subscriptions match. If one of them has no
//! filter, the event goes there: its options are those of its lowest-numbered one without a filter.
//! Otherwise the event goes there if one of its filters passes: its options are those of the
//! lowest-numbered one that does. The lane alone is always that of the lowest-numbered matching
//! subscription, whatever the filters say: in two lanes, a topic's events would overtake each other.

use std::sync::Arc;

use super::filter::{Filter, FilterId};
use super::payload::Payload;
use super::subscription::{Target, TargetFlags};
use super::subscriptions::{Candidate, Subscriptions};
use crate::base::{ConnId, ReactorId};

/// One reactor's receivers of one event. A clone shares the lists.
#[derive(Clone, Debug)]
pub struct ReactorTargets {
    pub(super) reactor: ReactorId,
    pub(super) everyone: Arc<[Target]>,
    pub(super) selected: Arc<[Target]>,
}

impl ReactorTargets {
    pub(super) fn new(reactor: ReactorId, everyone: Arc<[Target]>) -> ReactorTargets {
        ReactorTargets { reactor, everyone, selected: Arc::default() }
    }

    /// Whose connections these are.
    pub fn reactor(&self) -> ReactorId {
        self.reactor
    }

    /// Those who get every event of the topic, by connection.
    pub fn everyone(&self) -> &Arc<[Target]> {
        &self.everyone
    }

    /// Those whose filters passed, by connection. None of them is in [`Self::everyone`].
    pub fn selected(&self) -> &Arc<[Target]> {
        &self.selected
    }

    /// All receivers.
    pub fn iter(&self) -> impl Iterator<Item = &Target> {
        self.everyone.iter().chain(self.selected.iter())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.everyone.len() + self.selected.len()
    }

    /// Whether there is nobody.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The receivers of one event.
#[derive(Clone, Copy, Debug)]
pub struct FanOut<'a> {
    pub(super) reactors: &'a [ReactorTargets],
    /// How many connections get it.
    pub receivers: usize,
}

impl<'a> FanOut<'a> {
    /// The reactors that have receivers, in order.
    pub fn reactors(self) -> impl Iterator<Item = &'a ReactorTargets> {
        self.reactors.iter().filter(|targets| !targets.is_empty())
    }
}

/// A connection that only has subscriptions with a filter.
#[derive(Debug)]
struct Filtered {
    conn: ConnId,
    /// Its end in `choices`; it begins where the one before ends.
    end: u32,
}

/// The lists of one audience.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// By reactor; every reactor that may have a receiver.
    pub(super) reactors: Vec<ReactorTargets>,
    pub(super) unfiltered: usize,
    selected: usize,
    filtered: Vec<Filtered>,
    /// Filter and options of the filtered connections' subscriptions, by number.
    choices: Vec<(u32, TargetFlags)>,
    filters: Vec<Arc<Filter>>,
    /// What each filter said of the last event, which `selected` was made for.
    outcome: Vec<bool>,
    next_outcome: Vec<bool>,
}

impl Lists {
    /// Makes the lists. `candidates` are sorted by key.
    pub fn build(candidates: &[Candidate], subscriptions: &Subscriptions) -> Lists {
        let mut ids: Vec<FilterId> = candidates.iter().filter_map(|candidate| candidate.filter).collect();
        ids.sort_unstable();
        ids.dedup();
        let mut lists = Lists::default();
        let mut everyone = Vec::new();
        for reactor in candidates.chunk_by(|a, b| a.key.conn.reactor() == b.key.conn.reactor()) {
            for own in reactor.chunk_by(|a, b| a.key.conn == b.key.conn) {
                match unfiltered(own) {
                    Some(target) => everyone.push(target),
                    None => lists.push_filtered(own, &ids),
                }
            }
            lists.unfiltered += everyone.len();
            lists.reactors.push(ReactorTargets::new(reactor[0].key.conn.reactor(), everyone.as_slice().into()));
            everyone.clear();
        }
        lists.filters = ids.iter().map(|id| subscriptions.filter(*id).clone()).collect();
        lists.outcome = vec![false; lists.filters.len()];
        lists
    }

    /// How much is held, in targets.
    pub fn weight(&self) -> usize {
        self.unfiltered + 2 * self.choices.len()
    }

    pub fn has_filters(&self) -> bool {
        !self.filters.is_empty()
    }

    /// The receivers of an event: each filter is asked once, and what it selects is kept for as
    /// long as the answers stay the same.
    pub fn fan_out(&mut self, payload: &mut Payload<'_>) -> FanOut<'_> {
        if self.has_filters() {
            let data = payload.value();
            self.next_outcome.clear();
            let passes = |filter: &Arc<Filter>| data.is_some_and(|data| filter.passes_value(data));
            self.next_outcome.extend(self.filters.iter().map(passes));
            if self.next_outcome != self.outcome {
                std::mem::swap(&mut self.outcome, &mut self.next_outcome);
                self.select();
            }
        }
        FanOut { reactors: &self.reactors, receivers: self.unfiltered + self.selected }
    }

    fn push_filtered(&mut self, own: &[Candidate], ids: &[FilterId]) {
        for candidate in own {
            if let Some(place) = candidate.filter.and_then(|filter| ids.binary_search(&filter).ok()) {
                self.choices.push((place as u32, candidate.flags.in_lane_of(own[0].flags)));
            }
        }
        self.filtered.push(Filtered { conn: own[0].key.conn, end: self.choices.len() as u32 });
    }

    fn select(&mut self) {
        self.selected = 0;
        let mut begin = 0;
        let mut filtered = self.filtered.iter().peekable();
        let mut selected = Vec::new();
        for targets in &mut self.reactors {
            while let Some(Filtered { conn, end }) = filtered.next_if(|next| next.conn.reactor() == targets.reactor) {
                let choices = &self.choices[begin..*end as usize];
                begin = *end as usize;
                if let Some((_, flags)) = choices.iter().find(|(filter, _)| self.outcome[*filter as usize]) {
                    selected.push(Target { conn: *conn, flags: *flags });
                }
            }
            self.selected += selected.len();
            targets.selected = selected.as_slice().into();
            selected.clear();
        }
    }
}

/// The target of a connection that has a subscription without a filter. `own` are its candidates,
/// by number.
pub(super) fn unfiltered(own: &[Candidate]) -> Option<Target> {
    let first = own.iter().find(|candidate| candidate.filter.is_none())?;
    Some(Target { conn: first.key.conn, flags: first.flags.in_lane_of(own[0].flags) })
}
