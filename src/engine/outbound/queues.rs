//! The three lanes of one connection, what they hold together, and how room is made in them.

use std::sync::Arc;

use bytes::Bytes;

use super::lane::LaneQueue;
use super::{Dropped, Entry, Lane, OutboundLimits, Payload};

/// Frames for which empty queues may keep room.
const FRAMES_KEPT: usize = 32;

#[derive(Debug, Default)]
pub(super) struct Queues {
    /// The frame that is partly out, and how much of it is.
    pub current: Option<(Entry, usize)>,
    pub lanes: [LaneQueue; 3],
    /// The frame after which nothing leaves.
    pub last: Option<Bytes>,
    pub bytes: usize,
    pub frames: usize,
    pub dropped: Dropped,
}

impl Queues {
    /// Whether little room is held for what waits.
    pub(super) fn is_small(&self) -> bool {
        self.lanes.iter().map(LaneQueue::held).sum::<usize>() <= FRAMES_KEPT
    }

    pub(super) fn waiting(&self) -> [usize; 3] {
        [self.lanes[0].len(), self.lanes[1].len(), self.lanes[2].len()]
    }

    pub(super) fn push(&mut self, lane: Lane, entry: Entry) {
        self.bytes += entry.bytes().len();
        self.frames += 1;
        self.lanes[lane as usize].push(entry);
    }

    /// Whether so many bytes more of events stay within the limit.
    pub(super) fn has_bytes(&self, more: usize, limits: &OutboundLimits) -> bool {
        let (events, bulk) = (&self.lanes[Lane::Events as usize], &self.lanes[Lane::Bulk as usize]);
        events.bytes() + bulk.bytes() + more <= limits.bytes_max
    }

    /// Whether an event of `size` bytes stays within the limits, which are for events alone: what
    /// was asked for is bounded by how much may be asked.
    pub(super) fn has_room(&self, size: usize, limits: &OutboundLimits) -> bool {
        let (events, bulk) = (&self.lanes[Lane::Events as usize], &self.lanes[Lane::Bulk as usize]);
        self.has_bytes(size, limits) && events.len() + bulk.len() < limits.frames_max
    }

    /// Drops droppable events, low priority first, oldest first, bulk before events, until `size`
    /// more bytes fit.
    pub(super) fn make_room(&mut self, size: usize, limits: &OutboundLimits, count: &mut u32) {
        for low_only in [true, false] {
            for lane in [Lane::Bulk, Lane::Events] {
                while !self.has_room(size, limits) {
                    let Some(entry) = self.lanes[lane as usize].drop_oldest(low_only) else { break };
                    self.bytes -= entry.bytes().len();
                    self.frames -= 1;
                    self.dropped.add(&entry);
                    *count += 1;
                }
            }
        }
    }
}

impl Dropped {
    pub(super) fn is_empty(&self) -> bool {
        self.count == 0 && self.conflated == 0
    }

    pub(super) fn add(&mut self, entry: &Entry) {
        self.count += 1;
        if let Payload::Event(event) = &entry.payload {
            self.name(&event.topic);
        }
    }

    /// Takes note of a topic: the first few are told.
    pub(super) fn name(&mut self, topic: &Arc<str>) {
        if self.topics.len() < crate::base::limits::DROPPED_TOPICS_LISTED && !self.topics.contains(topic) {
            self.topics.push(topic.clone());
        }
    }
}
