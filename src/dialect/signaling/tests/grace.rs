//! Lost connections: their places, what is kept for them, and who takes them again.

use std::time::Duration;

use serde_json::{Value, json};

use super::person::key;
use super::scene::{Disk, Scene, loose};
use crate::base::{ConnId, Metric, Reason};
use crate::dialect::signaling::SignalingSettings;

struct Pair {
    scene: Scene,
    a: ConnId,
    b: ConnId,
    room: String,
    token: String,
}

/// An owner, and a member with grace; they have talked.
fn pair(workers: usize) -> Pair {
    let mut scene = Scene::new(workers, loose());
    let (a, b) = (scene.open(), scene.open());
    let room = scene.room(a, 1);
    let joined =
        scene.ask(b, "JoinRoom", &json!({"room_id": room, "password": "1234", "public_key": key(2), "grace": true}));
    assert_eq!(joined.payload["grace_seconds"], 30);
    let token = joined.payload["resume_token"].as_str().unwrap().to_owned();
    scene.ask(a, "Offer", &json!({"room_id": room, "destination_id": key(2), "offer": "o"}));
    scene.read(a);
    scene.read(b);
    Pair { scene, a, b, room, token }
}

fn candidate(room: &str, number: usize) -> Value {
    json!({"room_id": room, "destination_id": key(2), "candidate": number.to_string()})
}

#[test]
fn a_lost_connection_s_place_is_kept_with_what_came_for_it() {
    for workers in [1, 2, 3, 4] {
        let Pair { mut scene, a, b, room, token } = pair(workers);
        scene.close(b);
        assert_eq!(scene.kinds(a), ["PeerAway"]);
        let there = scene.ask(a, "Presence", &json!({"room_id": room})).payload;
        let states: Vec<_> = there["peers"].as_array().unwrap().iter().map(|peer| peer["state"].clone()).collect();
        assert_eq!(states, ["online", "away"]);
        for number in 0..3 {
            assert_eq!(scene.ask(a, "Candidate", &candidate(&room, number)).kind, "SignalSent");
        }
        // What is on its way behind the place itself waits too.
        let c = scene.open();
        scene.send(c, "r", "Resume", &json!({"resume_token": token}));
        let resumed = scene.read(c);
        let kinds: Vec<&str> = resumed.iter().map(|got| &*got.kind).collect();
        assert_eq!(kinds, ["Resumed", "Candidate", "Candidate", "Candidate"]);
        let numbers: Vec<&Value> = resumed[1..].iter().map(|got| &got.payload["candidate"]).collect();
        assert_eq!(numbers, ["0", "1", "2"]);
        assert_eq!(resumed[0].payload["rooms"], json!([{"room_id": room, "room_name": "r"}]));
        assert_eq!((&resumed[0].payload["missed"], resumed[0].id.as_str()), (&json!(0), "r"));
        let back = scene.read(a);
        assert_eq!((back.len(), back[0].kind.as_str()), (1, "PeerBack"));
        assert_eq!(back[0].payload["connection_id"], resumed[0].payload["connection_id"], "others know it as before");
        // It is the member now, with its key, and the old token is worth nothing.
        scene.ask(a, "Candidate", &candidate(&room, 9));
        assert_eq!(scene.kinds(c), ["Candidate"]);
        assert_eq!(scene.ask(c, "Presence", &json!({})).payload["peers"].as_array().unwrap().len(), 2);
        let d = scene.open();
        assert_eq!(scene.error(d, "Resume", &json!({"resume_token": token})), "Resume token is not valid");
        let next = resumed[0].payload["resume_token"].as_str().unwrap();
        scene.close(c);
        assert_eq!(scene.ask(d, "Resume", &json!({"resume_token": next})).kind, "Resumed");
        assert_eq!(scene.kinds(a), ["PeerAway", "PeerBack"]);
        scene.pass(Duration::from_secs(60));
        assert!(scene.read(a).is_empty());
    }
}

#[test]
fn who_does_not_come_back_has_left() {
    for workers in [1, 2] {
        let Pair { mut scene, a, b, token, .. } = pair(workers);
        scene.close(b);
        scene.pass(Duration::from_secs(29));
        assert_eq!(scene.kinds(a), ["PeerAway"]);
        scene.pass(Duration::from_secs(2));
        assert_eq!(scene.kinds(a), ["PeerLeft"]);
        let c = scene.open();
        assert_eq!(scene.error(c, "Resume", &json!({"resume_token": token})), "Resume token is not valid");
    }
}

#[test]
fn who_goes_on_purpose_or_is_put_out_has_no_grace() {
    for how in ["LeaveRoom", "DisconnectRoom", "Kick", "Delete"] {
        let Pair { mut scene, a, b, room, token } = pair(2);
        match how {
            "Kick" => drop(scene.ask(a, "Kick", &json!({"room_id": room, "target_id": key(2)}))),
            "Delete" => drop(scene.ask(a, "LeaveRoom", &json!({"room_id": room}))),
            _ => drop(scene.ask(b, how, &json!({}))),
        }
        scene.read(a);
        scene.close(b);
        assert!(scene.read(a).is_empty(), "{how}");
        let c = scene.open();
        assert_eq!(scene.error(c, "Resume", &json!({"resume_token": token})), "Resume token is not valid", "{how}");
    }
}

#[test]
fn a_place_is_taken_from_a_connection_that_the_server_still_thinks_is_there() {
    for workers in [1, 3] {
        let Pair { mut scene, a, b, token, .. } = pair(workers);
        let c = scene.open();
        assert_eq!(scene.ask(c, "Resume", &json!({"resume_token": token})).kind, "Resumed");
        assert_eq!(scene.closed[&b].0, Reason::TakenOver);
        assert_eq!(scene.kinds(a), ["PeerBack"]);
        scene.close(b);
        assert!(scene.read(a).is_empty());
        assert_eq!(scene.ask(c, "Presence", &json!({})).payload["peers"].as_array().unwrap().len(), 2);
    }
}

#[test]
fn too_much_for_an_absent_peer_is_counted() {
    let Pair { mut scene, a, b, room, token } = pair(3);
    scene.close(b);
    for number in 0..100 {
        scene.ask(a, "Candidate", &candidate(&room, number));
    }
    let c = scene.open();
    let resumed = scene.ask(c, "Resume", &json!({"resume_token": token}));
    assert_eq!(resumed.payload["missed"], 36);
    let numbers: Vec<Value> = scene.read(c).into_iter().map(|got| got.payload["candidate"].clone()).collect();
    assert_eq!(numbers, (36..100).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(scene.counters.value(Metric::SIGNALING_SIGNALS_DROPPED), 36);
}

#[test]
fn an_absent_peer_s_place_is_not_free_and_its_room_may_go_meanwhile() {
    let Pair { mut scene, a, b, room, token } = pair(2);
    scene.close(b);
    scene.ask(a, "LeaveRoom", &json!({"room_id": room}));
    let c = scene.open();
    assert_eq!(scene.error(c, "Resume", &json!({"resume_token": token})), "Resume token is not valid");
    assert_eq!(scene.shards.iter().map(|shard| shard.live()).sum::<usize>(), 0);
}

#[test]
fn who_is_lost_while_it_takes_a_place_leaves_no_ghost() {
    for workers in [1, 2, 3] {
        let Pair { mut scene, a, b, room, token } = pair(workers);
        scene.close(b);
        scene.disk = Disk::Slow;
        scene.send(a, "r", "Rename", &json!({"room_id": room, "room_name": "x"}));
        let c = scene.open();
        scene.send(c, "r", "Resume", &json!({"resume_token": token}));
        scene.close(c);
        scene.write(true);
        assert_eq!(scene.kinds(a), ["PeerAway", "RoomRenamed", "RenameSuccess", "PeerBack", "PeerLeft"]);
        assert_eq!(scene.shards.iter().map(|shard| shard.live()).sum::<usize>(), 1);
    }
}

#[test]
fn what_comes_while_a_place_is_taken_comes_behind_what_was_queued() {
    for workers in [1, 2, 3, 4] {
        let Pair { mut scene, a, b, room, token } = pair(workers);
        let d = scene.open();
        scene.join(d, &room, 3);
        scene.ask(d, "Offer", &json!({"room_id": room, "destination_id": key(2), "offer": "o"}));
        scene.close(b);
        scene.ask(a, "Candidate", &candidate(&room, 0));
        scene.disk = Disk::Slow;
        scene.send(a, "r", "Rename", &json!({"room_id": room, "room_name": "x"}));
        scene.send(d, "", "Candidate", &candidate(&room, 1));
        let c = scene.open();
        scene.send(c, "r", "Resume", &json!({"resume_token": token}));
        scene.send(c, "p", "Ping", &json!({}));
        scene.send(d, "", "Candidate", &candidate(&room, 2));
        assert!(scene.read(c).is_empty());
        scene.write(true);
        let (pings, told): (Vec<_>, Vec<_>) = scene.read(c).into_iter().partition(|got| got.kind == "Ping");
        let kinds: Vec<&str> = told.iter().map(|got| &*got.kind).collect();
        assert_eq!(kinds, ["Resumed", "Candidate", "Candidate", "Candidate"], "{workers}");
        assert_eq!(pings.len(), 1);
        let numbers: Vec<&Value> = told[1..4].iter().map(|got| &got.payload["candidate"]).collect();
        assert_eq!(numbers, ["0", "1", "2"]);
        assert_eq!(told[0].payload["rooms"][0]["room_name"], "x");
    }
}

#[test]
fn what_is_told_while_a_place_is_taken_comes_behind_the_answer() {
    for workers in [2, 3, 4] {
        let Pair { mut scene, a, b, room, token } = pair(workers);
        // A second room, whose record is not written yet, keeps the answer waiting.
        let owner = scene.open();
        let slow = scene.room(owner, 5);
        let join = json!({"room_id": slow, "password": "1234", "public_key": key(2)});
        assert_eq!(scene.ask(b, "JoinRoom", &join).kind, "RoomJoined");
        scene.close(b);
        scene.disk = Disk::Slow;
        scene.send(owner, "r", "Rename", &json!({"room_id": slow, "room_name": "x"}));
        let c = scene.open();
        scene.send(c, "r", "Resume", &json!({"resume_token": token}));
        // The first room knows of it already.
        scene.send(a, "", "DisconnectRoom", &json!({"room_id": room}));
        scene.send(a, "", "ConnectRoom", &json!({"room_id": room, "public_key": key(1)}));
        assert!(scene.read(c).is_empty(), "{workers}");
        scene.write(true);
        assert_eq!(scene.kinds(c), ["Resumed", "PeerDisconnected", "PeerConnected"], "{workers}");
    }
}

#[test]
fn who_resumes_hears_the_words_of_its_era() {
    let mut scene = Scene::new(2, loose());
    let (a, b, c) = (scene.open(), scene.open(), scene.open());
    let room = scene.room(a, 1);
    let payload = json!({"network_id": room, "pin": "1234", "public_key": key(2), "grace": true});
    let joined = scene.ask(b, "JoinNetwork", &payload).payload;
    scene.close(b);
    let resumed = scene.ask(c, "Resume", &json!({"resume_token": joined["resume_token"]}));
    assert_eq!(resumed.payload["networks"], json!([{"network_id": room, "network_name": "r"}]));
    scene.ask(a, "LeaveRoom", &json!({}));
    assert_eq!(scene.kinds(c), ["NetworkDeleted"]);
}

#[test]
fn a_room_that_goes_while_a_place_is_taken_is_not_taken_over() {
    for workers in [1, 2, 3, 4] {
        let Pair { mut scene, a, b, room, .. } = pair(workers);
        let owner = scene.open();
        let other = scene.room(owner, 5);
        let join = json!({"room_id": other, "password": "1234", "public_key": key(2), "grace": true});
        let token = scene.ask(b, "JoinRoom", &join).payload["resume_token"].clone();
        scene.close(b);
        scene.read(owner);
        scene.disk = Disk::Slow;
        scene.send(a, "r", "Rename", &json!({"room_id": room, "room_name": "x"}));
        let c = scene.open();
        scene.send(c, "r", "Resume", &json!({"resume_token": token}));
        // One room waits for the store; the other goes meanwhile.
        scene.disk = Disk::Good;
        assert_eq!(scene.ask(owner, "LeaveRoom", &json!({"room_id": other})).kind, "LeaveRoom");
        assert!(scene.read(c).is_empty());
        scene.write(true);
        let mut told = scene.read(c);
        assert_eq!((told.len(), &*told[1].kind, &told[1].payload["room_id"]), (2, "RoomDeleted", &json!(other)));
        let resumed = told.remove(0);
        assert_eq!(resumed.payload["rooms"], json!([{"room_id": room, "room_name": "x"}]));
        assert_eq!(scene.error(c, "DisconnectRoom", &json!({"room_id": other})), "Not connected to this room");
    }
}

#[test]
fn who_comes_back_without_its_token_is_not_taken_for_gone() {
    for workers in [1, 2] {
        let Pair { mut scene, a, b, room, token } = pair(workers);
        scene.close(b);
        let again = scene.open();
        let connect = json!({"room_id": room, "public_key": key(2)});
        assert_eq!(scene.ask(again, "ConnectRoom", &connect).kind, "RoomConnected");
        // Who knows members by their keys is told the same as without a place that is kept.
        assert_eq!(scene.kinds(a), ["PeerAway", "PeerLeft", "PeerConnected"]);
        let present = scene.ask(a, "Presence", &json!({})).payload["peers"].clone();
        assert_eq!(present.as_array().unwrap().len(), 2);
        let late = scene.open();
        assert_eq!(scene.error(late, "Resume", &json!({"resume_token": token})), "Resume token is not valid");
        scene.pass(Duration::from_secs(60));
        assert!(scene.read(a).is_empty());
        scene.close(again);
        assert_eq!(scene.kinds(a), ["PeerLeft"]);
    }
}

#[test]
fn who_comes_is_told_who_is_away() {
    for workers in [1, 2] {
        let Pair { mut scene, b, room, .. } = pair(workers);
        scene.close(b);
        let c = scene.open();
        scene.join(c, &room, 3);
        let told = scene.read(c);
        let told: Vec<_> = told.iter().map(|got| (got.kind.as_str(), got.payload["public_key"].clone())).collect();
        let (one, two) = (json!(key(1)), json!(key(2)));
        assert_eq!(told, [("PeerJoined", one.clone()), ("PeerJoined", two.clone()), ("PeerAway", two.clone())]);
        let twice = scene.ask(c, "ConnectRoom", &json!({"room_id": room, "public_key": key(3)}));
        assert_eq!(twice.kind, "RoomConnected");
        assert_eq!(scene.kinds(c), ["PeerConnected", "PeerConnected", "PeerAway"]);
    }
}

#[test]
fn a_key_does_not_keep_itself_out_of_a_full_room() {
    for workers in [1, 2, 3] {
        let settings = SignalingSettings { clients_max: 2, ..loose() };
        let mut scene = Scene::new(workers, settings);
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        let join = |who| json!({"room_id": room, "password": "1234", "public_key": key(who), "grace": true});
        let token = scene.ask(b, "JoinRoom", &join(2)).payload["resume_token"].clone();
        scene.close(b);
        assert_eq!(scene.error(c, "JoinRoom", &join(3)), "Room is full");
        scene.read(a);
        let again = scene.open();
        let answer = scene.ask(again, "ConnectRoom", &json!({"room_id": room, "public_key": key(2)}));
        assert_eq!(answer.kind, "RoomConnected");
        assert_eq!(scene.kinds(again), ["PeerConnected"]);
        assert_eq!(scene.kinds(a), ["PeerLeft", "PeerConnected"]);
        // The place is another's now.
        assert_eq!(scene.error(c, "Resume", &json!({"resume_token": token})), "Resume token is not valid");
        assert_eq!(scene.error(c, "JoinRoom", &join(3)), "Room is full");
        scene.pass(Duration::from_secs(60));
        assert!(scene.read(a).is_empty());
    }
}
