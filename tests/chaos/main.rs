//! The real server, killed, cut from its power, with its disk in trouble, and its files damaged. What these runs do and
//! what they hold the server to stands in `docs/reliability.md`.
//!
//! `HYDROGEN_CHAOS_ROUNDS=n` kills so many times, `HYDROGEN_POWERCUT_ROUNDS=n` cuts the power so
//! many times, `HYDROGEN_DAMAGE_ALL=1` damages every byte, `HYDROGEN_CHAOS_SEED=n` repeats what was
//! drawn by chance, `HYDROGEN_CHAOS_BINARY=path` tests another program than the one just built.

mod check;
#[path = "../common/client.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod client;
mod crowd;
mod damage;
#[path = "../simulation/dice.rs"]
mod dice;
mod kill;
mod powercut;
#[path = "../common/program.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod program;
mod publisher;
mod subscriber;
mod trace;
mod trouble;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

use crate::program::number;

/// The seed of the environment, or a new one, which is printed.
fn seed() -> u64 {
    let seed = number("HYDROGEN_CHAOS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        u64::from(now.subsec_nanos()) ^ now.as_secs()
    });
    println!("seed {seed}");
    seed
}
