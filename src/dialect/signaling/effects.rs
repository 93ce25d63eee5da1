//! What a step leaves behind, and the line to the store.
//!
//! What a shard tells itself waits here until the step is over, so that no handler is entered
//! again while it is at work, and order is the same as between workers.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::Peer;
use super::peer::{Ask, Caller, Say};
use super::record::worker_of_room;
use super::wire::{Notice, Refusal, Reply};
use crate::base::{ConnId, WorkerId};
use crate::engine::store::{Op, Request};
use crate::engine::work::{Order, Outbox, worker_of};

/// Tickets of this dialect have this bit.
pub(super) const TICKETS: u64 = 1 << 63;

/// What a completion is for.
#[derive(Debug)]
pub(super) enum Asked {
    /// A room's change, for which others wait.
    Change(Box<str>),
    /// A room's activity: it is saved again if it fails.
    Upkeep(Box<str>),
    /// What is written of a room, after a change of which nobody knows whether it was.
    Doubt(Box<str>),
}

/// What a step leaves behind.
#[derive(Debug)]
pub(super) struct Effects {
    pub worker: WorkerId,
    pub workers: usize,
    pub own: VecDeque<Say>,
    pub orders: Vec<(ConnId, Order)>,
    others: Vec<(WorkerId, Say)>,
    store: Vec<Request>,
    asked: BTreeMap<u64, Asked>,
    next: u64,
    pub term: u64,
}

impl Effects {
    pub(super) fn new(worker: WorkerId, workers: usize) -> Effects {
        Effects {
            worker,
            workers,
            own: VecDeque::new(),
            orders: Vec::new(),
            others: Vec::new(),
            store: Vec::new(),
            asked: BTreeMap::new(),
            next: 0,
            term: 0,
        }
    }

    pub(super) fn say(&mut self, to: WorkerId, say: Say) {
        if to == self.worker {
            self.own.push_back(say);
        } else {
            self.others.push((to, say));
        }
    }

    pub(super) fn ask_room(&mut self, room: &str, ask: Ask) {
        self.say(worker_of_room(room, self.workers), Say::Room { room: room.into(), ask });
    }

    pub(super) fn answer(&mut self, caller: Caller, reply: Reply) {
        let Caller { conn, key, alone, meta, .. } = caller;
        self.say(worker_of(conn, self.workers), Say::Answer { conn, meta, alone, key, reply });
    }

    pub(super) fn refuse(&mut self, caller: Caller, refusal: Refusal) {
        self.answer(caller, Reply::Refused(refusal));
    }

    /// Tells connections something: one message by worker.
    pub(super) fn tell(&mut self, conns: &[ConnId], notice: Notice) {
        let notice = Arc::new(notice);
        if let [conn] = conns {
            return self.say(worker_of(*conn, self.workers), Say::Tell { conns: vec![*conn], notice });
        }
        let mut by_worker: BTreeMap<WorkerId, Vec<ConnId>> = BTreeMap::new();
        for &conn in conns {
            by_worker.entry(worker_of(conn, self.workers)).or_default().push(conn);
        }
        for (worker, conns) in by_worker {
            self.say(worker, Say::Tell { conns, notice: notice.clone() });
        }
    }

    pub(super) fn ask_store(&mut self, asked: Asked, op: Op) {
        self.next += 1;
        let ticket = TICKETS | self.next;
        self.asked.insert(ticket, asked);
        self.store.push(Request { worker: self.worker, ticket, term: self.term, op });
    }

    /// What a completion is for; once.
    pub(super) fn take_asked(&mut self, ticket: u64) -> Option<Asked> {
        self.asked.remove(&ticket)
    }

    pub(super) fn waiting(&self) -> usize {
        self.asked.len()
    }

    pub(super) fn flush(&mut self, out: &mut Outbox<Peer>) {
        for (conn, order) in self.orders.drain(..) {
            out.order(conn, order);
        }
        out.peers.extend(self.others.drain(..).map(|(to, say)| (to, Peer(say))));
        out.store.append(&mut self.store);
    }
}
