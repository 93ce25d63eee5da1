//! The flows of the room era, over one worker and over several.

use std::time::Duration;

use serde_json::json;

use super::person::key;
use super::scene::{Got, Scene, loose};

fn everywhere(check: impl Fn(Scene)) {
    for workers in [1, 2, 3] {
        check(Scene::new(workers, loose()));
    }
}

#[test]
fn two_peers_find_each_other_and_signal() {
    everywhere(|mut scene| {
        let (a, b) = (scene.open(), scene.open());
        let room = scene.room(a, 1);
        assert_eq!(room.len(), 16);
        let joined = scene.join(b, &room, 2);
        assert_eq!((joined.kind.as_str(), &joined.payload["room_name"]), ("RoomJoined", &json!("r")));
        let told_b = scene.read(b);
        assert_eq!(told_b.len(), 1);
        assert_eq!(told_b[0].kind, "PeerJoined");
        assert_eq!((told_b[0].id.as_str(), &told_b[0].payload["username"]), ("", &json!("Peer")));
        assert_eq!(told_b[0].payload["public_key"], key(1));
        assert_eq!(told_b[0].payload["polite"], true);
        let told_a = scene.read(a);
        assert_eq!(told_a.len(), 1);
        assert_eq!((told_a[0].kind.as_str(), &told_a[0].payload["username"]), ("PeerJoined", &json!("u2")));
        assert_eq!(told_a[0].payload["polite"], false);
        assert_eq!(
            joined.payload,
            json!({"room_id": room, "room_name": "r"}),
            "nothing is added for who asks for nothing"
        );

        for target in [key(2), told_a[0].payload["connection_id"].as_str().unwrap().to_owned()] {
            let offer =
                json!({"room_id": room, "destination_id": target, "public_key": "forged", "offer": "o", "x": [1]});
            let sent = scene.ask(a, "Offer", &offer);
            assert_eq!((sent.kind.as_str(), &sent.payload["destination_id"]), ("SignalSent", &json!(target)));
            let got = scene.read(b);
            assert_eq!((got.len(), got[0].kind.as_str(), got[0].id.as_str()), (1, "Offer", ""));
            let expected = json!({"room_id": room, "destination_id": target, "public_key": key(1), "offer": "o", "x": [1],
                "sender_public_key": key(1), "sender_id": told_b[0].payload["connection_id"]});
            assert_eq!(got[0].payload, expected);
        }
        scene.send(b, "", "Answer", &json!({"destination_id": key(1), "answer": "a"}));
        let got = scene.read(a);
        assert_eq!((got.len(), got[0].kind.as_str()), (1, "Answer"));
        assert_eq!(got[0].payload["room_id"], json!(room));
        assert!(scene.read(b).is_empty(), "without an id nothing is answered");
        assert!(scene.unsettled.values().all(|count| *count == 0), "{:?}", scene.unsettled);
    });
}

#[test]
fn candidates_wait_for_the_offer_and_not_for_ever() {
    everywhere(|mut scene| {
        let (a, b) = (scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        scene.read(a);
        scene.read(b);
        let candidate = |name: &str| json!({"room_id": room, "destination_id": key(2), "candidate": name});
        scene.send(a, "", "Candidate", &candidate("1"));
        scene.send(a, "", "Candidate", &candidate("2"));
        assert!(scene.read(b).is_empty());
        scene.send(a, "", "Offer", &json!({"room_id": room, "destination_id": key(2), "offer": "o"}));
        scene.send(a, "", "Candidate", &candidate("3"));
        assert_eq!(scene.kinds(b), ["Offer", "Candidate", "Candidate", "Candidate"]);
        // A third peer that is never offered anything.
        let c = scene.open();
        scene.join(c, &room, 3);
        scene.read(c);
        scene.send(b, "", "Candidate", &json!({"room_id": room, "destination_id": key(3), "candidate": "4"}));
        scene.pass(Duration::from_millis(4900));
        assert!(scene.read(c).is_empty());
        scene.pass(Duration::from_millis(200));
        assert_eq!(scene.kinds(c), ["Candidate"]);
        for number in 0..70 {
            scene.send(
                c,
                "",
                "Candidate",
                &json!({"room_id": room, "destination_id": key(1), "candidate": number.to_string()}),
            );
        }
        let candidates = |got: Vec<Got>| got.iter().filter(|got| got.kind == "Candidate").count();
        assert_eq!(candidates(scene.read(a)), 64);
        scene.pass(Duration::from_secs(6));
        assert_eq!((candidates(scene.read(a)), candidates(scene.read(b))), (6, 0));
    });
}

#[test]
fn each_hears_the_encoding_that_it_spoke_last() {
    everywhere(|mut scene| {
        let (a, b) = (scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(b, &room, 2);
        let payload = json!({"room_id": room, "room_name": "x"}).to_string();
        let bytes = serde_json::to_string(payload.as_bytes()).unwrap();
        let text = serde_json::to_string(&payload).unwrap();
        let base64 = json!(base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &payload)).to_string();
        scene.read(b);
        for (sent, first) in [(bytes.as_str(), "["), (&text, "\"{"), (&payload, "{"), (&base64, "\"ey")] {
            scene.raw.clear();
            scene.text(a, &format!("{{\"type\":\"Rename\",\"message_id\":\"r\",\"payload\":{sent}}}"));
            assert_eq!(scene.raw.len(), 3);
            for (conn, text) in &scene.raw {
                let payload = &text[text.find("\"payload\":").unwrap() + 10..];
                assert!(payload.starts_with(if *conn == a { first } else { "\"ey" }), "{payload}");
            }
            assert_eq!(scene.kinds(a).last().unwrap(), "RenameSuccess");
            assert_eq!(scene.kinds(b), ["RoomRenamed"]);
        }
    });
}

#[test]
fn pings_bring_their_number_back_digit_by_digit() {
    let mut scene = Scene::new(1, loose());
    let a = scene.open();
    for number in ["1752000000123456789", "123456789012345678901234567890", "1.10", "-1.5E-7", "null", "{\"a\":[1]}"] {
        scene.raw.clear();
        scene.text(a, &format!("{{\"message_id\":\"p\",\"type\":\"Ping\",\"payload\":{{\"timestamp\":{number}}}}}"));
        let expected = format!("\"payload\":{{\"client_timestamp\":{number},\"server_timestamp\":1772131500000000000,");
        assert!(scene.raw[0].1.contains(&expected), "{}", scene.raw[0].1);
    }
    assert_eq!(scene.error(a, "Ping", &json!([1])), "Invalid ping format");
}

#[test]
fn kicked_members_are_put_out_told_and_closed() {
    everywhere(|mut scene| {
        for named in 0..3 {
            let (a, b, c) = (scene.open(), scene.open(), scene.open());
            let room = scene.room(a, 10 + named);
            scene.join(b, &room, 2);
            scene.join(c, &room, 3);
            let id = scene.read(a)[0].payload["connection_id"].as_str().unwrap().to_owned();
            let address = scene.addresses[&b].to_string();
            let target = [id, address, key(2)][usize::from(named)].clone();
            scene.read(b);
            scene.read(c);
            let done = scene.ask(a, "Kick", &json!({"room_id": room, "target_id": target}));
            assert_eq!(
                (done.kind.as_str(), done.payload),
                ("KickSuccess", json!({"room_id": room, "target_id": target}))
            );
            assert_eq!(scene.read(b)[0].payload, json!({"room_id": room}));
            assert_eq!(
                (scene.closed[&b].0, scene.closed[&b].1.as_str()),
                (crate::base::Reason::ServerClosed, "kicked")
            );
            assert_eq!((scene.kinds(a), scene.kinds(c)), (vec!["PeerLeft".to_owned()], vec!["PeerLeft".to_owned()]));
            scene.close(b);
            assert!(scene.read(c).is_empty());
            let again = scene.open();
            let connect = json!({"room_id": room, "public_key": key(2)});
            assert_eq!(scene.error(again, "ConnectRoom", &connect), "You must join this room first");
        }
    });
}

#[test]
fn one_connection_is_in_several_rooms_and_leaves_all_of_them() {
    everywhere(|mut scene| {
        let (a, b, both) = (scene.open(), scene.open(), scene.open());
        let (one, two) = (scene.room(a, 1), scene.room(b, 2));
        scene.join(both, &one, 3);
        scene.join(both, &two, 3);
        // A signal without its room finds the peer in whichever it is.
        for target in [1, 2] {
            let sent = scene.ask(both, "Offer", &json!({"destination_id": key(target), "offer": "o"}));
            assert_eq!(sent.payload["room_id"], json!([&one, &two][usize::from(target) - 1]));
        }
        assert_eq!(
            (scene.kinds(a), scene.kinds(b)),
            (["PeerJoined", "Offer"].map(String::from).to_vec(), ["PeerJoined", "Offer"].map(String::from).to_vec())
        );
        scene.close(both);
        assert_eq!((scene.kinds(a), scene.kinds(b)), (vec!["PeerLeft".to_owned()], vec!["PeerLeft".to_owned()]));
        let again = scene.open();
        let list = scene.ask(again, "GetUserRooms", &json!({"public_key": key(3)})).payload;
        assert_eq!(list["rooms"].as_array().unwrap().len(), 2);
        assert_eq!(list["rooms"][0]["is_connected"], false);
    });
}

#[test]
fn who_goes_and_comes_back_is_told_of_each_time_and_once() {
    everywhere(|mut scene| {
        let (a, b) = (scene.open(), scene.open());
        let room = scene.room(a, 1);
        for _ in 0..3 {
            assert_eq!(scene.join(b, &room, 2).kind, "RoomJoined");
        }
        assert_eq!(scene.kinds(a), ["PeerJoined"]);
        assert_eq!(scene.kinds(b), ["PeerJoined"; 3]);
        assert_eq!(scene.ask(b, "DisconnectRoom", &json!({})).payload, json!({"room_id": room}));
        assert_eq!(scene.error(b, "DisconnectRoom", &json!({"room_id": room})), "Not connected to this room");
        assert_eq!(scene.error(b, "DisconnectRoom", &json!({})), "Not connected to any room");
        assert_eq!(scene.kinds(a), ["PeerDisconnected"]);
        let connect = json!({"room_id": room, "public_key": key(2), "username": "User"});
        assert_eq!(scene.ask(b, "ConnectRoom", &connect).payload, json!({"room_id": room, "room_name": "r"}));
        assert_eq!(scene.kinds(b), ["PeerConnected"]);
        let told = scene.read(a).remove(0);
        assert_eq!((told.kind.as_str(), &told.payload["username"]), ("PeerConnected", &json!("User")));
        assert_eq!(told.payload["polite"], false);
        // Who is a member may leave a room that it is not in.
        scene.ask(b, "DisconnectRoom", &json!({}));
        scene.read(a);
        assert_eq!(scene.ask(b, "LeaveRoom", &json!({"room_id": room})).kind, "LeaveRoom");
        assert_eq!(scene.kinds(a), ["PeerLeft"]);
        assert_eq!(scene.error(b, "ConnectRoom", &connect), "You must join this room first");
    });
}

#[test]
fn a_closed_connection_of_another_dialect_is_no_matter() {
    let mut scene = Scene::new(1, loose());
    scene.pass(Duration::from_secs(5));
    let due = scene.shards[0].poll_timeout();
    scene.close(crate::base::ConnId::new(crate::base::ReactorId(0), 77, 0));
    assert_eq!(scene.shards[0].poll_timeout(), due);
}

#[test]
fn who_has_another_connection_in_the_room_is_told_of_once_more() {
    everywhere(|mut scene| {
        let (a, one, two, c) = (scene.open(), scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.join(one, &room, 2);
        scene.join(two, &room, 2);
        scene.join(c, &room, 3);
        let ids: Vec<_> = scene.read(a).iter().map(|got| got.payload["connection_id"].clone()).collect();
        scene.read(one);
        scene.read(two);
        scene.read(c);
        scene.close(one);
        for (conn, polite) in [(a, false), (c, true)] {
            let told = scene.read(conn);
            let kinds: Vec<&str> = told.iter().map(|got| &*got.kind).collect();
            assert_eq!(kinds, ["PeerLeft", "PeerJoined"]);
            assert_eq!((&told[0].payload["connection_id"], &told[1].payload["connection_id"]), (&ids[0], &ids[1]));
            assert_eq!((&told[1].payload["again"], &told[1].payload["polite"]), (&json!(true), &json!(polite)));
            assert_eq!(told[1].payload["public_key"], key(2));
            assert_eq!(told[1].payload["username"], "u2", "not the newcomer's word for it");
        }
        assert_eq!(scene.kinds(two), ["PeerLeft"], "nobody is told of itself");
        // The latest of three is told of the one before it.
        let (three, four) = (scene.open(), scene.open());
        scene.join(three, &room, 2);
        scene.join(four, &room, 2);
        for conn in [a, two, three, four, c] {
            scene.read(conn);
        }
        scene.close(three);
        assert_eq!(scene.kinds(two), ["PeerLeft", "PeerJoined"]);
        let told = scene.read(four).remove(1).payload;
        assert_eq!((&told["connection_id"], &told["polite"]), (&ids[1], &json!(true)));
        scene.close(four);
        scene.read(a);
        scene.read(c);
        scene.close(two);
        assert_eq!((scene.kinds(a), scene.kinds(c)), (vec!["PeerLeft".to_owned()], vec!["PeerLeft".to_owned()]));
    });
}
