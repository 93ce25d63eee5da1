//! The real server, killed, cut from its power, with its disk in trouble, and its files damaged. What these runs do and
//! what they hold the server to stands in `docs/reliability.md`.
//!
//! `HYDROGEN_CHAOS_ROUNDS=n` kills so many times, `HYDROGEN_POWERCUT_ROUNDS=n` cuts the power so
//! many times, `HYDROGEN_DAMAGE_ALL=1` damages every byte, `HYDROGEN_CHAOS_SEED=n` repeats what was
//! drawn by chance, `HYDROGEN_CHAOS_BINARY=path` tests another program than the one just built.

mod check;
mod client;
mod crowd;
mod damage;
#[path = "../simulation/dice.rs"]
mod dice;
mod kill;
mod powercut;
mod program;
mod publisher;
mod subscriber;
mod trace;
mod trouble;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

/// A number of the environment.
fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// The seed of the environment, or a new one, which is printed.
fn seed() -> u64 {
    let seed = number("HYDROGEN_CHAOS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    println!("seed {seed}");
    seed
}
