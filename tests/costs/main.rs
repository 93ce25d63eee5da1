//! What the server takes for one event, command, ack and connection, in figures that do not depend
//! on how busy the machine is: allocations, bytes, system calls. Each is held against the last of
//! its name in `benches/history.ndjson`. What is measured, and what it is, stands in
//! `docs/performance.md`; `benches/costs.py` counts instructions with the same driver.

mod allocations;
#[path = "../common/client.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod client;
#[path = "../simulation/dice.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod dice;
#[allow(dead_code, reason = "each user has a part of it")]
mod driver;
mod figures;
mod memory;
#[path = "../common/program.rs"]
#[allow(dead_code, reason = "each test has a part of it")]
mod program;
mod server;
