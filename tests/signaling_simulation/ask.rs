//! What clients ask, and in which words.

use serde_json::{Value, json};

use hydrogen::base::{ConnId, Mono};

use crate::keys::{alias, key, sign};
use crate::proofs::Shown;
use crate::wire::Era;

/// Whom a client means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Peer(u64),
    Key(u8),
    /// What stands for a key in a room, under aliases.
    Alias(u64, u8),
}

impl Target {
    pub fn text(self) -> String {
        match self {
            Target::Peer(peer) => format!("{peer:016x}"),
            Target::Key(number) => key(number),
            Target::Alias(room, number) => alias(&format!("{room:016x}"), number),
        }
    }
}

/// The three kinds of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    Offer,
    Answer,
    Candidate,
}

/// What is asked.
#[derive(Clone, Debug)]
pub enum Ask {
    Create {
        key: u8,
        name: String,
        is_right: bool,
        grace: bool,
    },
    Join {
        room: String,
        key: u8,
        name: String,
        is_right: bool,
        grace: bool,
    },
    Connect {
        room: String,
        key: u8,
        grace: bool,
    },
    Disconnect {
        room: Option<String>,
    },
    Leave {
        room: Option<String>,
        key: Option<u8>,
    },
    Kick {
        room: String,
        target: Target,
    },
    Rename {
        room: String,
        name: String,
    },
    /// A signal by its number.
    Signal(usize),
    /// Relayed data by its number.
    Relay(usize),
    Presence {
        room: String,
    },
    Rooms {
        key: u8,
    },
    Info {
        key: u8,
        name: String,
    },
    Ping {
        stamp: u64,
    },
    IceServers,
    Challenge,
    Prove(Shown),
    /// A token by its number, spoilt or not.
    Resume {
        token: usize,
        text: String,
    },
    Unknown,
    Malformed(&'static str),
}

/// A request.
pub struct Req {
    pub conn: ConnId,
    pub era: Era,
    pub ask: Ask,
    /// When it was sent.
    pub sent: u64,
    pub sent_at: Mono,
    /// When it was answered.
    pub answered: Option<u64>,
    /// It was given up, and may yet have its way.
    pub is_given_up: bool,
}

/// The password of every room.
pub const PASSWORD: &str = "1234";

fn password(is_right: bool) -> &'static str {
    if is_right { PASSWORD } else { "4321" }
}

impl Ask {
    /// Whether the connection's next request waits for its answer.
    pub fn is_serial(&self) -> bool {
        !matches!(self, Ask::Signal(_) | Ask::Relay(_))
    }

    /// Its type and payload. Signals and relayed data have words of their own.
    pub fn words(&self, era: Era) -> (&'static str, Value) {
        let id = era.id();
        match self {
            Ask::Create { key: who, name, is_right, grace } => {
                let right = if *is_right { PASSWORD } else { "12345" };
                let mut payload = json!({era.name(): name, "public_key": key(*who), "grace": grace});
                payload[era.pick("password", "pin")] = right.into();
                (era.pick("CreateRoom", "CreateNetwork"), payload)
            }
            Ask::Join { room, key: who, name, is_right, grace } => {
                let mut payload = json!({id: room, "public_key": key(*who), "grace": grace});
                payload[era.pick("password", "pin")] = password(*is_right).into();
                payload[era.pick("username", "computername")] = name.as_str().into();
                (era.pick("JoinRoom", "JoinNetwork"), payload)
            }
            Ask::Connect { room, key: who, grace } => {
                (era.pick("ConnectRoom", "ConnectNetwork"), json!({id: room, "public_key": key(*who), "grace": grace}))
            }
            Ask::Disconnect { room } => {
                (era.pick("DisconnectRoom", "DisconnectNetwork"), named(id, room.as_deref(), json!({})))
            }
            Ask::Leave { room, key: who } => {
                let payload = who.map_or(json!({}), |who| json!({"public_key": key(who)}));
                (era.pick("LeaveRoom", "LeaveNetwork"), named(id, room.as_deref(), payload))
            }
            Ask::Kick { room, target } => ("Kick", json!({id: room, "target_id": target.text()})),
            Ask::Rename { room, name } => ("Rename", json!({id: room, era.name(): name})),
            Ask::Presence { room } => ("Presence", json!({id: room})),
            Ask::Rooms { key: who } => {
                (era.pick("GetUserRooms", "GetComputerNetworks"), json!({"public_key": key(*who)}))
            }
            Ask::Info { key: who, name } => ("UpdateClientInfo", json!({"public_key": key(*who), "client_name": name})),
            Ask::Ping { stamp } => ("Ping", json!({"timestamp": stamp})),
            Ask::IceServers => ("GetIceServers", json!({})),
            Ask::Challenge => ("GetChallenge", json!({})),
            Ask::Prove(shown) => ("Prove", json!({"public_key": key(shown.key), "signature": shown.signature()})),
            Ask::Resume { text, .. } => ("Resume", json!({"resume_token": text})),
            Ask::Unknown => ("DoRoom", json!({})),
            Ask::Malformed(kind) => (kind, json!({id: 7, "public_key": [], "target_id": 1, "resume_token": {}})),
            Ask::Signal(_) | Ask::Relay(_) => unreachable!("they are written elsewhere"),
        }
    }
}

impl Shown {
    fn signature(&self) -> String {
        let mut signature = sign(self.signer, &self.nonce);
        if self.is_spoilt {
            let other = if signature.starts_with('A') { "B" } else { "A" };
            signature.replace_range(..1, other);
        }
        signature
    }
}

fn named(id: &str, room: Option<&str>, mut payload: Value) -> Value {
    if let Some(room) = room {
        payload[id] = room.into();
    }
    payload
}
