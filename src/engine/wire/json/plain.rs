//! How far a string runs before a byte that JSON treats apart: a quote, a backslash, or a
//! control character. The inner loop of reading and of writing.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Bytes looked at by words before blocks pay for themselves.
const HEAD: usize = 32;

/// Bytes before the first quote, backslash or control character; all of them if there is none.
pub(in crate::engine::wire) fn plain_len(bytes: &[u8]) -> usize {
    let head = &bytes[..bytes.len().min(HEAD)];
    let plain = words(head);
    if plain < head.len() || head.len() < HEAD {
        return plain;
    }
    let mut at = HEAD;
    // A block without branches inside is compiled to vector instructions: hence `|`, never `||`.
    while let Some(block) = bytes[at..].first_chunk::<32>() {
        if block.iter().fold(false, |found, byte| found | is_special(*byte)) {
            break;
        }
        at += block.len();
    }
    at + words(&bytes[at..])
}

fn words(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(word) = bytes[at..].first_chunk::<8>() {
        let found = specials(u64::from_le_bytes(*word));
        if found != 0 {
            return at + (found.trailing_zeros() / 8) as usize;
        }
        at += word.len();
    }
    at + bytes[at..].iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len() - at)
}

fn is_special(byte: u8) -> bool {
    (byte == b'"') | (byte == b'\\') | (byte < 0x20)
}

/// The high bit of every special byte. A borrow can mark bytes above a special one by mistake,
/// never below it, so the lowest mark is right.
fn specials(word: u64) -> u64 {
    let quote = word ^ (LOW * b'"' as u64);
    let backslash = word ^ (LOW * b'\\' as u64);
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (control | (quote.wrapping_sub(LOW) & !quote) | (backslash.wrapping_sub(LOW) & !backslash)) & HIGH
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn each_byte_at_each_place_is_judged_alike() {
        for len in [1, 7, 8, 9, 31, 32, 33, 63, 64, 65, 100] {
            for at in 0..len {
                for byte in 0..=255u8 {
                    let mut bytes = vec![b'a'; len];
                    bytes[at] = byte;
                    let expected = if is_special(byte) { at } else { len };
                    assert_eq!(plain_len(&bytes), expected, "byte {byte:#x} at {at} of {len}");
                }
            }
        }
        assert_eq!(plain_len(b""), 0);
    }

    proptest! {
        #[test]
        fn the_first_special_byte_is_found(bytes in prop::collection::vec(prop_oneof![
            20 => 0x20u8..=0xff, 1 => Just(b'"'), 1 => Just(b'\\'), 1 => 0u8..0x20], 0..200)) {
            let expected = bytes.iter().position(|byte| is_special(*byte)).unwrap_or(bytes.len());
            prop_assert_eq!(plain_len(&bytes), expected);
        }
    }
}
