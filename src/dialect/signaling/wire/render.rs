//! Answers and notices in the words of an era.

use serde_json::{Map, Value, json};
use smallvec::{SmallVec, smallvec};

use super::notify::{Notice, Person, PresenceState, Present, Row};
use super::{Era, Refusal};
use crate::base::Secret;

/// A type and its payload, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dialect::signaling) struct Message {
    pub name: &'static str,
    pub payload: String,
}

/// A room's answer.
#[derive(Debug)]
pub(in crate::dialect::signaling) enum Reply {
    Created {
        room: Box<str>,
        name: Box<str>,
        password: Secret,
        person: Person,
    },
    Joined {
        room: Box<str>,
        name: Box<str>,
        address: u8,
    },
    Connected {
        room: Box<str>,
        name: Box<str>,
        address: u8,
    },
    Disconnected {
        room: Box<str>,
    },
    Left {
        room: Box<str>,
    },
    Kicked {
        room: Box<str>,
        target: Box<str>,
    },
    Renamed {
        room: Box<str>,
        name: Box<str>,
    },
    Sent {
        room: Box<str>,
        target: Box<str>,
    },
    Present {
        room: Box<str>,
        peers: Vec<Present>,
    },
    /// It is done, and nothing is said.
    Nothing,
    Refused(Refusal),
}

/// A peer's id on the wire.
pub(in crate::dialect::signaling) fn peer_id(peer: u64) -> String {
    format!("{peer:016x}")
}

/// The peer whose id on the wire this is.
pub(in crate::dialect::signaling) fn parse_peer_id(text: &str) -> Option<u64> {
    let is_one = text.len() == 16 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_one { u64::from_str_radix(text, 16).ok() } else { None }
}

fn ip(address: u8) -> String {
    format!("10.10.0.{address}")
}

fn message<const N: usize>(name: &'static str, fields: [(&str, Value); N]) -> Message {
    let fields: Map<String, Value> = fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Message { name, payload: Value::Object(fields).to_string() }
}

/// An answer, and what is added to it: `extra` is for those by which a connection enters a room.
pub(in crate::dialect::signaling) fn reply(reply: &Reply, era: Era, extra: Map<String, Value>) -> Option<Message> {
    let id = era.id();
    let entered = |name, mut fields: Map<String, Value>| {
        fields.extend(extra);
        Message { name, payload: Value::Object(fields).to_string() }
    };
    Some(match reply {
        Reply::Created { room, name, password, person } => match era {
            Era::Room => entered(
                "RoomCreated",
                map([
                    ("room_id", json!(room)),
                    ("room_name", json!(name)),
                    ("password", json!(password.expose())),
                    ("public_key", json!(person.key)),
                ]),
            ),
            Era::Network => entered(
                "NetworkCreated",
                map([
                    ("network_id", json!(room)),
                    ("network_name", json!(name)),
                    ("public_key", json!(person.key)),
                    ("computers", json!([computer(person)])),
                ]),
            ),
        },
        Reply::Joined { room, name, address } => {
            entered(era.pick("RoomJoined", "NetworkJoined"), place(era, room, name, *address))
        }
        Reply::Connected { room, name, address } => {
            entered(era.pick("RoomConnected", "NetworkConnected"), place(era, room, name, *address))
        }
        Reply::Disconnected { room } => {
            message(era.pick("RoomDisconnected", "NetworkDisconnected"), [(id, json!(room))])
        }
        Reply::Left { room } => message(era.pick("LeaveRoom", "LeaveNetwork"), [(id, json!(room))]),
        Reply::Kicked { room, target } => {
            message(era.pick("KickSuccess", "KickResponse"), [(id, json!(room)), ("target_id", json!(target))])
        }
        Reply::Renamed { room, name } => {
            message(era.pick("RenameSuccess", "RenameResponse"), [(id, json!(room)), (era.name(), json!(name))])
        }
        Reply::Sent { room, target } => message("SignalSent", [(id, json!(room)), ("destination_id", json!(target))]),
        Reply::Present { room, peers } => {
            let peers: Vec<Value> = peers.iter().map(present).collect();
            message("Presence", [(id, json!(room)), ("peers", peers.into())])
        }
        Reply::Nothing => return None,
        Reply::Refused(refusal) => message("Error", [("error", json!(refusal.text(era)))]),
    })
}

fn map<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn place(era: Era, room: &str, name: &str, address: u8) -> Map<String, Value> {
    let mut fields = map([(era.id(), json!(room)), (era.name(), json!(name))]);
    if era == Era::Network {
        fields.insert("computer_ip".into(), json!(ip(address)));
    }
    fields
}

fn computer(person: &Person) -> Value {
    json!({
        "name": person.name,
        "computer_ip": ip(person.address),
        "public_key": person.key,
        "is_online": person.online,
    })
}

fn present(peer: &Present) -> Value {
    let state = match peer.state {
        PresenceState::Online => "online",
        PresenceState::Away => "away",
    };
    json!({"public_key": peer.key, "username": peer.name, "connection_id": peer_id(peer.peer), "state": state})
}

/// A notice: one message, or two where the later era tells two things.
pub(in crate::dialect::signaling) fn told(notice: &Notice, era: Era) -> SmallVec<[Message; 2]> {
    let id = era.id();
    match notice {
        Notice::Joined { room, person, peer, polite } => match era {
            Era::Room => smallvec![newcomer("PeerJoined", room, person, *peer, *polite)],
            Era::Network => computer_comes(room, person, *peer, *polite),
        },
        Notice::Stays { room, person, peer, polite } => {
            let mut all = match era {
                Era::Room => smallvec![peer_notice("PeerJoined", room, person, *peer, *polite, called(person))],
                Era::Network => computer_comes(room, person, *peer, *polite),
            };
            for message in &mut all {
                message.payload.insert_str(1, "\"again\":true,");
            }
            all
        }
        Notice::Connected { room, person, peer, polite } => match era {
            Era::Room => smallvec![newcomer("PeerConnected", room, person, *peer, *polite)],
            Era::Network => computer_comes(room, person, *peer, *polite),
        },
        Notice::Left { room, key, peer, lost } => {
            let mut all = smallvec![who(era.pick("PeerLeft", "ComputerLeft"), era, room, key, *peer)];
            if *lost && era == Era::Network {
                all.push(who("ComputerDisconnected", era, room, key, *peer));
            }
            all
        }
        Notice::Disconnected { room, key, peer } => {
            smallvec![who(era.pick("PeerDisconnected", "ComputerDisconnected"), era, room, key, Some(*peer))]
        }
        Notice::Away { room, key, peer } => {
            smallvec![who(era.pick("PeerAway", "ComputerAway"), era, room, key, Some(*peer))]
        }
        Notice::Back { room, key, peer } => {
            smallvec![who(era.pick("PeerBack", "ComputerBack"), era, room, key, Some(*peer))]
        }
        Notice::Deleted { room } => smallvec![message(era.pick("RoomDeleted", "NetworkDeleted"), [(id, json!(room))])],
        Notice::Renamed { room, name } => smallvec![message(
            era.pick("RoomRenamed", "NetworkRenamed"),
            [(id, json!(room)), (era.name(), json!(name))]
        )],
        Notice::Named { room, key, name } => smallvec![message(
            era.pick("PeerRenamed", "ComputerRenamed"),
            [
                (id, json!(room)),
                ("public_key", json!(key)),
                (era.pick("new_username", "new_computer_name"), json!(name)),
            ]
        )],
        Notice::Kicked { room } => smallvec![message("Kicked", [(id, json!(room))])],
        Notice::PutOut { room } => {
            smallvec![message(era.pick("RoomDisconnected", "NetworkDisconnected"), [(id, json!(room))])]
        }
        Notice::Signal(signal) => smallvec![Message { name: signal.name, payload: signal.payload.to_string() }],
        Notice::Relay { room, key, peer, data } => {
            let head =
                message("Relay", [(id, json!(room)), ("public_key", json!(key)), ("sender_id", json!(peer_id(*peer)))]);
            let mut payload = head.payload;
            // An object ends with its brace, and this one is not empty.
            payload.pop();
            payload.push_str(",\"data\":");
            payload.push_str(data);
            payload.push('}');
            smallvec![Message { name: "Relay", payload }]
        }
    }
}

fn newcomer(name: &'static str, room: &str, person: &Person, peer: u64, polite: bool) -> Message {
    // Who comes is told of those who are there under one name, as ever.
    peer_notice(name, room, person, peer, polite, if polite { "Peer" } else { called(person) })
}

/// The name of the day, or the one that is kept.
fn called(person: &Person) -> &str {
    person.called.as_deref().unwrap_or(&person.name)
}

fn peer_notice(name: &'static str, room: &str, person: &Person, peer: u64, polite: bool, username: &str) -> Message {
    message(
        name,
        [
            ("room_id", json!(room)),
            ("public_key", json!(person.key)),
            ("username", json!(username)),
            ("connection_id", json!(peer_id(peer))),
            ("polite", json!(polite)),
        ],
    )
}

/// The later era's clients put into their table who joined, and set online who is in it. So they are
/// told both whenever somebody comes: of one that was lost they were told that it left.
fn computer_comes(room: &str, person: &Person, peer: u64, polite: bool) -> SmallVec<[Message; 2]> {
    smallvec![
        computer_notice("ComputerJoined", room, person, peer, polite),
        computer_notice("ComputerConnected", room, person, peer, polite),
    ]
}

fn computer_notice(name: &'static str, room: &str, person: &Person, peer: u64, polite: bool) -> Message {
    message(
        name,
        [
            ("network_id", json!(room)),
            ("public_key", json!(person.key)),
            ("computername", json!(person.name)),
            ("computer_ip", json!(ip(person.address))),
            ("connection_id", json!(peer_id(peer))),
            ("polite", json!(polite)),
        ],
    )
}

fn who(name: &'static str, era: Era, room: &str, key: &str, peer: Option<u64>) -> Message {
    let mut fields = map([(era.id(), json!(room)), ("public_key", json!(key))]);
    if let Some(peer) = peer {
        fields.insert("connection_id".into(), json!(peer_id(peer)));
    }
    Message { name, payload: Value::Object(fields).to_string() }
}

/// A member's list of rooms.
pub(in crate::dialect::signaling) fn rooms(rows: &[Row], era: Era) -> Message {
    let list: Vec<Value> = rows
        .iter()
        .map(|row| match era {
            Era::Room => json!({
                "room_id": row.room,
                "room_name": row.name,
                "is_connected": row.is_connected,
                "joined_at": row.joined.to_string(),
                "last_connected": row.last_connected.to_string(),
            }),
            Era::Network => json!({
                "network_id": row.room,
                "network_name": row.name,
                "joined_at": row.joined.to_string(),
                "last_connected": row.last_connected.to_string(),
                "computer_ip": ip(row.address),
                "admin_public_key": row.owner,
                "computers": row.people.iter().map(computer).collect::<Vec<Value>>(),
            }),
        })
        .collect();
    message(era.pick("UserRooms", "ComputerNetworks"), [(era.pick("rooms", "networks"), list.into())])
}
