//! So many at once, and so many more in a time: a token bucket in one number.

use std::time::Duration;

use crate::base::Mono;

/// How much a meter lets through.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// So much at once.
    pub burst: u64,
    /// In which so much comes back.
    pub period: Duration,
}

/// What was let through lately: the time at which nothing is remembered any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Meter {
    pub full_at: Mono,
}

impl Meter {
    /// Takes so much, if there is so much.
    pub(super) fn take(&mut self, amount: u64, rate: Rate, now: Mono) -> bool {
        let full_at = self.full_at.max(now).after(rate.worth(amount));
        if full_at.since(now) > rate.period {
            return false;
        }
        self.full_at = full_at;
        true
    }

    /// Whether one more may be taken.
    pub(super) fn has_room(&self, rate: Rate, now: Mono) -> bool {
        let mut copy = *self;
        copy.take(1, rate, now)
    }

    /// Gives back one that was taken.
    pub(super) fn give_back(&mut self, rate: Rate) {
        let worth = u64::try_from(rate.worth(1).as_nanos()).unwrap_or(u64::MAX);
        self.full_at = Mono(self.full_at.0.saturating_sub(worth));
    }
}

impl Rate {
    fn worth(self, amount: u64) -> Duration {
        let nanos = self.period.as_nanos() * u128::from(amount) / u128::from(self.burst.max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_let_through_and_then_one_by_one() {
        let rate = Rate { burst: 3, period: Duration::from_secs(60) };
        let at = |s: u64| Mono(s * 1_000_000_000 + 5);
        let mut meter = Meter::default();
        assert_eq!([0, 0, 0, 0, 19].map(|s| meter.take(1, rate, at(s))), [true, true, true, false, false]);
        assert!(meter.has_room(rate, at(20)) && meter.take(1, rate, at(20)) && !meter.take(1, rate, at(39)));
        meter.give_back(rate);
        assert!(meter.take(1, rate, at(39)));
        assert!(meter.take(3, rate, at(200)) && !meter.take(1, rate, at(200)));
        assert!(!Meter::default().take(4, rate, at(200)));
    }
}
