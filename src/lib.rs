//! hydrogen: a self-hosted realtime server.

pub mod base;
pub mod engine;
pub mod sys;
