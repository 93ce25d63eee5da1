//! What is bounded: requests of an address, wrong passwords, places, rooms, bytes, bad messages.

use std::time::Duration;

use serde_json::json;

use super::super::{Expiry, IceServers, PasswordLimit, RateLimit, RelayLimit, SignalingSettings, Turn};
use super::person::key;
use super::scene::{Scene, loose};
use crate::base::{Metric, Reason, Secret};
use crate::engine::work::StopCause;

const TOO_MANY: &str = "Rate limit exceeded. Please try again later.";

#[test]
fn rooms_made_and_joined_share_one_bucket_by_address() {
    for workers in [1, 2, 3] {
        let rate = Some(RateLimit { requests: 3, period: Duration::from_secs(60) });
        let mut scene = Scene::new(workers, SignalingSettings { rate, ..loose() });
        let conns: Vec<_> = (0..4).map(|_| scene.open()).collect();
        let room = scene.room(conns[0], 1);
        scene.join(conns[1], &room, 2);
        let nowhere = json!({"room_id": "x", "password": "1", "public_key": key(3)});
        assert_eq!(scene.error(conns[2], "JoinRoom", &nowhere), "Room does not exist");
        assert_eq!(scene.error(conns[3], "JoinRoom", &nowhere), TOO_MANY);
        assert_eq!(scene.error(conns[3], "CreateRoom", &json!({})), TOO_MANY, "it is looked at first");
        assert_eq!(
            scene.ask(conns[1], "ConnectRoom", &json!({"room_id": room, "public_key": key(2)})).kind,
            "RoomConnected"
        );
        let other = scene.open_as(None, "192.0.2.2:1");
        assert_eq!(scene.join(other, &room, 5).kind, "RoomJoined");
        scene.pass(Duration::from_secs(20));
        assert_eq!(scene.error(conns[3], "CreateRoom", &json!({})), "Room name, password, and public key are required");
        assert_eq!(scene.error(conns[3], "CreateRoom", &json!({})), TOO_MANY);
    }
}

#[test]
fn passwords_cannot_be_searched_from_one_address_nor_from_many() {
    for workers in [1, 3] {
        let passwords = Some(PasswordLimit { failures: 3, period: Duration::from_secs(3600) });
        let mut scene = Scene::new(workers, SignalingSettings { passwords, ..loose() });
        let owner = scene.open();
        let room = scene.room(owner, 1);
        let member = scene.open_as(None, "192.0.2.9:1");
        scene.join(member, &room, 2);
        scene.ask(member, "DisconnectRoom", &json!({}));
        let guess = |password: &str| json!({"room_id": room, "password": password, "public_key": key(7)});
        for number in 0..3 {
            let thief = scene.open_as(None, &format!("192.0.2.{}:1", 20 + number));
            assert_eq!(scene.error(thief, "JoinRoom", &guess("0000")), "Incorrect password");
        }
        // Not even the right one tells that it is right; members come in as ever.
        let thief = scene.open_as(None, "192.0.2.30:1");
        assert_eq!(scene.error(thief, "JoinRoom", &guess("1234")), TOO_MANY);
        let connect = json!({"room_id": room, "public_key": key(2)});
        assert_eq!(scene.ask(member, "ConnectRoom", &connect).kind, "RoomConnected");
        // One address, many rooms.
        let many: Vec<String> = (40..44)
            .map(|who| {
                let conn = scene.open();
                scene.room(conn, who)
            })
            .collect();
        let thief = scene.open_as(None, "192.0.2.31:1");
        for (place, room) in many.iter().enumerate() {
            let guess = json!({"room_id": room, "password": "0000", "public_key": key(7)});
            let expected = if place < 3 { "Incorrect password" } else { TOO_MANY };
            assert_eq!(scene.error(thief, "JoinRoom", &guess), expected);
        }
        scene.pass(Duration::from_secs(1201));
        assert_eq!(scene.ask(thief, "JoinRoom", &guess("1234")).kind, "RoomJoined");
        // Right ones cost nothing.
        let guest = scene.open_as(None, "192.0.2.50:1");
        for _ in 0..20 {
            assert_eq!(scene.join(guest, &room, 8).kind, "RoomJoined");
        }
        assert_eq!(scene.counters.value(Metric::SIGNALING_PASSWORDS_REFUSED), 6);
    }
}

#[test]
fn places_members_and_rooms_have_their_number() {
    for workers in [1, 3] {
        let settings =
            SignalingSettings { clients_max: 3, members_max: 4, rooms_max: 2, rooms_per_connection_max: 2, ..loose() };
        let mut scene = Scene::new(workers, settings);
        let (a, b, c, d) = (scene.open(), scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        scene.join(c, &room, 3);
        let join = |who: u8| json!({"room_id": room, "password": "1234", "public_key": key(who)});
        let as_network = |who: u8| json!({"network_id": room, "pin": "1234", "public_key": key(who)});
        assert_eq!(scene.error(d, "JoinRoom", &join(4)), "Room is full");
        assert_eq!(scene.error(d, "JoinNetwork", &as_network(4)), "Network is full");
        assert_eq!(scene.ask(b, "JoinRoom", &join(2)).kind, "RoomJoined", "who is in has its place");
        scene.close(c);
        assert_eq!(scene.ask(d, "JoinRoom", &join(4)).kind, "RoomJoined");
        scene.ask(d, "DisconnectRoom", &json!({}));
        let e = scene.open();
        assert_eq!(scene.error(e, "JoinNetwork", &as_network(5)), "Failed to assign IP address");
        assert_eq!(scene.room(d, 4).len(), 16);
        let limit = json!({"room_name": "r", "password": "1234", "public_key": key(9)});
        assert_eq!(scene.error(e, "CreateRoom", &limit), "Maximum room limit reached");
        scene.ask(a, "LeaveRoom", &json!({}));
        assert_eq!(scene.room(e, 9).len(), 16);
    }
    let mut scene = Scene::new(2, SignalingSettings { rooms_per_connection_max: 1, ..loose() });
    let (a, b, guest) = (scene.open(), scene.open(), scene.open());
    let (one, two) = (scene.room(a, 1), scene.room(b, 2));
    scene.join(guest, &one, 3);
    assert_eq!(scene.join(guest, &two, 3).payload["error"], "Too many rooms on this connection");
    assert_eq!(scene.join(guest, &one, 3).kind, "RoomJoined");
}

#[test]
fn who_sends_rubbish_is_told_and_then_closed() {
    let mut scene = Scene::new(1, loose());
    let a = scene.open();
    for text in
        ["rubbish", "[]", "{\"message_id\":5}", "{\"payload\":7}", "", "\"Ping\"", "{\"payload\":\"%%\"}", "nul"]
    {
        scene.text(a, text);
    }
    scene.bytes(a, b"{\"message_id\":\"\xff\"}");
    let errors = scene.read(a);
    assert_eq!(errors.len(), 9);
    assert!(errors.iter().all(|got| got.id.is_empty() && got.payload["error"] == "Invalid message format"));
    assert!(scene.closed.is_empty());
    for text in ["{}", "{\"type\":\"Dance\"}"] {
        scene.text(a, text);
        assert!(scene.read(a).is_empty(), "{text}");
    }
    scene.text(a, "rubbish");
    assert_eq!(scene.closed[&a].0, Reason::InvalidUtf8);
    assert_eq!(scene.unsettled[&a], 0);
    assert_eq!(scene.counters.value(Metric::SIGNALING_BAD_MESSAGES), 10);
}

#[test]
fn messages_have_a_rate_and_those_beyond_it_their_answer() {
    let messages = Some(RateLimit { requests: 3, period: Duration::from_secs(3) });
    let mut scene = Scene::new(1, SignalingSettings { messages, ..loose() });
    let (a, b) = (scene.open(), scene.open());
    for _ in 0..3 {
        assert_eq!(scene.ask(a, "Ping", &json!({})).kind, "Ping");
    }
    assert_eq!(scene.error(a, "Ping", &json!({})), "Rate limit exceeded. Please try again later.");
    assert_eq!(scene.ask(b, "Ping", &json!({})).kind, "Ping", "it is of one connection");
    scene.pass(Duration::from_secs(1));
    assert_eq!(scene.ask(a, "Ping", &json!({})).kind, "Ping");
    assert_eq!(scene.unsettled[&a], 0);
}

#[test]
fn the_relay_has_quotas_by_connection_and_by_room() {
    for workers in [1, 2] {
        let relay = RelayLimit { connection_bytes: Some(4000), room_bytes: Some(12_000) };
        let mut scene = Scene::new(workers, SignalingSettings { relay, ..loose() });
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        scene.join(c, &room, 3);
        for conn in [a, b, c] {
            scene.read(conn);
        }
        let data = |size: usize| json!({"room_id": room, "data": "\"\u{0}x".repeat(size / 3)});
        scene.send(a, "", "Relay", &json!({"data": "any \"text\" ü\u{0}", "destination_id": key(3)}));
        assert!(scene.read(b).is_empty() && scene.read(a).is_empty());
        let got = scene.read(c).remove(0);
        assert_eq!((&got.payload["data"], &got.payload["public_key"]), (&json!("any \"text\" ü\u{0}"), &json!(key(1))));
        scene.send(a, "", "Relay", &data(600));
        assert_eq!((scene.kinds(b), scene.kinds(c)), (vec!["Relay".to_owned()], vec!["Relay".to_owned()]));
        assert_eq!(scene.error(a, "Relay", &data(1500)), "Relay quota exceeded");
        scene.send(b, "", "Relay", &data(900));
        assert_eq!(scene.error(c, "Relay", &data(900)), "Relay quota exceeded", "the room's is used up");
        scene.pass(Duration::from_secs(60));
        scene.send(c, "", "Relay", &data(900));
        assert!(scene.kinds(a).ends_with(&["Relay".to_owned()]));
        assert_eq!(scene.error(a, "Relay", &json!({"room_id": room, "data": 5})), "Invalid relay format");
        let nobody = json!({"room_id": room, "data": "x", "destination_id": "nobody"});
        assert_eq!(scene.error(a, "Relay", &nobody), "Target client not found");
    }
    // What says nothing is not for nothing.
    let relay = RelayLimit { connection_bytes: Some(4000), room_bytes: Some(12_000) };
    let mut scene = Scene::new(1, SignalingSettings { relay, ..loose() });
    let (a, b) = (scene.open(), scene.open());
    let room = scene.room(a, 1);
    scene.join(b, &room, 2);
    scene.read(b);
    for _ in 0..30 {
        scene.send(a, "", "Relay", &json!({"data": ""}));
    }
    assert_eq!(scene.kinds(b), ["Relay"; 10]);
    let relay = RelayLimit { connection_bytes: None, room_bytes: Some(1) };
    let mut scene = Scene::new(1, SignalingSettings { relay, ..loose() });
    let a = scene.open();
    assert_eq!(scene.error(a, "Relay", &json!({"data": "x"})), "Relay is not enabled");
}

#[test]
fn turn_credentials_are_for_who_is_in_a_room() {
    let turn = Turn { urls: vec!["turn:x".into()], secret: Secret::new("north"), lifetime: Duration::from_secs(600) };
    let ice = IceServers { stun: vec!["stun:y".into()], turn: Some(turn) };
    let mut scene = Scene::new(1, SignalingSettings { ice, ..loose() });
    let a = scene.open();
    assert_eq!(scene.error(a, "GetIceServers", &json!({})), "Not connected to any room");
    scene.room(a, 1);
    let got = scene.ask(a, "GetIceServers", &json!({})).payload;
    assert_eq!((&got["ttl"], &got["ice_servers"][0]), (&json!(600), &json!({"urls": ["stun:y"]})));
    let username = got["ice_servers"][1]["username"].as_str().unwrap();
    let (expires, who) = username.split_once(':').unwrap();
    assert_eq!(expires, (scene.now.wall.unix_s() + 600).to_string());
    assert!(who.len() == 16 && !key(1).contains(who), "{who} is of the key");
    assert_eq!(got["ice_servers"][1]["credential"].as_str().unwrap().len(), 28);
}

#[test]
fn rooms_without_activity_go_and_who_is_there_is_told() {
    for workers in [1, 2] {
        let day = Duration::from_secs(86_400);
        let expiry = Expiry { after: Some(30 * day), interval: day };
        let mut scene = Scene::new(workers, SignalingSettings { expiry, ..loose() });
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let (old, young) = (scene.room(a, 1), scene.room(b, 2));
        scene.join(c, &old, 3);
        scene.read(a);
        scene.read(c);
        scene.pass(20 * day);
        assert_eq!(scene.ask(b, "Rename", &json!({"room_id": young, "room_name": "y"})).kind, "RenameSuccess");
        scene.read(b);
        scene.pass(12 * day);
        assert_eq!((scene.kinds(a), scene.kinds(c)), (vec!["RoomDeleted".to_owned()], vec!["RoomDeleted".to_owned()]));
        assert!(scene.read(b).is_empty());
        assert_eq!(scene.written.len(), 1);
        assert_eq!(scene.error(c, "DisconnectRoom", &json!({})), "Not connected to any room");
        assert_eq!(scene.counters.value(Metric::SIGNALING_ROOMS_DELETED.at(1)), 1);
        assert_eq!(scene.room(a, 1).len(), 16);
        scene.close(a);
        scene.pass(40 * day);
        assert!(scene.written.is_empty());
    }
}

#[test]
fn a_stop_is_told_to_everyone_and_activity_is_written_down() {
    for (workers, cause, info) in [
        (1, StopCause::Asked, "Server is being restarted for maintenance."),
        (3, StopCause::Interrupted, "Server will be back soon."),
    ] {
        let mut scene = Scene::new(workers, loose());
        let (a, idle) = (scene.open(), scene.open());
        let room = scene.room(a, 1);
        let before = scene.written[&*room].clone();
        scene.pass(Duration::from_secs(30));
        scene.drain(cause);
        for conn in [a, idle] {
            let told = scene.read(conn).remove(0);
            assert_eq!((told.kind.as_str(), told.id.len()), ("ServerShutdown", 8));
            let message = "Server is shutting down for maintenance";
            let wanted = json!({"message": message, "shutdown_in_seconds": 0, "restart_info": info});
            assert_eq!(told.payload, wanted);
        }
        scene.stop();
        assert_ne!(scene.written[&*room], before);
        assert_eq!(scene.figures.0.lock().values().map(|figures| figures.rooms).sum::<usize>(), 1);
    }
}

#[test]
fn candidates_of_one_peer_wait_up_to_so_many_bytes() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        scene.join(c, &room, 3);
        for conn in [a, b, c] {
            scene.read(conn);
        }
        let candidate = |to| json!({"room_id": room, "destination_id": key(to), "candidate": "x".repeat(4000)});
        for _ in 0..30 {
            scene.send(a, "", "Candidate", &candidate(2));
            scene.send(a, "", "Candidate", &candidate(3));
        }
        assert_eq!((scene.kinds(b).len(), scene.kinds(c).len()), (0, 0));
        for _ in 0..5 {
            scene.send(a, "", "Candidate", &candidate(3));
        }
        let (held, sent) = (scene.kinds(b).len(), scene.kinds(c).len());
        assert!(held == 0 && (30..=35).contains(&sent), "{held} {sent}");
        scene.pass(Duration::from_secs(6));
        assert_eq!((scene.kinds(b).len(), scene.kinds(c).len() + sent), (30, 35));
    }
}

#[test]
fn one_peer_cannot_flood_another_with_signals() {
    let mut scene = Scene::new(2, SignalingSettings { signal_bytes: Some(1000), ..loose() });
    let (a, b, c) = (scene.open(), scene.open(), scene.open());
    let room = scene.room(a, 1);
    scene.join(b, &room, 2);
    scene.join(c, &room, 3);
    scene.read(b);
    let offer = json!({"room_id": room, "destination_id": key(2), "offer": "x".repeat(40_000)});
    // Two of the largest go through, however low the limit.
    assert_eq!([(); 2].map(|()| scene.ask(a, "Offer", &offer).kind), ["SignalSent", "SignalSent"]);
    assert_eq!(scene.error(a, "Offer", &offer), "Rate limit exceeded. Please try again later.");
    // Others, and other peers, have their own.
    assert_eq!(scene.ask(c, "Offer", &offer).kind, "SignalSent");
    let other = json!({"room_id": room, "destination_id": key(3), "offer": "x".repeat(40_000)});
    assert_eq!(scene.ask(a, "Offer", &other).kind, "SignalSent");
    assert_eq!(scene.kinds(b).iter().filter(|kind| *kind == "Offer").count(), 3);
    scene.pass(std::time::Duration::from_secs(41));
    assert_eq!(scene.ask(a, "Offer", &offer).kind, "SignalSent");
}

#[test]
fn nobody_comes_and_goes_without_end() {
    let mut scene = Scene::new(1, loose());
    let (a, b) = (scene.open(), scene.open());
    let room = scene.room(a, 1);
    scene.join(b, &room, 2);
    let stated = json!({"room_id": room, "public_key": key(2)});
    for _ in 0..256 {
        assert_eq!(scene.ask(b, "DisconnectRoom", &json!({})).kind, "RoomDisconnected");
        assert_eq!(scene.ask(b, "ConnectRoom", &stated).kind, "RoomConnected");
    }
    scene.read(a);
    assert_eq!(scene.error(b, "DisconnectRoom", &json!({})), "Rate limit exceeded. Please try again later.");
    assert!(scene.read(a).is_empty());
    assert_eq!(scene.ask(b, "Presence", &stated).kind, "Presence", "it is there, and does all else");
    scene.pass(std::time::Duration::from_secs(1));
    assert_eq!(scene.ask(b, "DisconnectRoom", &json!({})).kind, "RoomDisconnected");
}

#[test]
fn figures_that_time_alone_changes_are_told() {
    let mut scene = Scene::new(1, loose());
    let (a, b) = (scene.open(), scene.open());
    let room = scene.room(a, 1);
    let payload = json!({"room_id": room, "password": "1234", "public_key": key(2), "grace": true});
    scene.ask(b, "JoinRoom", &payload);
    scene.close(b);
    scene.pass(std::time::Duration::from_secs(5));
    let away = |scene: &Scene| scene.figures.0.lock()[&crate::base::WorkerId(0)].away;
    assert_eq!(away(&scene), 1);
    scene.pass(std::time::Duration::from_secs(40));
    assert_eq!(away(&scene), 0);
}
