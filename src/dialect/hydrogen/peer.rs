//! What the shards of hydrogen-protocol tell each other.

use std::sync::Arc;

use bytes::Bytes;

use super::gather::Part;
use super::signed::Claim;
use super::{Hydrogen, publish};
use crate::base::{ConnId, Error, Mono, Now, Wall, WorkerId};
use crate::engine::channel::{List, Page};
use crate::engine::topic::{Options, Pattern, SubKey};
use crate::engine::work::Outbox;

/// A message between two shards. What carries a ticket is answered with [`Peer::Part`].
#[derive(Debug)]
pub enum Peer {
    /// Add a subscription.
    Subscribe {
        /// The command that waits.
        ticket: u64,
        /// Its name.
        key: SubKey,
        /// To what.
        pattern: Pattern,
        /// How.
        options: Options,
        /// Who subscribes.
        identity: Arc<str>,
        /// Whether what is retained comes first.
        from_last: bool,
    },
    /// End a subscription.
    Unsubscribe {
        /// Which.
        key: SubKey,
    },
    /// End all subscriptions of a connection.
    DropConnection {
        /// Whose.
        conn: ConnId,
    },
    /// Publish on a topic of the receiver.
    Publish {
        /// The command that waits.
        ticket: u64,
        /// The topic.
        topic: Arc<str>,
        /// The event's data.
        payload: Bytes,
        /// Whether it is kept.
        retain: bool,
        /// How long it is kept.
        ttl: Option<std::time::Duration>,
        /// Whether it is dropped before others.
        low_priority: bool,
        /// When it was read.
        published_at: Mono,
    },
    /// Ask for what a topic keeps.
    History {
        /// The command that waits.
        ticket: u64,
        /// The topic.
        topic: Box<str>,
        /// Only what is newer than this offset.
        since: Option<u64>,
    },
    /// Ask who is subscribed.
    Presence {
        /// The command that waits.
        ticket: u64,
        /// The topic.
        topic: Box<str>,
        /// Which page.
        page: Page,
    },
    /// Ask for rows of an admin list.
    List {
        /// The command that waits.
        ticket: u64,
        /// Which list.
        list: List,
        /// Which page.
        page: Page,
    },
    /// Close connections.
    Disconnect {
        /// The command that waits.
        ticket: u64,
        /// Which.
        whom: crate::engine::channel::Disconnect,
    },
    /// Ask whether a signature's id is new.
    Claim {
        /// The connection whose command waits.
        conn: ConnId,
        /// Whose signature it is.
        identity: Box<str>,
        /// The command's id.
        id: Box<str>,
        /// The command's timestamp.
        timestamp: Wall,
    },
    /// The answer to a claim.
    Claimed {
        /// The connection whose command waits.
        conn: ConnId,
        /// Whether it is.
        result: Result<(), Error>,
    },
    /// One worker's part of a command's answer.
    Part {
        /// The command that waits.
        ticket: u64,
        /// The part.
        part: Part,
    },
}

impl Hydrogen {
    /// A message from another worker's shard.
    pub fn on_peer(&mut self, from: WorkerId, message: Peer, now: Now, out: &mut Outbox<Peer>) {
        match message {
            Peer::Subscribe { ticket, key, pattern, options, identity, from_last } => {
                let part = match self.subscribe_here(key, &pattern, options, identity, from_last, now, out) {
                    Ok(()) => Part::Done,
                    Err(error) => Part::Failed(error),
                };
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::Unsubscribe { key } => {
                self.topics.unsubscribe(key);
            }
            Peer::DropConnection { conn } => {
                self.topics.drop_connection(conn);
            }
            Peer::Publish { ticket, topic, payload, retain, ttl, low_priority, published_at } => {
                let event =
                    publish::Event { topic: &topic, payload: &payload, retain, ttl, low_priority, published_at };
                let part = self.publish_here(&event, now, out).map_or_else(Part::Failed, Part::Answer);
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::History { ticket, topic, since } => {
                let part = Part::Answer(self.history_here(&topic, since, now));
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::Presence { ticket, topic, page } => {
                let part = Part::Answer(self.presence_here(&topic, &page));
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::List { ticket, list, page } => {
                let part = Part::Rows(self.rows_here(list, &page));
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::Disconnect { ticket, whom } => {
                let part = Part::Count(self.disconnect_here(&whom, out));
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::Claim { conn, identity, id, timestamp } => {
                self.on_claim(from, Claim { conn, identity, id, timestamp }, now, out);
            }
            Peer::Claimed { conn, result } => self.on_claimed(conn, result, now, out),
            Peer::Part { ticket, part } => self.on_part(ticket, part, now, out),
        }
    }
}
