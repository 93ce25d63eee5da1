//! hydrogen: a self-hosted realtime server.

pub mod base;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod engine;
pub mod server;
pub mod sys;
