//! What reactors and workers say to each other: batches one way, orders the other.
//!
//! Owns the shape of those messages and the contract of a worker's state, the [`Shard`]. It knows
//! neither queues nor threads, so that the server and the simulator drive the same shards.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::auth::{Access, Identity};
use super::http::{Answer, ResumeClaim};
use super::outbound::{Dropped, EventFrame};
use super::store;
use super::topic::Target;
use crate::base::limits::{BATCH_BYTES, BATCH_MESSAGES};
use crate::base::{ConnId, DialectId, Error, Mono, Now, Reason, WorkerId};

/// The worker that a connection belongs to from Established on.
pub fn worker_of(conn: ConnId, workers: usize) -> WorkerId {
    WorkerId(((conn.slot() + usize::from(conn.reactor().0)) % workers.max(1)) as u16)
}

/// Messages of one turn of a reactor for one worker, in the order they came.
///
/// Texts lie one after another in one string, so that a turn costs one allocation, not one a message.
#[derive(Debug, Default)]
pub struct Batch {
    /// What happened.
    pub items: Vec<Item>,
    /// The payloads of text messages, one after another.
    pub texts: String,
    /// The payloads of binary messages, one after another.
    pub bytes: Vec<u8>,
    /// When the turn that read them began.
    pub read_at: Mono,
}

impl Batch {
    /// Empties it for another turn. Its room is kept, up to what a turn mostly needs.
    pub fn clear(&mut self) {
        self.items.clear();
        self.texts.clear();
        self.bytes.clear();
        self.items.shrink_to(KEPT_ITEMS);
        self.texts.shrink_to(KEPT_BYTES);
        self.bytes.shrink_to(KEPT_BYTES);
    }

    /// Whether it is handed on without waiting for the end of the turn.
    pub fn is_full(&self) -> bool {
        self.items.len() >= BATCH_MESSAGES || self.texts.len() + self.bytes.len() >= BATCH_BYTES
    }
}

/// Items for which an emptied batch keeps room.
const KEPT_ITEMS: usize = 64;
/// Bytes for which it does.
const KEPT_BYTES: usize = 16 * 1024;

/// One thing that happened to a connection.
#[derive(Debug)]
pub enum Item {
    /// A connection was let in.
    Open(Box<Opening>),
    /// A text message: the next `len` bytes of the batch's texts.
    Text {
        /// Who sent it.
        conn: ConnId,
        /// What its connection speaks.
        dialect: DialectId,
        /// Its size.
        len: u32,
    },
    /// A binary message: the next `len` bytes of the batch's bytes.
    Binary {
        /// Who sent it.
        conn: ConnId,
        /// What its connection speaks.
        dialect: DialectId,
        /// Its size.
        len: u32,
    },
    /// Events were dropped for a slow connection that has caught up now.
    Dropped {
        /// Who was slow.
        conn: ConnId,
        /// What it did not get.
        dropped: Box<Dropped>,
    },
    /// The connection is over.
    Closed {
        /// Which.
        conn: ConnId,
        /// Why.
        reason: Reason,
    },
}

/// A connection that was let in.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The connection.
    pub conn: ConnId,
    /// What it speaks.
    pub dialect: DialectId,
    /// Who it is; `None` while it may still authenticate in band.
    pub identity: Option<Arc<Identity>>,
    /// Where it comes from.
    pub address: SocketAddr,
    /// The subprotocol that was chosen.
    pub protocol: Option<Arc<str>>,
    /// The key that it names in `X-Client-ID`, if that has 128 bytes at most: of signaling alone, and it proves
    /// nothing.
    pub client_id: Option<Box<str>>,
    /// The access snapshot that it was judged by.
    pub access_version: u64,
    /// The session that it wants back.
    pub resume: Option<Box<ResumeClaim>>,
}

/// What a worker tells a reactor to do.
#[derive(Debug)]
pub enum Order {
    /// The session context is made: Established becomes Connected.
    Ready {
        /// Whose.
        conn: ConnId,
    },
    /// Send one frame ahead of all events.
    Send {
        /// To whom.
        conn: ConnId,
        /// The whole frame.
        frame: Bytes,
        /// How many received messages this answers.
        settles: u32,
        /// When the turn that read them began.
        received_at: Mono,
    },
    /// Received messages are done with and get no answer.
    Settle {
        /// Whose.
        conn: ConnId,
        /// How many.
        count: u32,
    },
    /// Send one event to many.
    Broadcast {
        /// The event, encoded.
        event: Arc<EventFrame>,
        /// To whom, and how.
        targets: Arc<[Target]>,
        /// When the publish was read, for the latency histogram.
        published_at: Mono,
    },
    /// Close with the reason's code.
    Close {
        /// Whom.
        conn: ConnId,
        /// Why.
        reason: Reason,
        /// Text for the close frame, at most 123 bytes.
        text: Cow<'static, str>,
    },
    /// A wrong credential came in band: its address counts as one that failed.
    CredentialRefused {
        /// Whose.
        conn: ConnId,
    },
    /// What it speaks has turned out: messages from now on are for this dialect.
    Dialect {
        /// Who.
        conn: ConnId,
        /// What.
        dialect: DialectId,
    },
    /// The signaling connections of this worker were told that the server stops: they close as all
    /// others do.
    Farewell {
        /// Whose worker.
        worker: WorkerId,
    },
    /// Answer the plain HTTP request that the connection waits with.
    Answer {
        /// Whom.
        conn: ConnId,
        /// The answer.
        answer: Answer,
    },
}

impl Order {
    /// The connection it is for; `None` if it is for many.
    pub fn conn(&self) -> Option<ConnId> {
        match self {
            Order::Ready { conn }
            | Order::Send { conn, .. }
            | Order::Settle { conn, .. }
            | Order::Close { conn, .. }
            | Order::CredentialRefused { conn }
            | Order::Dialect { conn, .. }
            | Order::Answer { conn, .. } => Some(*conn),
            Order::Broadcast { .. } | Order::Farewell { .. } => None,
        }
    }
}

/// A plain HTTP request that is to be answered with [`Order::Answer`].
#[derive(Debug)]
pub struct Request {
    /// Who asks.
    pub conn: ConnId,
    /// The request's head.
    pub head: super::http::Head,
    /// Who it is, where a credential was presented and good.
    pub identity: Option<Arc<Identity>>,
    /// It comes from this machine, as far as can be told.
    pub is_local: bool,
}

/// The late answer of a handler.
#[derive(Debug)]
pub struct Completion {
    /// Which command, as its worker numbered it.
    pub ticket: u64,
    /// The response's data, encoded, or the error.
    pub result: Result<Box<str>, Error>,
}

/// An event that a channel emits.
#[derive(Debug, Clone)]
pub struct Emission {
    /// Its topic.
    pub topic: Arc<str>,
    /// Its data, encoded.
    pub payload: Bytes,
    /// Whether it is kept for those who subscribe later.
    pub retain: bool,
}

/// What concerns every worker.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Keys, permissions or blocks changed.
    Access(Arc<Access>),
    /// The server is stopping: no new work.
    Drain(StopCause),
}

/// Who stops a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StopCause {
    /// A program, as a service manager does: SIGTERM.
    #[default]
    Asked,
    /// Somebody at the terminal: SIGINT.
    Interrupted,
}

/// What a shard asks of those who hold what is common to all: the access snapshot.
#[derive(Debug)]
pub enum Control {
    /// Block an identity or address.
    Block {
        /// What to block.
        block: super::auth::Block,
        /// The command that waits for it, and its worker.
        ticket: u64,
    },
    /// Lift a block.
    Unblock {
        /// Whose.
        target: super::auth::Target,
        /// The command that waits for it.
        ticket: u64,
    },
}

/// Where a shard's effects go. Drained after every step.
#[derive(Debug)]
pub struct Outbox<P> {
    /// Orders, by reactor.
    pub orders: Vec<Vec<Order>>,
    /// Messages to other workers.
    pub peers: Vec<(WorkerId, P)>,
    /// Requests to the keeper of the access snapshot.
    pub controls: Vec<Control>,
    /// Requests to the store.
    pub store: Vec<store::Request>,
}

impl<P> Outbox<P> {
    /// An outbox for so many reactors.
    pub fn new(reactors: usize) -> Outbox<P> {
        Outbox {
            orders: (0..reactors).map(|_| Vec::new()).collect(),
            peers: Vec::new(),
            controls: Vec::new(),
            store: Vec::new(),
        }
    }

    /// Puts an order where its connection lives.
    pub fn order(&mut self, conn: ConnId, order: Order) {
        if let Some(orders) = self.orders.get_mut(usize::from(conn.reactor().0)) {
            orders.push(order);
        }
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.orders.iter().all(Vec::is_empty)
            && self.peers.is_empty()
            && self.controls.is_empty()
            && self.store.is_empty()
    }
}

/// The state of one worker, stepped: every call says what happened and when, and leaves orders
/// in the outbox.
pub trait Shard: Send {
    /// What shards of this kind tell each other.
    type Peer: Send;

    /// A batch from a reactor.
    fn on_batch(&mut self, batch: &Batch, now: Now, out: &mut Outbox<Self::Peer>);
    /// A message from another worker's shard.
    fn on_peer(&mut self, from: WorkerId, message: Self::Peer, now: Now, out: &mut Outbox<Self::Peer>);
    /// A handler's late answer.
    fn on_completion(&mut self, completion: Completion, now: Now, out: &mut Outbox<Self::Peer>);
    /// An event that a channel emits.
    fn on_emission(&mut self, emission: Emission, now: Now, out: &mut Outbox<Self::Peer>);
    /// What the store says.
    fn on_store(&mut self, event: &store::StoreEvent, now: Now, out: &mut Outbox<Self::Peer>);
    /// Something that concerns every worker.
    fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Self::Peer>);
    /// The worker stops: the last that is to be done.
    fn on_stop(&mut self, now: Now, out: &mut Outbox<Self::Peer>);
    /// When [`Shard::on_timeout`] wants to be called.
    fn poll_timeout(&self) -> Option<Mono>;
    /// The time has come.
    fn on_timeout(&mut self, now: Now, out: &mut Outbox<Self::Peer>);
}
