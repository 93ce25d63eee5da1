//! What the shards of hydrogen-protocol tell each other.

use std::sync::Arc;

use bytes::Bytes;

use super::consumer_id::{ConsumerId, ConsumerKey};
use super::gather::Part;
use super::guaranteed::AckOf;
use super::kept::ResumeAsk;
use super::letter::LettersPeer;
use super::making::{Make, Wanted};
use super::record::SessionRecord;
use super::reply_to::Reply;
use super::signed::Claim;
use super::{Hydrogen, publish};
use crate::base::{ConnId, Error, Mono, Now, Wall, WorkerId};
use crate::engine::channel::{List, Page, Since, StartFrom};
use crate::engine::store::{DedupKey, Seq};
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
        /// Where it begins.
        from: StartFrom,
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
        /// The event.
        publish: Box<RemotePublish>,
    },
    /// Ask for what a topic keeps.
    History {
        /// The command that waits.
        ticket: u64,
        /// The topic.
        topic: Box<str>,
        /// From where.
        since: Since,
        /// So many events at most.
        limit: usize,
    },
    /// A guaranteed subscription wants topics of the receiver.
    Interest {
        /// The command that waits.
        ticket: u64,
        /// Which subscription.
        id: ConsumerId,
        /// Who subscribes.
        conn: ConnId,
        /// Which topics.
        wanted: Wanted,
        /// Where it begins.
        from: StartFrom,
    },
    /// A guaranteed subscription wants them no longer.
    Uninterest {
        /// Which subscription.
        id: ConsumerId,
        /// Which topics.
        pattern: Pattern,
    },
    /// A guaranteed subscription that was to be made is not: unless its home holds these topics
    /// all the same, it wants them no longer. Goes the way of [`Peer::Interest`], then home.
    Unmade {
        /// Which subscription.
        id: ConsumerId,
        /// Which topics.
        pattern: Pattern,
    },
    /// The home of a guaranteed subscription holds these topics. What it said before is void.
    Show {
        /// Which subscription.
        id: ConsumerId,
        /// Which topics.
        pattern: Pattern,
    },
    /// Make a guaranteed subscription, or join it.
    Make {
        /// The command that waits.
        ticket: u64,
        /// Which, and how.
        make: Box<Make>,
    },
    /// Join a guaranteed subscription again.
    Join {
        /// The command that waits.
        ticket: u64,
        /// Which.
        id: ConsumerId,
        /// Who.
        conn: ConnId,
    },
    /// A member was told of its subscription: events may come.
    Start {
        /// Which.
        id: ConsumerId,
        /// Who.
        conn: ConnId,
    },
    /// A member is gone.
    Leave {
        /// Which.
        id: ConsumerId,
        /// Who.
        conn: ConnId,
    },
    /// Patterns of a guaranteed subscription end.
    Deselect {
        /// Which.
        id: ConsumerId,
        /// The patterns.
        patterns: Vec<Pattern>,
    },
    /// A durable subscription ends.
    EndDurable {
        /// The command that waits.
        ticket: u64,
        /// Which.
        key: ConsumerKey,
    },
    /// A client acks.
    Ack {
        /// The subscriptions that are still to hear of it.
        ids: Vec<ConsumerId>,
        /// The client.
        conn: ConnId,
        /// What it acks.
        of: AckOf,
        /// Events that it has reached so far.
        through: usize,
    },
    /// Retention took events away.
    Gone {
        /// Their topic.
        topic: Arc<str>,
        /// Which.
        gone: Arc<[Seq]>,
    },
    /// Dead letters of a subscription of the receiver.
    Letters {
        /// Which subscription.
        id: ConsumerId,
        /// What is to be done.
        what: LettersPeer,
    },
    /// Somebody wants a session of the receiver back.
    Resume(Box<ResumeAsk>),
    /// The answer to that.
    Resumed {
        /// Who wanted it.
        conn: ConnId,
        /// The session.
        result: Result<Box<SessionRecord>, Error>,
    },
    /// A connection loses its session to another.
    Surrender {
        /// Which connection.
        conn: ConnId,
    },
    /// A session of the receiver has no connection for now.
    Park(Box<SessionRecord>),
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
        identity: Arc<str>,
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

/// An event that another worker's client publishes. Permissions and the topic's name were checked.
#[derive(Debug)]
pub struct RemotePublish {
    /// The topic.
    pub topic: Arc<str>,
    /// The event's data.
    pub payload: Bytes,
    /// Whether it is kept.
    pub retain: bool,
    /// When it is no longer worth delivering.
    pub ttl: Option<std::time::Duration>,
    /// Whether it is dropped before others.
    pub low_priority: bool,
    /// When it was read.
    pub published_at: Mono,
    /// Whether it is on the disk before it is answered.
    pub guaranteed: bool,
    /// What tells a repeat from a new publish.
    pub dedup: Option<DedupKey>,
}

impl Hydrogen {
    /// A message from another worker's shard.
    pub fn on_peer(&mut self, from: WorkerId, message: Peer, now: Now, out: &mut Outbox<Peer>) {
        match message {
            Peer::Subscribe { ticket, key, pattern, options, identity, from: begin } => {
                let reply = Reply::Peer(from, ticket);
                self.subscribe_here(key, &pattern, options, identity, begin, reply, now, out);
            }
            Peer::Unsubscribe { key } => {
                self.cancel_replay(key);
                self.topics.unsubscribe(key);
            }
            Peer::DropConnection { conn } => {
                self.cancel_replays(conn);
                self.topics.drop_connection(conn);
            }
            Peer::Publish { ticket, publish } => {
                let RemotePublish { retain, ttl, low_priority, published_at, guaranteed, dedup, .. } = *publish;
                let (topic, payload, time) = (&*publish.topic, &*publish.payload, now.wall);
                let event = publish::Event { topic, payload, retain, ttl, low_priority, published_at, time, dedup };
                let (plan, reply) = (self.plan(topic, guaranteed), Reply::Peer(from, ticket));
                if let Some(answer) = self.publish_here(&event, plan, reply, now, out).transpose() {
                    self.reply(reply, answer, now, out);
                }
            }
            Peer::History { ticket, topic, since, limit } => {
                let reply = Reply::Peer(from, ticket);
                if let Some(answer) = self.history_here(&topic, &since, limit, reply, now, out).transpose() {
                    self.reply(reply, answer, now, out);
                }
            }
            Peer::Interest { ticket, id, conn, wanted, from: place } => {
                self.on_interest((id, conn), wanted, place, Reply::Peer(from, ticket), now, out);
            }
            Peer::Uninterest { id, pattern } => {
                self.interest.remove(&pattern, id);
            }
            Peer::Unmade { id, pattern } => self.on_unmade(from, id, pattern, out),
            Peer::Show { id, pattern } => self.show_interest(&pattern, id),
            Peer::Make { ticket, make } => self.on_make(*make, Reply::Peer(from, ticket), now, out),
            Peer::Join { ticket, id, conn } => self.on_join(id, conn, Reply::Peer(from, ticket), now, out),
            Peer::Start { id, conn } => self.start_delivery(id, conn, now, out),
            Peer::Leave { id, conn } => self.leave(id, conn, now, out),
            Peer::Deselect { id, patterns } => self.on_deselect(id, &patterns, now, out),
            Peer::EndDurable { ticket, key } => {
                let part = Part::Answer(self.end_durable(&key, now, out));
                out.peers.push((from, Peer::Part { ticket, part }));
            }
            Peer::Ack { ids, conn, of, through } => self.ack_at(ids, conn, of, through, now, out),
            Peer::Gone { topic, gone } => self.on_gone(&topic, &gone, now, out),
            Peer::Letters { id, what } => self.on_letters_peer(id, what, now, out),
            Peer::Resume(ask) => self.on_resume(*ask, now, out),
            Peer::Resumed { conn, result } => self.on_resumed(conn, result, now, out),
            Peer::Surrender { conn } => self.surrender(conn, now, out),
            Peer::Park(record) => self.park(*record, now, out),
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
