//! What guaranteed delivery may cost, on the real server: clients that are absent or slow cost it
//! a bounded memory, and nobody else their time. What is measured is printed; the figures of a
//! large run (`make backlog`) stand in `docs/performance.md`.
//!
//! `HYDROGEN_BOUNDS_EVENTS=n` lets so many events wait, `HYDROGEN_BOUNDS_SECONDS=n` loads for so
//! long, `HYDROGEN_CHAOS_BINARY=path` measures another program than the one just built.

mod backlog;
#[path = "../common/client.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod client;
#[path = "../simulation/dice.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod dice;
mod durable;
mod many;
mod press;
#[path = "../common/program.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod program;
mod scene;
mod slow;
