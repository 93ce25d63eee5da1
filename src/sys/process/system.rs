//! The figures of the machine, in the form and with the names of the older status object: shares and
//! loads are text, sizes are bytes.

use std::collections::BTreeMap;
use std::time::Instant;

use procfs::{FromRead as _, LoadAverage, Meminfo};
use serde::Serialize;

use super::SPAN_MIN;
use super::cpu::{CpuTimes, Usage};
use super::filesystems::{Filesystem, read_filesystems};
use super::percent::percent;
use crate::sys::network::{Interface, read_interfaces};

/// Figures of the machine. Written as JSON it is the older status object's `system`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SystemFigures {
    /// The operating system.
    pub sysname: String,
    /// The machine's name.
    pub nodename: String,
    /// The kernel's release.
    pub release: String,
    /// The kernel's build.
    pub version: String,
    /// The processor's kind.
    pub machine: String,
    /// How busy all processors are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_usage: Option<CpuUsage>,
    /// How busy each processor is, in percent.
    pub cpu_usage_per_core: BTreeMap<String, String>,
    /// Tasks that run or wait, over one minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_1min: Option<String>,
    /// The same over five minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_5min: Option<String>,
    /// The same over fifteen minutes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_15min: Option<String>,
    /// Memory and swap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Memory>,
    /// The network interfaces, by name.
    pub network: BTreeMap<String, Network>,
    /// The filesystems, by mount point.
    pub filesystems: BTreeMap<String, Filesystem>,
}

/// How busy all processors are, in percent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CpuUsage {
    /// All together.
    pub total: String,
}

/// Memory, in bytes. `free` is all that programs can still have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// All.
    pub total: u64,
    /// Taken.
    pub used: u64,
    /// The rest.
    pub free: u64,
    /// The share that is taken.
    pub used_percent: String,
    /// Swap, if there is any.
    #[serde(flatten)]
    pub swap: Option<Swap>,
}

/// Swap, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swap {
    /// All.
    pub swap_total: u64,
    /// Taken.
    pub swap_used: u64,
    /// The rest.
    pub swap_free: u64,
    /// The share that is taken.
    pub swap_used_percent: String,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Network {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<String>,
    /// Bytes received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rx_bytes: Option<u64>,
    /// Bytes sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tx_bytes: Option<u64>,
}

/// Reads the figures, and keeps what the next reading needs.
#[derive(Debug)]
pub struct SystemMeter {
    since: Option<(Instant, CpuTimes)>,
    usage: Usage,
}

impl Default for SystemMeter {
    fn default() -> SystemMeter {
        SystemMeter::new()
    }
}

impl SystemMeter {
    /// A meter whose first usage counts from now.
    pub fn new() -> SystemMeter {
        let since = CpuTimes::read().map(|times| (Instant::now(), times));
        SystemMeter { since, usage: Usage::default() }
    }

    /// Reads the figures.
    pub fn read(&mut self) -> SystemFigures {
        if let Some(times) = CpuTimes::read() {
            self.count(Instant::now(), times);
        }
        let uname = rustix::system::uname();
        let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
        let load = LoadAverage::from_file("/proc/loadavg").ok();
        let load_text = |load: f32| format!("{load:.2}");
        SystemFigures {
            sysname: text(uname.sysname()),
            nodename: text(uname.nodename()),
            release: text(uname.release()),
            version: text(uname.version()),
            machine: text(uname.machine()),
            cpu_usage: self.usage.total.clone().map(|total| CpuUsage { total }),
            cpu_usage_per_core: self.usage.cores.clone(),
            load_1min: load.as_ref().map(|load| load_text(load.one)),
            load_5min: load.as_ref().map(|load| load_text(load.five)),
            load_15min: load.as_ref().map(|load| load_text(load.fifteen)),
            memory: Meminfo::from_file("/proc/meminfo").ok().map(|info| Memory::of(&info)),
            network: read_interfaces().unwrap_or_default().into_iter().map(Network::of).collect(),
            filesystems: read_filesystems(),
        }
    }

    /// Two readings at nearly the same time share a usage, which else would be noise.
    fn count(&mut self, now: Instant, times: CpuTimes) {
        match &self.since {
            Some((at, _)) if now.saturating_duration_since(*at) < SPAN_MIN => return,
            Some((_, before)) => self.usage = times.usage_since(before),
            None => {}
        }
        self.since = Some((now, times));
    }
}

impl Memory {
    fn of(info: &Meminfo) -> Memory {
        // Kernels before 3.14 do not tell what is available; what caches hold comes close.
        let available = info
            .mem_available
            .unwrap_or_else(|| info.mem_free.saturating_add(info.buffers).saturating_add(info.cached));
        let free = available.min(info.mem_total);
        let used = info.mem_total - free;
        let swap_free = info.swap_free.min(info.swap_total);
        let swap_used = info.swap_total - swap_free;
        let swap = (info.swap_total > 0).then(|| Swap {
            swap_total: info.swap_total,
            swap_used,
            swap_free,
            swap_used_percent: percent(swap_used, info.swap_total),
        });
        Memory { total: info.mem_total, used, free, used_percent: percent(used, info.mem_total), swap }
    }
}

impl Network {
    fn of(interface: Interface) -> (String, Network) {
        let Interface { link, counters, .. } = interface;
        let addresses = link.addresses.iter().map(|at| at.address.to_string()).collect();
        let network =
            Network { name: link.name.clone(), addresses, rx_bytes: counters.rx_bytes, tx_bytes: counters.tx_bytes };
        (link.name, network)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn memory(lines: &str) -> Memory {
        // All of these stand in every kernel's file, and the reader asks for them.
        let text = format!(
            "{lines}Buffers: 10 kB\nCached: 20 kB\nSwapCached: 0 kB\nActive: 0 kB\nInactive: 0 kB\nDirty: 0 kB\n\
             Writeback: 0 kB\nMapped: 0 kB\nSlab: 0 kB\nCommitted_AS: 0 kB\nVmallocTotal: 0 kB\nVmallocUsed: 0 kB\n\
             VmallocChunk: 0 kB\n"
        );
        Memory::of(&Meminfo::from_read(text.as_bytes()).unwrap())
    }

    #[test]
    fn memory_adds_up_and_swap_is_told_where_there_is_any() {
        let without =
            memory("MemTotal: 1000 kB\nMemFree: 100 kB\nMemAvailable: 400 kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n");
        assert_eq!(
            serde_json::to_value(without).unwrap(),
            json!({"total": 1_024_000, "used": 614_400, "free": 409_600, "used_percent": "60.0"})
        );
        let older = memory("MemTotal: 1000 kB\nMemFree: 100 kB\nSwapTotal: 80 kB\nSwapFree: 60 kB\n");
        assert_eq!(
            serde_json::to_value(older).unwrap(),
            json!({"total": 1_024_000, "used": 890_880, "free": 133_120, "used_percent": "87.0",
                "swap_total": 81_920, "swap_used": 20_480, "swap_free": 61_440, "swap_used_percent": "25.0"})
        );
        let odd = memory("MemTotal: 1 kB\nMemFree: 9 kB\nMemAvailable: 9 kB\nSwapTotal: 1 kB\nSwapFree: 9 kB\n");
        assert_eq!((odd.used, odd.free), (0, 1024));
    }

    #[test]
    fn shares_are_text_with_one_digit() {
        for (part, whole, text) in [(0, 0, "0.0"), (1, 3, "33.3"), (2, 3, "66.7"), (7, 7, "100.0")] {
            assert_eq!(percent(part, whole), text);
        }
    }

    #[test]
    fn usage_counts_from_the_meters_beginning() {
        let mut meter = SystemMeter::new();
        let (start, _) = meter.since.clone().unwrap();
        meter.count(start, CpuTimes::default());
        assert_eq!(meter.usage, Usage::default(), "no time has passed");
        std::thread::sleep(SPAN_MIN);
        let figures = meter.read();
        let total = figures.cpu_usage.expect("a usage").total;
        assert!(total.parse().is_ok_and(|total: f64| (0.0..=100.0).contains(&total)), "{total}");
        assert!(figures.cpu_usage_per_core.keys().all(|core| core.starts_with("cpu")));
    }

    #[test]
    fn this_machine_is_told_in_the_older_shape() {
        let value = serde_json::to_value(SystemMeter::new().read()).unwrap();
        assert_eq!(value["sysname"], "Linux");
        for text in ["nodename", "release", "version", "machine", "load_1min", "load_5min", "load_15min"] {
            assert!(value[text].is_string(), "{text}: {value}");
        }
        assert!(value["memory"]["total"].is_u64() && value["memory"]["used_percent"].is_string(), "{value}");
        assert!(value["cpu_usage_per_core"].is_object(), "{value}");
        let lo = &value["network"]["lo"];
        assert_eq!(lo["name"], "lo");
        assert!(lo["addresses"].as_array().unwrap().contains(&json!("127.0.0.1")) && lo["rx_bytes"].is_u64(), "{lo}");
        let is_filesystem = |found: &serde_json::Value| found["total_space"].is_u64() && found["type"].is_string();
        assert!(value["filesystems"].as_object().unwrap().values().all(is_filesystem), "{value}");
    }
}
