//! Runs seeds of a simulation: many, one with its trace, those that once failed, and those that must
//! find a planted defect.
//!
//! `HYDROGEN_SIM_SEEDS=n` runs so many seeds, `HYDROGEN_SIM_FROM=n` begins with another than 0,
//! `HYDROGEN_SIM_SEED=n` runs one and prints its trace.

use std::cell::Cell;
use std::fmt::Debug;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const SEEDS: u64 = 256;

/// Failures after which a run gives up.
const FAILURES: usize = 10;

/// Seeds in which a planted defect must be found.
const PATIENCE: u64 = 400;

/// A world that is made from a seed.
pub trait Simulated: Sized {
    /// A defect that is planted in it.
    type Mutation: Copy + Debug + 'static;
    /// No defect.
    const SOUND: Self::Mutation;
    /// All defects.
    const DEFECTS: &'static [Self::Mutation];

    /// `keeps` its trace, so that its end can be told, and `prints` it meanwhile.
    fn of(seed: u64, mutation: Self::Mutation, keeps: bool, prints: bool) -> Self;
    /// Runs it to its end; what breaks a rule panics.
    fn run(&mut self);
    /// The hash of its trace.
    fn hash(&self) -> u64;
    /// The step that it came to, and the end of its trace.
    fn place(&self) -> (u64, String);
}

/// Runs one seed: the hash of its trace, or what went wrong and where.
fn attempt<W: Simulated>(seed: u64, mutation: W::Mutation, keeps: bool, prints: bool) -> Result<u64, String> {
    silence_expected_panics();
    QUIET.set(!prints);
    let mut world = W::of(seed, mutation, keeps, prints);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    QUIET.set(false);
    let Err(panic) = outcome else { return Ok(world.hash()) };
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let text = text.unwrap_or_else(|| "a panic without text".to_owned());
    let (step, tail) = world.place();
    Err(format!("seed {seed}, step {step}: {text}\n{tail}"))
}

/// The same; a seed that fails is run once more, with its trace.
fn run<W: Simulated>(seed: u64) -> Result<u64, String> {
    attempt::<W>(seed, W::SOUND, false, false)
        .map_err(|first| attempt::<W>(seed, W::SOUND, true, false).err().unwrap_or(first))
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

/// As many seeds as are asked for, on all processors; or one, with its trace.
pub fn every_seed_keeps_the_rules<W: Simulated>() {
    if let Some(seed) = number("HYDROGEN_SIM_SEED") {
        match attempt::<W>(seed, W::SOUND, true, true) {
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
                    if let Err(failure) = run::<W>(seed) {
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

/// Seeds that once failed, whatever the environment says.
pub fn seeds_keep_the_rules<W: Simulated>(regressions: &[(u64, &str)]) {
    for (seed, was) in regressions {
        if let Err(failure) = run::<W>(*seed) {
            panic!("{was}: {failure}");
        }
    }
}

/// A run is repeatable from its seed.
pub fn the_same_seed_gives_the_same_trace<W: Simulated>() {
    let mut hashes = Vec::new();
    for seed in 0..8 {
        let (first, again) = (run::<W>(seed), run::<W>(seed));
        assert!(first.is_ok(), "{}", first.unwrap_err());
        assert_eq!(first, again, "seed {seed}");
        hashes.push(first);
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 8, "other seeds give other traces");
}

/// No planted defect passes unnoticed.
pub fn every_planted_defect_is_found<W: Simulated>() {
    for mutation in W::DEFECTS {
        let found = (0..PATIENCE).find(|seed| attempt::<W>(*seed, *mutation, false, false).is_err());
        println!("{mutation:?}: {found:?}");
        assert!(found.is_some(), "{mutation:?} passes unnoticed");
    }
}
