//! The status: its views agree, and its figures are what happened.

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Variant, scenarios};

scenarios! {
    figures_are_what_happened_in_every_view
    gauges_return_to_zero
    older_clients_are_answered
}

fn figures_are_what_happened_in_every_view(variant: Variant) {
    let scene = Scene::start(variant);
    let mut clients: Vec<Client> = (0..5).map(|_| scene.root()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.subscribe(&["f.>", &format!("g.t{index}")]);
    }
    for n in 0..10 {
        assert_eq!(clients[0].publish("f.a", json!(n)), 5);
    }
    for client in &mut clients {
        for n in 0..10 {
            client.expect_event("f.a", &json!(n));
        }
        client.text(r#"{"type":"ack","id":"x-1"}"#);
        client.text("no json");
        assert_eq!(client.next().unwrap()["error"]["code"], "bad_json");
        assert_eq!(client.refused("nobody.home", json!({})), "no_handler");
    }
    let asked = clients[0].ok("system.status", json!({}));
    let got = scene.get("/api/status").json();
    let own = scene.server().status();
    for view in [&asked, &got, &own] {
        let at = |pointer: &str| {
            view.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer}: {view}"))
        };
        assert_eq!(view["server"]["running"], true);
        assert_eq!(view["server"]["draining"], false);
        assert_eq!((at("/sessions"), at("/subscriptions")), (5, 10));
        assert_eq!(at("/connections/by_state/connected"), 5);
        assert_eq!(at("/connections/by_dialect/hydrogen"), 5);
        assert_eq!(at("/delivery/published"), 10);
        assert_eq!(at("/delivery/delivered"), 50);
        assert_eq!((at("/delivery/acks_ignored"), at("/delivery/lost")), (5, 0));
        assert_eq!((at("/messages/in/ack"), at("/messages/in/bad")), (5, 5));
        // Five subscribed and five asked in vain, one published ten times and then asked for this.
        assert_eq!(at("/messages/in/command"), 5 + 5 + 10 + 1);
        assert_eq!((at("/errors/protocol/bad_json"), at("/errors/application/no_handler")), (5, 5));
        assert_eq!(at("/workers/count"), scene.config().web_socket_server.thread_pool_size as u64);
        assert!(at("/latency_us/command/count") >= 20);
    }
    for (name, value) in [
        ("hydrogen_sessions", 5),
        ("hydrogen_subscriptions", 10),
        ("hydrogen_connections{state=\"connected\"}", 5),
        ("hydrogen_events_published_total", 10),
        ("hydrogen_events_delivered_total", 50),
        ("hydrogen_errors_total{code=\"bad_json\"}", 5),
        ("hydrogen_acks_ignored_total", 5),
        ("hydrogen_late_deliveries_lost_total", 0),
        ("hydrogen_websocket_active_connections", 5),
        ("hydrogen_messages_received_total{type=\"command\"}", 21),
    ] {
        assert_eq!(scene.metric(name), value, "{name}");
    }
    assert_eq!(scene.get("/health").status, 200);
    assert_eq!(scene.get("/ready").json(), json!({"ready": true}));
    assert_eq!(scene.get("/nowhere").status, 404);
}

fn gauges_return_to_zero(variant: Variant) {
    let scene = Scene::start(variant);
    for round in 1..=3 {
        let mut clients: Vec<Client> = (0..8).map(|_| scene.root()).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            client.subscribe(&["z.>", "z.a", &format!("z.t{index}")]);
            client.publish("z.a", json!(index));
        }
        assert_eq!((scene.figure("/sessions"), scene.figure("/subscriptions")), (8, 24));
        // Half of them say goodbye, the others are just gone.
        for client in clients.drain(..4) {
            client.close();
        }
        drop(clients);
        scene.settles("/sessions", 0);
        scene.settles("/subscriptions", 0);
        scene.settles("/connections/closed_by_reason/peer_closed", 4 * round);
        scene.settles("/connections/open", 0);
        assert_eq!(scene.root().publish("z.a", json!("nobody")), 0);
    }
}

fn older_clients_are_answered(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    for kind in ["keepalive", "k"] {
        client.text(&json!({ "type": kind }).to_string());
        let answer = client.next().unwrap();
        assert_eq!(answer["type"], "keepalive_ok");
        assert!(answer["ts"].as_u64().unwrap() > 1_700_000_000);
    }
    client.text(r#"{"type":"status"}"#);
    let status = client.next().unwrap();
    assert_eq!(status["server_running"], true);
    assert_eq!(status["status"]["server_running"], true);
    // A plain connection that says nothing is no WebSocket connection.
    let _silent = std::net::TcpStream::connect(scene.server().addresses()[0]).unwrap();
    scene.settles("/connections/open", 2);
    client.text(r#"{"type":"status"}"#);
    let status = client.next().unwrap();
    assert_eq!(status["services"]["websocket"]["status"]["activeConnections"], 1);
    assert_eq!(status["active_connections"], 1);
    let web = &status["services"]["webserver"]["status"];
    assert_eq!((&web["activeRequests"], &web["currentConnections"]), (&json!(0), &json!(2)));
}
