//! Owns what the system says of this process: processor time, bytes written, memory, and space on disk.

use std::path::Path;

/// Microseconds of processor time, all threads.
pub fn cpu_us() -> f64 {
    // SAFETY: getrusage fills the struct that it is given.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let us = |t: libc::timeval| t.tv_sec as f64 * 1e6 + t.tv_usec as f64;
    us(usage.ru_utime) + us(usage.ru_stime)
}

/// Bytes that this process had written to the disk.
pub fn written() -> u64 {
    field("/proc/self/io", "write_bytes:")
}

/// Resident memory in MiB: all, and the part that is not files.
pub fn memory() -> (u64, u64) {
    (field("/proc/self/status", "VmRSS:") >> 10, field("/proc/self/status", "RssAnon:") >> 10)
}

fn field(file: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
    line.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// Blocks in use by all files of a folder, in MiB.
pub fn disk(dir: &Path) -> f64 {
    files(dir).iter().map(|file| blocks(file)).sum::<u64>() as f64 / 2048.0
}

fn blocks(file: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(file).map_or(0, |meta| meta.blocks())
}

/// All files of a folder and its folders, in order of their names.
pub fn files(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The middle, and the 99th of 100, in microseconds.
pub fn spread(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    let at = |share: f64| times.get(((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1)));
    (at(0.5).copied().unwrap_or(0.0), at(0.99).copied().unwrap_or(0.0))
}
