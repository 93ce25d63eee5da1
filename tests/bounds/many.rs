//! Many absent subscribers: who comes back reads what is for it, and not what is for others.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::durable::Durable;
use crate::press::Press;
use crate::program::{PATIENCE, number};
use crate::scene::{Scene, alone};

/// Subscriptions, and events elsewhere.
const QUICK: (u64, u64) = (300, 10_000);
const LARGE: (u64, u64) = (1000, 100_000);
const OWN: u64 = 3;
const BACK: u64 = 100;
/// What all of those that come back may take together, connecting included.
const ALL: Duration = Duration::from_secs(5);

#[test]
fn who_comes_back_reads_its_own_events_alone() {
    let _alone = alone();
    let (subscriptions, elsewhere) =
        number("HYDROGEN_BOUNDS_EVENTS").map_or(QUICK, |events| (LARGE.0, LARGE.1.min(events)));
    let mut scene = Scene::new();
    let begin_kib = scene.program.memory_kib().0;
    for who in 0..subscriptions {
        join(&scene, who).leave();
    }
    let subscribed_kib = scene.program.memory_kib().0;
    let mut press = Press::new(&scene);
    for n in 1..=OWN {
        for who in 0..subscriptions {
            press.publish(&format!("own.{who}.box"), &json!({"n": n, "who": who}));
        }
        for at in 0..elsewhere / OWN {
            press.publish(
                &format!("noise.{}", at % 10),
                &json!({"at": at, "pad": "a hundred bytes or so of something"}),
            );
        }
    }
    press.settle();
    let published_kib = scene.program.memory_kib().0;
    println!(
        "{subscriptions} absent subscriptions: {begin_kib} KiB before, {subscribed_kib} KiB with them, \
         {published_kib} KiB after {elsewhere} events elsewhere"
    );

    let first = come_back(&scene, 0);
    println!("{BACK} of them come back: {first}");
    let ready = scene.restart_after_kill();
    let second = come_back(&scene, BACK);
    println!("ready after a kill: {ready:.0?}; {BACK} others come back: {second}");
    assert!(first.all < ALL && second.all < ALL, "coming back takes long");
    assert!(ready < Duration::from_secs(1), "many subscriptions make the start slow");
}

fn join(scene: &Scene, who: u64) -> Durable {
    // Half of them have a pattern.
    let topic = if who.is_multiple_of(2) { format!("own.{who}.box") } else { format!("own.{who}.>") };
    Durable::join(scene, &format!("box-{who}"), &topic, 16, 30_000)
}

struct Times {
    all: Duration,
    median: Duration,
    longest: Duration,
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.0?} together; median {:.1?}, longest {:.1?}", self.all, self.median, self.longest)
    }
}

/// One after another connects and gets its events, from this one on.
fn come_back(scene: &Scene, from: u64) -> Times {
    let mut times = Vec::new();
    for who in from..from + BACK {
        let begin = Instant::now();
        let mut durable = join(scene, who);
        let mut held = Vec::new();
        for n in 1..=OWN {
            let event = durable.next(PATIENCE).unwrap_or_else(|| panic!("{who} does not get its event {n}"));
            assert_eq!((&event.data["n"], &event.data["who"]), (&json!(n), &json!(who)));
            held.push(event.id);
        }
        times.push(begin.elapsed());
        durable.ack(&held);
        durable.leave();
    }
    times.sort();
    Times { all: times.iter().sum(), median: times[times.len() / 2], longest: times[times.len() - 1] }
}
