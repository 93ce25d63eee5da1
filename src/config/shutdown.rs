//! Section `Shutdown`: how the server stops.

use std::time::Duration;

use super::reader::Reader;

/// How the server stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long connections may take to end.
    pub drain_timeout: Duration,
    /// Over how long a time clients are asked to come back.
    pub reconnect_spread: Duration,
}

impl Shutdown {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Shutdown {
        Shutdown {
            drain_timeout: r.seconds(
                "DrainTimeout",
                0..=3600,
                10,
                "How long a stop may take. Commands that run for longer than half of it, or half of CloseTimeout if that is shorter, are answered with `draining`.",
            ),
            reconnect_spread: r.seconds(
                "ReconnectSpread",
                0..=3600,
                10,
                "The reason of close code 1001 suggests a delay before reconnecting, from 0 to this, different for \
                 each client, so that they do not come back at once.",
            ),
        }
    }
}
