//! WebSocket frames (RFC 6455): a decoder that holds nothing while a connection is idle, and an
//! encoder whose frames are shared between receivers.
//!
//! Owns frame headers, masks, the assembling of messages, and what a breach of the RFC is called.
//! It refuses to answer: pongs and close frames are the connection machine's to send. The
//! decoder's lifecycle is drawn in [`decoder`].

pub mod client;
mod close;
pub mod decoder;
pub mod deflate;
pub mod encoder;
mod header;
mod mask;
mod partial;
#[cfg(test)]
mod tests;
pub mod utf8;
pub mod violation;

pub use close::is_close_code;
pub use decoder::{Decoder, Flow, Incoming, Limits, Role};
pub use encoder::{FrameBuilder, close, ping, pong};
pub use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};
pub use violation::Violation;
