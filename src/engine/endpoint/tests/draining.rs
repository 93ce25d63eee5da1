//! The server's stop.

use super::peer::{Seen, close_frame, get, text, upgrade};
use super::scene::{Key, Scene};
use crate::base::{ConnId, Reason};
use crate::engine::conn::State;
use crate::engine::work::Order;

fn draining_close(seen: &Seen) -> u64 {
    let Seen::Close(Some(1001), text) = seen else { panic!("{seen:?}") };
    text.strip_prefix("draining; reconnect_after_ms=").unwrap().parse().unwrap()
}

#[test]
fn everybody_is_told_and_asked_to_come_back_spread_out() {
    let mut scene = Scene::new();
    let ids: Vec<ConnId> = (0..6).map(|_| scene.connected()).collect();
    scene.endpoint.on_drain(scene.now);
    let mut waits = Vec::new();
    for id in ids {
        waits.extend(scene.frames(id).iter().map(draining_close));
        scene.receive(id, close_frame(1001));
        scene.expect_end(id, Reason::Draining);
    }
    waits.sort();
    waits.dedup();
    assert_eq!(waits.len(), 6);
    assert!(waits.iter().all(|wait| *wait < 10_000));
}

#[test]
fn commands_under_way_are_answered_before_the_close() {
    let mut scene = Scene::new();
    let id = scene.connected();
    // Three are under way, one and a half wait.
    let bytes: Vec<u8> = (0..5).flat_map(|number| text(&format!("m{number}"))).collect();
    let (now, later) = bytes.split_at(bytes.len() - 3);
    scene.receive(id, now);
    assert_eq!(scene.texts().len(), 3);
    scene.endpoint.on_drain(scene.now);
    assert!(!scene.endpoint.may_read(id), "nothing new is taken");
    scene.respond(id, "r0");
    scene.order(Order::Settle { conn: id, count: 1 });
    assert_eq!((scene.state(id), scene.frames(id)), (State::Connected, vec![Seen::Text("r0".into())]));
    scene.respond(id, "r2");
    let seen = scene.frames(id);
    assert_eq!(seen[0], Seen::Text("r2".into()));
    draining_close(&seen[1]);
    assert_eq!(scene.texts(), [""; 0]);
    // The peer's answer is found behind the half message.
    assert!(scene.endpoint.may_read(id));
    scene.receive(id, [later, &close_frame(1001)].concat());
    scene.expect_end(id, Reason::Draining);
}

#[test]
fn handshakes_are_refused_and_plain_requests_answered_for_the_last_time() {
    let mut scene = Scene::new();
    let (silent, waiting) = (scene.accept(), scene.verifying());
    scene.endpoint.on_drain(scene.now);
    // Who has asked for nothing has nothing to wait for.
    scene.expect_end(silent, Reason::HttpDone);
    let quiet = scene.accept();
    scene.receive(quiet, upgrade(&format!("Authorization: Key {}\r\n", Key::Good.token())));
    let reply = scene.reply(quiet);
    assert_eq!((reply.status, &*reply.code(), reply.header("Retry-After")), (503, "draining", Some("5")));
    scene.expect_end(quiet, Reason::DrainingAtHandshake);
    scene.answer(waiting, "status");
    assert_eq!(scene.reply(waiting).header("Connection"), Some("close"));
    scene.expect_end(waiting, Reason::HttpDone);
    // Who comes later may still ask how the server is.
    let id = scene.accept();
    scene.receive(id, get("/ready"));
    scene.answer(id, "no");
    assert_eq!(scene.reply(id).header("Connection"), Some("close"));
    scene.expect_end(id, Reason::HttpDone);
}

#[test]
fn a_connection_between_requests_ends_when_its_answer_is_out() {
    let mut scene = Scene::new();
    let (done, unread) = (scene.verifying(), scene.verifying());
    scene.answer(done, "read");
    scene.sent(done);
    scene.answer(unread, "unread");
    scene.endpoint.on_drain(scene.now);
    scene.expect_end(done, Reason::HttpDone);
    assert_eq!(scene.state(unread), State::Connecting);
    assert_eq!(scene.reply(unread).body, "unread");
    scene.expect_end(unread, Reason::HttpDone);
}

#[test]
fn a_second_stop_changes_nothing() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.receive(id, text("command"));
    scene.endpoint.on_drain(scene.now);
    scene.endpoint.on_drain(scene.now);
    scene.close(id, Reason::Disconnected);
    scene.endpoint.on_drain(scene.now);
    scene.respond(id, "answer");
    assert!(matches!(&scene.frames(id)[..], [Seen::Text(_), Seen::Close(Some(1001), _)]), "what was decided stands");
    scene.receive(id, close_frame(1000));
    scene.expect_end(id, Reason::Draining);
}
