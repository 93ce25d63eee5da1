//! Owns the measurements of cost: append, fill, open, read and trim, each in a process of its own.

use crate::engines::{self, Failure};
use crate::event::{self, Event, TOPICS};
use crate::meter;
use std::path::Path;
use std::time::{Duration, Instant};

fn batch(from: u64, size: u64) -> Vec<Event> {
    (from..from + size).map(Event::number).collect()
}

/// Commits batches of one size for some seconds.
pub fn append(name: &str, dir: &Path, size: u64, seconds: f64) -> Result<(), Failure> {
    let mut db = engines::open(name, dir)?;
    let (mut n, mut times, mut busy) = (0, Vec::new(), 0.0);
    let (start, written) = (Instant::now(), meter::written());
    while start.elapsed() < Duration::from_secs_f64(seconds) {
        let events = batch(n, size);
        let (cpu, before) = (meter::cpu_us(), Instant::now());
        db.append(&events)?;
        times.push(before.elapsed().as_secs_f64() * 1e6);
        busy += meter::cpu_us() - cpu;
        n += size;
    }
    let whole: f64 = times.iter().sum::<f64>() / 1e6;
    let written = (meter::written() - written) as f64 / n as f64;
    let commits = times.len();
    let (middle, p99) = meter::spread(times);
    println!(
        "append {name:<11} batch {size:>4} {:>8.0} events/s {:>7.2} cpu-us/event  median {middle:>6.0} us  p99 {p99:>7.0} us  {written:>7.0} B/event  {commits} commits",
        n as f64 / whole,
        busy / n as f64
    );
    db.close()
}

/// Stores `n` events in batches of one size; then closes, or dies at once.
pub fn fill(name: &str, dir: &Path, n: u64, size: u64, die: bool) -> Result<(), Failure> {
    let mut db = engines::open(name, dir)?;
    let (start, cpu) = (Instant::now(), meter::cpu_us());
    let mut at = 0;
    while at < n {
        let size = size.min(n - at);
        db.append(&batch(at, size))?;
        at += size;
    }
    let (all, own) = meter::memory();
    println!(
        "fill   {name:<11} {n} events {:>6.2} s  {:>6.2} cpu-s  memory {all} MiB ({own} own)",
        start.elapsed().as_secs_f64(),
        (meter::cpu_us() - cpu) / 1e6
    );
    if die {
        // SAFETY: a signal to this very process.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
    db.close()?;
    println!("space  {name:<11} {:>6.0} MiB after closing", meter::disk(dir));
    Ok(())
}

/// Opens and finds the last offset of each topic.
pub fn open(name: &str, dir: &Path, what: &str) -> Result<(), Failure> {
    let (start, cpu) = (Instant::now(), meter::cpu_us());
    let db = engines::open(name, dir)?;
    let mut sum = 0;
    for topic in 0..TOPICS {
        sum += db.last(topic)?.map_or(0, |last| last + 1);
    }
    let took = start.elapsed().as_secs_f64() * 1e3;
    let (all, own) = meter::memory();
    println!(
        "open   {name:<11} {what}: {took:>8.2} ms  {:>8.2} cpu-ms  {sum} events  memory {all} MiB ({own} own)",
        (meter::cpu_us() - cpu) / 1e3
    );
    db.close()
}

/// Reads everything, topic by topic, in pages of 1000 events.
pub fn read(name: &str, dir: &Path) -> Result<(), Failure> {
    let db = engines::open(name, dir)?;
    let (start, cpu) = (Instant::now(), meter::cpu_us());
    let (mut count, mut bad) = (0u64, 0u64);
    for topic in 0..TOPICS {
        let mut from = 0;
        loop {
            let mut next = from;
            let got = db.read(topic, from, 1000, &mut |offset, bytes| {
                bad += u64::from(offset != next || bytes.len() != event::SIZE);
                next = offset + 1;
            })?;
            count += got as u64;
            from = next;
            if got < 1000 {
                break;
            }
        }
    }
    let took = start.elapsed().as_secs_f64();
    let (all, own) = meter::memory();
    println!(
        "read   {name:<11} {:>9.0} events/s  {:>5.2} cpu-us/event  {count} events, {bad} bad  memory {all} MiB ({own} own)",
        count as f64 / took,
        (meter::cpu_us() - cpu) / count as f64
    );
    db.close()
}

/// Trims the older half of each topic, 1000 offsets a commit, with a small append after each.
pub fn trim(name: &str, dir: &Path, n: u64) -> Result<(), Failure> {
    let mut db = engines::open(name, dir)?;
    let (mut trims, mut appends, mut next) = (Vec::new(), Vec::new(), n);
    let (cpu, written) = (meter::cpu_us(), meter::written());
    let half = n / u64::from(TOPICS) / 2;
    for from in (0..half).step_by(1000) {
        for topic in 0..TOPICS {
            let before = Instant::now();
            db.trim(topic, from, (from + 1000).min(half))?;
            trims.push(before.elapsed().as_secs_f64() * 1e6);
            let events = batch(next, 64);
            let before = Instant::now();
            db.append(&events)?;
            appends.push(before.elapsed().as_secs_f64() * 1e6);
            next += 64;
        }
    }
    let (middle, p99) = meter::spread(trims);
    let (_, beside) = meter::spread(appends);
    let cpu = (meter::cpu_us() - cpu) / 1e6;
    let written = (meter::written() - written) >> 20;
    db.close()?;
    println!(
        "trim   {name:<11} chunk of 1000: median {middle:>6.0} us p99 {p99:>6.0} us  append beside p99 {beside:>6.0} us  {cpu:.2} cpu-s  {written} MiB written  space after {:.0} MiB",
        meter::disk(dir)
    );
    Ok(())
}
