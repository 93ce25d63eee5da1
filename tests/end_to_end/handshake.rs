//! How a connection begins: credentials in all their places, the session's event, refusals.

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, scenarios};

scenarios! {
    a_connection_begins_with_its_session
    a_credential_may_stand_in_each_of_its_places
    whoever_is_not_let_in_is_told_why
    the_limit_of_connections_holds_and_lets_in_again
}

fn a_connection_begins_with_its_session(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect", "publish:a.>", "subscribe:a.b"]);
    let scene = stage.start();
    let mut client = scene.client(&ann);
    assert_eq!(client.upgraded.field("sec-websocket-protocol"), Some("hydrogen-protocol"));
    let session = client.session.clone();
    assert_eq!(session["identity"], "ann");
    assert_eq!(session["permissions"], json!(["connect", "subscribe:a.b", "publish:a.>"]));
    assert_eq!((&session["resumed"], &session["lost"], &session["expires"]), (&json!(false), &json!([]), &Value::Null));
    assert_eq!(session["limits"]["in_flight"], scene.config().web_socket_server.max_in_flight);
    assert_eq!(session["server"]["name"], "hydrogen");
    let other = scene.client(&ann);
    for secret in ["session", "secret"] {
        assert!(session[secret].as_str().unwrap().len() >= 20, "{session}");
        assert_ne!(session[secret], other.session[secret]);
    }
    let info = client.ok("system.info", Value::Null);
    assert_eq!(info["channels"], json!(["lab", "network", "system"]));
    assert_eq!(info["limits"], session["limits"]);
    let pong = client.ok("system.ping", json!({"n": [1, {"x": "ü"}]}));
    assert_eq!(pong["n"], json!([1, {"x": "ü"}]));
    assert!(pong["server_time"].is_string());
    client.close();
    scene.settles("/connections/closed_by_reason/peer_closed", 1);
}

fn a_credential_may_stand_in_each_of_its_places(variant: Variant) {
    let scene = Scene::start(variant);
    let key = &scene.admin;
    let offered = "Sec-WebSocket-Protocol: hydrogen\r\n";
    for (target, headers) in [
        ("/", format!("Authorization: Key {key}\r\n{offered}")),
        ("/any/path?x=1", format!("authorization: kEY   {key}\r\n{offered}")),
        ("/", format!("Sec-WebSocket-Protocol: hydrogen, key.{key}\r\n")),
        (&format!("/?key={key}"), offered.to_owned()),
    ] {
        let mut client = Client::open(scene.stream(), target, &headers).unwrap_or_else(|refusal| panic!("{refusal:?}"));
        assert_eq!(client.upgraded.field("sec-websocket-protocol"), Some("hydrogen"), "only what was chosen is echoed");
        assert_eq!(client.session["identity"], "root");
        client.ping();
    }
}

fn whoever_is_not_let_in_is_told_why(variant: Variant) {
    let stage = Stage::new(variant);
    let idle = stage.key("idle", &["subscribe:a.>"]);
    let scene = stage.start();
    let good = &scene.admin;
    let offered = "Sec-WebSocket-Protocol: hydrogen\r\n";
    let wrong = format!("{}x", &good[..good.len() - 1]);
    for (status, code, headers) in [
        (401, "unauthenticated", offered.to_owned()),
        (401, "unauthenticated", format!("Authorization: Key {wrong}\r\n{offered}")),
        (401, "unauthenticated", format!("Authorization: Key hyd1.nobody\r\n{offered}")),
        // A wrong one is not made good by a right one elsewhere.
        (
            401,
            "unauthenticated",
            format!("Authorization: Key {wrong}\r\nSec-WebSocket-Protocol: hydrogen, key.{good}\r\n"),
        ),
        (403, "forbidden", format!("Authorization: Key {idle}\r\n{offered}")),
        (404, "not_found", format!("Authorization: Key {good}\r\nSec-WebSocket-Protocol: unheard-of\r\n")),
    ] {
        let refusal = Client::open(scene.stream(), "/", &headers).err().unwrap();
        let error = refusal.json()["error"].clone();
        assert_eq!((refusal.status, error["code"].as_str()), (status, Some(code)), "{headers}{refusal:?}");
        if status == 401 {
            assert_eq!(refusal.field("www-authenticate"), Some("Key realm=\"hydrogen\""));
        }
    }
    assert_eq!(scene.figure("/sessions"), 0);
    scene.settles("/connections/closed_by_reason/unauthenticated", 4);
}

fn the_limit_of_connections_holds_and_lets_in_again(variant: Variant) {
    let mut stage = Stage::new(variant);
    // Each reactor has its share, and sockets go to them in turn.
    stage.config.web_socket_server.max_connections = 4;
    let scene = stage.start();
    let mut clients: Vec<Client> = (0..4).map(|_| scene.root()).collect();
    let refusal = scene.try_client(&scene.admin).err().unwrap();
    assert_eq!((refusal.status, refusal.json()["error"]["code"].as_str()), (503, Some("server_full")));
    assert!(refusal.field("retry-after").is_some());
    // The refused one took a turn: with several reactors the next socket is the other one's.
    let gone = clients.drain(..);
    drop(gone);
    scene.settles("/connections/open", 0);
    scene.root().ping();
}
