//! Rooms in a deterministic world: the workers' shards, the pure store on a disk that fails, clients
//! that lose their connections and take their places again, and a server that is killed at any step.
//! What is simulated and what is checked stands in `docs/simulation.md`.
//!
//! `HYDROGEN_SIM_SEEDS=n` runs so many seeds, `HYDROGEN_SIM_FROM=n` begins with another than 0,
//! `HYDROGEN_SIM_SEED=n` runs one and prints its trace.

mod answers;
mod ask;
mod bounds;
mod causes;
mod client;
#[path = "../delivery_simulation/dice.rs"]
mod dice;
mod ending;
mod errors;
mod journal;
mod keys;
mod life;
mod mutation;
mod notices;
mod order;
mod plan;
mod server;
mod signals;
mod storage;
#[path = "../delivery_simulation/trace.rs"]
mod trace;
mod view;
mod wire;
mod world;

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use mutation::Mutation;
use world::World;

/// Seeds that once failed. They run whatever the environment says.
const REGRESSIONS: &[(u64, &str)] = &[
    (2, "a room that was refused reached the disk, and its owner made another"),
    (9, "who was lost while it came in once more was told of twice"),
    (22, "a change that was refused reached the disk, and was never taken back"),
    (41, "who was resumed while it came into a room was there twice, and the others were told that it left"),
    (176, "who was kicked while it was lost got that room's signals when it came back to another"),
    (239, "who was let in while the server stopped did not hear of it"),
    (1964, "a signal that named no room, and went from room to room, was overtaken"),
    (75777, "a signal that named no room was overtaken when its sender came into another room"),
];

const SEEDS: u64 = 256;

/// Failures after which a run gives up.
const FAILURES: usize = 10;

/// Runs one seed: the hash of its trace, or what went wrong and where.
fn attempt(seed: u64, mutation: Mutation, keeps: bool, prints: bool) -> Result<u64, String> {
    silence_expected_panics();
    QUIET.set(!prints);
    let mut world = World::new(seed, mutation, keeps, prints);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    QUIET.set(false);
    let Err(panic) = outcome else { return Ok(world.trace.hash()) };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let text = text.unwrap_or_else(|| "a panic without text".to_owned());
    Err(format!("seed {seed}, step {}: {text}\n{}", world.step, world.trace.tail()))
}

/// The same; a seed that fails is run once more, with its trace.
fn run(seed: u64) -> Result<u64, String> {
    attempt(seed, Mutation::Nothing, false, false)
        .map_err(|first| attempt(seed, Mutation::Nothing, true, false).err().unwrap_or(first))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Breaches are panics that [`attempt`] catches and tells of with seed and step.
fn silence_expected_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() || std::env::var_os("HYDROGEN_SIM_LOUD").is_some() {
                usual(info);
            }
        }));
    });
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn every_seed_keeps_the_rules() {
    if let Some(seed) = number("HYDROGEN_SIM_SEED") {
        match attempt(seed, Mutation::Nothing, true, true) {
            Ok(hash) => println!("seed {seed} keeps the rules; the trace's hash is {hash:016x}"),
            Err(failure) => panic!("{failure}"),
        }
        return;
    }
    let from = number("HYDROGEN_SIM_FROM").unwrap_or(0);
    let seeds = number("HYDROGEN_SIM_SEEDS").unwrap_or(SEEDS);
    let began = Instant::now();
    let next = AtomicU64::new(from);
    let failures = parking_lot::Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds || failures.lock().len() >= FAILURES {
                        return;
                    }
                    if let Err(failure) = run(seed) {
                        println!("{failure}");
                        failures.lock().push(failure.lines().next().unwrap_or_default().to_owned());
                    }
                    if (seed + 1 - from).is_multiple_of(10_000) {
                        println!("{} seeds, {:?}", seed + 1 - from, began.elapsed());
                    }
                }
            });
        }
    });
    let failures = failures.into_inner();
    println!("{seeds} seeds in {:?}, by {threads} threads", began.elapsed());
    assert!(failures.is_empty(), "{} seeds fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn seeds_that_once_failed_keep_the_rules() {
    for (seed, was) in REGRESSIONS {
        if let Err(failure) = run(*seed) {
            panic!("{was}: {failure}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    let mut hashes = Vec::new();
    for seed in 0..8 {
        let (first, again) = (run(seed), run(seed));
        assert!(first.is_ok(), "{}", first.unwrap_err());
        assert_eq!(first, again, "seed {seed}");
        hashes.push(first);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "other seeds give other traces");
}

#[test]
fn every_planted_defect_is_found() {
    for mutation in Mutation::DEFECTS {
        let found = (0..400).position(|seed| attempt(seed, *mutation, false, false).is_err());
        println!("{mutation:?}: {found:?}");
        assert!(found.is_some(), "{mutation:?} passes unnoticed");
    }
}
