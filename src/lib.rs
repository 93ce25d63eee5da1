//! hydrogen: a self-hosted realtime server.

pub mod base;
pub mod cli;
pub mod engine;
