//! The real server, killed, cut from its power, and with its files damaged.
mod check;
mod client;
#[path = "../simulation/dice.rs"]
mod dice;
mod powercut;
mod program;
mod publisher;
mod subscriber;
mod trace;
mod world;
