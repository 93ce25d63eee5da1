//! Guaranteed delivery: what an at-least-once subscription was sent, what it acked, what is next.
//!
//! A [`Consumer`] is one named subscription of an identity, or the unnamed guaranteed ones of one
//! session. [`Interest`] says which consumers a topic concerns. Payloads are never kept here: what
//! is delivered again, or was missed, is asked of the store by effects.

mod backoff;
mod consumer;
mod dead;
mod interest;
mod selector;

pub use backoff::Backoff;
pub use consumer::{Consumer, Cursor, Effect, Offer, Settings, Source};
pub use dead::{Attempt, DeadLetter, DeadReason, Outcome};
pub use interest::Interest;
pub use selector::Selector;
