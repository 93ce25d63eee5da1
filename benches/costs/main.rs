//! One operation of the server at a time, for callgrind to count its instructions: what runs
//! inside of [`measured`] counts, and nothing else. `benches/costs.py` runs it.
//!
//! `costs OPERATION` runs it once and prints how many operations that were.

#[path = "../../tests/costs/driver.rs"]
#[allow(dead_code, reason = "each user has a part of it")]
mod driver;

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use driver::{Driver, command, frame, publish};
use hydrogen::base::{ConnId, Mono, ReactorId};
use hydrogen::engine::topic::index::{Index, SubId};
use hydrogen::engine::topic::{Bounds, Options, Pattern, Payload, SubKey, Topics};
use hydrogen::engine::wire::{EventHead, Scanner, event, parse};
use hydrogen::engine::ws::{Decoder, Flow, FrameBuilder, Incoming, Limits, Role};

const CONNECTIONS: usize = 1000;
const TOPICS: usize = 1000;

/// Runs an operation; gives how often it ran.
type Run = fn() -> usize;

const OPERATIONS: &[(&str, Run)] = &[
    ("decode", decode),
    ("match", find),
    ("route", route),
    ("encode", encode),
    ("publish", publish_one),
    ("deliver", deliver),
    ("deliver16", deliver_sixteen),
    ("command", round_trip),
    ("ack", ack),
    ("timer", timer),
];

fn main() {
    let named = std::env::args().nth(1).unwrap_or_default();
    let Some((_, run)) = OPERATIONS.iter().find(|(name, _)| *name == named) else {
        let names: Vec<&str> = OPERATIONS.iter().map(|(name, _)| *name).collect();
        eprintln!("usage: costs OPERATION, one of: {}", names.join(" "));
        std::process::exit(2);
    };
    println!("{}", run());
}

/// Callgrind counts from the beginning of this function to its end, as often as it runs.
#[inline(never)]
fn measured<T>(act: impl FnOnce() -> T) -> T {
    // Or a call at the end would be a jump, and the end of this function nowhere.
    black_box(act())
}

/// A WebSocket frame and the envelope in it.
fn decode() -> usize {
    let limits = Limits { frame_bytes_max: 1 << 20, message_bytes_max: 1 << 20, fragments_max: 64 };
    let mut decoder = Decoder::new(Role::Server);
    let mut scanner = Scanner::default();
    let mut frames = vec![publish("1", "a.b", ""); 1001];
    let mut read = |frame: &mut Vec<u8>| {
        let mut sink = |incoming: Incoming<'_>| {
            let Incoming::Text(text) = incoming else { unreachable!("a text was sent") };
            assert!(black_box(parse(&mut scanner, text, 64)).is_ok());
            Flow::Continue
        };
        assert_eq!(decoder.feed(frame, &limits, &mut sink), Ok(frame.len()));
    };
    read(&mut frames[0]);
    measured(|| frames[1..].iter_mut().for_each(read));
    frames.len() - 1
}

fn topic(index: usize) -> String {
    format!("rooms.r{index}.temperature")
}

fn conn(index: usize) -> ConnId {
    ConnId::new(ReactorId(0), index, 0)
}

/// A topic's subscriptions, among a thousand on a thousand topics.
fn find() -> usize {
    let mut index = Index::new(7);
    let topics: Vec<String> = (0..TOPICS).map(topic).collect();
    for (number, topic) in topics.iter().enumerate() {
        index.insert(SubId(number as u32), &Pattern::parse(topic).unwrap(), conn(number));
    }
    let mut out = Vec::new();
    let mut find = |topic: &String| {
        index.matching(topic, &mut out);
        assert_eq!(out.len(), 1);
    };
    find(&topics[0]);
    measured(|| topics.iter().for_each(find));
    TOPICS
}

/// A topic's audience, from the second event on.
fn route() -> usize {
    let mut shard = Topics::new(Bounds::default(), 7);
    let topics: Vec<String> = (0..TOPICS).map(topic).collect();
    for (number, topic) in topics.iter().enumerate() {
        let key = SubKey { conn: conn(number), number: 0 };
        shard.subscribe(key, &Pattern::parse(topic).unwrap(), Options::default(), Arc::from("everyone")).unwrap();
        shard.begin(topic, Mono(0), 7).unwrap();
    }
    let mut route = |topic: &String| {
        let receivers = shard.fan_out(topic, &mut Payload::new(b"{}")).receivers;
        assert_eq!(black_box(receivers), 1);
    };
    topics.iter().for_each(&mut route);
    measured(|| topics.iter().for_each(route));
    TOPICS
}

/// An event's frame.
fn encode() -> usize {
    let payload = format!("\"{}\"", "x".repeat(254));
    let write = || {
        let head = EventHead {
            epoch: "3f5bd15d5b261b01",
            offset: 1234,
            timestamp: "2026-11-20T12:00:00.000Z",
            channel: "rooms",
            action: "r1.temperature",
            history: false,
            prev: Some(1233),
            ack: false,
            attempt: 1,
        };
        let mut frame = FrameBuilder::with_capacity(payload.len() + 400);
        event(&mut frame, black_box(&head), payload.as_bytes());
        black_box(frame.finish_text());
    };
    write();
    measured(|| (0..1000).for_each(|_| write()));
    1000
}

/// Subscribers of one topic, and a publisher.
fn audience(count: usize) -> (Driver, ConnId) {
    let mut driver = Driver::new();
    driver.subscribers(count, |_| r#"{"topics":["a.b"]}"#.into());
    let publisher = driver.connect();
    let frame = publish("1", "a.b", "");
    for _ in 0..3 {
        driver.receive(publisher, &frame);
        driver.turn();
    }
    (driver, publisher)
}

/// A publish, from what was read to the orders for the reactor.
fn publish_one() -> usize {
    let (mut driver, publisher) = audience(1);
    let frame = publish("1", "a.b", "");
    for _ in 0..1000 {
        let orders = measured(|| {
            driver.receive(publisher, &frame);
            driver.work();
            driver.orders()
        });
        driver.hand_out(orders);
    }
    1000
}

/// A delivery, from the order to what the socket is given.
fn deliver() -> usize {
    deliver_in_turns(10, 1)
}

/// The same with sixteen events in one turn.
fn deliver_sixteen() -> usize {
    deliver_in_turns(2, 16)
}

fn deliver_in_turns(turns: usize, events: usize) -> usize {
    let (mut driver, publisher) = audience(CONNECTIONS);
    let frame = publish("1", "a.b", "");
    for turn in 0..=turns {
        for _ in 0..events {
            driver.receive(publisher, &frame);
        }
        driver.work();
        let orders = driver.orders();
        if turn == 0 {
            driver.hand_out(orders);
        } else {
            measured(|| driver.hand_out(orders));
        }
    }
    turns * events * CONNECTIONS
}

/// A command and its response.
fn round_trip() -> usize {
    let mut driver = Driver::new();
    let client = driver.connect();
    let frame = command("1", "ping", "{}");
    let mut call = || {
        driver.receive(client, &frame);
        driver.turn();
    };
    (0..3).for_each(|_| call());
    measured(|| (0..1000).for_each(|_| call()));
    1000
}

/// The ack of a guaranteed event, from what was read to the moved window.
fn ack() -> usize {
    let mut driver = Driver::new();
    let subscriber = driver.subscribers(1, |_| r#"{"topics":["a.b"],"guarantee":"at_least_once"}"#.into())[0];
    let publisher = driver.connect();
    for number in 0..210 {
        let frame = publish(&format!("p{number}"), "a.b", ",\"guarantee\":\"at_least_once\"");
        driver.receive(publisher, &frame);
        let frame = acknowledge(&driver.answer(subscriber));
        let mut act = || {
            driver.receive(subscriber, &frame);
            driver.turn();
        };
        if number < 10 { act() } else { measured(act) }
    }
    200
}

/// The ack of the event in what was written to a subscriber.
fn acknowledge(written: &str) -> Vec<u8> {
    let (_, behind) = written.split_once("\"id\":\"").unwrap_or_else(|| panic!("no event: {written}"));
    let id = &behind[..behind.find('"').unwrap()];
    frame(&format!("{{\"type\":\"ack\",\"id\":\"{id}\"}}"))
}

/// A deadline that comes: a ping is sent, and the next deadline set.
fn timer() -> usize {
    let (mut driver, _) = audience(CONNECTIONS);
    let ping = hydrogen::Config::default().web_socket_server.ping_interval;
    driver.pass(ping + Duration::from_secs(1));
    let before = driver.calls.writes;
    measured(|| driver.endpoint.on_time(driver.now));
    driver.flush();
    let pinged = (driver.calls.writes - before) as usize;
    assert_eq!(pinged, CONNECTIONS + 1, "all who are silent are pinged");
    pinged
}
