//! What handlers may do: answer, answer later, too late, never, panic, emit.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Scene, Stage, Variant, eventually, logged, scenarios};

scenarios! {
    a_handler_that_panics_costs_its_command_an_incident_and_nothing_else
    a_command_that_nobody_answers_is_answered_all_the_same
    after_the_timeout_a_late_answer_is_ignored
    an_answer_for_a_client_that_is_gone_is_ignored
    events_of_a_channel_reach_its_subscribers_in_order
}

/// Calls a handler with a defect; gives the log's line of the incident.
fn incident(scene: &Scene, client: &mut crate::harness::Client, name: &str) -> String {
    let error = client.call(name, json!({})).unwrap_err();
    assert_eq!(error["code"], "internal", "{name}: {error}");
    let incident = error["details"]["incident"].as_str().unwrap_or_else(|| panic!("{name}: {error}"));
    assert!(!error.to_string().contains("secret"), "the client learns nothing of the cause: {error}");
    assert_eq!(client.leftovers(), [] as [Value; 0], "{name}: one answer");
    assert_eq!(scene.figure("/connections/by_state/connected"), 2);
    eventually("the incident is in the log", || logged(&format!("incident={incident} ")))
}

fn a_handler_that_panics_costs_its_command_an_incident_and_nothing_else(variant: Variant) {
    let mut scene = Scene::start(variant);
    let mut bystander = scene.root();
    bystander.subscribe(&["lab.>"]);
    let mut client = scene.root();
    client.subscribe(&["panics.>"]);
    scene.panics = 12;
    for round in 1..=4 {
        let line = incident(&scene, &mut client, "lab.panic");
        assert!(line.contains("the secret cause") && line.contains("lab.panic"), "{line}");
        let line = incident(&scene, &mut client, "lab.panic_late");
        assert!(line.contains("the secret cause"), "{line}");
        let line = incident(&scene, &mut client, "lab.panic_odd");
        assert!(line.contains("a panic without text"), "{line}");
        assert_eq!(scene.figure("/errors/application/internal"), 3 * round);
        assert_eq!(scene.metric("hydrogen_handler_panics_total"), 3 * round);
    }
    // The connection, its subscriptions, the worker and everybody else go on.
    assert_eq!(bystander.publish("panics.over", json!(1)), 1);
    client.expect_event("panics.over", &json!(1));
    scene.lab.emit("over", "2", false);
    bystander.expect_event("lab.over", &json!(2));
    scene.root().ping();
}

fn a_command_that_nobody_answers_is_answered_all_the_same(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    let _other = scene.root();
    let line = incident(&scene, &mut client, "lab.dropped");
    assert!(line.contains("ended without an answer"), "{line}");
    let line = incident(&scene, &mut client, "lab.promised");
    assert!(line.contains("took no responder"), "{line}");
    // Answered at once after the right to answer later was taken: that is the one answer.
    assert_eq!(client.ok("lab.late_and_now", json!({})), "now");
    for (_, responder) in scene.lab.take() {
        responder.done("\"again\"");
    }
    assert_eq!(client.leftovers(), [] as [Value; 0]);
}

fn after_the_timeout_a_late_answer_is_ignored(variant: Variant) {
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.command_timeout = Duration::from_secs(1);
    let scene = stage.start();
    let mut client = scene.root();
    let began = Instant::now();
    let late: Vec<String> = (0..20).map(|_| client.send("lab.late", &json!({}))).collect();
    eventually("all wait", || (scene.lab.waiting() == 20).then_some(()));
    let mut held = scene.lab.take();
    let (id, in_time) = held.remove(7);
    in_time.done("\"in time\"");
    assert_eq!(client.response(&id)["data"], "in time");
    for other in late.iter().filter(|other| **other != id) {
        let error = client.response(other)["error"].clone();
        assert_eq!((&error["code"], &error["retryable"]), (&json!("timeout"), &json!(true)), "{error}");
    }
    assert!(began.elapsed() >= Duration::from_secs(1));
    for (_, too_late) in held {
        too_late.done("\"too late\"");
    }
    assert_eq!(client.leftovers(), [] as [Value; 0]);
    assert_eq!(scene.figure("/errors/application/timeout"), 19);
}

fn an_answer_for_a_client_that_is_gone_is_ignored(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    for _ in 0..10 {
        client.send("lab.late", &json!({}));
    }
    eventually("all wait", || (scene.lab.waiting() == 10).then_some(()));
    drop(client);
    scene.settles("/sessions", 0);
    // Clients that take the place of the one that is gone get nothing that was its.
    let mut others: Vec<_> = (0..6).map(|_| scene.root()).collect();
    for (_, responder) in scene.lab.take() {
        responder.done("\"for nobody\"");
    }
    for other in &mut others {
        assert_eq!(other.leftovers(), [] as [Value; 0]);
    }
}

fn events_of_a_channel_reach_its_subscribers_in_order(variant: Variant) {
    let scene = Scene::start(variant);
    let mut exact = scene.root();
    exact.subscribe(&["lab.tick.a", "lab.tick.b"]);
    let mut all = scene.root();
    all.subscribe(&["lab.>"]);
    let lab = scene.lab.clone();
    let emitting = std::thread::spawn(move || {
        for n in 0..200 {
            lab.emit(if n % 2 == 0 { "tick.a" } else { "tick.b" }, &n.to_string(), n >= 198);
        }
    });
    for client in [&mut exact, &mut all] {
        let mut numbers = [Vec::new(), Vec::new()];
        for _ in 0..200 {
            let event = client.next_event();
            let n = event["data"].as_u64().unwrap();
            assert_eq!(event["action"], if n % 2 == 0 { "tick.a" } else { "tick.b" });
            numbers[(n % 2) as usize].push(n);
        }
        for (index, numbers) in numbers.iter().enumerate() {
            assert!(numbers.iter().copied().eq((index as u64..200).step_by(2)), "{numbers:?}");
        }
    }
    emitting.join().unwrap();
    let mut later = scene.root();
    later.subscribe_with(&["lab.*.a"], json!({"from": "last"}));
    later.expect_event("lab.tick.a", &json!(198));
    // The channel's topics are an identity's to publish too, if it may.
    assert_eq!(later.publish("lab.tick.a", json!("x")), 3);
    later.expect_event("lab.tick.a", &json!("x"));
}
