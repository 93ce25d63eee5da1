//! Section `Delivery`: events that come again until they are acknowledged.

use std::time::Duration;

use super::reader::Reader;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// An hour.
const LONGEST_ACK_MS: u64 = 3_600_000;

const TEN_YEARS_S: u64 = 315_360_000;

/// Guaranteed delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Unacknowledged events of a subscription that does not say how many.
    pub window: usize,
    /// The most that a subscription may ask for.
    pub max_window: usize,
    /// From an event to its acknowledgment, where a subscription does not say.
    pub ack_timeout: Duration,
    /// The longest wait before an event comes again.
    pub max_backoff: Duration,
    /// Deliveries of one event, the first included.
    pub max_attempts: u32,
    /// How long a publish's id is remembered; zero is not at all.
    pub deduplication_window: Duration,
    /// Ids that are remembered at a time.
    pub max_deduplication_ids: usize,
    /// How long a durable subscription is kept without a client; `None` is for ever.
    pub durable_expiry: Option<Duration>,
    /// Durable subscriptions at a time.
    pub max_durable_subscriptions: usize,
    /// Dead letters that are kept.
    pub max_dead_letters: usize,
    /// Guaranteed publishes that wait for the disk at a time.
    pub max_pending_publishes: usize,
    /// Their bytes.
    pub max_pending_bytes: usize,
}

impl Delivery {
    pub(super) fn read(r: &mut Reader<'_, '_>, max_message_size: u64) -> Delivery {
        let window = r.count(
            "Window",
            1..=65_536,
            64,
            "Events of one subscription that may be unacknowledged, where the subscription does not say how many.",
        );
        let max_window = r.count(
            "MaxWindow",
            1..=65_536,
            (1024.max(window as u64), "`1024`, or `Window` if that is larger"),
            "The largest window that a subscription may ask for. At least `Window`.",
        );
        let ack_timeout = r.millis(
            "AckTimeoutMs",
            50..=LONGEST_ACK_MS,
            30_000,
            "An event that is not acknowledged by then comes again, where the subscription does not say when.",
        );
        // In range, so it fits.
        let ack_timeout_ms = u64::try_from(ack_timeout.as_millis()).unwrap_or(LONGEST_ACK_MS);
        let max_backoff = r.millis(
            "MaxBackoffMs",
            50..=86_400_000,
            (300_000.max(ack_timeout_ms), "`300000`, or `AckTimeoutMs` if that is larger"),
            "Each time an event comes again its wait is twice as long, up to this. At least `AckTimeoutMs`.",
        );
        Delivery {
            window,
            max_window,
            ack_timeout,
            max_backoff,
            max_attempts: u32::try_from(r.count(
                "MaxAttempts",
                1..=1000,
                10,
                "How often an event is sent to one subscription, the first time included. When the last one is not \
                 acknowledged either it goes to the dead letters. A connection that is lost counts for nothing.",
            ))
            .unwrap_or(1000),
            deduplication_window: r.seconds(
                "DeduplicationWindow",
                0..=86_400,
                120,
                "A guaranteed publish that comes again with the same id, from the same identity, is answered as the \
                 first time and stored once, for as long as this. 0: every one is stored.",
            ),
            max_deduplication_ids: r.count(
                "MaxDeduplicationIds",
                1..=100_000_000,
                100_000,
                "Ids that are remembered for this. Beyond it the oldest are forgotten early.",
            ),
            durable_expiry: r.seconds_or_off(
                "DurableExpiry",
                TEN_YEARS_S,
                0,
                "A durable subscription that no client has used for this long ends. 0: never.",
            ),
            max_durable_subscriptions: r.count(
                "MaxDurableSubscriptions",
                0..=10_000_000,
                10_000,
                "Durable subscriptions at a time, of all identities.",
            ),
            max_dead_letters: r.count(
                "MaxDeadLetters",
                0..=100_000_000,
                100_000,
                "Dead letters that are kept, over all subscriptions. Beyond it the oldest of the subscription that has \
                 most are dropped, and counted.",
            ),
            max_pending_publishes: r.count(
                "MaxPendingPublishes",
                1..=1_048_576,
                16_384,
                "Guaranteed publishes that may wait for the disk at a time. One more is answered with `unavailable`.",
            ),
            max_pending_bytes: r.bytes(
                "MaxPendingBytes",
                64 * KIB..=64 * GIB,
                ((64 * MIB).max(max_message_size), "`67108864` (64 MiB), or `MaxMessageSize` if that is larger"),
                "Bytes of the guaranteed publishes that wait for the disk.",
            ),
        }
    }
}
