//! Credentials that change while their connections are open.

use std::path::Path;
use std::time::{Duration, Instant};

use hydrogen::sys::keyfile;
use serde_json::{Value, json};

use crate::harness::{Client, Scene, Stage, Variant, eventually, scenarios, wall};

scenarios! {
    a_key_that_is_revoked_ends_its_connections
    a_key_that_expires_ends_its_connections
    what_an_identity_may_no_longer_hear_ends
    a_key_that_is_added_opens_without_a_restart
    a_credential_may_come_in_band
}

/// The keeper looks at the keys file each second.
const SOON: Duration = Duration::from_secs(3);

fn a_key_that_is_revoked_ends_its_connections(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect"]);
    let bob = stage.key("bob", &["connect"]);
    let scene = stage.start();
    let mut anns: Vec<Client> = (0..6).map(|_| scene.client(&ann)).collect();
    let mut bystander = scene.client(&bob);
    let began = Instant::now();
    keyfile::revoke(&scene.keys_path(), "ann", wall(Duration::ZERO)).unwrap();
    for ann in &mut anns {
        ann.closed(4001);
    }
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let refusal = scene.try_client(&ann).err().unwrap();
    assert_eq!(refusal.status, 401);
    bystander.ping();
    scene.client(&bob).ping();
}

fn a_key_that_expires_ends_its_connections(variant: Variant) {
    let stage = Stage::new(variant);
    let expires = wall(Duration::from_millis(3500));
    let ann = stage.key_until("ann", &["connect"], expires);
    let scene = stage.start();
    let mut anns = [scene.client(&ann), scene.client(&ann), scene.client(&ann)];
    assert_eq!(anns[0].session["expires"], expires.to_string());
    anns.iter_mut().for_each(Client::ping);
    for ann in &mut anns {
        ann.closed(4001);
        assert!(wall(Duration::ZERO) >= expires);
    }
    let refusal = scene.try_client(&ann).err().unwrap();
    assert_eq!(refusal.status, 401);
    scene.settles("/connections/closed_by_reason/credential_expired", 3);
}

/// Writes other permissions into the keys file, as an editor would that puts a new file in place.
fn set_permissions(path: &Path, name: &str, permissions: &[&str]) {
    let mut keys: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let key = keys["keys"].as_array_mut().unwrap().iter_mut().find(|key| key["name"] == name).unwrap();
    key["permissions"] = json!(permissions);
    let new = path.with_extension("edited");
    std::fs::write(&new, keys.to_string()).unwrap();
    std::fs::set_permissions(&new, std::fs::metadata(path).unwrap().permissions()).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn what_an_identity_may_no_longer_hear_ends(variant: Variant) {
    let stage = Stage::new(variant);
    let ann = stage.key("ann", &["connect", "subscribe:a.>", "subscribe:b.>", "publish:>"]);
    let scene = stage.start();
    let mut admin = scene.root();
    let mut anns = [scene.client(&ann), scene.client(&ann), scene.client(&ann)];
    for ann in &mut anns {
        ann.subscribe(&["a.x", "a.>", "b.x", "b.*"]);
    }
    assert_eq!(admin.publish("a.x", json!(1)), 3);
    set_permissions(&scene.keys_path(), "ann", &["connect", "subscribe:b.>"]);
    scene.server().stopper().reload();
    for ann in &mut anns {
        let told = ann.event("system.unsubscribed");
        assert_eq!(told["data"], json!({"topics": ["a.>", "a.x"], "reason": "forbidden"}));
        ann.expect_event("a.x", &json!(1));
    }
    eventually("nobody hears a.x", || (admin.publish("a.x", json!(2)) == 0).then_some(()));
    assert_eq!(admin.publish("b.x", json!(3)), 3);
    assert_eq!(scene.figure("/subscriptions"), 6);
    for ann in &mut anns {
        let event = ann.take("b.x", |message| message["channel"] == "b");
        assert_eq!(event["data"], 3);
        assert_eq!(ann.refused("system.publish", json!({"topic": "b.x", "payload": 1})), "forbidden");
        assert_eq!(ann.refused("system.subscribe", json!({"topics": ["a.x"]})), "forbidden");
    }
    set_permissions(&scene.keys_path(), "ann", &["subscribe:>"]);
    for ann in &mut anns {
        ann.closed(4001);
    }
    let refusal = scene.try_client(&ann).err().unwrap();
    assert_eq!(refusal.status, 403);
}

fn a_key_that_is_added_opens_without_a_restart(variant: Variant) {
    let stage = Stage::new(variant);
    let path = stage.keys_path();
    let original = std::fs::read_to_string(&path).unwrap();
    let late = stage.key("late", &["connect"]);
    let with_late = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, original).unwrap();
    let scene = stage.start();
    assert_eq!(scene.try_client(&late).err().unwrap().status, 401);
    // A file that cannot be used changes nothing.
    std::fs::write(&path, "{\"version\": 1, \"keys\": [").unwrap();
    scene.server().stopper().reload();
    scene.root().ping();
    std::fs::write(&path, with_late).unwrap();
    scene.server().stopper().reload();
    eventually("the new key opens", || scene.try_client(&late).ok()).ping();
}

fn a_credential_may_come_in_band(variant: Variant) {
    let mut stage = Stage::new(variant);
    stage.config.web_socket_server.allow_in_band_auth = true;
    stage.config.web_socket_server.handshake_timeout = Duration::from_secs(3);
    let ann = stage.key("ann", &["connect", "subscribe:>"]);
    let scene = stage.start();
    let offered = "Sec-WebSocket-Protocol: hydrogen\r\n";
    let stranger = || Client::open_silent(scene.stream(), "/", offered).unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let mut client = stranger();
    assert_eq!(client.refused("lab.echo", json!(1)), "unauthenticated");
    assert_eq!(client.refused("system.authenticate", json!({"token": "hyd1.wrong"})), "unauthenticated");
    let answer = client.ok("system.authenticate", json!({ "token": ann }));
    assert_eq!(answer["identity"], "ann");
    assert_eq!(client.event("system.session")["data"]["identity"], "ann");
    client.subscribe(&["a.b"]);
    assert_eq!(client.refused("system.authenticate", json!({ "token": scene.admin })), "conflict");

    let mut guesser = stranger();
    for _ in 0..2 {
        guesser.refused("system.authenticate", json!({"token": "hyd1.wrong"}));
    }
    guesser.send("system.authenticate", &json!({"token": "hyd1.wrong"}));
    guesser.closed(1008);
    // Who shows none within the handshake's time is let go.
    stranger().closed(1008);
    client.ping();
}

#[test]
fn the_keys_of_one_server_are_not_anothers() {
    let (one, other) = (Scene::start(Variant::PLAIN_ONE), Scene::start(Variant::PLAIN_ONE));
    assert_eq!(one.try_client(&other.admin).err().unwrap().status, 401);
    one.root().ping();
}
