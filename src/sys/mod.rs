//! What the engine orders is done here: sockets, threads, clocks, files, signals, logs.
//!
//! Owns the three kinds of threads and the queues between them. It decides nothing about the
//! protocol, and never names a dialect.

pub mod clock;
pub mod keyfile;
pub mod log;
pub mod mailbox;
pub mod network;
pub mod process;
pub mod reactor;
pub mod store;
pub mod tls;
pub mod worker;
