//! The one key that the configuration may set for older clients: a text without an id part.

use std::fmt;

use super::permission::Permissions;
use super::token::SecretHash;
use crate::base::limits::CREDENTIAL_BYTES;

/// Keys that stand in published samples, so everybody knows them.
const WELL_KNOWN: &[&str] = &["default_key", "default_websocket_key", "ABCDEFGHIJKLMNOP", "ABDEFGHIJKLMNOP"];
const SHORTEST: usize = 8;
const LONG_ENOUGH: usize = 32;

/// A checked shared key: its hash, and what its holders may do.
#[derive(Clone, PartialEq, Eq)]
pub struct SharedKey {
    pub(super) hash: SecretHash,
    pub(super) permissions: Permissions,
    is_short: bool,
}

impl SharedKey {
    /// Checks a key. The error says what is wrong and never repeats the key.
    pub fn parse(key: &str, permissions: Permissions) -> Result<SharedKey, &'static str> {
        if WELL_KNOWN.contains(&key) {
            return Err("the key stands in published samples: choose one of your own");
        }
        if key.contains("${") {
            return Err("the key still holds a `${…}`: its variable was not set");
        }
        if key.len() < SHORTEST {
            return Err("the key is shorter than 8 characters");
        }
        if key.len() > CREDENTIAL_BYTES {
            return Err("the key is longer than 255 characters");
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the key has a space or a character that is not printable ASCII");
        }
        Ok(SharedKey { hash: SecretHash::of(key.as_bytes()), permissions, is_short: key.len() < LONG_ENOUGH })
    }

    /// Whether it is shorter than 32 characters, which a start should warn of.
    pub fn is_short(&self) -> bool {
        self.is_short
    }
}

impl fmt::Debug for SharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_and_unset_keys_are_refused_without_being_repeated() {
        for key in [
            "",
            "abc",
            "1234567",
            "default_key",
            "ABCDEFGHIJKLMNOP",
            "${env.WEBSOCKET_KEY}",
            "with a blank",
            "schlüssel1",
        ] {
            let error = SharedKey::parse(key, Permissions::default()).unwrap_err();
            assert!(key.is_empty() || !error.contains(key), "{error}");
        }
        assert!(SharedKey::parse(&"k".repeat(256), Permissions::default()).is_err());
        assert!(SharedKey::parse("12345678", Permissions::default()).unwrap().is_short());
        let good = SharedKey::parse(&"k".repeat(32), Permissions::default()).unwrap();
        assert!(!good.is_short());
        assert_eq!(format!("{good:?}"), "SharedKey(redacted)");
    }
}
