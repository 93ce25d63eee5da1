//! WebSocket frames as a client has them (RFC 6455): encoding into one buffer per connection, and
//! reading headers in place.
//!
//! It shares no code with the server's codec, so that a mistake there cannot hide from it.

use clap::ValueEnum;

/// Rest of a fragmented message.
pub const CONTINUATION: u8 = 0x0;
/// Text.
pub const TEXT: u8 = 0x1;
/// Binary.
pub const BINARY: u8 = 0x2;
/// Close.
pub const CLOSE: u8 = 0x8;
/// Ping.
pub const PING: u8 = 0x9;
/// Pong.
pub const PONG: u8 = 0xa;

const RSV1: u8 = 0x40;

/// How frames are masked. Both are valid, and a server unmasks both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Masking {
    /// The key 0, which costs the generator nothing
    Zero,
    /// Another key for each frame
    Random,
}

/// What is to be written to one connection.
#[derive(Debug)]
pub struct Outbox {
    bytes: Vec<u8>,
    written: usize,
    masking: Masking,
    state: u64,
}

impl Outbox {
    /// Empty; `seed` makes the keys of each connection differ.
    pub fn new(masking: Masking, seed: u64) -> Outbox {
        Outbox { bytes: Vec::new(), written: 0, masking, state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// Appends bytes as they are: a request, or a protocol without frames.
    pub fn raw(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
    }

    /// Appends one frame whose payload is the parts in a row.
    pub fn frame(&mut self, opcode: u8, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.push(0x80 | opcode);
        match len {
            0..=125 => self.bytes.push(0x80 | len as u8),
            126..=0xffff => {
                self.bytes.push(0x80 | 126);
                self.bytes.extend_from_slice(&(len as u16).to_be_bytes());
            }
            _ => {
                self.bytes.push(0x80 | 127);
                self.bytes.extend_from_slice(&(len as u64).to_be_bytes());
            }
        }
        let key = self.next_key();
        self.bytes.extend_from_slice(&key);
        let start = self.bytes.len();
        self.raw(parts);
        apply_mask(key, &mut self.bytes[start..]);
    }

    /// What is not written yet.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// So many bytes of [`Outbox::pending`] were written.
    pub fn advance(&mut self, n: usize) {
        self.written += n;
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }

    fn next_key(&mut self) -> [u8; 4] {
        match self.masking {
            Masking::Zero => [0; 4],
            Masking::Random => {
                // A linear congruence: the keys hide nothing here, they only vary.
                self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                ((self.state >> 32) as u32).to_be_bytes()
            }
        }
    }
}

fn apply_mask(key: [u8; 4], payload: &mut [u8]) {
    if key != [0; 4] {
        for (byte, key) in payload.iter_mut().zip(key.into_iter().cycle()) {
            *byte ^= key;
        }
    }
}

/// The head of a frame from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whether a message ends here.
    pub is_final: bool,
    /// What it is.
    pub opcode: u8,
    /// RFC 7692, 6: whether the message that begins here is compressed.
    pub is_compressed: bool,
    /// Where the payload begins.
    pub start: usize,
    /// Where the frame ends.
    pub end: usize,
}

/// Why bytes are no frame that a server may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// RFC 6455, 5.1: a server does not mask.
    Masked,
    /// RFC 6455, 5.2: no extension was agreed that gives these bits a meaning.
    ReservedBits,
    /// Larger than [`Head::MAX_PAYLOAD`].
    TooLarge,
}

impl FrameError {
    /// For a person.
    pub fn as_str(self) -> &'static str {
        match self {
            FrameError::Masked => "the server sent a masked frame",
            FrameError::ReservedBits => "the server sent a frame with reserved bits",
            FrameError::TooLarge => "the server sent a frame of more than 64 MiB",
        }
    }
}

impl Head {
    /// The largest payload that is waited for.
    pub const MAX_PAYLOAD: u64 = 64 << 20;

    /// Reads a head; `None` while it is incomplete. `deflates`: compression was agreed to.
    pub fn parse(bytes: &[u8], deflates: bool) -> Result<Option<Head>, FrameError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        let opcode = first & 0x0f;
        // RFC 7692, 6.1: on a message's first frame alone, and on no control frame.
        let is_compressed = deflates && first & RSV1 != 0 && matches!(opcode, TEXT | BINARY);
        if first & 0x70 != if is_compressed { RSV1 } else { 0 } {
            return Err(FrameError::ReservedBits);
        }
        if second & 0x80 != 0 {
            return Err(FrameError::Masked);
        }
        let (len, start) = match second & 0x7f {
            126 => match rest.first_chunk() {
                Some(len) => (u64::from(u16::from_be_bytes(*len)), 4),
                None => return Ok(None),
            },
            127 => match rest.first_chunk() {
                Some(len) => (u64::from_be_bytes(*len), 10),
                None => return Ok(None),
            },
            len => (u64::from(len), 2),
        };
        if len > Head::MAX_PAYLOAD {
            return Err(FrameError::TooLarge);
        }
        let is_final = first & 0x80 != 0;
        Ok(Some(Head { is_final, opcode, is_compressed, start, end: start + len as usize }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unmasked(frame: &[u8]) -> Vec<u8> {
        let extended = match frame[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let key: [u8; 4] = frame[2 + extended..6 + extended].try_into().unwrap();
        let mut payload = frame[6 + extended..].to_vec();
        apply_mask(key, &mut payload);
        let mut plain = frame[..2 + extended].to_vec();
        plain[1] &= 0x7f;
        plain.extend_from_slice(&payload);
        plain
    }

    #[test]
    fn frames_of_every_length_class_can_be_read_again() {
        for masking in [Masking::Zero, Masking::Random] {
            for len in [0usize, 1, 125, 126, 65_535, 65_536] {
                let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
                let (left, right) = payload.split_at(len / 3);
                let mut out = Outbox::new(masking, 7);
                out.frame(BINARY, &[left, right]);
                let plain = unmasked(out.pending());
                let head = Head::parse(&plain, false).unwrap().unwrap();
                assert_eq!((head.is_final, head.opcode, head.end), (true, BINARY, plain.len()));
                assert_eq!(plain[head.start..], payload);
                for cut in 0..head.start {
                    assert_eq!(Head::parse(&plain[..cut], true), Ok(None));
                }
            }
        }
    }

    #[test]
    fn random_keys_differ_and_zero_keys_do_not() {
        let mut out = Outbox::new(Masking::Random, 1);
        assert_ne!(out.next_key(), out.next_key());
        assert_eq!(Outbox::new(Masking::Zero, 1).next_key(), [0; 4]);
    }

    #[test]
    fn what_a_server_must_not_send_is_refused() {
        assert_eq!(Head::parse(&[0x81, 0x80], false), Err(FrameError::Masked));
        assert_eq!(Head::parse(&[0xc1, 0x00], false), Err(FrameError::ReservedBits));
        let huge = [0x82, 127, 0xff, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(Head::parse(&huge, false), Err(FrameError::TooLarge));
    }

    #[test]
    fn compression_shows_where_it_was_agreed_to_and_may_be() {
        let head = Head::parse(&[0xc1, 0x00], true).unwrap().unwrap();
        assert!(head.is_compressed && head.is_final && head.opcode == TEXT);
        assert!(!Head::parse(&[0x81, 0x00], true).unwrap().unwrap().is_compressed);
        for first in [0xc0, 0xc9, 0xe1, 0xa1] {
            assert_eq!(Head::parse(&[first, 0x00], true), Err(FrameError::ReservedBits), "{first:x}");
        }
    }

    #[test]
    fn partial_writes_keep_the_rest() {
        let mut out = Outbox::new(Masking::Zero, 1);
        out.raw(&[b"ab", b"cd"]);
        out.advance(3);
        out.raw(&[b"e"]);
        assert_eq!(out.pending(), b"de");
        out.advance(2);
        assert!(out.pending().is_empty());
    }
}
