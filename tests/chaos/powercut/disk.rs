//! A disk that loses what was not synced. It plays a log up to a point, and then tells what the
//! folder might hold after the power went there.
//!
//! Of a file, everything before its last sync is there. What was done to it since may be there in
//! any part, torn at the borders of sectors. Names change in the order in which they were changed,
//! as in a file system's journal; a sync of a folder makes the changes so far last, and a sync of
//! a file its own making and what was changed before it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::log::{Act, Record};
use crate::dice::Dice;

const SECTOR: usize = 512;

/// What a folder holds: files with their bytes, and folders.
pub type Content = BTreeMap<String, Option<Vec<u8>>>;

#[derive(Default)]
pub struct Disk {
    files: Vec<File>,
    /// Files that are or were open.
    by_inode: BTreeMap<u64, usize>,
    /// As the program sees it. `None` is a folder.
    names: BTreeMap<String, Option<usize>>,
    changes: Vec<(usize, Change)>,
    /// So many of the changes last.
    lasting: usize,
    /// Records that were played.
    played: usize,
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    pending: Vec<(usize, Edit)>,
    /// Which change of names made it.
    made_by: usize,
}

#[derive(Clone)]
enum Edit {
    Write { offset: usize, data: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Clone)]
enum Change {
    Make { path: String, file: Option<usize> },
    Rename { from: String, to: String },
    Remove { path: String },
}

/// How much of what was not synced is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Luck {
    Nothing,
    Everything,
    /// As chance will have it.
    Some,
}

impl Disk {
    /// Plays the beginning of a log, up to the record `end`, which is not played.
    pub fn play(log: &[Record], end: usize) -> Disk {
        let mut disk = Disk::default();
        log[..end].iter().for_each(|record| disk.step(&record.act));
        disk
    }

    fn step(&mut self, act: &Act) {
        let now = self.played;
        self.played += 1;
        match act {
            Act::Open { path, inode, truncates } => {
                let file = match self.names.get(path) {
                    Some(Some(file)) => *file,
                    Some(None) => panic!("{path} is a folder, and was opened as a file"),
                    None => {
                        self.files.push(File { made_by: self.changes.len(), ..File::default() });
                        self.change(Change::Make { path: path.clone(), file: Some(self.files.len() - 1) });
                        self.files.len() - 1
                    }
                };
                self.by_inode.insert(*inode, file);
                if *truncates {
                    self.files[file].pending.push((now, Edit::Truncate { len: 0 }));
                }
            }
            Act::Write { inode, offset, data } => {
                let edit = Edit::Write { offset: *offset, data: data.clone() };
                self.files[self.by_inode[inode]].pending.push((now, edit));
            }
            Act::Truncate { inode, len } => {
                self.files[self.by_inode[inode]].pending.push((now, Edit::Truncate { len: *len }));
            }
            Act::Sync { inode, from } => {
                let file = &mut self.files[self.by_inode[inode]];
                file.sync(*from);
                self.lasting = self.lasting.max(file.made_by + 1);
            }
            Act::SyncFolder { from } => self.sync_names(*from),
            Act::SyncAll { from } => {
                self.files.iter_mut().for_each(|file| file.sync(*from));
                self.sync_names(*from);
            }
            Act::Rename { from, to } => self.change(Change::Rename { from: from.clone(), to: to.clone() }),
            Act::Remove { path } => self.change(Change::Remove { path: path.clone() }),
            Act::MakeFolder { path } if path.is_empty() => {}
            Act::MakeFolder { path } => self.change(Change::Make { path: path.clone(), file: None }),
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push((self.played - 1, change));
    }

    fn sync_names(&mut self, from: usize) {
        let done = self.changes.iter().filter(|(at, _)| *at < from).count();
        self.lasting = self.lasting.max(done);
    }

    /// What the folder holds after the power went.
    pub fn cut(&self, luck: Luck, dice: &mut Dice) -> Content {
        let kept = match luck {
            Luck::Nothing => self.lasting,
            Luck::Everything => self.changes.len(),
            Luck::Some => dice.between(self.lasting, self.changes.len()),
        };
        let mut names = BTreeMap::new();
        self.changes[..kept].iter().for_each(|(_, change)| change.apply(&mut names));
        names.into_iter().map(|(path, file)| (path, file.map(|file| self.files[file].cut(luck, dice)))).collect()
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, Option<usize>>) {
        match self {
            Change::Make { path, file } => {
                names.insert(path.clone(), *file);
            }
            Change::Remove { path } => {
                names.remove(path);
            }
            Change::Rename { from, to } => {
                let below = format!("{from}/");
                let moved: Vec<String> =
                    names.keys().filter(|name| *name == from || name.starts_with(&below)).cloned().collect();
                for name in moved {
                    let file = names.remove(&name).flatten();
                    names.insert(format!("{to}{}", &name[from.len()..]), file);
                }
            }
        }
    }
}

impl File {
    fn sync(&mut self, from: usize) {
        let (done, pending) = std::mem::take(&mut self.pending).into_iter().partition(|(at, _)| *at < from);
        self.pending = pending;
        done.iter().for_each(|(_, edit)| edit.apply(&mut self.synced));
    }

    fn cut(&self, luck: Luck, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.synced.clone();
        let edits = self.pending.iter().map(|(_, edit)| edit);
        match (luck, dice.below(3)) {
            (Luck::Nothing, _) => {}
            (Luck::Everything, _) => edits.for_each(|edit| edit.apply(&mut bytes)),
            // The beginning of it, the last write torn.
            (Luck::Some, 0) => {
                let kept = dice.below(self.pending.len() + 1);
                edits.clone().take(kept).for_each(|edit| edit.apply(&mut bytes));
                if let Some(torn) = edits.clone().nth(kept) {
                    torn.apply_torn(&mut bytes, dice);
                }
            }
            // Anything of it, in its order, whole.
            (Luck::Some, 1) => edits.filter(|_| dice.chance(50)).for_each(|edit| edit.apply(&mut bytes)),
            (Luck::Some, _) => {
                for edit in edits {
                    match dice.below(3) {
                        0 => {}
                        1 => edit.apply(&mut bytes),
                        _ => edit.apply_torn(&mut bytes, dice),
                    }
                }
            }
        }
        bytes
    }
}

impl Edit {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Edit::Write { offset, data } => put(bytes, *offset, data),
            Edit::Truncate { len } => bytes.resize(*len, 0),
        }
    }

    /// Some of the sectors that it writes.
    fn apply_torn(&self, bytes: &mut Vec<u8>, dice: &mut Dice) {
        let Edit::Write { offset, data } = self else {
            if dice.chance(50) {
                self.apply(bytes);
            }
            return;
        };
        let (mut at, end) = (*offset, offset + data.len());
        while at < end {
            let next = ((at / SECTOR + 1) * SECTOR).min(end);
            if dice.chance(50) {
                put(bytes, at, &data[at - offset..next - offset]);
            }
            at = next;
        }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    let end = offset + data.len();
    if bytes.len() < end {
        bytes.resize(end, 0);
    }
    bytes[offset..end].copy_from_slice(data);
}

/// What a folder holds now, without the files that processes share as memory.
pub fn read(folder: &Path) -> Content {
    let mut content = Content::new();
    add(folder, "", &mut content);
    content
}

fn add(folder: &Path, prefix: &str, content: &mut Content) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().into_string().unwrap());
        if entry.file_type().unwrap().is_dir() {
            add(&entry.path(), &format!("{name}/"), content);
            content.insert(name, None);
        } else if !name.ends_with("-shm") {
            content.insert(name, Some(fs::read(entry.path()).unwrap()));
        }
    }
}

/// Makes a folder that holds this.
pub fn write(folder: &Path, content: &Content) {
    fs::create_dir_all(folder).unwrap();
    for (name, bytes) in content {
        let path = folder.join(name);
        match bytes {
            None => fs::create_dir_all(path).unwrap(),
            Some(bytes) => {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, bytes).unwrap();
            }
        }
    }
}

/// Where two contents differ.
pub fn differences(one: &Content, other: &Content) -> Vec<String> {
    let mut names: Vec<&String> = one.keys().chain(other.keys()).collect();
    names.sort();
    names.dedup();
    let size = |content: &Content, name: &str| match content.get(name) {
        None => "missing".to_owned(),
        Some(None) => "a folder".to_owned(),
        Some(Some(bytes)) => format!("{} bytes", bytes.len()),
    };
    names
        .into_iter()
        .filter(|name| one.get(*name) != other.get(*name))
        .map(|name| format!("{name}: {} and {}", size(one, name), size(other, name)))
        .collect()
}
