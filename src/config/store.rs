//! Section `Store`: where events are kept that outlive the process.

use std::path::PathBuf;

use super::reader::{self, Reader};
use super::text::open;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const TIB: u64 = 1024 * GIB;

/// Where events are kept, and how much of the disk and memory that may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// As written; see [`super::Config::store_dir`].
    pub path: PathBuf,
    /// Bytes on disk. A publish beyond is answered with `storage_full`.
    pub max_bytes: u64,
    /// Bytes of the disk that are left free.
    pub min_free_bytes: u64,
    /// Bytes of memory that keep what was read from the disk.
    pub cache_bytes: usize,
}

impl Store {
    pub(super) fn read(r: &mut Reader<'_, '_>) -> Store {
        Store {
            path: r.text(
                "Path",
                ("store", "store".into()),
                &open("a path"),
                "The directory of the store. A relative path counts from `DataDir`.",
                reader::path,
            ),
            max_bytes: r.bytes_on_disk(
                "MaxBytes",
                MIB..=16 * TIB,
                8 * GIB,
                "The largest size of the store on disk. Beyond it guaranteed publishes are answered with \
                 `storage_full`.",
            ),
            min_free_bytes: r.bytes_on_disk(
                "MinFreeBytes",
                0..=TIB,
                64 * MIB,
                "As much of the disk is left free. Beyond it guaranteed publishes are answered with `storage_full`.",
            ),
            cache_bytes: r.bytes(
                "CacheBytes",
                256 * KIB..=16 * GIB,
                MIB,
                "Memory for what was read from the store. The system keeps what does not fit here, as far as it has room.",
            ),
        }
    }
}
