//! What a shard tells of its guaranteed delivery, for the status.

use super::Hydrogen;
use super::consumer_id::ConsumerKey;
use crate::base::Now;

/// Subscriptions that are told one by one: those with most events in flight.
const ROWS: usize = 100;

/// One worker's guaranteed delivery.
#[derive(Clone, Debug, Default)]
pub struct DeliveryFigures {
    /// Guaranteed subscriptions.
    pub subscriptions: usize,
    /// Those of them that are durable.
    pub durable: usize,
    /// Events in flight: sent and not acked, or waiting to be sent again.
    pub outstanding: usize,
    /// How long the oldest of them has been in flight, in milliseconds.
    pub oldest_ms: u64,
    /// Subscriptions that are behind the newest event.
    pub behind: usize,
    /// Dead letters, also of subscriptions that have ended.
    pub letters: usize,
    /// Topics that keep a log.
    pub logs: usize,
    /// Events in them.
    pub log_events: u64,
    /// Sessions without connection that can be resumed.
    pub parked: usize,
    /// Requests that wait for the store.
    pub store_requests: usize,
    /// The durable subscriptions with most events in flight.
    pub rows: Vec<SubscriptionFigures>,
}

/// One durable subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionFigures {
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub identity: String,
    /// Connections that share it.
    pub members: usize,
    /// Events in flight.
    pub outstanding: usize,
    /// How long the oldest of them has been in flight, in milliseconds.
    pub oldest_ms: u64,
    /// Whether it has come to the newest event.
    pub is_live: bool,
    /// Events that were appended, on any topic, since the last that it has taken.
    pub behind_by: u64,
    /// Its dead letters.
    pub letters: usize,
}

impl Hydrogen {
    /// What this worker tells of its guaranteed delivery.
    pub(super) fn delivery_figures(&self, now: Now) -> DeliveryFigures {
        let mut figures = DeliveryFigures {
            subscriptions: self.consumers.len(),
            durable: self.consumers.durables(),
            logs: self.logs.len(),
            log_events: self.logs.events(),
            parked: self.kept.len(),
            store_requests: self.store.waiting(),
            letters: self.consumers.letters.len(),
            ..DeliveryFigures::default()
        };
        let head = self.store.head;
        let mut most = Vec::with_capacity(self.consumers.len());
        for (id, held) in self.consumers.iter() {
            let consumer = &held.consumer;
            let oldest = consumer.unacked_since().map_or(0, |since| now.mono.since(since).as_millis() as u64);
            figures.outstanding += consumer.outstanding();
            figures.oldest_ms = figures.oldest_ms.max(oldest);
            figures.behind += usize::from(!consumer.is_live());
            // A session's id is its own affair.
            if matches!(held.key, ConsumerKey::Durable { .. }) {
                most.push((consumer.outstanding(), head.0.saturating_sub(consumer.taken().0), oldest, id));
            }
        }
        most.sort_unstable_by(|one, other| other.cmp(one));
        most.truncate(ROWS);
        for (outstanding, behind_by, oldest_ms, id) in most {
            let Some(held) = self.consumers.of(id) else { continue };
            let ConsumerKey::Durable { identity, name } = &held.key else { continue };
            figures.rows.push(SubscriptionFigures {
                name: name.to_string(),
                identity: identity.to_string(),
                members: held.consumer.members_len(),
                outstanding,
                oldest_ms,
                is_live: held.consumer.is_live(),
                behind_by,
                letters: self.consumers.letters.of(&held.key.to_string()),
            });
        }
        figures
    }
}
