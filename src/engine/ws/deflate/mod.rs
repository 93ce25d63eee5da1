//! Compression of messages: permessage-deflate (RFC 7692).
//!
//! Owns what is agreed in the handshake, and the turning of payloads into compressed ones and
//! back. A thread has one [`Zlib`] for all of its connections: each message begins with an empty
//! history, or with the little that a connection keeps of what its client said ([`Window`]). It
//! refuses a history of its own in what it sends, so that one compressed event serves every
//! receiver, and whatever grows over the limit of a message while it is inflated.

mod agreed;
mod deflater;
mod form;
mod inflater;
mod offer;
#[cfg(test)]
mod tests;
mod window;

pub use agreed::{Agreed, Kinds};
pub use deflater::Deflater;
pub use form::{Form, Forms};
pub use inflater::{Inflater, Tally};
pub use offer::choose;
pub use window::Window;

/// The extension's name.
pub const NAME: &str = "permessage-deflate";

/// The smallest window that zlib makes a raw stream with. RFC 7692 knows 8 too: an offer that asks
/// for it is declined.
pub const WINDOW_BITS_MIN: u8 = 9;

/// The largest window of a deflate stream: 32 KiB.
pub const WINDOW_BITS_MAX: u8 = 15;

/// What RFC 7692 takes off the end of each compressed message: an empty stored block, without the
/// bits of its header.
const TAIL: [u8; 4] = [0x00, 0x00, 0xFF, 0xFF];

/// Bytes of a buffer that are kept between messages; a larger one is given back.
const BUFFER_KEPT: usize = 256 * 1024;

/// How messages are compressed. There is none of it where nothing is to be compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Bytes of payload below which a message is sent as it is.
    pub threshold: usize,
    /// From 1, which is fast, to 9, which is small.
    pub level: u8,
    /// The window of what is sent, 9 to 15 bits, where the client does not ask for a smaller one.
    pub window_bits: u8,
    /// How much of what a client said is kept for it to refer to, in bits of a window of 9 to 15.
    /// `None` lets no client refer to earlier messages, and keeps nothing.
    pub client_window_bits: Option<u8>,
    /// What is compressed.
    pub kinds: Kinds,
}

/// What a thread needs to compress and to inflate, for all of its connections.
#[derive(Debug, Default)]
pub struct Zlib {
    /// What compresses.
    pub deflater: Deflater,
    /// What inflates.
    pub inflater: Inflater,
}

impl Zlib {
    /// Nothing is allocated before the first message that needs it.
    pub fn new(settings: Option<&Settings>) -> Zlib {
        Zlib {
            deflater: settings.map(|settings| Deflater::new(settings.level, settings.window_bits)).unwrap_or_default(),
            inflater: Inflater::default(),
        }
    }
}
