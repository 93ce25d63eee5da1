//! The distinct tokens of all patterns held, as numbers.
//!
//! The index compares and stores numbers only; each token's text is here once.

use std::collections::HashMap;
use std::sync::Arc;

use slab::Slab;

use crate::engine::topic::hash::Seeded;

/// Texts by number, with the number of their users.
#[derive(Debug)]
pub(super) struct Tokens {
    texts: Slab<(Arc<str>, u32)>,
    by_text: HashMap<Arc<str>, u32, Seeded>,
}

impl Tokens {
    pub fn new(seed: u64) -> Tokens {
        Tokens { texts: Slab::new(), by_text: HashMap::with_hasher(Seeded(seed)) }
    }

    /// One more user of this text.
    pub fn acquire(&mut self, text: &str) -> u32 {
        if let Some(&token) = self.by_text.get(text) {
            self.texts[token as usize].1 += 1;
            return token;
        }
        let text: Arc<str> = text.into();
        let token = self.texts.insert((text.clone(), 1)) as u32;
        self.by_text.insert(text, token);
        token
    }

    /// One user less; the last one takes the text along.
    pub fn release(&mut self, token: u32) {
        let (text, users) = &mut self.texts[token as usize];
        *users -= 1;
        if *users == 0 {
            self.by_text.remove(text);
            self.texts.remove(token as usize);
        }
    }

    /// The number of a text, if some pattern holds it.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.by_text.get(text).copied()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.texts.len()
    }
}
