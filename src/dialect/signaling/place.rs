//! A lost connection's place: the signals that wait for it, and what the one gets that takes it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::limits::{NOTICES_BEHIND, QUEUED_BYTES, QUEUED_SIGNALS};
use super::wire::{Era, Notice, SignalOut};
use crate::base::ConnId;

/// Signals that wait for who is away.
#[derive(Debug, Default)]
pub(super) struct Queue {
    signals: VecDeque<SignalOut>,
    bytes: usize,
    /// Signals that found no room.
    pub missed: u64,
}

impl Queue {
    /// Takes one more; the oldest make room. How many were dropped is returned.
    pub(super) fn push(&mut self, signal: SignalOut) -> u64 {
        self.bytes += signal.weight();
        self.signals.push_back(signal);
        let mut dropped = 0;
        while self.signals.len() > QUEUED_SIGNALS || self.bytes > QUEUED_BYTES {
            let Some(oldest) = self.signals.pop_front() else { break };
            self.bytes -= oldest.weight();
            dropped += 1;
        }
        self.missed += dropped;
        dropped
    }

    pub(super) fn pop(&mut self) -> Option<SignalOut> {
        let signal = self.signals.pop_front()?;
        self.bytes -= signal.weight();
        Some(signal)
    }

    pub(super) fn len(&self) -> usize {
        self.signals.len()
    }
}

/// What the one is told that is taking a place, before it has it.
#[derive(Debug, Default)]
pub(super) struct Behind {
    notices: VecDeque<Arc<Notice>>,
    /// Bytes of the signals among them.
    bytes: usize,
    /// Signals that found no room.
    pub missed: u64,
}

impl Behind {
    /// Takes one more; the oldest make room, and of too many bytes the oldest that has some: who came and
    /// went is told all the same. How many signals were dropped is returned.
    pub(super) fn push(&mut self, notice: Arc<Notice>) -> u64 {
        self.bytes += weight(&notice);
        self.notices.push_back(notice);
        let mut dropped = 0;
        while self.notices.len() > NOTICES_BEHIND || self.bytes > QUEUED_BYTES {
            let is_long = self.notices.len() > NOTICES_BEHIND;
            let place = self.notices.iter().position(|notice| is_long || weight(notice) > 0);
            let Some(oldest) = place.and_then(|place| self.notices.remove(place)) else { break };
            self.bytes -= weight(&oldest);
            dropped += u64::from(matches!(*oldest, Notice::Signal(_)));
        }
        self.missed += dropped;
        dropped
    }

    pub(super) fn into_notices(self) -> impl Iterator<Item = Arc<Notice>> {
        self.notices.into_iter()
    }
}

/// Bytes of what others choose the size of.
fn weight(notice: &Notice) -> usize {
    match notice {
        Notice::Signal(signal) => signal.weight(),
        Notice::Relay { data, .. } => data.len(),
        _ => 0,
    }
}

/// What a lost connection leaves to the one that takes its place.
#[derive(Debug)]
pub(super) struct Handover {
    pub peer: u64,
    pub key: Option<Arc<str>>,
    pub is_proved: bool,
    pub era: Era,
    pub rooms: Vec<(Box<str>, Box<str>)>,
    pub queue: Queue,
}

/// A lost connection whose rooms are being told of the one that takes its place.
#[derive(Debug)]
pub(super) struct Handing {
    pub to: ConnId,
    pub address: SocketAddr,
    /// The one that takes its place has proved its key.
    pub is_proved: bool,
    /// Rooms, and the answer to the lost one's last request.
    pub waits: usize,
    pub handover: Handover,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signal(bytes: usize) -> Arc<Notice> {
        let payload = "x".repeat(bytes).into();
        Arc::new(Notice::Signal(SignalOut { room: "r".into(), name: "Offer", id: "".into(), payload }))
    }

    #[test]
    fn what_has_many_bytes_makes_room_and_who_went_is_told() {
        let mut behind = Behind::default();
        let left = |peer| Arc::new(Notice::Left { room: "r".into(), key: "k".into(), peer: Some(peer), lost: true });
        behind.push(left(1));
        let dropped: u64 = (0..10).map(|_| behind.push(signal(40_000))).sum();
        behind.push(left(2));
        assert_eq!((dropped, behind.missed), (4, 4));
        let kept: Vec<_> = behind.into_notices().map(|notice| matches!(*notice, Notice::Left { .. })).collect();
        assert_eq!(kept, [true, false, false, false, false, false, false, true]);
    }

    #[test]
    fn of_too_many_the_oldest_make_room() {
        let mut behind = Behind::default();
        let dropped: u64 = (0..NOTICES_BEHIND + 10).map(|_| behind.push(signal(1))).sum();
        assert_eq!((dropped, behind.into_notices().count()), (10, NOTICES_BEHIND));
    }
}
