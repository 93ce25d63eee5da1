//! The names of everything that is counted: one table, from which the counters' layout, the
//! metrics text and the status are all derived.
//!
//! A family is a metric with at most one label; a cell is one number of it. Gauges that are the
//! difference of two counters (connections by state, for example) are kept as those two, since
//! the threads that count up and down may differ.

use super::error::Code;
use super::reason::Reason;

/// What a family's numbers mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Only grows: nanoseconds, which are shown as seconds.
    TimeCounter,
    /// Counted up in this family and down in the one that follows it.
    GaugeUp,
    /// The down-counts of the family before.
    GaugeDown,
    /// Durations in nanoseconds: [`HISTOGRAM_BUCKETS`] buckets, then the count, then the sum.
    Histogram,
}

/// One metric: its name (without the prefix `hydrogen_`), help, and label values.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Name in the metrics text, without the prefix.
    pub name: &'static str,
    /// What it counts, for the HELP line.
    pub help: &'static str,
    /// What its numbers mean.
    pub kind: Kind,
    /// The label's name, or empty.
    pub label: &'static str,
    /// The label's values; one empty value where there is no label.
    pub values: &'static [&'static str],
}

impl Family {
    /// How many cells it takes.
    pub const fn cells(&self) -> usize {
        match self.kind {
            Kind::Histogram => HISTOGRAM_BUCKETS + 2,
            Kind::Counter | Kind::TimeCounter | Kind::GaugeUp | Kind::GaugeDown => self.values.len(),
        }
    }
}

/// Buckets of a histogram: bucket `i` holds durations below `2^i` microseconds, the last all others.
pub const HISTOGRAM_BUCKETS: usize = 26;

/// Names of the connection states, in the order of `engine::conn::State`.
pub const STATES: &[&str] = &[
    "connecting",
    "verifying",
    "established",
    "connected",
    "heartbeat",
    "inactive",
    "closing",
    "failed",
    "rejected",
    "closed",
];

/// Names of the dialects, in the order of `DialectId`.
pub const DIALECTS: &[&str] = &["hydrogen", "echo", "signaling"];

/// Message types that come in.
pub const TYPES_IN: &[&str] = &["command", "ack", "status", "keepalive", "echo", "bad", "signaling"];

/// Message types that go out.
pub const TYPES_OUT: &[&str] = &["response", "event", "status", "keepalive", "echo", "signaling"];

/// Kinds of bad input, each with its own name.
pub const BAD_MESSAGES: &[&str] = &[
    "not_json",
    "not_object",
    "duplicate_key",
    "lone_surrogate",
    "too_deep",
    "too_long",
    "unknown_type",
    "envelope_field",
    "id",
    "name",
    "binary",
];

/// Ways of breaking RFC 6455 and RFC 7692, each with its own name.
pub const WS_VIOLATIONS: &[&str] = &[
    "unmasked",
    "reserved_bits",
    "reserved_opcode",
    "control_too_long",
    "control_fragmented",
    "length_not_minimal",
    "length_over_63_bits",
    "unexpected_continuation",
    "expected_continuation",
    "frame_too_large",
    "message_too_large",
    "too_many_fragments",
    "invalid_utf8",
    "close_payload",
    "close_code",
    "deflate_data",
    "inflated_too_large",
    "data_after_close",
];

/// Requests of signaling, each with its own name: one for both eras of the protocol.
pub const SIGNALING_REQUESTS: &[&str] = &[
    "create",
    "join",
    "connect",
    "disconnect",
    "leave",
    "kick",
    "rename",
    "ping",
    "rooms",
    "client_info",
    "offer",
    "answer",
    "candidate",
    "prove",
    "resume",
    "presence",
    "ice_servers",
    "relay",
    "challenge",
    "unknown",
];

/// Which way compressed messages went.
pub const DIRECTIONS: &[&str] = &["received", "sent"];

/// Ways in which an HTTP request is refused, each with its own name.
pub const HTTP_REFUSALS: &[&str] = &[
    "malformed",
    "version",
    "head_too_large",
    "too_many_headers",
    "bare_line_break",
    "folded_header",
    "header_name",
    "header_value",
    "host",
    "both_lengths",
    "bad_length",
    "transfer_encoding",
    "chunk",
    "body_too_large",
    "expectation",
    "target",
    "upgrade_required",
    "bad_upgrade",
    "not_found",
    "method",
    "unauthenticated",
    "forbidden",
    "origin",
    "rate_limited",
    "blocked",
    "server_full",
    "draining",
    "timeout",
];

macro_rules! families {
    ($($konst:ident: $kind:ident $name:literal [$label:literal: $values:expr] $help:literal;)*) => {
        /// All families, in the order of their cells.
        pub const FAMILIES: &[Family] = &[$(Family {
            name: $name, help: $help, kind: Kind::$kind, label: $label, values: $values,
        },)*];

        #[allow(non_camel_case_types, clippy::upper_case_acronyms, reason = "names of constants, counted")]
        enum Index { $($konst,)* }

        impl Metric {
            $(#[doc = $help] pub const $konst: Metric = Metric::first_of(Index::$konst as usize);)*
        }
    };
}

/// One cell: a family's first, or with [`Metric::at`] one of its label's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric(u16);

const NONE: &[&str] = &[""];

families! {
    CONNECTIONS_OPENED: Counter "connections_opened_total" ["": NONE] "Sockets accepted.";
    CONNECTIONS_CLOSED: Counter "connections_closed_total" ["reason": Reason::NAMES] "Connections that ended, by reason.";
    STATE_ENTERED: GaugeUp "connections" ["state": STATES] "Connections by state; terminal states count all that ever reached them.";
    STATE_LEFT: GaugeDown "" ["state": STATES] "Left states.";
    DIALECT_OPENED: GaugeUp "dialect_connections" ["dialect": DIALECTS] "Open WebSocket connections by dialect.";
    DIALECT_CLOSED: GaugeDown "" ["dialect": DIALECTS] "The down-counts of the gauge before.";
    ACCEPT_PAUSES: Counter "accept_pauses_total" ["": NONE] "Times that accepting rested at the descriptor limit.";
    ACCEPT_DROPPED: Counter "accept_dropped_total" ["": NONE] "Sockets closed at once, beyond every limit.";
    BYTES_IN: Counter "received_bytes_total" ["": NONE] "Bytes received, after TLS.";
    BYTES_OUT: Counter "sent_bytes_total" ["": NONE] "Bytes sent, before TLS.";
    MESSAGES_IN: Counter "messages_received_total" ["type": TYPES_IN] "Messages received, by type.";
    MESSAGES_OUT: Counter "messages_sent_total" ["type": TYPES_OUT] "Messages queued for sending, by type.";
    MESSAGE_BYTES_IN: Counter "message_received_bytes_total" ["type": TYPES_IN] "Bytes of the text of messages received, by type.";
    MESSAGE_BYTES_OUT: Counter "message_sent_bytes_total" ["type": TYPES_OUT] "Bytes of the frames of messages queued for sending, by type.";
    BAD_MESSAGES_IN: Counter "bad_messages_total" ["kind": BAD_MESSAGES] "Messages that were none, by what is wrong with them.";
    PINGS_IN: Counter "pings_received_total" ["": NONE] "WebSocket pings received.";
    PINGS_OUT: Counter "pings_sent_total" ["": NONE] "WebSocket pings sent.";
    ERRORS: Counter "errors_total" ["code": Code::NAMES] "Errors answered, by code.";
    WS_VIOLATIONS: Counter "websocket_violations_total" ["violation": WS_VIOLATIONS] "Connections closed for breaking RFC 6455 or RFC 7692, by what they did.";
    DEFLATE_OPENED: GaugeUp "compressed_connections" ["": NONE] "Open WebSocket connections that agreed on compression.";
    DEFLATE_CLOSED: GaugeDown "" ["": NONE] "The down-counts of the gauge before.";
    DEFLATE_MESSAGES: Counter "compressed_messages_total" ["direction": DIRECTIONS] "Messages that came compressed, or were queued compressed, by direction.";
    DEFLATE_BYTES: Counter "compressed_message_bytes_total" ["direction": DIRECTIONS] "Bytes of those messages as they are compressed, by direction.";
    DEFLATE_PLAIN_BYTES: Counter "compressed_message_plain_bytes_total" ["direction": DIRECTIONS] "Bytes of those messages as they are without compression, by direction.";
    DEFLATE_RUNS: Counter "compressions_total" ["result": &["smaller", "larger"]] "Times that a message was compressed, by what came of it; one run serves all receivers on all threads.";
    HTTP_REQUESTS: Counter "http_requests_total" ["": NONE] "HTTP requests whose head was complete.";
    HTTP_REFUSALS: Counter "http_refusals_total" ["refusal": HTTP_REFUSALS] "HTTP requests refused, by cause.";
    AUTH_ACCEPTED: Counter "credentials_accepted_total" ["": NONE] "Credentials accepted.";
    AUTH_REFUSED: Counter "credentials_refused_total" ["": NONE] "Credentials refused.";
    SESSIONS_OPENED: GaugeUp "sessions" ["": NONE] "Sessions.";
    SESSIONS_CLOSED: GaugeDown "" ["": NONE] "The down-counts of the gauge before.";
    SUBSCRIPTIONS_MADE: GaugeUp "subscriptions" ["": NONE] "Subscriptions.";
    SUBSCRIPTIONS_ENDED: GaugeDown "" ["": NONE] "The down-counts of the gauge before.";
    TOPICS_MADE: GaugeUp "topics" ["": NONE] "Topics that have state.";
    TOPICS_ENDED: GaugeDown "" ["": NONE] "The down-counts of the gauge before.";
    EVENTS_PUBLISHED: Counter "events_published_total" ["": NONE] "Events published.";
    EVENTS_DELIVERED: Counter "events_delivered_total" ["": NONE] "Events queued for one subscriber each.";
    EVENTS_DROPPED: Counter "events_dropped_total" ["policy": &["drop_oldest", "conflate", "disconnect"]] "Events that a slow subscriber did not get, by policy.";
    EVENTS_UNLOGGED: Counter "events_unlogged_total" ["": NONE] "Best-effort events that went out without their topic's log, since the store took none.";
    EVENTS_REPLAYED: Counter "events_replayed_total" ["": NONE] "Events of the past that subscriptions without acks were given when they began.";
    CONSUMERS_MADE: GaugeUp "guaranteed_subscriptions" ["": NONE] "Guaranteed subscriptions: durable ones, and those of sessions.";
    CONSUMERS_ENDED: GaugeDown "" ["": NONE] "The down-counts of the gauge before.";
    CONSUMER_SENT: Counter "guaranteed_deliveries_total" ["": NONE] "Events sent to members of guaranteed subscriptions, repeats among them.";
    EVENTS_REDELIVERED: Counter "events_redelivered_total" ["": NONE] "Events sent again, since no ack came.";
    EVENTS_EXPIRED: Counter "events_expired_total" ["": NONE] "Events that a guaranteed subscription did not get, since their time or their log's was over.";
    EVENTS_DEAD: Counter "events_dead_total" ["": NONE] "Events that became dead letters.";
    LETTERS_EVICTED: Counter "dead_letters_evicted_total" ["": NONE] "Dead letters that made room for newer ones.";
    SESSIONS_RESUMED: Counter "sessions_resumed_total" ["": NONE] "Sessions taken up again.";
    SESSIONS_EXPIRED: Counter "sessions_expired_total" ["": NONE] "Sessions that nobody came back for.";
    STORE_DAMAGED: Counter "store_damaged_total" ["kind": &["events", "value", "file"]] "Damage found in the store and set aside: events, small values, files.";
    ACKS_TAKEN: Counter "acks_total" ["": NONE] "Events that were acked.";
    ACKS_IGNORED: Counter "acks_ignored_total" ["": NONE] "Acks of something not outstanding.";
    RATE_LIMITED: Counter "rate_limited_total" ["": NONE] "Messages and handshakes refused for coming too fast.";
    BLOCKED: Counter "blocked_total" ["": NONE] "Handshakes refused and connections closed because of a block.";
    HANDLER_PANICS: Counter "handler_panics_total" ["": NONE] "Handlers that panicked; each cost its own command.";
    IMPOSSIBLE_TRANSITIONS: Counter "impossible_transitions_total" ["": NONE] "Events that the state table has no place for; always a defect.";
    SIGNALING_REQUESTS: Counter "signaling_requests_total" ["request": SIGNALING_REQUESTS] "Requests of signaling, by what they ask.";
    SIGNALING_ERRORS: Counter "signaling_errors_total" ["": NONE] "Requests of signaling that were answered with an error.";
    SIGNALING_BAD_MESSAGES: Counter "signaling_bad_messages_total" ["": NONE] "Messages that are no envelope of signaling.";
    SIGNALING_ROOMS_CREATED: Counter "signaling_rooms_created_total" ["": NONE] "Rooms that were made.";
    SIGNALING_ROOMS_DELETED: Counter "signaling_rooms_deleted_total" ["cause": &["owner", "expired"]] "Rooms that ended: their owner left, or nothing happened in them for too long.";
    SIGNALING_SIGNALS: Counter "signaling_signals_total" ["signal": &["offer", "answer", "candidate"]] "Signals passed on to one peer each.";
    SIGNALING_CANDIDATES_HELD: Counter "signaling_candidates_held_total" ["": NONE] "Candidates that came before their offer, and waited for it.";
    SIGNALING_SIGNALS_DROPPED: Counter "signaling_signals_dropped_total" ["": NONE] "Signals for who was away that found no room, or for whom nobody came back.";
    SIGNALING_RELAYED: Counter "signaling_relayed_total" ["": NONE] "Messages relayed to one peer each.";
    SIGNALING_RELAYED_BYTES: Counter "signaling_relayed_bytes_total" ["": NONE] "Bytes of them.";
    SIGNALING_RELAY_REFUSED: Counter "signaling_relay_refused_total" ["": NONE] "Messages that were over the quota of the relay.";
    SIGNALING_PASSWORDS_REFUSED: Counter "signaling_passwords_refused_total" ["": NONE] "Wrong passwords of rooms.";
    SIGNALING_THROTTLED: Counter "signaling_throttled_total" ["limit": &["rate", "room_passwords", "address_passwords"]] "Requests refused for coming too fast, or after too many wrong passwords.";
    SIGNALING_KICKED: Counter "signaling_kicked_total" ["": NONE] "Members that were kicked.";
    SIGNALING_PROVED: Counter "signaling_proofs_total" ["result": &["good", "bad"]] "Proofs that a key is who shows it, by result.";
    SIGNALING_RESUMED: Counter "signaling_resumed_total" ["": NONE] "Connections that took the place of one that was lost.";
    BATCHES: Counter "worker_batches_total" ["": NONE] "Batches handed to workers.";
    BATCHES_LENT: Counter "worker_batches_lent_total" ["": NONE] "Batches that a reactor worked off itself, since the worker slept.";
    QUEUE_FULL: Counter "worker_queue_full_total" ["": NONE] "Times that a full worker queue held back reads.";
    OUTBOUND_QUEUED: GaugeUp "outbound_bytes" ["": NONE] "Bytes queued for sending, over all connections.";
    OUTBOUND_DONE: GaugeDown "" ["": NONE] "The down-counts of the gauge before.";
    TURNS: Counter "reactor_turns_total" ["": NONE] "Turns of the poll loops.";
    WRITES: Counter "writes_total" ["": NONE] "Write system calls on sockets.";
    READS: Counter "reads_total" ["": NONE] "Read system calls on sockets.";
    WAKES: Counter "wakes_total" ["": NONE] "Wake-ups sent between threads.";
    WORKER_BUSY_NS: TimeCounter "worker_busy_seconds_total" ["": NONE] "Time that workers spent on batches.";
    COMMAND_NS: Histogram "command_duration_seconds" ["": NONE] "From the turn a command was read to its response being queued.";
    DELIVERY_NS: Histogram "delivery_duration_seconds" ["": NONE] "From the turn a publish was read to its event being queued for the subscribers.";
    PUBLISH_NS: Histogram "guaranteed_publish_duration_seconds" ["": NONE] "From the turn a guaranteed publish was read to its answer, which comes after the sync.";
    SYNC_NS: Histogram "store_sync_duration_seconds" ["": NONE] "Commits of the store that were synced.";
    QUEUE_WAIT_NS: Histogram "worker_queue_wait_seconds" ["": NONE] "Time that batches waited for a worker.";
}

/// Cells of all families together.
pub const CELLS: usize = cells_before(FAMILIES.len());

const fn cells_before(family: usize) -> usize {
    let mut cells = 0;
    let mut index = 0;
    while index < family {
        cells += FAMILIES[index].cells();
        index += 1;
    }
    cells
}

impl Metric {
    const fn first_of(family: usize) -> Metric {
        Metric(cells_before(family) as u16)
    }

    /// The cell of a label's value, by its number.
    pub const fn at(self, value: usize) -> Metric {
        Metric(self.0 + value as u16)
    }

    /// Errors answered with this code.
    pub const fn error(code: Code) -> Metric {
        Metric::ERRORS.at(code as usize)
    }

    /// Connections ended for this reason.
    pub const fn closed(reason: Reason) -> Metric {
        Metric::CONNECTIONS_CLOSED.at(reason as usize)
    }

    /// The cell's number.
    pub const fn cell(self) -> usize {
        self.0 as usize
    }
}

/// The bucket of a duration in nanoseconds.
pub const fn bucket_of(ns: u64) -> usize {
    let us = ns / 1000;
    let bits = (u64::BITS - us.leading_zeros()) as usize;
    if bits < HISTOGRAM_BUCKETS { bits } else { HISTOGRAM_BUCKETS - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_do_not_overlap() {
        let mut next = 0;
        for (index, family) in FAMILIES.iter().enumerate() {
            assert_eq!(cells_before(index), next);
            next += family.cells();
        }
        assert_eq!(next, CELLS);
        assert_eq!(Metric::CONNECTIONS_OPENED.cell(), 0);
        assert_eq!(Metric::CONNECTIONS_CLOSED.cell(), 1);
    }

    #[test]
    fn gauges_come_in_pairs_of_equal_size() {
        for (index, family) in FAMILIES.iter().enumerate() {
            if family.kind == Kind::GaugeUp {
                assert_eq!(FAMILIES[index + 1].kind, Kind::GaugeDown, "{}", family.name);
                assert_eq!(FAMILIES[index + 1].cells(), family.cells(), "{}", family.name);
            }
        }
    }

    #[test]
    fn buckets_are_powers_of_two_microseconds() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(999), 0);
        assert_eq!(bucket_of(1_000), 1);
        assert_eq!(bucket_of(3_999), 2);
        assert_eq!(bucket_of(u64::MAX), HISTOGRAM_BUCKETS - 1);
    }
}
