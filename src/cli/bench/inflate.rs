//! Compressed messages (RFC 7692), as far as a reader goes that keeps no context.

use flate2::{Decompress, FlushDecompress, Status};

/// What is offered: neither side may refer to earlier messages, so that a broadcast is one and the
/// same frame for all.
pub const OFFER: &str = "permessage-deflate; client_no_context_takeover; server_no_context_takeover";

/// The largest message that is waited for.
const MESSAGE_MAX: usize = 64 << 20;
/// RFC 7692, 7.2.2: what the sender has cut off the end.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Inflates messages. One for each thread.
#[derive(Debug)]
pub struct Inflater {
    state: Decompress,
    /// The last message, compressed, with the tail: what all subscribers get is inflated once.
    last: Vec<u8>,
    plain: Vec<u8>,
}

impl Default for Inflater {
    fn default() -> Inflater {
        Inflater { state: Decompress::new(false), last: Vec::new(), plain: Vec::new() }
    }
}

impl Inflater {
    /// A whole message; `None` if it is not what a compressor makes, or too long.
    pub fn inflate(&mut self, message: &[u8]) -> Option<&[u8]> {
        if self.last.len() == message.len() + TAIL.len() && self.last.starts_with(message) {
            return Some(&self.plain);
        }
        self.last.clear();
        self.last.extend_from_slice(message);
        self.last.extend_from_slice(&TAIL);
        self.plain.clear();
        self.state.reset(false);
        if !self.run() {
            self.last.clear();
            return None;
        }
        Some(&self.plain)
    }

    /// Inflates `last` as a whole.
    fn run(&mut self) -> bool {
        loop {
            self.plain.reserve(self.last.len().max(4096));
            let (taken, made) = (self.state.total_in() as usize, self.plain.len());
            let rest = &self.last[taken.min(self.last.len())..];
            let status = self.state.decompress_vec(rest, &mut self.plain, FlushDecompress::Sync);
            let is_all_taken = self.state.total_in() as usize >= self.last.len();
            match status {
                Err(_) => return false,
                Ok(Status::StreamEnd) => return true,
                Ok(Status::Ok | Status::BufError) if is_all_taken && self.plain.len() < self.plain.capacity() => {
                    return true;
                }
                Ok(Status::Ok | Status::BufError) => {
                    let is_stuck = self.state.total_in() as usize == taken && self.plain.len() == made;
                    if is_stuck || self.plain.len() > MESSAGE_MAX {
                        return false;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    /// RFC 7692, 7.2.1: flushed, and without the flush's last four bytes.
    fn deflated(plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(plain.len() + 1024);
        Compress::new(Compression::fast(), false).compress_vec(plain, &mut out, FlushCompress::Sync).unwrap();
        assert!(out.ends_with(&TAIL));
        out.truncate(out.len() - TAIL.len());
        out
    }

    proptest! {
        #[test]
        fn messages_are_what_they_were(texts in proptest::collection::vec("[a-d]{0,9000}", 1..5)) {
            let mut inflater = Inflater::default();
            for text in &texts {
                let message = deflated(text.as_bytes());
                for _ in 0..2 {
                    prop_assert_eq!(inflater.inflate(&message), Some(text.as_bytes()));
                }
            }
        }
    }

    #[test]
    fn nonsense_is_none_and_does_no_harm_to_the_next() {
        let mut inflater = Inflater::default();
        assert_eq!(inflater.inflate(&[0xff, 0xff, 0xff]), None);
        assert_eq!(inflater.inflate(&[0xff, 0xff, 0xff]), None);
        assert_eq!(inflater.inflate(&deflated(b"hello")), Some(&b"hello"[..]));
    }

    #[test]
    fn what_is_a_thousand_times_larger_is_inflated_in_steps() {
        let plain = vec![b'x'; 1 << 20];
        assert_eq!(Inflater::default().inflate(&deflated(&plain)), Some(&plain[..]));
    }
}
