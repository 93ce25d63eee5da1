//! Whom the outcome of something that takes time goes to.

use crate::base::WorkerId;

/// Where an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// To a command of this worker.
    Own(u64),
    /// To a command of another worker.
    Peer(WorkerId, u64),
    /// To nobody: a channel emitted it.
    Nobody,
}
