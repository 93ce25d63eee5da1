//! Figures of this process and of its machine, for the status.
//!
//! Everything comes from `/proc` and a few system calls. What cannot be read is absent, never an
//! error: a status with a gap is worth more than none. Reading blocks, so it is for service threads.
//! It keeps nothing but the samples that a load is counted from.

mod cpu;
mod descriptors;
mod filesystems;
mod percent;
mod system;

pub use descriptors::{DESCRIPTORS, Descriptor, read_descriptors};
pub use filesystems::{Filesystem, read_filesystems};
pub use system::{CpuUsage, Memory, Network, Swap, SystemFigures, SystemMeter};

use std::time::{Duration, Instant};

use procfs::process::Stat;
use procfs::{FromRead as _, page_size, ticks_per_second};

/// The shortest time that a load is counted over: the kernel counts in steps of 10 ms.
const SPAN_MIN: Duration = Duration::from_millis(200);

/// Figures of this process.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Bytes in memory.
    pub resident_bytes: Option<u64>,
    /// Bytes of address space.
    pub virtual_bytes: Option<u64>,
    /// Processor time that was used since the start, by the process and by the kernel for it.
    pub cpu_seconds: Option<f64>,
    /// Processor time per time, since the last reading: 1.0 is one core that is busy.
    pub cpu_load: Option<f64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Open descriptors.
    pub open_files: Option<u64>,
    /// Descriptors that may be open; absent if there is no bound.
    pub open_files_max: Option<u64>,
}

/// Reads the figures, and keeps what the next reading needs.
#[derive(Debug)]
pub struct ProcessMeter {
    /// When the load was last counted, and the processor time until then.
    since: Option<(Instant, f64)>,
    load: Option<f64>,
}

impl Default for ProcessMeter {
    fn default() -> ProcessMeter {
        ProcessMeter::new()
    }
}

impl ProcessMeter {
    /// A meter whose first load counts from now.
    pub fn new() -> ProcessMeter {
        let now = Instant::now();
        let since = read_stat().map(|stat| (now, stat.cpu_seconds));
        ProcessMeter { since, load: None }
    }

    /// Reads the figures.
    pub fn read(&mut self) -> ProcessFigures {
        let now = Instant::now();
        let stat = read_stat();
        if let Some(stat) = stat {
            self.count(now, stat.cpu_seconds);
        }
        ProcessFigures {
            resident_bytes: stat.map(|stat| stat.resident_bytes),
            virtual_bytes: stat.map(|stat| stat.virtual_bytes),
            cpu_seconds: stat.map(|stat| stat.cpu_seconds),
            cpu_load: self.load,
            threads: stat.map(|stat| stat.threads),
            open_files: descriptors::count(),
            open_files_max: open_files_max(),
        }
    }

    /// Two readings at nearly the same time share a load, which else would be noise.
    fn count(&mut self, now: Instant, cpu_seconds: f64) {
        let Some((at, before)) = self.since else {
            self.since = Some((now, cpu_seconds));
            return;
        };
        let span = now.saturating_duration_since(at);
        // The first readings are told something too: what was used, over the shortest span.
        if span >= SPAN_MIN || self.load.is_none() {
            self.load = Some(((cpu_seconds - before) / span.max(SPAN_MIN).as_secs_f64()).max(0.0));
        }
        if span >= SPAN_MIN {
            self.since = Some((now, cpu_seconds));
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct StatFigures {
    resident_bytes: u64,
    virtual_bytes: u64,
    cpu_seconds: f64,
    threads: u64,
}

fn read_stat() -> Option<StatFigures> {
    let stat = Stat::from_file("/proc/self/stat").ok()?;
    Some(figures_of(&stat, page_size(), ticks_per_second()))
}

fn figures_of(stat: &Stat, page_bytes: u64, ticks_per_second: u64) -> StatFigures {
    StatFigures {
        resident_bytes: stat.rss.saturating_mul(page_bytes),
        virtual_bytes: stat.vsize,
        cpu_seconds: stat.utime.saturating_add(stat.stime) as f64 / ticks_per_second.max(1) as f64,
        threads: u64::try_from(stat.num_threads).unwrap_or(0),
    }
}

fn open_files_max() -> Option<u64> {
    let (soft, _) = rlimit::Resource::NOFILE.get().ok()?;
    (soft != rlimit::INFINITY).then_some(soft)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_come_from_the_fields_of_stat() {
        // The name in parentheses may hold anything.
        let text = "4711 (a b) c) S 1 4711 4711 0 -1 4194560 900 0 0 0 250 50 0 0 20 0 7 0 100 10485760 256 \
                    18446744073709551615 1 1 0 0 0 0 0 4096 1024 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 0\n";
        let stat = Stat::from_read(text.as_bytes()).unwrap();
        assert_eq!(
            figures_of(&stat, 4096, 100),
            StatFigures { resident_bytes: 1024 * 1024, virtual_bytes: 10 * 1024 * 1024, cpu_seconds: 3.0, threads: 7 }
        );
    }

    #[test]
    fn load_is_processor_time_per_time_over_a_span_long_enough() {
        let start = Instant::now();
        let mut meter = ProcessMeter { since: None, load: None };
        for (after_ms, cpu_seconds, load) in [
            (0, 1.0, None),
            (100, 1.125, Some(0.625)),
            (1000, 2.5, Some(1.5)),
            (1050, 9.0, Some(1.5)),
            (2000, 2.5, Some(0.0)),
            (3000, 2.0, Some(0.0)),
        ] {
            meter.count(start + Duration::from_millis(after_ms), cpu_seconds);
            assert_eq!(meter.load, load, "{after_ms}");
        }
    }

    #[test]
    fn this_process_has_figures() {
        let mut meter = ProcessMeter::new();
        let figures = meter.read();
        assert!(figures.resident_bytes.is_some_and(|bytes| bytes > 64 * 1024), "{figures:?}");
        assert!(figures.virtual_bytes >= figures.resident_bytes, "{figures:?}");
        assert!(figures.threads.is_some_and(|threads| threads >= 1), "{figures:?}");
        assert!(figures.cpu_seconds.is_some_and(|seconds| seconds >= 0.0), "{figures:?}");
        assert!(figures.open_files.is_some_and(|files| files >= 3), "{figures:?}");
        assert!(figures.open_files_max.is_none_or(|most| Some(most) >= figures.open_files), "{figures:?}");
    }
}
