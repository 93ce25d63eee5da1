//! The world: it owns every part, decides by chance what happens next, and brings a run to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use hydrogen::base::{ConnId, Mono, Now, Reason, Wall};
use hydrogen::sys::store::memory::MemoryDisk;

use crate::ask::Req;
use crate::client::Client;
use crate::dice::Dice;
use crate::journal::Journal;
use crate::life::Conn;
use crate::mutation::{Mutation, Saboteur};
use crate::order::History;
use crate::plan::Plan;
use crate::proofs::Proofs;
use crate::server::Server;
use crate::signals::{Passed, Relayed, Sent};
use crate::storage::{self, Storage};
use crate::trace::{Trace, say};

/// A token with which a lost connection's place can be taken.
pub struct Token {
    pub text: String,
    pub conn: ConnId,
    /// How often somebody tried it.
    pub tries: u32,
    pub is_used: bool,
}

pub struct World {
    pub plan: Plan,
    pub dice: Dice,
    pub trace: Trace,
    pub saboteur: Saboteur,
    pub step: u64,
    pub now: Now,
    /// The wall clock's lead, in milliseconds: jumps change it.
    wall_offset: i64,
    pub wall_max: i64,
    pub has_jumped: bool,
    pub worker_count: usize,
    pub server: Server,
    pub disk: MemoryDisk,
    pub storage: Storage,
    pub journal: Journal,
    /// The step in which the server began, and the one in which the store failed last.
    pub began: u64,
    pub last_failure: u64,
    pub clients: Vec<Client>,
    pub connects: u32,
    pub names: u32,
    pub requests: Vec<Req>,
    pub signals: Vec<Sent>,
    pub relays: Vec<Relayed>,
    /// By sender, receiver, room, and whether they name that.
    pub passed: BTreeMap<(ConnId, u64, Box<str>, bool), Passed>,
    /// What peers were told that they missed.
    pub missed: BTreeMap<u64, u64>,
    pub tokens: Vec<Token>,
    /// What others know connections by, and the keys of those.
    pub peers: BTreeMap<ConnId, u64>,
    /// The same and since when, with what connections were known by before they took a lost one's place.
    pub ids: BTreeMap<(ConnId, u64), u64>,
    pub keys: BTreeMap<u64, u8>,
    /// Who is in which room, and since when.
    pub present: BTreeMap<(Box<str>, u64), u64>,
    /// When somebody was out of a room last.
    pub out: BTreeMap<(Box<str>, u64), u64>,
    /// When a room's worker knew somebody to be out of it last.
    pub went: BTreeMap<(Box<str>, u64), u64>,
    /// When a member's worker knew it to be none any more.
    pub gone: BTreeMap<(Box<str>, u8), u64>,
    /// When a room was full last.
    pub full: BTreeMap<Box<str>, u64>,
    /// Requests that waited for a room when it was last looked at.
    pub mails: BTreeMap<Box<str>, usize>,
    /// When somebody came into a room last.
    pub activity: BTreeMap<Box<str>, Mono>,
    /// Since when a member of a room knows that it is one.
    pub members: BTreeMap<(Box<str>, u8), u64>,
    /// Wrong passwords by room, and the time of the first.
    pub wrong: BTreeMap<String, (u64, Mono)>,
    pub histories: BTreeMap<Box<str>, History>,
    pub proofs: Proofs,
    /// What stands for whom in which room. It stays so, over all lives.
    pub aliases: BTreeMap<String, (Box<str>, u8)>,
    /// Connections that the server gave up.
    pub closing: Vec<(ConnId, Reason)>,
    /// Nothing goes wrong any more, and nobody begins anything new.
    pub is_calm: bool,
    /// The server ends in order.
    pub is_stopping: bool,
}

pub const START: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_790_000_000_000) };

impl World {
    pub fn new(seed: u64, mutation: Mutation, keeps_trace: bool, prints: bool) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan::of(seed, &mut dice);
        let disk = MemoryDisk::new();
        let storage = storage::open(&disk, START.wall, mutation);
        let clients = (0..plan.clients).map(|index| Client::new(index, &plan, &mut dice)).collect();
        let mut world = World {
            trace: Trace::new(keeps_trace, prints),
            saboteur: Saboteur::new(mutation, seed),
            step: 0,
            now: START,
            wall_offset: START.wall.0 - (START.mono.0 / 1_000_000) as i64,
            wall_max: START.wall.0,
            has_jumped: false,
            worker_count: plan.workers,
            server: Server::default(),
            disk,
            storage,
            journal: Journal::default(),
            began: 0,
            last_failure: 0,
            clients,
            connects: 0,
            names: 0,
            requests: Vec::new(),
            signals: Vec::new(),
            relays: Vec::new(),
            passed: BTreeMap::new(),
            missed: BTreeMap::new(),
            tokens: Vec::new(),
            peers: BTreeMap::new(),
            ids: BTreeMap::new(),
            keys: BTreeMap::new(),
            present: BTreeMap::new(),
            out: BTreeMap::new(),
            went: BTreeMap::new(),
            gone: BTreeMap::new(),
            full: BTreeMap::new(),
            mails: BTreeMap::new(),
            activity: BTreeMap::new(),
            members: BTreeMap::new(),
            wrong: BTreeMap::new(),
            histories: BTreeMap::new(),
            proofs: Proofs::default(),
            aliases: BTreeMap::new(),
            closing: Vec::new(),
            is_calm: false,
            is_stopping: false,
            dice,
            plan,
        };
        world.begin();
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
        let wait = 1000 + self.dice.below(300_000) as u64;
        self.move_to(self.now.mono.0 + wait);
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
        match self.dice.below(100) {
            0..25 => self.client_acts(),
            25..75 => {
                for _ in 0..self.dice.between(1, 6) {
                    let _ = self.time_out() || self.work() || self.store_turn() || self.end_one();
                }
            }
            75..88 => {
                let _ = self.store_turn();
            }
            88..94 => {
                let _ = self.end_one();
            }
            _ => self.time_passes(),
        }
    }

    fn time_passes(&mut self) {
        let is_far = self.dice.chance(self.plan.jumps);
        let ms = if is_far { self.dice.between(500, 45_000) } else { self.dice.between(1, 400) };
        self.pass(Duration::from_millis(ms as u64));
        if self.plan.wall_jumps && self.dice.chance(20) {
            self.has_jumped = true;
            let jump = self.dice.between(0, 200_000) as i64 - 100_000;
            self.wall_offset += jump;
            self.move_to(self.now.mono.0);
            say!(self, "the wall clock jumps by {jump} ms");
        }
    }

    pub fn pass(&mut self, wait: Duration) {
        self.move_to(self.now.mono.after(wait).0);
        say!(self, "{} ms pass", wait.as_millis());
    }

    fn move_to(&mut self, mono: u64) {
        self.now = Now { mono: Mono(mono), wall: Wall(self.wall_offset + (mono / 1_000_000) as i64) };
        self.wall_max = self.wall_max.max(self.now.wall.0);
    }

    fn lose_one(&mut self) {
        let open = self.open_conns();
        if !open.is_empty() {
            let conn = self.dice.pick(&open);
            self.lose(conn, Reason::PeerReset);
        }
    }

    /// A connection that is known.
    pub fn conn(&mut self, conn: ConnId) -> &mut Conn {
        self.server.conns.get_mut(&conn).expect("a connection that was opened")
    }
}
