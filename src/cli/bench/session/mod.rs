//! What differs from protocol to protocol: how a connection gets ready, publishes, asks, is
//! probed, and what it hears. One file for each; none of them knows sockets or scenarios.

mod acks;
mod hydrogen;
mod jetstream;
mod mqtt;
mod nats;
mod nats_wire;
mod signaling;

use std::borrow::Cow;
use std::sync::Arc;

use super::args::{AckBy, ProtocolKind};
use super::frame::{self, Outbox};
use super::inflate::Inflater;
use super::stamp::{Stamp, StampFinder};

pub use hydrogen::Hydrogen;
pub use mqtt::Mqtt;
pub use nats::Nats;
pub use signaling::{Rooms, Signaling};

/// Why a connection cannot go on.
pub type Fault = Cow<'static, str>;

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Exchanges messages with the server, or idles.
    Client,
    /// Publishes.
    Publisher,
    /// Subscribes to these topics or patterns, one at least.
    Subscriber(Arc<[Arc<str>]>),
}

impl Role {
    /// A subscriber of one topic or pattern.
    pub fn subscriber(topic: Arc<str>) -> Role {
        Role::Subscriber(Arc::from([topic]))
    }
}

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Messages in frames, after an upgrade.
    WebSocket,
    /// A stream of bytes.
    Tcp,
}

/// That publications are answered when they are safe, and deliveries acknowledged.
#[derive(Clone, Debug)]
pub struct Guarantee {
    /// The one topic of the run.
    pub topic: Arc<str>,
    /// How hydrogen's subscribers acknowledge.
    pub ack_by: AckBy,
}

/// What was understood of what came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// The connection is ready: its handshakes are done, its subscription is confirmed.
    Settled,
    /// An echo or a delivery.
    Message(Stamp),
    /// The server's response to a command of this connection.
    Response(Stamp),
    /// The answer to a probe. Without a stamp, it answers the last one.
    Pong(Option<Stamp>),
    /// The server reported an error, about the command with the stamp if there is one.
    Refused(Option<Stamp>),
}

/// Collects what is heard during one read. One for each thread.
#[derive(Debug, Default)]
pub struct Ear {
    /// What was heard since it was last taken.
    pub heard: Vec<Heard>,
    /// Bytes of messages, as they came, since they were last taken.
    pub bytes: u64,
    /// Finds the stamps.
    pub stamps: StampFinder,
    /// Made when the first compressed message comes.
    pub inflater: Option<Box<Inflater>>,
    /// The text of the first refusal, for the report.
    pub refusal: Option<String>,
    /// When the bytes were read that it listens to.
    pub read_at_ns: u64,
    /// How long handshakes took, since they were last taken.
    pub handshakes_ns: Vec<u64>,
}

impl Ear {
    /// Bytes of a refusal that are kept.
    const REFUSAL_BYTES: usize = 300;

    /// Notes a refusal; the first one's text is kept.
    pub fn refused(&mut self, stamp: Option<Stamp>, text: &[u8]) {
        let text = &text[..text.len().min(Ear::REFUSAL_BYTES)];
        self.refusal.get_or_insert_with(|| String::from_utf8_lossy(text).into_owned());
        self.heard.push(Heard::Refused(stamp));
    }

    /// Notes a stamped message, if it has a stamp.
    fn message(&mut self, message: &[u8]) {
        let stamp = self.stamps.find(message);
        self.heard.extend(stamp.map(Heard::Message));
    }
}

/// One connection's protocol.
#[derive(Debug)]
pub enum Session {
    /// Messages as they are.
    Raw,
    /// hydrogen-protocol.
    Hydrogen(Hydrogen),
    /// MQTT 3.1.1.
    Mqtt(Mqtt),
    /// NATS.
    Nats(Nats),
    /// Signaling.
    Signaling(Signaling),
}

impl Session {
    /// A connection's session. `number` is its number within the run.
    pub fn new(
        protocol: ProtocolKind,
        transport: Transport,
        role: &Role,
        guarantee: Option<&Guarantee>,
        rooms: &Arc<Rooms>,
        run: u16,
        number: usize,
    ) -> Session {
        match protocol {
            ProtocolKind::Raw => Session::Raw,
            ProtocolKind::Hydrogen => Session::Hydrogen(Hydrogen::new(role, guarantee)),
            ProtocolKind::Mqtt => Session::Mqtt(Mqtt::new(transport, role, guarantee.is_some(), run, number)),
            ProtocolKind::Nats => Session::Nats(Nats::new(role, guarantee, run, number)),
            ProtocolKind::Signaling => Session::Signaling(Signaling::new(rooms.clone(), run, number)),
        }
    }

    /// The subprotocol to offer.
    pub fn subprotocol(protocol: ProtocolKind) -> Option<&'static str> {
        match protocol {
            ProtocolKind::Raw | ProtocolKind::Nats => None,
            ProtocolKind::Hydrogen => Some(hydrogen::SUBPROTOCOL),
            ProtocolKind::Mqtt => Some("mqtt"),
            ProtocolKind::Signaling => Some(signaling::SUBPROTOCOL),
        }
    }

    /// The transport is open: begin. Hears [`Heard::Settled`], now or later.
    pub fn open(&mut self, out: &mut Outbox, ear: &mut Ear) {
        match self {
            Session::Raw => ear.heard.push(Heard::Settled),
            Session::Hydrogen(session) => session.open(out, ear),
            Session::Mqtt(session) => session.open(out),
            Session::Nats(session) => session.open(out),
            Session::Signaling(session) => session.open(out),
        }
    }

    /// Publishes, or sends what comes back as an echo.
    pub fn publish(&mut self, topic: &str, payload: &[u8], stamp: Stamp, out: &mut Outbox) {
        match self {
            Session::Raw => out.frame(frame::TEXT, &[payload]),
            Session::Hydrogen(session) => session.publish(topic, payload, stamp, out),
            Session::Mqtt(session) => session.publish(topic, payload, stamp, out),
            Session::Nats(session) => session.publish(topic, payload, stamp, out),
            Session::Signaling(session) => session.signal(payload, stamp.lane, out),
        }
    }

    /// Sends something that is answered with [`Heard::Response`], or with [`Heard::Message`]
    /// where the protocol knows no responses.
    pub fn request(&mut self, payload: &[u8], stamp: Stamp, out: &mut Outbox) {
        match self {
            Session::Hydrogen(_) => hydrogen::ping(payload, stamp, out),
            Session::Raw | Session::Mqtt(_) | Session::Nats(_) | Session::Signaling(_) => {
                self.publish("", payload, stamp, out);
            }
        }
    }

    /// Sends something that is answered with [`Heard::Pong`].
    pub fn probe(&mut self, stamp: Stamp, out: &mut Outbox) {
        match self {
            Session::Raw | Session::Hydrogen(_) | Session::Signaling(_) => out.frame(frame::PING, &[&stamp.write()]),
            Session::Mqtt(session) => session.probe(stamp, out),
            Session::Nats(_) => out.raw(&[b"PING\r\n"]),
        }
    }

    /// A whole WebSocket message came.
    pub fn on_message(&mut self, message: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<(), Fault> {
        match self {
            Session::Raw => ear.message(message),
            Session::Hydrogen(session) => session.on_message(message, out, ear),
            Session::Mqtt(session) => session.on_message(message, out, ear)?,
            Session::Signaling(session) => session.on_message(message, out, ear),
            // Without frames everything goes to `on_stream`.
            Session::Nats(_) => return Err("NATS over WebSocket is not spoken here".into()),
        }
        Ok(())
    }

    /// All that one read brought was taken in: send what was put off until then.
    pub fn after_read(&mut self, out: &mut Outbox) {
        match self {
            Session::Hydrogen(session) => session.after_read(out),
            Session::Raw | Session::Mqtt(_) | Session::Nats(_) | Session::Signaling(_) => {}
        }
    }

    /// Bytes came on a transport without frames; says how many belong to whole messages.
    pub fn on_stream(&mut self, bytes: &[u8], out: &mut Outbox, ear: &mut Ear) -> Result<usize, Fault> {
        match self {
            Session::Nats(session) => session.on_stream(bytes, out, ear),
            Session::Mqtt(session) => {
                let used = session.packets(bytes, out, ear)?;
                ear.bytes += used as u64;
                Ok(used)
            }
            Session::Raw | Session::Hydrogen(_) | Session::Signaling(_) => Err("this protocol needs ws://".into()),
        }
    }
}
