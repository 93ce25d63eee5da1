//! The disk is in trouble under a server that runs: full, failing, read-only, slow, or lying about
//! its syncs. What needs the disk is refused for now, the rest goes on, and when the disk is well
//! again so is the server.

mod observer;
mod shim;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::check::{Floors, broken};
use crate::client::Client;
use crate::crowd::{Crowd, Dismiss, SHORT_REST, judge, report};
use crate::dice::Dice;
use crate::program::{Home, PATIENCE};
use crate::seed;
use crate::world::{Phase, World};
use observer::Observer;
use shim::{EIO, ENOSPC, EROFS, Order, Shim};

/// Times that the power goes soon after a sync that failed.
const CUTS: usize = 6;

/// A folder of a run, kept if it fails.
fn folder(name: &str) -> tempfile::TempDir {
    let mut folder = tempfile::Builder::new().prefix(&format!("hydrogen-{name}-")).tempdir().unwrap();
    folder.disable_cleanup(true);
    folder
}

fn passed(mut folder: tempfile::TempDir) {
    folder.disable_cleanup(false);
}

fn sections(store: Value) -> Value {
    let mut sections = Observer::rules();
    sections["Store"] = store;
    sections
}

/// One way in which a disk fails: what is ordered, what publishers are told, what `/ready` says.
struct Trouble {
    name: &'static str,
    orders: &'static [(Order, u32)],
    codes: &'static [&'static str],
    reasons: &'static [&'static str],
}

const TROUBLES: [Trouble; 5] = [
    Trouble {
        name: "full",
        orders: &[(Order::WriteError, ENOSPC)],
        codes: &["storage_full"],
        reasons: &["store_full"],
    },
    Trouble {
        name: "writes fail",
        orders: &[(Order::WriteError, EIO)],
        codes: &["unavailable"],
        reasons: &["store_unavailable"],
    },
    Trouble {
        name: "read-only",
        orders: &[(Order::WriteError, EROFS)],
        codes: &["unavailable"],
        reasons: &["store_unavailable", "store_read_only"],
    },
    Trouble {
        name: "syncs fail",
        orders: &[(Order::SyncsFail, u32::MAX)],
        codes: &["unavailable"],
        reasons: &["store_unavailable"],
    },
    Trouble {
        name: "syncs fail, and what was written is dropped",
        orders: &[(Order::IsDropped, 1), (Order::SyncsFail, u32::MAX)],
        codes: &["unavailable"],
        reasons: &["store_unavailable"],
    },
];

impl Trouble {
    fn is_met(&self, shim: &Shim, observer: &mut Observer) {
        let failed = shim.failed();
        self.orders.iter().for_each(|(order, value)| shim.order(*order, *value));
        let deadline = Instant::now() + PATIENCE;
        while observer.readiness().is_none() {
            assert!(Instant::now() < deadline, "{}: the server is ready", self.name);
            thread::sleep(Duration::from_millis(5));
        }
        let end = Instant::now() + Duration::from_millis(500);
        while Instant::now() < end {
            observer.is_refused(self.codes);
            observer.unsubscribes_or_is_refused(self.codes);
            observer.best_effort_goes_on();
            let reason = observer.readiness().unwrap_or_else(|| panic!("{}: the server is ready", self.name));
            assert!(self.reasons.contains(&&*reason), "{}: {reason}", self.name);
            assert!(!observer.is_well_in_metrics(), "{}", self.name);
        }
        assert!(shim.failed() > failed, "{}: nothing failed", self.name);
        shim.relent();
        observer.is_well_again();
    }
}

#[test]
fn what_needs_a_disk_in_trouble_is_refused_for_now_and_all_goes_on_when_it_is_well() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let folder = folder("trouble");
    let path = folder.path().canonicalize().unwrap();
    let Some(shim) = Shim::build(&path) else { return passed(folder) };
    let home = Home::new(&path, &mut dice);
    home.configure(&Observer::rules());
    let world = World::new(&home);
    let store = home.store();
    let mut program = home.start(&shim.variables(&store));
    let mut floors = Floors::new();
    let faults = thread::scope(|scope| {
        let _dismiss = Dismiss(&world);
        let crowd = Crowd::gather(scope, &world, None, &mut dice);
        let mut observer = Observer::new(home.address, &world.root);
        observer.publish().unwrap();
        world.enter(Phase::Publish);
        for trouble in &TROUBLES {
            println!("{}", trouble.name);
            thread::sleep(Duration::from_millis(100));
            trouble.is_met(&shim, &mut observer);
        }
        thread::sleep(Duration::from_millis(200));
        let mut faults = judge(&crowd, &world, &mut floors, SHORT_REST);
        observer.all_came_once();
        println!("{}", world.tally());
        world.forget();
        // Whatever was answered is there also after the power went.
        world.enter(Phase::Publish);
        thread::sleep(Duration::from_millis(200));
        shim.order(Order::Cut, 1);
        program.wait_killed();
        shim.relent();
        world.next_life();
        program = home.start(&shim.variables(&store));
        if faults.is_empty() {
            faults = judge(&crowd, &world, &mut floors, SHORT_REST);
        }
        let mut observer = observer.come_back(home.address, &world.root);
        observer.publish().unwrap();
        observer.all_came_once();
        observer.close();
        crowd.leave();
        faults
    });
    assert!(faults.is_empty(), "{}", report(&format!("seed {seed}"), &faults, &world, &path));
    program.stop();
    passed(folder);
}

/// Syncs fail now and then, in both ways, and soon after that the power goes: nothing that was
/// answered was only believed to be synced.
#[test]
fn a_sync_that_failed_is_no_success_when_it_is_tried_again() {
    let seed = seed();
    let mut dice = Dice::new(seed);
    let folder = folder("sync");
    let path = folder.path().canonicalize().unwrap();
    let Some(shim) = Shim::build(&path) else { return passed(folder) };
    let home = Home::new(&path, &mut dice);
    // A small store has a short log, and moves it often.
    home.configure(&json!({"Store": {"MaxBytes": 32 << 20}}));
    let world = World::new(&home);
    let store = home.store();
    let mut program = home.start(&shim.variables(&store));
    let mut floors = Floors::new();
    let failure = thread::scope(|scope| {
        let _dismiss = Dismiss(&world);
        let crowd = Crowd::gather(scope, &world, None, &mut dice);
        for cut in 1..=CUTS {
            world.enter(Phase::Publish);
            for _ in 0..2 {
                thread::sleep(Duration::from_millis(dice.between(50, 250) as u64));
                shim.order(Order::IsDropped, u32::from(dice.chance(50)));
                shim.order(Order::SyncsFail, dice.between(1, 4) as u32);
            }
            thread::sleep(Duration::from_millis(dice.between(20, 300) as u64));
            shim.order(Order::Cut, 1);
            program.wait_killed();
            shim.relent();
            world.next_life();
            program = home.start(&shim.variables(&store));
            if cut % 3 == 0 || world.is_broken() {
                let faults = judge(&crowd, &world, &mut floors, SHORT_REST);
                if !faults.is_empty() {
                    return Some(report(&format!("seed {seed}, cut {cut}"), &faults, &world, &path));
                }
                println!("cut {cut}, {} failed: {}", shim.failed(), world.tally());
                world.forget();
            }
        }
        crowd.leave();
        None
    });
    assert_eq!(failure, None);
    program.stop();
    passed(folder);
}

#[test]
fn while_a_sync_hangs_only_those_wait_who_need_it() {
    let mut dice = Dice::new(seed());
    let folder = folder("slow");
    let path = folder.path().canonicalize().unwrap();
    let Some(shim) = Shim::build(&path) else { return passed(folder) };
    let home = Home::new(&path, &mut dice);
    home.configure(&Observer::rules());
    let token = home.key("root", "admin");
    let store = home.store();
    let mut program = home.start(&shim.variables(&store));
    let mut observer = Observer::new(home.address, &token);
    observer.publish().unwrap();
    let mut other = Client::connect(home.address, &token).unwrap();
    shim.order(Order::SyncMs, 3000);
    let begin = Instant::now();
    let numbers = [observer.send(&mut other), observer.send(&mut other)];
    thread::sleep(Duration::from_millis(50));
    shim.order(Order::SyncMs, 0);
    while begin.elapsed() < Duration::from_millis(2500) {
        observer.best_effort_goes_on();
        assert_eq!(observer.readiness(), None);
        thread::sleep(Duration::from_millis(20));
    }
    for number in numbers {
        let answer = loop {
            let message = other.poll(PATIENCE).unwrap().expect("an answer");
            if message["type"] == "response" {
                break message;
            }
        };
        assert!(begin.elapsed() >= Duration::from_millis(2900), "answered before it was synced: {answer}");
        observer.was_answered(number, &answer);
    }
    observer.publish().unwrap();
    observer.all_came_once();
    observer.close();
    program.stop();
    passed(folder);
}

/// Fills the store with guaranteed publishes on a topic. Gives how many were taken.
fn fill(client: &mut Client, topic: &str) -> usize {
    let payload = "x".repeat(9000);
    for count in 0..10_000 {
        let data = json!({"topic": topic, "guarantee": "at_least_once", "payload": payload});
        let answer = client.call("publish", &data, drop).unwrap();
        if answer["status"] != "success" {
            let error = &answer["error"];
            assert!(error["code"] == "storage_full" && error["retryable"] == true, "{answer}");
            return count;
        }
    }
    panic!("it is never full");
}

/// A store of 2 MiB, with an observer, filled on a topic.
fn full(path: &Path, dice: &mut Dice, topic: &str, age_s: u64) -> (Home, crate::program::Program, String, Observer) {
    let home = Home::new(path, dice);
    let mut config = sections(json!({"MaxBytes": 2 << 20, "MinFreeBytes": 0}));
    let rule = json!({"Topics": "old.>", "MaxAge": age_s});
    config["Topics"]["Rules"].as_array_mut().unwrap().push(rule);
    home.configure(&config);
    let token = home.key("root", "admin");
    let program = home.start(&[]);
    let mut observer = Observer::new(home.address, &token);
    observer.publish().unwrap();
    let mut client = Client::connect(home.address, &token).unwrap();
    let taken = fill(&mut client, topic);
    assert!(taken > 50, "{taken} events of 9000 bytes in 2 MiB");
    client.close();
    (home, program, token, observer)
}

#[test]
fn a_full_store_stays_full_and_goes_on_with_more_room() {
    let mut dice = Dice::new(seed());
    let folder = folder("full");
    let (home, mut program, token, mut observer) = full(folder.path(), &mut dice, BIG, 3600);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_millis(1500) {
        observer.is_refused(&["storage_full"]);
        assert_eq!(observer.readiness().as_deref(), Some("store_full"), "it is well and full by turns");
        assert!(!observer.is_well_in_metrics());
        observer.best_effort_goes_on();
        thread::sleep(Duration::from_millis(20));
    }
    observer.all_came_once();
    program.stop();
    home.configure(&sections(json!({"MaxBytes": 16 << 20, "MinFreeBytes": 0})));
    let mut program = home.start(&[]);
    let mut observer = observer.come_back(home.address, &token);
    observer.is_well_again();
    let mut client = Client::connect(home.address, &token).unwrap();
    assert!(fill(&mut client, BIG) > 500);
    client.close();
    observer.all_came_once();
    observer.close();
    program.stop();
    passed(folder);
}

/// A topic that nobody watches.
const BIG: &str = "big.blob";

#[test]
fn a_full_store_is_well_when_retention_has_made_room() {
    let mut dice = Dice::new(seed());
    let folder = folder("retention");
    let (_, mut program, _, mut observer) = full(folder.path(), &mut dice, "old.blob", 3);
    observer.is_refused(&["storage_full"]);
    observer.best_effort_goes_on();
    observer.is_well_again();
    for _ in 0..20 {
        observer.publish().unwrap();
    }
    observer.all_came_once();
    observer.close();
    program.stop();
    passed(folder);
}

/// Where a durable subscription begins.
#[test]
fn a_subscription_from_a_time_has_what_came_then_or_later_on_all_its_topics() {
    let mut dice = Dice::new(seed());
    let folder = folder("since");
    let home = Home::new(folder.path(), &mut dice);
    let token = home.key("root", "admin");
    let mut program = home.start(&[]);
    let mut client = Client::connect(home.address, &token).unwrap();
    let publish = |client: &mut Client, topic: &str, number: u64| {
        let data = json!({"topic": topic, "guarantee": "at_least_once", "payload": {"number": number}});
        let answer = client.call("publish", &data, drop).unwrap();
        assert_eq!(answer["status"], "success", "{answer}");
    };
    let topics = ["orders.north", "orders.south", "orders.east", "other.one"];
    (0..8).for_each(|number| publish(&mut client, topics[number as usize % 4], number));
    thread::sleep(Duration::from_millis(1100));
    let pong = client.call("ping", &json!({}), drop).unwrap();
    let time = pong["data"]["server_time"].clone();
    assert!(time.is_string(), "{pong}");
    thread::sleep(Duration::from_millis(50));
    (8..16).for_each(|number| publish(&mut client, topics[number as usize % 4], number));
    let wanted: Vec<u64> = (8..16).filter(|number| number % 4 != 3).collect();
    let mut numbers = Vec::new();
    let mut note = |message: Value| {
        if message["channel"] == "orders" {
            numbers.push(message["data"]["number"].as_u64().unwrap());
        }
    };
    let data = json!({"topics": ["orders.*"], "name": "late", "from": time});
    let answer = client.call("subscribe", &data, &mut note).unwrap();
    assert_eq!(answer["status"], "success", "{answer}");
    while let Some(message) = client.poll(Duration::from_millis(500)).unwrap() {
        note(message);
    }
    numbers.sort_unstable();
    assert_eq!(numbers, wanted);
    client.close();
    program.stop();
    passed(folder);
}

#[test]
fn the_crowd_breaks_nothing_before_there_is_trouble() {
    let mut dice = Dice::new(seed());
    let folder = folder("calm");
    let path = folder.path().canonicalize().unwrap();
    let Some(shim) = Shim::build(&path) else { return passed(folder) };
    let home = Home::new(&path, &mut dice);
    let world = World::new(&home);
    let store = home.store();
    let mut program = home.start(&shim.variables(&store));
    thread::scope(|scope| {
        let _dismiss = Dismiss(&world);
        let crowd = Crowd::gather(scope, &world, None, &mut dice);
        world.enter(Phase::Publish);
        thread::sleep(Duration::from_millis(100));
        crowd.leave();
    });
    assert_eq!(world.look(broken), [] as [String; 0]);
    assert_eq!(shim.failed(), 0);
    program.stop();
    passed(folder);
}
