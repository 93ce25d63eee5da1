//! Topics, patterns, subscriptions and the fan-out lists of one worker's shard.

pub mod pattern;

pub use pattern::{Pattern, PatternError, is_topic};
