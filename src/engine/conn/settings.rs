//! What the configuration says about connections, in the form that the machine uses.

use std::sync::Arc;
use std::time::Duration;

use super::TrustedProxies;
use crate::base::DialectId;
use crate::engine::http::HeadLimits;
use crate::engine::outbound::OutboundLimits;
use crate::engine::ws;

/// Which web pages may connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Any, and whoever sends no `Origin`.
    Any,
    /// Those listed, and whoever sends no `Origin`.
    Listed(Vec<String>),
    /// Those of the same host as the request's, and whoever sends no `Origin`.
    SameHost,
}

/// How connections come to signaling.
#[derive(Clone, Debug, Default)]
pub struct SignalingDoor {
    /// Paths of which every handshake is for it.
    pub paths: Vec<String>,
    /// Its subprotocol names.
    pub protocols: Vec<Arc<str>>,
    /// Whether a credential is required.
    pub needs_key: bool,
}

/// What a handshake asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub dialect: DialectId,
    /// The subprotocol to echo.
    pub protocol: Option<Arc<str>>,
    /// The client did not say: the first message may turn out to be signaling.
    pub is_undecided: bool,
}

/// Settings of the connections of one reactor. Shared, and swapped whole when they change.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Until the first request must be complete.
    pub handshake_timeout: Duration,
    /// Between two requests of a plain connection.
    pub keep_alive_timeout: Duration,
    /// Silence after which a ping is sent.
    pub ping_interval: Duration,
    /// Silence after which the peer is considered gone.
    pub idle_timeout: Duration,
    /// Until a close handshake must be finished.
    pub close_timeout: Duration,
    /// WebSocket connections of all reactors together.
    pub connections_max: usize,
    /// Worker threads.
    pub workers: usize,
    /// Subprotocol names of hydrogen-protocol.
    pub protocols: Vec<Arc<str>>,
    /// Whether the echo dialect is served.
    pub echo: bool,
    /// How connections come to signaling; `None` if it is not served.
    pub signaling: Option<SignalingDoor>,
    /// Whether a credential is required.
    pub auth_required: bool,
    /// Whether `?key=` is looked at.
    pub query_key: bool,
    /// Whether a client may authenticate with its first message.
    pub in_band_auth: bool,
    /// Which pages may connect.
    pub origins: Origins,
    /// Proxies who say truly whom they ask for.
    pub proxies: TrustedProxies,
    /// Bounds of a request's head.
    pub head: HeadLimits,
    /// Bytes of a request's body.
    pub body_bytes_max: u64,
    /// Bounds of frames and messages.
    pub frames: ws::Limits,
    /// How messages are compressed for clients that offer it; `None` accepts no such offer.
    pub deflate: Option<ws::deflate::Settings>,
    /// Messages of one connection that may be with its worker.
    pub in_flight_max: u32,
    /// Bounds of one connection's outbound queue.
    pub outbound: OutboundLimits,
    /// Bytes that all outbound queues of this reactor may hold together.
    pub outbound_total_max: usize,
    /// Over which time clients are asked to come back after a drain.
    pub reconnect_spread: Duration,
}

impl Settings {
    /// The dialect that goes with the subprotocols offered, and the name to echo; else by path. Where
    /// signaling is served a client may also offer no subprotocol: `is_named` says whether it names
    /// itself as clients of signaling do.
    pub(super) fn choose_dialect(&self, offered: &[String], path: &str, is_named: bool) -> Option<Chosen> {
        let chosen = |dialect, protocol| Some(Chosen { dialect, protocol, is_undecided: false });
        for name in offered {
            if let Some(own) = self.protocols.iter().find(|own| ***own == **name) {
                return chosen(DialectId::Hydrogen, Some(own.clone()));
            }
            if self.echo && name == "echo" {
                return chosen(DialectId::Echo, Some("echo".into()));
            }
            let door = self.signaling.as_ref();
            if let Some(own) = door.and_then(|door| door.protocols.iter().find(|own| ***own == **name)) {
                return chosen(DialectId::Signaling, Some(own.clone()));
            }
        }
        if self.echo && path == "/echo" {
            return chosen(DialectId::Echo, None);
        }
        let door = self.signaling.as_ref()?;
        if door.paths.iter().any(|own| own == path) || (offered.is_empty() && is_named) {
            return chosen(DialectId::Signaling, None);
        }
        offered.is_empty().then_some(Chosen { dialect: DialectId::Hydrogen, protocol: None, is_undecided: true })
    }

    /// Whether a plain request for this path is told to upgrade.
    pub fn is_endpoint(&self, path: &str) -> bool {
        path == "/ws"
            || (self.echo && path == "/echo")
            || self.signaling.as_ref().is_some_and(|door| door.paths.iter().any(|own| own == path))
    }
}
