//! `signal` against a server of rooms, one that keeps its promises and some that do not.

use std::collections::BTreeMap;

use super::*;

/// What the server does wrong, once for each direction of each room or always.
#[derive(Clone, Copy, PartialEq)]
enum Wrong {
    Nothing,
    /// Loses the fifth signal.
    Loses5th,
    /// Delivers the fifth after the sixth.
    Swaps5thAnd6th,
    /// Delivers all of them twice.
    Doubles,
    /// Knows a connection in one room alone.
    TakesOneRoom,
}

/// One direction: how many signals came, and the one that is held back.
#[derive(Default)]
struct Way {
    count: usize,
    held: Option<Vec<u8>>,
}

#[derive(Default)]
struct House {
    /// By room, the members' keys and connections.
    rooms: Vec<Vec<(String, TcpStream)>>,
    /// By room and sender.
    ways: BTreeMap<(usize, String), Way>,
}

fn serve_rooms(wrong: Wrong) -> (String, Arc<Mutex<House>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ws://{}/", listener.local_addr().unwrap());
    let house: Arc<Mutex<House>> = Arc::default();
    let shared = house.clone();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let house = shared.clone();
            thread::spawn(move || serve_member(stream, wrong, &house));
        }
    });
    (url, house)
}

fn serve_member(mut stream: TcpStream, wrong: Wrong, house: &Mutex<House>) -> Option<()> {
    read_request(&mut stream)?;
    stream.write_all(UPGRADED).ok()?;
    loop {
        let frame = read_frame(&mut stream)?;
        let start = if frame[1] == 126 { 4 } else { 2 };
        let message: Value = serde_json::from_slice(&frame[start..]).ok()?;
        house.lock().obey(&message, wrong, &mut stream)?;
    }
}

impl House {
    fn obey(&mut self, message: &Value, wrong: Wrong, stream: &mut TcpStream) -> Option<()> {
        let payload = &message["payload"];
        let key = payload["public_key"].as_str().unwrap_or_default().to_owned();
        let room = || payload["room_id"].as_str()?.strip_prefix("room")?.parse::<usize>().ok();
        let answer = |kind: &str, room: usize| {
            let payload = json!({"room_id": format!("room{room}")});
            text_frame(&json!({"message_id": message["message_id"], "type": kind, "payload": payload}).to_string())
        };
        match message["type"].as_str()? {
            "Ping" => stream.write_all(&answer("Ping", 0)).ok(),
            "CreateRoom" => {
                let owns = |members: &Vec<(String, TcpStream)>| members[0].0 == key;
                assert!(!self.rooms.iter().any(owns), "a key owns one room");
                self.rooms.push(vec![(key, stream.try_clone().ok()?)]);
                stream.write_all(&answer("RoomCreated", self.rooms.len() - 1)).ok()
            }
            "JoinRoom" => {
                let is_elsewhere = self.rooms.iter().flatten().any(|(member, _)| *member == key);
                if wrong == Wrong::TakesOneRoom && is_elsewhere {
                    return stream.write_all(&text_frame(r#"{"message_id":"1","type":"Error"}"#)).ok();
                }
                let room = room()?;
                let joined = |key: &str| {
                    let payload = json!({"room_id": format!("room{room}"), "public_key": shown(key)});
                    text_frame(&json!({"message_id": "", "type": "PeerJoined", "payload": payload}).to_string())
                };
                let (owner, its_stream) = &mut self.rooms[room][0];
                its_stream.write_all(&joined(&key)).ok()?;
                stream.write_all(&answer("RoomJoined", room)).ok()?;
                stream.write_all(&joined(owner)).ok()?;
                self.rooms[room].push((key, stream.try_clone().ok()?));
                Some(())
            }
            kind @ ("Offer" | "Answer") => {
                let room = room()?;
                assert_eq!(kind == "Offer", self.rooms[room][0].0 == key, "owners offer, guests answer");
                self.signal(room, key, message, wrong)
            }
            other => panic!("{other} is not asked here"),
        }
    }

    fn signal(&mut self, room: usize, sender: String, message: &Value, wrong: Wrong) -> Option<()> {
        let payload = &message["payload"];
        let (_, peer) = self.rooms[room].iter_mut().find(|(key, _)| payload["destination_id"] == shown(key))?;
        let frame = text_frame(&message.to_string());
        let way = self.ways.entry((room, sender)).or_default();
        way.count += 1;
        if way.count == 5 && matches!(wrong, Wrong::Loses5th | Wrong::Swaps5thAnd6th) {
            way.held = Some(frame);
            return Some(());
        }
        peer.write_all(&frame).ok()?;
        match wrong {
            Wrong::Doubles => peer.write_all(&frame).ok(),
            Wrong::Swaps5thAnd6th => way.held.take().map_or(Some(()), |held| peer.write_all(&held).ok()),
            Wrong::Nothing | Wrong::Loses5th | Wrong::TakesOneRoom => Some(()),
        }
    }
}

/// What members are told of a key: not the key.
fn shown(key: &str) -> String {
    format!("alias of {key}")
}

/// Of five connections two share a room, and three have two.
const THREE_ROOMS: &str = "signal -c 5 --rooms 3";

#[test]
fn signals_go_both_ways_in_every_room() {
    for (line, members) in [
        ("signal -c 4", [2, 2].as_slice()),
        ("signal -c 6 --rooms 3 -p 3 --threads 2", &[2, 2, 2]),
        (THREE_ROOMS, &[2, 2, 2]),
        ("signal -c 9 --rooms 6 -p 4 --threads 2 --masking random", &[2; 6]),
    ] {
        let (url, house) = serve_rooms(Wrong::Nothing);
        let report = bench_at(&url, line).unwrap_or_else(|error| panic!("{line}: {error}"));
        assert!(report.faults.is_none(), "{line}: {report}");
        assert_eq!((report.rooms, report.set_up.failed), (Some(members.len()), 0), "{line}: {report}");
        assert_eq!(report.latency.unwrap().count, report.messages);
        let house = house.lock();
        assert_eq!(house.rooms.iter().map(Vec::len).collect::<Vec<_>>(), members, "{line}");
        assert_eq!(house.ways.len(), 2 * members.len(), "{line}: each room has two directions");
        assert!(house.ways.values().all(|way| way.count > 2), "{line}");
    }
}

#[test]
fn each_room_counts_what_it_lost() {
    let (url, _) = serve_rooms(Wrong::Loses5th);
    let report = bench_at(&url, &format!("{THREE_ROOMS} --drain 0.3")).unwrap();
    // The fifth offer of each room; nothing goes on there, and so there is no fifth answer.
    assert_eq!((report.faults.lost, report.faults.duplicates, report.faults.out_of_order), (3, 0, 0), "{report}");
    assert_eq!(report.faults.unexpected, 0, "{report}");
}

#[test]
fn each_direction_of_each_room_has_an_order_of_its_own() {
    let (url, _) = serve_rooms(Wrong::Swaps5thAnd6th);
    let report = bench_at(&url, &format!("{THREE_ROOMS} -p 3")).unwrap();
    assert_eq!((report.faults.lost, report.faults.duplicates, report.faults.out_of_order), (0, 0, 6), "{report}");
}

#[test]
fn signals_that_come_twice_are_duplicates_in_both_rooms_of_a_guest() {
    let (url, house) = serve_rooms(Wrong::Doubles);
    let report = bench_at(&url, "signal -c 3 --rooms 2").unwrap();
    let signals: usize = house.lock().ways.values().map(|way| way.count).sum();
    assert!(signals > 20, "{report}");
    // The last copies may be under way when it ends.
    assert!(report.faults.duplicates + 8 > signals as u64 && report.faults.duplicates <= signals as u64, "{report}");
    assert_eq!((report.faults.lost, report.faults.unexpected), (0, 0), "{report}");
}

#[test]
fn a_guest_who_is_refused_in_one_of_its_rooms_has_failed() {
    let (url, _) = serve_rooms(Wrong::TakesOneRoom);
    let report = bench_at(&url, &format!("{THREE_ROOMS} --drain 0.3")).unwrap();
    assert_eq!((report.set_up.connected, report.set_up.failed), (4, 1), "{report}");
}
