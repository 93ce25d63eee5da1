//! Subscribers that do not read as fast as they are sent to, and what they asked for then.

use serde_json::{Value, json};

use crate::harness::{Client, PATIENCE, Scene, Stage, Variant, scenarios, topic_of};

scenarios! {
    by_default_a_slow_subscriber_is_let_go
    the_oldest_are_dropped_and_the_subscriber_is_told
    conflation_keeps_the_newest_of_each_topic
}

/// Room in the queue, in bytes.
const QUEUE: usize = 128 * 1024;
/// Bytes of one event.
const EVENT: usize = 40_000;
/// More events than any kernel buffers.
const EVENTS_MAX: u64 = 3000;

fn start(variant: Variant) -> Scene {
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.max_message_size = QUEUE;
    stage.config.web_socket_server.max_frame_size = QUEUE;
    stage.config.outbound.max_bytes_per_connection = QUEUE;
    stage.start()
}

/// A client that reads nothing from now on, until it is asked to.
fn slow(scene: &Scene, topics: &[&str], options: Value) -> Client {
    let mut client = Client::connect(scene.narrow_stream(), &format!("Authorization: Key {}\r\n", scene.admin))
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    client.subscribe_with(topics, options);
    client
}

/// Publishes in turn to these topics until so many were dropped; gives how many were published.
/// A quick subscriber of everything gets them all meanwhile.
fn flood(scene: &Scene, topics: &[&str], dropped: &str, count: u64) -> u64 {
    let mut quick = scene.root();
    quick.subscribe(&["slow.>"]);
    let mut publisher = scene.root();
    let filler = "x".repeat(EVENT);
    let began = std::time::Instant::now();
    for n in 0..EVENTS_MAX {
        assert!(began.elapsed() < PATIENCE * 2, "only {} of {n} events were dropped", scene.figure(dropped));
        let topic = topics[n as usize % topics.len()];
        publisher.publish(topic, json!({"n": n, "filler": filler}));
        assert_eq!(quick.next_event()["data"]["n"], n, "a slow one holds nobody up");
        if scene.figure(dropped) >= count {
            return n + 1;
        }
    }
    panic!("{EVENTS_MAX} events were not too many");
}

fn by_default_a_slow_subscriber_is_let_go(variant: Variant) {
    let scene = start(variant);
    let mut client = slow(&scene, &["slow.a"], json!({}));
    flood(&scene, &["slow.a"], "/delivery/dropped/disconnect", 1);
    client.closed(1013);
    scene.settles("/connections/closed_by_reason/slow_consumer", 1);
    let mut count = 0;
    while let Some(event) = client.next() {
        assert_eq!(event["data"]["n"], count, "what was delivered has no hole");
        count += 1;
    }
    assert!(count > 0);
}

fn the_oldest_are_dropped_and_the_subscriber_is_told(variant: Variant) {
    let scene = start(variant);
    let mut client = slow(&scene, &["slow.a"], json!({"overflow": "drop_oldest"}));
    let published = flood(&scene, &["slow.a"], "/delivery/dropped/drop_oldest", 30);
    let (mut got, mut dropped, mut last) = (0, 0, None);
    while got + dropped < published {
        let message = client.next().unwrap();
        match topic_of(&message).as_deref() {
            Some("slow.a") => {
                let n = message["data"]["n"].as_u64();
                assert!(n > last, "{n:?} after {last:?}");
                (got, last) = (got + 1, n);
            }
            Some("system.dropped") => {
                assert_eq!(message["data"]["topics"], json!(["slow.a"]));
                dropped += message["data"]["dropped"].as_u64().unwrap();
            }
            _ => panic!("{message}"),
        }
    }
    assert_eq!((got + dropped, last), (published, Some(published - 1)));
    assert_eq!(scene.figure("/delivery/dropped/drop_oldest"), dropped);
    // It has caught up, and goes on as before.
    assert_eq!(client.publish("slow.a", json!("after")), 1);
    client.expect_event("slow.a", &json!("after"));
}

fn conflation_keeps_the_newest_of_each_topic(variant: Variant) {
    let scene = start(variant);
    let topics = ["slow.a", "slow.b"];
    let mut client = slow(&scene, &["slow.*"], json!({"conflate": true}));
    let published = flood(&scene, &topics, "/delivery/dropped/conflate", 30);
    let mut last: [Option<u64>; 2] = [None; 2];
    let mut got = 0;
    while last.iter().max() != Some(&Some(published - 1)) || last.iter().min() != Some(&Some(published - 2)) {
        let event = client.next_event();
        let n = event["data"]["n"].as_u64();
        let place = usize::from(event["action"] == "b");
        assert!(n > last[place], "{n:?} after {last:?}");
        last[place] = n;
        got += 1;
    }
    assert_eq!(got + scene.figure("/delivery/dropped/conflate"), published);
}
