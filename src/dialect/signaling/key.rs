//! What a public key may be.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// The bytes of an Ed25519 key: 32, in padded standard base64.
pub(super) fn ed25519(key: &str) -> Option<[u8; 32]> {
    STANDARD.decode(key).ok()?.try_into().ok()
}

pub(super) fn is_ed25519(key: &str) -> bool {
    ed25519(key).is_some()
}

/// What older clients join with: any text. Its length is bounded where it is read.
pub(super) fn is_text(key: &str) -> bool {
    !key.chars().any(char::is_control)
}
