//! The rest of the handshake: refusals other than for the credential, limits, and what may come
//! right behind it.

use super::peer::{get, text, upgrade, upgrade_of};
use super::scene::{Handed, Key, Scene, access, seconds};
use crate::base::DialectId;
use crate::base::{ConnId, Metric, Reason, Wall};
use crate::engine::auth::{Block, BlockList, Target};
use crate::engine::conn::{Origins, State};

fn key() -> String {
    format!("Authorization: Key {}\r\n", Key::Good.token())
}

#[test]
fn what_is_no_good_handshake_is_told_why() {
    let good = upgrade(&key());
    for (request, status, code, reason) in [
        (good.replace("Version: 13", "Version: 8"), 426, "unsupported", Reason::UpgradeRequired),
        (good.replace("Sec-WebSocket-Key: dGhl", "Sec-WebSocket-Key: d"), 400, "bad_envelope", Reason::BadHandshake),
        (good.replace("GET", "POST"), 400, "bad_envelope", Reason::BadHandshake),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 400, "bad_envelope", Reason::BadHandshake),
        (good.replace("Connection: Upgrade", "Connection: close"), 400, "bad_envelope", Reason::BadHandshake),
        (upgrade_of("/", "unknown", &key()), 404, "not_found", Reason::NoDialect),
        (get("/ws"), 426, "unsupported", Reason::UpgradeRequired),
        (good.replace("Host: here\r\n", ""), 400, "bad_envelope", Reason::BadRequest),
        (good.replace("HTTP/1.1", "HTTP/2.0"), 505, "unsupported", Reason::BadRequest),
        ("\x16\x03\x01\x02\x00".into(), 400, "bad_envelope", Reason::BadRequest),
        (upgrade(&format!("X: {}\r\n", "x".repeat(3000))), 431, "too_large", Reason::HeadTooLarge),
    ] {
        let mut scene = Scene::new();
        let id = scene.accept();
        scene.receive(id, &request);
        let reply = scene.reply(id);
        assert_eq!((reply.status, &*reply.code()), (status, code), "{request}");
        assert_eq!(reply.header("Connection").map(|value| value.starts_with("close")), Some(true));
        scene.expect_end(id, reason);
        assert_eq!(scene.handed(), []);
    }
}

#[test]
fn only_pages_of_allowed_origins_connect() {
    let listed = || Origins::Listed(vec!["https://app.example".into()]);
    for (origins, origin, allowed) in [
        (Origins::Any, "https://evil.example", true),
        (listed(), "https://APP.example", true),
        (listed(), "https://evil.example", false),
        (listed(), "null", false),
        (Origins::SameHost, "http://here", true),
        (Origins::SameHost, "http://there", false),
        (Origins::SameHost, "null", false),
    ] {
        let mut scene = Scene::with(|settings| settings.origins = origins);
        let id = scene.accept();
        scene.receive(id, upgrade(&format!("Origin: {origin}\r\n{}", key())));
        assert_eq!(scene.reply(id).status, if allowed { 101 } else { 403 }, "{origin}");
        if !allowed {
            scene.expect_end(id, Reason::OriginRefused);
        }
    }
}

#[test]
fn the_echo_dialect_asks_for_no_credential_and_can_be_absent() {
    for (request, protocol) in [(upgrade_of("/x", "echo", ""), Some("echo")), (upgrade_of("/echo", "none", ""), None)] {
        let mut scene = Scene::new();
        let id = scene.accept();
        scene.receive(id, &request);
        let reply = scene.reply(id);
        assert_eq!((reply.status, reply.header("Sec-WebSocket-Protocol")), (101, protocol));
        assert_eq!(scene.handed(), [Handed::Open(id, DialectId::Echo, Some("anonymous".into()))]);

        let mut scene = Scene::with(|settings| settings.echo = false);
        let id = scene.accept();
        scene.receive(id, &request);
        assert_eq!(scene.reply(id).status, 404);
        scene.expect_end(id, Reason::NoDialect);
    }
}

#[test]
fn blocked_addresses_and_identities_are_kept_out() {
    for (target, until, retry) in [
        (Target::network("192.0.2.0/24").unwrap(), Some(seconds(90)), "90"),
        (Target::identity("good").unwrap(), None, "3600"),
    ] {
        let mut scene = Scene::new();
        let until = until.map(|wait| Wall(scene.now.wall.0 + wait.as_millis() as i64));
        let block = Block { target, until, reason: "noise".into() };
        scene.endpoint.on_access(access(BlockList::default().with(block, scene.now.wall).unwrap()));
        let id = scene.accept();
        scene.receive(id, upgrade(&key()));
        let reply = scene.reply(id);
        assert_eq!((reply.status, &*reply.code(), reply.header("Retry-After")), (429, "blocked", Some(retry)));
        scene.expect_end(id, Reason::BlockedAtHandshake);
        assert_eq!(scene.count(Metric::BLOCKED), 1);
    }
}

#[test]
fn a_full_server_says_so_and_still_answers_plain_requests() {
    let mut scene = Scene::with(|settings| settings.connections_max = 2);
    let open: Vec<ConnId> = (0..2).map(|_| scene.connected()).collect();
    let id = scene.accept();
    scene.receive(id, upgrade(&key()));
    let reply = scene.reply(id);
    assert_eq!((reply.status, &*reply.code(), reply.header("Retry-After")), (503, "server_full", Some("5")));
    scene.expect_end(id, Reason::ServerFull);
    let id = scene.accept();
    scene.receive(id, get("/health"));
    scene.answer(id, "ok");
    assert_eq!(scene.reply(id).status, 200);
    // A place that is given back can be taken.
    scene.reset(open[0]);
    scene.expect_end(open[0], Reason::PeerReset);
    scene.handed();
    scene.connected();
}

#[test]
fn sockets_beyond_the_limit_and_the_spare_ones_are_dropped() {
    let mut scene = Scene::with(|settings| settings.connections_max = 2);
    let ids: Vec<ConnId> = (0..2 + 256).map(|_| scene.accept()).collect();
    // Beyond that a socket is answered without being heard.
    let unheard = scene.accept();
    let reply = scene.reply(unheard);
    assert_eq!((reply.status, &*reply.code(), reply.header("Retry-After")), (503, "server_full", Some("5")));
    scene.expect_end(unheard, Reason::ServerFull);
    // And beyond what waits to be answered so, it is dropped.
    let waiting: Vec<ConnId> = (0..256).map(|_| scene.accept()).collect();
    assert_eq!(scene.endpoint.on_accept(scene.address, scene.now), None);
    assert_eq!(scene.count(Metric::ACCEPT_DROPPED), 1);
    for id in waiting {
        scene.reset(id);
        scene.expect_end(id, Reason::HandshakeError);
    }
    scene.eof(ids[0]);
    scene.expect_end(ids[0], Reason::HandshakeEof);
    assert_eq!(scene.accept().slot(), ids[0].slot());
}

#[test]
fn a_handshake_may_come_byte_by_byte() {
    let mut scene = Scene::new();
    let id = scene.accept();
    for byte in upgrade(&key()).bytes() {
        assert_eq!(scene.state(id), State::Connecting);
        scene.receive(id, [byte]);
    }
    assert_eq!(scene.state(id), State::Established);
}

#[test]
fn frames_right_behind_the_handshake_reach_the_worker_in_order() {
    let mut scene = Scene::new();
    let id = scene.accept();
    let mut bytes = upgrade(&key()).into_bytes();
    for number in 0..5 {
        bytes.extend(text(&format!("m{number}")));
    }
    let last = bytes.split_off(bytes.len() - 3);
    scene.receive(id, bytes);
    // Three may be under way; the others wait.
    assert_eq!(
        scene.handed(),
        [
            Handed::Open(id, DialectId::Hydrogen, Some("good".into())),
            Handed::Text(id, "m0".into()),
            Handed::Text(id, "m1".into()),
            Handed::Text(id, "m2".into()),
        ]
    );
    scene.receive(id, last);
    assert_eq!(scene.reply(id).status, 101);
    scene.ready(id);
    scene.respond(id, "r0");
    scene.respond(id, "r1");
    assert_eq!(scene.texts(), ["m3", "m4"]);
}

#[test]
fn a_violation_right_behind_the_handshake_is_answered_after_it() {
    let mut scene = Scene::new();
    let id = scene.accept();
    let mut bytes = upgrade(&key()).into_bytes();
    bytes.extend([0x81, 0x01, b'x']);
    scene.receive(id, bytes);
    let sent = scene.sent(id);
    let (reply, rest) = super::peer::reply_of(&sent);
    assert_eq!(reply.status, 101);
    let text = "frames are masked by the client, and by nobody else";
    assert_eq!(super::peer::frames_of(rest), [super::peer::Seen::Close(Some(1002), text.into())]);
    scene.expect_end(id, Reason::ProtocolError);
}
