//! Section `Sessions`: what a client finds again that comes back.

use std::time::Duration;

use super::reader::Reader;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Bounds of the sessions that wait for their clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    /// How long after its connection a session can be resumed; `None`: not at all.
    pub time_to_live: Option<Duration>,
    /// Sessions without a connection at a time.
    pub max_resumable: usize,
    /// Bytes of one session's saved state.
    pub max_bytes: usize,
}

impl Sessions {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Sessions {
        Sessions {
            time_to_live: r.seconds_or_off(
                "TimeToLive",
                30 * 86_400,
                300,
                "How long after its connection a session can be resumed. 0: not at all.",
            ),
            max_resumable: r.count(
                "MaxResumable",
                0..=10_000_000,
                100_000,
                "Sessions that wait for their clients at a time. The one that waits longest gives way.",
            ),
            max_bytes: r.bytes(
                "MaxBytes",
                KIB..=64 * MIB,
                256 * KIB,
                "The saved state of one session: its subscriptions, and what it has not acknowledged. A larger one \
                 cannot be resumed.",
            ),
        }
    }
}
