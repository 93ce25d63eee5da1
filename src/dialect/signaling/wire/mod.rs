//! The wire of signaling: envelopes, requests of both eras, notices, and the texts of errors.
//!
//! Pure translation: nothing here knows rooms or connections.

mod encoding;
mod envelope;
mod fields;
mod kind;
mod notify;
mod refusal;
mod render;
mod request;
mod signal;
mod words;

pub(super) use encoding::{Encoding, frame};
pub(super) use envelope::{Envelope, looks_like_one};
pub(super) use kind::{Kind, UNKNOWN};
pub(super) use notify::{Notice, Person, PresenceState, Present, Row, SignalOut};
pub(super) use refusal::Refusal;
pub(super) use render::{Message, Reply, parse_peer_id, peer_id, reply, rooms, told};
pub(super) use request::{Request, parse};
pub(super) use signal::{Signal, SignalKind};
pub(super) use words::Era;
