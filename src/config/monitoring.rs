//! Section `Monitoring`: status events that come by themselves.

use std::time::Duration;

use super::reader::Reader;

/// How often the periodic events come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Monitoring {
    /// Between two `system.status_update`; `None` is never.
    pub status_interval: Option<Duration>,
    /// Between two looks at the network interfaces; `None` is never.
    pub network_interval: Option<Duration>,
}

impl Monitoring {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Monitoring {
        Monitoring {
            status_interval: r.seconds_or_off(
                "StatusInterval",
                86_400,
                10,
                "How often the event `system.status_update` is published. 0: never.",
            ),
            network_interval: r.seconds_or_off(
                "NetworkInterval",
                86_400,
                5,
                "How often the network interfaces are looked at; a change is published as an event. 0: never.",
            ),
        }
    }
}
