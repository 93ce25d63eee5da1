//! Section `WebSocketServer.Compression`: permessage-deflate (RFC 7692).

use super::reader::Reader;
use super::text::open;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Kinds of messages that there are to name.
const KINDS: usize = 3;

/// How messages are compressed for clients that offer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compression {
    /// Whether such an offer is accepted.
    pub enabled: bool,
    /// Bytes below which a message is sent as it is.
    pub threshold: usize,
    /// From 1, fast, to 9, small.
    pub level: u8,
    /// The window of what is sent, in bits.
    pub window_bits: u8,
    /// Whether a client may refer to its earlier messages.
    pub client_context_takeover: bool,
    /// How much of them is kept, in bits of a window.
    pub client_window_bits: u8,
    /// What is compressed.
    pub messages: Vec<CompressedKind>,
}

/// Messages that are compressed, or not, together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompressedKind {
    /// Responses and notices.
    Responses,
    /// Events of subscriptions with priority `normal`.
    Normal,
    /// Events of subscriptions with priority `bulk`.
    Bulk,
}

impl Compression {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Compression {
        let enabled = r.flag(
            "Enabled",
            false,
            "Whether a client that offers `permessage-deflate` gets it. What goes out is compressed once for all \
             receivers. What such a client sends it may compress however small it is, and each message is then \
             inflated for it alone: that costs a thread of `IoThreads` 1 to 2 µs a message.",
        );
        let threshold = r.bytes(
            "Threshold",
            0..=MIB,
            KIB,
            "Messages with fewer bytes are sent as they are, and so is what does not get smaller.",
        );
        let level = small(r.count("ZlibLevel", 1..=9, 1, "From 1, the fastest, to 9, the smallest."));
        let window_bits = small(r.count(
            "WindowBits",
            9..=15,
            15,
            "How far back what is sent refers, in bits: 15 are 32 KiB. A client that asks for less is served with 9.",
        ));
        let client_context_takeover = r.flag(
            "ClientContextTakeover",
            false,
            "Whether a client's compressed message may refer to those before it. The connection then keeps the last of \
             what it said, up to its window.",
        );
        let client_window_bits = small(r.count(
            "ClientWindowBits",
            9..=15,
            12,
            "How much is kept with `ClientContextTakeover`, in bits: 12 are 4 KiB. With less than 15, a client that \
             does not offer `client_max_window_bits` compresses each message by itself.",
        ));
        let messages = r.list(
            "Messages",
            (&["responses", "normal", "bulk"], KINDS),
            &open("`\"responses\"`, or the priority of a subscription: `\"normal\"` or `\"bulk\"`"),
            "What is compressed: responses and notices, and the events of subscriptions with these priorities.",
            parse_kind,
        );
        for (index, kind) in messages.iter().enumerate() {
            if messages[..index].contains(kind) {
                r.error_at("Messages", "Messages", "a kind stands twice");
            }
        }
        Compression { enabled, threshold, level, window_bits, client_context_takeover, client_window_bits, messages }
    }
}

fn parse_kind(text: &str) -> Result<CompressedKind, String> {
    match text {
        "responses" => Ok(CompressedKind::Responses),
        "normal" => Ok(CompressedKind::Normal),
        "bulk" => Ok(CompressedKind::Bulk),
        _ => Err(String::new()),
    }
}

/// A number whose range was checked.
fn small(number: usize) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
