//! Section `RateLimit`: how much one peer may send.

use super::reader::Reader;

/// How much one peer may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Messages of one connection per second, on average; `None` is any number.
    pub messages_per_second: Option<u32>,
    /// Messages of one connection at once.
    pub burst: u32,
    /// Refused credentials of one address per minute; `None` is any number.
    pub handshake_failures: Option<u32>,
}

impl RateLimit {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> RateLimit {
        let messages_per_second = r.count_or_off(
            "MessagesPerSecond",
            1_000_000,
            0,
            "Messages of one connection per second, on average. One more is answered with `rate_limited`. 0: any number.",
        );
        let burst = r.count(
            "Burst",
            1..=10_000_000,
            (messages_per_second.unwrap_or(1).into(), "`MessagesPerSecond`"),
            "Messages of one connection at once, after it has been silent. Used with `MessagesPerSecond`.",
        );
        RateLimit {
            messages_per_second,
            burst: u32::try_from(burst).unwrap_or(u32::MAX),
            handshake_failures: r.count_or_off(
                "HandshakeFailures",
                1_000_000,
                20,
                "Refused credentials of one address per minute. Further requests from there are answered with 429. \
                 0: any number.",
            ),
        }
    }
}
