//! A guaranteed subscription that is being made: what is passed around until it is there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::consumer_id::{ConsumerId, ConsumerKey};
use super::reply_to::Reply;
use super::session::NewlyJoined;
use crate::base::ConnId;
use crate::engine::channel::StartFrom;
use crate::engine::outbound::Lane;
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
    /// With what is published from now on: behind the newest event that any worker had heard of.
    New(Seq),
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
    /// The lane of its events.
    pub lane: Lane,
}

/// A command that is making one.
#[derive(Debug)]
pub(super) struct Making {
    pub make: Make,
    pub from: StartFrom,
    /// Where the topics' owners say that it begins.
    pub places: BTreeMap<Pattern, Seq>,
    /// The newest event that the owners of its topics had heard of.
    pub head: Seq,
    /// What is answered in the end.
    pub granting: Granting,
}

impl Making {
    /// An owner of topics says where a pattern begins. Several may: the first event of all counts.
    pub(super) fn place(&mut self, pattern: Pattern, seq: Seq) {
        let place = self.places.entry(pattern).or_insert(seq);
        *place = seq.min(*place);
    }
}

/// A command whose subscription its home was asked to make.
#[derive(Debug)]
pub(super) struct Started {
    /// The answer's members are known but for what was lost.
    pub granting: Granting,
    pub key: ConsumerKey,
    pub conn: ConnId,
    pub patterns: Vec<Pattern>,
    /// What the session was not before: it is taken back if the home refuses.
    pub newly: NewlyJoined,
}

/// The answer to a guaranteed subscribe, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Granting {
    /// The durable subscription's name.
    pub name: Option<Box<str>>,
    /// By pattern: granted, or the row that says why not.
    pub rows: Vec<Result<Pattern, String>>,
    /// What holds for all of its patterns.
    pub window: usize,
    pub ack_timeout_ms: u64,
    /// Topics of which events were lost.
    pub lost: BTreeSet<Arc<str>>,
}

impl Granting {
    /// `{"topics":[…],"lost":[…]}`.
    pub(super) fn json(&self) -> Box<str> {
        let row = |row: &Result<Pattern, String>| match row {
            Ok(pattern) => {
                let mut granted = serde_json::json!({
                    "topic": pattern.as_str(), "granted": true, "guarantee": "at_least_once",
                    "window": self.window, "ack_timeout_ms": self.ack_timeout_ms,
                });
                if let Some(name) = &self.name {
                    granted["name"] = serde_json::json!(name);
                }
                granted.to_string()
            }
            Err(refused) => refused.clone(),
        };
        let rows: Vec<String> = self.rows.iter().map(row).collect();
        let lost: Vec<&str> = self.lost.iter().map(|topic| &**topic).collect();
        format!("{{\"topics\":[{}],\"lost\":{}}}", rows.join(","), serde_json::json!(lost)).into()
    }
}

/// What is being written down before somebody is answered.
#[derive(Debug)]
pub(super) struct Saving {
    pub id: ConsumerId,
    pub conn: ConnId,
    /// The connection was no member before.
    pub joins: bool,
    /// Topics of which it lost events before.
    pub lost: Vec<Arc<str>>,
    pub reply: Reply,
}
