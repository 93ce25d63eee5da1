//! How a store is brought up.

use super::SqliteSettings;
use super::mark::Known;
use crate::base::Wall;
use crate::engine::store::Seq;

/// What is to be there once it is up.
pub(super) struct Way<'a> {
    pub(super) settings: &'a SqliteSettings,
    pub(super) now: Wall,
    /// What must be there.
    pub(super) known: &'a Known,
    /// Whether that is from memory, which knows all logs.
    pub(super) is_memory: bool,
    /// Events behind this number are taken back.
    pub(super) last: Option<Seq>,
}
