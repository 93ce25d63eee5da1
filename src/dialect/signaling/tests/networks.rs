//! The later era, and rooms in which both eras meet.

use serde_json::{Value, json};

use super::person::key;
use super::scene::{Scene, loose};

fn join(scene: &mut Scene, conn: crate::base::ConnId, network: &str, who: u8) -> Value {
    let payload =
        json!({"network_id": network, "pin": "1234", "public_key": key(who), "computername": format!("c{who}")});
    let got = scene.ask(conn, "JoinNetwork", &payload);
    assert_eq!(got.kind, "NetworkJoined", "{got:?}");
    got.payload
}

#[test]
fn computers_get_the_lowest_free_addresses_and_keep_them() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let (a, b, c, d) = (scene.open(), scene.open(), scene.open(), scene.open());
        let payload = json!({"network_name": "n", "pin": "1234", "public_key": key(1), "computer_name": "desk"});
        let created = scene.ask(a, "CreateNetwork", &payload).payload;
        let network = created["network_id"].as_str().unwrap().to_owned();
        let desk = json!({"name": "desk", "computer_ip": "10.10.0.1", "public_key": key(1), "is_online": true});
        let expected = json!({"network_id": network, "network_name": "n", "public_key": key(1), "computers": [desk]});
        assert_eq!(created, expected);
        let joined = join(&mut scene, b, &network, 2);
        assert_eq!(joined, json!({"network_id": network, "network_name": "n", "computer_ip": "10.10.0.2"}));
        assert_eq!(scene.kinds(b), ["ComputerJoined", "ComputerConnected"]);
        let told = scene.read(a);
        assert_eq!(told.iter().map(|got| &*got.kind).collect::<Vec<_>>(), ["ComputerJoined", "ComputerConnected"]);
        assert_eq!(
            (&told[1].payload["computername"], &told[1].payload["computer_ip"]),
            (&json!("c2"), &json!("10.10.0.2"))
        );
        join(&mut scene, c, &network, 3);
        assert_eq!(scene.ask(b, "LeaveNetwork", &json!({})).kind, "LeaveNetwork");
        assert_eq!(join(&mut scene, d, &network, 4)["computer_ip"], "10.10.0.2");
        scene.restart();
        let e = scene.open();
        let payload = json!({"network_id": network, "public_key": key(3), "computername": "other"});
        let connected = scene.ask(e, "ConnectNetwork", &payload);
        assert_eq!(
            (connected.kind.as_str(), &connected.payload["computer_ip"]),
            ("NetworkConnected", &json!("10.10.0.3"))
        );
        let list = scene.ask(e, "GetComputerNetworks", &json!({"public_key": key(3)})).payload;
        let row = &list["networks"][0];
        assert_eq!((&row["admin_public_key"], &row["computer_ip"]), (&json!(key(1)), &json!("10.10.0.3")));
        let computers: Vec<_> =
            row["computers"].as_array().unwrap().iter().map(|one| one["is_online"].clone()).collect();
        assert_eq!(computers, [false, true, false]);
    }
}

#[test]
fn each_hears_its_own_words_of_one_room() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, loose());
        let (old, new, third) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(old, 1);
        join(&mut scene, new, &room, 2);
        assert_eq!(scene.kinds(old), ["PeerJoined"]);
        scene.read(new);
        scene.join(third, &room, 3);
        assert_eq!(scene.kinds(new), ["ComputerJoined", "ComputerConnected"]);
        scene.read(old);
        assert_eq!(scene.ask(old, "Rename", &json!({"room_id": room, "room_name": "x"})).kind, "RenameSuccess");
        assert_eq!(scene.read(new)[0].payload, json!({"network_id": room, "network_name": "x"}));
        assert_eq!(scene.kinds(old), ["RoomRenamed"]);
        scene.close(third);
        assert_eq!(scene.kinds(old), ["PeerLeft"]);
        assert_eq!(scene.kinds(new), ["ComputerLeft", "ComputerDisconnected"]);
        let info = scene.ask(new, "UpdateClientInfo", &json!({"public_key": key(2), "client_name": "lap"}));
        assert_eq!(
            (info.kind.as_str(), info.payload),
            ("UpdateClientInfoResponse", json!({"public_key": key(2), "client_name": "lap"}))
        );
        assert_eq!(scene.read(old)[0].payload["new_username"], "lap");
        scene.send(
            new,
            "0badcafe",
            "SdpOffer",
            &json!({"target_public_key": key(1), "sender_public_key": "", "sdp": "s"}),
        );
        let offer = scene.read(old).remove(0);
        assert_eq!((offer.kind.as_str(), offer.id.as_str()), ("SdpOffer", "0badcafe"), "the sender's id stays");
        assert_eq!(offer.payload["sender_public_key"], key(2));
        let kick = scene.ask(old, "Kick", &json!({"network_id": room, "target_id": key(2)}));
        assert_eq!(
            (kick.kind.as_str(), kick.payload),
            ("KickResponse", json!({"network_id": room, "target_id": key(2)}))
        );
        assert_eq!(scene.read(new).pop().unwrap().payload, json!({"network_id": room}));
        assert!(scene.closed.contains_key(&new));
    }
}

#[test]
fn lists_are_pushed_in_both_eras_words_to_who_names_a_key() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let a = scene.open();
        let room = scene.room(a, 1);
        let b = scene.open_as(Some(&key(1)), "[2001:db8::7]:9000");
        let pushed = scene.read(b);
        let kinds: Vec<_> = pushed.iter().map(|got| &*got.kind).collect();
        assert_eq!(kinds, ["UserRooms", "ClientIPInfo", "ComputerNetworks"]);
        assert_eq!((pushed[0].id.len(), pushed[1].id.len(), pushed[2].id.as_str()), (8, 8, ""));
        assert_eq!(pushed[0].payload["rooms"][0]["room_id"], room);
        assert_eq!(pushed[0].payload["rooms"][0]["is_connected"], true);
        assert_eq!(pushed[1].payload, json!({"ipv4": "", "ipv6": "2001:db8::7"}));
        // It pins nothing, and what is no key brings nothing.
        assert_eq!(scene.room(b, 5).len(), 16);
        let c = scene.open_as(Some("garbage"), "192.0.2.1:1");
        assert!(scene.read(c).is_empty());
    }
}

#[test]
fn the_name_of_the_day_is_for_those_who_keep_none() {
    for workers in [1, 2] {
        let mut scene = Scene::new(workers, loose());
        let (old, new, both) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(old, 1);
        join(&mut scene, new, &room, 2);
        let payload = json!({"room_id": room, "password": "1234", "public_key": key(3), "username": "bob"});
        scene.ask(both, "JoinRoom", &payload);
        scene.ask(both, "DisconnectRoom", &json!({}));
        scene.read(old);
        scene.read(new);
        scene.ask(both, "ConnectRoom", &json!({"room_id": room, "public_key": key(3), "username": "User"}));
        assert_eq!(scene.read(old)[0].payload["username"], "User");
        assert_eq!(scene.read(new)[0].payload["computername"], "bob");
    }
}

#[test]
fn the_room_of_a_signal_is_the_server_s_in_both_words() {
    let mut scene = Scene::new(1, loose());
    let (old, new) = (scene.open(), scene.open());
    let room = scene.room(old, 1);
    join(&mut scene, new, &room, 2);
    scene.read(old);
    scene.read(new);
    let forged = json!({"target_public_key": key(1), "sdp": "v", "room_id": "forged"});
    scene.ask(new, "SdpOffer", &forged);
    let got = scene.read(old).remove(0).payload;
    assert_eq!((&got["network_id"], got.get("room_id")), (&json!(room), None));
    let forged = json!({"destination_id": key(2), "offer": "v", "network_id": "forged"});
    scene.send(old, "", "Offer", &forged);
    let got = scene.read(new).remove(0).payload;
    assert_eq!((&got["room_id"], got.get("network_id")), (&json!(room), None));
    // Data for one peer goes to that one, by each of the names.
    let third = scene.open();
    scene.join(third, &room, 3);
    scene.read(old);
    scene.read(new);
    scene.read(third);
    for name in ["target_public_key", "destination_id", "target_id"] {
        scene.send(old, "", "Relay", &json!({"room_id": room, name: key(3), "data": "d"}));
        assert_eq!((scene.kinds(third), scene.kinds(new)), (vec!["Relay".to_owned()], vec![]));
    }
}
