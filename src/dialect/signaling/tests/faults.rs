//! A slow store: nothing holds before it is written, and what waits keeps its order.

use serde_json::json;

use super::person::key;
use super::scene::{Disk, Scene, loose};

#[test]
fn requests_wait_for_the_one_before_and_for_the_room() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.disk = Disk::Slow;
        let join = json!({"room_id": room, "password": "1234", "public_key": key(2)});
        scene.send(b, "1", "JoinRoom", &join);
        scene.send(b, "2", "Offer", &json!({"destination_id": key(1), "offer": "o"}));
        scene.send(a, "3", "Rename", &json!({"room_id": room, "room_name": "x"}));
        scene.send(c, "4", "JoinRoom", &json!({"room_id": room, "password": "0000", "public_key": key(3)}));
        assert!([a, b, c].into_iter().all(|conn| scene.read(conn).is_empty()), "nothing holds yet");
        assert!(scene.is_waiting());
        scene.write(true);
        let told_b: Vec<_> = scene.read(b).into_iter().map(|got| (got.kind, got.id)).collect();
        let expected = [("RoomJoined", "1"), ("PeerJoined", ""), ("RoomRenamed", ""), ("SignalSent", "2")];
        let mut sorted: Vec<_> = told_b.iter().map(|(kind, id)| (kind.as_str(), id.as_str())).collect();
        assert_eq!(sorted[..2], expected[..2]);
        sorted.sort_unstable();
        let mut all = expected.to_vec();
        all.sort_unstable();
        assert_eq!(sorted, all);
        let mut told_a = scene.kinds(a);
        assert_eq!(told_a.remove(0), "PeerJoined");
        told_a.sort_unstable();
        assert_eq!(told_a, ["Offer", "RenameSuccess", "RoomRenamed"]);
        assert_eq!(scene.read(c)[0].payload["error"], "Incorrect password");
        assert!(scene.unsettled.values().all(|count| *count == 0));
    }
}

#[test]
fn two_who_make_rooms_with_one_key_make_one() {
    for workers in [1, 3] {
        for is_good in [true, false] {
            let mut scene = Scene::new(workers, loose());
            let conns: Vec<_> = (0..3).map(|_| scene.open()).collect();
            scene.disk = Disk::Slow;
            let payload = json!({"room_name": "r", "password": "1234", "public_key": key(1)});
            for conn in &conns {
                scene.send(*conn, "x", "CreateRoom", &payload);
            }
            scene.write(is_good);
            scene.write(is_good);
            scene.write(is_good);
            let kinds: Vec<_> = conns.iter().map(|conn| scene.read(*conn).remove(0)).collect();
            let made = kinds.iter().filter(|got| got.kind == "RoomCreated").count();
            assert_eq!(made, usize::from(is_good));
            let text =
                if is_good { "This public key has already created room: " } else { "Error creating room in database" };
            let refused: Vec<_> = kinds.iter().filter(|got| got.kind == "Error").collect();
            assert_eq!(refused.len(), 3 - made);
            assert!(refused.iter().all(|got| got.payload["error"].as_str().unwrap().starts_with(text)));
            assert_eq!(scene.written.len(), made);
        }
    }
}

#[test]
fn who_is_gone_before_it_is_in_leaves_no_ghost() {
    for workers in [1, 3] {
        let mut scene = Scene::new(workers, loose());
        let (a, b, c) = (scene.open(), scene.open(), scene.open());
        let room = scene.room(a, 1);
        scene.disk = Disk::Slow;
        scene.send(b, "1", "JoinRoom", &json!({"room_id": room, "password": "1234", "public_key": key(2)}));
        scene.send(c, "1", "CreateRoom", &json!({"room_name": "r", "password": "1234", "public_key": key(3)}));
        scene.close(b);
        scene.close(c);
        scene.write(true);
        assert_eq!(scene.kinds(a), ["PeerJoined", "PeerLeft"]);
        assert_eq!(scene.shards.iter().map(|shard| shard.live()).sum::<usize>(), 1);
        assert_eq!(scene.shards.iter().map(|shard| shard.store_requests()).sum::<usize>(), 0);
    }
}

#[test]
fn a_room_has_so_much_waiting_and_no_more() {
    let mut scene = Scene::new(1, loose());
    let a = scene.open();
    let room = scene.room(a, 1);
    scene.disk = Disk::Slow;
    scene.send(a, "r", "Rename", &json!({"room_id": room, "room_name": "x"}));
    let busy = (0..1100)
        .filter(|_| {
            let conn = scene.open();
            scene.send(conn, "1", "ConnectRoom", &json!({"room_id": room, "public_key": key(9)}));
            scene
                .read(conn)
                .first()
                .is_some_and(|got| got.payload["error"] == "Server is busy. Please try again later.")
        })
        .count();
    assert_eq!(busy, 1100 - 1024);
    scene.write(true);
    assert_eq!(scene.kinds(a), ["RoomRenamed", "RenameSuccess"]);
    assert!(scene.unsettled.values().all(|count| *count == 0));
}

#[test]
fn what_waits_for_a_room_is_bounded_in_bytes_too() {
    let mut scene = Scene::new(1, loose());
    let (a, b, c) = (scene.open(), scene.open(), scene.open());
    let room = scene.room(a, 1);
    scene.join(b, &room, 2);
    scene.join(c, &room, 3);
    scene.read(b);
    scene.read(c);
    scene.disk = Disk::Slow;
    scene.send(a, "r", "Rename", &json!({"room_id": room, "room_name": "x"}));
    for _ in 0..120 {
        let offer = json!({"room_id": room, "destination_id": key(2), "offer": "x".repeat(40_000)});
        scene.send(c, "s", "Offer", &offer);
    }
    let refused = scene.read(c);
    assert!((10..20).contains(&refused.len()), "{}", refused.len());
    assert!(refused.iter().all(|got| got.payload["error"] == "Server is busy. Please try again later."));
    // Who has something small to ask is not kept from it.
    scene.send(c, "p", "Presence", &json!({"room_id": room}));
    scene.write(true);
    assert_eq!(scene.kinds(b).iter().filter(|kind| *kind == "Offer").count(), 120 - refused.len());
    assert_eq!(scene.kinds(c).iter().filter(|kind| *kind == "Presence").count(), 1);
    assert!(scene.unsettled.values().all(|count| *count == 0));
}

#[test]
fn one_connection_has_so_much_waiting_and_no_more() {
    let mut scene = Scene::new(1, loose());
    let a = scene.open();
    let room = scene.room(a, 1);
    scene.disk = Disk::Slow;
    scene.send(a, "0", "Rename", &json!({"room_id": room, "room_name": "x"}));
    for number in 1..1100 {
        scene.send(a, &number.to_string(), "Presence", &json!({"room_id": room}));
    }
    let refused = scene.read(a);
    assert_eq!(refused.len(), 1100 - 1025);
    while scene.is_waiting() {
        scene.write(true);
    }
    let answers: Vec<String> =
        scene.read(a).into_iter().filter(|got| got.kind != "RoomRenamed").map(|got| got.id).collect();
    assert_eq!(answers, (0..1025).map(|number| number.to_string()).collect::<Vec<_>>());
    assert_eq!(scene.unsettled[&a], 0);
}

#[test]
fn what_waits_on_one_connection_is_bounded_in_bytes_too() {
    let mut scene = Scene::new(1, loose());
    let a = scene.open();
    let room = scene.room(a, 1);
    scene.disk = Disk::Slow;
    scene.send(a, "r", "Rename", &json!({"room_id": room, "room_name": "x"}));
    for _ in 0..40 {
        scene.send(a, "p", "Ping", &json!({"timestamp": "x".repeat(40_000)}));
    }
    let refused = scene.read(a).len();
    assert!((18..25).contains(&refused), "{refused}");
    scene.write(true);
    assert_eq!(scene.kinds(a).iter().filter(|kind| *kind == "Ping").count(), 40 - refused);
    assert_eq!(scene.unsettled[&a], 0);
}
