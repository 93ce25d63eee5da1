//! The keys of the people in this world, by number. Keys from 100 on are no keys, but texts that
//! older clients might state.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A key by its number.
pub fn key(number: u8) -> String {
    if number < 100 { STANDARD.encode([number; 32]) } else { format!("odd-{number}") }
}

/// The number of a key.
pub fn number_of(key: &str) -> u8 {
    match key.strip_prefix("odd-") {
        Some(number) => number.parse().expect("a key of this world"),
        None => STANDARD.decode(key).expect("a key of this world")[0],
    }
}
