//! A strict JSON scanner (RFC 8259): one pass over the bytes, no tree, no recursion.
//!
//! Stricter than the grammar in what the protocol fixes: no key twice in any object, no lone
//! surrogates, no more depth than the limit. It owns memory for the keys of open objects only,
//! keeps it between messages, and gives it back after a large one. UTF-8 is the caller's to
//! check; numbers are checked for their form, not for their size.

mod cursor;
pub(in crate::engine::wire) mod escape;
mod fault;
mod keys;
pub(in crate::engine::wire) mod plain;

pub use fault::{FaultKind, JsonFault};

use super::object::Raw;
use crate::base::limits::JSON_KEYS_KEPT;
use cursor::Cursor;
use keys::{Keys, Mark};

/// Checks texts, one after the other.
#[derive(Debug, Default)]
pub struct Scanner {
    frames: Vec<Frame>,
    keys: Keys,
}

/// A container that is open.
#[derive(Clone, Copy, Debug)]
enum Frame {
    Array,
    Object(Mark),
}

/// What the outermost value must be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Root {
    Object,
    Any,
}

impl Scanner {
    /// Checks that the text is one JSON object. The object itself is depth 1.
    pub fn scan(&mut self, text: &str, depth_max: usize) -> Result<(), JsonFault> {
        self.run(text, depth_max, Root::Object, |_, _| {})
    }

    /// Checks that the text is one JSON value of any kind. A container is depth 1.
    pub fn scan_value(&mut self, text: &str, depth_max: usize) -> Result<(), JsonFault> {
        self.run(text, depth_max, Root::Any, |_, _| {})
    }

    /// The same as [`Self::scan`], and hands out each top-level member, its key unescaped, as soon
    /// as it was passed. Members before a fault were handed out when the fault is found.
    pub fn scan_members<'a>(
        &mut self,
        text: &'a str,
        depth_max: usize,
        on_member: impl FnMut(&str, Raw<'a>),
    ) -> Result<(), JsonFault> {
        self.run(text, depth_max, Root::Object, on_member)
    }

    /// The largest of the memories that are kept, in entries.
    #[cfg(test)]
    pub(in crate::engine::wire) fn capacity(&self) -> usize {
        self.keys.capacity().max(self.frames.capacity())
    }

    fn run<'a>(
        &mut self,
        text: &'a str,
        depth_max: usize,
        root: Root,
        on_member: impl FnMut(&str, Raw<'a>),
    ) -> Result<(), JsonFault> {
        if u32::try_from(text.len()).is_err() {
            return Err(JsonFault { kind: FaultKind::TooLong, at: text.len() });
        }
        let scanned = self.pass(text, depth_max, root, on_member);
        self.keys.reset();
        self.frames.clear();
        self.frames.shrink_to(JSON_KEYS_KEPT);
        scanned
    }

    fn pass<'a>(
        &mut self,
        text: &'a str,
        depth_max: usize,
        root: Root,
        mut on_member: impl FnMut(&str, Raw<'a>),
    ) -> Result<(), JsonFault> {
        let mut cursor = Cursor::new(text);
        cursor.skip_space();
        if root == Root::Object {
            check_object(&cursor)?;
        }
        let mut member_at = 0;
        'value: loop {
            if self.frames.len() == 1 {
                member_at = cursor.at;
            }
            match cursor.peek() {
                Some(b'"') => {
                    cursor.string()?;
                }
                Some(b'-' | b'0'..=b'9') => cursor.number()?,
                Some(b'{') => {
                    self.open(&mut cursor, Frame::Object(self.keys.mark()), depth_max)?;
                    if !cursor.take(b'}') {
                        self.key(&mut cursor, text)?;
                        continue 'value;
                    }
                    self.frames.pop();
                }
                Some(b'[') => {
                    self.open(&mut cursor, Frame::Array, depth_max)?;
                    if !cursor.take(b']') {
                        continue 'value;
                    }
                    self.frames.pop();
                }
                Some(b't') => cursor.literal(b"true")?,
                Some(b'f') => cursor.literal(b"false")?,
                Some(b'n') => cursor.literal(b"null")?,
                Some(_) | None => return Err(cursor.fault("a value is missing")),
            }
            // A value ended here; so may the containers around it.
            loop {
                match self.frames.last() {
                    None => {
                        cursor.skip_space();
                        let end = cursor.at == text.len();
                        return if end { Ok(()) } else { Err(cursor.fault("something after the end of the value")) };
                    }
                    Some(Frame::Array) => {
                        if cursor.take(b',') {
                            cursor.skip_space();
                            continue 'value;
                        }
                        if !cursor.take(b']') {
                            return Err(cursor.fault("neither `,` nor `]` after an element"));
                        }
                    }
                    Some(&Frame::Object(mark)) => {
                        if self.frames.len() == 1 {
                            on_member(self.keys.last(text), Raw::exact(&text[member_at..cursor.at]));
                        }
                        if cursor.take(b',') {
                            cursor.skip_space();
                            self.key(&mut cursor, text)?;
                            continue 'value;
                        }
                        if !cursor.take(b'}') {
                            return Err(cursor.fault("neither `,` nor `}` after a member"));
                        }
                        let closed = self.keys.close(text, mark);
                        closed.map_err(|at| JsonFault { kind: FaultKind::DuplicateKey, at })?;
                    }
                }
                self.frames.pop();
            }
        }
    }

    fn open(&mut self, cursor: &mut Cursor<'_>, frame: Frame, depth_max: usize) -> Result<(), JsonFault> {
        if self.frames.len() >= depth_max {
            return Err(JsonFault { kind: FaultKind::TooDeep, at: cursor.at });
        }
        self.frames.push(frame);
        cursor.at += 1;
        cursor.skip_space();
        Ok(())
    }

    /// Passes a key, its colon and the space before the value.
    fn key(&mut self, cursor: &mut Cursor<'_>, text: &str) -> Result<(), JsonFault> {
        if cursor.peek() != Some(b'"') {
            return Err(cursor.fault("a key is missing"));
        }
        let inside = cursor.at + 1;
        let escaped = cursor.string()?;
        self.keys.push(&text[inside..cursor.at - 1], inside, escaped);
        if !cursor.take(b':') {
            return Err(cursor.fault("no `:` after a key"));
        }
        cursor.skip_space();
        Ok(())
    }
}

/// What starts no value at all is left to the grammar, whose words are more exact.
fn check_object(cursor: &Cursor<'_>) -> Result<(), JsonFault> {
    match cursor.peek() {
        Some(b'[' | b'"' | b'-' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z') => {
            Err(JsonFault { kind: FaultKind::NotObject, at: cursor.at })
        }
        Some(_) | None => Ok(()),
    }
}
