//! The power goes: the server runs on a folder whose every change is logged, and is started again
//! on what a disk might hold at some point of that log.

mod disk;
mod log;
pub mod shim;
#[cfg(test)]
mod tests;

use std::fs;
use std::thread;
use std::time::Duration;

use crate::check::{Floors, broken};
use crate::crowd::{Crowd, Dismiss, SHORT_REST, judge, report};
use crate::dice::Dice;
use crate::program::Home;
use crate::trace::What;
use crate::world::{Phase, SESSION, World};
use crate::{number, seed};
use disk::{Content, Disk, Luck};
use shim::Shim;

const ROUNDS: u64 = 10;
/// Points at which the power goes, of each run that is logged.
const CUTS: u64 = 5;

#[test]
fn what_was_answered_survives_power_cuts() {
    let rounds = number("HYDROGEN_POWERCUT_ROUNDS").unwrap_or(ROUNDS);
    let seed = seed();
    let mut dice = Dice::new(seed);
    let mut done = 0;
    while done < rounds {
        let folder = tempfile::Builder::new().prefix("hydrogen-powercut-").tempdir().unwrap();
        let cuts = CUTS.min(rounds - done);
        match run(&folder.path().canonicalize().unwrap(), cuts, &mut dice) {
            Ok(()) => done += cuts,
            Err(failure) => {
                let _ = folder.keep();
                panic!("seed {seed}, after round {done}: {failure}");
            }
        }
    }
}

/// One run that is logged, and its cuts.
fn run(folder: &std::path::Path, cuts: u64, dice: &mut Dice) -> Result<(), String> {
    let Some(shim) = Shim::build(folder) else { return Ok(()) };
    let home = Home::new(&folder.join("run"), dice);
    let world = World::new(&home);
    let (store, log) = (home.store(), folder.join("powercut.log"));
    let mut program = home.start(&shim.variables(&store, &log));
    let session = thread::scope(|scope| {
        let _dismiss = Dismiss(&world);
        let crowd = Crowd::gather(scope, &world, None, dice);
        world.enter(Phase::Publish);
        thread::sleep(Duration::from_millis(dice.between(200, 900) as u64));
        crowd.leave()
    });
    let faults = world.look(broken);
    if !faults.is_empty() {
        return Err(report("before any power cut", &faults, &world, folder));
    }
    // In order, so that the log is whole; the cuts are of the log.
    program.stop();
    let log = log::read(&log);
    let slipped = disk::differences(&Disk::play(&log, log.len()).cut(Luck::Everything, dice), &disk::read(&store));
    if !slipped.is_empty() || log.is_empty() {
        return Err(format!("the log does not tell all that was done: {slipped:?}"));
    }
    for cut in 1..=cuts {
        let end = dice.below(log.len() + 1);
        let luck = dice.pick(&[Luck::Nothing, Luck::Everything, Luck::Some, Luck::Some]);
        let at_ns = log.get(end).map_or(u64::MAX, |record| record.at_ns);
        let place = folder.join(format!("cut-{cut}"));
        let home = Home::new(&place, dice);
        fs::copy(folder.join("run/data/keys.json"), home.data().join("keys.json")).unwrap();
        let mut content = Disk::play(&log, end).cut(luck, dice);
        add_noise(&mut content, dice);
        disk::write(&home.store(), &content);
        let after = world.after(at_ns, home.address);
        let title = format!("cut before operation {end} of {}, {luck:?} of what was not synced", log.len());
        go_on(&home, &after, session.clone(), dice).map_err(|faults| report(&title, &faults, &after, &place))?;
        println!("{title}: {}", after.tally());
    }
    Ok(())
}

/// Shared memory of processes that are gone: it may hold anything.
fn add_noise(content: &mut Content, dice: &mut Dice) {
    let journals: Vec<String> = content.keys().filter_map(|name| Some(name.strip_suffix("-wal")?.to_owned())).collect();
    for name in journals {
        if dice.chance(30) {
            let noise: Vec<u8> = (0..64).flat_map(|_| dice.bytes::<512>()).collect();
            content.insert(format!("{name}-shm"), Some(noise));
        }
    }
}

/// The same clients, with what they knew when the power went, on what is left of the store.
fn go_on(home: &Home, world: &World, session: Option<serde_json::Value>, dice: &mut Dice) -> Result<(), Vec<String>> {
    let had_session =
        world.look(|trace| trace.iter().any(|entry| entry.who == SESSION && matches!(entry.what, What::Subscribed)));
    let mut program = home.start(&[]);
    let faults = thread::scope(|scope| {
        let _dismiss = Dismiss(world);
        let crowd = Crowd::gather(scope, world, session.filter(|_| had_session), dice);
        world.enter(Phase::Publish);
        thread::sleep(Duration::from_millis(150));
        judge(&crowd, world, &mut Floors::new(), SHORT_REST)
    });
    if !faults.is_empty() {
        return Err(faults);
    }
    program.stop();
    Ok(())
}
