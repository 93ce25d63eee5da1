//! A lost connection's place: the signals that wait for it, and what the one gets that takes it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::limits::{QUEUED_BYTES, QUEUED_SIGNALS};
use super::wire::{Era, SignalOut};
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
