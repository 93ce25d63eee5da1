//! The key ring: every key of the keys file, and the shared key, as one immutable snapshot.
//!
//! A reload builds a new ring and swaps it whole; live connections then ask [`KeyRing::current`]
//! what became of their identity. A wrong key and an unknown one are refused with the same words
//! after the same work.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::identity::{Identity, Source};
use super::permission::Permissions;
use super::shared_key::SharedKey;
use super::signature::Signing;
use super::token::{KeyId, SecretHash, Token};
use crate::base::limits::CREDENTIAL_BYTES;
use crate::base::{Code, Error, Wall};

/// One key as it is kept: everything but its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// The public part of the token.
    pub id: KeyId,
    /// The identity's name. Several keys may share it, so that a key can be replaced in peace.
    pub name: Box<str>,
    /// What is kept of the secret part.
    pub hash: SecretHash,
    /// What the identity may do.
    pub permissions: Permissions,
    /// When the key was made.
    pub created: Wall,
    /// From when on it is no longer good.
    pub expires: Option<Wall>,
    /// When it was revoked; a key with any time here is refused.
    pub revoked: Option<Wall>,
    /// How the identity signs.
    pub signing: Option<Signing>,
}

/// Why a credential is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Unknown, wrong or revoked: which of them is nobody's business.
    Unknown,
    /// Right, and no longer good. Only the holder of the secret learns this.
    Expired,
}

impl Refused {
    /// The error that the client sees.
    pub fn error(self) -> Error {
        match self {
            Refused::Unknown => Error::new(Code::Unauthenticated, "the credential is not valid"),
            Refused::Expired => Error::new(Code::Expired, "the credential is expired"),
        }
    }
}

/// What became of an identity that was let in before.
#[derive(Clone, Debug)]
pub enum Current {
    /// Nothing changed.
    Same,
    /// The key is still good and says something else now: permissions, expiry, name or signing.
    Changed(Arc<Identity>),
    /// The credential is no longer good.
    Expired,
    /// The key was revoked, removed, or given another secret.
    Revoked,
}

#[derive(Debug)]
struct Entry {
    hash: SecretHash,
    is_revoked: bool,
    identity: Arc<Identity>,
}

/// All keys. Lookup is by id; nothing ever walks the map.
#[derive(Debug, Default)]
pub struct KeyRing {
    keys: FxHashMap<KeyId, Entry>,
    shared: Option<Entry>,
}

impl KeyRing {
    /// Builds a ring; two records with one id are an error, as one would hide the other.
    pub fn new(records: Vec<KeyRecord>, shared: Option<&SharedKey>) -> Result<KeyRing, String> {
        let mut keys = FxHashMap::with_capacity_and_hasher(records.len(), Default::default());
        for record in records {
            let id = record.id;
            let entry = Entry {
                hash: record.hash,
                is_revoked: record.revoked.is_some(),
                identity: Arc::new(Identity {
                    source: Source::Key(id),
                    name: record.name.into(),
                    permissions: record.permissions,
                    expires: record.expires,
                    signing: record.signing,
                    proof: Some(record.hash),
                }),
            };
            if keys.insert(id, entry).is_some() {
                return Err(format!("two keys have the id {id}"));
            }
        }
        let shared = shared.map(|shared| Entry {
            hash: shared.hash,
            is_revoked: false,
            identity: Arc::new(Identity {
                source: Source::SharedKey,
                name: Identity::SHARED_KEY_NAME.into(),
                permissions: shared.permissions.clone(),
                expires: None,
                signing: None,
                proof: Some(shared.hash),
            }),
        });
        Ok(KeyRing { keys, shared })
    }

    /// Number of keys, the shared one included.
    pub fn len(&self) -> usize {
        self.keys.len() + usize::from(self.shared.is_some())
    }

    /// Whether nobody could be let in.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whose token this is.
    pub fn authenticate(&self, token: &str, now: Wall) -> Result<Arc<Identity>, Refused> {
        if token.len() > CREDENTIAL_BYTES {
            return Err(Refused::Unknown);
        }
        // Whatever was presented, two hashes are made and two comparisons: neither the form of
        // the text nor whether its id is known shows in the time.
        let parsed = Token::parse(token);
        let whole = SecretHash::of(token.as_bytes());
        let secret =
            parsed.as_ref().map_or_else(|| SecretHash::of(&token.as_bytes()[..token.len().min(43)]), Token::hash);
        let named = parsed.and_then(|parsed| self.keys.get(&parsed.id()));
        let is_named = secret == named.map_or(SecretHash::DECOY, |entry| entry.hash) && named.is_some();
        let is_shared =
            whole == self.shared.as_ref().map_or(SecretHash::DECOY, |entry| entry.hash) && self.shared.is_some();
        let entry = match (named, &self.shared) {
            (Some(entry), _) if is_named => entry,
            (_, Some(entry)) if is_shared => entry,
            (Some(_) | None, Some(_) | None) => return Err(Refused::Unknown),
        };
        if entry.is_revoked {
            Err(Refused::Unknown)
        } else if entry.identity.is_expired(now) {
            Err(Refused::Expired)
        } else {
            Ok(entry.identity.clone())
        }
    }

    /// What became of an identity: asked for live connections after a reload, and as time goes on.
    pub fn current(&self, identity: &Arc<Identity>, now: Wall) -> Current {
        let entry = match identity.source {
            Source::Key(id) => self.keys.get(&id),
            Source::SharedKey => self.shared.as_ref(),
            Source::Outside if identity.is_expired(now) => return Current::Expired,
            Source::Outside => return Current::Same,
        };
        let Some(entry) = entry else { return Current::Revoked };
        if entry.is_revoked || Some(entry.hash) != identity.proof {
            Current::Revoked
        } else if entry.identity.is_expired(now) {
            Current::Expired
        } else if Arc::ptr_eq(&entry.identity, identity) || entry.identity == *identity {
            Current::Same
        } else {
            Current::Changed(entry.identity.clone())
        }
    }
}

#[cfg(test)]
mod tests;
