//! Bounds that no configuration sets.

use std::time::Duration;

use super::meter::Rate;

/// Bytes of a message's id, which the answer repeats.
pub(super) const ID_BYTES: usize = 1024;
/// Fields of a payload, known or not.
pub(super) const FIELDS: usize = 256;
/// Bytes of a room's name.
pub(super) const ROOM_NAME_BYTES: usize = 255;
/// Bytes of a member's name.
pub(super) const NAME_BYTES: usize = 255;
/// Bytes of a key, and of what names a peer.
pub(super) const KEY_BYTES: usize = 128;
/// Bytes of an offer or answer.
pub(super) const SDP_BYTES: usize = 48 * 1024;
/// Bytes of a candidate.
pub(super) const CANDIDATE_BYTES: usize = 4 * 1024;
/// Bytes of a signal's other fields together.
pub(super) const SIGNAL_REST_BYTES: usize = 4 * 1024;
/// Levels of a payload.
pub(super) const DEPTH: usize = 32;
/// Bytes of what is relayed in one message.
pub(super) const RELAY_BYTES: usize = 48 * 1024;
/// Operations that wait for a room.
pub(super) const MAIL_MAX: usize = 1024;
/// Bytes of the signals among them.
pub(super) const MAIL_BYTES: usize = 4 * 1024 * 1024;
/// Messages of one connection that wait for the one before them.
pub(super) const HELD_MESSAGES: usize = 1024;
/// Bytes of them.
pub(super) const HELD_BYTES: usize = 1024 * 1024;
/// Messages that are none, before the connection is closed.
pub(super) const BAD_MESSAGES: u32 = 10;
/// Candidates that wait for an offer, by pair.
pub(super) const CANDIDATES_HELD: usize = 64;
/// Bytes of them, from one peer to all others of a room.
pub(super) const CANDIDATE_BYTES_HELD: usize = 256 * 1024;
/// How often a connection may come into rooms, go out of them and name what is there: once for each
/// of its rooms, and more, at once.
pub(super) const MOVES: Rate = Rate { burst: 512, period: Duration::from_secs(60) };
/// The time whose signals one peer may send another at once.
pub(super) const SIGNAL_BURST: Duration = Duration::from_secs(2);
/// What a message counts besides what its sender wrote into it: the keys, ids and envelope that the
/// server writes, so that many that say little are not for nothing.
pub(super) const MESSAGE_BYTES: usize = 384;
/// How long they wait.
pub(super) const CANDIDATES_WAIT: Duration = Duration::from_secs(5);
/// Signals that wait for who is away.
pub(super) const QUEUED_SIGNALS: usize = 64;
/// Bytes of them.
pub(super) const QUEUED_BYTES: usize = 256 * 1024;
/// What is told to one that is taking a place, before it has it.
pub(super) const NOTICES_BEHIND: usize = 1024;
/// Connections whose places are kept, by worker. What may wait for them all is 256 MiB.
pub(super) const AWAY_MAX: usize = 1024;
/// How long the other workers may take for a list.
pub(super) const GATHER_WAIT: Duration = Duration::from_secs(2);
/// Rooms in a list.
pub(super) const ROOMS_LISTED: usize = 256;
/// How often so many rooms of a worker are told of one proof: more memberships nobody has.
pub(super) const PROOF_ROUNDS: u32 = 4096;
/// Members in a list, over all of its rooms.
pub(super) const MEMBERS_LISTED: usize = 2048;
/// Between two writes of a room's activity.
pub(super) const SAVE_INTERVAL: Duration = Duration::from_secs(60);
/// Addresses whose requests are counted, by worker.
pub(super) const ADDRESSES: usize = 65_536;
/// Rooms looked at in one step of the expiry.
pub(super) const EXPIRY_BUDGET: usize = 256;
/// Rooms that the figures list one by one.
pub(super) const ROWS: usize = 1000;
/// Members that the figures list, over all of those rooms.
pub(super) const ROW_MEMBERS: usize = 4000;
