//! Section `Topics`: topics and subscriptions, their bounds, and what is kept.

use std::time::Duration;

use super::reader::Reader;
use super::topic_rules::{self, TopicRule};

const MIB: u64 = 1024 * 1024;

/// Topics and subscriptions, their bounds, and what is kept.
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
    /// How old an event of a log may be, where no rule says otherwise.
    pub log_max_age: Duration,
    /// Events of one topic's log, where no rule says otherwise.
    pub log_max_events: u64,
    /// Bytes of one topic's log, where no rule says otherwise.
    pub log_max_bytes: u64,
    /// What is kept of which topics; the first that matches counts.
    pub rules: Vec<TopicRule>,
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
            log_max_age: r.seconds(
                "LogMaxAge",
                topic_rules::AGES_S,
                604_800,
                "Older events are dropped from a topic's log, where no rule says otherwise. The default is 7 days.",
            ),
            log_max_events: r.count(
                "LogMaxEvents",
                topic_rules::EVENTS,
                10_000_000,
                "Events of one topic's log, where no rule says otherwise. Beyond it the oldest are dropped.",
            ) as u64,
            log_max_bytes: r.bytes_on_disk(
                "LogMaxBytes",
                topic_rules::BYTES,
                1024 * MIB,
                "Bytes of one topic's log, where no rule says otherwise. Beyond it the oldest events are dropped.",
            ),
            rules: topic_rules::read(r),
        }
    }
}
