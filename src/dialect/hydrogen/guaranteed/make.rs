//! How a guaranteed subscription comes to be, and how it ends.
//!
//! The subscriber's worker tells every worker that holds matching topics, so that they keep logs
//! for it; then its home, which writes it down and takes the connection as a member. Then the
//! client is answered, and only then events go out.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::super::asked::Asked;
use super::super::consumer_id::{ConsumerId, ConsumerKey};
use super::super::gather::{Gather, Kind, Part};
use super::super::making::{Make, Making, Place, Saving, Started, Wanted};
use super::super::past::{End, Past};
use super::super::reply_to::Reply;
use super::super::{Hydrogen, HydrogenSettings, Peer};
use crate::base::{Code, ConnId, Error, Metric, Now, WorkerId};
use crate::engine::channel::StartFrom;
use crate::engine::delivery::{Consumer, Selector, Settings};
use crate::engine::store::{Answer, Level, Op, Read, Seq, StoreError, Table, Write};
use crate::engine::topic::{Pattern, Target, TargetFlags};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// How a subscription of this server delivers.
    pub(in super::super) fn consumer_settings(&self, window: Option<usize>, ack_timeout: Option<Duration>) -> Settings {
        let delivery = &self.settings.delivery;
        Settings {
            window: window.unwrap_or(delivery.window).clamp(1, delivery.window_max),
            window_bytes: delivery.window_bytes,
            ack_timeout: ack_timeout.unwrap_or(delivery.ack_timeout),
            backoff: delivery.backoff,
            attempts_max: delivery.attempts_max,
        }
    }

    /// Begins to make a guaranteed subscription: the owners of its topics are told.
    pub(in super::super) fn begin_making(&mut self, ticket: u64, making: Making, now: Now, out: &mut Outbox<Peer>) {
        let (id, conn) = (making.make.key.id(), making.make.conn);
        let mut waits = 0;
        let mut own = Vec::new();
        for wanted in &making.make.wanted {
            for worker in self.holders(&wanted.pattern) {
                if worker == self.worker {
                    own.push(wanted.clone());
                    continue;
                }
                waits += 1;
                let (wanted, from) = (wanted.clone(), making.from);
                out.peers.push((worker, Peer::Interest { ticket, id, conn, wanted, from }));
            }
        }
        waits += own.len();
        let from = making.from;
        if let Some(command) = self.pending.of_mut(ticket) {
            command.gather = Some(Gather::new(waits, Kind::Making(Box::new(making))));
        }
        for wanted in own {
            self.on_interest((id, conn), wanted, from, Reply::Own(ticket), now, out);
        }
    }

    /// A worker is told that a subscription wants topics of its own; it says where it begins.
    pub(in super::super) fn on_interest(
        &mut self,
        (id, conn): (ConsumerId, ConnId),
        wanted: Wanted,
        from: StartFrom,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Wanted { pattern, filter, .. } = wanted;
        self.show_interest(&pattern, id);
        let head = self.store.head;
        if from == StartFrom::Last && !(pattern.is_exact() && self.logs.of(pattern.as_str()).is_some()) {
            // What was newest comes without an ack, as what is retained does; of one topic's log
            // its newest event is the first that is delivered.
            let target = Target { conn, flags: TargetFlags::default() };
            let past = Past { target, filter, pattern: &pattern, from };
            return self.begin_replay(past, End::Guaranteed { head }, reply, now, out);
        }
        let log = self.logs.of(pattern.as_str()).map(|log| (log.epoch, log.committed));
        let topic: Arc<str> = pattern.as_str().into();
        let (limit, bytes) = (1, 1);
        let place = match (from, log) {
            (StartFrom::All, _) => Ok(Part::Place(pattern.clone(), Seq(0))),
            (StartFrom::New, _) => Ok(Part::Head(head)),
            (StartFrom::Time(since), _) if !pattern.is_exact() => Err(Read::Since { since }),
            (StartFrom::Last | StartFrom::Offset(_) | StartFrom::Time(_), None) => {
                Ok(Part::Place(pattern.clone(), head))
            }
            (StartFrom::Last, Some((epoch, last))) => {
                Err(Read::Offset { topic, epoch, after: last.saturating_sub(1), limit, bytes })
            }
            (StartFrom::Offset(after), Some((epoch, _))) => Err(Read::Offset { topic, epoch, after, limit, bytes }),
            (StartFrom::Time(since), Some((epoch, _))) => Err(Read::Time { topic, epoch, since, limit, bytes }),
        };
        match place {
            Ok(part) => self.part(reply, part, now, out),
            Err(read) => drop(self.store.ask(Asked::Place { pattern, head, reply }, Op::Read(read), out)),
        }
    }

    /// The first event of a subscription that begins in the past was looked up. If there is none,
    /// it begins where its topics ended when they were looked at.
    pub(in super::super) fn on_place(
        &mut self,
        pattern: Pattern,
        head: Seq,
        reply: Reply,
        result: &Result<Answer, StoreError>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let part = match result {
            Ok(Answer::Page(page)) => {
                let place = page.records.first().map_or(head, |record| Seq(record.seq.0.saturating_sub(1)));
                Part::Place(pattern, place)
            }
            Ok(_) => Part::Failed(Error::new(Code::Internal, "the store answered something else")),
            Err(error) => Part::Failed(error.error()),
        };
        self.part(reply, part, now, out);
    }

    /// One worker's part of a command, which may be of this worker.
    pub(in super::super) fn part(&mut self, reply: Reply, part: Part, now: Now, out: &mut Outbox<Peer>) {
        match reply {
            Reply::Own(ticket) => self.on_part(ticket, part, now, out),
            Reply::Peer(worker, ticket) => out.peers.push((worker, Peer::Part { ticket, part })),
            Reply::Nobody => {}
        }
    }

    /// From now on events on these topics are logged for somebody.
    pub(in super::super) fn show_interest(&mut self, pattern: &Pattern, id: ConsumerId) {
        self.interest.insert(pattern, id);
        if pattern.is_exact() {
            self.logs.forget_without(pattern.as_str());
        }
    }

    /// All owners of topics were told: now the home.
    pub(in super::super) fn go_on_making(&mut self, ticket: u64, making: Making, now: Now, out: &mut Outbox<Peer>) {
        if let Some(error) = self.refusal(&making.make) {
            self.unmake(&making, out);
            return self.finish(ticket, Err(error), now, out);
        }
        let Making { mut make, places, head, granting, .. } = making;
        for wanted in &mut make.wanted {
            wanted.place = places.get(&wanted.pattern).map_or(Place::New(head), |place| Place::Behind(*place));
        }
        let (key, conn) = (make.key.clone(), make.conn);
        let Some(session) = self.sessions.of_mut(conn) else { return };
        let patterns: Vec<Pattern> = make.wanted.iter().map(|wanted| wanted.pattern.clone()).collect();
        let newly = session.join(key.clone(), &patterns);
        // Whoever is told of a session that holds a subscription finds it after a crash.
        // While the store is in trouble only what is there can be joined: the session is saved later.
        let is_saved = !self.store.is_down() && self.save_session(conn, Level::Disk, Asked::Saved { ticket }, out);
        if !is_saved {
            self.mark_session(conn, now);
        }
        let home = key.id().home(self.workers);
        let kind = Kind::Started(Box::new(Started { granting, key, conn, patterns, newly }));
        if let Some(command) = self.pending.of_mut(ticket) {
            command.gather = Some(Gather::new(1 + usize::from(is_saved), kind));
        }
        if home == self.worker {
            self.on_make(make, Reply::Own(ticket), now, out);
        } else {
            out.peers.push((home, Peer::Make { ticket, make: Box::new(make) }));
        }
    }

    /// The home of a subscription makes it, or extends it, or lets a connection join.
    pub(in super::super) fn on_make(&mut self, make: Make, reply: Reply, now: Now, out: &mut Outbox<Peer>) {
        let Make { key, conn, wanted, window, ack_timeout, lane } = make;
        let id = key.id();
        let head = self.store.head;
        let is_new = match self.consumers.of(id) {
            Some(held) if held.key != key => {
                // What is shown under this id is that one's.
                let error = Error::new(Code::Conflict, "another subscription has this name's hash: choose another");
                return self.refuse_make(id, &wanted, error, reply, now, out);
            }
            Some(_) => false,
            None => true,
        };
        let trouble = self.store.trouble().filter(|_| self.must_be_written(&key, &wanted, window, ack_timeout, lane));
        if let Some(error) = trouble.or_else(|| self.no_room_for(&key, is_new, &wanted)) {
            return self.refuse_make(id, &wanted, error, reply, now, out);
        }
        // Commits are looked at here, even where the topic is another worker's. The owners hear of
        // it again: what this worker said to them before may have come behind the first time.
        for Wanted { pattern, .. } in &wanted {
            self.show_interest(pattern, id);
            for worker in self.holders(pattern) {
                if worker != self.worker {
                    out.peers.push((worker, Peer::Show { id, pattern: pattern.clone() }));
                }
            }
        }
        let settings = self.consumer_settings(window, ack_timeout);
        if is_new {
            self.counters.inc(Metric::CONSUMERS_MADE);
            self.consumers.insert(id, key.clone(), Consumer::new(settings, head), now.mono);
            self.ensure_sweep(now.mono);
        }
        let Some(held) = self.consumers.of_mut(id) else { return };
        let mut is_changed = is_new || held.lane != lane;
        held.lane = lane;
        if !is_new && (window.is_some() || ack_timeout.is_some()) && *held.consumer.settings() != settings {
            held.consumer.set_settings(settings);
            is_changed = true;
        }
        held.consumer.head_moved(head);
        for Wanted { pattern, filter, place } in wanted {
            // The same pattern again: with another filter, that takes the place of the first.
            let (is_known, is_other) = held.consumer.refilter(&pattern, filter.as_ref());
            is_changed |= is_other;
            if is_known {
                continue;
            }
            let since = match place {
                Place::New(seq) => seq.max(head),
                Place::Behind(seq) => seq.min(head),
            };
            is_changed |= held.consumer.select(Selector { pattern, filter, since });
        }
        let joins = held.consumer.attach(conn);
        held.unattended = None;
        let lost: Vec<Arc<str>> = std::mem::take(&mut held.lost).into_iter().collect();
        // What is on its way to the disk, or did not get there, is not answered for yet.
        if !is_changed && held.writing.is_written() {
            let is_told = !lost.is_empty();
            let joined = held.joined(lost);
            if is_told {
                self.consumers.mark_dirty(id);
                self.arm_save(now);
            }
            return self.part(reply, Part::Joined(joined), now, out);
        }
        held.writing.begin();
        let definition = held.definition();
        let (key, value) = (key.to_string(), definition.encode());
        // The cursor first: if it comes alone, the old patterns go on from where they were.
        self.save_cursor(id, Level::Memory, out);
        let saving = Saving { id, conn, joins, lost, reply };
        let write = Write::Put { table: Table::Subscriptions, key: key.into(), value, level: Level::Disk };
        self.store.ask(Asked::Made(Box::new(saving)), Op::Write(write), out);
    }

    fn no_room_for(&self, key: &ConsumerKey, is_new: bool, wanted: &[Wanted]) -> Option<Error> {
        let held = self.consumers.of(key.id());
        let held: BTreeSet<&Pattern> =
            held.iter().flat_map(|held| held.consumer.selectors()).map(|selector| &selector.pattern).collect();
        let added: BTreeSet<&Pattern> =
            wanted.iter().map(|wanted| &wanted.pattern).filter(|pattern| !held.contains(pattern)).collect();
        if !added.is_empty() && held.len() + added.len() > self.settings.subscriptions_max {
            return Some(Error::new(Code::TooLarge, "the subscription has as many patterns as it may"));
        }
        if !is_new {
            return None;
        }
        let is_durable = matches!(key, ConsumerKey::Durable { .. });
        let most = HydrogenSettings::share(self.settings.delivery.durables_max, self.workers);
        (is_durable && self.consumers.durables() >= most)
            .then(|| Error::new(Code::TooLarge, "the server has as many durable subscriptions as it may"))
    }

    /// A subscription was written down, or could not be.
    pub(in super::super) fn on_made(
        &mut self,
        saving: Saving,
        result: Result<(), Error>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let mut is_void = false;
        let mut rejoined = Vec::new();
        if let Some(held) = self.consumers.of_mut(saving.id) {
            held.writing.end(result.is_ok());
            if held.writing.is_stored() {
                let replies = std::mem::take(&mut held.rejoining).into_iter();
                rejoined = replies.map(|reply| (reply, held.joined(Vec::new()))).collect();
            }
            // Who was a member before stays one, and who asked again meanwhile.
            if result.is_err() && saving.joins && held.writing.is_idle() {
                held.consumer.detach(saving.conn, now);
            }
            is_void = held.writing.is_void();
        }
        if is_void {
            self.drop_consumer(saving.id, now, out);
        }
        for (reply, joined) in rejoined {
            self.part(reply, Part::Joined(joined), now, out);
        }
        let part = match (result, self.consumers.of(saving.id)) {
            (Err(error), _) => Part::Failed(error),
            (Ok(()), Some(held)) => Part::Joined(held.joined(saving.lost)),
            (Ok(()), None) => Part::Failed(Error::new(Code::NotFound, "the subscription was ended meanwhile")),
        };
        self.part(saving.reply, part, now, out);
    }

    /// The client was answered: its events may come.
    pub(in super::super) fn start_delivery(&mut self, id: ConsumerId, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        let home = id.home(self.workers);
        if home != self.worker {
            out.peers.push((home, Peer::Start { id, conn }));
            return;
        }
        if let Some(held) = self.consumers.of_mut(id) {
            held.consumer.start(conn);
            self.consumers.touch(id);
        }
        self.pump_touched(now, out);
    }

    /// A connection leaves a subscription.
    pub(in super::super) fn leave(&mut self, id: ConsumerId, conn: ConnId, now: Now, out: &mut Outbox<Peer>) {
        let home = id.home(self.workers);
        if home != self.worker {
            out.peers.push((home, Peer::Leave { id, conn }));
            return;
        }
        let Some(held) = self.consumers.of_mut(id) else { return };
        held.consumer.detach(conn, now);
        if held.consumer.members_len() == 0 {
            held.unattended = Some(now.mono);
        }
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    /// Patterns of a subscription end; the last one ends it.
    pub(in super::super) fn on_deselect(
        &mut self,
        id: ConsumerId,
        patterns: &[Pattern],
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let Some(held) = self.consumers.of_mut(id) else { return };
        for pattern in patterns {
            held.consumer.deselect(pattern);
        }
        if held.consumer.selectors().next().is_none() {
            self.end_consumer(id, now, out);
            return;
        }
        self.save_definition(id, out);
        self.forget_interest(id, patterns, out);
        self.consumers.touch(id);
        self.pump_touched(now, out);
    }

    /// A subscription ends for good, and with it what waits for it.
    pub(in super::super) fn end_consumer(&mut self, id: ConsumerId, now: Now, out: &mut Outbox<Peer>) -> bool {
        let Some(key) = self.drop_consumer(id, now, out) else { return false };
        for table in [Table::Subscriptions, Table::Cursors] {
            self.delete(table, key.to_string().into(), out);
        }
        true
    }

    fn drop_consumer(&mut self, id: ConsumerId, now: Now, out: &mut Outbox<Peer>) -> Option<ConsumerKey> {
        let held = self.consumers.remove(id)?;
        for reply in held.rejoining {
            self.part(reply, Part::NotJoined(id), now, out);
        }
        self.counters.inc(Metric::CONSUMERS_ENDED);
        let patterns: Vec<Pattern> = held.consumer.selectors().map(|selector| selector.pattern.clone()).collect();
        self.forget_interest(id, &patterns, out);
        Some(held.key)
    }

    pub(super) fn forget_interest(&mut self, id: ConsumerId, patterns: &[Pattern], out: &mut Outbox<Peer>) {
        for pattern in patterns {
            self.interest.remove(pattern, id);
            for worker in self.others() {
                out.peers.push((worker, Peer::Uninterest { id, pattern: pattern.clone() }));
            }
        }
    }

    /// Ends a durable subscription, at its home.
    pub(in super::super) fn end_durable(&mut self, key: &ConsumerKey, now: Now, out: &mut Outbox<Peer>) -> Box<str> {
        let was = self.end_consumer(key.id(), now, out);
        let ConsumerKey::Durable { name, .. } = key else { return "{}".into() };
        serde_json::json!({"name": name, "was_subscribed": was}).to_string().into()
    }

    /// The worker that a subscription is at home at.
    pub(in super::super) fn home(&self, id: ConsumerId) -> WorkerId {
        id.home(self.workers)
    }
}
