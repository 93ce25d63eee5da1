//! Publishing and subscribing: patterns, order, what is retained, filters, presence, history.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, command, scenarios, topic_of};

scenarios! {
    patterns_match_across_workers
    overlapping_subscriptions_give_one_event_each_time
    each_topic_has_one_order_for_all
    what_is_retained_comes_first_and_once
    filters_let_pass_what_they_ask_for
    after_unsubscribing_nothing_comes
    presence_counts_identities_and_connections
    history_tells_what_is_kept_and_what_is_missing
    each_pattern_is_granted_or_refused_by_itself
}

/// Topics enough that each of three workers owns some.
const TOPICS: [&str; 8] = ["m.a.x", "m.b.x", "m.c.x", "m.d.x", "m.a.y", "m.b.y", "m.a", "n.a.x"];

fn patterns_match_across_workers(variant: Variant) {
    let scene = Scene::start(variant);
    let cases: [(&str, &[usize]); 6] = [
        ("m.a.x", &[0]),
        ("m.*.x", &[0, 1, 2, 3]),
        ("m.>", &[0, 1, 2, 3, 4, 5, 6]),
        ("*.a.*", &[0, 4, 7]),
        (">", &[0, 1, 2, 3, 4, 5, 6, 7]),
        ("m.a", &[6]),
    ];
    let mut subscribers: Vec<Client> = cases
        .iter()
        .map(|(pattern, _)| {
            let mut client = scene.root();
            client.subscribe(&[pattern]);
            client
        })
        .collect();
    let mut publisher = scene.root();
    for (index, topic) in TOPICS.iter().enumerate() {
        let receivers = cases.iter().filter(|(_, matched)| matched.contains(&index)).count();
        assert_eq!(publisher.publish(topic, json!(index)), receivers as u64, "{topic}");
    }
    for ((pattern, matched), client) in cases.iter().zip(&mut subscribers) {
        // Events of different topics come in any order.
        let mut found: Vec<u64> = matched
            .iter()
            .map(|_| {
                let event = client.next_event();
                let index = event["data"].as_u64().unwrap();
                assert_eq!(topic_of(&event).as_deref(), Some(TOPICS[index as usize]), "{pattern}");
                index
            })
            .collect();
        found.sort_unstable();
        assert!(found.iter().copied().eq(matched.iter().map(|index| *index as u64)), "{pattern}: {found:?}");
    }
    for client in &mut subscribers {
        assert_eq!(client.leftovers(), [] as [Value; 0]);
    }
}

fn overlapping_subscriptions_give_one_event_each_time(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    client.subscribe(&["o.a", "o.*", "o.>", ">"]);
    client.subscribe(&["o.a"]);
    assert_eq!(scene.figure("/subscriptions"), 4);
    client.send("system.publish", &json!({"topic": "o.a", "payload": 1}));
    client.expect_event("o.a", &json!(1));
    client.response("c-3");
    assert_eq!(client.leftovers(), [] as [Value; 0], "a client gets an event once, by whichever pattern");
}

fn each_topic_has_one_order_for_all(variant: Variant) {
    const EACH: usize = 334;
    let scene = Scene::start(variant);
    let topics = ["order.a", "order.b", "order.c", "order.d"];
    let mut subscribers = [scene.root(), scene.root(), scene.root()];
    subscribers[0].subscribe(&topics);
    subscribers[1].subscribe(&["order.*"]);
    subscribers[2].subscribe(&["order.>"]);
    let mut publishers = [scene.root(), scene.root(), scene.root()];
    for begin in (0..EACH).step_by(20) {
        for (who, publisher) in publishers.iter_mut().enumerate() {
            publisher.texts((begin..EACH.min(begin + 20)).map(|n| {
                let data = json!({"topic": topics[n % 4], "payload": [who, n]});
                command(&format!("p-{n}"), "system.publish", &data)
            }));
        }
    }
    for publisher in &mut publishers {
        for n in 0..EACH {
            let response = publisher.response(&format!("p-{n}"));
            assert_eq!(response["data"]["receivers"], 3, "{response}");
        }
    }
    let mut first: Option<BTreeMap<String, Vec<Value>>> = None;
    for subscriber in &mut subscribers {
        let mut by_topic: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for _ in 0..3 * EACH {
            let event = subscriber.next_event();
            by_topic.entry(topic_of(&event).unwrap()).or_default().push(json!([event["id"], event["data"]]));
        }
        for (topic, events) in &by_topic {
            check_order(topic, events);
        }
        assert_eq!(by_topic.len(), 4);
        match &first {
            None => first = Some(by_topic),
            Some(first) => assert_eq!(*first, by_topic, "all see the same"),
        }
    }
}

/// Offsets without a gap, and each publisher's events in the order of their sending.
fn check_order(topic: &str, events: &[Value]) {
    let mut last = [None; 3];
    for (index, event) in events.iter().enumerate() {
        let (epoch, offset) = event[0].as_str().unwrap().rsplit_once('-').unwrap();
        assert_eq!(offset.parse(), Ok(index + 1), "{topic}: {event}");
        assert!(events[0][0].as_str().unwrap().starts_with(epoch), "{topic}: {event}");
        let (who, n) = (event[1][0].as_u64().unwrap() as usize, event[1][1].as_u64());
        assert!(last[who] < n, "{topic}: {event} after {last:?}");
        last[who] = n;
    }
}

fn what_is_retained_comes_first_and_once(variant: Variant) {
    let scene = Scene::start(variant);
    let mut publisher = scene.root();
    let retain = |client: &mut Client, topic: &str, payload: Value| {
        client.ok("system.publish", json!({"topic": topic, "payload": payload, "retain": true}));
    };
    for (index, topic) in TOPICS.iter().enumerate() {
        retain(&mut publisher, topic, json!(["old", index]));
        retain(&mut publisher, topic, json!([index]));
    }
    publisher.publish("m.a.x", json!("not kept"));
    retain(&mut publisher, "m.b.x", Value::Null);

    let mut plain = scene.root();
    plain.subscribe(&["m.a.x"]);
    let mut exact = scene.root();
    exact.subscribe_with(&["m.a.x"], json!({"from": "last"}));
    exact.expect_event("m.a.x", &json!([0]));
    let mut all = scene.root();
    all.subscribe_with(&["m.>"], json!({"from": "last"}));
    let mut found: Vec<u64> = (0..6).map(|_| all.next_event()["data"][0].as_u64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, [0, 2, 3, 4, 5, 6], "one each, and none for what was cleared");
    let mut some = scene.root();
    some.subscribe_with(&["m.>"], json!({"from": "last", "filter": {"0": 3}}));
    for client in [&mut plain, &mut exact, &mut all, &mut some] {
        let left = client.leftovers();
        assert!(left.iter().all(|event| event["data"] == json!([3])), "{left:?}");
    }
    publisher.publish("m.a.x", json!("new"));
    for client in [&mut plain, &mut exact, &mut all] {
        client.expect_event("m.a.x", &json!("new"));
    }
}

fn filters_let_pass_what_they_ask_for(variant: Variant) {
    let scene = Scene::start(variant);
    let filters = [
        json!({"room": "kitchen"}),
        json!({"temp": {"gt": 20, "le": 25}}),
        json!({"room": {"in": ["hall", "kitchen"]}, "sensor.id": {"exists": true}}),
        json!({"room": {"prefix": "ki"}, "temp": {"ne": 21}}),
    ];
    let events = [
        (json!({"room": "kitchen", "temp": 21}), [true, true, false, false]),
        (json!({"room": "hall", "temp": 25, "sensor": {"id": 1}}), [false, true, true, false]),
        (json!({"room": "kiosk", "temp": 26}), [false, false, false, true]),
        (json!({"room": "kitchen", "sensor": {"id": null}}), [true, false, true, true]),
        (json!("kitchen"), [false; 4]),
        (Value::Null, [false; 4]),
    ];
    let mut subscribers: Vec<Client> = filters
        .iter()
        .map(|filter| {
            let mut client = scene.root();
            client.subscribe_with(&["home.*"], json!({ "filter": filter }));
            client
        })
        .collect();
    let mut publisher = scene.root();
    for (payload, passes) in &events {
        let receivers = passes.iter().filter(|passes| **passes).count() as u64;
        assert_eq!(publisher.publish("home.sensor", payload.clone()), receivers, "{payload}");
    }
    for (index, client) in subscribers.iter_mut().enumerate() {
        for (payload, _) in events.iter().filter(|(_, passes)| passes[index]) {
            client.expect_event("home.sensor", payload);
        }
        assert_eq!(client.leftovers(), [] as [Value; 0], "{}", filters[index]);
    }
    let bad = json!({"topics": ["home.x"], "filter": {"a": {"unheard_of": 1}}});
    assert_eq!(publisher.refused("system.subscribe", bad), "bad_data");
}

fn after_unsubscribing_nothing_comes(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    let mut publisher = scene.root();
    client.subscribe(&["u.a", "u.*", "v.>"]);
    assert_eq!(publisher.publish("u.a", json!(1)), 1);
    let answer = client.ok("system.unsubscribe", json!({"topics": ["u.*", "never.was"]}));
    assert_eq!(
        answer,
        json!({"topics": [{"topic": "u.*", "was_subscribed": true}, {"topic": "never.was", "was_subscribed": false}]})
    );
    // Another worker hears of it at its own pace, but before it hears of what comes later.
    assert_eq!(client.publish("u.b", json!(2)), 0);
    assert_eq!(client.publish("u.a", json!(3)), 1);
    client.ok("system.unsubscribe", json!({"topics": ["u.a", "v.>"]}));
    assert_eq!(client.publish("u.a", json!(4)), 0);
    assert_eq!(client.publish("v.a", json!(5)), 0);
    assert_eq!(scene.figure("/subscriptions"), 0);
    client.expect_event("u.a", &json!(1));
    client.expect_event("u.a", &json!(3));
    assert_eq!(client.leftovers(), [] as [Value; 0]);
    client.subscribe(&["u.a"]);
    assert_eq!(client.publish("u.a", json!(6)), 1);
    client.expect_event("u.a", &json!(6));
}

fn presence_counts_identities_and_connections(variant: Variant) {
    let stage = Stage::new(variant);
    let tokens: Vec<String> =
        ["ann", "bob", "cat"].iter().map(|name| stage.key(name, &["connect", "subscribe:room.>"])).collect();
    let scene = stage.start();
    let mut clients: Vec<Client> = [0, 0, 1, 2, 2, 2].iter().map(|who| scene.client(&tokens[*who])).collect();
    for (client, pattern) in clients.iter_mut().zip(["room.a", "room.*", "room.>", "room.a", "room.b", "room.*"]) {
        client.subscribe(&[pattern]);
    }
    let present = |client: &mut Client, data: Value| client.ok("system.presence", data);
    let identities = json!([{"identity": "ann", "connections": 2}, {"identity": "bob", "connections": 1},
        {"identity": "cat", "connections": 2}]);
    let all = present(&mut clients[0], json!({"topic": "room.a"}));
    assert_eq!(all, json!({"topic": "room.a", "connections": 5, "identities": identities, "next": null}));
    let page = present(&mut clients[0], json!({"topic": "room.a", "limit": 2}));
    assert_eq!((page["identities"].as_array().unwrap().len(), &page["next"]), (2, &json!("bob")));
    let page = present(&mut clients[0], json!({"topic": "room.a", "limit": 2, "after": "bob"}));
    assert_eq!((&page["identities"], &page["next"]), (&json!([identities[2]]), &Value::Null));
    assert_eq!(clients[0].refused("system.presence", json!({"topic": "hall.a"})), "forbidden");

    // Whoever goes is no longer there.
    clients.truncate(1);
    scene.settles("/sessions", 1);
    crate::harness::eventually("ann alone is there", || {
        let now = present(&mut clients[0], json!({"topic": "room.a"}));
        (now["identities"] == json!([{"identity": "ann", "connections": 1}])).then_some(())
    });
}

fn history_tells_what_is_kept_and_what_is_missing(variant: Variant) {
    let scene = Scene::start(variant);
    let mut client = scene.root();
    for topic in TOPICS {
        let nothing = client.ok("system.history", json!({ "topic": topic }));
        assert_eq!(nothing, json!({"topic": topic, "events": [], "missing": false, "more": false}));
        client.publish(topic, json!("not kept"));
        let kept = client.ok("system.publish", json!({"topic": topic, "payload": {"x": 1}, "retain": true}));
        let history = client.ok("system.history", json!({ "topic": topic }));
        assert_eq!(history["missing"], true);
        let events = history["events"].as_array().unwrap();
        assert_eq!(events.len(), 1);
        assert_eq!((&events[0]["id"], &events[0]["data"]), (&kept["event"], &json!({"x": 1})));
        let since = client.ok("system.history", json!({"topic": topic, "since": 1}));
        assert_eq!((since["events"].as_array().unwrap().len(), &since["missing"]), (1, &json!(false)));
        let since = client.ok("system.history", json!({"topic": topic, "since": 2}));
        assert_eq!((since["events"].as_array().unwrap().len(), &since["missing"]), (0, &json!(false)));
    }
}

fn each_pattern_is_granted_or_refused_by_itself(variant: Variant) {
    let mut stage = Stage::new(variant);
    stage.config.topics.max_subscriptions_per_connection = 3;
    let ann = stage.key("ann", &["connect", "subscribe:a.>", "publish:>"]);
    let scene = stage.start();
    let mut client = scene.client(&ann);
    let answer = client.ok("system.subscribe", json!({"topics": ["a.1", "b.1", "a.*", "a.2", "a.3"]}));
    let granted: Vec<bool> =
        answer["topics"].as_array().unwrap().iter().map(|topic| topic["granted"].as_bool().unwrap()).collect();
    assert_eq!(granted, [true, false, true, true, false]);
    assert_eq!(answer["topics"][1]["error"]["code"], "forbidden");
    assert_eq!(answer["topics"][4]["error"]["code"], "too_large");
    assert_eq!(client.refused("system.subscribe", json!({"topics": [">", "b.>"]})), "forbidden");
    assert_eq!(scene.figure("/subscriptions"), 3);
    assert_eq!(client.publish("b.1", json!(1)), 0);
    assert_eq!(client.publish("a.1", json!(1)), 1);
    client.expect_event("a.1", &json!(1));
}
