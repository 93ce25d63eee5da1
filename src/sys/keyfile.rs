//! The keys file on disk: reading, changing and watching it.
//!
//! A change is made under an advisory lock on `<file>.lock`, into a new file that is synced and
//! then renamed over the old one: a reader sees the file before or after, never between. It
//! decides nothing about keys; their form is [`crate::engine::auth::file`]'s.

mod read;
mod write;

pub use read::{KeyFileError, Loaded, load};

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SecureRandom;

use crate::base::limits::KEYS;
use crate::base::{Secret, Wall};
use crate::engine::auth::{Identity, KeyId, KeyRecord, KeyRing, Permissions, SharedKey, Signing, Token};

/// The keys, in the file's order.
pub fn list(path: &Path) -> Result<Vec<KeyRecord>, KeyFileError> {
    load(path).map(|loaded| loaded.records)
}

/// How a new key's identity shall sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewSigning {
    /// Not at all.
    None,
    /// With the key pair of this public key: base64url of 32 bytes.
    Ed25519(String),
    /// With a shared secret, made together with the key.
    HmacSha256,
}

/// A new key, and what its owner is shown once.
#[derive(Debug)]
pub struct Created {
    /// The token; only its hash is kept.
    pub token: Token,
    /// The shared secret for signatures, base64url.
    pub signing_secret: Option<Secret>,
}

/// What a new key is to be.
#[derive(Clone, Debug)]
pub struct NewKey {
    /// The identity's name.
    pub name: String,
    /// What it may do.
    pub permissions: Permissions,
    /// From when on it is no longer good.
    pub expires: Option<Wall>,
    /// How it signs.
    pub signing: NewSigning,
}

/// Makes a key and adds it to the file; the file is made if there is none.
pub fn create_key(path: &Path, key: NewKey, now: Wall, random: &dyn SecureRandom) -> Result<Created, KeyFileError> {
    Identity::check_name(&key.name).map_err(|why| KeyFileError::Misuse(why.into()))?;
    if key.expires.is_some_and(|expires| expires <= now) {
        return Err(KeyFileError::Misuse("the key would be expired from the start".into()));
    }
    let (signing, signing_secret) = match key.signing {
        NewSigning::None => (None, None),
        NewSigning::Ed25519(public) => {
            (Some(Signing::ed25519(&public).map_err(|why| KeyFileError::Misuse(why.into()))?), None)
        }
        NewSigning::HmacSha256 => {
            let secret: [u8; 32] = random_bytes(random)?;
            (Some(Signing::HmacSha256(secret.into())), Some(Secret::new(URL_SAFE_NO_PAD.encode(secret))))
        }
    };
    let token = Token::mint(&random_bytes(random)?);
    write::change(path, |records| {
        if records.len() >= KEYS {
            return Err(KeyFileError::Misuse(format!("the file holds {KEYS} keys: remove old ones first")));
        }
        if records.iter().any(|record| record.id == token.id()) {
            return Err(KeyFileError::Misuse("the random source gave an id that is in use".into()));
        }
        records.push(KeyRecord {
            id: token.id(),
            name: key.name.into(),
            hash: token.hash(),
            permissions: key.permissions,
            created: now,
            expires: key.expires,
            revoked: None,
            signing,
        });
        Ok(())
    })?;
    Ok(Created { token, signing_secret })
}

fn random_bytes<const N: usize>(random: &dyn SecureRandom) -> Result<[u8; N], KeyFileError> {
    let mut bytes = [0; N];
    random.fill(&mut bytes).map_err(|_| KeyFileError::Misuse("the machine gives no random bytes".into()))?;
    Ok(bytes)
}

/// Revokes the key with this id, or all keys of this name. Returns those that were good before;
/// none, if all of them were revoked already.
pub fn revoke(path: &Path, id_or_name: &str, now: Wall) -> Result<Vec<KeyId>, KeyFileError> {
    write::change(path, |records| {
        let by_id = records.iter().any(|record| record.id.as_str() == id_or_name);
        let is_meant =
            |record: &KeyRecord| if by_id { record.id.as_str() == id_or_name } else { &*record.name == id_or_name };
        let mut meant = records.iter_mut().filter(|record| is_meant(record)).peekable();
        if meant.peek().is_none() {
            return Err(KeyFileError::Misuse("no key has this id or name".into()));
        }
        let good = meant.filter(|record| record.revoked.is_none());
        Ok(good
            .map(|record| {
                record.revoked = Some(now);
                record.id
            })
            .collect())
    })
}

/// What tells one state of the file from another without reading it. The time of the last change
/// to the inode catches what keeps length and modification time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Looks at the file now and then, and reads it when it changed.
#[derive(Debug)]
pub struct Watcher {
    path: PathBuf,
    shared: Option<SharedKey>,
    seen: Option<Result<Stamp, io::ErrorKind>>,
}

impl Watcher {
    /// Watches this file; each ring gets the shared key too. The first poll reads the file.
    pub fn new(path: impl Into<PathBuf>, shared: Option<SharedKey>) -> Watcher {
        Watcher { path: path.into(), shared, seen: None }
    }

    /// Takes another shared key; if it differs, the next poll gives a new ring.
    pub fn set_shared_key(&mut self, shared: Option<SharedKey>) {
        if self.shared != shared {
            self.shared = shared;
            self.seen = None;
        }
    }

    /// A new ring if the file changed since the last poll, with a warning about the file if one is
    /// due. An error is told once per change; the caller keeps the ring that it has.
    pub fn poll(&mut self) -> Option<Result<(KeyRing, Option<String>), KeyFileError>> {
        // Taken before reading: a change in between is seen by the next poll.
        let stamp = fs::metadata(&self.path)
            .map(|found| Stamp {
                device: found.dev(),
                inode: found.ino(),
                len: found.len(),
                modified: (found.mtime(), found.mtime_nsec()),
                changed: (found.ctime(), found.ctime_nsec()),
            })
            .map_err(|error| error.kind());
        if self.seen == Some(stamp) {
            return None;
        }
        self.seen = Some(stamp);
        Some(load(&self.path).and_then(|loaded| {
            let ring = KeyRing::new(loaded.records, self.shared.as_ref());
            ring.map(|ring| (ring, loaded.warning)).map_err(|why| KeyFileError::Damaged(self.path.clone(), why))
        }))
    }
}

#[cfg(test)]
mod tests;
