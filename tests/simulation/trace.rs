//! What happened, line by line: a hash over all of it, the last lines for a failure, and on
//! request every line as it comes.

use std::collections::VecDeque;

const KEPT: usize = 80;

/// The trace of one run.
pub struct Trace {
    hash: u64,
    last: VecDeque<String>,
    prints: bool,
}

impl Trace {
    pub fn new(prints: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, last: VecDeque::new(), prints }
    }

    pub fn line(&mut self, step: u64, text: String) {
        self.mix(&step.to_le_bytes());
        self.mix(text.as_bytes());
        if self.prints {
            println!("{step:6} {text}");
        }
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(format!("{step:6} {text}"));
    }

    /// Bytes that went over a socket: they count, and are not shown.
    pub fn mix(&mut self, bytes: &[u8]) {
        // FNV-1a.
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn tail(&self) -> String {
        self.last.iter().map(|line| format!("  {line}\n")).collect()
    }
}
