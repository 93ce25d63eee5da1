//! What handlers ask of a session, checked.

use std::time::Duration;

use crate::base::{ConnId, Secret, Wall};
use crate::engine::topic::{Epoch, Options, Pattern, UpTo};

/// Subscriptions to make.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// To what.
    pub patterns: Vec<Pattern>,
    /// How.
    pub options: Options,
    /// Where it begins.
    pub from: StartFrom,
    /// Whether every event is to be acknowledged, and how.
    pub guaranteed: Option<Guaranteed>,
}

/// Where a subscription begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// With the next event.
    #[default]
    New,
    /// With what the topics retain, or their newest event.
    Last,
    /// With the oldest event that the topics' logs still have.
    All,
    /// Behind an offset, of one topic.
    Offset(u64),
    /// With the first event that was published then or later.
    Time(Wall),
}

/// At-least-once delivery, as it was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guaranteed {
    /// Makes the subscription durable: it belongs to the identity and outlives the session.
    pub name: Option<Box<str>>,
    /// Events that may be in flight.
    pub window: Option<usize>,
    /// Until an event that was not acknowledged is sent again.
    pub ack_timeout: Option<Duration>,
}

/// From where a topic's events are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Since {
    /// From the oldest that there is.
    Start,
    /// Behind an offset.
    Offset(u64),
    /// Behind an event of this epoch and offset.
    Event(Epoch, u64),
    /// From a time on.
    Time(Wall),
}

/// What to do with dead letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Letters {
    /// Show them.
    List {
        /// Only those of these.
        of: LettersOf,
        /// Which page.
        after: Option<String>,
        /// So many at most.
        limit: usize,
    },
    /// Deliver these again to the subscriptions that they come from.
    Replay(Vec<String>),
    /// Deliver all of these again.
    ReplayAll(LettersOf),
    /// Forget these.
    Discard(Vec<String>),
    /// Forget all of these.
    DiscardAll(LettersOf),
}

/// Which dead letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LettersOf {
    /// Only of the subscription with this name.
    pub subscription: Option<String>,
    /// Only of this identity.
    pub identity: Option<String>,
    /// Only of this topic.
    pub topic: Option<String>,
}

/// A session to take up again.
#[derive(Debug)]
pub struct Resume {
    /// Its id.
    pub session: Box<str>,
    /// What proves that it is the caller's.
    pub secret: Secret,
    /// The newest place that the client has dealt with, by topic.
    pub seen: Vec<(Box<str>, UpTo)>,
}

/// An event to publish.
#[derive(Clone, Copy, Debug)]
pub struct Publish<'a> {
    /// To which topic, unchecked.
    pub topic: &'a str,
    /// The event's data: valid JSON.
    pub payload: &'a str,
    /// Whether it is kept for those who subscribe later.
    pub retain: bool,
    /// After which time it is no longer worth delivering.
    pub ttl: Option<Duration>,
    /// Whether it is dropped before others at slow subscribers.
    pub low_priority: bool,
    /// Whether it is on the disk before it is answered.
    pub guaranteed: bool,
    /// The command's id, by which a repeat is known.
    pub id: &'a str,
}

/// One page of a list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Only what comes after this key.
    pub after: Option<String>,
    /// So many rows at most.
    pub limit: usize,
}

/// The lists an administrator can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum List {
    /// Sessions.
    Sessions,
    /// Connections.
    Connections,
    /// Topics that have state.
    Topics,
}

/// Which connections to close.
#[derive(Clone, Debug)]
pub enum Disconnect {
    /// One connection.
    Connection(ConnId),
    /// All of an identity.
    Identity(String),
    /// All from an address.
    Address(std::net::IpAddr),
}
