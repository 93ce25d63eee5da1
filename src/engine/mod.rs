//! The pure engine: everything that decides, nothing that does.
//!
//! Owns the connection machine, the wire codecs, authentication decisions, topics, subscriptions,
//! guaranteed delivery and the store's contract. Inputs are what happened, effects are orders to
//! the outside; time, randomness and ids come in as arguments, so that a run repeats from its
//! seed. It never names sockets, files, threads, clocks or random sources.

pub mod auth;
pub mod channel;
pub mod conn;
pub mod delivery;
pub mod endpoint;
pub mod http;
pub mod outbound;
pub mod store;
pub mod topic;
pub mod wire;
pub mod work;
pub mod ws;
