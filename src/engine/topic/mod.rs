//! Topics, patterns, subscriptions and the fan-out lists of one worker's shard.
//!
//! A worker owns the topics that [`owner`] gives it. Exact subscriptions are held by the owner of
//! their topic alone, wildcard ones by every worker. [`Topics`] is the whole state of one shard;
//! everything else here is a part of it.

mod audience;
mod audiences;
mod bounds;
mod event_id;
pub mod filter;
mod hash;
pub mod index;
mod patch;
pub mod pattern;
mod payload;
mod retained;
mod subscription;
mod subscriptions;
mod table;
mod topics;

pub use audience::{FanOut, ReactorTargets};
pub use bounds::{Bounds, Counts, Full};
pub use event_id::{EventId, UpTo};
pub use filter::{Filter, FilterError};
pub use hash::{Seeded, owner};
pub use pattern::{Pattern, PatternError, is_topic};
pub use payload::Payload;
pub use retained::Retained;
pub use subscription::{Options, SubKey, Target, TargetFlags};
pub use table::{Epoch, Stamp, Topic};
pub use topics::{Row, Swept, Topics};
