//! The close handshake: started by either side or both, and what breaks the protocol.

use super::peer::{CLOSE, PING, Seen, close_frame, frame, frames_of, text};
use super::scene::{CLOSE_S, Handed, Scene, seconds};
use crate::base::{ConnId, Metric, Reason};
use crate::engine::conn::State;
use crate::engine::outbound::Overflow;
use crate::engine::ws::{Control, OpCode};

#[test]
fn a_close_of_the_peer_is_answered_with_its_own_code() {
    for (payload, expected) in [
        (vec![], Seen::Close(None, String::new())),
        (1000u16.to_be_bytes().to_vec(), Seen::Close(Some(1000), String::new())),
        ([&4711u16.to_be_bytes()[..], b"bye"].concat(), Seen::Close(Some(4711), "bye".into())),
    ] {
        let mut scene = Scene::new();
        let id = scene.connected();
        scene.receive(id, [frame(CLOSE, payload), text("too late"), vec![0xFF; 9]].concat());
        assert_eq!(scene.state(id), State::Closing);
        assert_eq!(scene.texts(), [""; 0]);
        assert_eq!(scene.frames(id), [expected]);
        scene.expect_end(id, Reason::PeerClosed);
    }
}

#[test]
fn a_close_of_the_server_ends_when_the_peer_has_answered() {
    for reason in Reason::ALL.iter().copied().filter(|reason| reason.close_code().is_some()) {
        for make in [Scene::established, Scene::connected, Scene::heartbeat] {
            let mut scene = Scene::new();
            let id = make(&mut scene);
            scene.close(id, reason);
            assert_eq!(scene.frames(id), [Seen::Close(reason.close_code(), "so ordered".into())]);
            scene.receive(id, [text("not heard"), frame(PING, "x"), close_frame(1000), text("nor this")].concat());
            // Of a slow consumer the worker hears at once.
            let heard: &[Handed] = if reason == Reason::SlowConsumer { &[Handed::Closed(id, reason)] } else { &[] };
            assert_eq!(scene.handed(), heard);
            scene.expect_end(id, reason);
        }
    }
}

#[test]
fn both_sides_may_close_at_once() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.close(id, Reason::Disconnected);
    scene.receive(id, close_frame(1001));
    assert_eq!(scene.state(id), State::Closing, "ours is not out");
    assert_eq!(scene.frames(id), [Seen::Close(Some(4003), "so ordered".into())], "one close frame, no echo");
    scene.expect_end(id, Reason::Disconnected);

    let id = scene.connected();
    scene.receive(id, close_frame(1001));
    scene.close(id, Reason::Disconnected);
    assert_eq!(scene.frames(id), [Seen::Close(Some(1001), String::new())]);
    scene.expect_end(id, Reason::PeerClosed);
}

#[test]
fn the_first_reason_stays() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.close(id, Reason::CredentialExpired);
    scene.close(id, Reason::Blocked);
    scene.receive(id, [0x81, 0x00]);
    scene.reset(id);
    scene.expect_end(id, Reason::CredentialExpired);
}

#[test]
fn a_peer_that_does_not_answer_is_waited_for_as_long_as_configured() {
    let mut scene = Scene::new();
    let id = scene.closing();
    scene.receive(id, text("still talking"));
    scene.pass(seconds(CLOSE_S - 1));
    assert_eq!(scene.state(id), State::Closing);
    scene.pass(seconds(1));
    scene.expect_end(id, Reason::ServerClosed);
    // The same for one that does not read.
    let id = scene.connected();
    scene.respond_unasked(id, &"x".repeat(100));
    scene.close(id, Reason::ServerClosed);
    assert_eq!(scene.write(id, 50).len(), 50);
    scene.pass(seconds(CLOSE_S));
    scene.expect_end(id, Reason::ServerClosed);
}

impl Scene {
    pub(super) fn respond_unasked(&mut self, id: ConnId, text: &str) {
        self.order(self.response(id, text));
    }
}

#[test]
fn what_was_queued_goes_out_before_an_ordered_close() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.broadcast(&[id], "a.b", "event", Overflow::Disconnect, false);
    scene.respond_unasked(id, "response");
    scene.close(id, Reason::ServerClosed);
    scene.respond_unasked(id, "behind the close");
    scene.broadcast(&[id], "a.b", "behind the close", Overflow::Disconnect, false);
    let sent =
        [Seen::Text("response".into()), Seen::Text("event".into()), Seen::Close(Some(1000), "so ordered".into())];
    assert_eq!(scene.frames(id), sent);
}

#[test]
fn violations_are_told_and_end_without_waiting_for_an_answer() {
    let reserved = frame(OpCode::Control(Control::Reserved(0xB)), "");
    for (bytes, code, reason) in [
        (vec![0x81, 0x01, b'x'], 1002, Reason::ProtocolError),
        (vec![0xC1, 0x80, 0, 0, 0, 0], 1002, Reason::ProtocolError),
        (reserved, 1002, Reason::ProtocolError),
        (frame(CLOSE, [3]), 1002, Reason::ProtocolError),
        (close_frame(1005), 1002, Reason::ProtocolError),
        (frame(super::peer::TEXT, [0xFF]), 1007, Reason::InvalidUtf8),
        (frame(super::peer::BINARY, [0; 1001]), 1009, Reason::MessageTooLarge),
    ] {
        for make in [Scene::established, Scene::connected, Scene::heartbeat] {
            let mut scene = Scene::new();
            let id = make(&mut scene);
            scene.broadcast(&[id], "a.b", "of no use now", Overflow::Disconnect, false);
            scene.receive(id, [text("good"), bytes.clone(), text("unheard")].concat());
            assert_eq!(scene.texts(), ["good"]);
            // What was right before is still answered, and only then is the connection closed.
            assert!(scene.state(id).is_open());
            scene.respond(id, "answer");
            assert_eq!(scene.state(id), State::Closing);
            let seen = scene.frames(id);
            assert!(
                matches!(&seen[..], [Seen::Text(_), Seen::Close(Some(sent), text)] if *sent == code && !text.is_empty()),
                "{seen:?}"
            );
            let finished = scene.finished();
            assert_eq!((finished[0].reason, finished[0].lingers), (reason, true), "the peer may still be sending");
            scene.handed();
            scene.expect_nothing_left();
        }
    }
}

#[test]
fn a_violation_does_not_wait_for_an_answer_beyond_the_close_timeout() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.receive(id, [text("never answered"), vec![0x81, 0x01, b'x']].concat());
    assert!(scene.frames(id).is_empty());
    scene.pass(super::scene::settings().close_timeout);
    assert!(matches!(&scene.frames(id)[..], [Seen::Close(Some(1002), _)]));
    scene.expect_end(id, Reason::ProtocolError);
}

#[test]
fn a_violation_after_our_close_ends_the_wait_and_keeps_the_reason() {
    for is_out in [false, true] {
        let mut scene = Scene::new();
        let id = scene.connected();
        scene.close(id, Reason::Disconnected);
        if is_out {
            scene.sent(id);
        }
        scene.receive(id, [0x81, 0x01, b'x']);
        if !is_out {
            assert_eq!(scene.frames(id), [Seen::Close(Some(4003), "so ordered".into())]);
        }
        scene.expect_end(id, Reason::Disconnected);
        assert_eq!(scene.count(Metric::WS_VIOLATIONS), 0, "it was not closed for that");
    }
}

#[test]
fn a_violation_amid_a_frame_under_way_keeps_the_stream_whole() {
    let mut scene = Scene::new();
    let id = scene.connected();
    for text in ["first", "second"] {
        scene.broadcast(&[id], "a.b", text, Overflow::Disconnect, false);
    }
    let mut sent = scene.write(id, 3);
    scene.receive(id, [0x81, 0x01, b'x']);
    sent.extend(scene.sent(id));
    let seen = frames_of(&sent);
    assert_eq!(seen[0], Seen::Text("first".into()));
    assert!(matches!(seen[1..], [Seen::Close(Some(1002), _)]), "{seen:?}");
}

#[test]
fn the_peers_close_frame_is_found_behind_messages_that_wait() {
    let mut scene = Scene::new();
    let id = scene.connected();
    let many: Vec<u8> = (0..6).flat_map(|number| text(&format!("message {number}"))).collect();
    // The last message comes in halves: the close frame starts where it really starts.
    let (begun, rest) = many.split_at(many.len() - 4);
    scene.receive(id, begun);
    assert_eq!(scene.texts().len(), 3);
    assert!(!scene.endpoint.may_read(id));
    scene.close(id, Reason::ServerClosed);
    for _ in 0..3 {
        assert_eq!(scene.state(id), State::Connected, "what was asked is answered first");
        scene.respond(id, "answer");
    }
    scene.sent(id);
    assert!(scene.endpoint.may_read(id), "the close frame is to be found");
    scene.receive(id, [rest, &close_frame(1000)].concat());
    assert_eq!(scene.texts(), [""; 0]);
    scene.expect_end(id, Reason::ServerClosed);
}

#[test]
fn a_close_frame_that_waits_itself_counts_once_the_server_closes() {
    let mut scene = Scene::new();
    let id = scene.connected();
    let many: Vec<u8> = (0..4).flat_map(|number| text(&format!("message {number}"))).collect();
    scene.receive(id, [many, close_frame(1000)].concat());
    scene.close(id, Reason::ServerClosed);
    for _ in 0..3 {
        scene.respond(id, "answer");
    }
    assert_eq!(scene.frames(id).len(), 4);
    scene.expect_end(id, Reason::ServerClosed);
}

#[test]
fn a_peer_that_closes_and_ends_its_stream_gets_its_answer() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.receive(id, close_frame(1000));
    scene.eof(id);
    assert_eq!(scene.frames(id), [Seen::Close(Some(1000), String::new())]);
    scene.expect_end(id, Reason::PeerClosed);
    // Unless it does not read it.
    let id = scene.connected();
    scene.receive(id, close_frame(1000));
    scene.eof(id);
    scene.pass(seconds(CLOSE_S));
    scene.expect_end(id, Reason::PeerClosed);
}

#[test]
fn late_orders_for_a_place_that_was_given_on_reach_nobody() {
    let mut scene = Scene::new();
    let old = scene.connected();
    scene.reset(old);
    scene.expect_end(old, Reason::PeerReset);
    scene.handed();
    let new = scene.connected();
    assert_eq!((new.slot(), new == old), (old.slot(), false));
    scene.respond(old, "late");
    scene.close(old, Reason::Disconnected);
    scene.broadcast(&[old], "a.b", "late", Overflow::Disconnect, false);
    scene.answer(old, "late");
    scene.eof(old);
    scene.reset(old);
    scene.receive(old, text("late"));
    assert_eq!((scene.state(new), scene.sent(new)), (State::Connected, vec![]));
    assert!(!scene.endpoint.may_read(old));
    assert_eq!(scene.handed(), []);
}
