//! What happened, line by line, if somebody wants to know; and a hash of it in any case.

/// The trace of one run.
pub struct Trace {
    hash: u64,
    lines: Vec<String>,
    pub is_kept: bool,
    prints: bool,
}

/// Lines that are shown of a failure.
const TAIL: usize = 70;

impl Trace {
    pub fn new(is_kept: bool, prints: bool) -> Trace {
        Trace { hash: 0xcbf2_9ce4_8422_2325, lines: Vec::new(), is_kept, prints }
    }

    pub fn line(&mut self, step: u64, text: &str) {
        if self.prints {
            println!("{step:6} {text}");
        }
        self.lines.push(format!("{step:6} {text}"));
    }

    /// A number that tells one run from another.
    pub fn mix(&mut self, number: u64) {
        self.hash = (self.hash ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }

    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn tail(&self) -> String {
        let from = self.lines.len().saturating_sub(TAIL);
        self.lines[from..].iter().map(|line| format!("  {line}\n")).collect()
    }
}

/// Writes a line, if anybody reads it: nothing is formatted in vain.
macro_rules! say {
    ($world:expr, $($text:tt)*) => {
        if $world.trace.is_kept {
            let text = format!($($text)*);
            $world.trace.line($world.step, &text);
        }
    };
}
pub(crate) use say;
