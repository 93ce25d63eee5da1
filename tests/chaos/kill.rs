//! One data folder, a server on it that is killed again and again, and clients that do not stop.

use std::thread;
use std::time::Duration;

use crate::check::Floors;
use crate::crowd::{Crowd, Dismiss, LONG_REST, judge, report};
use crate::dice::Dice;
use crate::program::Home;
use crate::world::{Phase, World};
use crate::{number, seed};

const ROUNDS: u64 = 50;

#[test]
fn what_was_answered_survives_kills() {
    let rounds = number("HYDROGEN_CHAOS_ROUNDS").unwrap_or(ROUNDS);
    let seed = seed();
    let mut dice = Dice::new(seed);
    let folder = tempfile::Builder::new().prefix("hydrogen-kill-").tempdir().unwrap();
    let home = Home::new(folder.path(), &mut dice);
    let world = World::new(&home);
    let mut program = home.start(&[]);
    let mut floors = Floors::new();
    let judged_every = 25.max(rounds / 20);
    let failure = thread::scope(|scope| {
        let _dismiss = Dismiss(&world);
        let crowd = Crowd::gather(scope, &world, None, &mut dice);
        for round in 1..=rounds {
            world.enter(Phase::Publish);
            thread::sleep(Duration::from_millis(dice.between(20, 400) as u64));
            program.kill();
            world.next_life();
            program = home.launch(&[]);
            // Some are killed again before they have come up.
            while dice.chance(15) {
                thread::sleep(Duration::from_millis(dice.below(40) as u64));
                program.kill();
                world.next_life();
                program = home.launch(&[]);
            }
            home.wait(&mut program);
            if round % judged_every == 0 || round == rounds || world.is_broken() {
                let faults = judge(&crowd, &world, &mut floors, LONG_REST);
                if !faults.is_empty() {
                    return Some(report(&format!("seed {seed}, round {round}"), &faults, &world, folder.path()));
                }
                println!("round {round}: {}", world.tally());
                world.forget();
            }
        }
        crowd.leave();
        None
    });
    if let Some(failure) = failure {
        // So that it can be looked at.
        let _ = folder.keep();
        panic!("{failure}");
    }
    program.stop();
}
