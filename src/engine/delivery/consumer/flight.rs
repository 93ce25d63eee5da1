//! One event on its way: taken, and neither acked nor given up yet.

use std::sync::Arc;

use crate::base::limits::ATTEMPTS_KEPT;
use crate::base::{ConnId, Mono, Wall};
use crate::engine::delivery::dead::{Attempt, DeadLetter, DeadReason, Outcome};
use crate::engine::store::{Record, Seq};
use crate::engine::topic::Epoch;

use super::effect::Source;

#[derive(Debug)]
pub(super) struct Flight {
    /// What the client calls it. Not known of what a cursor brought, until it is fetched.
    pub name: Option<Name>,
    pub weight: usize,
    /// How often it was sent.
    pub deliveries: u32,
    /// How often no ack came in time. Only these count against the limit of attempts: a connection
    /// that flaps must not turn events into dead letters.
    pub timeouts: u32,
    pub state: State,
    /// To whom it was sent last.
    pub holder: Option<ConnId>,
    /// When it was sent first, or brought by a cursor.
    pub since: Mono,
    /// Where its payload is.
    pub source: Source,
    /// Empty, and so without memory of its own, until an attempt has failed.
    pub history: Vec<Attempt>,
}

#[derive(Clone, Debug)]
pub(super) struct Name {
    pub topic: Arc<str>,
    pub epoch: Epoch,
    pub offset: u64,
}

/// Where a flight is. `Sent` -> (no ack) `Waiting` -> `Unsent` -> `Sent`; `Sent` -> (its member
/// goes) `Unsent`; from each of them `Dying` by a reject, and from `Sent` by the last timeout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A member has it.
    Sent { member: ConnId, deadline: Mono },
    /// No ack came in time; it rests.
    Waiting { due: Mono },
    /// It goes before anything newer, as soon as there is a member.
    Unsent,
    /// It is given up, and done when its dead letter is stored. With `again`, the dead letter is
    /// handed out once more then.
    Dying { reason: DeadReason, again: Option<Mono> },
}

impl State {
    pub fn timer(&self) -> Option<Mono> {
        match self {
            State::Sent { deadline, .. } => Some(*deadline),
            State::Waiting { due } => Some(*due),
            State::Unsent => None,
            State::Dying { again, .. } => *again,
        }
    }
}

impl Name {
    pub fn of(record: &Record) -> Name {
        Name { topic: record.topic.clone(), epoch: record.epoch, offset: record.offset }
    }
}

impl Flight {
    /// An event's first time.
    pub fn first(record: &Record, member: ConnId, now: Mono, deadline: Mono) -> Flight {
        Flight {
            name: Some(Name::of(record)),
            weight: record.weight(),
            deliveries: 1,
            timeouts: 0,
            state: State::Sent { member, deadline },
            holder: Some(member),
            since: now,
            source: Source::Log,
            history: Vec::new(),
        }
    }

    /// A dead letter that gets another chance.
    pub fn again(letter: DeadLetter, now: Mono) -> Flight {
        let DeadLetter { topic, epoch, offset, weight, deliveries, history, .. } = letter;
        Flight {
            name: Some(Name { topic, epoch, offset }),
            weight,
            deliveries,
            timeouts: 0,
            state: State::Unsent,
            holder: None,
            since: now,
            source: Source::DeadLetters,
            history,
        }
    }

    /// What a cursor says of it.
    pub fn restored(weight: usize, deliveries: u32, timeouts: u32, now: Mono) -> Flight {
        Flight {
            name: None,
            weight,
            deliveries,
            timeouts,
            state: State::Unsent,
            holder: None,
            since: now,
            source: Source::Log,
            history: Vec::new(),
        }
    }

    pub fn is_dying(&self) -> bool {
        matches!(self.state, State::Dying { .. })
    }

    /// Whether its dead letter could not be stored, and waits for another try.
    pub fn is_late_dying(&self) -> bool {
        matches!(self.state, State::Dying { again: Some(_), .. })
    }

    /// Writes down how the attempt ended.
    pub fn failed(&mut self, conn: ConnId, at: Wall, outcome: Outcome) {
        if self.history.len() >= ATTEMPTS_KEPT {
            self.history.remove(0);
        }
        self.history.push(Attempt { at, conn, outcome });
    }

    /// Its dead letter. `None` unless it is dying; it has a name then, for it was sent.
    pub fn letter(&self, seq: Seq) -> Option<DeadLetter> {
        let State::Dying { reason, .. } = &self.state else { return None };
        let name = self.name.clone()?;
        Some(DeadLetter {
            seq,
            topic: name.topic,
            epoch: name.epoch,
            offset: name.offset,
            weight: self.weight,
            reason: reason.clone(),
            deliveries: self.deliveries,
            history: self.history.clone(),
        })
    }
}
