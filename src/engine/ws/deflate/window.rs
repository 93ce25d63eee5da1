//! The last of what a client said, for a client that was allowed to refer to earlier messages.
//!
//! Owns those bytes, and nothing of zlib's: an inflater takes them as a dictionary when the next
//! message comes. So a connection costs its window at most, and only once it was filled.

/// The last bytes of a client's compressed messages, inflated.
#[derive(Debug)]
pub struct Window {
    bytes: Vec<u8>,
    bits: u8,
}

impl Window {
    /// A window of 9 to 15 bits. It allocates nothing yet.
    pub fn new(bits: u8) -> Window {
        Window { bytes: Vec::new(), bits: bits.clamp(super::WINDOW_BITS_MIN, super::WINDOW_BITS_MAX) }
    }

    /// What is in it.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Bytes of memory held.
    pub fn held_bytes(&self) -> usize {
        size_of::<Window>() + self.bytes.capacity()
    }

    /// A message was inflated.
    pub(super) fn push(&mut self, message: &[u8]) {
        let size = 1 << self.bits;
        let message = &message[message.len().saturating_sub(size)..];
        let over = (self.bytes.len() + message.len()).saturating_sub(size);
        self.bytes.drain(..over);
        if self.bytes.len() + message.len() > self.bytes.capacity() {
            // Twofold, and no further than the window.
            let wanted = (self.bytes.capacity() * 2).min(size).max(self.bytes.len() + message.len());
            self.bytes.reserve_exact(wanted - self.bytes.len());
        }
        self.bytes.extend_from_slice(message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_holds_the_last_bytes_and_no_more_memory(messages in prop::collection::vec(0usize..1200, 0..12)) {
            let (mut window, mut all) = (Window::new(9), Vec::new());
            for (index, size) in messages.into_iter().enumerate() {
                let message: Vec<u8> = (0..size).map(|byte| (byte * 7 + index) as u8).collect();
                window.push(&message);
                all.extend_from_slice(&message);
                prop_assert_eq!(window.bytes(), &all[all.len().saturating_sub(512)..]);
                prop_assert!(window.held_bytes() <= size_of::<Window>() + 512);
            }
        }
    }
}
