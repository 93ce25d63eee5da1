//! What keeps the data: implementations of the engine's store contract.
//!
//! Each implements [`crate::engine::store::Backend`] and passes the same conformance tests. It
//! decides nothing about groups, terms and who is told: that is [`crate::engine::store::Writer`].

pub mod gauges;
pub mod memory;
pub mod sqlite;
pub mod thread;

#[cfg(test)]
mod conformance;
