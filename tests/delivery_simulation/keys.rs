//! The identities of the simulated server. They are the same in every world, and made once.

use std::sync::{Arc, OnceLock};

use hydrogen::base::Wall;
use hydrogen::engine::auth::{Access, BlockList, Identity, KeyRecord, KeyRing, Permissions, Token};

/// Two who publish, two who subscribe, one who is an administrator.
const NAMES: [&str; 5] = ["ada", "bob", "cyd", "dan", "root"];
/// The administrator.
pub const ROOT: usize = 4;

pub struct Keys {
    pub access: Arc<Access>,
    pub identities: Vec<Arc<Identity>>,
}

pub fn name(who: usize) -> &'static str {
    NAMES[who]
}

pub fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(|| {
        let token = |number: usize| Token::mint(&[number as u8 + 1; Token::RANDOM_BYTES]);
        let record = |(number, name): (usize, &&'static str)| KeyRecord {
            id: token(number).id(),
            name: (*name).into(),
            hash: token(number).hash(),
            permissions: match number {
                ROOT => Permissions::parse(&["admin"]),
                _ => Permissions::parse(&["connect", "subscribe:>", "publish:>", "call:>"]),
            }
            .unwrap(),
            created: Wall(0),
            expires: None,
            revoked: None,
            signing: None,
        };
        let ring = KeyRing::new(NAMES.iter().enumerate().map(record).collect(), None).unwrap();
        let identity = |number: usize| ring.authenticate(&token(number).expose(), Wall(1)).unwrap();
        let identities = (0..NAMES.len()).map(identity).collect();
        Keys { access: Arc::new(Access { version: 0, keys: Arc::new(ring), blocks: BlockList::default() }), identities }
    })
}
