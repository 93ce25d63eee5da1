//! Passwords at rest, and aliases of keys: keyed hashes, bound to their room.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// The secret key of the hashes.
#[derive(Clone)]
pub struct Pepper(hmac::Key);

/// The hash of a room's password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct PasswordHash(Box<[u8]>);

impl Pepper {
    /// Takes a key into custody.
    pub fn new(key: [u8; 32]) -> Pepper {
        Pepper(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    pub(super) fn hash(&self, room: &str, password: &str) -> PasswordHash {
        PasswordHash(hmac::sign(&self.0, &bound(room, password)).as_ref().into())
    }

    /// What stands for a key in a room: a key by its looks. No hash of a password is made of the same text: a room's id
    /// has no such prefix.
    pub(super) fn alias(&self, room: &str, key: &str) -> Box<str> {
        let text = [b"alias\0", room.as_bytes(), &[0], key.as_bytes()].concat();
        STANDARD.encode(hmac::sign(&self.0, &text)).into()
    }

    /// Takes equally long wherever the hashes differ.
    pub(super) fn fits(&self, room: &str, password: &str, hash: &PasswordHash) -> bool {
        hmac::verify(&self.0, &bound(room, password), &hash.0).is_ok()
    }
}

fn bound(room: &str, password: &str) -> Vec<u8> {
    [room.as_bytes(), &[0], password.as_bytes()].concat()
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl PasswordHash {
    pub(super) fn text(&self) -> String {
        STANDARD.encode(&self.0)
    }

    pub(super) fn parse(text: &str) -> Option<PasswordHash> {
        STANDARD.decode(text).ok().filter(|hash| hash.len() == 32).map(|hash| PasswordHash(hash.into()))
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_password_of_the_same_room_fits() {
        let pepper = Pepper::new([7; 32]);
        let hash = PasswordHash::parse(&pepper.hash("a", "1234").text()).unwrap();
        assert!(pepper.fits("a", "1234", &hash));
        assert!(!pepper.fits("a", "1235", &hash) && !pepper.fits("b", "1234", &hash));
        assert!(!Pepper::new([8; 32]).fits("a", "1234", &hash));
        assert!(PasswordHash::parse("AAAA").is_none());
        assert_eq!(format!("{pepper:?}{hash:?}"), "******");
    }
}
