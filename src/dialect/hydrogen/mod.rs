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
mod asked;
mod channels;
mod consumer_id;
mod context;
mod dispatch;
mod figures;
mod gather;
mod guaranteed;
mod image;
mod kept;
mod letter;
mod log;
mod making;
mod past;
mod peer;
mod pending;
mod publish;
mod receive;
mod record;
mod replay;
mod reply;
mod reply_to;
mod resume;
mod retained;
mod session;
mod settings;
mod signed;
mod stored;
mod subscribe;
mod subscribe_guaranteed;
pub mod system;
mod timers;

pub use channels::{Channels, ChannelsError};
pub use figures::{DeliveryFigures, SubscriptionFigures};
pub use image::ShardImage;
pub use log::{Retention, TopicRule};
pub use peer::{Peer, RemotePublish};
pub use settings::{DeliverySettings, HydrogenSettings, MessageRate, SessionEvent};

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::base::{ConnId, Counters, Mono, Now, WorkerId};
use crate::engine::auth::{Access, ReplayWindow};
use crate::engine::channel::{CompletionSink, Responder};
use crate::engine::delivery::Interest;
use crate::engine::store::{Seq, Table};
use crate::engine::topic::{Bounds, Counts, SubKey, Topics};
use crate::engine::wire::Scanner;
use crate::engine::work::{Completion, Emission, Notice, Outbox};
use asked::StoreLink;
use consumer_id::ConsumerId;
use guaranteed::Consumers;
use kept::Kept;
use log::{Dedup, Logs};
use pending::Pending;
use session::Sessions;
use timers::Timers;

/// Makes the status report, which needs figures of all threads and of the process.
pub trait Reports: Send + Sync {
    /// Answers with the status object; `older` asks for the form of Hydrogen's own clients.
    fn status(&self, older: bool, responder: Responder);

    /// Takes what a worker tells of its guaranteed delivery, once a second.
    fn delivery(&self, worker: WorkerId, figures: DeliveryFigures) {
        drop((worker, figures));
    }
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
    /// What the store was opened with.
    pub image: Arc<ShardImage>,
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
    logs: Logs,
    store: StoreLink,
    dedup: Dedup,
    consumers: Consumers,
    interest: Interest<ConsumerId>,
    kept: Kept,
    replaying: BTreeMap<SubKey, u64>,
    dirty_sessions: BTreeSet<ConnId>,
    dirty_retained: BTreeSet<Arc<str>>,
    /// What is over, and still in the store.
    unsaved_deletes: BTreeSet<(Table, Box<str>)>,
    /// What is still to be written down of logs that a crash left behind.
    unsaved_seal: Option<Seq>,
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
        let settings = &parts.settings;
        let (workers, delivery) = (parts.workers.max(1), settings.delivery);
        let (rules, retention) = (settings.topic_rules.clone(), settings.log_retention.clone());
        let (image, started) = (parts.image, parts.started);
        let mut shard = Hydrogen {
            logs: Logs::new(random.next_u64(), rules, retention, parts.bounds.topics),
            store: StoreLink::new(
                parts.worker,
                image.store.last,
                delivery.pending_max.div_ceil(workers),
                delivery.pending_bytes_max.div_ceil(workers),
            ),
            dedup: Dedup::new(delivery.dedup_window, delivery.dedup_max.div_ceil(workers)),
            consumers: Consumers::default(),
            interest: Interest::new(random.next_u64()),
            kept: Kept::default(),
            replaying: BTreeMap::new(),
            dirty_sessions: BTreeSet::new(),
            dirty_retained: BTreeSet::new(),
            unsaved_deletes: BTreeSet::new(),
            unsaved_seal: None,
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
        };
        shard.restore(&image, started);
        shard
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
            time: now.wall,
            dedup: None,
        };
        let plan = self.plan(&emission.topic, false);
        if let Err(error) = self.publish_here(&event, plan, reply_to::Reply::Nobody, now, out) {
            self.count_error(error.code);
        }
    }

    /// Something that concerns every worker.
    pub fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Peer>) {
        match notice {
            Notice::Access(access) => self.on_access(access.clone(), now, out),
            Notice::Drain(_) => {
                self.on_drain(now);
                // The store may be well before this worker hears of it, and be closed in order.
                self.save_seal(out);
                self.save_dirty(now, out);
            }
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

    /// The worker stops: what is not written down yet is.
    pub fn on_stop(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.save_seal(out);
        self.save_last(now, out);
    }

    /// Requests that wait for the store, for the simulator's checks.
    pub fn store_requests(&self) -> usize {
        self.store.waiting()
    }

    /// Events in flight over all guaranteed subscriptions, for the simulator's checks.
    pub fn in_flight(&self) -> usize {
        self.consumers.iter().map(|(_, held)| held.consumer.outstanding()).sum()
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
