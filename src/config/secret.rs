//! The shared key of older configurations, kept out of logs.

use super::text::Text;
use crate::base::Secret;

/// Keys that examples and older defaults have. Whoever runs with one has no key.
const WELL_KNOWN: &[&str] =
    &["default_key", "default_websocket_key", "hydrogen-websocket", "ABCDEFGHIJKLMNOP", "ABDEFGHIJKLMNOP"];

pub(super) const SHARED_KEY: Text =
    Text { expected: "a key of 8 to 255 printable ASCII characters without spaces", is_secret: true };

pub(super) fn shared_key(text: &str) -> Result<Secret, String> {
    if !(8..=255).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(String::new());
    }
    if WELL_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        return Err("this one is in every example, so everyone knows it".into());
    }
    Ok(Secret::new(text))
}
