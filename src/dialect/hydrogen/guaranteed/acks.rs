//! Acks, from the connection's worker to the homes of its subscriptions, one after the other.
//!
//! An event that several subscriptions of a connection wait for is acked for all of them at once.

use super::super::consumer_id::ConsumerId;
use super::super::{Hydrogen, Peer};
use crate::base::{ConnId, Metric, Now};
use crate::engine::topic::{EventId, UpTo};
use crate::engine::wire;
use crate::engine::work::Outbox;

/// What an ack is about.
#[derive(Clone, Debug)]
pub enum AckOf {
    /// Events.
    Events(Vec<AckedEvent>),
    /// Everything of a topic, up to a place.
    Through(Box<str>, UpTo),
    /// One event, refused for good.
    Reject(AckedEvent, Box<str>),
    /// Who comes back has seen everything of a topic, up to a place.
    Seen(Box<str>, UpTo),
}

/// An event that an ack names.
#[derive(Clone, Copy, Debug)]
pub struct AckedEvent {
    id: EventId,
    /// Some subscription waited for it.
    is_found: bool,
}

fn event_of(id: &str) -> Option<AckedEvent> {
    EventId::parse(id).map(|id| AckedEvent { id, is_found: false })
}

impl Hydrogen {
    /// A client acks.
    pub(in super::super) fn on_ack(&mut self, conn: ConnId, ack: &wire::AckOf<'_>, now: Now, out: &mut Outbox<Peer>) {
        let of = match ack {
            wire::AckOf::One { id } => event_of(id).map(|event| AckOf::Events(vec![event])),
            wire::AckOf::Many { ids } => {
                let events: Vec<AckedEvent> = ids.clone().filter_map(|id| event_of(&id)).collect();
                self.counters.add(Metric::ACKS_IGNORED, (ids.clone().count() - events.len()) as u64);
                Some(AckOf::Events(events))
            }
            wire::AckOf::Through { topic, through } => Some(AckOf::Through((&**topic).into(), *through)),
            wire::AckOf::Reject { id, reason } => {
                event_of(id).map(|event| AckOf::Reject(event, reason.as_deref().unwrap_or_default().into()))
            }
        };
        let Some(of) = of else { return self.counters.inc(Metric::ACKS_IGNORED) };
        let ids = self.sessions.of(conn).map(|session| session.consumers()).unwrap_or_default();
        self.ack_at(ids, conn, of, 0, now, out);
    }

    /// Takes an ack as far as this worker's subscriptions are concerned, and passes it on to the
    /// homes of the others. `through` counts what an ack up to an offset has reached so far.
    pub(in super::super) fn ack_at(
        &mut self,
        mut ids: Vec<ConsumerId>,
        conn: ConnId,
        mut of: AckOf,
        mut through: usize,
        now: Now,
        out: &mut Outbox<Peer>,
    ) {
        let own: Vec<ConsumerId> = ids.extract_if(.., |id| self.home(*id) == self.worker).collect();
        for id in own {
            let mut effects = Vec::new();
            let Some(held) = self.consumers.of_mut(id) else { continue };
            match &mut of {
                AckOf::Events(events) => {
                    for event in events {
                        event.is_found |= held.consumer.ack(conn, event.id.epoch, event.id.offset, &mut effects);
                    }
                }
                AckOf::Through(topic, place) => {
                    through += held.consumer.ack_through(conn, topic, *place, &mut effects);
                }
                AckOf::Seen(topic, place) => through += held.consumer.seen(topic, *place, &mut effects),
                AckOf::Reject(event, reason) => {
                    event.is_found |=
                        held.consumer.reject(conn, event.id.epoch, event.id.offset, reason, now, &mut effects);
                }
            }
            self.carry_out(id, effects, now, out);
            self.consumers.touch(id);
        }
        self.pump_touched(now, out);
        if let Some(next) = ids.first() {
            out.peers.push((self.home(*next), Peer::Ack { ids, conn, of, through }));
            return;
        }
        let (taken, ignored) = match &of {
            AckOf::Events(events) => {
                let found = events.iter().filter(|event| event.is_found).count();
                (found, events.len() - found)
            }
            AckOf::Through(..) => (through, usize::from(through == 0)),
            AckOf::Seen(..) => (through, 0),
            AckOf::Reject(event, _) => (0, usize::from(!event.is_found)),
        };
        self.counters.add(Metric::ACKS_TAKEN, taken as u64);
        self.counters.add(Metric::ACKS_IGNORED, ignored as u64);
    }
}
