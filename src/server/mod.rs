//! The server: everything built from one configuration, wired together, and stopped in order.
//!
//! Owns the start and the end. It decides nothing about the protocol: reactors, workers and
//! services do their work, and this ring only says who knows whom.

mod access;
mod build;
mod delivery;
mod first_start;
mod health;
mod routes;
mod run;
mod settings;
pub mod shard;
mod signaling;
mod start_error;
mod status;
mod stop;
mod store;
mod watch;
mod wiring;

pub use build::ServerBuilder;
pub use run::{RunError, first_key, run};
pub use settings::{hydrogen_settings, reactor_settings, signaling_settings, topic_bounds};
pub use start_error::StartError;
pub use stop::{Server, Stopper};
