//! What the shadow keeps of one connection and of one event.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use hydrogen::base::{ConnId, Reason};
use hydrogen::engine::topic::{Filter, Pattern};

/// One published event.
pub struct Publish {
    pub topic: String,
    pub payload: serde_json::Value,
    pub retain: bool,
    pub has_ttl: bool,
    /// It lets go of what the topic retains, and is an event all the same.
    pub clears: bool,
    /// The step at which the publisher sent it.
    pub sent: u64,
    /// The step at which it was certainly published.
    pub done: Option<u64>,
    /// Its id, once somebody was told.
    pub id: Option<(String, u64)>,
    /// It was refused: nobody may get it.
    pub is_refused: bool,
}

/// One command that waits for its response.
pub struct Ask {
    pub kind: AskKind,
    pub channel: String,
    pub action: String,
}

/// What the response must be like.
pub enum AskKind {
    /// The same data, and at once: in the order of sending among its like.
    Echo(serde_json::Value),
    /// The same data, later, or an error that says why not.
    Later(serde_json::Value),
    Publish(u64),
    Subscribe(Vec<usize>),
    /// The subscriptions that there were when it was sent.
    Unsubscribe(Vec<usize>),
    Presence {
        topic: String,
        /// The subscriptions of its own that it knows of.
        held: Vec<usize>,
    },
    /// The identity, if the token is good.
    Authenticate(Option<&'static str>),
    /// Any success, or one of these errors.
    Any(&'static [&'static str]),
    /// This error, whatever comes.
    Fails(&'static str),
}

/// One subscription.
pub struct Grant {
    pub pattern: Pattern,
    pub filter: Option<Arc<Filter>>,
    pub conflate: bool,
    pub is_bulk: bool,
    pub from_last: bool,
    pub sent: u64,
    /// From here on, events must come.
    pub from: Option<u64>,
    /// From here on, they need not.
    pub must_until: Option<u64>,
    /// The client was told that it is over.
    pub told_over: Option<u64>,
    /// From here on, nothing may come.
    pub over: Option<u64>,
    /// Topics of which the retained event came, and which event that was.
    pub replayed: BTreeMap<String, u64>,
}

/// What a connection saw of a topic.
#[derive(Default)]
pub struct Seen {
    pub epoch: String,
    pub offset: u64,
    pub epochs: BTreeSet<String>,
}

/// One connection, as its client knows it.
#[derive(Default)]
pub struct Book {
    /// Who the client is, as far as it was told.
    pub name: Option<&'static str>,
    /// Whose credential it holds.
    pub claims: Option<&'static str>,
    pub conn: Option<ConnId>,
    pub end: Option<Reason>,
    /// Commands with an id of the client's, which wait for their response.
    pub asked: BTreeMap<String, Ask>,
    /// Ids of those that are answered in order.
    pub in_order: VecDeque<String>,
    /// Messages without an id, which wait for an answer under an id of the server's.
    pub nameless: usize,
    /// Older clients' messages.
    pub keepalives: usize,
    pub statuses: usize,
    pub grants: Vec<Grant>,
    pub has_ending: bool,
    pub seen: BTreeMap<String, Seen>,
    pub received: BTreeSet<u64>,
    /// Events that were handed to the connection, and those that its client got or was told of.
    pub pushed: u64,
    pub events: u64,
    pub told_dropped: u64,
    /// Events that were for this connection alone.
    pub own_events: u64,
    pub sessions: u64,
    /// The code of the server's close frame.
    pub close_code: Option<Option<u16>>,
    pub client_closed_first: bool,
    /// Echoes that wait.
    pub echoes: VecDeque<String>,
    pub pings: VecDeque<Vec<u8>>,
    pub http_requests: usize,
    pub http_answers: usize,
    pub responses: u64,
    /// It was refused because its connection is being closed.
    pub is_shut_out: bool,
    /// It was open when nothing was under way any more, and had what it must have.
    pub is_checked: bool,
}

impl Book {
    pub fn conflates(&self) -> bool {
        self.grants.iter().any(|grant| grant.conflate)
    }

    /// Whether the client had this topic under subscriptions of both lanes.
    pub fn mixes_lanes(&self, topic: &str) -> bool {
        let lanes: BTreeSet<bool> =
            self.grants.iter().filter(|grant| grant.pattern.matches(topic)).map(|grant| grant.is_bulk).collect();
        lanes.len() > 1
    }

    /// What the client waits for.
    pub fn owed(&self) -> usize {
        self.asked.len() + self.nameless + self.keepalives + self.statuses + self.echoes.len() + self.pings.len()
    }
}

impl Grant {
    pub fn passes(&self, publish: &Publish) -> bool {
        self.pattern.matches(&publish.topic)
            && self.filter.as_ref().is_none_or(|filter| filter.passes_value(&publish.payload))
    }

    /// Whether the event must come: it was published well within the subscription.
    pub fn demands(&self, publish: &Publish) -> bool {
        let (Some(from), Some(done)) = (self.from, publish.done) else { return false };
        !publish.clears
            && from <= publish.sent
            && self.must_until.is_none_or(|until| done <= until)
            && self.passes(publish)
    }

    /// Whether the event may come as it happens.
    pub fn allows(&self, publish: &Publish) -> bool {
        let began_before = publish.done.is_none_or(|done| self.sent <= done);
        began_before && self.over.is_none_or(|over| publish.sent <= over) && self.passes(publish)
    }

    /// Whether the event may come because it is retained, once.
    pub fn replays(&self, publish: &Publish) -> bool {
        self.from_last && publish.retain && !publish.clears && self.passes(publish)
    }
}

/// Finds a subscription that the retained event `number` came for. Which one it was for, the client
/// cannot tell: so those before it may have been for others than was thought.
pub fn assign_replay(
    grants: &mut [Grant],
    publishes: &BTreeMap<u64, Publish>,
    number: u64,
    asked: &mut BTreeSet<usize>,
) -> bool {
    let publish = &publishes[&number];
    for index in 0..grants.len() {
        if !grants[index].replays(publish) || !asked.insert(index) {
            continue;
        }
        let is_free = match grants[index].replayed.get(&publish.topic).copied() {
            None => true,
            Some(other) => assign_replay(grants, publishes, other, asked),
        };
        if is_free {
            grants[index].replayed.insert(publish.topic.clone(), number);
            return true;
        }
    }
    false
}
