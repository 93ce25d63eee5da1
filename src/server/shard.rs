//! One worker's state: all dialects side by side, each message handed to the one it is for.

use std::sync::Arc;

use crate::base::{Counters, DialectId, Mono, Now, WorkerId};
use crate::dialect::echo;
use crate::dialect::hydrogen::{Hydrogen, Peer};
use crate::engine::store::StoreEvent;
use crate::engine::work::{Batch, Completion, Emission, Item, Notice, Outbox, Shard};

/// The dialects of one worker.
pub struct Dialects {
    hydrogen: Hydrogen,
    counters: Arc<Counters>,
}

impl Dialects {
    /// A worker's dialects.
    pub fn new(hydrogen: Hydrogen, counters: Arc<Counters>) -> Dialects {
        Dialects { hydrogen, counters }
    }

    /// The hydrogen-protocol state, for the simulator's checks.
    pub fn hydrogen(&self) -> &Hydrogen {
        &self.hydrogen
    }
}

impl Shard for Dialects {
    type Peer = Peer;

    fn on_batch(&mut self, batch: &Batch, now: Now, out: &mut Outbox<Peer>) {
        let (mut texts, mut bytes) = (&*batch.texts, &*batch.bytes);
        for item in &batch.items {
            match item {
                Item::Open(opening) => match opening.dialect {
                    DialectId::Hydrogen => self.hydrogen.on_open(opening, now, out),
                    DialectId::Echo => echo::on_open(opening.conn, out),
                },
                Item::Text { conn, dialect, len } => {
                    let (text, rest) = texts.split_at(*len as usize);
                    texts = rest;
                    match dialect {
                        DialectId::Hydrogen => self.hydrogen.on_text(*conn, text, batch.read_at, now, out),
                        DialectId::Echo => echo::on_text(*conn, text, batch.read_at, &self.counters, out),
                    }
                }
                Item::Binary { conn, dialect, len } => {
                    let (message, rest) = bytes.split_at(*len as usize);
                    bytes = rest;
                    match dialect {
                        DialectId::Hydrogen => self.hydrogen.on_binary(*conn, batch.read_at, now, out),
                        DialectId::Echo => echo::on_binary(*conn, message, batch.read_at, &self.counters, out),
                    }
                }
                Item::Dropped { conn, dropped } => self.hydrogen.on_dropped(*conn, dropped, now, out),
                // A dialect that does not know the connection has nothing to give back.
                Item::Closed { conn, reason: _ } => self.hydrogen.on_closed(*conn, now, out),
            }
        }
    }

    fn on_peer(&mut self, from: WorkerId, message: Peer, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_peer(from, message, now, out);
    }

    fn on_completion(&mut self, completion: Completion, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_completion(completion, now, out);
    }

    fn on_emission(&mut self, emission: Emission, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_emission(emission, now, out);
    }

    fn on_store(&mut self, event: &StoreEvent, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_store(event, now, out);
    }

    fn on_notice(&mut self, notice: &Notice, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_notice(notice, now, out);
    }

    fn on_stop(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_stop(now, out);
    }

    fn poll_timeout(&self) -> Option<Mono> {
        self.hydrogen.poll_timeout()
    }

    fn on_timeout(&mut self, now: Now, out: &mut Outbox<Peer>) {
        self.hydrogen.on_timeout(now, out);
    }
}
