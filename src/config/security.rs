//! Section `Security`: signatures, and what is public.

use std::time::Duration;

use crate::engine::topic::pattern::Pattern;

use super::reader::Reader;
use super::text::open;

/// More patterns than a person keeps in view.
const PATTERNS: usize = 256;

/// Signatures, and what is public.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Security {
    /// Actions that need a signature, as patterns over `<channel>.<action>`.
    pub sensitive_actions: Vec<Pattern>,
    /// How far a signed message's time may be from the server's.
    pub signature_skew: Duration,
    /// Who is answered at `/metrics`, `/api/status` and `/stats` without a key.
    pub public_status: PublicStatus,
}

/// Who sees the status without a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicStatus {
    /// Everybody.
    All,
    /// Whoever asks from this machine, and over no proxy.
    Local,
    /// Nobody.
    None,
}

impl Security {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Security {
        Security {
            sensitive_actions: r.list(
                "SensitiveActions",
                (&[], PATTERNS),
                &open("a pattern like \"system.disconnect\" or \"print.>\""),
                "Commands that need a signature, as patterns over `<channel>.<action>`: `*` stands for one word, a \
                 final `>` for one or more.",
                |text| Pattern::parse(text).map_err(|error| error.to_string()),
            ),
            signature_skew: r.seconds(
                "SignatureSkew",
                1..=3600,
                60,
                "How far the time in a signed message may be from the server's. An id is taken once within it.",
            ),
            public_status: r.choice(
                "PublicStatus",
                &[("all", PublicStatus::All), ("local", PublicStatus::Local), ("none", PublicStatus::None)],
                ("local", PublicStatus::Local),
                "Who is answered at `/metrics`, `/api/status` and `/stats` without a key: everybody, who asks from \
                 this machine, or nobody. What came over a proxy is not from here, if it says so.",
            ),
        }
    }
}
