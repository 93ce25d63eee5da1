//! The exact errors, in the exact order of the checks, in the words of both eras.

use serde_json::{Value, json};

use super::person::key;
use super::scene::{Disk, Scene, loose};

const NOWHERE: &str = "0123456789abcdef";

/// A payload in the other era's fields.
fn as_network(payload: &Value) -> Value {
    let text = payload.to_string();
    let text = text.replace("\"room_id\"", "\"network_id\"").replace("\"room_name\"", "\"network_name\"");
    serde_json::from_str(&text.replace("\"password\"", "\"pin\"")).unwrap()
}

#[test]
fn wrong_requests_get_their_error_in_order_and_change_nothing() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let owner = scene.open();
        let room = scene.room(owner, 1);
        let k1 = key(1);
        let long = key(1).trim_end_matches('=').to_owned();
        let create =
            |name: &str, password: &str, key: &str| json!({"room_name": name, "password": password, "public_key": key});
        let join =
            |room: &str, password: &str, key: &str| json!({"room_id": room, "password": password, "public_key": key});
        let table: Vec<(&str, Value, String, String)> = [
            (
                "Create",
                create("", "x", ""),
                "Room name, password, and public key are required",
                "Network name, pin, and public key are required",
            ),
            (
                "Create",
                create("n", "", &k1),
                "Room name, password, and public key are required",
                "Network name, pin, and public key are required",
            ),
            (
                "Create",
                create("n", "x", ""),
                "Room name, password, and public key are required",
                "Network name, pin, and public key are required",
            ),
            (
                "Create",
                create("n", "123", &k1),
                "Password does not match required pattern",
                "PIN does not match required pattern",
            ),
            (
                "Create",
                create("n", "1234\n", &k1),
                "Password does not match required pattern",
                "PIN does not match required pattern",
            ),
            (
                "Create",
                create("n", "١٢٣٤", "bad"),
                "Password does not match required pattern",
                "PIN does not match required pattern",
            ),
            ("Create", create("n", "1234", "bad"), "Invalid public key format", "Invalid public key format"),
            ("Create", create("n", "1234", &long), "Invalid public key format", "Invalid public key format"),
            ("Join", join(NOWHERE, "x", ""), "Room does not exist", "Network does not exist"),
            ("Join", join("", "x", ""), "Room does not exist", "Network does not exist"),
            ("Join", join(&room, "0000", ""), "Incorrect password", "Incorrect PIN"),
            ("Join", join(&room, "1234", ""), "Public key is required", "Public key is required"),
            ("Join", join(&room, "1234", "a\u{7}"), "Invalid public key format", "Invalid public key format"),
            ("Connect", join(NOWHERE, "", ""), "Room does not exist", "Network does not exist"),
            ("Connect", join(&room, "", ""), "Public key is required", "Public key is required"),
            ("Connect", join(&room, "", "x"), "You must join this room first", "You must join this network first"),
            ("Disconnect", json!({}), "Not connected to any room", "Not connected to any network"),
            ("Leave", json!({}), "Not connected to any room", "Not connected to any network"),
            ("Leave", json!({"room_id": NOWHERE}), "Public key is required", "Public key is required"),
            ("Leave", json!({"room_id": NOWHERE, "public_key": "x"}), "Room not found", "Network not found"),
            ("Kick", json!({"room_id": NOWHERE, "target_id": "x"}), "Room does not exist", "Network does not exist"),
            (
                "Kick",
                json!({"room_id": room, "target_id": "x"}),
                "Only room owner can kick users",
                "Only network owner can kick computers",
            ),
            ("Rename", json!({"room_id": NOWHERE}), "Room does not exist", "Network does not exist"),
            (
                "Rename",
                json!({"room_id": room, "public_key": k1}),
                "Only room owner can rename the room",
                "Only network owner can rename the network",
            ),
            ("List", json!({}), "Public key is required", "Public key is required"),
            ("Offer", json!({"destination_id": k1}), "Not connected to any room", "Sender public key not found"),
            ("Nonsense", json!({}), "Unknown message type", "Unknown message type"),
        ]
        .map(|(kind, payload, in_room, in_network)| (kind, payload, in_room.to_owned(), in_network.to_owned()))
        .into_iter()
        .chain([(
            "Create",
            create("n", "1234", &k1),
            format!("This public key has already created room: {room}"),
            format!("This public key has already created network: {room}"),
        )])
        .collect();
        let written = scene.written.clone();
        for (kind, payload, in_room, in_network) in table {
            let (room_kind, network_kind) = match kind {
                "Kick" | "Rename" | "Nonsense" => (kind.to_owned(), kind.to_owned()),
                "List" => ("GetUserRooms".into(), "GetComputerNetworks".into()),
                "Offer" => ("Offer".into(), "SdpOffer".into()),
                _ => (format!("{kind}Room"), format!("{kind}Network")),
            };
            let stranger = scene.open();
            assert_eq!(scene.error(stranger, &room_kind, &payload), in_room, "{room_kind} {payload}");
            let payload = as_network(&payload);
            assert_eq!(scene.error(stranger, &network_kind, &payload), in_network, "{network_kind} {payload}");
            assert!(scene.read(stranger).is_empty() && scene.read(owner).is_empty(), "{kind}");
        }
        assert_eq!(scene.written, written);
    }
}

#[test]
fn a_connection_has_the_first_key_that_it_stated_with_success() {
    let mut scene = Scene::new(2, loose());
    let (a, b) = (scene.open(), scene.open());
    let room = scene.room(a, 1);
    // What fails pins nothing.
    assert_eq!(
        scene.error(b, "ConnectRoom", &json!({"room_id": room, "public_key": key(9)})),
        "You must join this room first"
    );
    scene.join(b, &room, 2);
    let foreign = "Public key does not match this connection";
    let other =
        json!({"room_id": room, "room_name": "x", "password": "1234", "public_key": key(1), "client_name": "x"});
    for kind in ["CreateRoom", "JoinRoom", "ConnectRoom", "LeaveRoom", "GetUserRooms", "UpdateClientInfo"] {
        assert_eq!(scene.error(b, kind, &other), foreign, "{kind}");
    }
    // Where a key is not looked at, another one does not matter.
    let forged = json!({"room_id": room, "target_id": key(2), "room_name": "x", "public_key": key(1)});
    assert_eq!(scene.error(b, "Kick", &forged), "Only room owner can kick users");
    assert_eq!(scene.error(b, "Rename", &forged), "Only room owner can rename the room");
}

#[test]
fn owners_find_no_target_that_is_not_there() {
    let mut scene = Scene::new(2, loose());
    let (a, b) = (scene.open(), scene.open());
    let room = scene.room(a, 1);
    scene.join(b, &room, 2);
    for target in ["", "nobody", "192.0.2.9:1", &key(1), &key(7)] {
        let payload = json!({"room_id": room, "target_id": target});
        assert_eq!(scene.error(a, "Kick", &payload), "Target client not found", "{target}");
    }
    let payload = json!({"room_id": room, "destination_id": key(7), "offer": "o"});
    assert_eq!(scene.error(a, "Offer", &payload), "Target client not found");
    let payload = json!({"network_id": room, "target_public_key": key(7), "sdp": "o"});
    let text = format!("Target client {} not found or not in the same network", key(7));
    assert_eq!(scene.error(a, "SdpOffer", &payload), text);
    let elsewhere = json!({"room_id": NOWHERE, "destination_id": key(2), "offer": "o"});
    assert_eq!(scene.error(a, "Offer", &elsewhere), "Not connected to this room");
    assert_eq!(scene.error(a, "DisconnectRoom", &json!({"room_id": NOWHERE})), "Not connected to this room");
}

#[test]
fn a_store_that_fails_gives_its_errors_and_changes_nothing() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        for conn in [a, b] {
            scene.read(conn);
        }
        let written = scene.written.clone();
        scene.disk = Disk::Failing;
        let join = json!({"room_id": room, "password": "1234", "public_key": key(3)});
        let as_member = json!({"network_id": room, "pin": "1234", "public_key": key(3)});
        let create = json!({"room_name": "n", "password": "1234", "public_key": key(3)});
        let by_net = json!({"network_name": "n", "pin": "1234", "public_key": key(3)});
        for (conn, kind, payload, text) in [
            (c, "CreateRoom", create, "Error creating room in database"),
            (c, "CreateNetwork", by_net, "Error creating network in database"),
            (c, "JoinRoom", join, "Error adding user to room"),
            (c, "JoinNetwork", as_member, "Error adding computer to network"),
            (a, "Rename", json!({"room_id": room, "room_name": "x"}), "Error updating room name in database"),
            (a, "Rename", json!({"network_id": room, "network_name": "x"}), "Error updating network name in database"),
            (a, "Kick", json!({"room_id": room, "target_id": key(2)}), "Error removing user from room"),
            (b, "LeaveRoom", json!({"room_id": room}), "Error removing user from room"),
            (a, "LeaveRoom", json!({"room_id": room}), "Failed to delete room from database"),
            (
                b,
                "UpdateClientInfo",
                json!({"public_key": key(2), "client_name": "n"}),
                "Failed to update client name: the store did not take it",
            ),
        ] {
            assert_eq!(scene.error(conn, kind, &payload), text);
        }
        assert!([a, b, c].into_iter().all(|conn| scene.read(conn).is_empty()));
        assert_eq!(scene.written, written);
        scene.disk = Disk::Good;
        assert_eq!(scene.room(c, 3).len(), 16);
        assert_eq!(scene.ask(a, "Rename", &json!({"room_id": room, "room_name": "y"})).kind, "RenameSuccess");
        assert_eq!(scene.kinds(b), ["RoomRenamed"]);
    }
}
