//! Who is read from and who is not: messages under way, full workers, peers that do not read.

use super::peer::{BINARY, PING, Seen, frame, text};
use super::scene::{Handed, Scene};
use crate::base::{ConnId, Metric, Reason, WorkerId};
use crate::engine::work::{Order, worker_of};

fn numbered(range: std::ops::Range<usize>) -> Vec<u8> {
    range.flat_map(|number| text(&format!("m{number}"))).collect()
}

#[test]
fn too_many_messages_under_way_hold_the_rest_back_without_loss() {
    let mut scene = Scene::new();
    let id = scene.connected();
    scene.receive(id, numbered(0..20));
    assert_eq!(scene.texts(), ["m0", "m1", "m2"]);
    assert!(!scene.endpoint.may_read(id));
    assert_eq!(scene.endpoint.poll_readable(), None);
    let mut expected = 3;
    for settled in 0..20 {
        // Some are answered and some are not.
        if settled % 3 == 0 {
            scene.order(Order::Settle { conn: id, count: 1 });
        } else {
            scene.respond(id, "done");
            scene.sent(id);
        }
        let next: Vec<String> = (expected..20.min(expected + 1)).map(|number| format!("m{number}")).collect();
        assert_eq!(scene.texts(), next);
        expected += next.len();
    }
    assert_eq!(scene.endpoint.poll_readable(), Some(id));
    assert!(scene.endpoint.may_read(id));
    assert_eq!(scene.endpoint.connection(id).unwrap().held_bytes(), 0);
}

#[test]
fn few_messages_of_many_bytes_hold_the_rest_back_too() {
    let mut scene = Scene::with(|settings| {
        settings.in_flight_max = 1000;
        settings.frames.frame_bytes_max = 400_000;
        settings.frames.message_bytes_max = 400_000;
    });
    let id = scene.connected();
    let large = text(&"x".repeat(150_000));
    let mut stream: Vec<u8> = large.repeat(5);
    stream.extend(numbered(0..20));
    scene.receive(id, stream);
    // Two are fewer bytes than the largest message may have, three are not.
    assert_eq!(scene.texts().len(), 3);
    assert!(!scene.endpoint.may_read(id));
    scene.order(Order::Settle { conn: id, count: 1 });
    assert_eq!(scene.texts().len(), 1);
    assert_eq!(scene.endpoint.poll_readable(), None);
    scene.order(Order::Settle { conn: id, count: 2 });
    let texts = scene.texts();
    assert_eq!((texts[0].len(), &texts[1..3]), (150_000, &["m0".to_owned(), "m1".to_owned()][..]));
    assert_eq!(texts.len(), 21);
    assert!(scene.endpoint.may_read(id));
}

#[test]
fn messages_of_both_kinds_keep_their_order_across_a_pause_and_a_split() {
    let mut scene = Scene::new();
    let id = scene.connected();
    let mut bytes = numbered(0..3);
    bytes.extend(frame(BINARY, [1, 2, 3]));
    bytes.extend(text("after"));
    let rest = bytes.split_off(bytes.len() - 5);
    scene.receive(id, bytes);
    assert_eq!(scene.handed().len(), 3);
    scene.receive(id, rest);
    scene.order(Order::Settle { conn: id, count: 3 });
    assert_eq!(scene.handed(), [Handed::Binary(id, vec![1, 2, 3]), Handed::Text(id, "after".into())]);
}

#[test]
fn a_full_worker_holds_back_its_own_connections_and_no_others() {
    let mut scene = Scene::new();
    let ids: Vec<ConnId> = (0..4).map(|_| scene.connected()).collect();
    let request = scene.accept();
    let full = WorkerId(1);
    scene.endpoint.on_stall(full, true);
    scene.endpoint.on_stall(full, true);
    assert_eq!(scene.count(Metric::QUEUE_FULL), 1);
    let mut held = Vec::new();
    for id in &ids {
        let is_free = worker_of(*id, 2) != full;
        for _ in 0..3 {
            assert_eq!(scene.endpoint.may_read(*id), is_free);
        }
        held.extend((!is_free).then_some(*id));
    }
    assert_eq!(held.len(), 2);
    assert!(scene.endpoint.may_read(request), "a plain request needs no worker");
    assert_eq!(scene.endpoint.poll_readable(), None);
    scene.endpoint.on_stall(full, false);
    let mut readable: Vec<ConnId> = std::iter::from_fn(|| scene.endpoint.poll_readable()).collect();
    readable.sort();
    assert_eq!(readable, held, "each once");
    assert!(held.iter().all(|id| scene.endpoint.may_read(*id)));
}

#[test]
fn a_connection_that_ends_while_its_worker_is_full_is_not_named_again() {
    let mut scene = Scene::new();
    let id = scene.connected();
    let worker = worker_of(id, 2);
    scene.endpoint.on_stall(worker, true);
    assert!(!scene.endpoint.may_read(id));
    scene.reset(id);
    scene.expect_end(id, Reason::PeerReset);
    scene.endpoint.on_stall(worker, false);
    assert_eq!(scene.endpoint.poll_readable(), None);
}

#[test]
fn a_peer_that_pings_and_does_not_read_is_held_back_until_it_reads() {
    let mut scene = Scene::new();
    let id = scene.connected();
    let pings: Vec<u8> = (0..8).flat_map(|number| frame(PING, format!("p{number}"))).collect();
    scene.receive(id, [pings, text("last")].concat());
    assert!(!scene.endpoint.may_read(id));
    assert_eq!(scene.texts(), [""; 0]);
    let mut seen = Vec::new();
    while !scene.endpoint.may_read(id) {
        let frames = scene.frames(id);
        assert!(!frames.is_empty(), "it is not stuck");
        seen.extend(frames);
    }
    seen.extend(scene.frames(id));
    assert_eq!(seen, (0..8).map(|number| Seen::Pong(format!("p{number}").into_bytes())).collect::<Vec<_>>());
    assert_eq!(scene.texts(), ["last"]);
}

#[test]
fn whoever_has_something_to_write_is_named_once() {
    let mut scene = Scene::new();
    let id = scene.connected();
    for _ in 0..3 {
        scene.respond_unasked(id, "response");
    }
    assert_eq!((scene.endpoint.poll_dirty(), scene.endpoint.poll_dirty()), (Some(id), None));
    assert_eq!(scene.write(id, 5).len(), 5);
    scene.respond_unasked(id, "response");
    assert_eq!(scene.endpoint.poll_dirty(), None, "the socket is full: its own readiness comes first");
    assert_eq!(scene.frames_after(id, 5).len(), 4);
    scene.respond_unasked(id, "response");
    assert_eq!(scene.endpoint.poll_dirty(), Some(id));
}

impl Scene {
    /// The frames of what follows the first bytes of a response.
    fn frames_after(&mut self, id: ConnId, begun: usize) -> Vec<Seen> {
        let first = crate::engine::ws::encoder::text(b"response");
        let bytes = [&first[..begun], &self.sent(id)].concat();
        super::peer::frames_of(&bytes)
    }
}
