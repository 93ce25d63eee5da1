//! What of the past a subscription is given, and how far it is: what is passed around until it has it.

use std::sync::Arc;

use super::reply_to::Reply;
use crate::base::Wall;
use crate::engine::channel::StartFrom;
use crate::engine::store::Seq;
use crate::engine::topic::{Epoch, Filter, Options, Pattern, SubKey, Target};

/// A subscriber that is given what was published before.
#[derive(Debug)]
pub(super) struct Replay {
    pub target: Target,
    pub filter: Option<Arc<Filter>>,
    pub places: Vec<Place>,
    /// Which of them is read.
    pub next: usize,
    /// Whether places are read once, up to where they ended in the beginning.
    pub is_last: bool,
    /// How often all places were gone through.
    pub passes: u32,
    /// Which replay of its subscription it is: only the newest ends in one.
    pub number: u64,
    pub end: End,
    pub reply: Reply,
}

/// What of the past is wanted, and by whom.
#[derive(Debug)]
pub(super) struct Past<'a> {
    pub target: Target,
    pub filter: Option<Arc<Filter>>,
    pub pattern: &'a Pattern,
    pub from: StartFrom,
}

/// Where one topic's log is read.
#[derive(Debug)]
pub(super) struct Place {
    pub topic: Arc<str>,
    pub epoch: Epoch,
    pub from: At,
    /// The newest event when it was asked for.
    pub end: u64,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum At {
    Offset(u64),
    Time(Wall),
}

/// What comes after the past.
#[derive(Debug)]
pub(super) enum End {
    /// The subscription without acks begins.
    Subscribe { key: SubKey, pattern: Pattern, options: Options, identity: Arc<str> },
    /// A guaranteed subscription begins at its home, behind what was newest before.
    Guaranteed { head: Seq },
}
