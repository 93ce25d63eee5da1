//! Everything that decides who may come in, as one immutable snapshot.

use super::blocks::BlockList;
use super::keyring::KeyRing;

/// Keys, permissions and blocks. Swapped whole when any of them changes.
#[derive(Debug, Default)]
pub struct Access {
    /// Counts the swaps: of two snapshots, the one with the greater number is the newer.
    pub version: u64,
    /// Every key, and the shared key.
    pub keys: std::sync::Arc<KeyRing>,
    /// Who is kept out.
    pub blocks: BlockList,
}
