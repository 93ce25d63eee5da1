//! What the configuration says about hydrogen-protocol.

use std::time::Duration;

use crate::engine::auth::CallPattern;

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
    /// The limits that clients are told, one JSON object.
    pub limits: Box<str>,
}
