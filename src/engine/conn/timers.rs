//! A connection's deadlines: a small table of kind × time. The endpoint keeps one wake-up for the
//! earliest; what is received moves no wake-up, it only makes the one that comes find nothing due.

use crate::base::Mono;

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TimerKind {
    /// The request must be complete; between two plain requests, the next must have begun.
    Handshake,
    /// Time to send a ping, or to give up on one.
    Liveness,
    /// The close handshake, or the last answer, must be finished.
    Close,
}

const KINDS: [TimerKind; 3] = [TimerKind::Handshake, TimerKind::Liveness, TimerKind::Close];
const NEVER: Mono = Mono(u64::MAX);

/// The deadlines of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Timers {
    at: [Mono; KINDS.len()],
}

impl Default for Timers {
    fn default() -> Timers {
        Timers { at: [NEVER; KINDS.len()] }
    }
}

impl Timers {
    /// Sets a deadline, whatever it was.
    pub fn set(&mut self, kind: TimerKind, at: Mono) {
        self.at[kind as usize] = at;
    }

    /// Takes a deadline away.
    pub fn clear(&mut self, kind: TimerKind) {
        self.at[kind as usize] = NEVER;
    }

    /// Takes all deadlines away.
    pub fn clear_all(&mut self) {
        *self = Timers::default();
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Mono> {
        self.at.iter().copied().min().filter(|at| *at != NEVER)
    }

    /// Takes one deadline that has passed.
    pub fn pop_due(&mut self, now: Mono) -> Option<TimerKind> {
        let kind = KINDS.into_iter().find(|kind| self.at[*kind as usize] <= now && self.at[*kind as usize] != NEVER)?;
        self.clear(kind);
        Some(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_due_once() {
        let mut timers = Timers::default();
        assert_eq!(timers.next(), None);
        timers.set(TimerKind::Close, Mono(30));
        timers.set(TimerKind::Liveness, Mono(20));
        assert_eq!(timers.next(), Some(Mono(20)));
        assert_eq!(timers.pop_due(Mono(19)), None);
        assert_eq!(timers.pop_due(Mono(40)), Some(TimerKind::Liveness));
        assert_eq!(timers.pop_due(Mono(40)), Some(TimerKind::Close));
        assert_eq!(timers.pop_due(Mono(40)), None);
    }
}
