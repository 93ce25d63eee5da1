//! hydrogen-protocol: commands, events, responses and acks, as one worker's shard sees them.
//!
//! Owns the sessions of its connections, the topics that fall to this worker, and the commands
//! that are under way. What belongs to another worker is asked of it by [`Peer`] messages. It
//! refuses to wait: what takes time is answered later, by ticket.
//!
//! A message's way: `receive` reads it, `dispatch` finds its handler and checks that it may be
//! called, a channel answers through `context`, and `reply` encodes the response.

mod access;
mod admin;
mod channels;
mod context;
mod dispatch;
mod gather;
mod peer;
mod pending;
mod publish;
mod receive;
mod reply;
mod session;
mod settings;
mod signed;
mod subscribe;
pub mod system;
mod timers;

pub use channels::{Channels, ChannelsError};
pub use peer::Peer;
pub use settings::{HydrogenSettings, MessageRate, SessionEvent};

use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::base::{ConnId, Counters, Mono, Now, WorkerId};
use crate::engine::auth::{Access, ReplayWindow};
use crate::engine::channel::{CompletionSink, Responder};
use crate::engine::topic::{Bounds, Counts, Topics};
use crate::engine::wire::Scanner;
use crate::engine::work::{Completion, Emission, Notice, Outbox};
use pending::Pending;
use session::Sessions;
use timers::Timers;

/// Makes the status report, which needs figures of all threads and of the process.
pub trait Reports: Send + Sync {
    /// Answers with the status object; `older` asks for the form of Hydrogen's own clients.
    fn status(&self, older: bool, responder: Responder);
}

/// What a shard is made of.
pub struct Parts {
    /// This worker.
    pub worker: WorkerId,
    /// How many workers there are.
    pub workers: usize,
    /// The configuration.
    pub settings: Arc<HydrogenSettings>,
    /// Keys, permissions and blocks.
    pub access: Arc<Access>,
    /// All channels.
    pub channels: Arc<Channels>,
    /// The way back for late answers.
    pub completions: Arc<dyn CompletionSink>,
    /// The status report.
    pub reports: Arc<dyn Reports>,
    /// This thread's counters.
    pub counters: Arc<Counters>,
    /// Bounds of the topics.
    pub bounds: Bounds,
    /// Randomness of this shard: ids, epochs and secrets come from it.
    pub seed: [u8; 32],
    /// The time at which the shard begins.
    pub started: Now,
}

/// The hydrogen-protocol state of one worker.
pub struct Hydrogen {
    worker: WorkerId,
    workers: usize,
    settings: Arc<HydrogenSettings>,
    access: Arc<Access>,
    channels: Arc<Channels>,
    completions: Arc<dyn CompletionSink>,
    reports: Arc<dyn Reports>,
    counters: Arc<Counters>,
    sessions: Sessions,
    topics: Topics,
    pending: Pending,
    replays: ReplayWindow,
    timers: Timers,
    random: ChaCha12Rng,
    scanner: Scanner,
    clock: reply::ClockText,
}

impl Hydrogen {
    /// A shard without sessions.
    pub fn new(parts: Parts) -> Hydrogen {
        let mut random = ChaCha12Rng::from_seed(parts.seed);
        let topics = Topics::new(parts.bounds, random.next_u64());
        Hydrogen {
            worker: parts.worker,
            workers: parts.workers.max(1),
            replays: ReplayWindow::new(parts.settings.signature_skew, parts.started.wall),
            settings: parts.settings,
            access: parts.access,
            channels: parts.channels,
            completions: parts.completions,
            reports: parts.reports,
            counters: parts.counters,
            sessions: Sessions::default(),
            topics,
            pending: Pending::default(),
            timers: Timers::default(),
            random,
            scanner: Scanner::default(),
            clock: reply::ClockText::default(),
        }
    }

    /// A handler's late answer.
    pub fn on_completion(&mut self, completion: Completion, now: Now, out: &mut Outbox<Peer>) {
        self.finish(completion.ticket, completion.result, now, out);
    }

    /// An event that a channel emits, on a topic of this shard.
    pub fn on_emission(&mut self, emission: Emission, now: Now, out: &mut Outbox<Peer>) {
        // Nobody waits for an answer: an event that finds no room is counted as an error.
        let event = publish::Event {
            topic: &emission.topic,
            payload: &emission.payload,
            retain: emission.retain,
            ttl: None,
            low_priority: false,
            published_at: now.mono,
        };
        if let Err(error) = self.publish_here(&event, now, out) {
            self.count_error(error.code);
        }
    }

    /// Something that concerns every worker.
    pub fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Peer>) {
        match notice {
            Notice::Access(access) => self.on_access(access.clone(), now, out),
            Notice::Drain => self.on_drain(now),
        }
    }

    /// When [`Hydrogen::on_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Mono> {
        [self.timers.next(), self.pending.next_deadline()].into_iter().flatten().min()
    }

    /// Commands under way, for the simulator's checks.
    pub fn commands_under_way(&self) -> usize {
        self.pending.len()
    }

    /// What the topics of this shard hold, for the simulator's checks.
    pub fn topics(&self) -> Counts {
        self.topics.counts()
    }

    /// Sessions, for the simulator's checks.
    pub fn sessions(&self) -> usize {
        self.sessions.len()
    }

    /// A fresh random text of `bytes` random bytes, base64url.
    fn random_text(&mut self, bytes: usize) -> String {
        use base64::Engine;
        let mut random = [0u8; 32];
        let random = &mut random[..bytes.min(32)];
        self.random.fill_bytes(random);
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(random)
    }

    fn owner(&self, topic: &str) -> WorkerId {
        crate::engine::topic::owner(topic, self.workers)
    }

    /// All workers but this one.
    fn others(&self) -> impl Iterator<Item = WorkerId> + use<> {
        let own = self.worker;
        (0..self.workers as u16).map(WorkerId).filter(move |worker| *worker != own)
    }

    fn is_here(&self, conn: ConnId) -> bool {
        self.sessions.of(conn).is_some()
    }
}

#[cfg(test)]
mod tests;
