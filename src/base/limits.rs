//! Every bound that no configuration key sets, in one place. Configurable bounds stand in
//! `config`, with their ranges; the rest stand here with the reason for their size.

/// Bytes of one shared read buffer of a reactor. Large enough that a busy peer's burst comes in
/// one call, small enough to stay in the second-level cache.
pub const READ_BUFFER: usize = 64 * 1024;

/// Bytes read from one connection in one turn, so that a flood cannot starve the others.
pub const READ_BUDGET_PER_TURN: usize = 256 * 1024;

/// Sockets accepted in one turn.
pub const ACCEPT_BATCH: usize = 128;

/// How long accepting rests at the descriptor limit, in milliseconds.
pub const ACCEPT_PAUSE_MS: u64 = 100;

/// Readiness events taken from the poll in one turn.
pub const POLL_EVENTS: usize = 1024;

/// Slices of one vectored write. The kernel takes 1024; more than 64 gain nothing measurable.
pub const WRITE_SLICES: usize = 64;

/// Headers of one request.
pub const HTTP_HEADERS: usize = 64;

/// Requests answered on one plain connection before it is closed.
pub const HTTP_REQUESTS_PER_CONNECTION: u32 = 10_000;

/// Bytes of a chunk-size line with its extensions.
pub const HTTP_CHUNK_LINE: usize = 256;

/// Bytes of a chunked body's trailer section.
pub const HTTP_TRAILERS: usize = 4096;

/// Bytes of an envelope's `id`.
pub const ID_BYTES: usize = 128;

/// Bytes of a channel's name.
pub const CHANNEL_BYTES: usize = 64;

/// Bytes of an action.
pub const ACTION_BYTES: usize = 128;

/// Bytes of a topic or topic pattern.
pub const TOPIC_BYTES: usize = 256;

/// Tokens of a topic or topic pattern.
pub const TOPIC_TOKENS: usize = 32;

/// Topics named by one subscribe, unsubscribe or ack.
pub const TOPICS_PER_COMMAND: usize = 256;

/// Event ids named by one ack. More than a delivery window holds would be outstanding by mistake.
pub const IDS_PER_ACK: usize = 1024;

/// Bytes of the reason with which an ack rejects an event: it is kept with the dead letter.
pub const REJECT_REASON_BYTES: usize = 512;

/// Places for keys that a JSON scanner keeps between messages, 16 bytes each.
pub const JSON_KEYS_KEPT: usize = 1024;

/// Conditions in one filter.
pub const FILTER_CONDITIONS: usize = 32;

/// Messages in one batch between a reactor and a worker.
pub const BATCH_MESSAGES: usize = 1024;

/// Bytes of payload in one batch before it is sent on.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Rows of one page of an admin list.
pub const PAGE_ROWS: usize = 1000;

/// Topic names that one notice of dropped events lists.
pub const DROPPED_TOPICS_LISTED: usize = 16;

/// Addresses whose failed credentials are remembered, per reactor.
pub const THROTTLED_ADDRESSES: usize = 16 * 1024;
