//! Section `Signaling`: rooms in which WebRTC peers find each other.

mod ice;

use std::time::Duration;

use super::protocols::parse_protocol;
use super::reader::Reader;
use super::text::open;
pub use ice::{IceServers, Turn};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;

/// Paths and names by which clients come: a few.
const DOORS: usize = 16;

/// Paths that answer something else.
const TAKEN: &[&str] = &["/", "/health", "/ready", "/metrics", "/stats", "/echo"];

/// Rooms in which WebRTC peers find each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Signaling {
    /// Whether it is served.
    pub enabled: bool,
    /// Paths of which every WebSocket is for it.
    pub paths: Vec<String>,
    /// Names of the subprotocol.
    pub protocols: Vec<String>,
    /// Whether a connection needs a key.
    pub needs_key: bool,
    /// Live connections of one room.
    pub max_clients_per_room: usize,
    /// Members of one room, connected or not.
    pub max_members_per_room: usize,
    /// Rooms of the server.
    pub max_rooms: usize,
    /// Rooms in which one connection may be.
    pub max_rooms_per_connection: usize,
    /// After how long a room without activity goes; `None` is never.
    pub room_expiry: Option<Duration>,
    /// Between two looks for such rooms.
    pub cleanup_interval: Duration,
    /// Rooms that one address may make or join; `None` is any number.
    pub rate_limit: Option<Allowance>,
    /// Wrong passwords that are borne, of one address and of one room; `None` is any number.
    pub password_limit: Option<Allowance>,
    /// Whether connections show that their keys are theirs.
    pub proof: Proof,
    /// What members are told of each other's keys.
    pub peer_keys: PeerKeys,
    /// How long the place of a lost connection is kept; zero is not at all.
    pub grace: Duration,
    /// What clients are told of STUN and TURN servers.
    pub ice_servers: IceServers,
    /// Bytes of signals from one peer to another in a second; `None` is any number.
    pub signal_bytes: Option<usize>,
    /// Data that goes through the server.
    pub relay: Relay,
}

/// So many in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// How many.
    pub count: u32,
    /// In how long.
    pub period: Duration,
}

/// Whether connections show that their keys are theirs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// They cannot.
    Off,
    /// They may.
    Optional,
    /// They must, before anything that needs a key.
    Required,
}

/// What members are told of each other's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKeys {
    /// The keys.
    Real,
    /// What stands for them.
    Alias,
}

/// Bytes per minute that the server passes on; `None` passes nothing on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relay {
    /// Of one connection.
    pub bytes_per_minute: Option<usize>,
    /// Of one room.
    pub room_bytes_per_minute: Option<usize>,
}

impl Signaling {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Signaling {
        let enabled = r.flag("Enabled", false, "Whether rooms are served, beside everything else on the same port.");
        let paths = r.list(
            "Paths",
            (&["/signaling"], DOORS),
            &open("a path like \"/signaling\""),
            "Paths of which every WebSocket without another known subprotocol is for rooms.",
            parse_path,
        );
        let protocols = r.list(
            "Protocols",
            (&["govpn", "signaling"], DOORS),
            &open("a subprotocol's name, like \"signaling\""),
            "Names of the WebSocket subprotocol that are for rooms, on any path.",
            parse_protocol,
        );
        let needs_key = r.choice(
            "Authentication",
            &[("none", false), ("key", true)],
            ("none", false),
            "Whether connecting needs one of this server's keys. Clients of GoVPN show none.",
        );
        Signaling {
            enabled,
            paths,
            protocols,
            needs_key,
            max_clients_per_room: r.count(
                "MaxClientsPerRoom",
                1..=254,
                50,
                "Connections that are in one room at a time.",
            ),
            max_members_per_room: r.count(
                "MaxMembersPerRoom",
                1..=254,
                254,
                "Members of one room, connected or not. Each has an address of its own, of which there are 254.",
            ),
            max_rooms: r.count("MaxRooms", 1..=10_000_000, 100_000, "Rooms at a time, of all owners."),
            max_rooms_per_connection: r.count(
                "MaxRoomsPerConnection",
                1..=4096,
                64,
                "Rooms in which one connection is at a time.",
            ),
            room_expiry: days(r),
            cleanup_interval: hours(r),
            rate_limit: r.section(
                "RateLimit",
                "How often one address may make or join a room. A network of IPv6 addresses (/64) counts as one.",
                read_rate_limit,
            ),
            password_limit: r.section(
                "PasswordLimit",
                "How many wrong passwords are borne. A password has four digits: without this it is found by trying.",
                read_password_limit,
            ),
            proof: r.choice(
                "ProofOfPossession",
                &[("off", Proof::Off), ("optional", Proof::Optional), ("required", Proof::Required)],
                ("optional", Proof::Optional),
                "Whether a connection shows, by a signature, that the key it names is its own: it cannot, it may, or it must. Clients of GoVPN cannot.",
            ),
            peer_keys: r.choice(
                "PeerKeys",
                &[("alias", PeerKeys::Alias), ("real", PeerKeys::Real)],
                ("alias", PeerKeys::Alias),
                "What members are told of each other's keys: aliases, so that no member can state another's, or the keys.",
            ),
            grace: r.seconds(
                "GraceSeconds",
                0..=HOUR_S,
                30,
                "How long the place of a connection that is lost is kept, where the client asked for it. 0: not at all.",
            ),
            ice_servers: r.section("IceServers", "What clients are told of STUN and TURN servers.", IceServers::read),
            signal_bytes: Some(r.bytes(
                "SignalBytesPerSecond",
                0..=GIB,
                128 * KIB,
                "Bytes of signals from one peer to another in a second, and twice as many at once. Each counts 384 bytes besides. 0: any number.",
            ))
            .filter(|bytes| *bytes > 0),
            relay: r.section("Relay", "Data of peers that find no direct path, through this server.", read_relay),
        }
    }
}

fn days(r: &mut Reader<'_, '_>) -> Option<Duration> {
    let days = r.count(
        "RoomExpiryDays",
        0..=36_500,
        30,
        "A room in which nothing happened for so many days is deleted. 0: never.",
    );
    (days > 0).then(|| Duration::from_secs(days as u64 * DAY_S))
}

fn hours(r: &mut Reader<'_, '_>) -> Duration {
    let hours =
        r.count("CleanupIntervalHours", 1..=8760, 24, "Hours between two looks for rooms that are to be deleted.");
    Duration::from_secs(hours as u64 * HOUR_S)
}

fn read_rate_limit(r: &mut Reader<'_, '_>) -> Option<Allowance> {
    let count = r.count_or_off("Requests", 1_000_000, 3, "Rooms that are made or joined at once. 0: any number.");
    let period = r.seconds("PeriodSeconds", 1..=DAY_S, 60, "The time after which as many more are allowed.");
    count.map(|count| Allowance { count, period })
}

fn read_password_limit(r: &mut Reader<'_, '_>) -> Option<Allowance> {
    let count = r.count_or_off(
        "Failures",
        1_000_000,
        10,
        "Wrong passwords of one address, and for one room. After that joining is refused, also with the right one. 0: \
         any number.",
    );
    let period = r.seconds("PeriodSeconds", 1..=30 * DAY_S, 3600, "The time over which they are counted.");
    count.map(|count| Allowance { count, period })
}

fn read_relay(r: &mut Reader<'_, '_>) -> Relay {
    let mut bytes = |name, default, doc| Some(r.bytes(name, 0..=GIB, default, doc)).filter(|bytes| *bytes > 0);
    Relay {
        bytes_per_minute: bytes(
            "BytesPerMinute",
            MIB,
            "Bytes that one connection may relay in a minute. Each message counts 384 besides. 0: none.",
        ),
        room_bytes_per_minute: bytes(
            "RoomBytesPerMinute",
            8 * MIB,
            "Bytes that may be relayed in one room in a minute, counted in the same way for each who gets them. 0: none.",
        ),
    }
}

/// RFC 3986, section 3.3: a path without query.
fn parse_path(text: &str) -> Result<String, String> {
    let is_path = (2..=255).contains(&text.len())
        && text.starts_with('/')
        && !text.ends_with('/')
        && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&b));
    if !is_path {
        return Err(String::new());
    }
    if TAKEN.contains(&text) || text.starts_with("/api/") {
        return Err("something else is there".into());
    }
    Ok(text.to_owned())
}
