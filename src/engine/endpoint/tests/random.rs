//! Whatever peers, workers and the clock do: nothing panics, nothing is lost or handed on twice,
//! the books are square after every turn, and every connection ends once, in one terminal state.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;

use super::peer::{BINARY, CLOSE, PING, PONG, TEXT, close_frame, frame, get, upgrade};
use super::scene::{Handed, Key, Scene};
use super::steps::{Say, Step, step};
use crate::base::{ConnId, Metric, Reason, WorkerId};
use crate::engine::conn::State;
use crate::engine::outbound::{OutboundLimits, Overflow};
use crate::engine::work::Order;

/// A peer and its socket: what it said and was not read yet, and what the poll told.
#[derive(Default)]
struct Peer {
    said: Vec<u8>,
    numbers: u32,
    ended_stream: bool,
    eof_was_read: bool,
    /// The poll said readable, and no read found the socket empty or forbidden since.
    is_ready: bool,
    /// It has something to write: a write is due, or the socket's own readiness is waited for.
    may_write: bool,
    /// It was never anything but whole frames.
    is_clean: bool,
    awaits_answer: bool,
    /// What its worker saw.
    opened: bool,
    under_way: u32,
    next_number: u32,
    closed: bool,
}

struct World {
    scene: Scene,
    peers: BTreeMap<ConnId, Peer>,
    over: BTreeSet<ConnId>,
    stalled: [bool; 2],
}

impl World {
    fn new() -> World {
        let scene = Scene::with(|settings| {
            settings.connections_max = 5;
            settings.outbound = OutboundLimits { bytes_max: 3000, frames_max: 20 };
            settings.outbound_total_max = 6000;
        });
        World { scene, peers: BTreeMap::new(), over: BTreeSet::new(), stalled: [false; 2] }
    }

    fn pick(&self, who: u8) -> Option<ConnId> {
        let open: Vec<ConnId> = self.peers.keys().copied().filter(|id| !self.over.contains(id)).collect();
        (!open.is_empty()).then(|| open[usize::from(who) % open.len()])
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::Accept => {
                if self.scene.endpoint.len() < 8 {
                    let id = self.scene.accept();
                    assert!(self.peers.insert(id, Peer { is_clean: true, ..Peer::default() }).is_none());
                }
            }
            Step::Say(who, what) => self.say(who, what),
            Step::Read(who, count) => {
                if let Some(id) = self.pick(who) {
                    self.read(id, usize::from(count));
                }
            }
            Step::EndStream(who) => {
                if let Some(id) = self.pick(who) {
                    let peer = self.peers.get_mut(&id).unwrap();
                    (peer.ended_stream, peer.is_ready) = (true, true);
                }
            }
            Step::Reset(who) => {
                if let Some(id) = self.pick(who) {
                    self.scene.reset(id);
                }
            }
            Step::Write(who, count) => {
                if let Some(id) = self.pick(who) {
                    self.write(id, usize::from(count));
                }
            }
            Step::Ready(who) => self.for_opened(who, |scene, _, id| scene.ready(id)),
            Step::Respond(who, size) => self.for_opened(who, |scene, peer, id| {
                if peer.under_way > 0 {
                    peer.under_way -= 1;
                    scene.respond(id, &"r".repeat(usize::from(size)));
                } else {
                    scene.respond_unasked(id, "a notice");
                }
            }),
            Step::Settle(who) => self.for_opened(who, |scene, peer, id| {
                let count = std::mem::take(&mut peer.under_way);
                if count > 0 {
                    scene.order(Order::Settle { conn: id, count });
                }
            }),
            Step::Answer(who, size) => {
                if let Some(id) = self.pick(who)
                    && std::mem::take(&mut self.peers.get_mut(&id).unwrap().awaits_answer)
                {
                    self.scene.answer(id, &"a".repeat(usize::from(size)));
                }
            }
            Step::Broadcast(topic, size, drop, conflate) => {
                let ids: Vec<ConnId> = self.peers.keys().copied().collect();
                let overflow = if drop { Overflow::DropOldest } else { Overflow::Disconnect };
                let (topic, text) = (format!("a.t{}", topic % 3), "e".repeat(usize::from(size)));
                self.scene.broadcast(&ids, &topic, &text, overflow, conflate);
            }
            Step::OrderClose(who, reason) => {
                let reasons: Vec<Reason> =
                    Reason::ALL.iter().copied().filter(|reason| reason.close_code().is_some()).collect();
                let reason = reasons[usize::from(reason) % reasons.len()];
                self.for_opened(who, |scene, _, id| scene.close(id, reason));
            }
            Step::Pass(ms) => self.scene.jump(Duration::from_millis(u64::from(ms))),
            Step::Stall(worker, full) => {
                self.stalled[usize::from(worker)] = full;
                self.scene.endpoint.on_stall(WorkerId(worker.into()), full);
            }
            Step::Drain => self.scene.endpoint.on_drain(self.scene.now),
        }
    }

    /// Lets a worker that knows the connection act on it, whether it is over or not.
    fn for_opened(&mut self, who: u8, act: impl FnOnce(&mut Scene, &mut Peer, ConnId)) {
        let known: Vec<ConnId> = self.peers.keys().copied().filter(|id| self.peers[id].opened).collect();
        if !known.is_empty() {
            let id = known[usize::from(who) % known.len()];
            act(&mut self.scene, self.peers.get_mut(&id).unwrap(), id);
        }
    }

    fn say(&mut self, who: u8, what: Say) {
        let Some(id) = self.pick(who) else { return };
        let peer = self.peers.get_mut(&id).unwrap();
        if peer.ended_stream {
            return;
        }
        let bytes = match what {
            Say::Handshake => upgrade(&format!("Authorization: Key {}\r\n", Key::Good.token())).into_bytes(),
            Say::WrongKey => upgrade(&format!("Authorization: Key {}\r\n", Key::Unknown.token())).into_bytes(),
            Say::Plain => get("/a").into_bytes(),
            Say::LastPlain => get("/a").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").into_bytes(),
            Say::Post(length) => {
                let body = "b".repeat(usize::from(length));
                format!("POST /a HTTP/1.1\r\nHost: here\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
            }
            Say::Message(size) => {
                peer.numbers += 1;
                frame(TEXT, format!("{:<size$}", peer.numbers - 1, size = usize::from(size)))
            }
            Say::Binary(size) => frame(BINARY, vec![7; usize::from(size)]),
            Say::Ping(size) => frame(PING, vec![b'p'; usize::from(size)]),
            Say::Pong => frame(PONG, "pong"),
            Say::Close => close_frame(1000),
            Say::Violation(0) => vec![0x81, 0x01, b'x'],
            Say::Violation(1) => frame(TEXT, [0xFF]),
            Say::Violation(2) => frame(CLOSE, [1]),
            Say::Violation(3) => vec![0xF1],
            Say::Violation(_) => b"GET / HTTP/9\r\n\r\n".to_vec(),
            Say::Garbage(bytes) => {
                peer.is_clean = false;
                bytes
            }
        };
        peer.said.extend(bytes);
        peer.is_ready = true;
    }

    /// Reads as the reactor does: only when the poll said so, and only while it may.
    fn read(&mut self, id: ConnId, count: usize) {
        let peer = self.peers.get_mut(&id).unwrap();
        if !peer.is_ready {
            return;
        }
        if !self.scene.endpoint.may_read(id) {
            peer.is_ready = false;
            return;
        }
        if peer.said.is_empty() {
            peer.is_ready = false;
            if peer.ended_stream && !std::mem::replace(&mut peer.eof_was_read, true) {
                self.scene.eof(id);
            }
            return;
        }
        let rest = peer.said.split_off(count.min(peer.said.len()));
        let bytes = std::mem::replace(&mut peer.said, rest);
        self.scene.receive(id, bytes);
    }

    fn write(&mut self, id: ConnId, count: usize) {
        let peer = self.peers.get_mut(&id).unwrap();
        if peer.may_write {
            self.scene.write(id, count);
            // A full socket tells of its readiness by itself; an idle one has to be asked for.
            let blocked = self.scene.endpoint.connection(id).is_some_and(|conn| conn.outbound.is_blocked());
            peer.may_write = blocked;
        }
    }

    /// What the reactor does at the end of a turn, and the checks of every turn.
    fn end_turn(&mut self) {
        while let Some(id) = self.scene.endpoint.poll_dirty() {
            self.peers.get_mut(&id).unwrap().may_write = true;
        }
        for request in std::mem::take(self.scene.endpoint.requests()) {
            let peer = self.peers.get_mut(&request.conn).unwrap();
            assert!(!std::mem::replace(&mut peer.awaits_answer, true), "one request at a time");
        }
        self.check_books();
        for finished in self.scene.finished() {
            assert!(self.over.insert(finished.conn), "it ends once");
        }
        while let Some(id) = self.scene.endpoint.poll_readable() {
            self.peers.get_mut(&id).unwrap().is_ready = true;
        }
        for handed in self.scene.handed() {
            self.check_handed(handed);
        }
    }

    fn check_books(&self) {
        let scene = &self.scene;
        let alive: Vec<_> = self.peers.keys().filter_map(|id| scene.endpoint.connection(*id)).collect();
        assert_eq!(alive.len(), scene.endpoint.len());
        let waiting: usize = alive.iter().map(|conn| conn.outbound.bytes()).sum();
        assert_eq!(scene.endpoint.outbound_bytes(), waiting);
        let gauge = scene.count(Metric::OUTBOUND_QUEUED) - scene.count(Metric::OUTBOUND_DONE);
        assert_eq!(gauge, waiting as u64);
        assert_eq!(scene.count(Metric::IMPOSSIBLE_TRANSITIONS), 0);
        for state in State::ALL.iter().filter(|state| !state.is_terminal()) {
            let count = alive.iter().filter(|conn| conn.state() == *state).count() as u64;
            assert_eq!(scene.in_state(*state), count, "{state:?}");
        }
        for conn in alive {
            assert_ne!(conn.state(), State::Inactive, "it is left at once");
            assert!(conn.state() != State::Closing || conn.next_deadline().is_some(), "a close is bounded");
        }
    }

    fn check_handed(&mut self, handed: Handed) {
        let id = match &handed {
            Handed::Open(id, ..)
            | Handed::Text(id, _)
            | Handed::Binary(id, _)
            | Handed::Dropped(id, _)
            | Handed::Closed(id, _) => *id,
        };
        let peer = self.peers.get_mut(&id).unwrap();
        assert!(!peer.closed && peer.opened != matches!(handed, Handed::Open(..)), "opened, then used, then closed");
        match handed {
            Handed::Open(..) => peer.opened = true,
            Handed::Text(_, text) => {
                peer.under_way += 1;
                // Garbage may be a message by chance, or eat one.
                if peer.is_clean {
                    let number: u32 = text.trim_end().parse().unwrap();
                    assert_eq!(number, peer.next_number, "in order and without a gap");
                    peer.next_number += 1;
                }
            }
            Handed::Binary(..) => peer.under_way += 1,
            Handed::Dropped(..) => {}
            Handed::Closed(_, reason) => {
                peer.closed = true;
                // Of a slow consumer the worker hears before its close handshake is over.
                let is_over = self.over.contains(&id) && self.scene.count(Metric::closed(reason)) > 0;
                assert!(is_over || reason == Reason::SlowConsumer);
            }
        }
    }

    /// Workers and sockets catch up with everything, without any time passing.
    fn settle(&mut self) {
        for worker in 0..2 {
            self.apply(Step::Stall(worker, false));
        }
        self.end_turn();
        for _ in 0..2000 {
            for id in self.peers.keys().copied().collect::<Vec<_>>() {
                self.write(id, usize::MAX);
                self.read(id, 4096);
                let peer = self.peers.get_mut(&id).unwrap();
                let count = std::mem::take(&mut peer.under_way);
                if count > 0 {
                    self.scene.order(Order::Settle { conn: id, count });
                }
                if peer.opened {
                    self.scene.ready(id);
                }
                if std::mem::take(&mut peer.awaits_answer) {
                    self.scene.answer(id, "at last");
                }
            }
            self.end_turn();
            let is_busy = |peer: &Peer| peer.is_ready || peer.may_write || peer.under_way > 0 || peer.awaits_answer;
            if !self.peers.iter().any(|(id, peer)| !self.over.contains(id) && is_busy(peer)) {
                break;
            }
        }
        for (id, peer) in &self.peers {
            let Some(conn) = self.scene.endpoint.connection(*id) else { continue };
            assert!(peer.said.is_empty(), "{id} is read to the end: {:?}", conn.state());
            assert!(conn.outbound.is_empty(), "{id} is written to the end: {:?}", conn.state());
            if peer.is_clean && matches!(conn.state(), State::Connected | State::Heartbeat) {
                assert_eq!(conn.held_bytes(), 0, "{id} is idle and holds nothing");
            }
        }
    }
}

proptest! {
    #[test]
    fn every_connection_ends_once_and_the_books_are_square(
        turns in prop::collection::vec(prop::collection::vec(step(), 1..6), 1..60),
        drains in any::<bool>(),
    ) {
        let mut world = World::new();
        for turn in turns {
            for step in turn {
                world.apply(step);
            }
            world.end_turn();
        }
        world.settle();
        // Nobody says anything more: all connections end by themselves, or by the server's stop.
        if drains {
            world.apply(Step::Drain);
        }
        for _ in 0..1000 {
            world.scene.jump(Duration::from_millis(500));
            world.end_turn();
            for id in world.peers.keys().copied().collect::<Vec<_>>() {
                world.write(id, usize::MAX);
            }
            world.end_turn();
            if world.scene.endpoint.is_empty() {
                break;
            }
        }
        prop_assert!(world.scene.endpoint.is_empty(), "all have ended");
        world.scene.expect_nothing_left();
        prop_assert_eq!(world.over.len(), world.peers.len());
        prop_assert!(world.peers.values().all(|peer| peer.opened == peer.closed));
    }
}
