//! How far publications and deliveries are, over all threads.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::cli::bench::sequence::Sequence;

/// One publisher's counts.
#[derive(Debug, Default)]
struct Lane {
    published: AtomicU64,
    refused: AtomicU64,
}

/// Counts that all threads see.
#[derive(Debug)]
pub struct Progress {
    lanes: Vec<Lane>,
    subscribers: AtomicU64,
    /// Deliveries that publications so far will make.
    expected: AtomicU64,
    delivered: AtomicU64,
}

impl Progress {
    /// Nothing has happened.
    pub fn new(publishers: usize) -> Progress {
        Progress {
            lanes: (0..publishers).map(|_| Lane::default()).collect(),
            subscribers: AtomicU64::new(0),
            expected: AtomicU64::new(0),
            delivered: AtomicU64::new(0),
        }
    }

    /// How many publishers there are.
    pub fn lanes(&self) -> usize {
        self.lanes.len()
    }

    /// One more subscriber is ready.
    pub fn add_subscriber(&self) {
        self.subscribers.fetch_add(1, Relaxed);
    }

    /// A subscriber's connection has ended.
    pub fn remove_subscriber(&self) {
        self.subscribers.fetch_sub(1, Relaxed);
    }

    /// A publication is about to be sent.
    pub fn count_published(&self, lane: usize) {
        self.lanes[lane].published.fetch_add(1, Relaxed);
        self.expected.fetch_add(self.subscribers.load(Relaxed), Relaxed);
    }

    /// The server refused a publication: nobody gets it.
    pub fn count_refused(&self, lane: usize) {
        self.lanes[lane].refused.fetch_add(1, Relaxed);
        self.delivered.fetch_add(self.subscribers.load(Relaxed), Relaxed);
    }

    /// One subscriber has got one publication.
    pub fn count_delivered(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    /// What has not come will not be waited for.
    pub fn give_up(&self) {
        self.delivered.fetch_max(self.expected.load(Relaxed), Relaxed);
    }

    /// How many publications a publisher has sent; none of a publisher that there is not.
    pub fn published(&self, lane: usize) -> u64 {
        self.lanes.get(lane).map_or(0, |lane| lane.published.load(Relaxed))
    }

    /// Deliveries made, or given up.
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// Deliveries that are still to come.
    pub fn lag(&self) -> u64 {
        // More come than are expected when some that were given up come after all.
        self.expected.load(Relaxed).saturating_sub(self.delivered())
    }

    /// Whether one more publication leaves the subscribers within `backlog`, on average.
    pub fn has_room(&self, backlog: usize) -> bool {
        let subscribers = self.subscribers.load(Relaxed);
        self.lag() + subscribers <= backlog as u64 * subscribers
    }

    /// How many of a publisher's publications a subscriber has not seen and should have.
    pub fn missing(&self, lane: usize, seen: &Sequence) -> u64 {
        let refused = self.lanes[lane].refused.load(Relaxed);
        seen.missing(self.published(lane)).saturating_sub(refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_backlog_holds_publishers_back_until_deliveries_come() {
        let progress = Progress::new(1);
        progress.add_subscriber();
        progress.add_subscriber();
        for _ in 0..3 {
            assert!(progress.has_room(3));
            progress.count_published(0);
        }
        assert!(!progress.has_room(3));
        assert_eq!(progress.lag(), 6);
        progress.count_delivered();
        assert!(!progress.has_room(3));
        progress.count_delivered();
        assert!(progress.has_room(3));
        progress.give_up();
        assert_eq!(progress.lag(), 0);
        progress.count_delivered();
        assert_eq!(progress.lag(), 0, "what comes after all does no harm");
    }

    #[test]
    fn without_subscribers_nothing_is_held_back() {
        let progress = Progress::new(1);
        for _ in 0..100 {
            progress.count_published(0);
            assert!(progress.has_room(1));
        }
        assert_eq!(progress.lag(), 0);
    }

    #[test]
    fn refused_publications_are_not_missed() {
        let (progress, mut seen) = (Progress::new(2), Sequence::default());
        progress.add_subscriber();
        for _ in 0..4 {
            progress.count_published(1);
        }
        seen.arrive(0);
        progress.count_refused(1);
        assert_eq!((progress.missing(1, &seen), progress.lag()), (2, 3));
        assert_eq!((progress.published(0), progress.published(1), progress.published(9)), (0, 4, 0));
    }
}
