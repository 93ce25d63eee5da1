//! What was written down of each room, version by version: what the store holds decides what is so.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Deserialize;

use crate::keys::number_of;

/// A room's record, as the world reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub name: String,
    pub owner: u8,
    pub password: String,
    pub created: i64,
    pub last_active: i64,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub key: u8,
    pub name: String,
    pub address: u8,
    pub is_proved: bool,
}

#[derive(Deserialize)]
struct Written {
    name: String,
    owner: String,
    password: String,
    created: i64,
    last_active: i64,
    members: Vec<WrittenMember>,
}

#[derive(Deserialize)]
struct WrittenMember {
    key: String,
    name: String,
    address: u8,
    #[serde(default)]
    proved: bool,
}

impl Record {
    pub fn read(value: &Bytes) -> Record {
        let written: Written = serde_json::from_slice(value).expect("a room's record is JSON");
        let member = |member: WrittenMember| Member {
            key: number_of(&member.key),
            name: member.name,
            address: member.address,
            is_proved: member.proved,
        };
        let record = Record {
            name: written.name,
            owner: number_of(&written.owner),
            password: written.password,
            created: written.created,
            last_active: written.last_active,
            members: written.members.into_iter().map(member).collect(),
        };
        record.check();
        record
    }

    pub fn member(&self, key: u8) -> Option<&Member> {
        self.members.iter().find(|member| member.key == key)
    }

    /// The same, whatever happened in it lately.
    pub fn is_like(&self, other: &Record) -> bool {
        (&self.name, self.owner, &self.members) == (&other.name, other.owner, &other.members)
            && (&self.password, self.created) == (&other.password, other.created)
    }

    /// What holds for every record.
    fn check(&self) {
        let mut addresses: Vec<u8> = self.members.iter().map(|member| member.address).collect();
        addresses.sort_unstable();
        assert!(addresses.windows(2).all(|pair| pair[0] < pair[1]), "two members have one address: {self:?}");
        assert!(addresses.iter().all(|address| (1..=254).contains(address)), "an address out of range: {self:?}");
        let mut keys: Vec<u8> = self.members.iter().map(|member| member.key).collect();
        keys.sort_unstable();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "a member is there twice: {self:?}");
        assert!(self.member(self.owner).is_some(), "an owner is no member: {self:?}");
    }
}

/// What was written of a room at some time; `None` if it was deleted.
#[derive(Clone, Debug)]
pub struct Version {
    pub step: u64,
    pub record: Option<Record>,
    /// No power cut takes it.
    pub is_durable: bool,
    /// It was refused, and reached the disk all the same.
    pub is_ghost: bool,
}

/// All rooms that ever were.
#[derive(Default)]
pub struct Journal {
    pub rooms: BTreeMap<Box<str>, Vec<Version>>,
}

impl Journal {
    /// What the disk holds of a room.
    pub fn now(&self, room: &str) -> Option<&Record> {
        self.rooms.get(room).and_then(|versions| versions.last()).and_then(|last| last.record.as_ref())
    }

    /// What was asked to be written last, and was.
    pub fn asked(&self, room: &str) -> Option<&Record> {
        let versions = self.rooms.get(room)?;
        versions.iter().rev().find(|version| !version.is_ghost).and_then(|version| version.record.as_ref())
    }

    /// What no power cut takes of a room.
    pub fn lasting(&self, room: &str) -> Option<&Record> {
        let versions = self.rooms.get(room)?;
        let last = versions.iter().rev().find(|version| !version.is_ghost && version.is_durable);
        last.and_then(|version| version.record.as_ref())
    }

    pub fn push(&mut self, room: &str, version: Version) {
        self.rooms.entry(room.into()).or_default().push(version);
    }

    /// A sync: everything that is written lasts.
    pub fn sync(&mut self) {
        for versions in self.rooms.values_mut() {
            for version in versions.iter_mut().rev().take_while(|version| !version.is_durable) {
                version.is_durable = true;
            }
        }
    }

    /// Whether at some time since a step a room was so, and lastingly.
    pub fn ever(&self, room: &str, since: u64, is_so: impl Fn(Option<&Record>) -> bool) -> bool {
        let Some(versions) = self.rooms.get(room) else { return is_so(None) };
        for version in versions.iter().rev().filter(|version| !version.is_ghost && version.is_durable) {
            if is_so(version.record.as_ref()) {
                return true;
            }
            if version.step < since {
                return false;
            }
        }
        is_so(None)
    }

    /// Whether a room was so all the time since a step.
    pub fn always(&self, room: &str, since: u64, is_so: impl Fn(Option<&Record>) -> bool) -> bool {
        let Some(versions) = self.rooms.get(room) else { return is_so(None) };
        for version in versions.iter().rev().filter(|version| !version.is_ghost) {
            if !is_so(version.record.as_ref()) {
                return false;
            }
            if version.step < since {
                return true;
            }
        }
        is_so(None)
    }

    /// Rooms that are there.
    pub fn there(&self) -> impl Iterator<Item = (&str, &Record)> {
        self.rooms.keys().filter_map(|id| self.now(id).map(|record| (&**id, record)))
    }

    /// One room by owner.
    pub fn check_owners(&self) {
        let mut owners: Vec<u8> = self.there().map(|(_, record)| record.owner).collect();
        owners.sort_unstable();
        assert!(owners.windows(2).all(|pair| pair[0] < pair[1]), "an owner has two rooms: {owners:?}");
    }
}
