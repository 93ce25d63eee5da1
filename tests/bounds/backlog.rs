//! Events that wait for an absent subscriber: in the store, not in the server.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::durable::Durable;
use crate::press::Press;
use crate::program::{PATIENCE, number};
use crate::scene::{Scene, alone};

const EVENTS: u64 = 12_000;
const WINDOW: u64 = 1024;
/// What waiting events may cost in memory.
const COST_KIB: u64 = 1024;
/// What reading them may cost: the store's cache of 8 MiB, the window, and what was never touched.
const READING_KIB: u64 = 16 * 1024;
/// For the first million events; a start reads through a store that was killed, whoever waits.
const START: Duration = Duration::from_secs(1);
const ACK_TIMEOUT_MS: u64 = 30_000;

#[test]
fn an_absent_subscriber_costs_disk_and_gets_everything_in_order() {
    let _alone = alone();
    let events = number("HYDROGEN_BOUNDS_EVENTS").unwrap_or(EVENTS);

    let mut without = run(events, false);
    let without_kib = without.program.memory_kib();
    let without_kill = without.restart_after_kill();
    let without_stop = without.restart_after_stop();
    drop(without);

    let mut with = run(events, true);
    let with_kib = with.program.memory_kib();
    println!("{events} events: {} KiB with the absent subscriber, {} KiB without", with_kib.0, without_kib.0);
    println!("at most: {} KiB with the absent subscriber, {} KiB without", with_kib.1, without_kib.1);
    let with_kill = with.restart_after_kill();
    let after_kill_kib = with.program.memory_kib().0;
    let with_stop = with.restart_after_stop();
    let ms = |time: Duration| time.as_millis();
    println!("ready after a kill: {} ms with, {} ms without", ms(with_kill), ms(without_kill));
    println!("ready after a stop: {} ms with, {} ms without", ms(with_stop), ms(without_stop));
    println!("the store has {} KiB", with.store_kib());

    let before_kib = with.program.memory_kib().0;
    let (took, highest_kib) = drain(&with, events);
    let after_kib = with.program.memory_kib().0;
    println!("started: {after_kill_kib} KiB after the kill, {before_kib} KiB after the stop");
    println!(
        "{events} drained in {} ms: {before_kib} KiB before, {highest_kib} KiB at most, {after_kib} KiB after",
        ms(took)
    );

    nothing_is_left(&with);
    with.restart_after_stop();
    nothing_is_left(&with);

    assert!(with_kib.0 < without_kib.0 + COST_KIB, "an absent subscriber costs memory");
    assert!(with_kib.1 < without_kib.1 + COST_KIB, "an absent subscriber costs memory for a time");
    let start = START.mul_f64((events as f64 / 1e6).max(1.0));
    assert!(with_kill < start && with_stop < start, "a backlog makes the start slow");
    assert!(highest_kib < before_kib + READING_KIB, "reading a backlog costs memory");
}

/// So many events on one topic, for a durable subscription that is not there, or for none.
fn run(events: u64, is_awaited: bool) -> Scene {
    let scene = Scene::new();
    // What a connection and a subscription cost at first is the same in both runs.
    let durable = join(&scene);
    match is_awaited {
        true => durable.leave(),
        false => durable.end("ledger"),
    }
    let mut press = Press::new(&scene);
    let pad = "x".repeat(100);
    let begin = Instant::now();
    for n in 1..=events {
        press.publish("orders.new", &json!({"n": n, "pad": pad}));
    }
    press.settle();
    let per_s = events as f64 / begin.elapsed().as_secs_f64();
    println!("{events} events were published, {per_s:.0} a second");
    // The store tidies up behind the last commits.
    thread::sleep(Duration::from_millis(500));
    scene
}

fn join(scene: &Scene) -> Durable {
    Durable::join(scene, "ledger", "orders.new", WINDOW, ACK_TIMEOUT_MS)
}

/// Reads and acks all of them; how long it took, and the most memory on the way.
fn drain(scene: &Scene, events: u64) -> (Duration, u64) {
    let (begin, mut highest_kib) = (Instant::now(), 0);
    let mut durable = join(scene);
    let mut held = Vec::new();
    for n in 1..=events {
        let event = durable.next(PATIENCE).unwrap_or_else(|| panic!("event {n} does not come"));
        assert_eq!(event.data["n"], n, "out of order");
        held.push(event.id);
        if held.len() == 256 || n == events {
            durable.ack(&held);
            held.clear();
        }
        if n % 4096 == 0 || n == events {
            highest_kib = highest_kib.max(scene.program.memory_kib().0);
        }
    }
    let took = begin.elapsed();
    durable.leave();
    (took, highest_kib)
}

fn nothing_is_left(scene: &Scene) {
    let mut durable = join(scene);
    if let Some(event) = durable.next(Duration::from_millis(300)) {
        panic!("{} was acked, and comes again", event.data);
    }
    durable.leave();
}
