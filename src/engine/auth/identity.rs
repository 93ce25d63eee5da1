//! An identity: what a credential turned into, shared by all that act for it.

use std::sync::Arc;

use super::permission::Permissions;
use super::signature::Signing;
use super::token::{KeyId, SecretHash};
use crate::base::Wall;
use crate::base::limits::NAME_BYTES;

/// What vouches for an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A key of the ring.
    Key(KeyId),
    /// The one shared key of the configuration.
    SharedKey,
    /// Something that the ring does not know: a signed web token, a client certificate, or the
    /// configuration's word on clients without a credential.
    Outside,
}

/// Who a connection acts for, and what that one may do. Shared as `Arc<Identity>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// What vouches for it.
    pub source: Source,
    /// The name that durable subscriptions, blocks and logs know it by.
    pub name: Arc<str>,
    /// What it may do.
    pub permissions: Permissions,
    /// From when on the credential is no longer good.
    pub expires: Option<Wall>,
    /// How its messages are signed, if it may sign any.
    pub signing: Option<Signing>,
    /// The secret that was shown, so that a changed secret ends what the old one opened.
    pub(super) proof: Option<SecretHash>,
}

impl Identity {
    /// The name of whoever shows the configuration's shared key.
    pub const SHARED_KEY_NAME: &str = "configured";
    /// The name of clients without a credential, where the configuration admits them.
    pub const ANONYMOUS_NAME: &str = "anonymous";

    /// An identity that something other than the key ring vouches for.
    pub fn outside(name: impl Into<Arc<str>>, permissions: Permissions, expires: Option<Wall>) -> Identity {
        Identity { source: Source::Outside, name: name.into(), permissions, expires, signing: None, proof: None }
    }

    /// The key's id, if a key of the ring vouches.
    pub fn key_id(&self) -> Option<KeyId> {
        match self.source {
            Source::Key(id) => Some(id),
            Source::SharedKey | Source::Outside => None,
        }
    }

    /// Whether the credential is no longer good.
    pub fn is_expired(&self, now: Wall) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Whether a key may bear this name. The error says why not.
    pub fn check_name(name: &str) -> Result<(), &'static str> {
        if name.is_empty() {
            return Err("the name is empty");
        }
        if name.len() > NAME_BYTES {
            return Err("the name is longer than 64 bytes");
        }
        // The name stands in logs, commands and topics of presence without quoting.
        if !name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b'@' | b':' | b'+')) {
            return Err("the name has a character outside A-Z a-z 0-9 . _ - @ : +");
        }
        if name == Self::SHARED_KEY_NAME || name == Self::ANONYMOUS_NAME {
            return Err("the name is the server's own");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_not_the_servers_own() {
        for name in ["a", "kitchen-sensor.7", "ops@example.org", &"n".repeat(64)] {
            assert_eq!(Identity::check_name(name), Ok(()), "{name}");
        }
        for name in ["", "a b", "a\n", "a\"", "é", "a/b", "configured", "anonymous", &"n".repeat(65)] {
            assert!(Identity::check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_credential_is_good_until_the_very_millisecond_of_its_expiry() {
        let until = |expires| Identity::outside("a", Permissions::default(), expires);
        assert!(!until(Some(Wall(10))).is_expired(Wall(9)));
        assert!(until(Some(Wall(10))).is_expired(Wall(10)));
        assert!(!until(None).is_expired(Wall(i64::MAX)));
    }
}
