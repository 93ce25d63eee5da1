//! Words that every other ring uses: ids, time, errors by blame, reasons, limits and metric names.
//!
//! Owns no state and does no input or output. It names nothing above itself.

pub mod counters;
pub mod dialect;
pub mod error;
pub mod id;
pub mod limits;
pub mod metric;
pub mod reason;
pub mod secret;
pub mod time;

pub use counters::{Counters, Figures};
pub use dialect::DialectId;
pub use error::{Category, Code, Error};
pub use id::{ConnId, ReactorId, WorkerId};
pub use metric::Metric;
pub use reason::Reason;
pub use secret::Secret;
pub use time::{Mono, Now, Wall};
