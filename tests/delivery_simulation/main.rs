//! Guaranteed delivery in a deterministic world: the workers' shards, the pure store on a disk that
//! fails, clients that lose their connections, and a server that is killed at any step. What is
//! simulated and what is checked stands in `docs/simulation.md`.
//!
//! `HYDROGEN_SIM_SEEDS=n` runs so many seeds, `HYDROGEN_SIM_FROM=n` begins with another than 0,
//! `HYDROGEN_SIM_SEED=n` runs one and prints its trace.

mod book;
mod client;
mod dice;
mod ending;
mod hear;
mod keys;
mod mutation;
mod plan;
mod server;
mod storage;
mod trace;
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
    (53, "a log that never got to the store was trimmed again and again"),
    (198, "a connection that was given up took its session away from the one that came after it"),
    (843, "a log that a crash had left behind went on after a stop in order, with offsets that were given before"),
    (1376, "a session that was not restored in time answered a command that nobody had sent"),
    (2375, "a pattern that could not be written down cost its subscriber what it had"),
    (4376, "messages behind a resume that was never finished waited for ever"),
    (9764, "who was no member any more, and did not know, acked in vain"),
    (10505, "offsets were given twice, as in 843"),
    (11772, "a session came back without its guaranteed subscription, and said nothing of it"),
    (13167, "a publish that was repeated was answered as synced after a restart, and was not"),
    (15611, "a best-effort event overtook one that waited for its commit"),
    (25106, "offsets that were answered before the store failed were given again"),
    (31772, "an earlier failure of the same subscription took its member out"),
    (112687, "what was fetched to be sent again went before older events that came back meanwhile"),
    (172043, "a session came back with a durable subscription that could then not be written down, and was dropped"),
    (182986, "what was sent for a pattern that was refused was waited for when the pattern was granted later"),
    (228429, "what was sent for a refused pattern was waited for, as in 182986"),
    (274316, "a session came back after its subscription had been ended without it"),
    (337924, "an ack up to an offset was expected to reach the next epoch, too"),
    (340843, "what was sent for a refused pattern was waited for, as in 182986"),
    (360794, "what was sent for a refused pattern was counted as in flight, see 182986"),
    (550264, "what was sent for a refused pattern was waited for, as in 182986"),
    (575504, "who had been shut out gave its session away once more, after the session's time"),
    (582544, "what was sent for a refused pattern was counted as in flight, see 182986"),
    (707839, "what was sent for a pattern that was ended was waited for when another covered its topic later"),
    (758111, "what was sent for a refused pattern was expected first, see 182986"),
    (839186, "what was sent for a refused pattern was counted as in flight, see 182986"),
    (914564, "history did not say that what was before a retained event was gone with a restart"),
    (1001332, "a session was expected after a power cut that had been joined while the store was full"),
    (1006414, "events of a pattern that was taken back were counted as in flight"),
    (1011392, "a session was expected, as in 1001332"),
    (1592147, "a session that had been written down without it was expected to hold what was joined in trouble"),
    (1676580, "a session was expected to hold what was joined in trouble, as in 1592147"),
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
