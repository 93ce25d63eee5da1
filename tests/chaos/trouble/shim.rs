//! Orders to the shim that makes trouble, and running a program under it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::powercut::shim::compile;

/// Errors of a disk.
pub const EIO: u32 = 5;
pub const ENOSPC: u32 = 28;
pub const EROFS: u32 = 30;

/// What a program's disk does, at any time.
pub struct Shim {
    library: PathBuf,
    path: PathBuf,
    orders: File,
}

/// What is ordered: the places of `struct orders` in `shim.c`.
#[derive(Clone, Copy)]
pub enum Order {
    /// Writes fail with this error.
    WriteError = 0,
    /// So many syncs fail.
    SyncsFail = 1,
    /// A sync that fails takes back what was written.
    IsDropped = 2,
    /// Syncs take so long.
    SyncMs = 3,
    /// The power goes.
    Cut = 4,
}

impl Shim {
    /// Builds it. Without a C compiler there is none, and what needs it cannot be tested.
    pub fn build(folder: &Path) -> Option<Shim> {
        let (library, path) = (folder.join("trouble.so"), folder.join("orders"));
        compile("trouble/shim.c", &library, &["-shared", "-fPIC"]).then_some(())?;
        let orders = File::options().read(true).write(true).create(true).truncate(true).open(&path).unwrap();
        orders.set_len(4096).unwrap();
        Some(Shim { library, path, orders })
    }

    pub fn variables<'a>(&'a self, folder: &'a Path) -> [(&'static str, &'a Path); 3] {
        [("LD_PRELOAD", &self.library), ("HYDROGEN_TROUBLE_FOLDER", folder), ("HYDROGEN_TROUBLE_ORDERS", &self.path)]
    }

    pub fn order(&self, order: Order, value: u32) {
        self.orders.write_all_at(&value.to_ne_bytes(), 4 * order as u64).unwrap();
    }

    /// The disk is well again.
    pub fn relent(&self) {
        for order in [Order::WriteError, Order::SyncsFail, Order::IsDropped, Order::SyncMs, Order::Cut] {
            self.order(order, 0);
        }
    }

    /// Operations that failed so far.
    pub fn failed(&self) -> u32 {
        let mut bytes = [0; 4];
        self.orders.read_exact_at(&mut bytes, 20).unwrap();
        u32::from_ne_bytes(bytes)
    }
}
