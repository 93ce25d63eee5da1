//! Reads one object of the configuration, key by key.
//!
//! Each call declares a key once: its name, its range, its default and its documentation. From
//! that call come the value, the problems, the list of valid names, and the line on the reference
//! page. Owns no key and no rule of a single key: those stand in the sections.

mod items;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jsonc_parser::ast::{Object, Value};

use super::env::Env;
use super::nearest::nearest;
use super::older::{Moved, Older};
use super::problem::Findings;
use super::syntax::{join, kind, start};

pub(super) use items::ItemDocs;

/// Unknown keys for which a valid name is looked for. A file with more is no slip of the pen.
const EXPLAINED: usize = 1000;

/// What is shared by the readers of all objects.
pub(super) struct Reading<'a> {
    pub(super) env: Env<'a>,
    pub(super) errors: Findings,
    pub(super) warnings: Findings,
    pub(super) older: Older<'a>,
    /// The declared keys, in order.
    pub(super) keys: Vec<KeyDoc>,
    /// Where the given keys stand, by path.
    places: BTreeMap<String, usize>,
    unknown: Vec<Unknown>,
}

/// A key or section, for the reference page.
#[derive(Clone, Debug)]
pub(super) struct KeyDoc {
    /// `WebSocketServer.Port`.
    pub(super) path: String,
    /// Type, range and unit; empty for a section.
    pub(super) value: String,
    /// As it is written in a file, or how it is found.
    pub(super) default: String,
    /// What it does.
    pub(super) doc: &'static str,
}

struct Unknown {
    offset: usize,
    section: String,
    name: String,
    siblings: Vec<&'static str>,
}

/// Reads one object. Keys that are not there have their defaults.
pub(super) struct Reader<'r, 'a> {
    pub(super) reading: &'r mut Reading<'a>,
    object: Option<&'a Object<'a>>,
    path: String,
    known: Vec<&'static str>,
    /// Whether its keys go into the reference: those of a list's items go once.
    declares: bool,
}

/// A given value.
pub(super) struct Found<'a> {
    pub(super) value: &'a Value<'a>,
    /// As written, for messages.
    pub(super) path: String,
    /// Whether it stood under an older name.
    pub(super) is_older: bool,
}

impl<'a> Reading<'a> {
    /// Nothing read yet.
    pub(super) fn new(env: Env<'a>) -> Reading<'a> {
        Reading {
            env,
            errors: Findings::default(),
            warnings: Findings::default(),
            older: Older::default(),
            keys: Vec::new(),
            places: BTreeMap::new(),
            unknown: Vec::new(),
        }
    }

    /// Reads the root object; `None` gives the defaults.
    pub(super) fn read<T>(&mut self, root: Option<&'a Object<'a>>, read: impl FnOnce(&mut Reader<'_, 'a>) -> T) -> T {
        let mut reader = Reader { reading: self, object: root, path: String::new(), known: Vec::new(), declares: true };
        let value = read(&mut reader);
        reader.finish();
        self.report_unknown();
        value
    }

    /// The byte at which a key's value stands, or its section if it is not given.
    pub(super) fn place(&self, path: &str) -> usize {
        let section = || path.rsplit_once('.').and_then(|(section, _)| self.places.get(section));
        self.places.get(path).or_else(section).copied().unwrap_or(0)
    }

    /// Unknown keys wait until all valid names are known.
    fn report_unknown(&mut self) {
        for Unknown { offset, section, name, siblings } in std::mem::take(&mut self.unknown) {
            let same = |other: &str| other.eq_ignore_ascii_case(&name);
            let leaf = |path: &'_ str| path.rsplit('.').next().is_some_and(same);
            let meant = siblings
                .iter()
                .copied()
                .find(|sibling| same(sibling))
                .or_else(|| self.keys.iter().map(|key| key.path.as_str()).find(|path| leaf(path)))
                .or_else(|| nearest(&name, siblings.iter().copied()));
            let message = match meant {
                Some(meant) => format!("unknown key; did you mean \"{meant}\"?"),
                None => "unknown key".into(),
            };
            self.errors.push(offset, join(&section, &name), message);
        }
    }
}

impl<'r, 'a> Reader<'r, 'a> {
    /// Reads the object under `name` as a section.
    pub(super) fn section<T>(
        &mut self,
        name: &'static str,
        doc: &'static str,
        read: impl FnOnce(&mut Reader<'_, 'a>) -> T,
    ) -> T {
        self.declare(name, String::new(), String::new(), doc);
        let object = self.object(name);
        let path = self.path_of(name);
        let mut reader = Reader { reading: self.reading, object, path, known: Vec::new(), declares: self.declares };
        let value = read(&mut reader);
        reader.finish();
        value
    }

    /// The object under `name`, if one is given.
    pub(super) fn object(&mut self, name: &'static str) -> Option<&'a Object<'a>> {
        let found = self.find(name)?;
        match found.value {
            Value::Object(object) => Some(object),
            _ => {
                self.wrong_type(&found, "an object");
                None
            }
        }
    }

    /// Whether the key is given, under any of its names.
    pub(super) fn is_given(&self, name: &str) -> bool {
        let path = self.path_of(name);
        self.object.is_some_and(|object| object.get(name).is_some())
            || self.reading.older.moved.contains_key(path.as_str())
    }

    /// Whether an error was reported about a key, or an item of it.
    pub(super) fn is_wrong(&self, name: &str) -> bool {
        self.reading.errors.concern(&self.path_of(name))
    }

    /// Reports an error about `name`, at the place of `at`: a key that was read, given or not.
    pub(super) fn error_at(&mut self, name: &str, at: &str, message: impl Into<String>) {
        let place = self.reading.place(&self.path_of(at));
        self.reading.errors.push(place, self.path_of(name), message);
    }

    /// Reports a warning about `name`, at its place.
    pub(super) fn warn(&mut self, name: &str, message: impl Into<String>) {
        let path = self.path_of(name);
        let place = self.reading.place(&path);
        self.reading.warnings.push(place, path, message);
    }

    /// Enters a key into the reference.
    pub(super) fn declare(&mut self, name: &'static str, value: String, default: String, doc: &'static str) {
        if self.declares {
            let path = self.path_of(name);
            self.reading.keys.push(KeyDoc { path, value, default, doc });
        }
    }

    /// The value given for a declared key, under its own name or an older one.
    pub(super) fn find(&mut self, name: &'static str) -> Option<Found<'a>> {
        self.known.push(name);
        let path = self.path_of(name);
        let own = self.object.and_then(|object| object.get(name));
        let found = match own.filter(|property| !self.reading.older.taken.contains(&property.range.start)) {
            Some(property) => Found { value: &property.value, path: path.clone(), is_older: false },
            None => {
                let Moved { path, value } = self.reading.older.moved.get(path.as_str())?.clone();
                Found { value, path, is_older: true }
            }
        };
        self.reading.places.insert(path, start(found.value));
        Some(found)
    }

    /// The value of a key that an object must have. The reference is made without objects.
    pub(super) fn find_needed(&mut self, name: &'static str) -> Option<Found<'a>> {
        let found = self.find(name);
        if found.is_none() && self.object.is_some() {
            let place = self.reading.place(&self.path_of(name));
            self.reading.errors.push(place, self.path_of(name), "missing, and it is needed here");
        }
        found
    }

    /// Reports that a value is wrong.
    pub(super) fn wrong(&mut self, found: &Found<'_>, message: impl Into<String>) {
        self.reading.errors.push(start(found.value), found.path.as_str(), message);
    }

    /// Reports that a value is of another type.
    pub(super) fn wrong_type(&mut self, found: &Found<'_>, expected: &str) {
        self.wrong(found, format!("expected {expected}, found {}", kind(found.value)));
    }

    /// The path of a key of this object.
    pub(super) fn path_of(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// Every key that was not asked for is unknown.
    fn finish(self) {
        let Some(object) = self.object else { return };
        let mut seen = BTreeSet::new();
        for property in &object.properties {
            let (name, offset) = (property.name.as_str(), property.range.start);
            // Duplicates are reported as such.
            if !seen.insert(name) || self.known.contains(&name) || self.reading.older.taken.contains(&offset) {
                continue;
            }
            if self.reading.unknown.len() < EXPLAINED {
                self.reading.unknown.push(Unknown {
                    offset,
                    section: self.path.clone(),
                    name: name.to_owned(),
                    siblings: self.known.clone(),
                });
            } else {
                self.reading.errors.push(offset, self.path_of(name), "unknown key");
            }
        }
    }
}

/// A path as it stands in the configuration; relative ones count from the current directory.
pub(super) fn path(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        Err("it is empty".into())
    } else if text.contains('\0') {
        Err("it holds a NUL".into())
    } else {
        Ok(PathBuf::from(text))
    }
}
