//! What the configuration says about rooms.

use std::time::Duration;

use crate::base::Secret;

/// What the configuration says about rooms.
#[derive(Clone, Debug)]
pub struct SignalingSettings {
    /// Live connections of one room.
    pub clients_max: usize,
    /// Members of one room, connected or not.
    pub members_max: usize,
    /// Rooms of the server.
    pub rooms_max: usize,
    /// Rooms in which one connection may be.
    pub rooms_per_connection_max: usize,
    /// When rooms without activity go.
    pub expiry: Expiry,
    /// How often one address may create or join; `None` is any number.
    pub rate: Option<RateLimit>,
    /// Messages of one connection; `None` is any number.
    pub messages: Option<RateLimit>,
    /// How many wrong passwords are borne; `None` is any number.
    pub passwords: Option<PasswordLimit>,
    /// Whether a connection must show that its key is its own.
    pub proof: Proof,
    /// What members are told of each other's keys.
    pub peer_keys: PeerKeys,
    /// How long the place of a connection that is lost is kept; zero is not at all.
    pub grace: Duration,
    /// What clients are told of STUN and TURN servers.
    pub ice: IceServers,
    /// Bytes of signals from one peer to another in a second.
    pub signal_bytes: Option<usize>,
    /// Data that goes through the server.
    pub relay: RelayLimit,
}

/// When rooms without activity go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    /// After how long; `None` is never.
    pub after: Option<Duration>,
    /// Between two looks.
    pub interval: Duration,
}

/// So many at once, and one more after each part of the period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So many at once.
    pub requests: u32,
    /// The time in which so many come back.
    pub period: Duration,
}

/// How many wrong passwords are borne, by room and by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PasswordLimit {
    /// So many.
    pub failures: u32,
    /// In so long.
    pub period: Duration,
}

/// Whether a connection must show that its key is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// It is not asked.
    Off,
    /// It may.
    Optional,
    /// It must.
    Required,
}

/// What members are told of each other's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKeys {
    /// The keys.
    Real,
    /// What stands for them, so that nobody learns another's.
    Alias,
}

/// What clients are told of STUN and TURN servers.
#[derive(Clone, Debug, Default)]
pub struct IceServers {
    /// STUN servers.
    pub stun: Vec<String>,
    /// TURN servers.
    pub turn: Option<Turn>,
}

/// TURN servers and the secret that is shared with them.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Where they are.
    pub urls: Vec<String>,
    /// What is shared with them.
    pub secret: Secret,
    /// How long a credential is good.
    pub lifetime: Duration,
}

/// Bytes per minute that the server passes on; `None` passes nothing on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimit {
    /// Of one connection.
    pub connection_bytes: Option<usize>,
    /// Of one room.
    pub room_bytes: Option<usize>,
}

impl Default for SignalingSettings {
    fn default() -> SignalingSettings {
        let hour = Duration::from_secs(3600);
        SignalingSettings {
            clients_max: 50,
            members_max: 254,
            rooms_max: 100_000,
            rooms_per_connection_max: 64,
            expiry: Expiry { after: Some(30 * 24 * hour), interval: 24 * hour },
            messages: None,
            rate: Some(RateLimit { requests: 3, period: Duration::from_secs(60) }),
            passwords: Some(PasswordLimit { failures: 10, period: hour }),
            proof: Proof::Optional,
            peer_keys: PeerKeys::Alias,
            grace: Duration::from_secs(30),
            ice: IceServers::default(),
            signal_bytes: Some(128 * 1024),
            relay: RelayLimit { connection_bytes: Some(1024 * 1024), room_bytes: Some(8 * 1024 * 1024) },
        }
    }
}
