//! A lost peer, in every state: the stream's end and the socket's failure.

use super::peer::{Seen, text};
use super::scene::{Handed, Scene};
use crate::base::{ConnId, Metric, Reason};
use crate::engine::conn::{SocketFault, State};
use crate::engine::work::Order;

fn half_a_request(scene: &mut Scene) -> ConnId {
    let id = scene.accept();
    scene.receive(id, "GET / HTTP/1.1\r\nHo");
    id
}

fn half_a_body(scene: &mut Scene) -> ConnId {
    let id = scene.accept();
    scene.receive(id, "POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 5\r\n\r\nhal");
    id
}

fn between_requests(scene: &mut Scene) -> ConnId {
    let id = scene.verifying();
    scene.answer(id, "served");
    scene.sent(id);
    id
}

fn refused(scene: &mut Scene) -> ConnId {
    let id = scene.accept();
    scene.receive(id, super::peer::upgrade(""));
    id
}

#[test]
fn an_end_of_stream_ends_every_state_with_its_reason() {
    type Make = fn(&mut Scene) -> ConnId;
    let cases: [(Make, Reason, Reason); 9] = [
        (Scene::accept, Reason::HandshakeEof, Reason::HandshakeError),
        (half_a_request, Reason::HandshakeEof, Reason::HandshakeError),
        (half_a_body, Reason::HandshakeEof, Reason::HandshakeError),
        (between_requests, Reason::HttpDone, Reason::HttpDone),
        (Scene::established, Reason::PeerEof, Reason::PeerReset),
        (Scene::connected, Reason::PeerEof, Reason::PeerReset),
        (Scene::heartbeat, Reason::PeerEof, Reason::PeerReset),
        (Scene::closing, Reason::ServerClosed, Reason::ServerClosed),
        (|scene| scene.connected_and_busy(), Reason::PeerEof, Reason::PeerReset),
    ];
    for (make, at_eof, at_reset) in cases {
        let mut scene = Scene::new();
        let id = make(&mut scene);
        let is_websocket = scene.endpoint.connection(id).unwrap().is_websocket();
        scene.handed();
        scene.eof(id);
        scene.expect_end(id, at_eof);
        let told = if is_websocket { vec![Handed::Closed(id, at_eof)] } else { vec![] };
        assert_eq!(scene.handed(), told, "the worker of a WebSocket hears of its end");

        let id = make(&mut scene);
        scene.reset(id);
        // What comes in the same turn is too late.
        scene.eof(id);
        scene.reset(id);
        scene.receive(id, text("late"));
        scene.ready(id);
        scene.respond_unasked(id, "late");
        scene.close(id, Reason::Internal);
        scene.answer(id, "late");
        assert_eq!(scene.sent(id), b"");
        scene.expect_end(id, at_reset);
    }
}

#[test]
fn a_refusal_whose_socket_fails_is_a_failed_handshake() {
    let mut scene = Scene::new();
    let id = refused(&mut scene);
    scene.reset(id);
    assert_eq!(scene.sent(id), b"");
    scene.expect_end(id, Reason::HandshakeError);
    let id = scene.accept();
    scene.endpoint.on_socket_error(id, SocketFault::Tls, scene.now);
    scene.expect_end(id, Reason::TlsFailed);
}

impl Scene {
    /// Connected, with messages under way, messages that wait, and output that is partly out.
    fn connected_and_busy(&mut self) -> ConnId {
        let id = self.connected();
        self.receive(id, (0..5).flat_map(|_| text("message")).collect::<Vec<u8>>());
        self.respond_unasked(id, "a response");
        assert_eq!(self.write(id, 4).len(), 4);
        id
    }
}

#[test]
fn messages_that_wait_are_not_handed_on_after_the_end() {
    let mut scene = Scene::new();
    let id = scene.connected_and_busy();
    assert_eq!(scene.texts().len(), 3);
    scene.reset(id);
    scene.order(Order::Settle { conn: id, count: 3 });
    assert_eq!(scene.texts(), [""; 0]);
    scene.expect_end(id, Reason::PeerReset);
}

#[test]
fn a_worker_that_makes_the_context_late_finds_the_connection_closing() {
    let mut scene = Scene::new();
    let id = scene.established();
    scene.close(id, Reason::AuthenticationFailed);
    scene.ready(id);
    assert_eq!(scene.state(id), State::Closing);
    assert_eq!(scene.frames(id), [Seen::Close(Some(1008), "so ordered".into())]);
    assert_eq!(scene.count(Metric::IMPOSSIBLE_TRANSITIONS), 0);
}
