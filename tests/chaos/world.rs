//! What all clients of a run share: where the server is, what is going on, and the trace.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};

use crate::check::Subscription;
use crate::client::{Client, Gone};
use crate::program::Home;
use crate::trace::{Entry, What};

/// Topics of guaranteed publishes.
pub const TOPICS: [&str; 5] = ["orders.north", "orders.south", "sensors.hall.temp", "sensors.attic.temp", "mixed.bag"];

/// The topic of which every other publish is `at_most_once`.
pub const MIXED: &str = TOPICS[4];

/// Durable subscriptions by name, and one session.
pub const SUBSCRIPTIONS: [Subscription; 4] = [
    Subscription { who: "ledger", is_group: false, topics: &["orders.*", "sensors.>", "mixed.bag"], kind: None },
    Subscription { who: "kitchen", is_group: false, topics: &["sensors.*.temp"], kind: Some("a") },
    Subscription { who: "crew", is_group: true, topics: &["orders.>"], kind: None },
    Subscription { who: SESSION, is_group: false, topics: &["orders.north", "sensors.hall.*"], kind: None },
];

/// The one that is no durable subscription: it resumes its session.
pub const SESSION: &str = "visitor";

pub const PUBLISHERS: [&str; 3] = ["press-1", "press-2", "press-3"];

/// What the clients are to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    Publish = 0,
    /// Nothing new; what was sent is answered, what comes is acked.
    Drain = 1,
    Leave = 2,
}

pub struct World {
    pub address: SocketAddr,
    pub root: String,
    tokens: BTreeMap<&'static str, String>,
    trace: Mutex<Vec<Entry>>,
    phase: AtomicU8,
    life: AtomicU32,
    connections: AtomicU32,
    numbers: AtomicU64,
    /// Publishes that were not answered yet.
    pub unanswered: AtomicUsize,
}

impl World {
    /// Makes the keys.
    pub fn new(home: &Home) -> World {
        let mut tokens = BTreeMap::new();
        for who in PUBLISHERS {
            tokens.insert(who, home.key(who, "connect,publish:orders.>,publish:sensors.>,publish:mixed.>"));
        }
        for subscription in SUBSCRIPTIONS {
            let who = subscription.who;
            tokens.insert(who, home.key(who, "connect,subscribe:orders.>,subscribe:sensors.>,subscribe:mixed.>"));
        }
        World {
            address: home.address,
            root: home.key("root", "admin"),
            tokens,
            trace: Mutex::default(),
            phase: AtomicU8::new(Phase::Leave as u8),
            life: AtomicU32::new(1),
            connections: AtomicU32::new(0),
            numbers: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
        }
    }

    pub fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Publish,
            1 => Phase::Drain,
            _ => Phase::Leave,
        }
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// The server is dead, and begins another life.
    pub fn next_life(&self) {
        self.life.fetch_add(1, Ordering::SeqCst);
    }

    pub fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A new connection of this life, and its number.
    pub fn connect(&self, who: &'static str) -> Result<(Client, u32), Gone> {
        let life = self.life.load(Ordering::SeqCst);
        let client = Client::connect(self.address, &self.tokens[who])?;
        // A handshake with the server before the last kill tells nothing of this one.
        if self.life.load(Ordering::SeqCst) != life {
            return Err(Gone);
        }
        let connection = self.connections.fetch_add(1, Ordering::SeqCst) + 1;
        self.note(who, connection, What::Opened { life });
        Ok((client, connection))
    }

    pub fn note(&self, who: &'static str, connection: u32, what: What) {
        let mut trace = self.trace.lock();
        // Within the lock, so that the trace is in the order of its times.
        trace.push(Entry { at_ns: now_ns(), who, connection, what });
    }

    pub fn broken(&self, who: &'static str, connection: u32, text: String) {
        self.note(who, connection, What::Broken { text });
    }

    pub fn look<T>(&self, at: impl FnOnce(&[Entry]) -> T) -> T {
        at(&self.trace.lock())
    }

    pub fn is_broken(&self) -> bool {
        self.look(|trace| trace.iter().any(|entry| matches!(entry.what, What::Broken { .. })))
    }

    /// Everything up to here was judged: what is needed of it is that subscriptions were granted,
    /// and which connections are there.
    pub fn forget(&self) {
        self.trace.lock().retain(|entry| matches!(entry.what, What::Subscribed | What::Opened { .. }));
    }

    /// The same world after a power cut at this time: what came later never happened, and the
    /// server is elsewhere and in its next life.
    pub fn after(&self, cut_ns: u64, address: SocketAddr) -> World {
        let before = self.look(|trace| trace.iter().filter(|entry| entry.at_ns < cut_ns).cloned().collect());
        World {
            address,
            root: self.root.clone(),
            tokens: self.tokens.clone(),
            trace: Mutex::new(before),
            phase: AtomicU8::new(Phase::Leave as u8),
            life: AtomicU32::new(self.life.load(Ordering::SeqCst) + 1),
            connections: AtomicU32::new(self.connections.load(Ordering::SeqCst)),
            numbers: AtomicU64::new(self.numbers.load(Ordering::SeqCst)),
            unanswered: AtomicUsize::new(0),
        }
    }

    /// What was done, in a line.
    pub fn tally(&self) -> String {
        let count = |which: fn(&What) -> bool| self.look(|trace| trace.iter().filter(|e| which(&e.what)).count());
        let answered = count(|what| matches!(what, What::Answered { .. }));
        let delivered = count(|what| matches!(what, What::Delivered { .. }));
        let again = count(|what| matches!(what, What::Delivered { attempt: 2.., .. }));
        let opened = count(|what| matches!(what, What::Opened { .. }));
        format!("{answered} answers, {delivered} deliveries ({again} of them again), {opened} connections")
    }
}

/// The system's monotonic clock.
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
