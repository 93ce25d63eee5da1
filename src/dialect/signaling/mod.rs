//! signaling: rooms in which WebRTC peers find each other, as one worker's shard sees them.
//!
//! Speaks both eras of one protocol, rooms and networks, on the same rooms. A connection belongs
//! to its worker, which holds its key and its rooms; a room belongs to the worker that its id
//! tells, which holds its record and who is in it; an address is counted for by one worker. They
//! ask each other by [`Peer`] messages and never wait.
//!
//! A message's way: `receive` reads it, `serve` asks the room, `asks` gives the room its turn,
//! `change` has its record written before anything of it holds, `answered` and `send` tell those
//! whom it concerns. Who is connected is not written down: after a restart nobody is.

mod alias;
mod answered;
mod asks;
mod change;
mod claim;
mod conn;
mod create;
mod effects;
mod expiry;
mod figures;
mod hear;
mod inside;
mod join;
mod key;
mod leave;
mod limits;
mod lists;
mod look;
mod mail;
mod manage;
mod member;
mod meter;
mod peer;
mod pepper;
mod place;
mod proof;
mod receive;
mod record;
mod resume;
mod room;
mod rooms;
mod send;
mod serve;
mod settings;
mod signals;
mod throttle;
mod timers;
mod token;
mod wire;

pub use figures::{MemberFigures, MemberState, RoomFigures, RoomRow};
pub use look::{LiveLook, Look, RoomLook};
pub use peer::Peer;
pub use pepper::Pepper;
pub use record::{RoomRecord, worker_of_room};
pub use settings::{
    Expiry, IceServers, PasswordLimit, PeerKeys, Proof, RateLimit, RelayLimit, SignalingSettings, Turn,
};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::base::{ConnId, Counters, Mono, Now, Wall, WorkerId};
use crate::engine::store::StoreEvent;
use crate::engine::work::{Notice, Opening, Outbox, StopCause};
use alias::Aliases;
use conn::Connection;
use effects::Effects;
use lists::Gather;
use place::Handing;
use room::Room;
use rooms::Rooms;
use throttle::Throttle;
use timers::{Timer, Timers};

/// Takes what a worker tells of its rooms, once a second at most.
pub trait Reports: Send + Sync {
    /// What a worker tells of its rooms.
    fn rooms(&self, worker: WorkerId, figures: RoomFigures);
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

/// The signaling state of one worker.
pub struct Signaling {
    settings: Arc<SignalingSettings>,
    counters: Arc<Counters>,
    pepper: Arc<Pepper>,
    aliases: Aliases,
    reports: Arc<dyn Reports>,
    random: ChaCha12Rng,
    fx: Effects,
    timers: Timers,
    /// Connections of this worker, and lost ones whose place is kept.
    conns: BTreeMap<ConnId, Connection>,
    /// How many of them are lost.
    away: usize,
    /// By the ids of their tokens.
    tokens: BTreeMap<u64, ConnId>,
    /// Lost connections whose place is being taken.
    handing: BTreeMap<ConnId, Handing>,
    gathers: BTreeMap<u64, Gather>,
    asks: u64,
    rooms: Rooms,
    /// By worker.
    rooms_elsewhere: Vec<usize>,
    throttle: Throttle,
    /// Why the server stops, once it does.
    draining: Option<StopCause>,
    tells_figures: bool,
    last_cleanup: Option<Wall>,
    /// Rooms of which the store may have another record than holds, since a change of them failed.
    doubts: BTreeSet<Box<str>>,
}

impl Signaling {
    /// A shard with its rooms.
    pub fn new(parts: Parts) -> Signaling {
        let workers = parts.workers.max(1);
        let mut rooms = Rooms::default();
        for record in parts.rooms {
            rooms.insert(Room::new(record));
        }
        let mut timers = Timers::default();
        timers.set(parts.started.mono, Timer::Announce);
        timers.set(parts.started.mono, Timer::Figures);
        if parts.settings.expiry.after.is_some() {
            timers.set(parts.started.mono.after(expiry::FIRST_LOOK), Timer::Expiry);
        }
        Signaling {
            throttle: Throttle::new(&parts.settings),
            aliases: Aliases::new(parts.settings.peer_keys, &parts.pepper),
            settings: parts.settings,
            counters: parts.counters,
            pepper: parts.pepper,
            reports: parts.reports,
            random: ChaCha12Rng::from_seed(parts.seed),
            fx: Effects::new(parts.worker, workers),
            timers,
            conns: BTreeMap::new(),
            away: 0,
            tokens: BTreeMap::new(),
            handing: BTreeMap::new(),
            gathers: BTreeMap::new(),
            asks: 0,
            rooms,
            rooms_elsewhere: vec![0; workers],
            draining: None,
            tells_figures: true,
            last_cleanup: None,
            doubts: BTreeSet::new(),
        }
    }

    /// Whether a first message is an envelope of this dialect.
    pub fn speaks(text: &str) -> bool {
        wire::looks_like_one(text)
    }

    /// A connection was let in.
    pub fn on_open(&mut self, opening: &Opening, now: Now, out: &mut Outbox<Peer>) {
        self.opened(opening, now);
        self.end_step(now, out);
    }

    /// A text message.
    pub fn on_text(&mut self, conn: ConnId, text: &str, read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        self.message(conn, text, read_at, now);
        self.end_step(now, out);
    }

    /// A binary message: JSON too.
    pub fn on_binary(&mut self, conn: ConnId, bytes: &[u8], read_at: Mono, now: Now, out: &mut Outbox<Peer>) {
        self.on_bytes(conn, bytes, read_at, now);
        self.end_step(now, out);
    }

    /// A connection is over.
    pub fn on_closed(&mut self, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        // Connections of other dialects are told of too.
        if self.conns.contains_key(&conn) {
            self.closed(conn, now);
            self.end_step(now, out);
        }
    }

    /// A message from another worker's shard.
    pub fn on_peer(&mut self, from: WorkerId, message: Peer, now: Now, out: &mut Outbox<Peer>) {
        self.hear(from, message.0, now);
        self.end_step(now, out);
    }

    /// What the store says.
    pub fn on_store(&mut self, event: &StoreEvent, now: Now, out: &mut Outbox<Peer>) {
        self.on_store_event(event, now);
        self.end_step(now, out);
    }

    /// Something that concerns every worker.
    pub fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Peer>) {
        match notice {
            Notice::Access(_) => {}
            Notice::Drain(cause) => self.drain(*cause, now),
        }
        self.end_step(now, out);
    }

    /// The worker stops: what is not written down yet is.
    pub fn on_stop(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.save_all(now);
        self.end_step(now, out);
    }

    /// When [`Signaling::on_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.timers.next()
    }

    /// The time has come.
    pub fn on_timeout(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.on_time(now);
        // Figures that were told are not owed again for having been told.
        self.flush(now, out);
    }

    /// Requests that wait for the store, for the simulator's checks.
    pub fn store_requests(&self) -> usize {
        self.fx.waiting()
    }

    /// Connections that are in some room of this worker, lost ones among them, for the simulator's
    /// checks.
    pub fn live(&self) -> usize {
        self.rooms.iter().map(|room| room.live.len()).sum()
    }

    fn end_step(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.owe_figures(now);
        self.flush(now, out);
    }

    fn flush(&mut self, now: Now, out: &mut Outbox<Peer>) {
        while let Some(say) = self.fx.own.pop_front() {
            self.hear(self.fx.worker, say, now);
        }
        self.fx.flush(out);
    }
}

#[cfg(test)]
mod tests;
