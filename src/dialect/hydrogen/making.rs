//! A guaranteed subscription that is being made: what is passed around until it is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::consumer_id::{ConsumerId, ConsumerKey};
use super::reply_to::Reply;
use crate::base::ConnId;
use crate::engine::channel::StartFrom;
use crate::engine::store::Seq;
use crate::engine::topic::{Filter, Pattern};

/// A pattern of a guaranteed subscription, and where it begins.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The topics.
    pub pattern: Pattern,
    /// What must hold for the payload.
    pub filter: Option<Arc<Filter>>,
    /// Where it begins.
    pub place: Place,
}

/// Where a guaranteed subscription begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// With what is published from now on.
    New,
    /// Behind this event.
    Behind(Seq),
}

/// A guaranteed subscription to be made, or extended, or joined.
#[derive(Clone, Debug)]
pub struct Make {
    /// Its name.
    pub key: ConsumerKey,
    /// Who joins.
    pub conn: ConnId,
    /// What it is to have, beside what it has.
    pub wanted: Vec<Wanted>,
    /// Events that may be in flight.
    pub window: Option<usize>,
    /// Until an event that was not acknowledged is sent again.
    pub ack_timeout: Option<Duration>,
}

/// A command that is making one.
#[derive(Debug)]
pub(super) struct Making {
    pub make: Make,
    pub from: StartFrom,
    /// Where the topics' owners say that it begins.
    pub places: BTreeMap<Pattern, Seq>,
    /// What is answered in the end.
    pub answer: Box<str>,
}

impl Making {
    /// An owner of topics says where a pattern begins. Several may: the first event of all counts.
    pub(super) fn place(&mut self, pattern: Pattern, seq: Seq) {
        let place = self.places.entry(pattern).or_insert(seq);
        *place = seq.min(*place);
    }
}

/// What is being written down before somebody is answered.
#[derive(Debug)]
pub(super) struct Saving {
    pub id: ConsumerId,
    pub conn: ConnId,
    /// The connection was no member before.
    pub joins: bool,
    pub reply: Reply,
}
