//! What a handler may do on behalf of its caller: the engine's [`Session`] contract, on this shard.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;

use super::asked::Plan;
use super::gather::{Gather, Kind, page_of};
use super::log::Dedup;
use super::peer::RemotePublish;
use super::reply::Meta;
use super::reply_to::Reply;
use super::{Hydrogen, Peer, publish};
use crate::base::Wall;
use crate::base::{Code, ConnId, Error, Now, WorkerId};
use crate::engine::auth::{Block, Identity, Target};
use crate::engine::channel::{
    Disconnect, Letters, List, Outcome, Page, Publish, Responder, Resume, Session, Since, Subscribe,
};
use crate::engine::topic::pattern::is_built_in;
use crate::engine::topic::{Pattern, is_topic};
use crate::engine::work::{Control, Outbox};

/// The surroundings of one command.
pub(super) struct Context<'a> {
    shard: &'a mut Hydrogen,
    meta: Meta<'a>,
    now: Now,
    out: &'a mut Outbox<Peer>,
    ticket: Option<u64>,
}

impl<'a> Context<'a> {
    pub(super) fn new(shard: &'a mut Hydrogen, meta: Meta<'a>, now: Now, out: &'a mut Outbox<Peer>) -> Context<'a> {
        Context { shard, meta, now, out, ticket: None }
    }

    /// The ticket, if the command is answered later.
    pub(super) fn ticket(&self) -> Option<u64> {
        self.ticket
    }

    fn defer(&mut self) -> u64 {
        *self.ticket.get_or_insert_with(|| self.shard.defer(self.meta, self.now))
    }

    fn own(&self) -> WorkerId {
        self.shard.worker
    }

    fn permissions(&self) -> Result<&Arc<Identity>, Error> {
        self.identity().ok_or_else(|| Error::new(Code::Unauthenticated, "authenticate first"))
    }

    /// A topic's name that the caller may name, checked.
    fn check_topic(&self, topic: &str) -> Result<(), Error> {
        is_topic(topic).map_err(|error| Error::new(Code::BadData, format!("topic: {error}")))
    }

    /// Reading a topic takes the permission to subscribe to it.
    fn check_readable(&self, topic: &str) -> Result<(), Error> {
        self.check_topic(topic)?;
        let pattern = Pattern::parse(topic).map_err(|error| Error::new(Code::BadData, error.as_str()))?;
        if self.permissions()?.permissions.may_subscribe(&pattern) {
            Ok(())
        } else {
            Err(Error::new(Code::Forbidden, "this identity may not subscribe to this topic"))
        }
    }

    /// Asks one other worker; its part is the answer.
    fn ask(&mut self, worker: WorkerId, message: impl FnOnce(u64) -> Peer) -> Outcome {
        let ticket = self.defer();
        self.await_parts(ticket, 1, Kind::One(None));
        self.out.peers.push((worker, message(ticket)));
        Outcome::Later
    }

    fn await_parts(&mut self, ticket: u64, waits: usize, kind: Kind) {
        if let Some(command) = self.shard.pending.of_mut(ticket) {
            command.gather = Some(Gather::new(waits, kind));
        }
    }

    fn publish_checked(&mut self, publish: Publish<'_>) -> Result<Outcome, Error> {
        self.check_topic(publish.topic)?;
        if is_built_in(publish.topic) {
            return Err(Error::new(
                Code::Forbidden,
                "topics of the built-in channels are the server's alone to publish",
            ));
        }
        if !self.permissions()?.permissions.may_publish(publish.topic) {
            return Err(Error::new(Code::Forbidden, "this identity may not publish to this topic"));
        }
        let owner = self.shard.owner(publish.topic);
        let Publish { topic, payload, retain, ttl, low_priority, guaranteed, id } = publish;
        // A repeat is known by its id only where its publisher waits for the disk.
        let is_known = (guaranteed || self.shard.logs.is_guaranteed(topic)) && self.shard.dedup.is_on();
        let identity = if is_known { self.identity() } else { None };
        let dedup = identity.map(|own| Dedup::key(&own.name, topic, id));
        let (published_at, time) = (self.meta.read_at, self.now.wall);
        if owner != self.own() {
            let (topic, payload) = (topic.into(), Bytes::copy_from_slice(payload.as_bytes()));
            let publish = RemotePublish { topic, payload, retain, ttl, low_priority, published_at, guaranteed, dedup };
            return Ok(self.ask(owner, |ticket| Peer::Publish { ticket, publish: Box::new(publish) }));
        }
        let payload = payload.as_bytes();
        let event = publish::Event { topic, payload, retain, ttl, low_priority, published_at, time, dedup };
        let plan = self.shard.plan(topic, guaranteed);
        let reply = match plan {
            Plan::Disk => Reply::Own(self.defer()),
            Plan::Unlogged | Plan::Memory => Reply::Nobody,
        };
        match self.shard.publish_here(&event, plan, reply, self.now, self.out)? {
            Some(answer) => Ok(Outcome::Done(answer)),
            None => Ok(Outcome::Later),
        }
    }
}

impl Session for Context<'_> {
    fn identity(&self) -> Option<&Arc<Identity>> {
        self.shard.sessions.of(self.meta.conn)?.identity.as_ref()
    }

    fn conn(&self) -> ConnId {
        self.meta.conn
    }

    fn address(&self) -> SocketAddr {
        let unknown = SocketAddr::new(std::net::Ipv4Addr::UNSPECIFIED.into(), 0);
        self.shard.sessions.of(self.meta.conn).map_or(unknown, |session| session.address)
    }

    fn now(&self) -> Now {
        self.now
    }

    fn later(&mut self) -> Responder {
        let ticket = self.defer();
        Responder::new(self.own(), ticket, self.shard.completions.clone())
    }

    fn authenticate(&mut self, token: &str) -> Outcome {
        let outcome = self.shard.authenticate(self.meta.conn, token, self.now, self.out);
        if matches!(outcome, Outcome::Done(_)) {
            self.shard.tell_session(self.meta.conn, self.now, self.out);
        }
        outcome
    }

    fn subscribe(&mut self, subscribe: Subscribe) -> Outcome {
        let Context { shard, meta, now, out, ticket } = self;
        shard.subscribe(*meta, subscribe, ticket, *now, out)
    }

    fn unsubscribe(&mut self, patterns: &[Pattern]) -> Outcome {
        self.shard.unsubscribe(self.meta.conn, patterns, self.now, self.out)
    }

    fn unsubscribe_durable(&mut self, name: &str) -> Outcome {
        let Context { shard, meta, now, out, ticket } = self;
        shard.unsubscribe_durable(*meta, name, ticket, *now, out)
    }

    fn resume(&mut self, resume: Resume) -> Outcome {
        let ticket = self.defer();
        match self.shard.begin_resume(self.meta.conn, resume, Some(ticket), self.out) {
            Ok(()) => Outcome::Later,
            Err(error) => Outcome::Failed(error),
        }
    }

    fn letters(&mut self, letters: Letters) -> Outcome {
        let reply = Reply::Own(self.defer());
        match self.shard.on_letters_command(letters, reply, self.now, self.out) {
            Ok(()) => Outcome::Later,
            Err(error) => Outcome::Failed(error),
        }
    }

    fn publish(&mut self, publish: Publish<'_>) -> Outcome {
        self.publish_checked(publish).into()
    }

    fn history(&mut self, topic: &str, since: Since, limit: usize) -> Outcome {
        if let Err(error) = self.check_readable(topic) {
            return error.into();
        }
        let owner = self.shard.owner(topic);
        if owner == self.own() {
            let Context { shard, meta, now, out, ticket } = self;
            let reply = shard.own_reply(*meta, ticket, *now);
            return match shard.history_here(topic, &since, limit, reply, *now, out) {
                Ok(Some(answer)) => Outcome::Done(answer),
                Ok(None) => Outcome::Later,
                Err(error) => Outcome::Failed(error),
            };
        }
        let topic = topic.into();
        self.ask(owner, |ticket| Peer::History { ticket, topic, since, limit })
    }

    fn presence(&mut self, topic: &str, page: Page) -> Outcome {
        if let Err(error) = self.check_readable(topic) {
            return error.into();
        }
        let owner = self.shard.owner(topic);
        if owner == self.own() {
            return Outcome::Done(self.shard.presence_here(topic, &page));
        }
        let topic = topic.into();
        self.ask(owner, |ticket| Peer::Presence { ticket, topic, page })
    }

    fn list(&mut self, list: List, page: Page) -> Outcome {
        let rows = self.shard.rows_here(list, &page);
        if self.shard.workers == 1 {
            return Outcome::Done(page_of(rows, &page));
        }
        let ticket = self.defer();
        self.await_parts(ticket, self.shard.workers - 1, Kind::Rows(rows, page.clone()));
        for worker in self.shard.others() {
            self.out.peers.push((worker, Peer::List { ticket, list, page: page.clone() }));
        }
        Outcome::Later
    }

    fn disconnect(&mut self, whom: Disconnect) -> Outcome {
        let count = self.shard.disconnect_here(&whom, self.out);
        let sum = Gather::new(self.shard.workers - 1, Kind::Sum("disconnected", count));
        if sum.waits == 0 {
            return sum.finish().map(Outcome::Done).into();
        }
        let ticket = self.defer();
        if let Some(command) = self.shard.pending.of_mut(ticket) {
            command.gather = Some(sum);
        }
        for worker in self.shard.others() {
            self.out.peers.push((worker, Peer::Disconnect { ticket, whom: whom.clone() }));
        }
        Outcome::Later
    }

    fn block(&mut self, target: Target, duration_s: Option<u64>, reason: Option<&str>) -> Outcome {
        let until = duration_s.map(|s| Wall(self.now.wall.0.saturating_add_unsigned(s.saturating_mul(1000))));
        let block = Block { target, until, reason: reason.unwrap_or_default().into() };
        let ticket = self.defer();
        self.out.controls.push(Control::Block { block, ticket });
        Outcome::Later
    }

    fn unblock(&mut self, target: Target) -> Outcome {
        let ticket = self.defer();
        self.out.controls.push(Control::Unblock { target, ticket });
        Outcome::Later
    }
}
