//! The keys of all objects that are open, and the check that no object has one twice.
//!
//! A key is kept as its place in the text and a hash. Small objects are compared pairwise by
//! hash. Larger ones are sorted, by hash and then by content, so that keys made to collide cost
//! no more than a sort.

use std::hash::Hasher;

use rustc_hash::FxHasher;

use super::escape::unescape_into;
use crate::base::limits::JSON_KEYS_KEPT;

/// Members up to which comparing pairwise beats sorting.
const PAIRWISE: usize = 16;

/// `Key::unescaped_at` of a key without escapes.
const AS_WRITTEN: u32 = u32::MAX;

#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: Vec<Key>,
    /// The content of keys that were written with escapes.
    unescaped: String,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    hash: u32,
    /// Where its inside starts in the text.
    at: u32,
    /// Bytes of its content.
    len: u32,
    unescaped_at: u32,
}

/// Where an object's keys start.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    entries: u32,
    unescaped: u32,
}

impl Keys {
    /// Forgets everything, and gives back memory that one large message took.
    pub(super) fn reset(&mut self) {
        self.entries.clear();
        self.entries.shrink_to(JSON_KEYS_KEPT);
        self.unescaped.clear();
        self.unescaped.shrink_to(JSON_KEYS_KEPT);
    }

    /// Opens an object. The casts hold because a text is shorter than 4 GiB, and neither the keys
    /// nor what they unescape to are longer than it.
    pub(super) fn mark(&self) -> Mark {
        Mark { entries: self.entries.len() as u32, unescaped: self.unescaped.len() as u32 }
    }

    /// Adds a key: the inside of its string, and where that starts.
    pub(super) fn push(&mut self, inside: &str, at: usize, escaped: bool) {
        let key = if escaped {
            let unescaped_at = self.unescaped.len();
            unescape_into(inside, &mut self.unescaped);
            let content = &self.unescaped[unescaped_at..];
            let unescaped_at = unescaped_at as u32;
            Key { hash: hash(content), at: at as u32, len: content.len() as u32, unescaped_at }
        } else {
            Key { hash: hash(inside), at: at as u32, len: inside.len() as u32, unescaped_at: AS_WRITTEN }
        };
        self.entries.push(key);
    }

    /// The newest key of the innermost open object; empty if there is none.
    pub(super) fn last<'k>(&'k self, text: &'k str) -> &'k str {
        self.entries.last().map_or("", |key| key.content(text, &self.unescaped))
    }

    /// Closes the object opened at `mark`. The error is where a key stands for the second time.
    pub(super) fn close(&mut self, text: &str, mark: Mark) -> Result<(), usize> {
        let Keys { entries, unescaped } = self;
        let keys = &mut entries[mark.entries as usize..];
        let twice = match keys.len() {
            0 | 1 => None,
            2..=PAIRWISE => twice_pairwise(keys, text, unescaped),
            _ => twice_sorted(keys, text, unescaped),
        };
        entries.truncate(mark.entries as usize);
        unescaped.truncate(mark.unescaped as usize);
        twice.map_or(Ok(()), |at| Err(at as usize))
    }

    /// Places and bytes that are kept.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity().max(self.unescaped.capacity())
    }
}

impl Key {
    fn content<'k>(&self, text: &'k str, unescaped: &'k str) -> &'k str {
        let (source, at) = match self.unescaped_at {
            AS_WRITTEN => (text, self.at),
            at => (unescaped, at),
        };
        &source[at as usize..][..self.len as usize]
    }
}

fn hash(content: &str) -> u32 {
    let mut hasher = FxHasher::default();
    hasher.write(content.as_bytes());
    hasher.finish() as u32
}

fn twice_pairwise(keys: &[Key], text: &str, unescaped: &str) -> Option<u32> {
    for (index, later) in keys.iter().enumerate() {
        for earlier in &keys[..index] {
            if earlier.hash == later.hash && earlier.content(text, unescaped) == later.content(text, unescaped) {
                return Some(later.at);
            }
        }
    }
    None
}

fn twice_sorted(keys: &mut [Key], text: &str, unescaped: &str) -> Option<u32> {
    let content = |key: &Key| key.content(text, unescaped).as_bytes();
    keys.sort_unstable_by(|a, b| a.hash.cmp(&b.hash).then_with(|| content(a).cmp(content(b))));
    let twice = keys.windows(2).filter(|pair| pair[0].hash == pair[1].hash && content(&pair[0]) == content(&pair[1]));
    twice.map(|pair| pair[0].at.max(pair[1].at)).min()
}
