//! Section `WebSocketServer`: the listener, and what holds for each connection.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::compression::Compression;
use super::listen;
use super::origins::{self, Origins};
use super::protocols;
use super::proxies;
use super::reader::{self, Reader};
use super::secret;
use super::text::open;
use crate::base::Secret;
use crate::engine::auth::Network;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// The listener and its connections.
#[derive(Clone, Debug, PartialEq)]
pub struct WebSocketServer {
    /// Whether to listen at all.
    pub enabled: bool,
    /// The port; 0 is any free one.
    pub port: u16,
    /// The address to listen on; see [`WebSocketServer::addresses`].
    pub interface: IpAddr,
    /// Whether to listen on the IPv6 address that goes with `interface` too.
    pub enable_ipv6: bool,
    /// Plain or TLS.
    pub secure_mode: SecureMode,
    /// Whether a connection needs a credential.
    pub auth_required: bool,
    /// One key that is shared by all clients, beside the keys file.
    pub key: Option<Secret>,
    /// Whether `?key=` in the address is looked at.
    pub allow_query_key: bool,
    /// Whether `system.authenticate` may come as the first message.
    pub allow_in_band_auth: bool,
    /// Whether every message carries its credential.
    pub auth_per_message: bool,
    /// Pages that may connect.
    pub allowed_origins: Origins,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<Network>,
    /// Names of the subprotocol.
    pub protocols: Vec<String>,
    /// Whether the echo dialect is served.
    pub echo: bool,
    /// When `system.session` is sent.
    pub session_event: SessionEvent,
    /// Silence after which a peer is considered gone.
    pub idle_timeout: Duration,
    /// Silence after which a ping is sent.
    pub ping_interval: Duration,
    /// From accepting to a complete request, TLS included.
    pub handshake_timeout: Duration,
    /// From our close frame to the peer's.
    pub close_timeout: Duration,
    /// From a command to its answer.
    pub command_timeout: Duration,
    /// Connections at a time.
    pub max_connections: usize,
    /// Worker threads.
    pub thread_pool_size: usize,
    /// Reactor threads.
    pub io_threads: usize,
    /// Bytes of one message, all its frames together.
    pub max_message_size: usize,
    /// Bytes of one frame's payload.
    pub max_frame_size: usize,
    /// Frames of one message.
    pub max_fragments: usize,
    /// Objects and lists inside each other in one message.
    pub max_depth: usize,
    /// Bad messages that a connection survives; `None` is any number.
    pub max_bad_messages: Option<u32>,
    /// Commands of one connection that wait for their answers.
    pub max_in_flight: usize,
    /// How messages are compressed.
    pub compression: Compression,
}

/// How the listener is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecureMode {
    /// Plain TCP.
    None,
    /// TLS, with PEM files.
    Tls {
        /// The certificate and its chain.
        certificate_path: PathBuf,
        /// The private key.
        key_path: PathBuf,
    },
}

/// When the event `system.session` is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// As the first message of the connection.
    Connect,
    /// With the first command, and not before: older clients, which send none and take the first
    /// message for the answer to their own, never get it.
    FirstCommand,
}

impl WebSocketServer {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> WebSocketServer {
        let listen = listen::read(r);
        let secure_mode = read_secure_mode(r);
        let auth_required = r.flag(
            "AuthRequired",
            true,
            "Whether a connection needs a credential. `false` lets everyone in who reaches the port.",
        );
        let key = r.optional(
            "Key",
            &secret::SHARED_KEY,
            "One key that is shared by all clients, as older configurations have it. The keys file in `DataDir` holds \
             keys of single identities, and needs no entry here. Best given as `\"${env.WEBSOCKET_KEY}\"`.",
            secret::shared_key,
        );
        let allow_query_key = r.flag(
            "AllowQueryKey",
            true,
            "Whether a key may stand in the address, as `?key=`. Browsers that run Hydrogen's pages need it.",
        );
        let allow_in_band_auth = r.flag(
            "AllowInBandAuth",
            false,
            "Whether a client may connect without a credential and send `system.authenticate` as its first message, \
             within `HandshakeTimeout`.",
        );
        let auth_per_message =
            r.flag("AuthPerMessage", false, "Whether every message must carry its credential in `auth.token` too.");
        let allowed_origins = origins::read(r);
        let trusted_proxies = proxies::read(r);
        let protocols = protocols::read(r);
        let echo = r.flag(
            "Echo",
            false,
            "Whether the path `/echo` and the subprotocol `echo` answer each message with itself. For tests of \
             clients and conformance suites.",
        );
        let session_event = r.choice(
            "SessionEvent",
            &[("connect", SessionEvent::Connect), ("first_command", SessionEvent::FirstCommand)],
            ("connect", SessionEvent::Connect),
            "When the event `system.session` is sent: on connecting, or not before the client's first command. The \
             latter is for older clients, which send none and take the first message for the answer to their own.",
        );
        let idle_timeout = r.seconds(
            "IdleTimeout",
            1..=86_400,
            120,
            "A connection from which nothing came for this long, not even the answer to a ping, is closed with 4002.",
        );
        let ping_interval = r.seconds(
            "PingInterval",
            1..=3600,
            30,
            "A connection from which nothing came for this long is sent a ping.",
        );
        let handshake_timeout =
            r.seconds("HandshakeTimeout", 1..=300, 10, "How long the TLS handshake and the request may take together.");
        let close_timeout =
            r.seconds("CloseTimeout", 1..=60, 5, "How long the server waits for the peer's close frame after its own.");
        let command_timeout = r.seconds(
            "CommandTimeout",
            1..=3600,
            30,
            "A command that its handler has not answered by then is answered with `timeout`.",
        );
        let max_connections = r.count(
            "MaxConnections",
            1..=1_000_000,
            10_000,
            "Connections at a time. Each takes a file descriptor. One more is answered with 503.",
        );
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u64);
        let thread_pool_size = r.count(
            "ThreadPoolSize",
            1..=64,
            (cores.min(4), "the number of cores, 4 at most"),
            "Worker threads, on which commands run.",
        );
        let io_threads = r.count("IoThreads", 1..=16, 1, "Threads that read and write the sockets.");
        let max_message_size = r.bytes(
            "MaxMessageSize",
            KIB..=GIB,
            MIB,
            "The largest message, all its fragments together. A larger one closes the connection with 1009.",
        );
        let max_frame_size = r.bytes(
            "MaxFrameSize",
            KIB..=GIB,
            (max_message_size as u64, "`MaxMessageSize`"),
            "The largest payload of one frame. At most `MaxMessageSize`.",
        );
        let max_fragments = r.count("MaxFragments", 1..=16_777_216, 131_072, "Frames of one message.");
        let max_depth = r.count("MaxDepth", 1..=1024, 64, "Objects and lists inside each other in one message.");
        let max_bad_messages = r.count_or_off(
            "MaxBadMessages",
            1_000_000,
            64,
            "Bad messages after which a connection is closed with 1008. 0: never.",
        );
        let max_in_flight =
            r.count("MaxInFlight", 1..=65_535, 256, "Commands of one connection that may wait for their answers. Together they have no more bytes than `MaxMessageSize`, or 256 KiB if that is more, before the last of them.");
        let compression = r.section(
            "Compression",
            "Compression of messages, for clients that offer `permessage-deflate` (RFC 7692).",
            Compression::read,
        );
        WebSocketServer {
            enabled: listen.enabled,
            port: listen.port,
            interface: listen.interface,
            enable_ipv6: listen.enable_ipv6,
            secure_mode,
            auth_required,
            key,
            allow_query_key,
            allow_in_band_auth,
            auth_per_message,
            allowed_origins,
            trusted_proxies,
            protocols,
            echo,
            session_event,
            idle_timeout,
            ping_interval,
            handshake_timeout,
            close_timeout,
            command_timeout,
            max_connections,
            thread_pool_size,
            io_threads,
            max_message_size,
            max_frame_size,
            max_fragments,
            max_depth,
            max_bad_messages,
            max_in_flight,
            compression,
        }
    }
}

fn read_secure_mode(r: &mut Reader<'_, '_>) -> SecureMode {
    let is_tls = r.choice(
        "SecureMode",
        &[("none", false), ("tls", true)],
        ("none", false),
        "Whether the port speaks TLS (1.2 and 1.3). With `\"tls\"` both paths below are needed.",
    );
    let path = open("a path");
    let certificate = r.optional(
        "CertificatePath",
        &path,
        "The certificate and its chain, in PEM, the server's own first.",
        reader::path,
    );
    let key = r.optional("KeyPath", &path, "The certificate's private key, in PEM.", reader::path);
    if !is_tls {
        return SecureMode::None;
    }
    for (name, path) in [("CertificatePath", &certificate), ("KeyPath", &key)] {
        if path.is_none() && !r.reading.errors.concern(&r.path_of(name)) {
            r.error_at(name, "SecureMode", "needed with SecureMode \"tls\"");
        }
    }
    match (certificate, key) {
        (Some(certificate_path), Some(key_path)) => SecureMode::Tls { certificate_path, key_path },
        _ => SecureMode::None,
    }
}
