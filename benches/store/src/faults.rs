//! Owns the tests of harm: a killed process, a flipped byte, a failed sync.

use crate::engines::{self, Failure};
use crate::event::{self, Event, TOPICS};
use crate::meter;
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn me(arguments: &[&str]) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.args(arguments);
    command
}

/// Appends until killed; says how many events are acknowledged after each commit.
pub fn acknowledge(name: &str, dir: &Path, from: u64) -> Result<(), Failure> {
    let mut db = engines::open(name, dir)?;
    let (mut n, mut out) = (from, std::io::stdout().lock());
    loop {
        let size = 1 + n % 61;
        db.append(&(n..n + size).map(Event::number).collect::<Vec<_>>())?;
        n += size;
        writeln!(out, "{n}")?;
        out.flush()?;
    }
}

/// Kills an appending child at some moment, opens, and counts; the same store over all rounds.
pub fn crash(name: &str, dir: &Path, rounds: u32) -> Result<(), Failure> {
    let (mut stored, mut lost, mut gaps, mut refused, mut seed) = (0u64, 0, 0, 0, 0x2545_F491_4F6C_DD1Du64);
    let mut slowest = 0.0f64;
    for _ in 0..rounds {
        let at = dir.to_str().ok_or("path")?;
        let mut child = me(&["acknowledge", name, at, &stored.to_string()]).stdout(Stdio::piped()).spawn()?;
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        std::thread::sleep(Duration::from_millis(60 + (seed >> 33) % 400));
        child.kill()?;
        let out = child.stdout.take().ok_or("no output")?;
        let said: Vec<String> = BufReader::new(out).lines().map_while(Result::ok).collect();
        child.wait()?;
        let promised = said.last().and_then(|line| line.parse().ok()).unwrap_or(stored);
        let before = Instant::now();
        let Ok(db) = engines::open(name, dir) else {
            refused += 1;
            break;
        };
        slowest = slowest.max(before.elapsed().as_secs_f64() * 1e3);
        let mut total = 0;
        for topic in 0..TOPICS {
            let mut next = 0;
            db.read(topic, 0, usize::MAX, &mut |offset, bytes| {
                gaps += u64::from(offset != next || !event::is_whole(topic, offset, bytes));
                next = offset + 1;
            })?;
            lost += event::in_topic(topic, promised).saturating_sub(next);
            total += next;
        }
        db.close()?;
        stored = total;
    }
    println!(
        "crash  {name:<11} {rounds} kills: {stored} events, {lost} acknowledged lost, {gaps} gaps or wrong, {refused} refused, slowest open {slowest:.1} ms"
    );
    Ok(())
}

/// Opens, reads all, and says in one word what a caller would have seen.
pub fn inspect(name: &str, dir: &Path, n: u64) -> &'static str {
    let Ok(db) = engines::open(name, dir) else { return "refused to open" };
    let (mut wrong, mut tail, mut gap) = (false, false, false);
    for topic in 0..TOPICS {
        let mut next = 0;
        let got = db.read(topic, 0, 100_000, &mut |offset, bytes| {
            wrong |= !event::is_whole(topic, offset, bytes);
            gap |= offset != next;
            next = offset + 1;
        });
        if got.is_err() {
            return "read error";
        }
        tail |= next < event::in_topic(topic, n);
    }
    match (wrong, gap, tail) {
        (true, ..) => "wrong payload handed out",
        (_, true, _) => "gap, no error",
        (_, _, true) => "newest missing, no error",
        _ => "all right",
    }
}

/// Flips one byte at a time in every file, and counts what a reader sees.
pub fn damage(name: &str, dir: &Path, n: u64, places: usize) -> Result<(), Failure> {
    for clean in [true, false] {
        let (whole, hurt) = (dir.join(if clean { "clean" } else { "killed" }), dir.join("hurt"));
        let path = whole.to_str().ok_or("path")?;
        me(&[if clean { "small" } else { "small-killed" }, name, path, &n.to_string()])
            .stdout(Stdio::null())
            .status()?;
        let files = meter::files(&whole);
        // Places are spread over the bytes that are not a long run of zeros: those hold nothing.
        let mut targets = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let bytes = std::fs::read(file)?;
            for (start, block) in bytes.chunks(64).enumerate() {
                if block.iter().any(|byte| *byte != 0) {
                    targets.push((index, start * 64));
                }
            }
        }
        let step = (targets.len() as f64 / places as f64).max(1.0);
        let mut counts: BTreeMap<String, u32> = BTreeMap::new();
        let mut at = 0.0;
        while (at as usize) < targets.len() {
            let (index, start) = targets[at as usize];
            let _ = std::fs::remove_dir_all(&hurt);
            for file in &files {
                let to = hurt.join(file.strip_prefix(&whole)?);
                std::fs::create_dir_all(to.parent().ok_or("parent")?)?;
                std::fs::copy(file, &to)?;
            }
            let victim = hurt.join(files[index].strip_prefix(&whole)?);
            let mut bytes = std::fs::read(&victim)?;
            let place = (start + (at * 7.0) as usize % 64).min(bytes.len() - 1);
            bytes[place] ^= 0x55;
            std::fs::write(&victim, bytes)?;
            *counts.entry(child(name, &hurt, n)?).or_default() += 1;
            at += step;
        }
        let kind = if clean { "closed" } else { "killed" };
        println!("damage {name:<11} {kind}, {} files, {n} events: {counts:?}", files.len());
    }
    Ok(())
}

/// What a child of its own says of a damaged store, with an end to waiting.
fn child(name: &str, dir: &Path, n: u64) -> Result<String, Failure> {
    let mut child = me(&["inspect", name, dir.to_str().ok_or("path")?, &n.to_string()])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > Duration::from_secs(5) {
            child.kill()?;
            child.wait()?;
            return Ok("hang".into());
        }
        std::thread::sleep(Duration::from_micros(500));
    };
    if !status.success() {
        use std::os::unix::process::ExitStatusExt;
        return Ok(status.signal().map_or("panic".into(), |signal| format!("killed by signal {signal}")));
    }
    Ok(std::io::read_to_string(child.stdout.take().ok_or("no output")?)?.trim().into())
}

/// Commits some batches and says of each whether it was acknowledged: for runs in which the system fails a sync.
pub fn persist(name: &str, dir: &Path, commits: u64) -> Result<(), Failure> {
    let mut db = engines::open(name, dir)?;
    let mut n = 0;
    for commit in 0..commits {
        let events: Vec<Event> = (n..n + 8).map(Event::number).collect();
        match db.append(&events) {
            Ok(()) => n += 8,
            Err(why) => println!("sync   {name:<11} commit {commit} after {n} events refused: {why}"),
        }
    }
    println!("sync   {name:<11} {n} events acknowledged of {}", commits * 8);
    let closed = db.close();
    println!("sync   {name:<11} closing: {closed:?}; then: {}", inspect(name, dir, n));
    Ok(())
}
