//! The identities of the simulated server, and how their rights change.

use std::sync::Arc;

use base64::Engine as _;
use hydrogen::base::Wall;
use hydrogen::engine::auth::{Access, BlockList, KeyRecord, KeyRing, Permissions, Signing, Token};
use ring::hmac;

use crate::dice::Dice;

/// One identity.
pub struct Key {
    pub name: &'static str,
    pub token: Token,
    pub permissions: Vec<&'static str>,
    pub is_revoked: bool,
    pub expires: Option<Wall>,
    secret: Option<[u8; 32]>,
}

/// All of them.
pub struct Keys(pub Vec<Key>);

const FULL: &[&str] = &["connect", "subscribe:>", "publish:>", "call:>"];
const NARROW: &[&str] = &["connect", "subscribe:t.>", "publish:t.>", "call:app.now", "call:app.later"];

impl Keys {
    pub fn new(dice: &mut Dice, now: Wall) -> Keys {
        let mut key = |name, permissions: &[&'static str]| Key {
            name,
            token: Token::mint(&dice.bytes()),
            permissions: permissions.to_vec(),
            is_revoked: false,
            expires: None,
            secret: None,
        };
        let mut keys = vec![
            key("ada", FULL),
            key("ben", NARROW),
            key("root", &["admin"]),
            key("eve", &["subscribe:>"]),
            key("sam", FULL),
            key("tim", FULL),
        ];
        keys[4].secret = Some(dice.bytes());
        keys[5].expires = Some(Wall(now.0 + 60_000));
        Keys(keys)
    }

    pub fn snapshot(&self, version: u64, blocks: BlockList) -> Arc<Access> {
        let record = |key: &Key| KeyRecord {
            id: key.token.id(),
            name: key.name.into(),
            hash: key.token.hash(),
            permissions: Permissions::parse(&key.permissions).unwrap(),
            created: Wall(0),
            expires: key.expires,
            revoked: key.is_revoked.then_some(Wall(1)),
            signing: key.secret.map(|secret| Signing::HmacSha256(Box::new(secret))),
        };
        let ring = KeyRing::new(self.0.iter().map(record).collect(), None).unwrap();
        Arc::new(Access { version, keys: Arc::new(ring), blocks })
    }

    /// One change; says whose.
    pub fn change(&mut self, dice: &mut Dice) -> usize {
        let index = dice.pick(&[0, 1, 1, 1, 4]);
        let key = &mut self.0[index];
        match dice.below(4) {
            0 => key.is_revoked = !key.is_revoked,
            1 => key.permissions = FULL.to_vec(),
            2 => key.permissions = NARROW.to_vec(),
            _ => key.permissions = vec!["connect", "subscribe:t.a", "publish:t.*"],
        }
        index
    }
}

impl Key {
    pub fn permissions(&self) -> Permissions {
        Permissions::parse(&self.permissions).unwrap()
    }

    /// The signature of a command, by those who sign.
    pub fn sign(&self, id: &str, timestamp: &str, channel: &str, action: &str, data: &str) -> Option<String> {
        let text = format!("hydrogen-v1\ncommand\n{id}\n{timestamp}\n{channel}\n{action}\n{data}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret?);
        let tag = hmac::sign(&key, text.as_bytes());
        Some(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(tag.as_ref()))
    }
}
