//! How long to wait before the next attempt, and the wait itself.

use std::thread;
use std::time::{Duration, Instant};

use ring::rand::{SecureRandom as _, SystemRandom};

use super::broken::{Broken, Retry};
use crate::cli::exit::{Exit, Stop};
use crate::cli::interrupt;
use crate::cli::output::note;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// The longest wait that a server may ask for.
const LONGEST_ASKED: Duration = Duration::from_secs(3600);

/// How often a wait looks at Ctrl-C.
const LOOK: Duration = Duration::from_millis(100);

/// Waits that double from half a second to half a minute, each cut by up to half at random, so
/// that many clients do not come back at once.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// The wait after one more failure; `None` if a retry makes no sense. `random` is any number.
    pub fn wait(&mut self, retry: Retry, random: u32) -> Option<Duration> {
        let longest = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        match retry {
            Retry::Never => return None,
            // The server spreads its clients itself.
            Retry::After(asked) => return Some(asked.min(LONGEST_ASKED)),
            Retry::Later => self.failures += 1,
        }
        let half = longest / 2;
        Some(half + half.mul_f64(f64::from(random) / f64::from(u32::MAX)))
    }

    /// The same, with a random number.
    pub fn next(&mut self, retry: Retry) -> Option<Duration> {
        let mut random = [0; 4];
        // Without a random source the waits are the shortest of their range.
        let _ = SystemRandom::new().fill(&mut random);
        self.wait(retry, u32::from_le_bytes(random))
    }

    /// Waits before the next connection, and says so, or stops if there is to be none. `until`
    /// ends the wait early.
    pub fn rest(&mut self, broken: Broken, until: Option<Instant>) -> Result<(), Stop> {
        let Some(wait) = self.next(broken.retry) else { return Err(broken.stop) };
        let message = broken.stop.message.unwrap_or_default();
        note(format_args!("{message}; connecting again in {:.1} s", wait.as_secs_f64()));
        let end = Instant::now() + wait;
        let end = until.map_or(end, |until| until.min(end));
        while Instant::now() < end {
            if interrupt::is_asked() {
                return Err(Stop::silent(Exit::Interrupted));
            }
            thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    /// Connected: the next failure is the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bounds_and_start_anew() {
        let ms = |wait: Option<Duration>| wait.unwrap().as_millis();
        let mut backoff = Backoff::default();
        let least: Vec<_> = (0..9).map(|_| ms(backoff.wait(Retry::Later, 0))).collect();
        assert_eq!(least, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000, 15_000]);
        assert_eq!(ms(backoff.wait(Retry::Later, u32::MAX)), 30_000);
        backoff.reset();
        assert_eq!(ms(backoff.wait(Retry::Later, u32::MAX)), 500);
    }

    #[test]
    fn the_server_may_say_when_and_some_ends_are_final() {
        let mut backoff = Backoff::default();
        assert_eq!(backoff.wait(Retry::After(Duration::from_millis(7)), 9), Some(Duration::from_millis(7)));
        assert_eq!(backoff.wait(Retry::After(Duration::MAX), 9), Some(LONGEST_ASKED));
        assert_eq!(backoff.wait(Retry::Never, 9), None);
    }
}
