//! Names on the wire: ids, channels and actions.

use crate::base::limits::{ACTION_BYTES, CHANNEL_BYTES, ID_BYTES};

/// Whether it can be an envelope's id: 1 to 128 bytes, of any characters.
pub fn is_id(id: &str) -> bool {
    (1..=ID_BYTES).contains(&id.len())
}

/// Whether it is a channel's name: `[a-z][a-z0-9_-]{0,63}`.
pub fn is_channel(channel: &str) -> bool {
    channel.len() <= CHANNEL_BYTES
        && channel.starts_with(|first: char| first.is_ascii_lowercase())
        && channel.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'))
}

/// Whether it is an action: `[a-z0-9_]` words joined by dots, up to 128 bytes.
pub fn is_action(action: &str) -> bool {
    let mut word = 0;
    for byte in action.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => word += 1,
            b'.' if word > 0 => word = 0,
            _ => return false,
        }
    }
    word > 0 && action.len() <= ACTION_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_lower_case_words_that_start_with_a_letter() {
        let longest = "a".repeat(64);
        for good in ["a", "system", "a-b_c9", "z0", longest.as_str()] {
            assert!(is_channel(good), "{good}");
        }
        let too_long = "a".repeat(65);
        for bad in ["", "A", "9a", "_a", "-a", "a.b", "a b", "é", "a\n", too_long.as_str()] {
            assert!(!is_channel(bad), "{bad}");
        }
    }

    #[test]
    fn actions_are_words_joined_by_dots() {
        let longest = "a".repeat(128);
        for good in ["a", "9", "_", "dead_letters.replay", "a.b.c", longest.as_str()] {
            assert!(is_action(good), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in ["", ".", "a.", ".a", "a..b", "A", "a-b", "a b", "é", "*", too_long.as_str()] {
            assert!(!is_action(bad), "{bad}");
        }
    }

    #[test]
    fn ids_are_bounded_in_bytes() {
        assert!(is_id("x") && is_id(&"x".repeat(128)) && is_id(&"é".repeat(64)) && is_id("\n"));
        assert!(!is_id("") && !is_id(&"x".repeat(129)) && !is_id(&"é".repeat(65)));
    }
}
