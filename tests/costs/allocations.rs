//! What the heap is asked for: by an event, by a delivery, by a command, by an ack.
//!
//! Two runs with different numbers of subscribers tell what a delivery takes and what the publish
//! itself does. Everything was done several times before, so that what grows has grown.

use std::collections::BTreeSet;

use allocation_counter::{AllocationInfo, measure};
use hydrogen::base::ConnId;
use hydrogen::engine::work::Order;

use crate::driver::{Calls, Driver, command, frame, place, publish};
use crate::figures::hold;

const SUBSCRIBERS: usize = 1000;

/// What one turn with so many publications takes: memory, and calls of sockets.
struct Turn {
    memory: AllocationInfo,
    calls: Calls,
}

fn fan_out(subscribers: usize, publications: usize) -> Turn {
    let mut driver = Driver::new();
    driver.subscribers(subscribers, |_| r#"{"topics":["a.b"]}"#.into());
    let publisher = driver.connect();
    let frames = publish("1", "a.b", "").repeat(publications);
    let mut turns = Vec::new();
    for _ in 0..5 {
        let (before, delivered) = (driver.calls, driver.delivered());
        let memory = measure(|| {
            driver.receive(publisher, &frames);
            driver.turn();
        });
        assert_eq!((driver.delivered() - delivered) as usize, subscribers * publications, "all got all");
        turns.push(Turn { memory, calls: since(before, driver.calls) });
    }
    let last = turns.pop().unwrap();
    assert_eq!(turns.pop().unwrap().memory, last.memory, "one turn takes as much as the next");
    assert_eq!(last.memory.bytes_current, 0, "and keeps nothing");
    last
}

fn since(before: Calls, after: Calls) -> Calls {
    Calls { reads: after.reads - before.reads, writes: after.writes - before.writes }
}

/// By delivery, and by publication without its deliveries: of a number that is counted in turns
/// with half of the subscribers and with all of them.
fn split(half: u64, all: u64, publications: usize) -> (f64, f64) {
    let deliveries = (SUBSCRIBERS / 2 * publications) as f64;
    let by_delivery = (all - half) as f64 / deliveries;
    (by_delivery, (half as f64 - by_delivery * deliveries) / publications as f64)
}

#[test]
fn a_delivery_and_a_publish_one_in_flight() {
    let (half, all) = (fan_out(SUBSCRIBERS / 2, 1), fan_out(SUBSCRIBERS, 1));
    let (delivery, publish) = split(half.memory.count_total, all.memory.count_total, 1);
    let (delivery_bytes, publish_bytes) = split(half.memory.bytes_total, all.memory.bytes_total, 1);
    hold(&[
        ("allocations.delivery", delivery),
        ("allocations.publish", publish),
        ("allocated_bytes.delivery", delivery_bytes),
        ("allocated_bytes.publish", publish_bytes),
    ]);
    assert_eq!((all.calls.reads, all.calls.writes as usize), (1, SUBSCRIBERS + 1), "one write for each connection");
}

#[test]
fn a_delivery_and_a_publish_sixteen_in_flight() {
    let (half, all) = (fan_out(SUBSCRIBERS / 2, 16), fan_out(SUBSCRIBERS, 16));
    let (delivery, publish) = split(half.memory.count_total, all.memory.count_total, 16);
    let (delivery_bytes, publish_bytes) = split(half.memory.bytes_total, all.memory.bytes_total, 16);
    hold(&[
        ("allocations.delivery_of_16", delivery),
        ("allocations.publish_of_16", publish),
        ("allocated_bytes.delivery_of_16", delivery_bytes),
        ("allocated_bytes.publish_of_16", publish_bytes),
    ]);
    assert_eq!((all.calls.reads, all.calls.writes as usize), (1, SUBSCRIBERS + 1), "one write for sixteen events");
}

#[test]
fn a_command_and_its_response() {
    let mut driver = Driver::new();
    let client = driver.connect();
    let frame = command("1", "ping", "{}");
    let taken = steady(&mut driver, |driver| {
        driver.receive(client, &frame);
        driver.turn();
    });
    hold(&[("allocations.command", taken.count_total as f64), ("allocated_bytes.command", taken.bytes_total as f64)]);
}

#[test]
fn an_ack_of_a_guaranteed_event() {
    let mut driver = Driver::new();
    let subscriber = driver.subscribers(1, |_| r#"{"topics":["a.b"],"guarantee":"at_least_once"}"#.into())[0];
    let publisher = driver.connect();
    let mut taken = Vec::new();
    // Ids of one length.
    for number in 100..120 {
        let ack = event_to_ack(&mut driver, publisher, subscriber, number);
        taken.push(measure(|| {
            driver.receive(subscriber, &ack);
            driver.turn();
        }));
    }
    assert_eq!(driver.shard.hydrogen().in_flight(), 0, "they were acks");
    let last = taken[19];
    assert_eq!(taken[18], last, "one takes as much as the next");
    hold(&[("allocations.ack", last.count_total as f64), ("allocated_bytes.ack", last.bytes_total as f64)]);
}

/// Publishes one; gives the ack that its subscriber would send.
fn event_to_ack(driver: &mut Driver, publisher: ConnId, subscriber: ConnId, number: usize) -> Vec<u8> {
    let frame_of_it = publish(&format!("p{number}"), "a.b", ",\"guarantee\":\"at_least_once\"");
    driver.receive(publisher, &frame_of_it);
    let written = driver.answer(subscriber);
    let (_, behind) = written.split_once("\"id\":\"").unwrap_or_else(|| panic!("no event: {written}"));
    let id = &behind[..behind.find('"').unwrap()];
    frame(&format!("{{\"type\":\"ack\",\"id\":\"{id}\"}}"))
}

/// What a step takes when it was done several times before.
fn steady(driver: &mut Driver, mut step: impl FnMut(&mut Driver)) -> AllocationInfo {
    let taken: Vec<AllocationInfo> = (0..5).map(|_| measure(|| step(driver))).collect();
    assert_eq!(taken[3], taken[4], "one step takes as much as the next");
    assert_eq!(taken[4].bytes_current, 0, "and keeps nothing");
    taken[4]
}

#[test]
fn the_subscribers_share_the_bytes_of_an_event() {
    hold(&[("copied_bytes.delivery", copied(1)), ("copied_bytes.delivery_of_16", copied(16))]);
}

/// Bytes copied by delivery, from the order to what the socket is given.
fn copied(publications: usize) -> f64 {
    let mut driver = Driver::new();
    driver.subscribers(SUBSCRIBERS, |_| r#"{"topics":["a.b"]}"#.into());
    let publisher = driver.connect();
    driver.receive(publisher, &publish("1", "a.b", "").repeat(publications));
    driver.work();
    let orders = driver.orders();
    let events: Vec<_> = orders
        .iter()
        .filter_map(|order| if let Order::Broadcast { event, .. } = order { Some(place(&event.frame)) } else { None })
        .collect();
    assert_eq!(events.len(), publications);
    let before = driver.delivered();
    driver.places = Some(BTreeSet::new());
    driver.hand_out(orders);
    assert_eq!((driver.delivered() - before) as usize, SUBSCRIBERS * publications, "all got all");
    let of_events = events.iter().map(|(_, length)| length).sum::<usize>();
    // A response is shorter than any event, and each subscriber's own copy would be one more place.
    let places = driver.places.take().unwrap().into_iter().filter(|(_, length)| *length >= of_events / publications);
    let copies: usize = places.filter(|place| !events.contains(place)).map(|(_, length)| length).sum();
    copies as f64 / (SUBSCRIBERS * publications) as f64
}
