//! Proof of possession, off, optional and required.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use super::super::{PasswordLimit, PeerKeys, Proof, Signaling, SignalingSettings};
use super::person::{key, sign};
use super::scene::{Disk, Scene, loose};

const UNPROVED: &str = "Proof of possession required";

fn with(proof: Proof) -> SignalingSettings {
    SignalingSettings { proof, ..loose() }
}

#[test]
fn where_it_is_required_nothing_goes_without() {
    let mut scene = Scene::new(2, with(Proof::Required));
    let a = scene.open();
    let payload = json!({"room_name": "r", "room_id": "x", "password": "1234", "public_key": key(1), "target_id": "x"});
    for kind in [
        "CreateRoom",
        "JoinRoom",
        "ConnectRoom",
        "LeaveRoom",
        "GetUserRooms",
        "Kick",
        "Rename",
        "Offer",
        "Presence",
        "CreateNetwork",
    ] {
        assert_eq!(scene.error(a, kind, &payload), UNPROVED, "{kind}");
    }
    assert_eq!(scene.ask(a, "Ping", &json!({})).kind, "Ping");
    scene.prove(a, 1);
    assert_eq!(scene.ask(a, "CreateRoom", &payload).kind, "RoomCreated");
    let foreign = json!({"room_id": "x", "password": "1234", "public_key": key(7)});
    assert_eq!(scene.error(a, "JoinRoom", &foreign), "Public key does not match this connection");
}

#[test]
fn a_proof_is_of_one_connection_and_one_key() {
    let mut scene = Scene::new(1, with(Proof::Required));
    let (a, b) = (scene.open(), scene.open());
    let (one, two) = (scene.nonce(a), scene.nonce(b));
    assert_ne!(one, two);
    for (key, signature, text) in [
        (key(1), sign(1, &two), "Proof of possession failed"),
        (key(1), sign(2, &one), "Proof of possession failed"),
        (key(2), sign(1, &one), "Proof of possession failed"),
        (key(1), String::new(), "Proof of possession failed"),
        ("garbage".into(), sign(1, &one), "Invalid public key format"),
    ] {
        assert_eq!(scene.error(a, "Prove", &json!({"public_key": key, "signature": signature})), text);
        assert_eq!(scene.error(a, "GetUserRooms", &json!({"public_key": key})), UNPROVED);
    }
    for _ in 0..6 {
        scene.error(a, "Prove", &json!({"public_key": key(1)}));
    }
    assert!(scene.closed.contains_key(&a), "who only guesses is closed");
}

#[test]
fn where_it_is_optional_what_was_proved_stays_so() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, with(Proof::Optional));
        let (a, b) = (scene.open(), scene.open());
        scene.prove(a, 1);
        let created = scene.ask(a, "CreateRoom", &json!({"room_name": "r", "password": "1234", "public_key": key(1)}));
        let room = created.payload["room_id"].as_str().unwrap().to_owned();
        scene.join(b, &room, 2);
        let thief = scene.open_as(Some(&key(1)), "192.0.2.66:1");
        assert!(scene.read(thief).iter().all(|got| got.payload["rooms"].as_array().is_none_or(Vec::is_empty)));
        let stated = json!({"room_id": room, "password": "1234", "public_key": key(1), "client_name": "x"});
        for kind in ["JoinRoom", "ConnectRoom", "LeaveRoom"] {
            assert_eq!(scene.error(thief, kind, &stated), UNPROVED, "{kind}");
        }
        assert_eq!(scene.ask(thief, "GetUserRooms", &stated).payload, json!({"rooms": []}));
        scene.read(b);
        assert_eq!(scene.error(thief, "UpdateClientInfo", &stated), UNPROVED);
        assert!(scene.read(b).is_empty());
        assert_eq!(scene.error(thief, "Rename", &stated), UNPROVED);
        // Who never proved anything is as free as ever.
        let again = scene.open();
        assert_eq!(
            scene.ask(again, "ConnectRoom", &json!({"room_id": room, "public_key": key(2)})).kind,
            "RoomConnected"
        );
    }
}

#[test]
fn a_proof_that_comes_later_protects_from_then_on() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, with(Proof::Optional));
        let a = scene.open();
        let named = json!({"room_name": "r", "password": "1234", "public_key": key(1)});
        let room = scene.ask(a, "CreateRoom", &named).payload["room_id"].as_str().unwrap().to_owned();
        scene.close(a);
        let b = scene.open();
        scene.prove(b, 1);
        let stated = json!({"room_id": room, "public_key": key(1)});
        assert_eq!(scene.ask(b, "ConnectRoom", &stated).kind, "RoomConnected");
        let thief = scene.open();
        for kind in ["LeaveRoom", "ConnectRoom"] {
            assert_eq!(scene.error(thief, kind, &stated), UNPROVED, "{kind}");
        }
        assert_eq!(scene.error(thief, "CreateRoom", &named), UNPROVED, "the room's id is not given away");
    }
}

#[test]
fn where_it_is_off_nobody_is_challenged_and_nothing_is_demanded() {
    let mut scene = Scene::new(1, with(Proof::Off));
    let a = scene.open();
    assert!(scene.read(a).is_empty());
    for kind in ["GetChallenge", "Prove"] {
        assert_eq!(scene.error(a, kind, &json!({"public_key": key(1)})), "Proof of possession is not enabled");
    }
}

#[test]
fn who_need_not_prove_anything_is_told_nothing_of_it_until_it_asks() {
    let mut scene = Scene::new(1, with(Proof::Optional));
    let (a, b) = (scene.open(), scene.open());
    assert!(scene.read(a).is_empty());
    let one = scene.nonce(a);
    assert_eq!(scene.nonce(a), one, "a connection has one");
    assert_ne!(scene.nonce(b), one);
    let mut scene = Scene::new(1, with(Proof::Required));
    let a = scene.open();
    let told = scene.read(a);
    assert_eq!((told.len(), told[0].kind.as_str(), told[0].id.as_str()), (1, "Challenge", ""));
    assert_eq!(told[0].payload["nonce"], scene.nonce(a));
}

#[test]
fn what_cannot_be_undone_is_for_who_came_first_with_a_key() {
    const IN_USE: &str = "Public key is in use by another connection";
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, with(Proof::Optional));
        let (a, b) = (scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        let of = |who| json!({"room_id": room, "public_key": key(who), "room_name": "n", "target_id": key(2)});
        // A stranger that knows the keys, and is not in the room; and then is.
        for is_in in [false, true] {
            let (as_owner, as_member) = (scene.open(), scene.open());
            if is_in {
                assert_eq!(scene.ask(as_owner, "ConnectRoom", &of(1)).kind, "RoomConnected");
                assert_eq!(scene.ask(as_member, "ConnectRoom", &of(2)).kind, "RoomConnected");
                for kind in ["Kick", "Rename"] {
                    assert_eq!(scene.error(as_owner, kind, &of(1)), IN_USE, "{kind}");
                }
            }
            assert_eq!(scene.error(as_owner, "LeaveRoom", &of(1)), IN_USE);
            assert_eq!(scene.error(as_member, "LeaveRoom", &of(2)), IN_USE);
            scene.close(as_owner);
            scene.close(as_member);
        }
        // Who was first has the say, and once it is gone the next.
        assert_eq!(scene.ask(a, "Rename", &of(1)).kind, "RenameSuccess");
        let again = scene.open();
        assert_eq!(scene.ask(again, "ConnectRoom", &of(1)).kind, "RoomConnected");
        scene.close(a);
        assert_eq!(scene.ask(again, "Kick", &of(1)).kind, "KickSuccess");
        scene.close(again);
        let last = scene.open();
        assert_eq!(scene.ask(last, "LeaveRoom", &of(1)).kind, "LeaveRoom", "nobody else has the key");
    }
}

#[test]
fn who_has_proved_its_key_has_the_say_whoever_came_before() {
    let mut scene = Scene::new(2, with(Proof::Optional));
    let (a, squatter) = (scene.open(), scene.open());
    let named = json!({"room_name": "r", "password": "1234", "public_key": key(1)});
    let room = scene.ask(a, "CreateRoom", &named).payload["room_id"].as_str().unwrap().to_owned();
    scene.close(a);
    let stated = json!({"room_id": room, "public_key": key(1), "room_name": "n"});
    assert_eq!(scene.ask(squatter, "ConnectRoom", &stated).kind, "RoomConnected");
    let back = scene.open();
    scene.prove(back, 1);
    assert_eq!(scene.ask(back, "ConnectRoom", &stated).kind, "RoomConnected");
    assert_eq!(scene.ask(back, "Rename", &stated).kind, "RenameSuccess");
    assert_eq!(scene.error(squatter, "Rename", &stated), UNPROVED);
}

#[test]
fn a_first_proof_takes_the_key_from_whoever_only_stated_it() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, with(Proof::Optional));
        let (a, b) = (scene.open(), scene.open());
        let named = json!({"room_name": "r", "password": "1234", "public_key": key(1), "grace": true});
        let room = scene.ask(a, "CreateRoom", &named).payload["room_id"].as_str().unwrap().to_owned();
        scene.join(b, &room, 2);
        let stated = json!({"room_id": room, "public_key": key(1), "grace": true});
        let (thief, lost) = (scene.open(), scene.open());
        let told = scene.ask(thief, "ConnectRoom", &stated);
        assert_eq!(told.kind, "RoomConnected");
        let token = scene.ask(lost, "ConnectRoom", &stated).payload["resume_token"].clone();
        scene.close(lost);
        scene.read(b);
        // Whoever is in the room while it proves stays; a membership that was stated is its own from now on.
        scene.prove(a, 1);
        assert_eq!(scene.kinds(thief).last().map(String::as_str), Some("RoomDisconnected"));
        // Its owner is there still.
        assert_eq!(scene.kinds(b), ["PeerLeft", "PeerLeft", "PeerJoined"]);
        let offer = json!({"room_id": room, "destination_id": key(2), "offer": "o"});
        assert_eq!(scene.error(thief, "Offer", &offer), "Not connected to any room");
        assert_eq!(scene.error(thief, "ConnectRoom", &stated), UNPROVED);
        let again = scene.open();
        let resumed = scene.ask(again, "Resume", &json!({"resume_token": token}));
        assert_eq!(resumed.kind, "Error", "its place is not kept: {resumed:?}");
        assert_eq!(scene.ask(a, "DisconnectRoom", &json!({})).kind, "RoomDisconnected");
        assert_eq!(scene.error(again, "LeaveRoom", &stated), UNPROVED);
        // The same for who proves first and comes then.
        let (c, squatter) = (scene.open(), scene.open());
        let of_guest = json!({"room_id": room, "password": "1234", "public_key": key(3)});
        assert_eq!(scene.ask(squatter, "JoinRoom", &of_guest).kind, "RoomJoined");
        scene.prove(c, 3);
        assert_eq!(scene.ask(c, "ConnectRoom", &of_guest).kind, "RoomConnected");
        assert!(scene.kinds(squatter).contains(&"RoomDisconnected".to_owned()));
        assert_eq!(scene.shards.iter().map(|shard| shard.live()).sum::<usize>(), 2, "b and c");
    }
}

#[test]
fn a_proof_that_cannot_be_written_down_is_none() {
    let mut scene = Scene::new(1, with(Proof::Optional));
    let a = scene.open();
    let named = json!({"room_name": "r", "password": "1234", "public_key": key(1)});
    let room = scene.ask(a, "CreateRoom", &named).payload["room_id"].as_str().unwrap().to_owned();
    let signature = sign(1, &scene.nonce(a));
    scene.disk = Disk::Failing;
    let proof = json!({"public_key": key(1), "signature": signature});
    assert_eq!(scene.error(a, "Prove", &proof), "Error updating user in database");
    scene.disk = Disk::Good;
    let stated = json!({"room_id": room, "public_key": key(1)});
    let other = scene.open();
    assert_eq!(scene.ask(other, "ConnectRoom", &stated).kind, "RoomConnected");
    assert_eq!(scene.ask(a, "Prove", &proof).kind, "Proved");
    assert_eq!(scene.kinds(other).last().map(String::as_str), Some("RoomDisconnected"));
}

#[test]
fn a_place_that_is_kept_has_no_say_and_a_name_is_not_changed_from_beside() {
    let mut scene = Scene::new(2, loose());
    let (a, b) = (scene.open(), scene.open());
    let named = json!({"room_name": "r", "password": "1234", "public_key": key(1), "grace": true});
    let room = scene.ask(a, "CreateRoom", &named).payload["room_id"].as_str().unwrap().to_owned();
    scene.join(b, &room, 2);
    scene.read(b);
    let named = json!({"public_key": key(1), "client_name": "x"});
    let thief = scene.open();
    assert_eq!(scene.error(thief, "UpdateClientInfo", &named), "Public key is in use by another connection");
    assert!(scene.read(b).is_empty());
    scene.close(a);
    let back = scene.open();
    let stated = json!({"room_id": room, "public_key": key(1), "room_name": "n"});
    assert_eq!(scene.ask(back, "ConnectRoom", &stated).kind, "RoomConnected");
    assert_eq!(scene.ask(back, "Rename", &stated).kind, "RenameSuccess");
    scene.read(b);
    scene.ask(back, "UpdateClientInfo", &named);
    assert_eq!(scene.kinds(b), ["PeerRenamed"]);
}

#[test]
fn who_states_an_alias_as_its_key_is_nobody_else() {
    let mut scene = Scene::new(2, SignalingSettings { peer_keys: PeerKeys::Alias, ..loose() });
    let (a, b, thief) = (scene.open(), scene.open(), scene.open());
    let room = scene.room(a, 1);
    scene.join(b, &room, 2);
    let alias = scene.alias(&room, &key(2));
    let stated = json!({"room_id": room, "password": "1234", "public_key": alias});
    assert_eq!(scene.ask(thief, "JoinRoom", &stated).kind, "RoomJoined");
    scene.read(b);
    scene.read(thief);
    let offer = json!({"room_id": room, "destination_id": alias, "offer": "o", "data": "d"});
    for kind in ["Offer", "Relay"] {
        scene.send(a, "id", kind, &offer);
        assert_eq!((scene.kinds(b), scene.kinds(thief)), (vec![kind.to_owned()], Vec::new()));
    }
    assert_eq!(scene.ask(a, "Kick", &json!({"room_id": room, "target_id": alias})).kind, "KickSuccess");
    assert!(scene.closed.contains_key(&b) && !scene.closed.contains_key(&thief));
    assert_eq!(scene.error(a, "Offer", &offer), "Target client not found");
}

#[test]
fn a_proof_reaches_all_rooms_however_many() {
    const MANY: usize = 600;
    let mut scene = Scene::new(1, SignalingSettings { rooms_per_connection_max: MANY, ..with(Proof::Optional) });
    let thief = scene.open();
    for number in 0..MANY {
        let host = scene.open();
        let host_key = STANDARD.encode([(number % 251) as u8 + 1, (number / 251) as u8 + 1].repeat(16));
        let named = json!({"room_name": "r", "password": "1234", "public_key": host_key});
        let room = scene.ask(host, "CreateRoom", &named).payload["room_id"].clone();
        let stated = json!({"room_id": room, "password": "1234", "public_key": key(1)});
        assert_eq!(scene.ask(thief, "JoinRoom", &stated).kind, "RoomJoined");
    }
    scene.read(thief);
    let a = scene.open();
    scene.prove(a, 1);
    assert_eq!(scene.kinds(thief).len(), MANY);
    assert_eq!(scene.ask(thief, "GetUserRooms", &json!({"public_key": key(1)})).payload, json!({"rooms": []}));
}

#[test]
fn who_proved_its_key_and_took_a_place_is_not_put_out_by_another_proof() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, with(Proof::Optional));
        let (host, proved, lost) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(host, 2);
        scene.prove(proved, 1);
        let stated = json!({"room_id": room, "password": "1234", "public_key": key(1), "grace": true});
        let token = scene.ask(lost, "JoinRoom", &stated).payload["resume_token"].clone();
        scene.close(lost);
        assert_eq!(scene.ask(proved, "Resume", &json!({"resume_token": token})).kind, "Resumed");
        let another = scene.open();
        scene.prove(another, 1);
        assert!(scene.read(proved).is_empty());
        assert_eq!(scene.ask(proved, "Presence", &json!({"room_id": room})).kind, "Presence");
    }
}

#[test]
fn a_key_that_was_proved_in_one_room_makes_and_joins_no_other_without_a_proof() {
    for workers in [1, 2, 3] {
        let settings = SignalingSettings { passwords: SignalingSettings::default().passwords, ..with(Proof::Optional) };
        let mut scene = Scene::new(workers, settings);
        let (a, b, thief) = (scene.open(), scene.open(), scene.open());
        scene.prove(a, 1);
        let first = scene.room(a, 1);
        let second = scene.room(b, 2);
        let stated = json!({"room_name": "r", "room_id": second, "password": "1234", "public_key": key(1)});
        // Refused before the password is looked at: however often, it counts for none that is wrong.
        for _ in 0..20 {
            assert_eq!(scene.error(thief, "JoinRoom", &stated), UNPROVED);
        }
        assert_eq!(scene.error(thief, "CreateRoom", &stated), UNPROVED);
        scene.prove(thief, 1);
        assert_eq!(scene.ask(thief, "JoinRoom", &stated).kind, "RoomJoined");
        // A key that is in no room is nobody's.
        for room in [&second, &first] {
            let leaving = json!({"room_id": room, "public_key": key(1)});
            assert_eq!(scene.ask(a, "LeaveRoom", &leaving).kind, "LeaveRoom");
        }
        let free = scene.open();
        assert_eq!(scene.ask(free, "JoinRoom", &stated).kind, "RoomJoined");
    }
}

#[test]
fn who_is_lost_at_any_moment_of_joining_leaves_nothing() {
    let passwords = Some(PasswordLimit { failures: 1, period: Duration::from_secs(3600) });
    for (workers, told) in (1..4).flat_map(|workers| (0..16).map(move |told| (workers, told))) {
        let mut scene = Scene::new(workers, SignalingSettings { passwords, ..with(Proof::Optional) });
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        let stated = json!({"room_id": room, "password": "1234", "public_key": key(2), "grace": true});
        scene.send_and_lose(b, "JoinRoom", &stated, told);
        scene.pass(Duration::from_secs(60));
        assert_eq!(scene.shards.iter().map(Signaling::live).sum::<usize>(), 1, "{workers} {told}");
        assert!(scene.shards.iter().all(|shard| shard.gathers.is_empty() && shard.conns.len() <= 2));
        // Its password was not wrong, whether it was looked at or not.
        assert_eq!(scene.join(c, &room, 3).kind, "RoomJoined", "{workers} {told}");
    }
}

#[test]
fn the_token_of_a_connection_that_is_in_no_room_takes_no_place() {
    let mut scene = Scene::new(2, loose());
    let (a, b) = (scene.open(), scene.open());
    let named = json!({"room_name": "r", "password": "1234", "public_key": key(1), "grace": true});
    let token = scene.ask(a, "CreateRoom", &named).payload["resume_token"].clone();
    assert_eq!(scene.ask(a, "DisconnectRoom", &json!({})).kind, "RoomDisconnected");
    assert_eq!(scene.error(b, "Resume", &json!({"resume_token": token})), "Resume token is not valid");
    assert!(!scene.closed.contains_key(&a));
    assert_eq!(scene.ask(a, "GetUserRooms", &json!({"public_key": key(1)})).kind, "UserRooms");
}

#[test]
fn who_takes_a_proved_place_is_told_of_its_rooms() {
    let mut scene = Scene::new(2, with(Proof::Required));
    let a = scene.open_as(Some(&key(1)), "192.0.2.1:1");
    scene.prove(a, 1);
    let named = json!({"room_name": "r", "password": "1234", "public_key": key(1), "grace": true});
    let token = scene.ask(a, "CreateRoom", &named).payload["resume_token"].clone();
    scene.close(a);
    let back = scene.open_as(Some(&key(1)), "192.0.2.1:1");
    assert_eq!(scene.kinds(back), ["Challenge"]);
    scene.ask(back, "Resume", &json!({"resume_token": token}));
    assert_eq!(scene.kinds(back), ["UserRooms", "ClientIPInfo", "ComputerNetworks"]);
    scene.prove(back, 1);
    assert!(scene.read(back).is_empty(), "they are told once");
}
