//! Subscriptions: the session's worker decides, the owners of the topics hold them. An exact
//! pattern is held by the owner of its topic, a wildcard by every worker.

use std::sync::Arc;

use super::gather::{Gather, Kind};
use super::reply::Meta;
use super::{Hydrogen, Peer};
use crate::base::{Code, ConnId, Error, Metric, Now, WorkerId};
use crate::engine::channel::{Outcome, Subscribe};
use crate::engine::outbound::Overflow;
use crate::engine::topic::{Options, Pattern, SubKey, Target, TargetFlags};
use crate::engine::work::Outbox;

impl Hydrogen {
    /// The workers that hold a subscription.
    fn holders(&self, pattern: &Pattern) -> Vec<WorkerId> {
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
        let conn = meta.conn;
        let mut answers = Vec::new();
        let mut first_refusal = None;
        let mut granted = 0;
        let mut waits = 0;
        for pattern in &subscribe.patterns {
            let answer = self.grant(conn, pattern).and_then(|(key, name)| {
                for worker in self.holders(pattern) {
                    if worker == self.worker {
                        let options = subscribe.options.clone();
                        self.subscribe_here(key, pattern, options, name.clone(), subscribe.from_last, now, out)?;
                        continue;
                    }
                    let ticket = *ticket.get_or_insert_with(|| self.defer(meta, now));
                    waits += 1;
                    let message = Peer::Subscribe {
                        ticket,
                        key,
                        pattern: pattern.clone(),
                        options: subscribe.options.clone(),
                        identity: name.clone(),
                        from_last: subscribe.from_last,
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
                    self.forget(conn, pattern, out);
                    let mut text = Vec::new();
                    error.write_json(&mut text);
                    let text = String::from_utf8(text).unwrap_or_default();
                    answers.push(format!("{{\"topic\":{topic},\"granted\":false,\"error\":{text}}}"));
                    first_refusal.get_or_insert(error);
                }
            }
        }
        if granted == 0
            && let Some(error) = first_refusal
        {
            return Outcome::Failed(error);
        }
        let data: Box<str> = format!("{{\"topics\":[{}]}}", answers.join(",")).into();
        let waiting = ticket.filter(|_| waits > 0).and_then(|ticket| self.pending.of_mut(ticket));
        match waiting {
            Some(command) => {
                command.gather = Some(Gather::new(waits, Kind::All(data)));
                Outcome::Later
            }
            None => Outcome::Done(data),
        }
    }

    /// Whether the session may have this subscription, and its name; one that it has already
    /// keeps its number, and gets the new options.
    fn grant(&mut self, conn: ConnId, pattern: &Pattern) -> Result<(SubKey, Arc<str>), Error> {
        let most = self.settings.subscriptions_max;
        let Some(session) = self.sessions.of_mut(conn) else {
            return Err(Error::new(Code::Unavailable, "the session is over"));
        };
        let may = session.identity.as_ref().is_some_and(|identity| identity.permissions.may_subscribe(pattern));
        if !may {
            return Err(Error::new(Code::Forbidden, "this identity may not subscribe to this"));
        }
        let number = match session.subscriptions.get(pattern) {
            Some(number) => *number,
            None if session.subscriptions.len() >= most => {
                return Err(Error::new(Code::TooLarge, "the connection has as many subscriptions as it may"));
            }
            None => {
                session.next_subscription += 1;
                session.subscriptions.insert(pattern.clone(), session.next_subscription);
                self.counters.inc(Metric::SUBSCRIPTIONS_MADE);
                session.next_subscription
            }
        };
        Ok((SubKey { conn, number }, session.name.clone()))
    }

    /// Adds a subscription to this shard.
    #[allow(clippy::too_many_arguments, reason = "they are the fields of one message, taken apart")]
    pub(super) fn subscribe_here(
        &mut self,
        key: SubKey,
        pattern: &Pattern,
        options: Options,
        identity: Arc<str>,
        from_last: bool,
        now: Now,
        out: &mut Outbox<Peer>,
    ) -> Result<(), Error> {
        let filter = options.filter.clone();
        let target = Target { conn: key.conn, flags: replay_flags(&options) };
        self.topics.subscribe(key, pattern, options, identity)?;
        if from_last {
            self.send_retained(target, pattern, filter.as_deref(), now, out);
        }
        Ok(())
    }

    /// Ends a session's subscription, wherever it is held. Returns whether there was one.
    pub(super) fn forget(&mut self, conn: ConnId, pattern: &Pattern, out: &mut Outbox<Peer>) -> bool {
        let Some(number) = self.sessions.of_mut(conn).and_then(|session| session.subscriptions.remove(pattern)) else {
            return false;
        };
        self.counters.inc(Metric::SUBSCRIPTIONS_ENDED);
        let key = SubKey { conn, number };
        for worker in self.holders(pattern) {
            if worker == self.worker {
                self.topics.unsubscribe(key);
            } else {
                out.peers.push((worker, Peer::Unsubscribe { key }));
            }
        }
        true
    }

    /// Ends subscriptions; the answer says which there were.
    pub(super) fn unsubscribe(&mut self, conn: ConnId, patterns: &[Pattern], out: &mut Outbox<Peer>) -> Outcome {
        let rows: Vec<serde_json::Value> = patterns
            .iter()
            .map(|pattern| {
                let was = self.forget(conn, pattern, out);
                serde_json::json!({"topic": pattern.as_str(), "was_subscribed": was})
            })
            .collect();
        Outcome::json(&serde_json::json!({ "topics": rows }))
    }
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
