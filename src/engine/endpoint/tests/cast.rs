//! Broadcasts that are written past the queues: the same bytes as through them.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::peer::{Seen, frames_of};
use super::scene::Scene;
use crate::base::{ConnId, Metric, Reason};
use crate::engine::conn::State;
use crate::engine::outbound::OutboundLimits;
use crate::engine::work::Order;

const ALL: usize = usize::MAX;

fn texts(numbers: impl IntoIterator<Item = u32>) -> Vec<Seen> {
    numbers.into_iter().map(|number| Seen::Text(format!("event {number}"))).collect()
}

fn of(seen: &[(ConnId, Vec<u8>)], id: ConnId) -> Vec<u8> {
    seen.iter().filter(|(to, _)| *to == id).flat_map(|(_, bytes)| bytes.iter().copied()).collect()
}

fn events(scene: &Scene, ids: &[ConnId], numbers: std::ops::Range<u32>) -> Vec<Order> {
    numbers.map(|number| scene.event(ids, "a.b", &format!("event {number}"))).collect()
}

#[test]
fn events_for_the_same_targets_go_out_in_one_write_each() {
    let mut scene = Scene::new();
    let ids = [scene.connected(), scene.connected(), scene.connected()];
    let seen = scene.carry_out(events(&scene, &ids, 0..16), &mut |_| ALL);
    assert_eq!(seen.len(), 3, "one write each: {seen:?}");
    for id in ids {
        assert_eq!(frames_of(&of(&seen, id)), texts(0..16));
        assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
    }
    assert_eq!((scene.count(Metric::EVENTS_DELIVERED), scene.endpoint.outbound_bytes()), (48, 0));
    assert_eq!(scene.endpoint.poll_dirty(), None);
}

#[test]
fn what_a_socket_does_not_take_waits_in_order() {
    for room in 0..40 {
        let mut scene = Scene::new();
        let (slow, quick) = (scene.connected(), scene.connected());
        let mut seen =
            scene.carry_out(events(&scene, &[slow, quick], 0..3), &mut |id| if id == slow { room } else { ALL });
        assert_eq!(frames_of(&of(&seen, quick)), texts(0..3));
        // It said that it is full: what follows waits behind the rest.
        seen.extend(scene.carry_out(events(&scene, &[slow, quick], 3..5), &mut |_| ALL));
        seen.push((slow, scene.write(slow, ALL)));
        assert_eq!(frames_of(&of(&seen, slow)), texts(0..5), "room for {room} bytes");
        assert_eq!(scene.count(Metric::EVENTS_DELIVERED), 10);
    }
}

#[test]
fn who_has_something_waiting_gets_it_first() {
    let mut scene = Scene::new();
    let (busy, idle) = (scene.connected(), scene.connected());
    scene.respond_unasked(busy, "answer");
    let seen = scene.carry_out(events(&scene, &[busy, idle], 0..1), &mut |_| ALL);
    let answer_first = [Seen::Text("answer".into()), Seen::Text("event 0".into())];
    assert_eq!(frames_of(&of(&seen, busy)), answer_first);
    assert_eq!(frames_of(&of(&seen, idle)), texts(0..1));
}

#[test]
fn events_before_a_close_come_before_it() {
    let mut scene = Scene::new();
    let id = scene.connected();
    let mut orders = events(&scene, &[id], 0..2);
    orders.push(Order::Close { conn: id, reason: Reason::Draining, text: "so ordered".into() });
    orders.extend(events(&scene, &[id], 2..3));
    let seen = scene.carry_out(orders, &mut |_| ALL);
    let seen = frames_of(&of(&seen, id));
    assert_eq!(seen[..2], texts(0..2));
    assert!(matches!(&seen[2..], [Seen::Close(..)]), "{seen:?}");
    assert_eq!(scene.state(id), State::Closing);
}

#[test]
fn a_connection_that_is_gone_costs_the_others_nothing() {
    let mut scene = Scene::new();
    let (gone, there) = (scene.connected(), scene.connected());
    scene.reset(gone);
    scene.finished();
    let seen = scene.carry_out(events(&scene, &[gone, there], 0..2), &mut |_| ALL);
    assert_eq!(seen.len(), 1);
    assert_eq!(frames_of(&of(&seen, there)), texts(0..2));
}

#[test]
fn a_long_run_is_put_together_in_pieces_that_an_empty_queue_can_take() {
    let limits = OutboundLimits { bytes_max: 400, frames_max: 7 };
    let mut scene = Scene::with(|settings| settings.outbound = limits);
    let ids = [scene.connected(), scene.connected()];
    let seen = scene.carry_out(events(&scene, &ids, 0..50), &mut |_| ALL);
    for id in ids {
        assert_eq!(frames_of(&of(&seen, id)), texts(0..50), "all of them: the peer reads");
    }
}

/// What happens to four connections.
#[derive(Clone, Debug)]
enum Step {
    /// Events for some of them, one order each.
    Events { to: u8, count: u8, size: u16 },
    /// A response.
    Respond { to: u8 },
    /// The worker has nothing more for now: orders so far are carried out.
    Turn,
    /// The socket takes so many bytes a write from now on.
    Room { to: u8, bytes: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u8..16, 1u8..4, 1u16..300).prop_map(|(to, count, size)| Step::Events { to, count, size }),
        2 => (0u8..4).prop_map(|to| Step::Respond { to }),
        4 => Just(Step::Turn),
        2 => (0u8..4, 0u16..2000).prop_map(|(to, bytes)| Step::Room { to, bytes }),
    ]
}

type Frames = Vec<Vec<u8>>;

/// Frames of the server, as they are.
fn raw_frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Vec::new();
    while let [_, size, ..] = bytes {
        let end = match size {
            126 => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
            127 => panic!("events here are small"),
            size => 2 + usize::from(*size),
        };
        frames.push(bytes[..end].to_vec());
        bytes = &bytes[end..];
    }
    frames
}

/// Carries the steps out, and returns what each connection saw: its events, and its responses. Two of them
/// get compressed events.
fn play(steps: &[Step], straight: bool) -> Vec<(Frames, Frames)> {
    let mut scene = super::deflate::scene(|_| ());
    let mut ids = vec![scene.connected(), scene.connected()];
    ids.push(super::deflate::offering(&mut scene, super::deflate::WIDE).0);
    ids.push(super::deflate::offering(&mut scene, super::deflate::NARROW).0);
    let mut rooms: BTreeMap<ConnId, usize> = ids.iter().map(|id| (*id, ALL)).collect();
    let mut seen: Vec<(ConnId, Vec<u8>)> = Vec::new();
    let (mut orders, mut number) = (Vec::new(), 0);
    for step in steps.iter().chain([&Step::Turn]) {
        match step {
            Step::Events { to, count, size } => {
                let to: Vec<ConnId> = (0..4).filter(|bit| to >> bit & 1 == 1).map(|bit| ids[bit]).collect();
                for _ in 0..*count {
                    number += 1;
                    let text = format!("event {number} {}", "x".repeat(usize::from(*size)));
                    orders.push(scene.event(&to, "a.b", &text));
                }
            }
            Step::Respond { to } => {
                number += 1;
                orders.push(scene.response(ids[usize::from(*to)], &format!("answer {number}")));
            }
            Step::Room { to, bytes } => {
                rooms.insert(ids[usize::from(*to)], usize::from(*bytes));
            }
            Step::Turn => {
                // A socket that was full says when it takes more.
                for id in &ids {
                    let bytes = scene.write(*id, rooms[id]);
                    seen.push((*id, bytes));
                }
                let orders = std::mem::take(&mut orders);
                if straight {
                    seen.extend(scene.carry_out(orders, &mut |id| rooms[&id]));
                } else {
                    scene.endpoint.on_orders(orders, scene.now);
                }
            }
        }
    }
    for id in &ids {
        let bytes = scene.write(*id, ALL);
        seen.push((*id, bytes));
    }
    scene.expect_books();
    let split = |id: &ConnId| {
        let frames = raw_frames(&of(&seen, *id));
        // Responses are too short to be compressed.
        frames.into_iter().partition(|frame| frame[0] & 0x40 != 0 || frame.windows(6).any(|text| text == b"event "))
    };
    ids.iter().map(split).collect()
}

proptest! {
    #[test]
    fn everybody_sees_what_they_would_see_by_way_of_the_queues(steps in prop::collection::vec(step(), 1..60)) {
        prop_assert_eq!(play(&steps, true), play(&steps, false));
    }
}
