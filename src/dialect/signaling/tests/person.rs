//! People, by number: each has a key, and can show that it is its own.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

use super::scene::{Got, Scene};
use crate::base::ConnId;

static PAIRS: LazyLock<Vec<(String, Ed25519KeyPair)>> = LazyLock::new(|| {
    let pair = |number| Ed25519KeyPair::from_seed_unchecked(&[number; 32]).unwrap();
    let named = |pair: Ed25519KeyPair| (STANDARD.encode(pair.public_key().as_ref()), pair);
    (0..=u8::MAX).map(pair).map(named).collect()
});

/// The key of a person.
pub fn key(number: u8) -> String {
    PAIRS[usize::from(number)].0.clone()
}

/// What a person answers to a challenge.
pub fn sign(number: u8, nonce: &str) -> String {
    let text = format!("hydrogen-signaling-proof-v1\n{nonce}");
    STANDARD.encode(PAIRS[usize::from(number)].1.sign(text.as_bytes()).as_ref())
}

impl Scene {
    /// What a connection is to sign.
    pub fn nonce(&mut self, conn: ConnId) -> String {
        let challenge = self.ask(conn, "GetChallenge", &json!({}));
        assert_eq!(challenge.kind, "Challenge");
        challenge.payload["nonce"].as_str().unwrap().to_owned()
    }

    /// A person shows on a connection that its key is its own.
    pub fn try_to_prove(&mut self, conn: ConnId, number: u8) -> Got {
        let nonce = self.nonce(conn);
        self.ask(conn, "Prove", &json!({"public_key": key(number), "signature": sign(number, &nonce)}))
    }

    /// The same, and it is believed.
    pub fn prove(&mut self, conn: ConnId, number: u8) {
        let proved = self.try_to_prove(conn, number);
        assert_eq!((proved.kind.as_str(), proved.payload), ("Proved", json!({"public_key": key(number)})));
    }
}
