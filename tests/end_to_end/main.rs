//! The whole server, started in this process, over real sockets.
//!
//! A scenario is a function of a [`harness::Variant`]; each runs over plain TCP and TLS, with one
//! reactor and worker and with several. Nothing waits for a fixed time: what is expected is polled
//! or read up to a deadline, and each test has a deadline of its own. Once a scenario is over and
//! its clients are gone, its server must be as empty as it began (see `harness::scene`).

mod harness;

mod admin;
mod commands;
mod compression;
mod credentials;
mod drain;
mod figures;
mod handlers;
mod handshake;
mod signaling;
mod signatures;
mod slow;
mod start;
mod topics;
