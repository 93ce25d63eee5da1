//! Commands and their responses: each one answered, once, whatever the load.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, command, eventually, scenarios};

scenarios! {
    each_of_500_pipelined_commands_is_answered_once_and_in_order
    nothing_is_lost_when_more_is_asked_than_may_be_in_flight
    late_answers_go_to_their_own_commands
    what_is_wrong_with_a_command_is_said_and_the_connection_goes_on
    a_response_repeats_the_command_and_the_data_byte_for_byte
}

fn each_of_500_pipelined_commands_is_answered_once_and_in_order(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    client.texts((0..500).map(|n| command(&format!("p-{n}"), "lab.echo", &json!({ "n": n }))));
    for n in 0..500 {
        let response = client.next().unwrap();
        assert_eq!(response["id"], format!("p-{n}"));
        assert_eq!((&response["status"], &response["data"]), (&json!("success"), &json!({ "n": n })));
    }
    assert_eq!(client.leftovers(), [] as [Value; 0]);
    assert_eq!(scene.figure("/messages/in/command"), 501);
    assert_eq!(scene.figure("/messages/out/response"), 501);
}

/// Many clients, each always with more commands on their way than the server takes at a time.
fn nothing_is_lost_when_more_is_asked_than_may_be_in_flight(variant: Variant) {
    const CLIENTS: usize = 8;
    const COMMANDS: usize = 600;
    const UNDER_WAY: usize = 150;
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.max_in_flight = 4;
    let scene = stage.start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| scene.root()).collect();
    let text = |n: usize| {
        // A publish is answered by the worker of its topic, so several workers are asked.
        let data = json!({"topic": format!("flood.t{}", n % 5), "payload": n});
        command(&n.to_string(), "system.publish", &data)
    };
    for client in &mut clients {
        client.texts((0..UNDER_WAY).map(text));
    }
    let mut answered = vec![BTreeSet::new(); CLIENTS];
    for sent in UNDER_WAY..COMMANDS + UNDER_WAY {
        for (client, answered) in clients.iter_mut().zip(&mut answered) {
            let response = client.next().unwrap();
            assert_eq!(response["status"], "success", "{response}");
            assert!(answered.insert(response["id"].as_str().unwrap().to_owned()), "twice: {response}");
            if sent < COMMANDS {
                client.text(&text(sent));
            }
        }
    }
    for (mut client, answered) in clients.into_iter().zip(answered) {
        assert_eq!(answered.len(), COMMANDS);
        assert_eq!(client.leftovers(), [] as [Value; 0]);
    }
    assert_eq!(scene.figure("/delivery/published"), (CLIENTS * COMMANDS) as u64);
}

fn late_answers_go_to_their_own_commands(variant: Variant) {
    let scene = Scene::start(variant);
    let mut clients = [scene.root(), scene.root(), scene.root()];
    for (index, client) in clients.iter_mut().enumerate() {
        client.texts((0..50).map(|n| {
            let name = if n % 2 == 0 { "lab.late" } else { "lab.echo" };
            command(&format!("{index}-{n}"), name, &json!(n))
        }));
    }
    // What is answered at once does not wait for what was asked before it.
    for (index, client) in clients.iter_mut().enumerate() {
        for n in (1..50).step_by(2) {
            assert_eq!(client.next().unwrap()["id"], format!("{index}-{n}"));
        }
    }
    eventually("75 commands wait", || (scene.lab.waiting() == 75).then_some(()));
    for (id, responder) in scene.lab.take().into_iter().rev() {
        responder.done(json!({ "for": id }).to_string());
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let mut answered = BTreeMap::new();
        for _ in 0..25 {
            let response = client.next().unwrap();
            let id = response["id"].as_str().unwrap().to_owned();
            assert_eq!(response["data"]["for"], id);
            assert!(answered.insert(id, ()).is_none());
        }
        assert!((0..50).step_by(2).all(|n| answered.contains_key(&format!("{index}-{n}"))));
        assert_eq!(client.leftovers(), [] as [Value; 0]);
    }
}

fn what_is_wrong_with_a_command_is_said_and_the_connection_goes_on(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect", "publish:a.>", "call:lab.late"]);
    let scene = stage.start();
    let mut client = scene.client(&ann);
    for (name, data, code) in [
        ("nobody.home", json!({}), "no_handler"),
        ("lab.unheard_of", json!({}), "no_handler"),
        ("lab.called", json!({}), "forbidden"),
        ("system.sessions", json!({}), "forbidden"),
        ("lab.typed", json!({"number": "seven"}), "bad_data"),
        ("system.subscribe", json!({"topics": ["a.b"]}), "forbidden"),
        ("system.subscribe", json!({"topics": []}), "bad_data"),
        ("system.publish", json!({"topic": "b.a", "payload": 1}), "forbidden"),
        ("system.publish", json!({"topic": "system.session", "payload": 1}), "forbidden"),
        ("system.publish", json!({"topic": "a.*", "payload": 1}), "bad_data"),
        ("system.publish", json!({"topic": "a.b", "payload": 1, "guarantee": "exactly_once"}), "bad_data"),
        ("system.subscribe", json!({"topics": ["a.b"], "from": "yesterday"}), "bad_data"),
        ("system.resume", json!({}), "bad_data"),
        ("system.resume", json!({"session": "0.x", "secret": "y"}), "not_found"),
    ] {
        assert_eq!(client.refused(name, data.clone()), code, "{name} {data}");
    }
    for (text, code) in [
        ("no json", "bad_json"),
        ("[]", "bad_json"),
        (r#"{"type":"command","channel":"system"}"#, "bad_envelope"),
        (r#"{"type":"event","channel":"a","action":"b"}"#, "bad_type"),
        (r#"{"type":"command","type":"command","channel":"system","action":"ping"}"#, "bad_json"),
    ] {
        client.text(text);
        let response = client.next().unwrap();
        assert_eq!(response["error"]["code"], code, "{text}: {response}");
    }
    let error = client.call("lab.fail", json!({})).unwrap_err();
    assert_eq!(
        error,
        json!({"category": "application", "code": "conflict", "message": "no", "retryable": false,
            "retry_after_ms": 7, "details": {"why": "because"}})
    );
    assert_eq!(client.ok("lab.typed", json!({"number": 41})), 42);
    scene.root().ok("lab.called", json!({}));
}

fn a_response_repeats_the_command_and_the_data_byte_for_byte(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    client.text(
        r#"{"type":"command","id":"ä\"1","channel":"lab","action":"who","x":1,"timestamp":"2026-02-26T18:45:00Z"}"#,
    );
    let response = client.response("ä\"1");
    assert_eq!(response["data"]["id"], "ä\"1");
    assert_eq!(response["data"]["identity"], "root");
    assert_eq!(response["data"]["address"], "127.0.0.1");
    // Numbers that no double holds come back as they were.
    client.text(r#"{"type":"command","id":"n","channel":"lab","action":"echo","data":123456789012345678901234567890}"#);
    assert_eq!(client.response("n")["status"], "success");
    client.text(r#"{"type":"command","channel":"lab","action":"echo","data":"without an id"}"#);
    let response = client.next().unwrap();
    assert!(response["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert_eq!(response["data"], "without an id");
}
