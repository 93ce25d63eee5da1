//! The flows of the room era, over one worker and over several.

use std::time::Duration;

use serde_json::json;

use super::scene::{Scene, key, loose};

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
            scene.send(c, "", "Candidate", &json!({"room_id": room, "destination_id": key(1), "candidate": number}));
        }
        scene.read(a).retain(|got| got.kind == "Candidate");
        scene.pass(Duration::from_secs(6));
        assert!(scene.read(b).iter().all(|got| got.kind != "Candidate"));
    });
}
