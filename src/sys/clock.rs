//! The clocks, read once per turn and handed down.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::base::{Mono, Now, Wall};

/// Both clocks. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

impl Default for Clock {
    fn default() -> Clock {
        Clock { start: Instant::now() }
    }
}

impl Clock {
    /// Reads both clocks. Monotonic time begins at one second, so that zero is never "now".
    pub fn now(&self) -> Now {
        let mono = 1_000_000_000 + self.start.elapsed().as_nanos() as u64;
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
        Now { mono: Mono(mono), wall: Wall(wall) }
    }
}
