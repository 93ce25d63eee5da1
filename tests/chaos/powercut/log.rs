//! The log that the shim writes: what a program did to the files below one folder, in order.

use std::fs;
use std::path::Path;

const MAGIC: u32 = u32::from_le_bytes(*b"PCUT");
const HEAD: usize = 48;

#[derive(Clone, Debug)]
pub struct Record {
    pub at_ns: u64,
    pub act: Act,
}

/// Names are relative to the folder. Files that are open go by their inode.
#[derive(Clone, Debug)]
pub enum Act {
    Open {
        path: String,
        inode: u64,
        truncates: bool,
    },
    Write {
        inode: u64,
        offset: usize,
        data: Vec<u8>,
    },
    Truncate {
        inode: u64,
        len: usize,
    },
    /// It holds for what stands in the log before the record `from`: when it began, that was done.
    Sync {
        inode: u64,
        from: usize,
    },
    SyncFolder {
        from: usize,
    },
    SyncAll {
        from: usize,
    },
    Rename {
        from: String,
        to: String,
    },
    Remove {
        path: String,
    },
    MakeFolder {
        path: String,
    },
}

/// Reads a log. A record that is cut off at its end is left out.
pub fn read(path: &Path) -> Vec<Record> {
    let bytes = fs::read(path).unwrap();
    let mut rest = bytes.as_slice();
    let mut records = Vec::new();
    while let Some((record, len)) = parse(rest) {
        records.push(record);
        rest = &rest[len..];
    }
    records
}

fn parse(bytes: &[u8]) -> Option<(Record, usize)> {
    let head = bytes.get(..HEAD)?;
    let word = |at: usize| u32::from_ne_bytes(head[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_ne_bytes(head[at..at + 8].try_into().unwrap());
    assert_eq!(word(0), MAGIC, "this is no log of the shim");
    let (kind, at_ns, inode, a, b) = (word(4), long(8), long(16), long(24), long(32));
    let (path_len, data_len) = (word(40) as usize, word(44) as usize);
    let path = bytes.get(HEAD..HEAD + path_len)?;
    let data = bytes.get(HEAD + path_len..HEAD + path_len + data_len)?;
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let act = match kind {
        1 => Act::Open { path: text(path), inode, truncates: b != 0 },
        2 => Act::Write { inode, offset: a as usize, data: data.to_vec() },
        3 => Act::Truncate { inode, len: a as usize },
        4 => Act::Sync { inode, from: a as usize },
        5 => Act::Rename { from: text(path), to: text(data) },
        6 => Act::Remove { path: text(path) },
        7 => Act::MakeFolder { path: text(path) },
        8 => Act::SyncFolder { from: a as usize },
        9 => Act::SyncAll { from: a as usize },
        _ => panic!("the shim's log has a record of kind {kind}"),
    };
    Some((Record { at_ns, act }, HEAD + path_len + data_len))
}
