//! How connections come to signaling, change to it, and are told of a stop.

use super::peer::{Seen, close_frame, text, upgrade_of};
use super::scene::{Handed, Key, Scene};
use crate::base::{ConnId, DialectId, Metric, Reason};
use crate::engine::conn::{Settings, SignalingDoor};
use crate::engine::outbound::OutboundLimits;
use crate::engine::work::{Item, Order, worker_of};

use DialectId::{Echo, Hydrogen, Signaling};

fn open_door(settings: &mut Settings) {
    let (paths, protocols) = (vec!["/rooms".into()], vec!["govpn".into()]);
    settings.signaling = Some(SignalingDoor { paths, protocols, needs_key: false });
}

/// A handshake; without protocols it offers none.
fn request(path: &str, protocols: &str, lines: &str) -> String {
    upgrade_of(path, protocols, lines).replace("Sec-WebSocket-Protocol: \r\n", "")
}

fn authorized() -> String {
    format!("Authorization: Key {}\r\n", Key::Good.token())
}

const NAMED: &str = "X-Client-ID: me\r\n";

#[test]
fn names_come_first_then_paths_then_the_header_and_the_rest_is_undecided() {
    let (key, wrong) = (authorized(), format!("Authorization: Key {}\r\n", Key::Unknown.token()));
    let named_key = format!("{NAMED}{key}");
    for (path, protocols, lines, expected) in [
        ("/", "govpn", "", Some((Signaling, Some("anonymous")))),
        ("/rooms", "", "", Some((Signaling, Some("anonymous")))),
        ("/rooms", "unknown", "", Some((Signaling, Some("anonymous")))),
        ("/x", "", NAMED, Some((Signaling, Some("anonymous")))),
        ("/x", "", &*named_key, Some((Signaling, Some("good")))),
        ("/rooms", "hydrogen", &key, Some((Hydrogen, Some("good")))),
        ("/x", "govpn, hydrogen", &key, Some((Signaling, Some("good")))),
        ("/x", "hydrogen", &named_key, Some((Hydrogen, Some("good")))),
        ("/echo", "", NAMED, Some((Echo, Some("anonymous")))),
        ("/x", "", &key, Some((Hydrogen, Some("good")))),
        // It would not be let in as a client of hydrogen-protocol.
        ("/x", "", "", Some((Signaling, Some("anonymous")))),
        ("/x", "unknown", NAMED, None),
        ("/rooms", "", &wrong, None),
        ("/rooms", "hydrogen", "", None),
    ] {
        let mut scene = Scene::with(open_door);
        let id = scene.accept();
        scene.receive(id, request(path, protocols, lines));
        let handed = scene.handed();
        match expected {
            Some((dialect, name)) => {
                assert_eq!(handed, [Handed::Open(id, dialect, name.map(str::to_owned))], "{path} {protocols} {lines}");
            }
            None => assert_eq!(handed, [], "{path} {protocols} {lines}"),
        }
    }
}

#[test]
fn whoever_may_authenticate_in_band_is_undecided_without_a_key() {
    let mut scene = Scene::with(|settings| {
        open_door(settings);
        settings.in_band_auth = true;
    });
    let id = scene.accept();
    scene.receive(id, request("/x", "", ""));
    assert_eq!(scene.handed(), [Handed::Open(id, Hydrogen, None)]);
}

#[test]
fn where_a_key_is_needed_nobody_comes_without() {
    for (path, protocols, lines) in [("/", "govpn", ""), ("/rooms", "", NAMED), ("/x", "", NAMED), ("/x", "", "")] {
        let mut scene = Scene::with(|settings| {
            open_door(settings);
            settings.signaling.as_mut().unwrap().needs_key = true;
        });
        let id = scene.accept();
        scene.receive(id, request(path, protocols, lines));
        assert_eq!(scene.reply(id).status, 401, "{path} {protocols} {lines}");
        scene.expect_end(id, Reason::Unauthenticated);
    }
}

#[test]
fn the_name_in_the_header_is_passed_on_if_it_is_no_longer_than_it_may_be() {
    let longest = "k".repeat(128);
    let twice = format!("{NAMED}{NAMED}");
    for (lines, expected) in [
        (String::new(), None),
        (NAMED.to_owned(), Some("me")),
        (format!("X-Client-ID: {longest}\r\n"), Some(&*longest)),
        (format!("X-Client-ID: {longest}k\r\n"), None),
        (twice, None),
    ] {
        let mut scene = Scene::with(open_door);
        let id = scene.accept();
        scene.receive(id, request("/rooms", "", &lines));
        let items: Vec<Item> = scene.endpoint.batches().iter_mut().flat_map(|batch| batch.items.drain(..)).collect();
        let [Item::Open(opening)] = &items[..] else { panic!("{items:?}") };
        assert_eq!(opening.client_id.as_deref(), expected, "{lines}");
    }
}

fn opened(scene: &mut Scene) -> ConnId {
    let id = scene.accept();
    scene.receive(id, request("/rooms", "", ""));
    assert_eq!(scene.reply(id).status, 101);
    scene.handed();
    scene.ready(id);
    id
}

#[test]
fn messages_behind_the_order_are_for_the_other_dialect_and_the_books_stay_square() {
    let mut scene = Scene::with(open_door);
    let id = scene.connected();
    let marks = |scene: &mut Scene| -> Vec<DialectId> {
        let items = scene.endpoint.batches().iter_mut().flat_map(|batch| batch.items.drain(..));
        items.filter_map(|item| if let Item::Text { dialect, .. } = item { Some(dialect) } else { None }).collect()
    };
    scene.receive(id, text("a"));
    assert_eq!(marks(&mut scene), [Hydrogen]);
    scene.order(Order::Dialect { conn: id, dialect: Signaling });
    scene.receive(id, text("b"));
    assert_eq!(marks(&mut scene), [Signaling]);
    scene.reset(id);
    scene.expect_end(id, Reason::PeerReset);
    assert_eq!(scene.count(Metric::DIALECT_OPENED.at(Signaling as usize)), 1);
}

#[test]
fn signaling_connections_are_closed_behind_their_workers_farewell() {
    for is_early in [false, true] {
        let mut scene = Scene::with(open_door);
        let ids: Vec<ConnId> = (0..4).map(|_| opened(&mut scene)).collect();
        let other = scene.connected();
        let worker = worker_of(ids[0], 2);
        let farewell = |scene: &mut Scene| {
            let bye = scene.response(ids[0], "bye");
            scene.order(bye);
            scene.order(Order::Farewell { worker });
        };
        if is_early {
            farewell(&mut scene);
        }
        scene.endpoint.on_drain(scene.now);
        assert!(matches!(scene.frames(other)[..], [Seen::Close(Some(1001), _)]));
        if !is_early {
            assert_eq!(scene.frames(ids[0]), []);
            farewell(&mut scene);
        }
        for id in &ids {
            let seen = scene.frames(*id);
            match (worker_of(*id, 2) == worker, *id == ids[0]) {
                (true, true) => {
                    assert!(matches!(&seen[..], [Seen::Text(bye), Seen::Close(Some(1001), _)] if bye == "bye"))
                }
                (true, false) => assert!(matches!(seen[..], [Seen::Close(Some(1001), _)])),
                (false, _) => assert_eq!(seen, []),
            }
        }
        scene.order(Order::Farewell { worker: worker_of(ids[1], 2) });
        for id in ids.iter().chain([&other]) {
            scene.frames(*id);
            scene.receive(*id, close_frame(1001));
            scene.expect_end(*id, Reason::Draining);
        }
    }
}

/// A signaling connection, and one of hydrogen-protocol, with a small limit of what may wait.
fn small() -> (Scene, ConnId, ConnId) {
    let mut scene = Scene::with(|settings| {
        open_door(settings);
        settings.outbound = OutboundLimits { bytes_max: 1000, frames_max: 100 };
    });
    let id = opened(&mut scene);
    let other = scene.connected();
    (scene, id, other)
}

#[test]
fn what_peers_send_to_who_does_not_read_is_bounded_and_its_answers_are_not() {
    let (mut scene, id, other) = small();
    for id in [id, other] {
        for _ in 0..10 {
            scene.receive(id, text("asks"));
        }
        for _ in 0..10 {
            scene.respond(id, &"x".repeat(200));
        }
        assert_eq!(scene.reason(id), None);
        scene.sent(id);
    }
    for number in 0..10 {
        for id in [id, other] {
            let notice = scene.response(id, &"x".repeat(200));
            scene.order(notice);
        }
        assert_eq!(scene.reason(id), (number > 3).then_some(Reason::SlowConsumer), "{number}");
        assert_eq!(scene.reason(other), None, "it has asked for all that it gets");
    }
    assert!(matches!(scene.frames(id)[..], [.., Seen::Close(Some(1013), _)]));
}

#[test]
fn a_burst_of_peers_is_not_held_against_who_was_not_written_to() {
    let (mut scene, id, _) = small();
    let orders: Vec<Order> = (0..20).map(|number| scene.response(id, &format!("{number:0200}"))).collect();
    let seen = scene.carry_out(orders, &mut |_| usize::MAX);
    let bytes: Vec<u8> = seen.into_iter().flat_map(|(_, bytes)| bytes).collect();
    let texts: Vec<Seen> = (0..20).map(|number| Seen::Text(format!("{number:0200}"))).collect();
    assert_eq!(super::peer::frames_of(&bytes), texts);
    assert_eq!(scene.reason(id), None);
}
