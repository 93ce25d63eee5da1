//! Slow consumers: what each policy does at the limit, and when the reactor's budget is used up.

use super::peer::{PING, Seen, frame, text};
use super::scene::{CLOSE_S, Handed, Scene, seconds};
use crate::base::{Metric, Reason};
use crate::engine::conn::State;
use crate::engine::endpoint::Taken;
use crate::engine::outbound::{OutboundLimits, Overflow};
use crate::engine::work::Order;

fn small() -> Scene {
    Scene::with(|settings| settings.outbound = OutboundLimits { bytes_max: 200, frames_max: 50 })
}

#[test]
fn a_slow_consumer_is_closed_where_the_policy_says_so() {
    let mut scene = small();
    let (slow, quick) = (scene.connected(), scene.connected());
    for number in 0..9 {
        scene.broadcast(&[slow, quick], "a.b", &format!("{number}{}", "x".repeat(39)), Overflow::Disconnect, false);
        if number == 0 {
            assert_eq!(scene.write(slow, 10).len(), 10);
        }
        assert_eq!(scene.frames(quick).len(), 1, "others are not held up");
    }
    assert_eq!((scene.state(slow), scene.reason(slow)), (State::Closing, Some(Reason::SlowConsumer)));
    let seen = scene.sent(slow);
    let seen = super::peer::frames_of(&seen[32..]);
    assert!(matches!(&seen[..], [Seen::Close(Some(1013), _)]), "the frame under way, and the close frame: {seen:?}");
    scene.pass(seconds(CLOSE_S));
    scene.expect_end(slow, Reason::SlowConsumer);
    assert!(scene.count(Metric::EVENTS_DROPPED.at(2)) > 0);
}

#[test]
fn dropped_events_are_told_once_the_consumer_has_caught_up() {
    let mut scene = small();
    let id = scene.connected();
    for number in 0..9 {
        scene.broadcast(&[id], "a.b", &format!("{number}{}", "x".repeat(39)), Overflow::DropOldest, false);
    }
    assert_eq!(scene.handed(), []);
    let Seen::Text(last) = scene.frames(id).pop().unwrap() else { panic!("events are texts") };
    assert!(last.starts_with('8'), "the newest is kept");
    assert_eq!(scene.handed(), [Handed::Dropped(id, 5)]);
    assert_eq!(scene.count(Metric::EVENTS_DROPPED), 5);
    assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
}

#[test]
fn conflation_keeps_the_newest_of_a_topic_while_the_consumer_is_slow() {
    let mut scene = small();
    let id = scene.connected();
    scene.broadcast(&[id], "a.b", "begun", Overflow::Disconnect, true);
    let mut sent = scene.write(id, 2);
    for number in 0..100 {
        scene.broadcast(&[id], "a.b", &format!("b{number}"), Overflow::Disconnect, true);
        scene.broadcast(&[id], "a.c", &format!("c{number}"), Overflow::Disconnect, true);
    }
    sent.extend(scene.sent(id));
    let texts = ["begun", "b99", "c99"].map(|text| Seen::Text(text.into()));
    assert_eq!(super::peer::frames_of(&sent), texts);
}

#[test]
fn large_answers_to_what_was_asked_at_once_are_all_sent() {
    let mut scene = small();
    let id = scene.connected();
    let asked: Vec<u8> = (0..3).flat_map(|number| text(&format!("message {number}"))).collect();
    scene.receive(id, asked);
    for _ in 0..3 {
        scene.respond(id, &"r".repeat(190));
    }
    assert_eq!(scene.reason(id), None);
    assert!(!scene.endpoint.may_read(id), "nothing more is asked while they wait");
    assert_eq!(scene.frames(id).len(), 3);
    assert!(scene.endpoint.may_read(id));
}

#[test]
fn responses_and_pongs_that_are_not_read_close_too() {
    let mut scene = Scene::with(|settings| settings.outbound_total_max = 250);
    let id = scene.connected();
    for _ in 0..6 {
        scene.respond_unasked(id, &"r".repeat(48));
    }
    assert_eq!(scene.reason(id), Some(Reason::SlowConsumer));

    let id = scene.connected();
    scene.respond_unasked(id, &"r".repeat(130));
    scene.receive(id, [frame(PING, [b'p'; 125]), super::peer::close_frame(1000)].concat());
    assert_eq!(scene.reason(id), Some(Reason::SlowConsumer));
    scene.sent(id);
    assert_eq!(scene.state(id), State::Closed, "the peer's close frame was found behind the ping");
}

#[test]
fn when_all_queues_together_hold_too_much_each_may_hold_less() {
    let mut scene = Scene::with(|settings| {
        settings.outbound = OutboundLimits { bytes_max: 1_000_000, frames_max: 1000 };
        settings.outbound_total_max = 150_000;
    });
    let (one, two) = (scene.connected(), scene.connected());
    let block = "x".repeat(50_000);
    for _ in 0..3 {
        scene.broadcast(&[one], "a.b", &block, Overflow::Disconnect, false);
    }
    assert_eq!((scene.reason(one), scene.endpoint.outbound_bytes() > 150_000), (None, true));
    scene.broadcast(&[two], "a.b", &block, Overflow::Disconnect, false);
    assert_eq!(scene.reason(two), None, "it holds little itself");
    scene.broadcast(&[two], "a.b", &block, Overflow::Disconnect, false);
    assert_eq!(scene.reason(two), Some(Reason::SlowConsumer));
    scene.broadcast(&[one], "a.b", &block, Overflow::Disconnect, false);
    assert_eq!(scene.reason(one), Some(Reason::SlowConsumer));
}

#[test]
fn a_burst_is_not_held_against_a_peer_that_was_not_written_to() {
    let mut scene = small();
    let (id, other) = (scene.connected(), scene.connected());
    let orders: Vec<Order> = (0..20).map(|number| scene.event(&[id, other], "a.b", &format!("{number:060}"))).collect();
    let mut orders = orders.into_iter();
    let (mut sent, mut pauses) = (Vec::new(), 0);
    while scene.endpoint.take_orders(&mut orders, scene.now) == Taken::Pressed {
        pauses += 1;
        sent.extend(scene.sent(id));
        scene.sent(other);
    }
    sent.extend(scene.sent(id));
    assert!(pauses > 3, "{pauses}");
    let texts: Vec<Seen> = (0..20).map(|number| Seen::Text(format!("{number:060}"))).collect();
    assert_eq!(super::peer::frames_of(&sent), texts, "all of them, in order, once");
    assert_eq!((scene.reason(id), scene.reason(other)), (None, None));
}
