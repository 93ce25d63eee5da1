//! What the configuration says about hydrogen-protocol.

use std::sync::Arc;
use std::time::Duration;

use super::log::{Retention, TopicRule};
use crate::engine::auth::CallPattern;
use crate::engine::delivery::Backoff;

/// When the client is sent `system.session`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// On becoming Connected.
    Connect,
    /// Before the response to the first envelope, so that clients which only know the older
    /// messages find nothing before their answers.
    FirstCommand,
}

/// How many messages a connection may send.
#[derive(Clone, Copy, Debug)]
pub struct MessageRate {
    /// On average, in a second.
    pub per_second: f64,
    /// At once.
    pub burst: f64,
}

/// How guaranteed subscriptions deliver, and their bounds.
#[derive(Clone, Copy, Debug)]
pub struct DeliverySettings {
    /// Events in flight of a subscription that asks for no number.
    pub window: usize,
    /// Events in flight of a subscription, at most.
    pub window_max: usize,
    /// Bytes in flight to one connection.
    pub window_bytes: usize,
    /// How long an ack may take, where the subscription does not say.
    pub ack_timeout: Duration,
    /// How long an event rests after an ack that did not come.
    pub backoff: Backoff,
    /// Acks that may fail to come in time before an event is given up.
    pub attempts_max: u32,
    /// How long publishes are remembered by their command's id.
    pub dedup_window: Duration,
    /// How many are remembered.
    pub dedup_max: usize,
    /// How long a durable subscription without connections is kept; none for good.
    pub durable_expiry: Option<Duration>,
    /// Durable subscriptions of the server.
    pub durables_max: usize,
    /// Dead letters of the server.
    pub letters_max: usize,
    /// Events of the server that may wait for the disk.
    pub pending_max: usize,
    /// Their bytes.
    pub pending_bytes_max: usize,
}

impl HydrogenSettings {
    /// One worker's share of a bound of the server. Hashing spreads unevenly, so that a server with
    /// several workers may be full somewhat earlier; it never holds more.
    pub(super) fn share(all: usize, workers: usize) -> usize {
        all.div_ceil(workers)
    }
}

impl Default for DeliverySettings {
    fn default() -> DeliverySettings {
        DeliverySettings {
            window: 64,
            window_max: 1024,
            window_bytes: 512 * 1024,
            ack_timeout: Duration::from_secs(30),
            backoff: Backoff { base: Duration::from_millis(500), max: Duration::from_secs(300) },
            attempts_max: 10,
            dedup_window: Duration::from_secs(120),
            dedup_max: 100_000,
            durable_expiry: None,
            durables_max: 10_000,
            letters_max: 100_000,
            pending_max: 16_384,
            pending_bytes_max: 64 * 1024 * 1024,
        }
    }
}

/// Settings of one shard.
#[derive(Clone, Debug)]
pub struct HydrogenSettings {
    /// The server's name.
    pub server_name: String,
    /// The server's version.
    pub server_version: String,
    /// Levels of nesting that a message may have, its envelope included.
    pub depth_max: usize,
    /// Bad messages after which a connection is closed; 0 for any number.
    pub bad_messages_max: u32,
    /// Subscriptions of one connection.
    pub subscriptions_max: usize,
    /// Until a handler must have answered.
    pub command_timeout: Duration,
    /// How long commands may go on once the server stops.
    pub drain_grace: Duration,
    /// When `system.session` is sent.
    pub session_event: SessionEvent,
    /// Whether every message must carry a credential.
    pub auth_per_message: bool,
    /// Until a client without a credential must have authenticated.
    pub handshake_timeout: Duration,
    /// Commands that need a signature.
    pub sensitive: Vec<CallPattern>,
    /// How far a signed message's timestamp may be from our clock.
    pub signature_skew: Duration,
    /// How fast a connection may send; `None` for any speed.
    pub rate: Option<MessageRate>,
    /// After which time a topic without retained value and use loses its state.
    pub topic_idle: Duration,
    /// The ping interval, as clients are told.
    pub ping: Duration,
    /// The idle timeout, as clients are told.
    pub idle: Duration,
    /// Guaranteed delivery.
    pub delivery: DeliverySettings,
    /// How long a session without connection is kept; zero if sessions cannot be resumed.
    pub session_ttl: Duration,
    /// Sessions that are kept without connection.
    pub sessions_max: usize,
    /// Bytes of what is kept of one session.
    pub session_bytes_max: usize,
    /// Which topics keep a log, and how much of it; the first that matches counts.
    pub topic_rules: Arc<[TopicRule]>,
    /// How much the log of a topic keeps that no rule names.
    pub log_retention: Arc<Retention>,
    /// The limits that clients are told, one JSON object.
    pub limits: Box<str>,
}
