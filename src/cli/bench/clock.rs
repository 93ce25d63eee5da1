//! The generator's clock: nanoseconds that all threads share, wall-clock text for envelopes, and
//! a timer finer than the poll's milliseconds.

use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::LazyLock;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::base::Wall;

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the process first asked; never zero, so that zero can mean "never".
pub fn now_ns() -> u64 {
    START.elapsed().as_nanos() as u64 + 1
}

/// Bytes of a timestamp.
pub const TIMESTAMP_LEN: usize = 24;

/// The wall clock as envelopes have it, made anew once a millisecond.
pub fn timestamp() -> [u8; TIMESTAMP_LEN] {
    thread_local! {
        static LAST: Cell<(i64, [u8; TIMESTAMP_LEN])> = const { Cell::new((-1, [b'0'; TIMESTAMP_LEN])) };
    }
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64);
    LAST.with(|last| {
        let (at, text) = last.get();
        if at == millis {
            return text;
        }
        let mut fresh = text;
        let written = Wall(millis).to_string();
        if written.len() == TIMESTAMP_LEN {
            fresh.copy_from_slice(written.as_bytes());
        }
        last.set((millis, fresh));
        fresh
    })
}

/// Becomes readable at an ordered time.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
    armed_ns: u64,
}

impl Timer {
    /// A timer that is not set.
    pub fn new() -> io::Result<Timer> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Timer { fd, armed_ns: 0 })
    }

    /// For the poll.
    pub fn raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Sets it to `at_ns` on [`now_ns`]'s clock, unless it is set so already.
    pub fn arm(&mut self, at_ns: u64, now: u64) -> io::Result<()> {
        if at_ns == self.armed_ns {
            return Ok(());
        }
        self.armed_ns = at_ns;
        // A wait of zero would disarm it.
        let wait = at_ns.saturating_sub(now).max(1);
        let value = Timespec { tv_sec: (wait / SECOND_NS) as i64, tv_nsec: (wait % SECOND_NS) as _ };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: never, it_value: value };
        rustix::time::timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &spec)?;
        Ok(())
    }

    /// Takes the expiry, so that the next one is an edge again.
    pub fn clear(&self) {
        // Would-block means that another read took it.
        let _ = rustix::io::read(&self.fd, &mut [0u8; 8]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_moves_on_and_timestamps_are_rfc_3339() {
        let first = now_ns();
        assert!(first > 0 && now_ns() >= first);
        let text = timestamp();
        let parsed = Wall::parse(std::str::from_utf8(&text).unwrap()).unwrap();
        assert!(parsed.0 > 1_700_000_000_000);
        assert!(text.ends_with(b"Z"));
    }

    #[test]
    fn a_timer_due_in_the_past_fires() {
        let mut timer = Timer::new().unwrap();
        timer.arm(1, now_ns()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_eq!(rustix::io::read(&timer.fd, &mut [0u8; 8]), Ok(8));
    }
}
