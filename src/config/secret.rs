//! The shared key of older configurations, kept out of logs.

use std::fmt;

use super::text::Text;

/// Keys that examples and older defaults have. Whoever runs with one has no key.
const WELL_KNOWN: &[&str] =
    &["default_key", "default_websocket_key", "hydrogen-websocket", "ABCDEFGHIJKLMNOP", "ABDEFGHIJKLMNOP"];

pub(super) const SHARED_KEY: Text =
    Text { expected: "a key of 8 to 255 printable ASCII characters without spaces", is_secret: true };

/// A text that no log shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text itself, to compare with in constant time.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret(text.to_owned())
    }
}

pub(super) fn shared_key(text: &str) -> Result<Secret, String> {
    if !(8..=255).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(String::new());
    }
    if WELL_KNOWN.iter().any(|known| known.eq_ignore_ascii_case(text)) {
        return Err("this one is in every example, so everyone knows it".into());
    }
    Ok(Secret::from(text))
}
