//! The mark: a small file beside the database, which says how far each log has come since the
//! last checkpoint.
//!
//! SQLite ends its log at the first damaged page and says nothing, so the newest commits may be
//! gone. A record is written here after each commit that was synced, and never synced itself, so
//! it may lag. If the database does not reach the mark, that is damage, always.
//!
//! ```text
//!   record   length u32, sum u32, generation u32, salt u32, pages u32, newest number u64, entries
//!   entry    log i64, offset u64, number u64, length of the name u16, and the first time in a
//!            generation: epoch u64, is_mixed u8, topic
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::heads::Heads;
use crate::engine::store::Seq;
use crate::engine::topic::Epoch;

/// A mark that is so long asks for a checkpoint.
const LONG: u64 = 1024 * 1024;

/// One that is longer is not believed.
const LONGEST: u64 = 64 * 1024 * 1024;

/// What is known of a log's end, from the mark or from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct KnownLog {
    pub(super) id: i64,
    pub(super) topic: Arc<str>,
    pub(super) epoch: Epoch,
    pub(super) is_mixed: bool,
    pub(super) last: u64,
    pub(super) last_seq: Seq,
    pub(super) is_cut: bool,
}

/// What must be in the database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) last: Seq,
    pub(super) logs: Vec<KnownLog>,
    /// The greatest id of a log, if that is known.
    pub(super) last_id: i64,
    /// The log's salt and how many pages it had.
    pub(super) pages: Option<(u32, u32)>,
    pub(super) generation: u32,
}

/// The mark, as it is written.
#[derive(Debug)]
pub(super) struct Mark {
    file: Option<File>,
    folder: PathBuf,
    /// What was to be written last was not.
    is_failing: bool,
    at: u64,
    generation: u32,
    salt: u32,
    named: BTreeSet<i64>,
}

impl Known {
    /// Reads the mark of a store. What is damaged says nothing.
    pub(super) fn read(folder: &Path) -> Known {
        let path = folder.join("mark");
        let is_sound = path.metadata().is_ok_and(|found| found.len() <= LONGEST);
        let bytes = if is_sound { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
        parse(&bytes)
    }

    /// What is in memory of a store whose files turned out to be damaged.
    pub(super) fn of(heads: &Heads, last: Seq) -> Known {
        let log = |head: &super::heads::Head| KnownLog {
            id: head.id,
            topic: head.topic.clone(),
            epoch: head.epoch,
            is_mixed: head.is_mixed,
            last: head.last,
            last_seq: head.last_seq,
            is_cut: head.is_cut,
        };
        Known { last, logs: heads.all().map(log).collect(), last_id: heads.last_id, ..Known::default() }
    }
}

fn parse(bytes: &[u8]) -> Known {
    let mut known = Known::default();
    let mut logs: BTreeMap<i64, KnownLog> = BTreeMap::new();
    let mut rest = Reader(bytes);
    while let Some((body, after)) = record(rest) {
        rest = after;
        let mut body = Reader(body);
        let (Some(generation), Some(salt), Some(pages), Some(last)) = (body.u32(), body.u32(), body.u32(), body.u64())
        else {
            break;
        };
        if known.generation != 0 && generation != known.generation {
            break;
        }
        known.generation = generation;
        known.pages = Some((salt, pages));
        known.last = Seq(last);
        while let Some((log, last, last_seq, length)) = entry(&mut body) {
            if length > 0 {
                let (Some(epoch), Some(is_mixed), Some(topic)) = (body.u64(), body.u8(), body.take(length)) else {
                    break;
                };
                let Ok(topic) = std::str::from_utf8(topic) else { break };
                let (topic, epoch, is_mixed) = (topic.into(), Epoch::new(epoch), is_mixed == 1);
                logs.insert(log, KnownLog { id: log, topic, epoch, is_mixed, last, last_seq, is_cut: false });
            } else if let Some(known) = logs.get_mut(&log) {
                (known.last, known.last_seq) = (last, last_seq);
            }
        }
    }
    known.logs = logs.into_values().collect();
    known
}

fn record(mut rest: Reader<'_>) -> Option<(&[u8], Reader<'_>)> {
    let (length, sum) = (rest.u32()?, rest.u32()?);
    let body = rest.take(length as usize)?;
    (crc32fast::hash(body) == sum).then_some((body, rest))
}

fn entry(body: &mut Reader<'_>) -> Option<(i64, u64, Seq, usize)> {
    Some((body.u64()? as i64, body.u64()?, Seq(body.u64()?), usize::from(body.u16()?)))
}

#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().ok()?))
    }
}

impl Mark {
    /// Begins a new generation behind what was read. The database holds all that it said.
    pub(super) fn begin(folder: &Path, known: &Known) -> Mark {
        let file = create(folder).inspect_err(|error| log::warn!("the store's mark cannot be written: {error}"));
        let generation = known.generation.wrapping_add(1).max(1);
        let (folder, named) = (folder.to_owned(), BTreeSet::new());
        Mark { file: file.ok(), folder, is_failing: false, at: 0, generation, salt: 0, named }
    }

    /// After a checkpoint: the database holds everything.
    pub(super) fn reset(&mut self) {
        if self.file.is_none() {
            self.file = create(&self.folder).ok();
        }
        self.at = 0;
        self.generation = self.generation.wrapping_add(1).max(1);
        self.named.clear();
    }

    /// After a commit that was synced: which logs have come how far, and how many pages the log has.
    pub(super) fn write(&mut self, heads: &Heads, grown: &BTreeSet<i64>, last: Seq, pages: u32) {
        let Some(file) = &self.file else { return };
        if self.at == 0 {
            // SQLite begins its log anew with the first commit after a checkpoint.
            self.salt = salt(&self.folder.join("db-wal")).unwrap_or(0);
        }
        let mut bytes = vec![0u8; 8];
        for number in [self.generation, self.salt, pages] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&last.0.to_le_bytes());
        for head in grown.iter().filter_map(|id| heads.of(*id)) {
            for number in [head.id as u64, head.last, head.last_seq.0] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            let is_new = self.named.insert(head.id);
            let length = if is_new { head.topic.len() } else { 0 };
            // A topic's length is bounded far below.
            bytes.extend_from_slice(&u16::try_from(length).unwrap_or(0).to_le_bytes());
            if is_new {
                bytes.extend_from_slice(&head.epoch.as_u64().to_le_bytes());
                bytes.push(u8::from(head.is_mixed));
                bytes.extend_from_slice(head.topic.as_bytes());
            }
        }
        let sum = crc32fast::hash(&bytes[8..]);
        let length = (bytes.len() - 8) as u32;
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        match file.write_all_at(&bytes, self.at) {
            Ok(()) => {
                self.at += bytes.len() as u64;
                self.is_failing = false;
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    log::warn!("the store's mark cannot be written: {error}");
                }
                // The next record has this one's place, and names what this one named.
                self.named.clear();
            }
        }
    }

    /// Whether it is time for a checkpoint.
    pub(super) fn is_long(&self) -> bool {
        self.at >= LONG
    }
}

fn create(folder: &Path) -> std::io::Result<File> {
    let file = File::options().write(true).create(true).truncate(true).open(folder.join("mark"))?;
    if let Err(error) = file.sync_all() {
        log::warn!("the store's mark cannot be synced: {error}");
    }
    Ok(file)
}

/// What tells one life of SQLite's log from the next.
pub(super) fn salt(log: &Path) -> Option<u32> {
    let mut bytes = [0; 4];
    File::open(log).ok()?.read_exact_at(&mut bytes, 16).ok()?;
    Some(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::heads::Head;
    use super::*;

    fn heads(ends: &[(i64, &str, u64)]) -> Heads {
        let mut heads = Heads::default();
        for (id, topic, last) in ends {
            let mut head = Head::new(*id, (*topic).into(), Epoch::new(*id as u64), false);
            (head.last, head.last_seq) = (*last, Seq(*last));
            heads.put(head);
        }
        heads
    }

    fn ends(known: &Known) -> Vec<(&str, u64)> {
        known.logs.iter().map(|log| (&*log.topic, log.last)).collect()
    }

    #[test]
    fn what_was_marked_is_read_until_the_first_damage_and_of_one_generation() {
        let dir = tempfile::tempdir().unwrap();
        let mut mark = Mark::begin(dir.path(), &Known::default());
        mark.write(&heads(&[(1, "a.b", 3), (2, "a.c", 9)]), &[1, 2].into(), Seq(9), 4);
        let long = heads(&[(1, "a.b", 12)]);
        mark.write(&long, &[1].into(), Seq(12), 7);
        let known = Known::read(dir.path());
        assert_eq!((ends(&known), known.last), (vec![("a.b", 12), ("a.c", 9)], Seq(12)));
        let path = dir.path().join("mark");
        let bytes = std::fs::read(&path).unwrap();
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let known = parse(&flipped);
            assert!(known.last == Seq(0) || known.last == Seq(9), "byte {at}: {known:?}");
        }
        mark.reset();
        mark.write(&heads(&[(3, "x.y", 20)]), &[3].into(), Seq(20), 2);
        let known = Known::read(dir.path());
        assert_eq!((ends(&known), known.last), (vec![("x.y", 20)], Seq(20)));
        assert_eq!(Mark::begin(dir.path(), &known).generation, 3);
    }
}
