//! What administrators see and do: lists over all workers, closing connections, blocks.

use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, eventually, scenarios};

scenarios! {
    lists_are_paged_across_workers
    a_disconnect_closes_those_that_are_meant
    a_block_holds_at_once_and_until_it_is_lifted
}

/// All pages of a list; each row's key is in this field.
fn pages(client: &mut Client, list: &str, limit: usize) -> Vec<Value> {
    let mut rows: Vec<Value> = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = client.ok(&format!("system.{list}"), json!({"limit": limit, "after": after}));
        let items = page["items"].as_array().unwrap();
        assert!(items.len() <= limit, "{list}: {page}");
        rows.extend(items.iter().cloned());
        if page["next"].is_null() {
            return rows;
        }
        assert_eq!(items.len(), limit, "only the last page is short: {page}");
        after = page["next"].clone();
    }
}

fn distinct(rows: &[Value], field: &str) -> Vec<String> {
    let mut found: Vec<String> = rows.iter().map(|row| row[field].as_str().unwrap().to_owned()).collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn lists_are_paged_across_workers(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect", "subscribe:>", "publish:>"]);
    let scene = stage.start();
    let mut clients: Vec<Client> = (0..10).map(|_| scene.client(&ann)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.subscribe(&[&format!("list.t{index:02}")]);
        client.publish(&format!("list.t{index:02}"), json!(1));
    }
    let mut admin = scene.root();
    for limit in [1, 4, 11, 1000] {
        let sessions = pages(&mut admin, "sessions", limit);
        assert_eq!((sessions.len(), distinct(&sessions, "session").len()), (11, 11), "in pages of {limit}");
        let mut own: Vec<String> =
            clients.iter().map(|client| client.session["session"].as_str().unwrap().to_owned()).collect();
        own.push(admin.session["session"].as_str().unwrap().to_owned());
        own.sort_unstable();
        assert_eq!(distinct(&sessions, "session"), own);
        let connections = pages(&mut admin, "connections", limit);
        assert_eq!((connections.len(), distinct(&connections, "connection").len()), (11, 11));
        assert_eq!(connections.iter().filter(|row| row["identity"] == "ann" && row["subscriptions"] == 1).count(), 10);
        let topics = pages(&mut admin, "topics", limit);
        let expected: Vec<String> = (0..10).map(|index| format!("list.t{index:02}")).collect();
        assert_eq!((topics.len(), distinct(&topics, "topic")), (10, expected));
        assert!(topics.iter().all(|row| row["offset"] == 1 && row["subscriptions"] == 1), "{topics:?}");
        let channels = pages(&mut admin, "channels", limit);
        assert_eq!(distinct(&channels, "channel"), ["lab", "network", "system"]);
    }
    for wrong in [json!({"limit": 0}), json!({"limit": 1001}), json!({"after": 1})] {
        assert_eq!(admin.refused("system.sessions", wrong), "bad_data");
    }
}

fn a_disconnect_closes_those_that_are_meant(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect"]);
    let bob = stage.key("bob", &["connect"]);
    let scene = stage.start();
    let mut admin = scene.root();
    let mut anns: Vec<Client> = (0..6).map(|_| scene.client(&ann)).collect();
    let mut bobs = [scene.client(&bob), scene.client(&bob)];
    assert_eq!(admin.ok("system.disconnect", json!({"identity": "ann"})), json!({"disconnected": 6}));
    for ann in &mut anns {
        assert_eq!(ann.closed(4003), "disconnected by an administrator");
    }
    scene.settles("/connections/closed_by_reason/disconnected", 6);
    let who = bobs[0].ok("lab.who", json!({}))["connection"].clone();
    assert_eq!(admin.ok("system.disconnect", json!({ "connection": who })), json!({"disconnected": 1}));
    bobs[0].closed(4003);
    scene.settles("/connections/closed_by_reason/disconnected", 7);
    bobs[1].ping();
    for (data, code) in [
        (json!({"identity": "ann"}), "not_found"),
        (json!({ "connection": who }), "not_found"),
        (json!({"address": "192.0.2.1"}), "not_found"),
        (json!({"connection": "x"}), "bad_data"),
        (json!({"identity": "bob", "address": "::1"}), "bad_data"),
        (json!({}), "bad_data"),
    ] {
        assert_eq!(admin.refused("system.disconnect", data.clone()), code, "{data}");
    }
    assert_eq!(bobs[1].refused("system.disconnect", json!({"identity": "root"})), "forbidden");
    // Nothing keeps them from coming back.
    scene.client(&ann).ping();
}

fn a_block_holds_at_once_and_until_it_is_lifted(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect", "subscribe:>"]);
    let bob = stage.key("bob", &["connect"]);
    let scene = stage.start();
    let mut admin = scene.root();
    let mut bystander = scene.client(&bob);
    let mut anns: Vec<Client> = (0..6).map(|_| scene.client(&ann)).collect();
    for ann in &mut anns {
        ann.subscribe(&["a.>"]);
    }
    let said = admin.ok("system.block", json!({"identity": "ann", "duration_s": 60, "reason": "noise"}));
    assert_eq!(said["blocked"], "ann");
    for ann in &mut anns {
        ann.closed(1008);
    }
    scene.settles("/connections/closed_by_reason/blocked", 6);
    assert_eq!(scene.figure("/limits/blocks"), 1);
    for _ in 0..4 {
        let refusal = eventually("ann is refused", || scene.try_client(&ann).err());
        assert_eq!((refusal.status, refusal.json()["error"]["code"].as_str()), (429, Some("blocked")), "{refusal:?}");
        let after: u64 = refusal.field("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&after), "{refusal:?}");
    }
    bystander.ping();
    admin.ok("system.unblock", json!({"identity": "ann"}));
    eventually("ann is let in", || scene.try_client(&ann).ok()).ping();
    assert_eq!(admin.refused("system.unblock", json!({"identity": "ann"})), "not_found");
    assert_eq!(scene.figure("/limits/blocks"), 0);

    // An address of nobody here, as a network.
    admin.ok("system.block", json!({"address": "192.0.2.0/24"}));
    scene.client(&ann).ping();
    admin.ok("system.unblock", json!({"address": "192.0.2.0/24"}));
    for wrong in [json!({}), json!({"identity": "a", "address": "::1"}), json!({"identity": "a", "duration_s": 0})] {
        assert_eq!(admin.refused("system.block", wrong), "bad_data");
    }
}

// Kept beside the others so that a scene of one kind is seen to need no administrator.
#[test]
fn a_server_without_connections_is_empty() {
    drop(Scene::start(Variant::PLAIN_SEVERAL));
}
