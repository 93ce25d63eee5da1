//! Section `Http`: plain HTTP requests on the same port.

use std::time::Duration;

use super::reader::Reader;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

/// Bounds of plain HTTP requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Bytes of a request's line and headers.
    pub max_head_size: usize,
    /// Bytes of a request's body.
    pub max_body_size: usize,
    /// How long an idle plain connection is kept.
    pub keep_alive_timeout: Duration,
}

impl Http {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Http {
        Http {
            max_head_size: r.bytes(
                "MaxHeadSize",
                KIB..=64 * KIB,
                16 * KIB,
                "The largest request line with its headers, of handshakes too. A larger one is answered with 431.",
            ),
            max_body_size: r.bytes(
                "MaxBodySize",
                KIB..=1024 * MIB,
                MIB,
                "The largest body of a request. A larger one is answered with 413.",
            ),
            keep_alive_timeout: r.seconds(
                "KeepAliveTimeout",
                1..=3600,
                15,
                "How long a plain connection is kept without a request.",
            ),
        }
    }
}
