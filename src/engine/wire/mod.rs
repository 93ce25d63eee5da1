//! The JSON envelopes of hydrogen-protocol: strict reading, and writing.
//!
//! Owns the scanner (one pass, no tree), the views over text that it passed, the envelope's
//! rules, and the forms of what the server sends. Refuses, with a named error, whatever is no
//! envelope. What a command means, and who may send it, is decided elsewhere.

pub mod ack;
mod bad;
pub mod encode;
pub mod envelope;
mod fields;
pub mod json;
pub mod name;
pub mod object;
mod timestamp;

#[cfg(test)]
mod tests;

pub use ack::{Ack, AckOf, Ids, up_to};
pub use bad::BadMessage;
pub use encode::{EventHead, event, event_room, keepalive_ok, push_json_string, push_u64, response_error, response_ok};
pub use envelope::{Command, Incoming, Refused, Timestamp, parse};
pub use fields::Auth;
pub use json::{FaultKind, JsonFault, Scanner};
pub use name::{is_action, is_channel, is_id};
pub use object::{Kind, Raw};
