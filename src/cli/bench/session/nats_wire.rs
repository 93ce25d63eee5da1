//! What NATS and its JetStream write and read alike.

use crate::cli::bench::frame::Outbox;

/// Bytes of a payload that are waited for.
const PAYLOAD_MAX: usize = 64 << 20;

/// The line before a payload: `MSG <subject> <sid> [reply-to] <bytes>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it was published to.
    pub subject: &'a [u8],
    /// Where an answer goes; empty if none is asked for.
    pub reply_to: &'a [u8],
    /// Bytes of the payload.
    pub len: usize,
}

impl Message<'_> {
    /// Reads the line; `None` if it is none.
    pub fn parse(line: &[u8]) -> Option<Message<'_>> {
        let mut words = line.split(|byte| *byte == b' ').skip(1);
        let (subject, _sid, third) = (words.next()?, words.next()?, words.next()?);
        let (reply_to, digits) = words.next().map_or((&b""[..], third), |fourth| (third, fourth));
        let len = std::str::from_utf8(digits).ok()?.parse().ok().filter(|len| *len <= PAYLOAD_MAX)?;
        Some(Message { subject, reply_to, len })
    }
}

/// PUB. `reply_to` is in parts, and may be empty.
pub fn publish(subject: &[u8], reply_to: &[&[u8]], payload: &[u8], out: &mut Outbox) {
    out.raw(&[b"PUB ", subject, b" "]);
    if !reply_to.is_empty() {
        out.raw(reply_to);
        out.raw(&[b" "]);
    }
    out.raw(&[payload.len().to_string().as_bytes(), b"\r\n", payload, b"\r\n"]);
}
