//! What the server asks of the system: the real program with one reactor and one worker, one
//! publisher, and subscribers of one topic who wait for each other. Counted by the server's own
//! counters, and these are held against `strace` where there is one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::json;
use tempfile::TempDir;

use crate::client::Client;
use crate::dice::Dice;
use crate::figures::hold;
use crate::program::{Home, PATIENCE, Program, fetch};

const SUBSCRIBERS: usize = 256;
const ROUNDS: usize = 50;

struct Scene {
    // Dropped first: the server, then its folder.
    program: Program,
    address: SocketAddr,
    publisher: Client,
    subscribers: Vec<Client>,
    folder: TempDir,
}

/// What the server counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    turns: f64,
    reads: f64,
    writes: f64,
    wakes: f64,
    deliveries: f64,
}

impl Scene {
    fn new() -> Scene {
        let folder = tempfile::Builder::new().prefix("hydrogen-costs-").tempdir().unwrap();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let home = Home::new(folder.path(), &mut Dice::new(now.as_nanos() as u64));
        let server = json!({"Port": home.address.port(), "ThreadPoolSize": 1, "IoThreads": 1});
        home.configure(&json!({"WebSocketServer": server}));
        let token = home.key("everyone", "connect,publish:>,subscribe:>");
        let program = home.start(&[] as &[(&str, &Path)]);
        let address = home.address;
        let connect = || Client::connect(address, &token).unwrap();
        let mut subscribers: Vec<Client> = (0..SUBSCRIBERS).map(|_| connect()).collect();
        for client in &mut subscribers {
            let answer = client.call("subscribe", &json!({"topics": ["a.b"]}), |_| {}).unwrap();
            assert_eq!(answer["status"], "success", "{answer}");
        }
        let mut scene = Scene { program, address, publisher: connect(), subscribers, folder };
        scene.rounds(5, 16);
        scene
    }

    /// So many publications at once, until everybody has all of them; so many times.
    fn rounds(&mut self, rounds: usize, publications: usize) {
        for _ in 0..rounds {
            for id in 0..publications {
                let data = json!({"topic": "a.b", "payload": "x".repeat(254)});
                let id = format!("p{id}");
                let command =
                    json!({"type": "command", "id": id, "channel": "system", "action": "publish", "data": data});
                self.publisher.queue(&command).unwrap();
            }
            self.publisher.flush().unwrap();
            hear(&mut self.publisher, "response", publications);
            self.subscribers.iter_mut().for_each(|client| hear(client, "event", publications));
        }
    }

    /// What these rounds took. What asking for it takes is taken off again.
    fn count(&mut self, rounds: usize, publications: usize) -> Counted {
        let before = counted(self.address);
        let between = counted(self.address);
        self.rounds(rounds, publications);
        let after = counted(self.address);
        after.since(between).since(between.since(before))
    }
}

impl Counted {
    fn since(self, before: Counted) -> Counted {
        Counted {
            turns: self.turns - before.turns,
            reads: self.reads - before.reads,
            writes: self.writes - before.writes,
            wakes: self.wakes - before.wakes,
            deliveries: self.deliveries - before.deliveries,
        }
    }

    /// A turn is one wait for events.
    fn calls(self) -> f64 {
        self.turns + self.reads + self.writes + self.wakes
    }
}

fn hear(client: &mut Client, kind: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let mut heard = 0;
    while heard < count {
        assert!(Instant::now() < deadline, "{heard} of {count} came");
        if client.poll(Duration::from_secs(1)).unwrap().is_some_and(|message| message["type"] == kind) {
            heard += 1;
        }
    }
}

fn counted(address: SocketAddr) -> Counted {
    let text = fetch(address, "/metrics").unwrap();
    let value = |name: &str| -> f64 {
        let name = format!("hydrogen_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&*name));
        line.unwrap_or_else(|| panic!("no {name}in {text}")).parse().unwrap()
    };
    Counted {
        turns: value("reactor_turns_total"),
        reads: value("reads_total"),
        writes: value("writes_total"),
        wakes: value("wakes_total"),
        deliveries: value("events_delivered_total"),
    }
}

#[test]
fn a_delivery_is_one_write_and_in_a_burst_much_less() {
    let mut scene = Scene::new();
    let (one, sixteen) = (scene.count(ROUNDS, 1), scene.count(ROUNDS, 16));
    println!("one in flight: {one:?}\nsixteen: {sixteen:?}");
    assert_eq!(one.deliveries as usize, ROUNDS * SUBSCRIBERS);
    assert_eq!(sixteen.deliveries as usize, ROUNDS * SUBSCRIBERS * 16);
    hold(&[
        ("calls.delivery", one.calls() / one.deliveries),
        ("calls.delivery_of_16", sixteen.calls() / sixteen.deliveries),
    ]);
    assert!(sixteen.calls() / sixteen.deliveries < 0.2, "{sixteen:?}");
}

/// `strace`, attached to the server.
struct Strace {
    child: Child,
    table: PathBuf,
}

impl Strace {
    /// Attaches; or why that cannot be done.
    fn attach(scene: &Scene) -> Result<Strace, String> {
        let (table, errors) = (scene.folder.path().join("strace"), scene.folder.path().join("strace.errors"));
        let mut command = Command::new("strace");
        command.args(["-f", "-c", "-o"]).arg(&table).args(["-p", &scene.program.id().to_string()]);
        command.stdin(Stdio::null()).stderr(File::create(&errors).unwrap());
        let mut child = command.spawn().map_err(|error| format!("strace: {error}"))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let said = fs::read_to_string(&errors).unwrap();
            if said.contains(" attached") {
                return Ok(Strace { child, table });
            }
            if child.try_wait().unwrap().is_some() {
                return Err(said.trim().to_owned());
            }
            assert!(Instant::now() < deadline, "strace does not attach: {said}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it; gives how often each system call was made.
    fn end(mut self) -> BTreeMap<String, f64> {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        self.child.wait().unwrap();
        let table = fs::read_to_string(&self.table).unwrap();
        let row = |line: &str| {
            // Share, seconds, microseconds a call, calls, errors if there were any, name.
            let cells: Vec<&str> = line.split_whitespace().collect();
            let name = cells.last().filter(|name| **name != "total")?;
            Some(((*name).to_owned(), cells.get(3)?.parse().ok()?))
        };
        table.lines().filter_map(row).collect()
    }
}

#[test]
fn the_counters_say_what_the_system_was_asked() {
    let mut scene = Scene::new();
    let strace = match Strace::attach(&scene) {
        Ok(strace) => strace,
        Err(why) => return println!("left out: the counters were not held against strace: {why}"),
    };
    let before = counted(scene.address);
    scene.rounds(10, 1);
    scene.rounds(10, 16);
    let calls = strace.end();
    let counted = counted(scene.address).since(before);
    println!("strace: {calls:?}\ncounted: {counted:?}");
    let of = |name: &str| calls.get(name).copied().unwrap_or_default();
    for (what, counted, traced) in [
        ("writes", counted.writes, of("writev") + of("sendto")),
        ("reads", counted.reads, of("recvfrom")),
        ("turns", counted.turns, of("epoll_wait")),
    ] {
        // What asks for the counters is in one of the two, and threads that tick all by themselves.
        assert!((counted - traced).abs() <= 10.0 + traced / 50.0, "{what}: {counted} counted, {traced} traced");
    }
    // A batch wakes a worker, and its orders a reactor; the rest is what no counter knows of.
    let known = of("writev") + of("sendto") + of("recvfrom") + of("epoll_wait");
    let rest = calls.values().sum::<f64>() - known;
    println!("beside those: {rest}, of them {} futex, {} write", of("futex"), of("write"));
    assert!(rest <= 50.0 + 8.0 * 20.0, "{rest} other calls for twenty rounds: {calls:?}");
}

#[test]
fn a_peer_that_does_not_close_costs_no_turns() {
    let scene = Scene::new();
    let before = counted(scene.address);
    let mut slow = TcpStream::connect(scene.address).unwrap();
    write!(slow, "GET /health HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", scene.address).unwrap();
    let mut answer = String::new();
    // Up to the end of the stream: from here on the server waits for this end's.
    slow.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    thread::sleep(Duration::from_millis(300));
    let turns = counted(scene.address).since(before).turns;
    assert!(turns < 50.0, "{turns} turns while nothing happened");
}
