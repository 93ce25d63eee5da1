//! What it costs to find a topic's subscribers, and what a subscription holds, while ever more
//! subscriptions are there that do not match, and ever more topics besides.
//!
//! `topics` prints a table of times and bytes; `topics SIZE KIND` runs one kind once for callgrind,
//! which counts what runs inside of [`measured`], and prints how many events that were.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use allocation_counter::measure;
use hydrogen::base::{ConnId, Mono, ReactorId};
use hydrogen::engine::topic::{Bounds, Options, Pattern, Payload, SubKey, Topics};

const SIZES: [usize; 4] = [1, 1_000, 100_000, 1_000_000];
/// Topics that events go to. Three subscriptions match each.
const ROUTED: usize = 64;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    match &args[..] {
        [] => table(),
        [size, kind] => {
            let mut scene = Scene::new(size.parse().expect("SIZE is a number"));
            match &**kind {
                "first" => scene.forget_routes(),
                "next" => scene.route(),
                other => panic!("there is no kind {other}; there are first and next"),
            }
            measured(|| scene.route());
            println!("{ROUTED}");
        }
        _ => panic!("usage: topics [SIZE KIND]"),
    }
}

/// Callgrind counts from the beginning of this function to its end.
#[inline(never)]
fn measured<T>(act: impl FnOnce() -> T) -> T {
    black_box(act())
}

struct Scene {
    topics: Topics,
    routed: Vec<String>,
    subscription_bytes: f64,
    subscribe_ns: f64,
    topic_bytes: f64,
}

impl Scene {
    /// As many subscriptions, and as many topics with state, that have nothing to do with the events.
    fn new(size: usize) -> Scene {
        let bounds = Bounds { topics: size + ROUTED, subscriptions: size + ROUTED + 8, ..Bounds::default() };
        let mut topics = Topics::new(bounds, 7);
        let routed: Vec<String> = (0..ROUTED).map(|index| format!("p.t{index}.v")).collect();
        let patterns = routed.iter().cloned().chain(["p.*.v".into(), "p.>".into()]);
        for (index, pattern) in patterns.enumerate() {
            subscribe(&mut topics, index, &Pattern::parse(&pattern).unwrap());
        }
        let others: Vec<Pattern> = (0..size).map(|index| Pattern::parse(&other(index)).unwrap()).collect();
        let identity: Arc<str> = Arc::from("everyone");
        let begun = Instant::now();
        let held = measure(|| {
            for (index, pattern) in others.iter().enumerate() {
                let key = SubKey { conn: conn(ROUTED + 2 + index), number: 0 };
                topics.subscribe(key, pattern, Options::default(), identity.clone()).unwrap();
            }
        });
        let subscribe_ns = begun.elapsed().as_nanos() as f64 / size as f64;
        let names: Vec<String> = (0..size).map(|index| format!("q.t{index}.v")).collect();
        let mut begin = |name: &String| {
            topics.begin(name, Mono(0), 7).unwrap();
        };
        let state = measure(|| names.iter().for_each(&mut begin));
        routed.iter().for_each(begin);
        let mut scene = Scene {
            topics,
            routed,
            subscription_bytes: held.bytes_current as f64 / size as f64,
            subscribe_ns,
            topic_bytes: state.bytes_current as f64 / size as f64,
        };
        scene.route();
        scene
    }

    /// One event to each topic.
    fn route(&mut self) {
        for name in &self.routed {
            let receivers = self.topics.fan_out(name, &mut Payload::new(b"{}")).receivers;
            assert_eq!(black_box(receivers), 3);
        }
    }

    /// A wildcard comes and goes: every topic looks anew for who matches.
    fn forget_routes(&mut self) {
        let pattern = Pattern::parse("nobody.*").unwrap();
        subscribe(&mut self.topics, ConnId::SLOTS_MAX - 1, &pattern);
        self.topics.drop_connection(conn(ConnId::SLOTS_MAX - 1));
    }
}

fn conn(index: usize) -> ConnId {
    ConnId::new(ReactorId(0), index, 0)
}

fn subscribe(topics: &mut Topics, index: usize, pattern: &Pattern) {
    let key = SubKey { conn: conn(index), number: 0 };
    topics.subscribe(key, pattern, Options::default(), Arc::from("everyone")).unwrap();
}

/// A pattern that matches none of the routed topics, though many begin or end as those do.
fn other(index: usize) -> String {
    let near = index % ROUTED;
    match index % 8 {
        0 => format!("p.t{near}.x{index}"),
        1 => format!("s{index}.t{near}.v"),
        2 => format!("p.x{index}.v"),
        3 => format!("p.*.x{index}"),
        4 => format!("*.t{near}.x{index}"),
        5 => format!("*.*.x{index}"),
        6 => format!("p.t{near}.x{index}.>"),
        _ => format!("*.x{index}.>"),
    }
}

fn table() {
    println!(
        "{:>14} {:>12} {:>12} {:>14} {:>14} {:>12}",
        "subscriptions", "first ns", "next ns", "subscribe ns", "bytes each", "bytes/topic"
    );
    for size in SIZES {
        let mut scene = Scene::new(size);
        let mut time = |is_first: bool| {
            let mut best = f64::MAX;
            for _ in 0..200 {
                if is_first {
                    scene.forget_routes();
                }
                let begun = Instant::now();
                scene.route();
                best = best.min(begun.elapsed().as_nanos() as f64 / ROUTED as f64);
            }
            best
        };
        let (first, next) = (time(true), time(false));
        println!(
            "{size:>14} {first:>12.0} {next:>12.0} {:>14.0} {:>14.0} {:>12.0}",
            scene.subscribe_ns, scene.subscription_bytes, scene.topic_bytes
        );
    }
}
