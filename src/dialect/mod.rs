//! The dialects: what connections speak, as behaviour on the engine. Pure, and none knows another.

pub mod echo;
pub mod hydrogen;
pub mod signaling;
