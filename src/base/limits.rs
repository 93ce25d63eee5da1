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

/// Tokens of one path of a filter.
pub const FILTER_PATH_TOKENS: usize = 16;

/// Values of one `in` of a filter.
pub const FILTER_VALUES: usize = 256;

/// Bytes of a filter in its canonical form. It is held as long as its subscription.
pub const FILTER_BYTES: usize = 8 * 1024;

/// Final blocks inside one compressed message. A sender makes one for a flush at most; each costs the
/// receiver a new start.
pub const FINAL_BLOCKS_PER_MESSAGE: usize = 1024;

/// Bytes of messages of one compressing peer that are handed on before the rest of what it sent
/// waits for its worker: a few bytes of its own may be many.
pub const INFLATED_BYTES_PER_STEP: usize = 256 * 1024;

/// Messages in one batch between a reactor and a worker.
pub const BATCH_MESSAGES: usize = 1024;

/// Bytes of payload in one batch before it is sent on.
pub const BATCH_BYTES: usize = 1024 * 1024;

/// Rows of one page of an admin list.
pub const PAGE_ROWS: usize = 1000;

/// Topic names that one notice of dropped events lists.
pub const DROPPED_TOPICS_LISTED: usize = 16;

/// Bytes of a presented key. Older clients may hold up to 255.
pub const CREDENTIAL_BYTES: usize = 255;

/// Bytes of the keys file. At 400 bytes a record, room for all of [`KEYS`].
pub const KEYS_FILE_BYTES: u64 = 32 * 1024 * 1024;

/// Records in the keys file.
pub const KEYS: usize = 65_536;

/// Bytes of an identity's name.
pub const NAME_BYTES: usize = 64;

/// Permissions of one identity. Every publish may walk them.
pub const PERMISSIONS_PER_IDENTITY: usize = 256;

/// Bytes of a shared secret for signatures. HMAC-SHA256 gains nothing beyond its block of 64.
pub const SIGNING_SECRET_BYTES: usize = 64;

/// Ids of signed messages that are remembered for one identity: 270 a second at a skew of 30 s.
pub const SIGNED_IDS_PER_IDENTITY: usize = 16 * 1024;

/// Ids of signed messages that are remembered in all: about 25 MB.
pub const SIGNED_IDS: usize = 256 * 1024;

/// Blocked addresses and identities. A change copies the list.
pub const BLOCKS: usize = 4096;

/// Bytes of a block's reason.
pub const BLOCK_REASON_BYTES: usize = 256;

/// Addresses whose failed credentials are remembered, per reactor.
pub const THROTTLED_ADDRESSES: usize = 16 * 1024;

/// Events that one consumer asks of the store at a time, and that it is given again at a time.
pub const DELIVERY_PAGE: usize = 64;

/// Failed attempts that are remembered of one event: the last ones. A connection that flaps makes
/// them without end.
pub const ATTEMPTS_KEPT: usize = 32;

/// Events trimmed while a consumer waits for a page that may hold them. With more the page is read
/// again.
pub const TRIMMED_WHILE_READING: usize = 4096;

/// Topics of which it is kept whom they concern.
pub const INTEREST_TOPICS_KEPT: usize = 4096;

/// Requests of one group of the store's writer: with [`GROUP_BYTES`], what one sync serves.
pub const GROUP_REQUESTS: usize = 4096;

/// Bytes of one group of the store's writer, but one request at least.
pub const GROUP_BYTES: usize = 8 * 1024 * 1024;
