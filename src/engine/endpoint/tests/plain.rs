//! Plain HTTP: answers in order, keep-alive, limits, and peers that are slow or half gone.

use super::peer::{get, reply_of, upgrade};
use super::scene::{CLOSE_S, HANDSHAKE_S, KEEP_ALIVE_S, Scene, seconds};
use crate::base::{ConnId, Reason};
use crate::engine::conn::State;

fn asked(scene: &mut Scene) -> Vec<String> {
    scene.endpoint.requests().drain(..).map(|request| request.head.path).collect()
}

#[test]
fn pipelined_requests_are_answered_one_by_one_in_order() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.receive(id, [get("/a"), get("/b"), get("/c")].concat());
    for (path, more) in [("/a", true), ("/b", true), ("/c", false)] {
        assert_eq!(asked(&mut scene), [path]);
        assert!(!scene.endpoint.may_read(id), "an answer is awaited");
        scene.answer(id, path);
        assert_eq!(asked(&mut scene), [""; 0], "the next waits until this answer is out");
        assert!(!scene.endpoint.may_read(id));
        let reply = scene.reply(id);
        assert_eq!((reply.status, &*reply.body, reply.header("Connection")), (200, path, Some("keep-alive")));
        assert_eq!(scene.state(id), if more { State::Verifying } else { State::Connecting });
    }
    assert_eq!(scene.endpoint.poll_readable(), Some(id));
    assert!(scene.endpoint.may_read(id));
    scene.pass(seconds(KEEP_ALIVE_S));
    scene.expect_end(id, Reason::HttpDone);
}

#[test]
fn a_peer_that_asks_and_does_not_read_costs_one_answer() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.receive(id, get("/a").repeat(20));
    scene.endpoint.requests().clear();
    scene.answer(id, &"x".repeat(3000));
    assert_eq!(scene.write(id, 1000).len(), 1000);
    let waiting = scene.endpoint.outbound_bytes();
    assert!((2000..3000).contains(&waiting));
    assert_eq!(asked(&mut scene), [""; 0]);
    // Reading a little buys time to read the rest; nothing more does.
    scene.pass(seconds(KEEP_ALIVE_S - 1));
    assert_eq!(scene.write(id, 1000).len(), 1000);
    scene.pass(seconds(KEEP_ALIVE_S - 1));
    assert_eq!(scene.state(id), State::Connecting);
    scene.pass(seconds(1));
    scene.expect_end(id, Reason::HttpDone);
}

#[test]
fn an_upgrade_may_follow_plain_requests() {
    let mut scene = Scene::with(|settings| settings.auth_required = false);
    let id = scene.accept();
    scene.receive(id, [get("/a"), upgrade("")].concat());
    scene.answer(id, "a");
    assert_eq!(scene.reply_then_rest(id), 200);
    assert_eq!(scene.state(id), State::Established);
    assert_eq!(scene.reply(id).status, 101);
}

impl Scene {
    /// Writes one answer alone, and gives its status.
    fn reply_then_rest(&mut self, id: ConnId) -> u16 {
        let waiting = self.endpoint.outbound_bytes();
        let bytes = self.write(id, waiting);
        let (reply, rest) = reply_of(&bytes);
        assert!(rest.is_empty());
        reply.status
    }
}

#[test]
fn the_last_answer_says_so_and_ends_the_connection() {
    for request in
        [get("/a").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n"), "GET /a HTTP/1.0\r\n\r\n".to_string()]
    {
        let mut scene = Scene::new();
        let id = scene.accept();
        scene.receive(id, &request);
        scene.answer(id, "bye");
        assert_eq!(scene.state(id), State::Verifying, "until it is out");
        let reply = scene.reply(id);
        assert_eq!((reply.header("Connection"), &*reply.body), (Some("close"), "bye"));
        let finished = scene.finished();
        assert_eq!((finished[0].reason, finished[0].lingers), (Reason::HttpDone, true));
        scene.expect_nothing_left();
    }
}

#[test]
fn a_head_is_answered_without_a_body_also_when_it_is_refused() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.receive(id, get("/a").replace("GET", "HEAD"));
    scene.answer(id, "four");
    let sent = String::from_utf8(scene.sent(id)).unwrap();
    assert!(sent.contains("Content-Length: 4\r\n") && sent.ends_with("\r\n\r\n"), "{sent}");
    scene.receive(id, get("/ws").replace("GET", "HEAD"));
    let sent = String::from_utf8(scene.sent(id)).unwrap();
    assert!(sent.starts_with("HTTP/1.1 426 ") && sent.ends_with("\r\n\r\n"), "{sent}");
    scene.expect_end(id, Reason::UpgradeRequired);
}

#[test]
fn a_request_that_does_not_arrive_in_time_fails() {
    let post = "POST /a HTTP/1.1\r\nHost: here\r\nContent-Length: 10\r\n\r\nhalf";
    for (bytes, answered) in [("", false), ("GET / HTTP/1.1\r\nHo", true), (post, true)] {
        let mut scene = Scene::new();
        let id = scene.accept();
        scene.receive(id, bytes);
        scene.pass(seconds(HANDSHAKE_S - 1));
        assert!(!scene.state(id).is_terminal());
        scene.pass(seconds(1));
        if answered {
            let reply = scene.reply(id);
            assert_eq!((reply.status, &*reply.code()), (408, "handshake_timeout"));
        }
        scene.expect_end(id, Reason::HandshakeTimeout);
    }
}

#[test]
fn bytes_now_and_then_do_not_stretch_the_handshake() {
    let mut scene = Scene::new();
    let id = scene.accept();
    for byte in get("/a").bytes().take(usize::try_from(HANDSHAKE_S).unwrap()) {
        scene.receive(id, [byte]);
        scene.pass(seconds(1));
    }
    assert_eq!(scene.reply(id).status, 408);
    scene.expect_end(id, Reason::HandshakeTimeout);
}

#[test]
fn a_request_after_the_first_gets_the_time_of_a_first_one() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.receive(id, get("/a"));
    scene.answer(id, "a");
    scene.sent(id);
    scene.pass(seconds(KEEP_ALIVE_S - 1));
    scene.receive(id, "GET");
    scene.pass(seconds(HANDSHAKE_S - 1));
    assert_eq!(scene.state(id), State::Connecting);
    scene.pass(seconds(1));
    assert_eq!(scene.reply(id).status, 408);
    scene.expect_end(id, Reason::HandshakeTimeout);
}

#[test]
fn bodies_are_passed_over_up_to_their_limit() {
    let head = |length: &str| format!("POST /a HTTP/1.1\r\nHost: here\r\n{length}\r\n\r\n");
    let mut scene = Scene::new();
    let id = scene.accept();
    for (request, body) in [
        (head("Content-Length: 100"), "x".repeat(100)),
        (head("Transfer-Encoding: chunked"), "5\r\nhello\r\n0\r\n\r\n".to_string()),
        (head("Content-Length: 3\r\nExpect: 100-continue"), "abc".to_string()),
    ] {
        scene.receive(id, &request);
        assert_eq!(scene.state(id), State::Verifying);
        assert!(scene.endpoint.may_read(id), "its body is read");
        if request.contains("Expect") {
            assert_eq!(scene.reply(id).status, 100);
        }
        for byte in body.bytes() {
            assert_eq!(asked(&mut scene), [""; 0]);
            scene.receive(id, [byte]);
        }
        assert_eq!(asked(&mut scene), ["/a"]);
        scene.answer(id, "done");
        assert_eq!(scene.reply(id).status, 200);
    }
    scene.receive(id, head("Content-Length: 101\r\nExpect: 100-continue"));
    let reply = scene.reply(id);
    assert_eq!((reply.status, &*reply.code()), (413, "too_large"));
    scene.expect_end(id, Reason::BodyTooLarge);
}

#[test]
fn what_comes_behind_a_refusal_is_read_and_thrown_away() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.receive(id, "POST /a HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel");
    scene.receive(id, "lo\r\nZ\r\n");
    for _ in 0..10 {
        assert!(scene.endpoint.may_read(id), "so that the answer is not reset under way");
        scene.receive(id, "x".repeat(1000));
    }
    scene.eof(id);
    assert_eq!(scene.state(id), State::Verifying, "a peer that ended its stream still reads");
    assert_eq!(scene.reply(id).status, 400);
    let finished = scene.finished();
    assert_eq!((finished[0].reason, finished[0].lingers), (Reason::BadRequest, true));
    scene.expect_nothing_left();
}

#[test]
fn a_refusal_that_is_not_read_ends_with_the_close_timeout() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.receive(id, "nonsense\r\n\r\n");
    assert_eq!(scene.write(id, 10).len(), 10);
    scene.pass(seconds(CLOSE_S - 1));
    assert_eq!(scene.state(id), State::Connecting);
    scene.pass(seconds(1));
    scene.expect_end(id, Reason::BadRequest);
}

#[test]
fn a_peer_that_ends_its_stream_behind_its_request_gets_the_answer() {
    // While it is awaited.
    let mut scene = Scene::new();
    let id = scene.verifying();
    scene.eof(id);
    scene.answer(id, "late");
    let reply = scene.reply(id);
    assert_eq!((reply.header("Connection"), &*reply.body), (Some("close"), "late"));
    scene.expect_end(id, Reason::HttpDone);
    // While it waits to be written.
    let id = scene.verifying();
    scene.answer(id, "late");
    scene.eof(id);
    assert_eq!(scene.reply(id).body, "late");
    scene.expect_end(id, Reason::HttpDone);
}

#[test]
fn answers_for_nobody_are_ignored() {
    let mut scene = Scene::new();
    let id = scene.accept();
    scene.answer(id, "early");
    assert_eq!(scene.sent(id), b"");
    scene.receive(id, get("/a"));
    scene.answer(id, "one");
    scene.answer(id, "two");
    assert_eq!(scene.reply(id).body, "one");
    let websocket = scene.connected();
    scene.answer(websocket, "none");
    assert_eq!(scene.sent(websocket), b"");
}

#[test]
fn nothing_is_held_for_a_connection_between_requests() {
    let mut scene = Scene::new();
    let id = scene.accept();
    for _ in 0..3 {
        scene.receive(id, get("/a"));
        scene.answer(id, "a");
        scene.sent(id);
        assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
    }
}
