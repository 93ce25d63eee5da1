//! The world: it owns every part, decides by chance who acts next, and brings a run to its end.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hydrogen::base::counters::Registry;
use hydrogen::base::{Mono, Now, ReactorId, Wall, WorkerId};
use hydrogen::dialect::hydrogen::system::{About, SystemChannel};
use hydrogen::dialect::hydrogen::{Channels, Hydrogen, Parts};
use hydrogen::engine::auth::{BlockList, Throttle, ThrottlePolicy};
use hydrogen::engine::endpoint::Endpoint;
use hydrogen::engine::topic::Bounds;
use hydrogen::engine::work::{Notice, StopCause};
use hydrogen::server::shard::Dialects;

use crate::channel::{App, Held};
use crate::client::{Client, Kind};
use crate::dice::Dice;
use crate::floor::{Desk, Floor};
use crate::keys::Keys;
use crate::link::{Holder, Link};
use crate::mutation::{Mutation, Saboteur};
use crate::plan::Plan;
use crate::queues::{Queues, ToReactor, ToWorker};
use crate::reactor::Reactor;
use crate::shadow::{Book, Shadow};
use crate::trace::Trace;
use crate::worker::Worker;

/// Clients that ever come in one run.
const CLIENTS: usize = 60;

/// A message of the keeper or of the stop, to one thread. They are sent one after the other.
pub enum Told {
    Reactor(usize, ToReactor),
    Worker(usize, ToWorker),
}

pub struct World {
    pub plan: Plan,
    pub step: u64,
    pub now: Now,
    /// The wall clock's lead, in milliseconds: jumps change it.
    wall_offset: i64,
    pub dice: Dice,
    pub trace: Trace,
    pub links: Vec<Link>,
    pub queues: Queues,
    pub desk: Desk,
    pub shadow: Shadow,
    pub saboteur: Saboteur,
    pub reactors: Vec<Reactor>,
    pub workers: Vec<Worker>,
    pub clients: Vec<Client>,
    pub held: Arc<Held>,
    pub keys: Keys,
    pub blocks: BlockList,
    pub access_version: u64,
    pub told: VecDeque<Told>,
    pub registry: Registry,
    /// Nobody begins anything new.
    pub is_calm: bool,
}

const START: Now = Now { mono: Mono(1_000_000_000), wall: Wall(1_790_000_000_000) };

impl World {
    pub fn new(seed: u64, mutation: Mutation, prints: bool) -> World {
        let mut dice = Dice::new(seed);
        let plan = Plan::of(seed, &mut dice);
        let keys = Keys::new(&mut dice, START.wall);
        let held = Arc::new(Held::default());
        let mut registry = Registry::default();
        let mut channels = Channels::default();
        let system = Arc::new(SystemChannel::new(held.clone()));
        system.describe(About { info: "{}".into(), channels: serde_json::json!([]) });
        channels.add("system", system).unwrap();
        channels.add("app", Arc::new(App(held.clone()))).unwrap();
        let channels = Arc::new(channels);
        let access = keys.snapshot(0, BlockList::default());
        let mut shadow = Shadow::default();
        shadow.has_rate = plan.hydrogen.rate.is_some();
        for key in &keys.0 {
            shadow.on_rights(key.name, key.permissions(), false);
        }
        let reactors = (0..plan.reactors)
            .map(|index| {
                let throttle = Throttle::new(ThrottlePolicy::default());
                let id = ReactorId(index as u8);
                let endpoint = Endpoint::new(id, plan.settings.clone(), access.clone(), registry.register(), throttle);
                Reactor::new(index, endpoint, plan.workers)
            })
            .collect();
        let workers = (0..plan.workers)
            .map(|index| {
                let counters = registry.register();
                let hydrogen = Hydrogen::new(Parts {
                    worker: WorkerId(index as u16),
                    workers: plan.workers,
                    settings: plan.hydrogen.clone(),
                    access: access.clone(),
                    channels: channels.clone(),
                    completions: held.clone(),
                    reports: held.clone(),
                    counters: counters.clone(),
                    bounds: Bounds { listed_targets: 8, patched_from: 2, ..Bounds::default() },
                    seed: dice.bytes(),
                    started: START,
                    image: Arc::default(),
                });
                Worker::new(index, Dialects::new(hydrogen, counters), plan.reactors)
            })
            .collect();
        World {
            step: 0,
            now: START,
            wall_offset: START.wall.0 - (START.mono.0 / 1_000_000) as i64,
            trace: Trace::new(prints),
            links: Vec::new(),
            queues: Queues::new(&plan),
            desk: Desk::default(),
            shadow,
            saboteur: Saboteur::new(mutation, seed),
            reactors,
            workers,
            clients: Vec::new(),
            held,
            keys,
            blocks: BlockList::default(),
            access_version: 0,
            told: VecDeque::new(),
            registry,
            is_calm: false,
            dice,
            plan,
        }
    }

    /// From the first step to the last check.
    pub fn run(&mut self) {
        while self.step < self.plan.steps {
            self.tick();
        }
        self.wind_up();
    }

    /// Runs something with all that the threads share.
    pub fn with<T>(&mut self, act: impl FnOnce(&mut Cast<'_>, &mut Floor<'_>) -> T) -> T {
        let mut cast = Cast {
            reactors: &mut self.reactors,
            workers: &mut self.workers,
            clients: &mut self.clients,
            keys: &self.keys,
        };
        let mut floor = Floor {
            plan: &self.plan,
            now: self.now,
            step: self.step,
            dice: &mut self.dice,
            trace: &mut self.trace,
            links: &mut self.links,
            queues: &mut self.queues,
            desk: &mut self.desk,
            shadow: &mut self.shadow,
            saboteur: &mut self.saboteur,
        };
        act(&mut cast, &mut floor)
    }

    fn tick(&mut self) {
        self.begin_step();
        if self.plan.drains_at == Some(self.step) {
            self.drain();
        }
        match self.dice.below(100) {
            0..22 => self.reactor_turn(),
            22..42 => self.worker_turn(),
            42..62 => self.deliver(),
            62..90 => self.client_acts(),
            90..97 => {
                self.service();
            }
            _ => self.time_passes(),
        }
    }

    /// Counts the step; notes whether everything between the workers has arrived.
    pub fn begin_step(&mut self) {
        self.step += 1;
        self.shadow.step = self.step;
        let wait = 1 + self.dice.below(20_000) as u64;
        self.move_to(self.now.mono.0 + wait);
        let told_nobody = self.told.is_empty();
        if told_nobody && self.with(|cast, floor| cast.workers.iter().all(|worker| worker.is_idle(floor))) {
            self.shadow.on_settled();
        }
    }

    fn reactor_turn(&mut self) {
        self.with(|cast, floor| {
            let runnable: Vec<usize> = cast
                .reactors
                .iter()
                .filter(|reactor| reactor.is_runnable(floor))
                .map(|reactor| reactor.index)
                .collect();
            if !runnable.is_empty() {
                let index = floor.dice.pick(&runnable);
                cast.reactors[index].turn(cast.workers, floor);
            }
        });
    }

    fn worker_turn(&mut self) {
        self.with(|cast, floor| {
            let runnable: Vec<usize> =
                cast.workers.iter().filter(|worker| worker.is_runnable(floor)).map(|worker| worker.index).collect();
            if !runnable.is_empty() {
                let index = floor.dice.pick(&runnable);
                cast.workers[index].turn(floor);
            }
        });
    }

    fn deliver(&mut self) {
        let waits = |link: &Link| link.up.is_deliverable() || link.down.is_deliverable() || link.is_full;
        let waiting: Vec<usize> = (0..self.links.len()).filter(|index| waits(&self.links[*index])).collect();
        if waiting.is_empty() {
            return;
        }
        let index = self.dice.pick(&waiting);
        let count = if self.dice.chance(25) { self.dice.between(1, 12) } else { usize::MAX };
        let link = &mut self.links[index];
        if self.dice.chance(50) {
            if link.up.is_deliverable() {
                link.deliver_up(count);
            }
        } else {
            link.down.deliver(count);
        }
        // A socket that took less than it had room for says so, too.
        link.on_room();
    }

    fn client_acts(&mut self) {
        if self.clients.iter().filter(|client| !client.is_gone).count() < self.plan.clients
            && self.clients.len() < CLIENTS
            && self.dice.chance(10)
        {
            return self.connect();
        }
        let here: Vec<usize> = (0..self.clients.len()).filter(|index| !self.clients[*index].is_gone).collect();
        if here.is_empty() {
            return;
        }
        let index = self.dice.pick(&here);
        self.with(|cast, floor| {
            let client = &mut cast.clients[index];
            match floor.dice.below(10) {
                0..4 => client.speak(cast.keys, floor),
                4..7 => {
                    let most = if floor.dice.chance(25) { floor.dice.between(1, 30) } else { usize::MAX };
                    client.write(most, floor);
                }
                _ if client.is_slow && !floor.dice.chance(3) => {}
                _ => {
                    let most = if floor.dice.chance(30) { floor.dice.between(1, 30) } else { usize::MAX };
                    client.read(most, floor);
                }
            }
        });
    }

    fn connect(&mut self) {
        let kind = match self.dice.below(20) {
            0 => Kind::Http,
            1 => Kind::Echo,
            2 if self.dice.chance(self.plan.rude * 5) => Kind::Noise,
            _ => Kind::Hydrogen,
        };
        let host = Ipv4Addr::new(10, 0, 0, self.dice.between(1, self.plan.hosts) as u8);
        let number = self.links.len();
        let address = SocketAddr::new(IpAddr::V4(host), 1024 + number as u16);
        self.links.push(Link::new(address, self.plan.pipe));
        self.desk.backlog.push_back(number);
        let book = self.shadow.open_book(Book::default());
        assert_eq!(book, number);
        let mut client = Client::new(number, kind);
        client.key = (!self.dice.chance(self.plan.strangers)).then(|| self.dice.pick(&[0, 0, 0, 1, 1, 2, 3, 4, 4, 5]));
        client.is_slow = self.dice.chance(self.plan.slow);
        self.with(|cast, floor| {
            floor.say(format!("link {number} connects: {kind:?}"));
            client.ask(cast.keys, floor);
            if floor.dice.chance(floor.plan.rude) {
                // It stays, and says nothing at all.
                client.outbox.truncate(10);
            }
            cast.clients.push(client);
        });
    }

    fn time_passes(&mut self) {
        let far = self.dice.chance(self.plan.jumps);
        let ms = match self.dice.below(10) {
            _ if far => self.dice.between(5_000, 70_000),
            0..9 => self.dice.between(1, 20),
            _ => self.dice.between(20, 1_500),
        };
        self.pass(Duration::from_millis(ms as u64));
        if self.dice.chance(self.plan.jumps) {
            let jump = self.dice.between(0, 7_200_000) as i64 - 3_600_000;
            self.wall_offset += jump;
            self.now.wall.0 += jump;
            self.say(format!("the wall clock jumps by {jump} ms"));
        }
    }

    pub fn pass(&mut self, wait: Duration) {
        self.move_to(self.now.mono.after(wait).0);
        self.say(format!("{} ms pass", wait.as_millis()));
    }

    /// Both clocks go on.
    pub fn move_to(&mut self, mono: u64) {
        self.now = Now { mono: Mono(mono), wall: Wall(self.wall_offset + (mono / 1_000_000) as i64) };
    }

    pub fn say(&mut self, text: String) {
        self.trace.line(self.step, text);
    }

    /// The server is told to stop, in the order in which it tells its threads.
    pub fn drain(&mut self) {
        self.say("the server is told to stop".into());
        self.shadow.stops = true;
        for reactor in 0..self.plan.reactors {
            self.told.push_back(Told::Reactor(reactor, ToReactor::Drain));
        }
        for worker in 0..self.plan.workers {
            self.told.push_back(Told::Worker(worker, ToWorker::Notice(Notice::Drain(StopCause::Asked))));
        }
    }

    /// Links whose connection is not over.
    pub fn live(&self) -> Vec<usize> {
        let is_live = |link: &Link| matches!(link.holder, Holder::Conn(..) | Holder::Nobody);
        (0..self.links.len()).filter(|index| is_live(&self.links[*index])).collect()
    }
}

/// The actors of a world.
pub struct Cast<'a> {
    pub reactors: &'a mut Vec<Reactor>,
    pub workers: &'a mut Vec<Worker>,
    pub clients: &'a mut Vec<Client>,
    pub keys: &'a Keys,
}
