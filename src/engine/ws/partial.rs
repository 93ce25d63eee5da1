//! What a connection holds while a frame or message is partial, and only then.
//!
//! Buffers grow with what has come, twofold at most, and never to what a header declares.

use super::header::{DataKind, Frame, Open};
use super::utf8::{NotUtf8, Utf8};
use super::{Incoming, Violation};

/// The smallest buffer, so that a peer that sends single bytes does not cost a copy for each.
const BUFFER_BYTES_MIN: usize = 64;

/// The bytes of a partial message, and those of a partial control frame amid it.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub message: Option<Message>,
    /// At most 125 bytes, since longer control frames are refused by their header.
    pub control: Vec<u8>,
}

impl Partial {
    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        let body = self.message.as_ref().map_or(0, |message| match &message.body {
            Body::Text { text, .. } => text.capacity(),
            Body::Binary(bytes) | Body::Deflated { bytes, .. } => bytes.capacity(),
        });
        size_of::<Partial>() + body + self.control.capacity()
    }
}

/// A message under way.
#[derive(Debug)]
pub(super) struct Message {
    body: Body,
    pub fragments: u32,
}

/// A message that is whole.
pub(super) enum Complete<'a> {
    Plain(Incoming<'a>),
    /// What it is, and its bytes as they came.
    Deflated(DataKind, &'a [u8]),
}

/// Text is kept as a `String`, so that it is checked once, while it grows.
#[derive(Debug)]
enum Body {
    Text {
        text: String,
        utf8: Utf8,
    },
    Binary(Vec<u8>),
    /// As it came: it is inflated when it is whole.
    Deflated {
        kind: DataKind,
        bytes: Vec<u8>,
    },
}

impl Message {
    /// A message whose first frame is under way.
    pub fn new(kind: DataKind, is_deflated: bool) -> Message {
        let body = match kind {
            kind if is_deflated => Body::Deflated { kind, bytes: Vec::new() },
            DataKind::Text => Body::Text { text: String::new(), utf8: Utf8::default() },
            DataKind::Binary => Body::Binary(Vec::new()),
        };
        Message { body, fragments: 1 }
    }

    /// Appends the bytes of `frame` that have come; `frame.left` is what is still to come.
    pub fn append(&mut self, chunk: &[u8], frame: &Frame, bytes_max: usize) -> Result<(), Violation> {
        let length = self.len() + chunk.len();
        // The last frame tells the message's size: growth stops there.
        let rest = usize::try_from(frame.left).unwrap_or(usize::MAX);
        let most = if frame.is_final { length.saturating_add(rest) } else { bytes_max };
        match &mut self.body {
            Body::Text { text, utf8 } => {
                if length > text.capacity() {
                    text.reserve_exact(grown(text.capacity(), length, most) - text.len());
                }
                utf8.feed(chunk, &mut |part| text.push_str(part)).map_err(|NotUtf8| Violation::InvalidUtf8)
            }
            Body::Binary(bytes) | Body::Deflated { bytes, .. } => {
                if length > bytes.capacity() {
                    bytes.reserve_exact(grown(bytes.capacity(), length, most) - bytes.len());
                }
                bytes.extend_from_slice(chunk);
                Ok(())
            }
        }
    }

    /// The message, now that its last byte is there.
    pub fn complete(&self) -> Result<Complete<'_>, Violation> {
        match &self.body {
            Body::Text { text, utf8 } if utf8.is_complete() => Ok(Complete::Plain(Incoming::Text(text))),
            // RFC 6455, 8.1: a text that ends amid a character is not UTF-8.
            Body::Text { .. } => Err(Violation::InvalidUtf8),
            Body::Binary(bytes) => Ok(Complete::Plain(Incoming::Binary(bytes))),
            Body::Deflated { kind, bytes } => Ok(Complete::Deflated(*kind, bytes)),
        }
    }

    /// What the next header is judged by.
    pub fn open(&self) -> Open {
        let kind = match &self.body {
            Body::Text { .. } => DataKind::Text,
            Body::Binary(_) => DataKind::Binary,
            Body::Deflated { kind, .. } => *kind,
        };
        Open { kind, bytes: self.len(), fragments: self.fragments }
    }

    fn len(&self) -> usize {
        match &self.body {
            Body::Text { text, utf8 } => text.len() + utf8.carried(),
            Body::Binary(bytes) | Body::Deflated { bytes, .. } => bytes.len(),
        }
    }
}

/// The next capacity: double, but not over `most`, and never less than `needed`.
fn grown(capacity: usize, needed: usize, most: usize) -> usize {
    capacity.saturating_mul(2).max(BUFFER_BYTES_MIN).min(most).max(needed)
}
