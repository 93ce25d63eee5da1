//! The stamp that every message carries, and the payload around it.
//!
//! `~hb:` and 34 hexadecimal digits: run, lane, sequence number, time. The marker is searched
//! for, so a server may put the payload into any envelope or write its JSON anew.

use memchr::memmem::Finder;

use super::args::Body;

const MARKER: &[u8] = b"~hb:";
const DIGITS: [usize; 4] = [4, 6, 12, 12];
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Bytes of a written stamp.
pub const STAMP_LEN: usize = MARKER.len() + DIGITS[0] + DIGITS[1] + DIGITS[2] + DIGITS[3];

/// What a message says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Tells this run's messages from those of an earlier one.
    pub run: u16,
    /// The stream that the number counts in: a connection, or a topic. 24 bits.
    pub lane: u32,
    /// Counts from 0 in its lane. 48 bits.
    pub seq: u64,
    /// When it was sent, or was due to be sent. 48 bits of nanoseconds, which is three days.
    pub time_ns: u64,
}

impl Stamp {
    /// As text.
    pub fn write(self) -> [u8; STAMP_LEN] {
        let mut text = [0; STAMP_LEN];
        text[..MARKER.len()].copy_from_slice(MARKER);
        let mut at = MARKER.len();
        for (value, digits) in
            [u64::from(self.run), u64::from(self.lane), self.seq, self.time_ns].into_iter().zip(DIGITS)
        {
            for place in (0..digits).rev() {
                text[at] = HEX[(value >> (4 * place) & 0xf) as usize];
                at += 1;
            }
        }
        text
    }

    fn parse(digits: &[u8]) -> Option<Stamp> {
        let mut values = [0u64; 4];
        let mut rest = digits;
        for (value, len) in values.iter_mut().zip(DIGITS) {
            let (field, tail) = rest.split_at_checked(len)?;
            for byte in field {
                let digit = match byte {
                    b'0'..=b'9' => byte - b'0',
                    b'a'..=b'f' => byte - b'a' + 10,
                    _ => return None,
                };
                *value = *value << 4 | u64::from(digit);
            }
            rest = tail;
        }
        Some(Stamp { run: values[0] as u16, lane: values[1] as u32, seq: values[2], time_ns: values[3] })
    }
}

/// Finds stamps. Messages of one kind look alike, so it looks first where the last one stood.
#[derive(Debug)]
pub struct StampFinder {
    finder: Finder<'static>,
    hint: usize,
}

impl Default for StampFinder {
    fn default() -> StampFinder {
        StampFinder { finder: Finder::new(MARKER), hint: 0 }
    }
}

impl StampFinder {
    /// The stamp in a message, if it has one.
    pub fn find(&mut self, message: &[u8]) -> Option<Stamp> {
        let guess = message.get(self.hint..self.hint + MARKER.len());
        let at = if guess == Some(MARKER) { self.hint } else { self.finder.find(message)? };
        self.hint = at;
        Stamp::parse(message.get(at + MARKER.len()..at + STAMP_LEN)?)
    }
}

const PREFIX: &[u8] = b"{\"m\":\"";
const SUFFIX: &[u8] = b"\"}";
const RECORDS: &[u8] = b"\",\"items\":[";
const END: &[u8] = b"\"\"]}";
const FILLER: &[u8] = b"the quick brown fox jumps over the lazy dog 0123456789 ";

/// A JSON object of an exact size with room for a stamp, used again and again.
#[derive(Debug)]
pub struct Payload(Vec<u8>);

impl Payload {
    /// The smallest payload.
    pub const MIN: usize = PREFIX.len() + STAMP_LEN + SUFFIX.len();

    /// What stands between a payload's quotes: the stamp, and what fills it up.
    pub fn text_of(payload: &[u8]) -> &[u8] {
        payload.get(PREFIX.len()..payload.len().saturating_sub(SUFFIX.len())).unwrap_or_default()
    }

    /// A payload of `size` bytes, or of [`Payload::MIN`] if that is more.
    pub fn new(size: usize) -> Payload {
        let mut bytes = PREFIX.to_vec();
        bytes.extend_from_slice(&Stamp::default().write());
        bytes.extend(FILLER.iter().cycle().take(size.saturating_sub(Payload::MIN)));
        bytes.extend_from_slice(SUFFIX);
        Payload(bytes)
    }

    /// A payload of [`Payload::new`]'s size, made of what `body` says.
    pub fn of(body: Body, size: usize) -> Payload {
        match body {
            Body::Text => Payload::new(size),
            Body::Records => Payload::records(size),
        }
    }

    fn records(size: usize) -> Payload {
        let mut bytes = PREFIX.to_vec();
        bytes.extend_from_slice(&Stamp::default().write());
        bytes.extend_from_slice(RECORDS);
        // A linear congruence: the same numbers in every run, and no two records alike.
        let mut number = 1u32;
        loop {
            number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let record = format!(
                r#"{{"id":{},"name":"sensor-{}","value":{}.{:02},"unit":"C","ok":{}}},"#,
                number >> 8,
                number >> 24,
                number >> 12 & 0x3f,
                number >> 16 & 0x3f,
                number & 0x800 != 0
            );
            if bytes.len() + record.len() + END.len() > size {
                break;
            }
            bytes.extend_from_slice(record.as_bytes());
        }
        if bytes.len() + END.len() > size {
            return Payload::new(size);
        }
        // The place of a record that had no room, so that the size is exact.
        let room = size - bytes.len() - END.len();
        bytes.extend_from_slice(&END[..1]);
        bytes.extend(FILLER.iter().cycle().take(room));
        bytes.extend_from_slice(&END[1..]);
        Payload(bytes)
    }

    /// The payload with this stamp in it.
    pub fn stamped(&mut self, stamp: Stamp) -> &[u8] {
        self.0[PREFIX.len()..PREFIX.len() + STAMP_LEN].copy_from_slice(&stamp.write());
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stamp_is_found_in_any_envelope(
            run: u16, lane in 0u32..1 << 24, seq in 0u64..1 << 48, time_ns in 0u64..1 << 48,
            before in "[ -}]{0,80}", hint in 0usize..100, size in 0usize..300,
        ) {
            let stamp = Stamp { run, lane, seq, time_ns };
            let mut payload = Payload::new(size);
            let text = payload.stamped(stamp);
            prop_assert_eq!(text.len(), size.max(Payload::MIN));
            prop_assert!(serde_json::from_slice::<serde_json::Value>(text).is_ok());
            let message = [before.as_bytes(), text, b"}"].concat();
            let mut finder = StampFinder { hint, ..StampFinder::default() };
            prop_assert_eq!(finder.find(&message), Some(stamp));
            prop_assert_eq!(finder.find(&message), Some(stamp));
        }
    }

    #[test]
    fn records_are_json_of_the_exact_size() {
        for size in [Payload::MIN, 60, 100, 101, 256, 1024, 5000] {
            let stamp = Stamp { run: 1, lane: 2, seq: 3, time_ns: 4 };
            let mut payload = Payload::of(Body::Records, size);
            let text = payload.stamped(stamp);
            assert_eq!(text.len(), size.max(Payload::MIN));
            let value: serde_json::Value = serde_json::from_slice(text).unwrap();
            let records = value["items"].as_array().map_or(0, |items| items.len() - 1);
            assert!(records >= size / 200, "{value}");
            assert_eq!(StampFinder::default().find(text), Some(stamp));
        }
    }

    #[test]
    fn other_text_has_no_stamp() {
        let mut finder = StampFinder::default();
        let cut = Stamp::default().write();
        for text in [&b"{}"[..], b"~hb:12", b"~hb:zzzz000000000000000000000000000000", &cut[..STAMP_LEN - 1], b""] {
            assert_eq!(finder.find(text), None);
        }
    }
}
