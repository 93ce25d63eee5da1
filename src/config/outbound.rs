//! Section `Outbound`: what waits to be written to the peers.

use super::reader::Reader;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;

/// Bounds of what waits to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    /// Bytes that wait for one connection.
    pub max_bytes_per_connection: usize,
    /// Messages that wait for one connection.
    pub max_messages_per_connection: usize,
    /// Bytes that wait for all connections together.
    pub max_bytes_total: usize,
}

impl Outbound {
    pub(super) fn read(r: &mut Reader<'_, '_>, max_message_size: u64) -> Outbound {
        let max_bytes_per_connection = r.bytes(
            "MaxBytesPerConnection",
            16 * KIB..=4 * GIB,
            (MIB.max(max_message_size), "`1048576` (1 MiB), or `MaxMessageSize` if that is larger"),
            "Bytes that may wait for one connection. A peer that reads more slowly meets its subscriptions' policy, or \
             is closed with 1013.",
        );
        Outbound {
            max_bytes_per_connection,
            max_messages_per_connection: r.count(
                "MaxMessagesPerConnection",
                16..=16_777_216,
                65_536,
                "Messages that may wait for one connection.",
            ),
            max_bytes_total: r.bytes(
                "MaxBytesTotal",
                MIB..=1024 * GIB,
                (
                    (256 * MIB).max(max_bytes_per_connection as u64),
                    "`268435456` (256 MiB), or `MaxBytesPerConnection` if that is larger",
                ),
                "Bytes that may wait for all connections together.",
            ),
        }
    }
}
