//! The end of a run: everything is made well, everybody comes back, and when the world is quiet the
//! last checks are made. Then everybody goes, and nothing is left but what is written.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hydrogen::base::{ConnId, Reason};
use hydrogen::dialect::signaling::RoomRecord;

use crate::ask::Ask;
use crate::journal::Record;
use crate::trace::say;
use crate::world::World;

/// Rounds in which a world must come to rest.
const ROUNDS: usize = 60;

impl World {
    pub fn wind_up(&mut self) {
        say!(self, "everything is made well");
        self.is_calm = true;
        self.disk.set_faults(Default::default());
        for conn in self.open_conns() {
            if self.server.conns[&conn].is_deaf || self.clients[self.server.conns[&conn].client].conn != Some(conn) {
                self.lose(conn, Reason::PeerEof);
            }
        }
        self.come_to_rest();
        for c in 0..self.clients.len() {
            if self.clients[c].conn.is_none() {
                self.connect(c);
            }
        }
        self.come_to_rest();
        if self.plan.has_proofs {
            self.all_prove();
            self.come_to_rest();
        }
        self.ask_who_is_there();
        self.come_to_rest();
        self.quiet_checks();
        self.everybody_goes();
        self.another_life();
    }

    /// Everything that is under way comes to its end, and time passes.
    fn come_to_rest(&mut self) {
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let worked = self.drain();
            self.pass(Duration::from_millis(900));
            let is_well = self.storage.writer.failure().is_none();
            let is_idle = self.server.is_idle() && self.storage.queue.is_empty();
            quiet = if !worked && is_well && is_idle { quiet + 1 } else { 0 };
            // Candidates wait for five seconds.
            if quiet > 7 {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    fn drain(&mut self) -> bool {
        let mut has_worked = false;
        for _ in 0..20_000 {
            self.begin_step();
            let first = self.dice.below(4);
            let mut worked = false;
            for turn in 0..4 {
                worked = match (first + turn) % 4 {
                    0 => self.work(),
                    1 => self.store_turn(),
                    2 => self.end_one(),
                    // Figures are told every second, and are no work.
                    _ => {
                        while self.time_out() {}
                        false
                    }
                };
                if worked {
                    break;
                }
            }
            has_worked |= worked;
            if !worked {
                return has_worked;
            }
        }
        panic!("messages go round and round");
    }

    fn ask_who_is_there(&mut self) {
        for conn in self.open_conns() {
            let rooms: Vec<String> = self.server.conns[&conn].views.keys().cloned().collect();
            for room in rooms {
                self.ask(conn, Ask::Presence { room });
            }
            let key = self.server.conns[&conn].pinned;
            if let Some(key) = key {
                self.ask(conn, Ask::Rooms { key });
            }
        }
    }

    /// Nobody waits for anything, and all know the same.
    fn quiet_checks(&mut self) {
        assert!(self.server.is_idle() && self.storage.queue.is_empty(), "something is under way");
        let mut by_conn: BTreeSet<(ConnId, String)> = BTreeSet::new();
        for (id, conn) in &mut self.server.conns {
            if conn.is_closed {
                continue;
            }
            assert!(
                conn.serial.is_empty() && conn.loose.is_empty(),
                "{id} waits for {:?} {:?}",
                conn.serial,
                conn.loose
            );
            assert!(conn.taken == conn.settled, "{id}: {} messages, {} settled", conn.taken, conn.settled);
            let is_told = matches!(conn.pushes, None | Some(3)) || !conn.has_pushes;
            assert!(is_told, "{id} was pushed {:?}", conn.pushes);
            for (room, view) in &mut conn.views {
                view.end_list();
                by_conn.insert((*id, room.clone()));
            }
        }
        let mut by_room = BTreeSet::new();
        let mut held = BTreeMap::new();
        for worker in &self.server.workers {
            let shard = worker.shard.signaling().expect("signaling is served");
            assert!(shard.store_requests() == 0, "{} requests wait for the store", shard.store_requests());
            let look = shard.look();
            assert!(look.handing == 0 && look.gathers == 0 && look.held_messages == 0, "something waits: {look:?}");
            for room in look.rooms {
                assert!(!room.is_changing && room.mail == 0 && room.held_candidates == 0, "{room:?} waits");
                for live in &room.live {
                    let conn = &self.server.conns[&live.conn];
                    assert!(live.is_away == conn.is_closed, "{} is in {}: {live:?}", live.conn, room.record.id);
                    if !live.is_away {
                        by_room.insert((live.conn, room.record.id.to_string()));
                    }
                }
                self.check_views(&room);
                held.insert(room.record.id.clone(), room);
            }
        }
        assert!(by_conn == by_room, "connections are in {by_conn:?}, rooms have {by_room:?}");
        self.check_store(&held);
        self.check_signals();
        self.check_order();
    }

    /// Who is in a room has heard of all others that are.
    fn check_views(&self, room: &hydrogen::dialect::signaling::RoomLook) {
        let id = &*room.record.id;
        for live in room.live.iter().filter(|live| !live.is_away) {
            let view = &self.server.conns[&live.conn].views[id];
            let known: BTreeSet<u64> = view.peers.keys().copied().collect();
            let there = room.live.iter().map(|other| other.peer).filter(|peer| *peer != live.peer).collect();
            assert!(known == there, "{} heard of {known:x?} in {id}, and {there:x?} are there", live.conn);
            let keys: BTreeSet<u8> = view.peers.values().map(|seen| seen.key).collect();
            assert!(view.keys == keys, "{} knows the keys {:?} in {id}, and {keys:?} are there", live.conn, view.keys);
        }
    }

    /// What the workers hold is what is written.
    fn check_store(&mut self, held: &BTreeMap<Box<str>, hydrogen::dialect::signaling::RoomLook>) {
        let stored = self.storage.rooms();
        let ids: Vec<&Box<str>> = stored.iter().map(|(id, _)| id).collect();
        let own: Vec<&Box<str>> = held.keys().collect();
        assert!(ids == own, "the store has {ids:?}, the workers {own:?}");
        for (id, value) in &stored {
            let record = Record::read(value);
            assert!(self.journal.now(id).is_some_and(|it| it.is_like(&record)), "{id} is not as it was written");
            let written = RoomRecord::parse(id, value).expect("a room that was written");
            assert!(written.is_like(&held[id].record), "{id} is held as {:?}, and written as {record:?}", held[id]);
        }
    }

    /// Everybody goes: when all grace is over nobody is anywhere.
    fn everybody_goes(&mut self) {
        for conn in self.open_conns() {
            self.lose(conn, Reason::PeerClosed);
        }
        self.come_to_rest();
        self.pass(self.plan.settings.grace);
        self.come_to_rest();
        for worker in &self.server.workers {
            let shard = worker.shard.signaling().expect("signaling is served");
            let look = shard.look();
            assert!(shard.live() == 0 && look.conns == 0 && look.away == 0 && look.tokens == 0, "ghosts: {look:?}");
        }
    }

    /// Whatever took the server down, the rooms are there again.
    fn another_life(&mut self) {
        let before: Vec<(Box<str>, Record)> =
            self.journal.there().map(|(id, record)| (id.into(), record.clone())).collect();
        if self.plan.cuts {
            let dice = &mut self.dice;
            self.disk.cut(&mut |below| dice.next() % below.max(1));
        }
        self.begin_again();
        for (id, record) in &before {
            assert!(self.journal.now(id).is_some_and(|it| it.is_like(record)), "{id} does not come back as it was");
        }
        let rooms: usize = self.server.workers.iter().map(|worker| worker.look.rooms.len()).sum();
        assert!(rooms == before.len(), "{rooms} rooms in another life, {} before", before.len());
        for c in 0..self.clients.len() {
            self.connect(c);
        }
        self.come_to_rest();
        for conn in self.open_conns() {
            let key = self.server.conns[&conn].pinned.unwrap_or(self.clients[self.server.conns[&conn].client].who);
            self.ask(conn, Ask::Rooms { key });
        }
        self.try_proved_keys();
        self.come_to_rest();
        for (id, conn) in &self.server.conns {
            assert!(conn.is_closed || conn.serial.is_empty() && conn.loose.is_empty(), "{id} waits");
        }
        self.check_order();
    }
}
