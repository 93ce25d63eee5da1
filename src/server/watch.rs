//! The service manager's watchdog: fed only while every reactor and worker takes turns.

use std::time::{Duration, Instant};

use super::shard::Peer;
use crate::sys::mailbox::{ReactorSender, WorkerSender};

/// Reads how many turns a thread has taken.
pub(super) type Beat = Box<dyn Fn() -> u64 + Send>;

/// Looks whether every thread takes turns, and tells the service manager while all of them do.
/// Nothing is queued for that: a full queue is no sign of a thread that hangs.
pub(super) struct Watchdog {
    interval: Duration,
    next: Instant,
    beats: Beats,
}

impl Watchdog {
    /// A watchdog, if the service manager asks for one.
    pub(super) fn from_environment(beats: Vec<Beat>) -> Option<Watchdog> {
        // Fed twice in its time, so that one late answer does not end the server.
        let interval = sd_notify::watchdog_enabled()? / 2;
        Some(Watchdog { interval, next: Instant::now(), beats: Beats { beats, seen: Vec::new() } })
    }

    pub(super) fn next(&self) -> Instant {
        self.next
    }

    pub(super) fn on_time(&mut self, now: Instant, reactors: &[ReactorSender], workers: &[WorkerSender<Peer>]) {
        if now < self.next {
            return;
        }
        self.next = now + self.interval;
        if self.beats.all_moved() {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
        } else {
            log::error!("a reactor or worker took no turn for {} ms", self.interval.as_millis());
        }
        // One that has nothing to do sleeps: it takes a turn because of this.
        reactors.iter().for_each(ReactorSender::nudge);
        workers.iter().for_each(WorkerSender::nudge);
    }
}

/// What was seen of the threads' turns.
struct Beats {
    beats: Vec<Beat>,
    /// At the last look; empty before the first.
    seen: Vec<u64>,
}

impl Beats {
    /// Whether every thread took a turn since the last look.
    fn all_moved(&mut self) -> bool {
        let beats: Vec<u64> = self.beats.iter().map(|beat| beat()).collect();
        let moved = beats.iter().zip(&self.seen).all(|(beat, seen)| beat != seen);
        self.seen = beats;
        moved
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn one_thread_that_stands_still_is_seen() {
        let turns: Vec<Arc<AtomicU64>> = (0..3).map(|_| Arc::default()).collect();
        let beat = |turns: &Arc<AtomicU64>| -> Beat {
            let turns = turns.clone();
            Box::new(move || turns.load(Ordering::Relaxed))
        };
        let mut beats = Beats { beats: turns.iter().map(beat).collect(), seen: Vec::new() };
        let mut look = |moving: &[usize]| {
            for index in moving {
                turns[*index].fetch_add(1, Ordering::Relaxed);
            }
            beats.all_moved()
        };
        assert!(look(&[]), "nothing is known yet");
        assert!(look(&[0, 1, 2]));
        assert!(!look(&[0, 2]));
        assert!(look(&[0, 1, 2]), "it came back");
        assert!(!look(&[]));
    }
}
