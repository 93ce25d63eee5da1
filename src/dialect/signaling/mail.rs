//! What a room is asked while a change of it is being written: it waits, up to a number and a
//! weight. What tells that somebody is gone waits always: it comes once for each connection, and
//! must not be lost.

use std::collections::VecDeque;

use super::limits::{MAIL_BYTES, MAIL_MAX};
use super::peer::{Ask, Op};

#[derive(Debug, Default)]
pub(super) struct Mail {
    asks: VecDeque<Ask>,
    bytes: usize,
}

impl Mail {
    pub(super) fn has_room_for(&self, ask: &Ask) -> bool {
        self.asks.len() < MAIL_MAX && self.bytes + weight(ask) <= MAIL_BYTES
    }

    pub(super) fn push(&mut self, ask: Ask) {
        self.bytes += weight(&ask);
        self.asks.push_back(ask);
    }

    pub(super) fn pop(&mut self) -> Option<Ask> {
        let ask = self.asks.pop_front()?;
        self.bytes -= weight(&ask);
        Some(ask)
    }

    pub(super) fn len(&self) -> usize {
        self.asks.len()
    }
}

impl IntoIterator for Mail {
    type Item = Ask;
    type IntoIter = std::collections::vec_deque::IntoIter<Ask>;

    fn into_iter(self) -> Self::IntoIter {
        self.asks.into_iter()
    }
}

/// Bytes that what is asked may make long, about.
fn weight(ask: &Ask) -> usize {
    match ask {
        Ask::Request(_, Op::Signal { signal, .. }) => signal.weight(),
        Ask::Request(_, Op::Relay { data, .. }) => data.len(),
        Ask::Request(
            _,
            Op::Create { .. }
            | Op::Join { .. }
            | Op::Connect
            | Op::Disconnect
            | Op::Leave
            | Op::Kick { .. }
            | Op::Rename { .. }
            | Op::Presence,
        )
        | Ask::Gone { .. }
        | Ask::Away { .. }
        | Ask::Rebind { .. }
        | Ask::Member { .. } => 0,
    }
}
