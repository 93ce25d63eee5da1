//! The end of a run: first everything under way arrives and is checked, then everybody leaves.

use std::time::Duration;

use crate::link::Holder;
use crate::world::World;

/// Rounds after which what has not come to rest never will.
const ROUNDS: usize = 20_000;

impl World {
    pub(crate) fn wind_up(&mut self) {
        self.is_calm = true;
        self.say("calm: nobody begins anything new".into());
        self.settle();
        // What waits for an answer that never comes waits no longer than the command timeout.
        let wait = self.plan.settings.ping_interval / 3;
        for _ in 0..3 {
            self.pass(wait);
            self.settle();
        }
        self.check_quiet();
        if self.dice.chance(30) && !self.shadow.stops {
            self.drain();
            self.settle();
        }
        self.see_off();
        self.check_end();
    }

    /// Runs everybody until nothing is left to do but to wait.
    fn settle(&mut self) {
        for _ in 0..ROUNDS {
            self.begin_step();
            let mut worked = self.serve_all();
            worked |= self.with(|cast, floor| {
                let mut worked = false;
                for client in cast.clients.iter_mut() {
                    let link = &mut floor.links[client.link];
                    if link.up.is_deliverable() {
                        link.deliver_up(usize::MAX);
                        worked = true;
                    }
                    worked |= link.down.is_deliverable();
                    link.down.deliver(usize::MAX);
                    link.on_room();
                    worked |= client.write(usize::MAX, floor);
                    worked |= client.read(usize::MAX, floor);
                }
                for reactor in cast.reactors.iter_mut() {
                    if reactor.is_runnable(floor) {
                        reactor.turn(cast.workers, floor);
                        worked = true;
                    }
                }
                for worker in cast.workers.iter_mut() {
                    if worker.is_runnable(floor) {
                        worker.turn(floor);
                        worked = true;
                    }
                }
                worked
            });
            if !worked {
                // A full queue is tried again after a while.
                let retries = self.queues.reactors.iter().chain(&self.queues.workers);
                let soon = retries.filter_map(|sleep| sleep.until).min().filter(|at| *at < self.now.mono.0 + 3_000_000);
                match soon {
                    Some(at) => self.move_to(self.now.mono.0.max(at)),
                    None => return,
                }
            }
        }
        panic!("the world never comes to rest");
    }

    fn check_quiet(&mut self) {
        let open: Vec<usize> = self
            .clients
            .iter()
            .filter(|client| client.may_speak() && matches!(self.links[client.link].holder, Holder::Conn(..)))
            .filter(|client| !self.links[client.link].up.is_ended())
            .map(|client| client.link)
            .collect();
        self.say(format!("links {open:?} are open at the end"));
        for link in open {
            self.shadow.check_quiet(link);
            self.shadow.books[link].is_checked = true;
        }
        let in_flight: u32 = self.reactors.iter().map(|reactor| reactor.in_flight()).sum();
        assert_eq!(in_flight, 0, "messages that no worker settled");
        let under_way: usize = self.workers.iter().map(|worker| worker.shard.hydrogen().commands_under_way()).sum();
        assert_eq!(under_way, 0, "commands that no worker answered");
    }

    /// Everybody leaves, each in its way, and time passes until the last is gone.
    fn see_off(&mut self) {
        self.with(|cast, floor| {
            for client in cast.clients.iter_mut().filter(|client| !client.is_gone) {
                match floor.dice.below(4) {
                    0 if client.may_speak() => client.close(floor),
                    0 | 1 => client.leave(floor),
                    2 => {
                        floor.links[client.link].reset();
                        client.is_gone = true;
                    }
                    // It stays until the server is tired of it.
                    _ => client.is_silent = true,
                }
            }
        });
        for _ in 0..30 {
            self.settle();
            if self.live().is_empty() {
                return;
            }
            self.pass(self.plan.settings.idle_timeout / 5);
        }
        let left: Vec<usize> = self.live().into_iter().filter(|link| self.links[*link].accepted.is_some()).collect();
        assert!(left.is_empty(), "links {left:?} never end");
    }

    fn check_end(&mut self) {
        self.pass(Duration::from_secs(11));
        self.settle();
        self.shadow.check_end(&self.registry.figures());
        for reactor in &self.reactors {
            assert!(reactor.endpoint.is_empty(), "connections that are left");
            assert_eq!(reactor.endpoint.outbound_bytes(), 0, "bytes that are left");
        }
        let mut subscriptions = 0;
        for worker in &self.workers {
            assert_eq!(worker.shard.hydrogen().sessions(), 0, "sessions that are left");
            assert_eq!(worker.shard.hydrogen().commands_under_way(), 0, "commands that are left");
            subscriptions += worker.shard.hydrogen().topics().subscriptions;
        }
        assert_eq!(subscriptions, 0, "subscriptions that are left");
    }
}
