//! Proof that a key is who shows it, and credentials for TURN servers.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand_chacha::rand_core::Rng;
use ring::hmac;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::json;

use super::Signaling;
use super::key::{ed25519, is_of_small_order};
use super::peer::Meta;
use super::settings::Proof;
use super::wire::{Message, Refusal};
use crate::base::{ConnId, Metric, Now};

/// What is signed begins with this line, so that it is nothing else.
const PREFIX: &str = "hydrogen-signaling-proof-v1\n";

/// Whether the signature is of this nonce, by this key.
fn is_good(key: &[u8; 32], nonce: &str, signature: &str) -> bool {
    if is_of_small_order(key) {
        return false;
    }
    let Ok(signature) = STANDARD.decode(signature) else { return false };
    UnparsedPublicKey::new(&ED25519, &key[..]).verify([PREFIX, nonce].concat().as_bytes(), &signature).is_ok()
}

impl Signaling {
    pub(super) fn challenge(&mut self, conn: ConnId, meta: &Meta) {
        if self.settings.proof == Proof::Off {
            return self.refuse(conn, meta, &Refusal::ProofOff);
        }
        if let Some(challenge) = self.challenge_of(conn) {
            self.respond(conn, meta, &challenge);
        }
    }

    /// What a connection signs to prove its key. It has one nonce.
    pub(super) fn challenge_of(&mut self, conn: ConnId) -> Option<Message> {
        let connection = self.conns.get_mut(&conn)?;
        let nonce = connection.nonce.get_or_insert_with(|| {
            let mut nonce = [0; 32];
            self.random.fill_bytes(&mut nonce);
            STANDARD.encode(nonce).into()
        });
        Some(Message { name: "Challenge", payload: json!({ "nonce": &**nonce }).to_string() })
    }

    pub(super) fn prove(&mut self, conn: ConnId, key: &str, signature: &str, meta: &Meta, now: Now) {
        if self.settings.proof == Proof::Off {
            return self.refuse(conn, meta, &Refusal::ProofOff);
        }
        let Some(connection) = self.conns.get(&conn) else { return };
        let checked = match (ed25519(key), &connection.nonce) {
            (None, _) => Err(Refusal::KeyFormat),
            (Some(_), _) if connection.may_state(key).is_err() => Err(Refusal::ForeignKey),
            (Some(bytes), Some(nonce)) if is_good(&bytes, nonce, signature) => Ok(()),
            (Some(_), _) => Err(Refusal::ProofFailed),
        };
        self.counters.inc(Metric::SIGNALING_PROVED.at(usize::from(checked.is_err())));
        if let Err(refusal) = checked {
            self.refuse(conn, meta, &refusal);
            if refusal == Refusal::ProofFailed {
                self.strike(conn);
            }
            return;
        }
        self.ask_proof(conn, key.into(), meta.clone(), 0, now);
    }

    /// All rooms know of it, or one could not write it down: then it is to be proved once more.
    pub(super) fn finish_proof(&mut self, conn: ConnId, meta: Meta, key: Arc<str>, is_failed: bool, now: Now) {
        let Some(connection) = self.conns.get_mut(&conn) else { return };
        connection.busy = None;
        if is_failed {
            self.refuse(conn, &meta, &Refusal::NotProved);
            return self.take_held(conn, now);
        }
        let is_first = !std::mem::replace(&mut connection.is_proved, true);
        let own = connection.client_id.clone().filter(|own| *own == key);
        connection.key.get_or_insert_with(|| key.clone());
        let payload = json!({ "public_key": &*key }).to_string();
        self.respond(conn, &meta, &Message { name: "Proved", payload });
        if let Some(key) = own
            && is_first
            && self.settings.proof == Proof::Required
        {
            self.push_rooms(conn, key, true, now);
        }
        self.take_held(conn, now);
    }

    pub(super) fn ice_servers(&mut self, conn: ConnId, meta: &Meta, now: Now) {
        let Some(connection) = self.conns.get(&conn) else { return };
        if connection.rooms.is_empty() {
            return self.refuse(conn, meta, &Refusal::NotInAny);
        }
        let ice = &self.settings.ice;
        let mut servers = Vec::new();
        if !ice.stun.is_empty() {
            servers.push(json!({ "urls": ice.stun }));
        }
        if let Some(turn) = &ice.turn {
            let expires = now.wall.unix_s().saturating_add_unsigned(turn.lifetime.as_secs());
            let who: String = match &connection.key {
                // The key itself is not for whoever runs or overhears the TURN server.
                Some(key) => self.pepper.alias("", key)[..16].into(),
                None => connection.peer_id(),
            };
            let username = format!("{expires}:{who}");
            // The scheme that TURN servers share has it with SHA-1.
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, turn.secret.expose().as_bytes());
            let credential = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
            servers.push(json!({"urls": turn.urls, "username": username, "credential": credential}));
        }
        let ttl = ice.turn.as_ref().map_or(0, |turn| turn.lifetime.as_secs());
        let payload = json!({"ice_servers": servers, "ttl": ttl}).to_string();
        self.respond(conn, meta, &Message { name: "IceServers", payload });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::{Ed25519KeyPair, KeyPair};

    #[test]
    fn only_a_signature_of_this_nonce_by_this_key_is_good() {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
        let other = Ed25519KeyPair::from_seed_unchecked(&[2; 32]).unwrap();
        let sign = |text: &str| STANDARD.encode(pair.sign(text.as_bytes()));
        let key: &[u8; 32] = pair.public_key().as_ref().try_into().unwrap();
        let other: &[u8; 32] = other.public_key().as_ref().try_into().unwrap();
        assert!(is_good(key, "n", &sign("hydrogen-signaling-proof-v1\nn")));
        assert!(!is_good(key, "m", &sign("hydrogen-signaling-proof-v1\nn")));
        assert!(!is_good(key, "n", &sign("n")) && !is_good(key, "n", "") && !is_good(key, "n", "!"));
        assert!(!is_good(other, "n", &sign("hydrogen-signaling-proof-v1\nn")));
        let mut neutral = [0; 64];
        neutral[0] = 1;
        assert!(!is_good(neutral[..32].try_into().unwrap(), "n", &STANDARD.encode(neutral)));
    }
}
