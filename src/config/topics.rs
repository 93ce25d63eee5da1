//! Section `Topics`: bounds of topics and subscriptions.

use std::time::Duration;

use super::reader::Reader;

const MIB: u64 = 1024 * 1024;

/// Bounds of topics and subscriptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topics {
    /// Topics at a time.
    pub max_topics: usize,
    /// Subscriptions of one connection.
    pub max_subscriptions_per_connection: usize,
    /// Topics that keep their last event.
    pub max_retained: usize,
    /// Bytes of all kept events.
    pub max_retained_bytes: usize,
    /// How long a topic without subscribers and events is remembered.
    pub idle_topic_timeout: Duration,
}

impl Topics {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Topics {
        Topics {
            max_topics: r.count("MaxTopics", 1..=100_000_000, 1_000_000, "Topics at a time."),
            max_subscriptions_per_connection: r.count(
                "MaxSubscriptionsPerConnection",
                1..=1_000_000,
                1024,
                "Subscriptions of one connection. A pattern counts as one.",
            ),
            max_retained: r.count("MaxRetained", 0..=100_000_000, 100_000, "Topics that keep their last event."),
            max_retained_bytes: r.bytes(
                "MaxRetainedBytes",
                0..=1024 * 1024 * MIB,
                256 * MIB,
                "Bytes of all kept events together.",
            ),
            idle_topic_timeout: r.seconds(
                "IdleTopicTimeout",
                1..=86_400,
                300,
                "A topic without subscribers, events and a kept event is forgotten after this long.",
            ),
        }
    }
}
