//! Compares embedded databases as the store of topic logs. `all <folder>` runs everything, a process for each
//! measurement, engines in turn; the other commands are its parts. The folder must be on a real disk.

mod engines;
mod event;
mod faults;
mod meter;
mod speed;

use engines::Failure;
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let text = |i: usize| arguments.get(i).map(String::as_str).ok_or(USAGE);
    let number = |i: usize| text(i).and_then(|n| n.parse::<u64>().map_err(|_| USAGE));
    if text(0)? == "all" {
        return all(Path::new(text(1)?), &arguments[2..]);
    }
    let (command, name, dir) = (text(0)?, text(1)?, Path::new(text(2)?));
    match command {
        "append" => speed::append(name, dir, number(3)?, text(4)?.parse()?),
        "fill" => speed::fill(name, dir, number(3)?, 512, false),
        "fill-killed" => speed::fill(name, dir, number(3)?, 512, true),
        "open" => speed::open(name, dir, arguments.get(3).map_or("", String::as_str)),
        "read" => speed::read(name, dir),
        "trim" => speed::trim(name, dir, number(3)?),
        "acknowledge" => faults::acknowledge(name, dir, number(3)?),
        "crash" => faults::crash(name, dir, number(3)? as u32),
        "small" => speed::fill(name, dir, number(3)?, 8, false),
        "small-killed" => speed::fill(name, dir, number(3)?, 8, true),
        "damage" => faults::damage(name, dir, number(3)?, number(4)? as usize),
        "inspect" => {
            println!("{}", faults::inspect(name, dir, number(3)?));
            Ok(())
        }
        "persist" => faults::persist(name, dir, number(3)?),
        _ => Err(USAGE.into()),
    }
}

const USAGE: &str = "all FOLDER [ENGINE…] | append ENGINE FOLDER BATCH SECONDS | fill ENGINE FOLDER EVENTS | \
    fill-killed ENGINE FOLDER EVENTS | open ENGINE FOLDER | read ENGINE FOLDER | trim ENGINE FOLDER EVENTS | \
    crash ENGINE FOLDER ROUNDS | damage ENGINE FOLDER EVENTS PLACES | persist ENGINE FOLDER COMMITS";

/// Events of the large store.
const MANY: &str = "1000000";

fn all(dir: &Path, chosen: &[String]) -> Result<(), Failure> {
    let names: Vec<&str> =
        if chosen.is_empty() { engines::ALL.to_vec() } else { chosen.iter().map(String::as_str).collect() };
    let fresh = |name: &str| dir.join(name);
    for size in ["1", "8", "64", "512"] {
        for name in &names {
            run(&["append", name], &fresh("append"), &[size, "2"], true)?;
        }
    }
    for name in &names {
        run(&["fill", name], &fresh("large"), &[MANY], true)?;
        run(&["open", name], &fresh("large"), &["closed"], false)?;
        run(&["read", name], &fresh("large"), &[], false)?;
        run(&["trim", name], &fresh("large"), &[MANY], false)?;
        run(&["fill-killed", name], &fresh("large"), &[MANY], true)?;
        run(&["open", name], &fresh("large"), &["killed"], false)?;
    }
    for name in &names {
        run(&["crash", name], &fresh("crash"), &["30"], true)?;
    }
    for name in names.iter().chain(engines::CHECKED) {
        run(&["damage", name], &fresh("damage"), &["128", "300"], true)?;
    }
    Ok(())
}

fn run(head: &[&str], dir: &Path, tail: &[&str], anew: bool) -> Result<(), Failure> {
    if anew {
        let _ = std::fs::remove_dir_all(dir);
    }
    // A child that dies is a result, not an end to the run.
    let status = Command::new("/proc/self/exe").args(head).arg(dir).args(tail).status()?;
    if !status.success() && head[0] != "fill-killed" {
        println!("{head:?} ended with {status}");
    }
    Ok(())
}
