//! Subscriptions: the session's worker decides, the owners of the topics hold them. An exact
//! pattern is held by the owner of its topic, a wildcard by every worker.

use std::sync::Arc;

use super::gather::{Gather, Kind};
use super::past::{End, Past};
use super::reply::Meta;
use super::reply_to::Reply;
use super::session::Subscribed;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Now, WorkerId};
use crate::engine::channel::{Outcome, StartFrom, Subscribe};
use crate::engine::outbound::Overflow;
use crate::engine::topic::{Options, Pattern, SubKey, Target, TargetFlags};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// The workers that hold a subscription.
    pub(super) fn holders(&self, pattern: &Pattern) -> Vec<WorkerId> {
        if pattern.is_exact() {
            vec![self.owner(pattern.as_str())]
        } else {
            (0..self.workers as u16).map(WorkerId).collect()
        }
    }

    /// Subscribes; each pattern is granted or refused by itself. If none is granted, the command
    /// fails with the first refusal.
    pub(super) fn subscribe(
        &mut self,
        meta: Meta<'_>,
        subscribe: Subscribe,
        ticket: &mut Option<u64>,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Outcome {
        let Subscribe { patterns, options, from, guaranteed } = subscribe;
        if let Some(guaranteed) = guaranteed {
            return self.subscribe_guaranteed(meta, &patterns, &options, from, guaranteed, ticket, now, out);
        }
        let conn = meta.conn;
        let mut answers = Vec::new();
        let mut first_refusal = None;
        let mut granted = 0;
        let mut waits = 0;
        let mut own = Vec::new();
        for pattern in &patterns {
            self.end_guaranteed(conn, pattern, now, out);
            let answer = self.grant(conn, pattern, &options, false).and_then(|(key, name)| {
                for worker in self.holders(pattern) {
                    if worker == self.worker && from == StartFrom::New {
                        self.cancel_replay(key);
                        self.topics.subscribe(key, pattern, options.clone(), name.clone())?;
                        continue;
                    }
                    let ticket = *ticket.get_or_insert_with(|| self.defer(meta, now));
                    waits += 1;
                    if worker == self.worker {
                        own.push((key, pattern.clone(), name.clone()));
                        continue;
                    }
                    let message = Peer::Subscribe {
                        ticket,
                        key,
                        pattern: pattern.clone(),
                        options: options.clone(),
                        identity: name.clone(),
                        from,
                    };
                    out.peers.push((worker, message));
                }
                Ok(())
            });
            let topic = serde_json::json!(pattern.as_str());
            match answer {
                Ok(()) => {
                    granted += 1;
                    answers.push(format!("{{\"topic\":{topic},\"granted\":true,\"guarantee\":\"at_most_once\"}}"))
                }
                Err(error) => {
                    self.forget(conn, pattern, now, out);
                    answers.push(refused(pattern, &error));
                    first_refusal.get_or_insert(error);
                }
            }
        }
        if granted == 0
            && let Some(error) = first_refusal
        {
            return Outcome::Failed(error);
        }
        self.mark_session(conn, now);
        let data: Box<str> = format!("{{\"topics\":[{}]}}", answers.join(",")).into();
        let waiting = ticket.filter(|_| waits > 0).and_then(|ticket| self.pending.of_mut(ticket));
        match waiting {
            Some(command) => {
                command.gather = Some(Gather::new(waits, Kind::All(data)));
                let reply = ticket.map_or(Reply::Nobody, Reply::Own);
                for (key, pattern, identity) in own {
                    self.subscribe_here(key, &pattern, options.clone(), identity, from, reply, now, out);
                }
                Outcome::Later
            }
            None => Outcome::Done(data),
        }
    }

    /// Whether the session may have this subscription, and its name; one that it has already
    /// keeps its number, and gets the new options.
    pub(super) fn grant(
        &mut self,
        conn: ConnId,
        pattern: &Pattern,
        options: &Options,
        is_guaranteed: bool,
    ) -> Result<(SubKey, Arc<str>), Error> {
        let most = self.settings.subscriptions_max;
        let bytes = (!self.settings.session_ttl.is_zero()).then_some(self.settings.session_bytes_max);
        let Some(session) = self.sessions.of_mut(conn) else {
            return Err(Error::new(Code::Unavailable, "the session is over"));
        };
        let may = session.identity.as_ref().is_some_and(|identity| identity.permissions.may_subscribe(pattern));
        if !may {
            return Err(Error::new(Code::Forbidden, "this identity may not subscribe to this"));
        }
        let is_many = session.subscriptions.len() + session.joined.len() >= most;
        let is_much = bytes.is_some_and(|most| session.weight() >= most);
        let number = match session.subscriptions.get_mut(pattern) {
            Some(known) if is_guaranteed => known.number,
            Some(known) => {
                known.options = options.clone();
                known.number
            }
            None if is_many => {
                return Err(Error::new(Code::TooLarge, "the connection has as many subscriptions as it may"));
            }
            None if is_much => {
                return Err(Error::new(Code::TooLarge, "the session has as much to be kept as it may"));
            }
            None if is_guaranteed => 0,
            None => {
                session.next_subscription += 1;
                let number = session.next_subscription;
                let subscribed = Subscribed { number, is_guaranteed: false, options: options.clone() };
                session.subscribe(pattern.clone(), subscribed);
                self.counters.inc(Metric::SUBSCRIPTIONS_MADE);
                session.next_subscription
            }
        };
        Ok((SubKey { conn, number }, session.name.clone()))
    }

    /// Adds a subscription to this shard, when it was given what it wants of the past.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of one message, taken apart")]
    pub(super) fn subscribe_here(
        &mut self,
        key: SubKey,
        pattern: &Pattern,
        options: Options,
        identity: Arc<str>,
        from: StartFrom,
        reply: Reply,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let target = Target { conn: key.conn, flags: replay_flags(&options) };
        let past = Past { target, filter: options.filter.clone(), pattern, from };
        let end = End::Subscribe { key, pattern: pattern.clone(), options, identity };
        self.begin_replay(past, end, reply, now, out);
    }

    /// Ends a session's subscription, wherever it is held. Returns whether there was one.
    pub(super) fn forget(&mut self, conn: ConnId, pattern: &Pattern, now: Now, out: &mut Outbox<Peer>) -> bool {
        let Some(session) = self.sessions.of_mut(conn) else { return false };
        let Some(Subscribed { number, is_guaranteed, .. }) = session.subscriptions.get(pattern).cloned() else {
            return false;
        };
        if is_guaranteed {
            return self.end_guaranteed(conn, pattern, now, out);
        }
        session.subscriptions.remove(pattern);
        self.counters.inc(Metric::SUBSCRIPTIONS_ENDED);
        let key = SubKey { conn, number };
        for worker in self.holders(pattern) {
            if worker == self.worker {
                self.cancel_replay(key);
                self.topics.unsubscribe(key);
            } else {
                out.peers.push((worker, Peer::Unsubscribe { key }));
            }
        }
        true
    }

    /// Ends subscriptions; the answer says which there were.
    pub(super) fn unsubscribe(
        &mut self,
        conn: ConnId,
        patterns: &[Pattern],
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Outcome {
        let rows: Vec<serde_json::Value> = patterns
            .iter()
            .map(|pattern| {
                let was = self.forget(conn, pattern, now, out);
                serde_json::json!({"topic": pattern.as_str(), "was_subscribed": was})
            })
            .collect();
        self.mark_session(conn, now);
        Outcome::json(&serde_json::json!({ "topics": rows }))
    }
}

/// What is answered for a pattern that is refused.
pub(super) fn refused(pattern: &Pattern, error: &Error) -> String {
    let mut text = Vec::new();
    error.write_json(&mut text);
    let (topic, text) = (serde_json::json!(pattern.as_str()), String::from_utf8(text).unwrap_or_default());
    format!("{{\"topic\":{topic},\"granted\":false,\"error\":{text}}}")
}

/// How retained events go out. They are no newer than what waits already, so that they take no
/// place of it; for a client that conflates, they may be dropped.
fn replay_flags(options: &Options) -> TargetFlags {
    let overflow = if options.conflate { Overflow::DropOldest } else { options.overflow };
    TargetFlags::new(options.lane, overflow, false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::outbound::Lane;

    #[test]
    fn a_replay_never_conflates_and_drops_where_its_subscription_would() {
        for (conflate, overflow, expected) in [
            (false, Overflow::Disconnect, Overflow::Disconnect),
            (false, Overflow::DropOldest, Overflow::DropOldest),
            (true, Overflow::Disconnect, Overflow::DropOldest),
            (true, Overflow::DropOldest, Overflow::DropOldest),
        ] {
            let options = Options { lane: Lane::Bulk, overflow, conflate, filter: None };
            let flags = replay_flags(&options);
            assert_eq!((flags.lane(), flags.overflow(), flags.is_conflated()), (Lane::Bulk, expected, false));
        }
    }
}
