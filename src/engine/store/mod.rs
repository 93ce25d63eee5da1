//! The store's contract: what is asked of it, what it answers, what an implementation must do.
//!
//! Everything that must outlive the process is kept here: the topic logs, and small values in
//! [`Table`]s (cursors, durable subscriptions, sessions, dead letters, retained events, blocks).
//! Every request is a message with a completion; nobody waits. One writer puts requests into
//! groups and commits each group as a whole, so that one sync serves all publishes that wait.
//!
//! All appended events are numbered through, over all topics: the [`Seq`]. A subscription's
//! cursor is one such number, however many topics it matches.
//!
//! It refuses to know files and threads: a [`Backend`] keeps the data, `sys` runs it.

mod backend;
mod event;
mod fault;
mod page;
mod reader;
mod record;
mod request;
mod told;
mod writer;

pub use backend::{Backend, Image, LogHead, Opened, Size};
pub use event::{Answer, Commit, Entry, Failure, Page, StoreEvent, Trimmed};
pub use fault::{Damage, StoreError, StoreFault};
pub use page::{Gather, LogRange, page_of_log, page_of_patterns};
pub use reader::answer;
pub use record::{DedupKey, Level, Record, Seq};
pub use request::{Append, Op, Read, Request, SINCE_LOOK, Table, Write};
pub use told::{To, Told};
pub use writer::{Writer, Written};
