//! Subscribers that ack slowly, or never, or do not even read: nobody else waits for them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use crate::durable::Durable;
use crate::press::Press;
use crate::program::{PATIENCE, number};
use crate::scene::{Scene, alone};

const TOPIC: &str = "load.all";
const HEALTHY: usize = 3;
const HEALTHY_WINDOW: u64 = 1024;
/// One publish at a time, where latency is measured.
const PACE: Duration = Duration::from_millis(2);
/// The least part of the rate that is left beside a bad subscriber.
const RATE: f64 = 0.5;
/// By how much it may add to the latency that others see, and at most how often that of without.
const LATENCY: (Duration, u32) = (Duration::from_millis(50), 3);
/// Other work on the machine slows down one measurement, and not each.
const TRIES: usize = 3;
/// What all of this may cost in memory: the store's cache of 8 MiB, 100,000 ids of publishes, and
/// what waits in sockets.
const COST_KIB: u64 = 24 * 1024;

/// How a subscriber is bad.
#[derive(Clone, Copy, Debug)]
enum Manner {
    AcksSlowly,
    NeverAcks,
    NeverReads,
}

impl Manner {
    fn window(self) -> u64 {
        match self {
            Manner::AcksSlowly | Manner::NeverAcks => 64,
            // More than goes into the socket.
            Manner::NeverReads => 1024,
        }
    }

    fn ack_timeout_ms(self) -> u64 {
        match self {
            Manner::AcksSlowly | Manner::NeverReads => 30_000,
            // Events come again meanwhile.
            Manner::NeverAcks => 250,
        }
    }
}

#[test]
fn nobody_waits_for_a_subscriber_that_is_slow() {
    let _alone = alone();
    let span = Duration::from_millis(number("HYDROGEN_BOUNDS_SECONDS").map_or(300, |seconds| seconds * 1000));
    let scene = Scene::new();
    let mut press = Press::new(&scene);
    let healthy: [Healthy; HEALTHY] = Default::default();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&is_over);
        for (at, healthy) in healthy.iter().enumerate() {
            let durable = Durable::join(&scene, &format!("healthy-{at}"), TOPIC, HEALTHY_WINDOW, 30_000);
            let is_over = &is_over;
            scope.spawn(move || healthy.run(durable, is_over));
        }
        let mut published = 0;
        let mut load = |what: &str| {
            let load = Load::measure(&mut press, &healthy, &mut published, span);
            let kib = scene.program.memory_kib().0;
            println!("{what}: {:.0} publishes/s, others' p99 {:.1?}, {kib} KiB", load.rate, load.p99);
            (load, kib)
        };
        // The first load warms up.
        load("warming up");
        let (mut without, begin_kib) = load("nobody bad");
        for manner in [Manner::AcksSlowly, Manner::NeverAcks, Manner::NeverReads] {
            let is_fine = (0..TRIES).any(|_| {
                let (with, kib, seen) = beside(&scene, manner, &mut load);
                let Seen { events, again, unacked } = seen;
                println!("  it got {events} events, {again} again, {unacked} unacked at most");
                assert!(events > 0 && unacked <= manner.window() as usize, "{manner:?}: the window is not kept");
                assert_eq!(again > 0, matches!(manner, Manner::NeverAcks), "{manner:?}: what comes again");
                assert!(kib < begin_kib + COST_KIB, "{manner:?} costs memory");

                let (after, _) = load("nobody bad");
                // The machine is not the same all the time: what is before and after counts alike.
                let rate = with.rate / ((without.rate + after.rate) / 2.0);
                let p99 = without.p99.max(after.p99);
                println!("  {rate:.2} of the rate; p99 {:.1?}, without {p99:.1?}", with.p99);
                without = after;
                rate >= RATE && with.p99 <= (p99 * LATENCY.1).max(p99 + LATENCY.0)
            });
            assert!(is_fine, "{manner:?} slows others");
        }
    });
}

/// The load beside one bad subscriber, which ends then.
fn beside(scene: &Scene, manner: Manner, load: &mut impl FnMut(&str) -> (Load, u64)) -> (Load, u64, Seen) {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let _end = End(&is_done);
        let name = format!("{manner:?}");
        let durable = Durable::join(scene, &name, TOPIC, manner.window(), manner.ack_timeout_ms());
        let bad = scope.spawn(|| misbehave(durable, manner, &is_done));
        let (with, kib) = load(&name);
        is_done.store(true, Ordering::SeqCst);
        let (durable, seen) = bad.join().unwrap();
        durable.end(&name);
        (with, kib, seen)
    })
}

/// Sets a flag when it is dropped, also by a panic, so that nobody is waited for in vain.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// A subscriber that acks what it gets.
#[derive(Default)]
struct Healthy {
    got: AtomicU64,
    latencies_ns: Mutex<Vec<u64>>,
}

impl Healthy {
    fn run(&self, mut durable: Durable, is_over: &AtomicBool) {
        let mut held = Vec::new();
        let mut last = 0;
        while !is_over.load(Ordering::SeqCst) {
            let event = durable.next(Duration::from_millis(1));
            let is_quiet = event.is_none();
            if let Some(event) = event {
                let n = event.data["n"].as_u64().unwrap();
                assert_eq!(n, last + 1, "out of order, or more than once");
                last = n;
                if let Some(at_ns) = event.data["at_ns"].as_u64() {
                    self.latencies_ns.lock().push(now_ns() - at_ns);
                }
                held.push(event.id);
                self.got.store(n, Ordering::SeqCst);
            }
            if held.len() == 64 || (is_quiet && !held.is_empty()) {
                durable.ack(&held);
                held.clear();
            }
        }
        durable.leave();
    }
}

struct Load {
    rate: f64,
    p99: Duration,
}

impl Load {
    /// Publishes as fast as it goes, which gives the rate; then slowly, which gives the latency.
    fn measure(press: &mut Press, healthy: &[Healthy], published: &mut u64, span: Duration) -> Load {
        let (begin, first) = (Instant::now(), *published);
        let pad = "x".repeat(400);
        while begin.elapsed() < span {
            *published += 1;
            press.publish(TOPIC, &json!({"n": *published, "pad": pad}));
        }
        press.settle();
        let rate = (*published - first) as f64 / begin.elapsed().as_secs_f64();
        catch_up(healthy, *published);

        let begin = Instant::now();
        while begin.elapsed() < span {
            *published += 1;
            let due = Instant::now() + PACE;
            press.publish(TOPIC, &json!({"n": *published, "at_ns": now_ns(), "pad": pad}));
            press.rest_until(due);
        }
        press.settle();
        catch_up(healthy, *published);
        let mut latencies_ns: Vec<u64> =
            healthy.iter().flat_map(|one| std::mem::take(&mut *one.latencies_ns.lock())).collect();
        latencies_ns.sort_unstable();
        Load { rate, p99: Duration::from_nanos(latencies_ns[latencies_ns.len() * 99 / 100]) }
    }
}

fn catch_up(healthy: &[Healthy], published: u64) {
    let deadline = Instant::now() + PATIENCE;
    while healthy.iter().any(|one| one.got.load(Ordering::SeqCst) < published) {
        assert!(Instant::now() < deadline, "not everybody gets everything");
        thread::sleep(Duration::from_millis(1));
    }
}

/// What a bad subscriber saw.
#[derive(Debug)]
struct Seen {
    /// Different events that it got.
    events: usize,
    /// How often one of them came again.
    again: usize,
    /// The most of them that were unacked at a time.
    unacked: usize,
}

fn misbehave(mut durable: Durable, manner: Manner, is_done: &AtomicBool) -> (Durable, Seen) {
    let (mut unacked, mut got, mut again, mut most) = (BTreeSet::new(), BTreeSet::new(), 0, 0);
    let mut last_ack = Instant::now();
    let is_over = || is_done.load(Ordering::SeqCst);
    if matches!(manner, Manner::NeverReads) {
        while !is_over() {
            thread::sleep(Duration::from_millis(5));
        }
    }
    loop {
        match durable.next(Duration::from_millis(5)) {
            Some(event) => {
                unacked.insert(event.id.clone());
                again += usize::from(!got.insert(event.id));
                most = most.max(unacked.len());
            }
            // One that never read gets to see what was sent to it.
            None if is_over() => break,
            None => {}
        }
        if is_over() && !matches!(manner, Manner::NeverReads) {
            break;
        }
        if matches!(manner, Manner::AcksSlowly) && last_ack.elapsed() > Duration::from_millis(20) {
            last_ack = Instant::now();
            if let Some(id) = unacked.pop_first() {
                durable.ack(&[id]);
            }
        }
    }
    (durable, Seen { events: got.len(), again, unacked: most })
}

/// The system's monotonic clock.
fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
