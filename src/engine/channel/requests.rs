//! What handlers ask of a session, checked.

use std::time::Duration;

use crate::base::ConnId;
use crate::engine::topic::{Options, Pattern};

/// Subscriptions to make.
#[derive(Clone, Debug)]
pub struct Subscribe {
    /// To what.
    pub patterns: Vec<Pattern>,
    /// How.
    pub options: Options,
    /// Whether what the topics retain comes first.
    pub from_last: bool,
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
    /// How long it is kept.
    pub ttl: Option<Duration>,
    /// Whether it is dropped before others at slow subscribers.
    pub low_priority: bool,
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
