//! signaling: rooms in which WebRTC peers find each other, as one worker's shard sees them.

mod figures;
mod settings;

pub use figures::{MemberFigures, MemberState, RoomFigures, RoomRow};
pub use settings::{Expiry, IceServers, PasswordLimit, Proof, RateLimit, RelayLimit, SignalingSettings, Turn};

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use crate::base::{ConnId, Counters, Metric, Mono, Now, WorkerId};
use crate::engine::store::StoreEvent;
use crate::engine::work::{Notice, Opening, Order, Outbox};
use crate::engine::ws::encoder;

/// Takes what a worker tells of its rooms, once a second at most.
pub trait Reports: Send + Sync {
    /// What a worker tells of its rooms.
    fn rooms(&self, worker: WorkerId, figures: RoomFigures);
}

/// The secret key of the hashes of passwords.
#[derive(Clone)]
pub struct Pepper(#[allow(dead_code, reason = "what hashes with it comes with the rooms")] [u8; 32]);

impl Pepper {
    /// Takes a key into custody.
    pub fn new(key: [u8; 32]) -> Pepper {
        Pepper(key)
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A room as it is written down.
#[derive(Clone, Debug)]
pub struct RoomRecord {
    /// Its id.
    pub id: Box<str>,
    /// What was written down.
    pub value: serde_json::Value,
}

impl RoomRecord {
    /// Reads what was written down under a key; `None` if it is damaged.
    pub fn parse(key: &str, value: &[u8]) -> Option<RoomRecord> {
        let value: serde_json::Value = serde_json::from_slice(value).ok()?;
        value.is_object().then(|| RoomRecord { id: key.into(), value })
    }
}

/// The worker that a room belongs to.
pub fn worker_of_room(id: &str, workers: usize) -> WorkerId {
    let hash = match u16::from_str_radix(id.get(..4).unwrap_or_default(), 16) {
        Ok(hash) if id.len() == 16 => u32::from(hash),
        _ => crc32fast::hash(id.as_bytes()) & 0xFFFF,
    };
    WorkerId((hash as usize % workers.max(1)) as u16)
}

/// What a shard is made of.
pub struct Parts {
    /// This worker.
    pub worker: WorkerId,
    /// How many workers there are.
    pub workers: usize,
    /// The configuration.
    pub settings: Arc<SignalingSettings>,
    /// This thread's counters.
    pub counters: Arc<Counters>,
    /// Randomness of this shard.
    pub seed: [u8; 32],
    /// The time at which the shard begins.
    pub started: Now,
    /// The rooms of this worker.
    pub rooms: Vec<RoomRecord>,
    /// The secret key of the hashes of passwords.
    pub pepper: Arc<Pepper>,
    /// Where figures go.
    pub reports: Arc<dyn Reports>,
}

/// What the workers' shards tell each other.
#[derive(Debug)]
pub enum Peer {
    /// It is there.
    Hello,
}

/// The signaling state of one worker.
pub struct Signaling {
    counters: Arc<Counters>,
    connections: BTreeSet<ConnId>,
}

impl Signaling {
    /// A shard with its rooms.
    pub fn new(parts: Parts) -> Signaling {
        let figures = RoomFigures { rooms: parts.rooms.len(), ..RoomFigures::default() };
        parts.reports.rooms(parts.worker, figures);
        Signaling { counters: parts.counters, connections: BTreeSet::new() }
    }

    /// Whether a first message is an envelope of this dialect.
    pub fn speaks(text: &str) -> bool {
        text.contains("\"Ping\"") && text.contains("\"payload\"")
    }

    /// A connection was let in.
    pub fn on_open(&mut self, opening: &Opening, _now: Now, out: &mut Outbox<Peer>) {
        self.connections.insert(opening.conn);
        out.order(opening.conn, Order::Ready { conn: opening.conn });
    }

    /// A text message.
    pub fn on_text(&mut self, conn: ConnId, text: &str, read_at: Mono, _now: Now, out: &mut Outbox<Peer>) {
        let Ok(request) = serde_json::from_str::<serde_json::Value>(text) else {
            return out.order(conn, Order::Settle { conn, count: 1 });
        };
        let answer =
            serde_json::json!({"message_id": request["message_id"], "type": "Ping", "payload": {"status": "ok"}});
        self.counters.inc(Metric::SIGNALING_SIGNALS);
        let frame = encoder::text(format!("{answer}\n").as_bytes());
        out.order(conn, Order::Send { conn, frame, settles: 1, received_at: read_at });
    }

    /// A binary message.
    pub fn on_binary(&mut self, conn: ConnId, bytes: &[u8], read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.on_text(conn, text, read_at, now, out),
            Err(_) => out.order(conn, Order::Settle { conn, count: 1 }),
        }
    }

    /// A connection is over.
    pub fn on_closed(&mut self, conn: ConnId, _now: Now, _out: &mut Outbox<Peer>) {
        self.connections.remove(&conn);
    }

    /// A message from another worker's shard.
    pub fn on_peer(&mut self, _from: WorkerId, message: Peer, _now: Now, _out: &mut Outbox<Peer>) {
        match message {
            Peer::Hello => {}
        }
    }

    /// What the store says.
    pub fn on_store(&mut self, _event: &StoreEvent, _now: Now, _out: &mut Outbox<Peer>) {}

    /// Something that concerns every worker.
    pub fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Peer>) {
        match notice {
            Notice::Access(_) => {}
            Notice::Drain => {
                let text = r#"{"message_id":"","type":"ServerShutdown","payload":{"shutdown_in_seconds":1}}"#;
                for conn in self.connections.iter().copied() {
                    let frame = encoder::text(text.as_bytes());
                    out.order(conn, Order::Send { conn, frame, settles: 0, received_at: now.mono });
                }
            }
        }
    }

    /// The worker stops.
    pub fn on_stop(&mut self, _now: Now, _out: &mut Outbox<Peer>) {}

    /// When [`Signaling::on_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Mono> {
        None
    }

    /// The time has come.
    pub fn on_timeout(&mut self, _now: Now, _out: &mut Outbox<Peer>) {}
}
