//! Queues that nobody needs at present: a busy reactor makes none anew.

use super::queues::Queues;

/// Queues that are kept. As many connections have something waiting at once on a busy reactor.
const KEPT: usize = 1024;

/// Empty queues, with the room that they once needed.
#[derive(Debug, Default)]
#[allow(clippy::vec_box, reason = "the box is what a connection holds: handed over, not copied")]
pub struct Spare(Vec<Box<Queues>>);

impl Spare {
    pub(super) fn take(&mut self) -> Option<Box<Queues>> {
        self.0.pop()
    }

    /// Keeps queues that are empty, unless there are enough or these would hold much.
    pub(super) fn give(&mut self, queues: Box<Queues>) {
        debug_assert!(queues.frames == 0 && queues.bytes == 0);
        if self.0.len() < KEPT && queues.is_small() {
            self.0.push(queues);
        }
    }
}
