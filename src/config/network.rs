//! Section `Network`: the `network` channel.

use super::reader::Reader;

/// The `network` channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Whether clients may have names looked up.
    pub name_lookup: bool,
    /// Threads that look names up.
    pub lookup_threads: usize,
}

impl Network {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Network {
        Network {
            name_lookup: r.flag("NameLookup", true, "Whether clients may have host names looked up."),
            lookup_threads: r.count(
                "LookupThreads",
                1..=16,
                2,
                "Threads that look names up: as many slow name servers can be waited for at a time.",
            ),
        }
    }
}
