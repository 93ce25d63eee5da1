//! Owns the event that is stored: 256 bytes that say which event they are and whether they are whole.

/// Bytes of an event.
pub const SIZE: usize = 256;
/// Topics that a run writes to, in turn.
pub const TOPICS: u32 = 64;

/// Where an event belongs, and its bytes.
pub struct Event {
    pub topic: u32,
    pub offset: u64,
    pub bytes: [u8; SIZE],
}

impl Event {
    /// The event number `n` of a run: topics in turn, offsets without a gap.
    pub fn number(n: u64) -> Event {
        let topic = (n % u64::from(TOPICS)) as u32;
        let offset = n / u64::from(TOPICS);
        let mut bytes = [0; SIZE];
        let mut x = n.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        for word in bytes[16..].chunks_exact_mut(8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            word.copy_from_slice(&x.to_le_bytes());
        }
        bytes[4..8].copy_from_slice(&topic.to_be_bytes());
        bytes[8..16].copy_from_slice(&offset.to_be_bytes());
        let sum = crc32c::crc32c(&bytes[4..]);
        bytes[..4].copy_from_slice(&sum.to_be_bytes());
        Event { topic, offset, bytes }
    }
}

/// Whether the bytes are the event that was stored at this place.
pub fn is_whole(topic: u32, offset: u64, bytes: &[u8]) -> bool {
    bytes.len() == SIZE
        && bytes[..4] == crc32c::crc32c(&bytes[4..]).to_be_bytes()
        && bytes[4..8] == topic.to_be_bytes()
        && bytes[8..16] == offset.to_be_bytes()
}

/// How many of the first `n` events belong to a topic.
pub fn in_topic(topic: u32, n: u64) -> u64 {
    (n + u64::from(TOPICS) - 1 - u64::from(topic)) / u64::from(TOPICS)
}
