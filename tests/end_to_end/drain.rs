//! Stopping while commands are under way.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, eventually, scenarios};

scenarios! {
    each_command_under_way_is_answered_and_then_all_are_told
    with_short_timeouts_commands_are_answered_all_the_same
    a_server_that_is_dropped_tells_everybody_too
}

/// Commands may go on for this long at most.
const GRACE: Duration = Duration::from_secs(2);
/// What a busy machine may add to a time.
const SLACK: Duration = Duration::from_secs(3);

/// Stops a server with commands under way, of which every second is answered in time.
fn stop_amid(stage: Stage) {
    const EACH: usize = 25;
    let drain_timeout = stage.config.shutdown.drain_timeout.min(stage.config.web_socket_server.close_timeout);
    let mut scene = stage.start();
    let mut clients: Vec<Client> = (0..4).map(|_| scene.root()).collect();
    let mut idle = scene.root();
    for client in &mut clients {
        for _ in 0..EACH {
            client.send("lab.late", &json!({}));
        }
    }
    eventually("all are under way", || (scene.lab.waiting() == 4 * EACH).then_some(()));
    let server = scene.take_server();
    let began = Instant::now();
    let stopping = thread::spawn(move || server.stop());
    let mut kept = Vec::new();
    for (index, (id, responder)) in scene.lab.take().into_iter().enumerate() {
        if index % 2 == 0 { responder.done(json!(id).to_string()) } else { kept.push(responder) }
    }
    // Who asked for nothing need not wait.
    check_told(&mut idle);
    let mut answered: BTreeMap<&str, usize> = BTreeMap::new();
    for client in &mut clients {
        let mut ids: Vec<String> = Vec::new();
        check_told(client);
        while let Some(response) = client.next() {
            assert_eq!(response["type"], "response", "{response}");
            let id = response["id"].as_str().unwrap().to_owned();
            let outcome = match response["status"].as_str() {
                Some("success") => {
                    assert_eq!(response["data"], id);
                    "success"
                }
                _ => {
                    assert_eq!(
                        (&response["error"]["code"], &response["error"]["retryable"]),
                        (&json!("draining"), &json!(true))
                    );
                    "draining"
                }
            };
            *answered.entry(outcome).or_default() += 1;
            ids.push(id);
        }
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), EACH, "each has exactly one response");
    }
    assert_eq!(answered.values().sum::<usize>(), 4 * EACH);
    assert!(answered["draining"] >= 2 * EACH && answered["success"] > 0, "{answered:?}");
    stopping.join().unwrap();
    assert!(began.elapsed() < drain_timeout.max(GRACE) + SLACK, "{:?}", began.elapsed());
    // Answers that come when all is over hold nobody up.
    let began = Instant::now();
    drop(kept);
    assert!(began.elapsed() < SLACK, "{:?}", began.elapsed());
}

fn check_told(client: &mut Client) {
    let reason = client.closed(1001);
    let delay = reason.strip_prefix("draining; reconnect_after_ms=").unwrap_or_else(|| panic!("{reason}"));
    assert!(delay.parse::<u64>().unwrap() <= 10_000, "{reason}");
}

fn each_command_under_way_is_answered_and_then_all_are_told(variant: Variant) {
    stop_amid(Stage::new(variant));
}

fn with_short_timeouts_commands_are_answered_all_the_same(variant: Variant) {
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.close_timeout = Duration::from_secs(1);
    stop_amid(stage);
    let mut stage = Stage::new(variant);
    stage.config.shutdown.drain_timeout = Duration::from_secs(1);
    stop_amid(stage);
}

fn a_server_that_is_dropped_tells_everybody_too(variant: Variant) {
    let mut scene = Scene::start(variant);
    let mut clients: Vec<Client> = (0..5).map(|_| scene.root()).collect();
    clients[0].subscribe(&["a.>"]);
    let server = scene.take_server();
    let dropping = thread::spawn(move || drop(server));
    for client in &mut clients {
        check_told(client);
        assert_eq!(client.next(), None::<Value>);
    }
    dropping.join().unwrap();
}
