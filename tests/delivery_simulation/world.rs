//! The world: it owns every part, decides by chance what happens next, and brings a run to its end.

use std::time::Duration;

use hydrogen::base::{ConnId, Mono, Now, Reason, Wall};
use hydrogen::engine::store::{StoreEvent, To};
use hydrogen::sys::store::memory::MemoryDisk;

use crate::book::Book;
use crate::client::{Client, Role};
use crate::dice::Dice;
use crate::keys::ROOT;
use crate::mutation::{Mutation, Saboteur};
use crate::plan::Plan;
use crate::server::Server;
use crate::storage::{self, Storage};
use crate::trace::{Trace, say};

pub struct World {
    pub plan: Plan,
    pub dice: Dice,
    pub trace: Trace,
    pub saboteur: Saboteur,
    pub step: u64,
    pub now: Now,
    /// The wall clock's lead, in milliseconds: jumps change it.
    wall_offset: i64,
    pub has_jumped: bool,
    pub worker_count: usize,
    pub server: Server,
    pub disk: MemoryDisk,
    pub storage: Storage,
    /// What the store said, before the workers hear it.
    pub heard: Vec<(To, StoreEvent)>,
    /// Groups that were handed to the store.
    pub groups: u64,
    pub book: Book,
    pub clients: Vec<Client>,
    pub commands: u32,
    pub names: u32,
    pub responses: u64,
    /// Nothing goes wrong any more, and nobody begins anything new.
    pub is_calm: bool,
    /// The server ends in order.
    pub is_stopping: bool,
}

pub const START: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_790_000_000_000) };

impl World {
    pub fn new(seed: u64, mutation: Mutation, keeps_trace: bool, prints: bool) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan::of(&mut dice);
        let disk = MemoryDisk::new();
        let (storage, image) = storage::open(&disk, None, mutation);
        let mut clients = Vec::new();
        for index in 0..plan.publishers {
            clients.push(Client::new(index, Role::Publisher, None));
        }
        let is_group = dice.chance(30);
        for index in 0..plan.subscribers {
            let role = if dice.chance(50) { Role::Durable } else { Role::Session };
            let name = if is_group { "n".into() } else { format!("n-{index}").into() };
            let name = (role == Role::Durable).then_some(name);
            clients.push(Client::new(if is_group { 2 } else { 2 + index % 2 }, role, name));
        }
        for _ in 0..plan.listeners {
            clients.push(Client::new(3, Role::Listener, None));
        }
        if plan.has_admin {
            clients.push(Client::new(ROOT, Role::Admin, None));
        }
        let mut world = World {
            trace: Trace::new(keeps_trace, prints),
            saboteur: Saboteur::new(mutation, seed),
            step: 0,
            now: START,
            wall_offset: START.wall.0 - (START.mono.0 / 1_000_000) as i64,
            has_jumped: false,
            worker_count: plan.workers,
            server: Server::default(),
            disk,
            storage,
            heard: Vec::new(),
            groups: 0,
            book: Book { life: 1, wall: START.wall, late: plan.late(), ..Book::default() },
            clients,
            commands: 0,
            names: 0,
            responses: 0,
            is_calm: false,
            is_stopping: false,
            dice,
            plan,
        };
        world.begin(image);
        world
    }

    /// From the first step to the last check.
    pub fn run(&mut self) {
        while self.step < self.plan.steps {
            self.begin_step();
            self.tick();
        }
        self.wind_up();
    }

    pub fn begin_step(&mut self) {
        self.step += 1;
        self.book.step = self.step;
        let wait = 1000 + self.dice.below(300_000) as u64;
        self.move_to(self.now.mono.0 + wait);
        if self.step.is_multiple_of(32) {
            self.check_bounds();
        }
    }

    fn tick(&mut self) {
        let rare = self.dice.below(1000);
        let Plan { kills, losses, faults, .. } = self.plan;
        if rare < kills {
            return self.restart();
        }
        if rare < kills + losses {
            return self.lose_one();
        }
        if rare < kills + losses + faults || (rare > 970 && self.disk.faults() != Default::default()) {
            return self.trouble();
        }
        if self.plan.flips && rare == 999 {
            return self.flip();
        }
        match self.dice.below(100) {
            0..20 => self.client_acts(),
            20..60 => {
                let _ = self.time_out() || self.work() || self.store_turn() || self.deliver();
            }
            60..72 => {
                let _ = self.store_turn();
            }
            72..94 => {
                let _ = self.deliver();
            }
            _ => self.time_passes(),
        }
    }

    fn time_passes(&mut self) {
        let ms =
            if self.dice.chance(self.plan.jumps) { self.dice.between(500, 6000) } else { self.dice.between(1, 120) };
        self.pass(Duration::from_millis(ms as u64));
        if self.plan.wall_jumps && self.dice.chance(20) {
            self.has_jumped = true;
            let jump = self.dice.between(0, 20_000) as i64 - 10_000;
            self.wall_offset += jump;
            self.now.wall.0 += jump;
            self.book.wall = self.book.wall.max(self.now.wall);
            say!(self, "the wall clock jumps by {jump} ms");
        }
    }

    pub fn pass(&mut self, wait: Duration) {
        self.move_to(self.now.mono.after(wait).0);
        say!(self, "{} ms pass", wait.as_millis());
    }

    fn move_to(&mut self, mono: u64) {
        self.now = Now { mono: Mono(mono), wall: Wall(self.wall_offset + (mono / 1_000_000) as i64) };
        self.book.wall = self.book.wall.max(self.now.wall);
    }

    /// Connections that are open, in order.
    pub fn open_conns(&self) -> Vec<ConnId> {
        let mut open: Vec<ConnId> =
            self.server.conns.iter().filter(|(_, conn)| !conn.is_closed).map(|(id, _)| *id).collect();
        open.sort_unstable();
        open
    }

    fn lose_one(&mut self) {
        let open = self.open_conns();
        if !open.is_empty() {
            let conn = self.dice.pick(&open);
            self.lose(conn, Reason::PeerReset);
        }
    }

    fn flip(&mut self) {
        let dice = &mut self.dice;
        let is_flipped = self.disk.flip(&mut |below| dice.next() % below.max(1));
        say!(self, "a bit flips: {is_flipped}");
    }

    /// The server is gone, and every connection with it.
    pub fn lost_all(&mut self) {
        self.server.conns.clear();
        for c in 0..self.clients.len() {
            let client = &mut self.clients[c];
            if let Some(session) = &mut client.session {
                session.may_be_gone |= !session.is_stored;
            }
            if client.conn.take().is_some() {
                self.disconnected(c);
            }
        }
    }

    fn check_bounds(&self) {
        let windows: usize = self.book.subs.iter().map(|sub| sub.window).sum();
        let mut in_flight = 0;
        let mut requests = 0;
        for worker in &self.server.workers {
            in_flight += worker.shard.hydrogen().in_flight();
            requests += worker.shard.hydrogen().store_requests();
        }
        assert!(in_flight <= windows, "{in_flight} events in flight, over all windows of {windows}");
        assert!(requests < 300, "{requests} requests wait for the store");
        let sessions: usize = self.server.workers.iter().map(|worker| worker.shard.hydrogen().sessions()).sum();
        assert!(sessions <= self.server.conns.len(), "{sessions} sessions");
    }
}
