//! The end of a run: everything is made well, everybody comes back and acks, and when the world is
//! quiet the last checks are made.

use std::time::Duration;

use hydrogen::base::Reason;
use hydrogen::engine::store::{Backend, Table};

use crate::book::Gone;
use crate::client::{Command, Role};
use crate::trace::say;
use crate::world::World;

/// Rounds in which a world must come to rest.
const ROUNDS: usize = 120;

impl World {
    pub fn wind_up(&mut self) {
        say!(self, "everything is made well");
        self.is_calm = true;
        self.disk.set_faults(Default::default());
        for conn in self.open_conns() {
            let client = self.server.conns[&conn].client;
            if self.clients[client].conn != Some(conn) {
                self.lose(conn, Reason::PeerEof);
            }
        }
        let mut quiet = 0;
        for _ in 0..ROUNDS {
            let acted = self.everybody_acts();
            self.drain();
            self.begin_step();
            self.pass(Duration::from_millis(700));
            while self.time_out() {}
            // Nobody comes back for what a subscription holds that is left to itself.
            let is_left = self.book.subs.iter().any(|sub| sub.is_over);
            let rests = (0..self.book.subs.len()).all(|sub| self.book.open(sub) == 0);
            let rests = rests
                && self.server.workers.iter().all(|worker| {
                    let hydrogen = worker.shard.hydrogen();
                    (is_left || hydrogen.in_flight() == 0)
                        && hydrogen.store_requests() == 0
                        && hydrogen.commands_under_way() == 0
                });
            quiet =
                if !acted && rests && self.server.is_idle() && self.storage.queue.is_empty() { quiet + 1 } else { 0 };
            if quiet > 8 {
                return self.last_checks();
            }
        }
        let held: Vec<usize> = self.server.workers.iter().map(|worker| worker.shard.hydrogen().in_flight()).collect();
        let open: Vec<usize> = (0..self.book.subs.len()).map(|sub| self.book.open(sub)).collect();
        let events: Vec<String> = (0..self.book.subs.len()).flat_map(|sub| self.book.open_ids(sub)).collect();
        panic!("the world does not come to rest: in flight {held:?}, unacked of subscriptions {open:?}: {events:?}");
    }

    /// Everybody does what is left to do. Returns whether anything was.
    fn everybody_acts(&mut self) -> bool {
        let mut acted = false;
        for c in 0..self.clients.len() {
            self.begin_step();
            if self.clients[c].conn.is_none() {
                self.connect(c);
                acted = true;
                continue;
            }
            match self.clients[c].role {
                Role::Publisher => {
                    for n in self.clients[c].publishes.clone() {
                        if !self.clients[c].waiting.iter().any(|(_, command)| *command == Command::Publish(n)) {
                            self.send_publish(c, n);
                            acted = true;
                        }
                    }
                }
                Role::Durable | Role::Session => {
                    let client = &self.clients[c];
                    if !client.is_subscribed || !client.unacked.is_empty() {
                        self.subscriber_acts(c);
                        acted = true;
                    }
                }
                Role::Listener | Role::Admin => {}
            }
        }
        acted
    }

    /// Everything that is under way comes to its end, in some order.
    fn drain(&mut self) {
        for _ in 0..20_000 {
            let first = self.dice.below(3);
            let mut worked = false;
            for turn in 0..3 {
                worked = match (first + turn) % 3 {
                    0 => self.work(),
                    1 => self.store_turn(),
                    _ => self.deliver(),
                };
                if worked {
                    break;
                }
            }
            if !worked {
                return;
            }
            self.begin_step();
        }
        panic!("messages go round and round");
    }

    fn last_checks(&mut self) {
        let sessions: usize = self.server.workers.iter().map(|worker| worker.shard.hydrogen().sessions()).sum();
        let open = self.open_conns().len();
        assert!(sessions == open, "{sessions} sessions at the end, of {open} connections");
        for (c, client) in self.clients.iter().enumerate() {
            assert!(client.waiting.is_empty(), "client {c} still waits for {:?}", client.waiting);
            let Some(conn) = client.conn else { continue };
            let conn = &self.server.conns[&conn];
            assert!(conn.taken == conn.settled, "client {c}: {} messages, {} settled", conn.taken, conn.settled);
        }
        self.check_publishes();
        self.check_subscriptions();
        self.check_letters();
        self.book.check_damage(&self.disk.set_aside());
    }

    fn check_publishes(&self) {
        let forgets = self.plan.forgets_ids() || self.has_jumped;
        for (n, publish) in self.book.publishes.iter().enumerate() {
            if !publish.guaranteed {
                continue;
            }
            assert!(publish.answer.is_some(), "publish {n} was never answered");
            let is_there = |event: &&u32| self.book.events[**event as usize].gone != Gone::Cut;
            let count = publish.stored.iter().filter(is_there).count();
            assert!(count <= 1 || publish.has_failed || forgets, "publish {n} is stored {count} times");
            assert!(count >= 1, "publish {n} was answered, and was never stored");
        }
    }

    /// What was answered as synced came to everybody who had asked for it before.
    fn check_subscriptions(&self) {
        for sub in self.book.subs.iter().filter(|sub| !sub.is_over) {
            for (n, publish) in self.book.publishes.iter().enumerate() {
                let Some((epoch, offset)) = publish.answer else { continue };
                if !sub.must_have(publish) {
                    continue;
                }
                let index = self.book.event_at(epoch, offset).expect("it was answered as stored");
                let event = &self.book.events[index as usize];
                let fate = sub.fates.get(index as usize).copied().unwrap_or_default();
                let is_excused = fate.is_received
                    || fate.was_dead
                    || sub.is_vague(event)
                    || event.gone != Gone::No
                    || event.expires.is_some_and(|at| at <= self.book.wall);
                assert!(is_excused, "publish {n} ({epoch:016x}-{offset}) never came to {:?}", sub.key);
            }
        }
    }

    /// The letters that were written, and not taken away, are there.
    fn check_letters(&mut self) {
        let letters = self.storage.backend.scan(Table::DeadLetters, "", None, 10_000).unwrap();
        let mut there: Vec<(usize, u32)> = letters.iter().filter_map(|(key, _)| self.book.letter(key)).collect();
        there.sort_unstable();
        let damage = self.storage.backend.take_damage();
        self.book.damaged(&damage);
        let damage = self.plan.flips;
        for (index, sub) in self.book.subs.iter().enumerate() {
            for (event, fate) in sub.fates.iter().enumerate().filter(|(_, fate)| fate.has_letter) {
                let is_there = there.binary_search(&(index, event as u32)).is_ok();
                assert!(is_there || damage, "the letter of {:?} for event {event} is gone: {}", sub.key, fate.life);
            }
        }
    }
}
