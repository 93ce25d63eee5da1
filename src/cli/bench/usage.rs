//! CPU time and memory of processes and of the machine, from `/proc`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use procfs::net::TcpState;
use procfs::process::Process;
use procfs::{CurrentSI, KernelStats};

/// What processes have used so far: a reading, to be compared with a later one.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    /// By thread: nanoseconds on a CPU.
    threads_ns: BTreeMap<i32, u64>,
    user_ticks: u64,
    system_ticks: u64,
    /// Resident memory, with what is shared.
    pub rss_kib: u64,
    /// Resident memory of their own.
    pub anon_kib: u64,
    /// The most resident memory that they ever had.
    pub peak_rss_kib: u64,
}

/// CPU time between two readings, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CpuTime {
    /// User and system, to the nanosecond where the kernel tells.
    pub total_s: f64,
    /// In user mode, to the clock's tick.
    pub user_s: f64,
    /// In the kernel, to the clock's tick.
    pub system_s: f64,
}

impl Reading {
    /// Reads all processes; one that is gone counts for nothing.
    pub fn of(pids: &[i32]) -> Reading {
        let mut reading = Reading::default();
        for pid in pids {
            // A process may end between two files: what was read of it until then stays.
            let _ = reading.add(*pid);
        }
        reading
    }

    fn add(&mut self, pid: i32) -> procfs::ProcResult<()> {
        let process = Process::new(pid)?;
        let stat = process.stat()?;
        self.user_ticks += stat.utime;
        self.system_ticks += stat.stime;
        let status = process.status()?;
        self.rss_kib += status.vmrss.unwrap_or(0);
        self.anon_kib += status.rssanon.unwrap_or(0);
        self.peak_rss_kib += status.vmhwm.unwrap_or(0);
        for task in process.tasks()?.flatten() {
            if let Ok(schedule) = task.schedstat() {
                self.threads_ns.insert(task.tid, schedule.sum_exec_runtime);
            }
        }
        Ok(())
    }

    /// A reading of one thread, for tests of what is made from it.
    #[cfg(test)]
    pub fn fixed(thread_ns: u64, rss_kib: u64) -> Reading {
        Reading { threads_ns: BTreeMap::from([(1, thread_ns)]), rss_kib, anon_kib: rss_kib, ..Reading::default() }
    }

    /// How many threads there are.
    pub fn threads(&self) -> usize {
        self.threads_ns.len()
    }

    /// CPU time since `earlier`.
    pub fn cpu_since(&self, earlier: &Reading) -> CpuTime {
        let exact_ns: u64 = self
            .threads_ns
            .iter()
            .map(|(thread, ns)| ns.saturating_sub(earlier.threads_ns.get(thread).copied().unwrap_or(0)))
            .sum();
        let exact_s = exact_ns as f64 / 1e9;
        let ticks_per_s = procfs::ticks_per_second() as f64;
        let user_s = self.user_ticks.saturating_sub(earlier.user_ticks) as f64 / ticks_per_s;
        let system_s = self.system_ticks.saturating_sub(earlier.system_ticks) as f64 / ticks_per_s;
        // Threads that ended in between are in the ticks alone; below a few ticks it is rounding.
        let rounding_s = 0.05;
        let ticks_s = user_s + system_s;
        CpuTime { total_s: if ticks_s > exact_s + rounding_s { ticks_s } else { exact_s }, user_s, system_s }
    }
}

/// The peers of the connections that this address of this machine has established. Empty where the
/// system does not tell.
pub fn established_with(address: SocketAddr) -> BTreeSet<SocketAddr> {
    let entries = if address.is_ipv4() { procfs::net::tcp() } else { procfs::net::tcp6() };
    let established = entries.unwrap_or_default().into_iter().filter(|entry| entry.state == TcpState::Established);
    established.filter(|entry| entry.local_address == address).map(|entry| entry.remote_address).collect()
}

/// Time that all CPUs have spent so far, in seconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// Working, for anyone.
    pub busy_s: f64,
    /// Not working.
    pub idle_s: f64,
    /// Taken by the host for other guests.
    pub steal_s: f64,
}

impl Machine {
    /// Reads it; zeros where there is no `/proc/stat`.
    pub fn read() -> Machine {
        let Ok(stats) = KernelStats::current() else { return Machine::default() };
        let cpu = stats.total;
        let seconds = |ticks: u64| ticks as f64 / procfs::ticks_per_second() as f64;
        Machine {
            busy_s: seconds(cpu.user + cpu.nice + cpu.system + cpu.irq.unwrap_or(0) + cpu.softirq.unwrap_or(0)),
            idle_s: seconds(cpu.idle + cpu.iowait.unwrap_or(0)),
            steal_s: seconds(cpu.steal.unwrap_or(0)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(threads_ns: &[(i32, u64)], user_ticks: u64) -> Reading {
        Reading { threads_ns: threads_ns.iter().copied().collect(), user_ticks, ..Reading::default() }
    }

    #[test]
    fn new_threads_count_whole_and_old_ones_by_difference() {
        let before = reading(&[(1, 100), (2, 1_000)], 0);
        let after = reading(&[(1, 1_000_100), (3, 500_000)], 0);
        assert!((after.cpu_since(&before).total_s - 0.0015).abs() < 1e-9);
    }

    #[test]
    fn time_of_threads_that_ended_comes_from_the_ticks() {
        let ticks = procfs::ticks_per_second();
        let before = reading(&[(1, 0), (2, 0)], 0);
        let after = reading(&[(1, 500_000_000)], 2 * ticks);
        assert!((after.cpu_since(&before).total_s - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_busy_process_uses_about_the_time_that_passes() {
        let pids = [std::process::id() as i32];
        let before = Reading::of(&pids);
        assert!(before.rss_kib > 0 && before.threads() > 0);
        let started = std::time::Instant::now();
        let mut sum = 0u64;
        while started.elapsed().as_millis() < 30 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let used = Reading::of(&pids).cpu_since(&before);
        assert!(used.total_s > 0.001, "{used:?}");
        assert!(Machine::read().idle_s > 0.0);
    }

    #[test]
    fn established_connections_are_known_by_their_peers() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let (server, _) = listener.accept().unwrap();
        let mine = client.local_addr().unwrap();
        assert_eq!(established_with(address), BTreeSet::from([mine]));
        drop(server);
        assert!(established_with(address).is_empty());
    }

    #[test]
    fn a_process_that_is_gone_counts_for_nothing() {
        let reading = Reading::of(&[i32::MAX]);
        assert_eq!((reading.rss_kib, reading.threads()), (0, 0));
    }
}
