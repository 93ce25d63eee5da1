//! A room as it is written down: one JSON value by room, members among it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pepper::PasswordHash;
use crate::base::{Wall, WorkerId};

/// The form of the value that this version writes.
const VERSION: u32 = 1;

/// A room as it is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomRecord {
    /// Its id.
    pub id: Box<str>,
    pub(super) name: Box<str>,
    pub(super) owner: Arc<str>,
    pub(super) password: PasswordHash,
    pub(super) created: Wall,
    pub(super) last_active: Wall,
    /// In the order in which they joined.
    pub(super) members: Vec<Member>,
}

/// A membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub key: Arc<str>,
    pub name: Box<str>,
    pub joined: Wall,
    pub last_connected: Wall,
    /// The last byte of its address.
    pub address: u8,
    /// It has shown that the key is its own: whoever shows it from now on must.
    pub is_proved: bool,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    name: String,
    owner: String,
    password: String,
    created: i64,
    last_active: i64,
    members: Vec<WrittenMember>,
}

#[derive(Serialize, Deserialize)]
struct WrittenMember {
    key: String,
    name: String,
    joined: i64,
    last_connected: i64,
    address: u8,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    proved: bool,
}

impl RoomRecord {
    /// Reads what was written down under a key; `None` if it is damaged.
    pub fn parse(key: &str, value: &[u8]) -> Option<RoomRecord> {
        let written: Written = serde_json::from_slice(value).ok()?;
        if written.version != VERSION {
            return None;
        }
        let member = |member: WrittenMember| Member {
            key: member.key.into(),
            name: member.name.into(),
            joined: Wall(member.joined),
            last_connected: Wall(member.last_connected),
            address: member.address,
            is_proved: member.proved,
        };
        Some(RoomRecord {
            id: key.into(),
            name: written.name.into(),
            owner: written.owner.into(),
            password: PasswordHash::parse(&written.password)?,
            created: Wall(written.created),
            last_active: Wall(written.last_active),
            members: written.members.into_iter().map(member).collect(),
        })
    }

    /// Whether the other one says the same of the room, but for when something happened in it: for the
    /// simulator's checks.
    pub fn is_like(&self, other: &RoomRecord) -> bool {
        let members = |record: &RoomRecord| {
            let member = |member: &Member| (member.key.clone(), member.name.clone(), member.address, member.is_proved);
            record.members.iter().map(member).collect::<Vec<_>>()
        };
        (&self.id, &self.name, &self.owner) == (&other.id, &other.name, &other.owner)
            && self.password == other.password
            && members(self) == members(other)
    }

    /// What is written down.
    pub(super) fn value(&self) -> Vec<u8> {
        let member = |member: &Member| WrittenMember {
            key: member.key.as_ref().into(),
            name: member.name.as_ref().into(),
            joined: member.joined.0,
            last_connected: member.last_connected.0,
            address: member.address,
            proved: member.is_proved,
        };
        let written = Written {
            version: VERSION,
            name: self.name.as_ref().into(),
            owner: self.owner.as_ref().into(),
            password: self.password.text(),
            created: self.created.0,
            last_active: self.last_active.0,
            members: self.members.iter().map(member).collect(),
        };
        // Strings, numbers and lists of them always encode.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    pub(super) fn member(&self, key: &str) -> Option<&Member> {
        self.members.iter().find(|member| *member.key == *key)
    }

    pub(super) fn member_mut(&mut self, key: &str) -> Option<&mut Member> {
        self.members.iter_mut().find(|member| *member.key == *key)
    }

    /// The lowest address that nobody has.
    pub(super) fn free_address(&self) -> Option<u8> {
        let mut taken = [false; 256];
        for member in &self.members {
            taken[usize::from(member.address)] = true;
        }
        (1..=254).find(|address| !taken[usize::from(*address)])
    }
}

/// 16 bits that tell the worker: the owner's, so that one worker knows all rooms of one owner.
pub(super) fn hash_of_owner(key: &str) -> u16 {
    (crc32fast::hash(key.as_bytes()) & 0xFFFF) as u16
}

/// The worker to which an owner's rooms belong.
pub(super) fn worker_of_owner(key: &str, workers: usize) -> WorkerId {
    WorkerId((usize::from(hash_of_owner(key)) % workers.max(1)) as u16)
}

/// The worker that a room belongs to: an id begins with the hash of its owner. What is no such id
/// belongs somewhere too.
pub fn worker_of_room(id: &str, workers: usize) -> WorkerId {
    let is_ours = id.len() == 16 && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let hash = match id.get(..4).map(|head| u16::from_str_radix(head, 16)) {
        Some(Ok(hash)) if is_ours => hash,
        _ => hash_of_owner(id),
    };
    WorkerId((usize::from(hash) % workers.max(1)) as u16)
}

/// An id of a room of this owner.
pub(super) fn room_id(owner: &str, random: u64) -> Box<str> {
    format!("{:04x}{:012x}", hash_of_owner(owner), random & 0xFFFF_FFFF_FFFF).into()
}

/// Whether a room's id may be of this owner.
pub(super) fn is_of_owner(id: &str, owner: &str) -> bool {
    id.get(..4) == Some(&*format!("{:04x}", hash_of_owner(owner)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::signaling::Pepper;
    use proptest::prelude::*;

    #[test]
    fn damaged_values_are_no_rooms() {
        for value in ["", "{}", "[]", "{\"version\":2}", "\u{fffd}"] {
            assert!(RoomRecord::parse("a", value.as_bytes()).is_none(), "{value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            name in "\\PC{0,20}", owner in "\\PC{1,20}", keys in proptest::collection::vec("\\PC{1,9}", 0..5), time in any::<i64>(),
        ) {
            let member = |(place, key): (usize, &String)| Member {
                key: key.as_str().into(),
                name: name.as_str().into(),
                joined: Wall(time),
                last_connected: Wall(-1),
                address: place as u8,
                is_proved: place % 2 == 0,
            };
            let record = RoomRecord {
                id: "x".into(),
                name: name.as_str().into(),
                owner: owner.as_str().into(),
                password: Pepper::new([1; 32]).hash("x", "0000"),
                created: Wall(time),
                last_active: Wall(0),
                members: keys.iter().enumerate().map(member).collect(),
            };
            prop_assert_eq!(RoomRecord::parse("x", &record.value()), Some(record));
        }

        #[test]
        fn all_rooms_of_an_owner_belong_to_one_worker(owner in "\\PC{1,50}", random in any::<u64>(), workers in 1usize..9) {
            prop_assert_eq!(worker_of_room(&room_id(&owner, random), workers), worker_of_owner(&owner, workers));
            prop_assert!(usize::from(worker_of_room(&owner, workers).0) < workers);
        }
    }
}
