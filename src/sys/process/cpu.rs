//! How busy the processors are: from two readings of `/proc/stat`.

use std::collections::BTreeMap;

use super::percent::percent;

/// Processors that one reading holds.
const CORES: usize = 4096;

/// Time of one processor, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ticks {
    all: u64,
    idle: u64,
}

impl Ticks {
    /// The share of the time since `before` that was not idle; `None` if no time has passed.
    fn usage_since(self, before: Ticks) -> Option<String> {
        let all = self.all.saturating_sub(before.all);
        // The kernel lets the idle figure fall now and then.
        let idle = self.idle.saturating_sub(before.idle).min(all);
        (all > 0).then(|| percent(all - idle, all))
    }
}

/// One reading.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CpuTimes {
    total: Ticks,
    /// By the kernel's name for it: `cpu0`.
    cores: BTreeMap<String, Ticks>,
}

/// How busy the processors were between two readings, in percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Usage {
    pub(super) total: Option<String>,
    pub(super) cores: BTreeMap<String, String>,
}

impl CpuTimes {
    pub(super) fn read() -> Option<CpuTimes> {
        Some(CpuTimes::parse(&std::fs::read_to_string("/proc/stat").ok()?))
    }

    /// Lines that are no processor's are passed over.
    fn parse(text: &str) -> CpuTimes {
        let mut times = CpuTimes::default();
        for line in text.lines() {
            let mut fields = line.split_ascii_whitespace();
            let Some(name) = fields.next() else { continue };
            let Some(number) = name.strip_prefix("cpu") else { continue };
            // user, nice, system, idle, iowait, irq, softirq and steal. Guests are part of user.
            let mut ticks = [0; 8];
            for (place, field) in ticks.iter_mut().zip(fields) {
                *place = field.parse::<u64>().unwrap_or(0);
            }
            let all = ticks.iter().fold(0, |sum: u64, ticks| sum.saturating_add(*ticks));
            let ticks = Ticks { all, idle: ticks[3].saturating_add(ticks[4]) };
            if number.is_empty() {
                times.total = ticks;
            } else if number.bytes().all(|byte| byte.is_ascii_digit()) && times.cores.len() < CORES {
                times.cores.insert(name.into(), ticks);
            }
        }
        times
    }

    /// What the processors did since `before`. One that was not there before is left out.
    pub(super) fn usage_since(&self, before: &CpuTimes) -> Usage {
        let core =
            |(name, ticks): (&String, &Ticks)| Some((name.clone(), ticks.usage_since(*before.cores.get(name)?)?));
        Usage { total: self.total.usage_since(before.total), cores: self.cores.iter().filter_map(core).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_the_share_that_was_not_idle() {
        let before = CpuTimes::parse(
            "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 50 0 50 400 0 0 0 0 0 0\ncpu2 50 0 50 400 0 0 0 0 0 0\n\
             intr 5 0\nctxt 9\nbtime 1\ncpufreq 3\n",
        );
        let after = CpuTimes::parse(
            "cpu  150 10 120 900 20 0 0 0 40 0\ncpu0 100 0 50 400 0 0 0 0 0 0\ncpu2 50 0 50 400 0 0 0 0 0 0\n\
             cpu3 9 0 0 0\n",
        );
        let usage = after.usage_since(&before);
        assert_eq!(usage.total.as_deref(), Some("40.0"));
        // cpu2 stood still, as one that is switched off does; cpu3 has just come.
        assert_eq!(usage.cores, BTreeMap::from([("cpu0".into(), "100.0".into())]));
    }

    #[test]
    fn figures_that_fall_or_make_no_sense_are_no_usage_or_a_bounded_one() {
        let high = CpuTimes::parse("cpu 10 0 0 90 0\n");
        let idle_fell = CpuTimes::parse("cpu 20 0 0 85 0\n");
        assert_eq!(idle_fell.usage_since(&high).total.as_deref(), Some("100.0"));
        assert_eq!(high.usage_since(&idle_fell).total, None);
        assert_eq!(high.usage_since(&high).total, None);
        for odd in ["", "\n\n", "cpu", "cpu x y z", "processes 7"] {
            assert_eq!(CpuTimes::parse(odd), CpuTimes::default(), "{odd:?}");
        }
        let most = u64::MAX;
        let huge = CpuTimes::parse(&format!("cpu {most} {most} {most} {most} {most}\n"));
        assert_eq!(huge.usage_since(&CpuTimes::default()).total.as_deref(), Some("0.0"));
    }
}
