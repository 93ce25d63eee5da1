//! The keys of the people in this world, by number, and what stands for them under aliases.
//!
//! Numbers from 51 to 60 are people with a pair of keys, who can prove that it is theirs. Those below
//! have something that only looks like a key: they are in the worlds in which nobody proves anything.
//! So has 100 in all worlds. What is stated as 101 is no key.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use ring::signature::{Ed25519KeyPair, KeyPair};

/// The first of those who have a pair of keys.
pub const FIRST_OF_PAIRS: u8 = 51;

/// Who has something that looks like a key, and nothing to prove it with.
pub const UNPAIRED: u8 = 100;

/// What is no key, and neither makes nor joins a room.
pub const NO_KEY: u8 = 101;

/// The secret of the hashes of passwords, and of aliases.
pub const PEPPER: [u8; 32] = [9; 32];

struct Pairs {
    pairs: Vec<(String, Ed25519KeyPair)>,
    numbers: BTreeMap<String, u8>,
}

static PAIRS: LazyLock<Pairs> = LazyLock::new(|| {
    let pair = |number| Ed25519KeyPair::from_seed_unchecked(&[number; 32]).expect("32 bytes are a seed");
    let named = |pair: Ed25519KeyPair| (STANDARD.encode(pair.public_key().as_ref()), pair);
    let pairs: Vec<_> = (FIRST_OF_PAIRS..=60).map(pair).map(named).collect();
    let numbers = pairs.iter().zip(FIRST_OF_PAIRS..).map(|((key, _), number)| (key.clone(), number)).collect();
    Pairs { pairs, numbers }
});

/// A key by its number.
pub fn key(number: u8) -> String {
    match number {
        FIRST_OF_PAIRS..=60 => PAIRS.pairs[usize::from(number - FIRST_OF_PAIRS)].0.clone(),
        NO_KEY => "garbage".to_owned(),
        _ => STANDARD.encode([number; 32]),
    }
}

/// The number of a key.
pub fn number_of(key: &str) -> u8 {
    number_if_one(key).expect("a key of this world")
}

/// The number of a key, if it is one of this world.
pub fn number_if_one(key: &str) -> Option<u8> {
    if let Some(number) = PAIRS.numbers.get(key) {
        return Some(*number);
    }
    if key == self::key(NO_KEY) {
        return Some(NO_KEY);
    }
    STANDARD.decode(key).ok().filter(|bytes| bytes.iter().all(|byte| *byte == bytes[0]))?.first().copied()
}

/// What a person answers to a challenge.
pub fn sign(number: u8, nonce: &str) -> String {
    let text = format!("hydrogen-signaling-proof-v1\n{nonce}");
    STANDARD.encode(PAIRS.pairs[usize::from(number - FIRST_OF_PAIRS)].1.sign(text.as_bytes()))
}

/// What stands for a key in a room, under aliases.
pub fn alias(room: &str, number: u8) -> String {
    let text = [b"alias\0", room.as_bytes(), &[0], key(number).as_bytes()].concat();
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &PEPPER), &text))
}
