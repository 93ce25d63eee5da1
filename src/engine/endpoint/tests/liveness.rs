//! Pings and idleness.

use super::peer::{PING, PONG, Seen, close_frame, frame, text};
use super::scene::{CLOSE_S, IDLE_S, PING_S, Scene, seconds};
use crate::base::{Metric, Reason};
use crate::engine::conn::State;

#[test]
fn silence_is_asked_after_and_then_taken_for_an_end() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.pass(seconds(PING_S - 1));
    assert_eq!((scene.state(id), scene.sent(id)), (State::Connected, vec![]));
    scene.pass(seconds(1));
    assert_eq!((scene.state(id), scene.frames(id)), (State::Heartbeat, vec![Seen::Ping]));
    scene.pass(seconds(IDLE_S - PING_S - 1));
    assert_eq!((scene.state(id), scene.sent(id)), (State::Heartbeat, vec![]));
    scene.pass(seconds(1));
    assert_eq!(scene.state(id), State::Closing);
    assert_eq!(scene.count(Metric::STATE_ENTERED.at(State::Inactive as usize)), 1);
    assert!(matches!(scene.frames(id)[..], [Seen::Close(Some(4002), _)]));
    scene.pass(seconds(CLOSE_S));
    scene.expect_end(id, Reason::Idle);
    assert_eq!(scene.count(Metric::PINGS_OUT), 1);
}

#[test]
fn a_peer_that_wakes_up_at_the_last_moment_can_still_answer_the_close() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.pass(seconds(IDLE_S));
    scene.sent(id);
    scene.receive(id, close_frame(4002));
    scene.expect_end(id, Reason::Idle);
}

#[test]
fn any_bytes_end_a_heartbeat() {
    for bytes in [frame(PONG, ""), frame(PING, "x"), text("message"), vec![0x81]] {
        let mut scene = Scene::new();
        let id = scene.heartbeat();
        scene.pass(seconds(IDLE_S - PING_S - 1));
        scene.receive(id, bytes);
        assert_eq!(scene.state(id), State::Connected);
        scene.sent(id);
        // The intervals begin anew.
        scene.pass(seconds(PING_S - 1));
        assert_eq!(scene.state(id), State::Connected);
        scene.pass(seconds(1));
        assert_eq!((scene.state(id), scene.frames(id)), (State::Heartbeat, vec![Seen::Ping]));
        scene.pass(seconds(IDLE_S - PING_S));
        assert_eq!(scene.reason(id), Some(Reason::Idle));
    }
}

#[test]
fn a_peer_that_talks_is_not_pinged() {
    let mut scene = Scene::new();
    let id = scene.connected();
    for _ in 0..10 {
        scene.pass(seconds(PING_S - 1));
        scene.receive(id, frame(PONG, ""));
    }
    assert_eq!((scene.state(id), scene.count(Metric::PINGS_OUT)), (State::Connected, 0));
}

#[test]
fn pings_are_answered_with_their_payload() {
    let mut scene = Scene::new();
    let id = scene.established();
    scene.receive(id, [frame(PING, "one"), frame(PONG, "unasked"), frame(PING, "")].concat());
    assert_eq!(scene.frames(id), [Seen::Pong(b"one".to_vec()), Seen::Pong(vec![])]);
    assert_eq!(scene.count(Metric::PINGS_IN), 2);
}

#[test]
fn after_a_stop_of_the_process_peers_get_the_time_to_answer() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.jump(seconds(10 * IDLE_S));
    assert_eq!((scene.state(id), scene.frames(id)), (State::Heartbeat, vec![Seen::Ping]));
    scene.pass(seconds(1));
    scene.receive(id, frame(PONG, ""));
    assert_eq!(scene.state(id), State::Connected);
}

#[test]
fn a_peer_whose_bytes_are_not_read_is_not_called_idle() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.receive(id, (0..3).flat_map(|_| text("long work")).collect::<Vec<u8>>());
    for _ in 0..4 {
        // Pongs arrive, and stay in the socket.
        assert!(!scene.endpoint.may_read(id));
        scene.pass(seconds(IDLE_S));
        scene.sent(id);
    }
    assert!(scene.state(id).is_open());
    scene.respond(id, "done");
    assert_eq!(scene.endpoint.poll_readable(), Some(id));
    assert!(scene.endpoint.may_read(id));
    scene.pass(seconds(2 * IDLE_S));
    assert_eq!(scene.reason(id), Some(Reason::Idle), "now its silence counts");
}

#[test]
fn a_peer_that_neither_reads_nor_talks_is_idle() {
    let mut scene = Scene::new();
    let id = scene.connected();
    for _ in 0..3 {
        scene.respond_unasked(id, "unread");
    }
    assert_eq!(scene.write(id, 2).len(), 2);
    for _ in 0..2 {
        scene.respond_unasked(id, "unread");
    }
    assert!(!scene.endpoint.may_read(id));
    scene.pass(seconds(IDLE_S));
    assert_eq!(scene.reason(id), Some(Reason::Idle));
    scene.pass(seconds(CLOSE_S));
    scene.expect_end(id, Reason::Idle);
}
