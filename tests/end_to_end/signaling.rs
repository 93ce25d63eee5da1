//! Signaling on the port of everything else: how clients come to it, what they may ask for by HTTP,
//! and how they are told that the server stops.

use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, eventually, scenarios, wall};

scenarios! {
    clients_come_by_subprotocol_path_header_and_first_message
    whoever_speaks_hydrogen_without_a_subprotocol_is_understood_too
    messages_behind_the_first_follow_it
    a_key_is_asked_for_where_it_is_needed
    blocks_and_revoked_keys_hold_for_signaling_too
    without_signaling_nothing_is_different
    figures_are_told_in_the_shapes_of_govpn
    a_stopping_server_tells_signaling_connections_before_it_closes_them
}

const HYDROGEN: &str = "Sec-WebSocket-Protocol: hydrogen\r\n";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";

fn stage(variant: Variant) -> Stage {
    let mut stage = Stage::new(variant);
    stage.config.signaling.enabled = true;
    stage
}

/// A client that does not say more than these header lines do.
fn open(scene: &Scene, target: &str, headers: &str) -> Client {
    Client::open_silent(scene.stream(), target, headers).unwrap_or_else(|refusal| panic!("{target}: {refusal:?}"))
}

fn ping(client: &mut Client, id: &str) {
    client.text(&ping_text(id));
    let answer = client.take("answer to Ping", |message| message["message_id"] == id);
    assert_eq!(answer["type"], "Ping", "{answer}");
}

fn ping_text(id: &str) -> String {
    json!({"message_id": id, "type": "Ping", "payload": {"timestamp": 1}}).to_string()
}

fn clients_come_by_subprotocol_path_header_and_first_message(variant: Variant) {
    let mut stage = stage(variant);
    stage.config.web_socket_server.allow_in_band_auth = true;
    let scene = stage.start();
    let mut hydrogen = scene.root();
    let header = format!("X-Client-ID: {KEY}\r\n");
    for (target, headers, protocol) in [
        ("/", "Sec-WebSocket-Protocol: other, govpn\r\n", Some("govpn")),
        ("/ws", "Sec-WebSocket-Protocol: signaling\r\n", Some("signaling")),
        ("/signaling", "", None),
        ("/signaling", "Sec-WebSocket-Protocol: unknown\r\n", None),
        ("/ws", &header, None),
    ] {
        let mut client = open(&scene, target, headers);
        assert_eq!(client.upgraded.field("sec-websocket-protocol"), protocol, "{target} {headers}");
        assert_eq!(scene.figure("/connections/by_dialect/signaling"), 1, "{target} {headers}");
        ping(&mut client, "a");
        client.close();
        scene.settles("/connections/by_dialect/signaling", 0);
    }
    let mut client = open(&scene, "/ws", "");
    scene.settles("/connections/by_dialect/hydrogen", 2);
    scene.settles("/sessions", 2);
    ping(&mut client, "a");
    scene.settles("/connections/by_dialect/signaling", 1);
    scene.settles("/connections/by_dialect/hydrogen", 1);
    scene.settles("/sessions", 1);
    ping(&mut client, "b");
    hydrogen.ping();
    client.close();
    // The name of hydrogen-protocol goes before the header, and an offer that nobody knows is no offer.
    let headers = format!("{HYDROGEN}{header}Authorization: Key {}\r\n", scene.admin);
    Client::open(scene.stream(), "/ws", &headers).unwrap().ping();
    let refused = Client::open_silent(scene.stream(), "/ws", "Sec-WebSocket-Protocol: unknown\r\n").err();
    assert_eq!(refused.map(|answer| answer.status), Some(404));
}

fn whoever_speaks_hydrogen_without_a_subprotocol_is_understood_too(variant: Variant) {
    let scene = stage(variant).start();
    let mut client = open(&scene, "/", &format!("Authorization: Key {}\r\n", scene.admin));
    client.ping();
    client.event("system.session");
    assert_eq!(scene.figure("/connections/by_dialect/hydrogen"), 1);
    // What came first has decided.
    client.text(&ping_text("a"));
    let answer = client.take("an error", |message| message["status"] == "error" || message["type"] == "error");
    assert_ne!(answer["message_id"], "a", "{answer}");
    assert_eq!(scene.figure("/connections/by_dialect/signaling"), 0);
    drop(client);
    // Without a key it could be nothing but signaling.
    let mut client = open(&scene, "/ws", "");
    assert_eq!(scene.figure("/connections/by_dialect/signaling"), 1);
    ping(&mut client, "a");
}

fn messages_behind_the_first_follow_it(variant: Variant) {
    let mut stage = stage(variant);
    stage.config.web_socket_server.allow_in_band_auth = true;
    let scene = stage.start();
    let mut clients: Vec<Client> = (0..8).map(|_| open(&scene, "/ws", "")).collect();
    for client in &mut clients {
        client.texts((0..50).map(|id| ping_text(&id.to_string())));
    }
    for client in &mut clients {
        for id in 0..50 {
            let next = client.take("the next answer", |message| message["type"] == "Ping");
            assert_eq!(next["message_id"], id.to_string());
        }
    }
    scene.settles("/connections/by_dialect/signaling", 8);
}

fn a_key_is_asked_for_where_it_is_needed(variant: Variant) {
    let mut stage = stage(variant);
    stage.config.signaling.needs_key = true;
    let good = stage.key("ann", &["connect"]);
    let scene = stage.start();
    let named = format!("X-Client-ID: {KEY}\r\n");
    for headers in [named.clone(), format!("{named}Authorization: Key wrong\r\n"), String::new()] {
        let refused = Client::open_silent(scene.stream(), "/ws", &headers).err();
        assert_eq!(refused.map(|answer| answer.status), Some(401), "{headers}");
    }
    let authorized = format!("Authorization: Key {good}\r\n");
    ping(&mut open(&scene, "/signaling", &authorized), "a");
    let mut client = open(&scene, "/ws", &authorized);
    ping(&mut client, "a");
    scene.settles("/connections/by_dialect/signaling", 1);
}

fn blocks_and_revoked_keys_hold_for_signaling_too(variant: Variant) {
    let stage = stage(variant);
    let token = stage.key("ann", &["connect"]);
    let soon = stage.key_until("bob", &["connect"], wall(Duration::from_secs(2)));
    let scene = stage.start();
    let mut root = scene.root();
    let mut named = open(&scene, "/signaling", &format!("Authorization: Key {token}\r\n"));
    ping(&mut named, "a");
    let mut brief = open(&scene, "/signaling", &format!("Authorization: Key {soon}\r\n"));
    brief.closed(4001);
    root.ok("system.block", json!({"identity": "ann"}));
    named.closed(1008);
    let refused = Client::open_silent(scene.stream(), "/signaling", &format!("Authorization: Key {token}\r\n")).err();
    assert_eq!(refused.map(|answer| answer.status), Some(429));
    let mut nobody = open(&scene, "/signaling", "");
    ping(&mut nobody, "a");
}

fn without_signaling_nothing_is_different(variant: Variant) {
    let scene = Scene::start(variant);
    for (target, headers) in [
        ("/signaling", String::new()),
        ("/ws", format!("X-Client-ID: {KEY}\r\n")),
        ("/", format!("Authorization: Key {}\r\n", scene.admin)),
        ("/", "Sec-WebSocket-Protocol: signaling\r\n".to_owned()),
    ] {
        let refused = Client::open_silent(scene.stream(), target, &headers).err();
        assert_eq!(refused.map(|answer| answer.status), Some(404), "{target} {headers}");
    }
    for path in ["/stats", "/signaling", "/signaling/health", "/api/rooms"] {
        assert_eq!(scene.get(path).status, 404, "{path}");
    }
    assert_eq!(fetch(&scene, "/health", "Accept: text/plain\r\n").1, r#"{"status":"ok"}"#);
    assert_eq!(scene.server().status().get("signaling"), None);
    assert!(!scene.config().data_dir.join("signaling.key").exists());
}

/// A plain request: the media type and the body.
fn fetch(scene: &Scene, path: &str, headers: &str) -> (String, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{headers}\r\n");
    let answer = scene.stream().fetch(&request).unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    (answer.field("content-type").unwrap_or_default().to_owned(), answer.body)
}

fn figures_are_told_in_the_shapes_of_govpn(variant: Variant) {
    let scene = stage(variant).start();
    let mut client = open(&scene, "/signaling", "");
    ping(&mut client, "a");
    let plain = "text/plain; charset=utf-8".to_owned();
    let named = format!("X-Client-ID: {KEY}\r\n");
    for (path, headers) in
        [("/signaling/health", ""), ("/health", &named), ("/health", "Accept: text/plain, */*;q=0.5\r\n")]
    {
        assert_eq!(fetch(&scene, path, headers), (plain.clone(), "OK".to_owned()), "{path} {headers}");
    }
    assert_eq!(fetch(&scene, "/health", "Accept: */*\r\n").1, r#"{"status":"ok"}"#);
    for path in ["/stats", "/signaling/stats"] {
        let (kind, body) = fetch(&scene, path, "");
        assert_eq!((&*kind, body.ends_with('\n')), ("application/json", true));
        let stats: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(
            stats["config"],
            json!({"allow_all_origins": true, "cleanup_interval": "24h0m0s", "max_clients_per_room": 50,
                "room_expiry_days": 30})
        );
        let server = stats["server_stats"].as_object().unwrap();
        let names: Vec<&str> = server.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "active_connections",
                "active_rooms",
                "connections_total",
                "last_cleanup_time",
                "messages_processed",
                "peak_connections",
                "peak_rooms",
                "stale_rooms_removed",
                "start_time",
                "uptime",
                "version"
            ]
        );
        assert_eq!(
            (&server["connections_total"], &server["last_cleanup_time"]),
            (&json!(1), &json!("0001-01-01T00:00:00Z"))
        );
    }
    // Who is in which room is not for everybody, however public the status is.
    assert_eq!(scene.get("/api/rooms").status, 401);
    let authorized = format!("Authorization: Key {}\r\n", scene.admin);
    let rooms: Value = serde_json::from_str(&fetch(&scene, "/api/rooms", &authorized).1).unwrap();
    assert_eq!(rooms, json!({"total": 0, "rooms": []}));
    assert!(scene.server().status()["signaling"]["rooms"].is_u64());
}

fn a_stopping_server_tells_signaling_connections_before_it_closes_them(variant: Variant) {
    let mut scene = stage(variant).start();
    let mut hydrogen = scene.root();
    let mut clients: Vec<Client> = (0..8).map(|_| open(&scene, "/signaling", "")).collect();
    for client in &mut clients {
        ping(client, "a");
    }
    eventually("all are there", || (scene.figure("/connections/by_dialect/signaling") == 8).then_some(()));
    let server = scene.take_server();
    let stopping = thread::spawn(move || server.stop());
    for client in &mut clients {
        client.take("ServerShutdown", |message| message["type"] == "ServerShutdown");
        assert!(client.closed(1001).starts_with("draining; reconnect_after_ms="));
    }
    hydrogen.closed(1001);
    stopping.join().unwrap();
}
