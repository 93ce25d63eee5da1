//! Time as the pure rings see it: handed in, never asked for.

use std::fmt;
use std::time::Duration;

/// Monotonic time in nanoseconds since some start of the caller's choosing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// This time and `wait` more; stays at the end of time rather than overflow.
    pub fn after(self, wait: Duration) -> Mono {
        Mono(self.0.saturating_add(u64::try_from(wait.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is before.
    pub fn since(self, earlier: Mono) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// Wall-clock time in milliseconds since 1970-01-01T00:00:00Z. It may jump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall(pub i64);

impl Wall {
    /// Parses RFC 3339, with any offset and any number of fraction digits.
    pub fn parse(text: &str) -> Option<Wall> {
        text.parse::<jiff::Timestamp>().ok().map(|t| Wall(t.as_millisecond()))
    }

    /// Whole seconds since 1970.
    pub fn unix_s(self) -> i64 {
        self.0.div_euclid(1000)
    }
}

/// RFC 3339, UTC, with milliseconds: `2026-02-26T18:45:00.000Z`.
impl fmt::Display for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(time) => write!(f, "{time:.3}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000Z"),
        }
    }
}

/// Both clocks, read together, once per turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
    /// For waits and durations.
    pub mono: Mono,
    /// For what people and other machines read.
    pub wall: Wall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_time_is_written_as_rfc_3339_with_milliseconds() {
        assert_eq!(Wall(1_772_131_500_000).to_string(), "2026-02-26T18:45:00.000Z");
        assert_eq!(Wall(1_772_131_500_007).to_string(), "2026-02-26T18:45:00.007Z");
        assert_eq!(Wall::parse("2026-02-26T19:45:00.007+01:00"), Some(Wall(1_772_131_500_007)));
        assert_eq!(Wall::parse("yesterday"), None);
    }

    #[test]
    fn waits_saturate() {
        assert_eq!(Mono(5).since(Mono(9)), Duration::ZERO);
        assert_eq!(Mono(u64::MAX - 1).after(Duration::from_secs(9)), Mono(u64::MAX));
    }
}
