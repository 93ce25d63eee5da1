//! Signatures of commands that the configuration calls sensitive.
//!
//! Signed is the text `hydrogen-v1`, type, id, timestamp, channel, action and the data exactly as
//! sent, joined by line feeds. A good signature is half of the answer: the caller then asks
//! [`super::replay::ReplayWindow`], and only then, so that a forger cannot use up an honest id.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{URL_SAFE_NO_PAD, URL_SAFE_NO_PAD_INDIFFERENT};
use ring::{hmac, signature as keys};
use subtle::ConstantTimeEq as _;

use crate::base::limits::SIGNING_SECRET_BYTES;
use crate::base::{Code, Error, Wall};

const VERSION: &str = "hydrogen-v1";
const ED25519_KEY_BYTES: usize = 32;
const SECRET_BYTES_LEAST: usize = 32;
/// An Ed25519 signature, padded: the longest of the two kinds.
const SIGNATURE_CHARS: usize = 88;

/// How an identity's messages are signed.
#[derive(Clone, PartialEq, Eq)]
pub enum Signing {
    /// With a key pair; this is the public key (RFC 8032).
    Ed25519([u8; ED25519_KEY_BYTES]),
    /// With HMAC-SHA256 (RFC 2104) and a secret that both sides hold.
    HmacSha256(Box<[u8]>),
}

impl Signing {
    /// Reads an Ed25519 public key: base64url of 32 bytes.
    pub fn ed25519(text: &str) -> Result<Signing, &'static str> {
        let key = decode(text, 64).and_then(|bytes| bytes.try_into().ok());
        key.map(Signing::Ed25519).ok_or("an Ed25519 public key is base64url of 32 bytes")
    }

    /// Reads a shared secret: base64url of 32 to 64 bytes.
    pub fn hmac_sha256(text: &str) -> Result<Signing, &'static str> {
        decode(text, 128)
            .filter(|secret| (SECRET_BYTES_LEAST..=SIGNING_SECRET_BYTES).contains(&secret.len()))
            .map(|secret| Signing::HmacSha256(secret.into()))
            .ok_or("a shared secret is base64url of 32 to 64 bytes")
    }

    /// The name of its kind, and the key as the keys file has it. For HMAC that is the secret.
    pub fn expose(&self) -> (&'static str, String) {
        match self {
            Signing::Ed25519(key) => ("ed25519", URL_SAFE_NO_PAD.encode(key)),
            Signing::HmacSha256(secret) => ("hmac_sha256", URL_SAFE_NO_PAD.encode(secret)),
        }
    }
}

impl fmt::Debug for Signing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Signing::Ed25519(key) => write!(f, "Ed25519({})", URL_SAFE_NO_PAD.encode(key)),
            Signing::HmacSha256(_) => f.write_str("HmacSha256(redacted)"),
        }
    }
}

/// Padding may be there or not, as clients' libraries have it.
fn decode(text: &str, chars: usize) -> Option<Vec<u8>> {
    if text.len() > chars { None } else { URL_SAFE_NO_PAD_INDIFFERENT.decode(text).ok() }
}

/// Whether a timestamp is no further than `skew` from now, on either side.
pub(super) fn is_within_skew(timestamp: Wall, now: Wall, skew: Duration) -> bool {
    u128::from(timestamp.0.abs_diff(now.0)) <= skew.as_millis()
}

fn bad(message: &'static str) -> Error {
    Error::new(Code::BadSignature, message)
}

/// The parts of a message that a signature covers, as they were sent.
#[derive(Clone, Copy, Debug)]
pub struct Signed<'a> {
    /// The envelope's `type`.
    pub kind: &'a str,
    /// The envelope's `id`.
    pub id: &'a str,
    /// The envelope's `timestamp`, if it has one.
    pub timestamp: Option<&'a str>,
    /// The envelope's `channel`.
    pub channel: &'a str,
    /// The envelope's `action`.
    pub action: &'a str,
    /// The bytes of `data`; empty if there is none.
    pub data: &'a [u8],
}

impl Signed<'_> {
    /// Checks the signature by the key registered with the identity, and the timestamp against the
    /// clock. Returns the timestamp, for the replay window.
    pub fn verify(
        &self,
        signature: Option<&str>,
        signing: Option<&Signing>,
        now: Wall,
        skew: Duration,
    ) -> Result<Wall, Error> {
        let signature = signature.ok_or_else(|| bad("this action needs `auth.signature`"))?;
        let signing = signing.ok_or_else(|| bad("this identity has no signing key"))?;
        let written = self.timestamp.ok_or_else(|| bad("a signed message needs `timestamp`"))?;
        let timestamp = Wall::parse(written).ok_or_else(|| bad("`timestamp` is not RFC 3339"))?;
        // Without line feeds in its parts the signed text can be split in one way only.
        if [self.kind, self.id, written, self.channel, self.action].iter().any(|part| part.contains('\n')) {
            return Err(bad("a signed message has no line feed in its `id`"));
        }
        if !is_within_skew(timestamp, now, skew) {
            return Err(Error::new(Code::Replayed, "`timestamp` is too far from the server's clock"));
        }
        let fits = decode(signature, SIGNATURE_CHARS).is_some_and(|signature| self.fits(&signature, signing, written));
        if fits { Ok(timestamp) } else { Err(bad("the signature does not fit the message")) }
    }

    fn fits(&self, signature: &[u8], signing: &Signing, timestamp: &str) -> bool {
        match signing {
            Signing::Ed25519(key) => {
                let text = self.parts(timestamp).concat();
                keys::UnparsedPublicKey::new(&keys::ED25519, key).verify(&text, signature).is_ok()
            }
            Signing::HmacSha256(secret) => {
                let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
                for part in self.parts(timestamp) {
                    context.update(part);
                }
                context.sign().as_ref().ct_eq(signature).into()
            }
        }
    }

    fn parts<'b>(&'b self, timestamp: &'b str) -> [&'b [u8]; 13] {
        const FEED: &[u8] = b"\n";
        let [version, kind, id] = [VERSION, self.kind, self.id].map(str::as_bytes);
        let [timestamp, channel, action] = [timestamp, self.channel, self.action].map(str::as_bytes);
        [version, FEED, kind, FEED, id, FEED, timestamp, FEED, channel, FEED, action, FEED, self.data]
    }

    /// The text that is signed; `None` without a timestamp.
    pub fn text(&self) -> Option<Vec<u8>> {
        Some(self.parts(self.timestamp?).concat())
    }
}

#[cfg(test)]
mod tests;
