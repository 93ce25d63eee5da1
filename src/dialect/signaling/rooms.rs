//! The rooms of one worker, and who owns them, who is a member, and how old they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::record::RoomRecord;
use super::room::Room;
use crate::base::Wall;

/// The rooms of one worker.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: BTreeMap<Box<str>, Room>,
    by_owner: BTreeMap<Arc<str>, Box<str>>,
    by_member: BTreeSet<(Arc<str>, Box<str>)>,
    by_age: BTreeSet<(Wall, Box<str>)>,
    /// Memberships.
    pub members: usize,
}

impl Rooms {
    /// Takes a room in. Of two rooms of one owner the first stays the owner's.
    pub(super) fn insert(&mut self, room: Room) {
        let id = room.record.id.clone();
        self.by_owner.entry(room.record.owner.clone()).or_insert_with(|| id.clone());
        self.by_age.insert((room.aged, id.clone()));
        self.index(&room.record);
        self.rooms.insert(id, room);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Room> {
        let room = self.rooms.remove(id)?;
        if self.by_owner.get(&room.record.owner).is_some_and(|own| **own == *id) {
            self.by_owner.remove(&room.record.owner);
        }
        self.by_age.remove(&(room.aged, id.into()));
        self.unindex(&room.record);
        Some(room)
    }

    /// A room's record is another one from now on.
    pub(super) fn replace_record(&mut self, id: &str, record: RoomRecord) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let before = std::mem::replace(&mut room.record, record.clone());
        self.unindex(&before);
        self.index(&record);
    }

    fn index(&mut self, record: &RoomRecord) {
        self.members += record.members.len();
        for member in &record.members {
            self.by_member.insert((member.key.clone(), record.id.clone()));
        }
    }

    fn unindex(&mut self, record: &RoomRecord) {
        self.members -= record.members.len();
        for member in &record.members {
            self.by_member.remove(&(member.key.clone(), record.id.clone()));
        }
    }

    pub(super) fn get(&self, id: &str) -> Option<&Room> {
        self.rooms.get(id)
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Option<&mut Room> {
        self.rooms.get_mut(id)
    }

    pub(super) fn of_owner(&self, key: &str) -> Option<&str> {
        self.by_owner.get(key).map(|id| &**id)
    }

    pub(super) fn of_member(&self, key: &str) -> impl Iterator<Item = &Room> {
        let from = (Arc::from(key), Box::default());
        let of_key = self.by_member.range(from..).take_while(move |(own, _)| **own == *key).map(|(_, id)| id);
        of_key.collect::<Vec<_>>().into_iter().filter_map(|id| self.rooms.get(id))
    }

    /// The rooms in which nothing has happened since, a bounded number at a time. Those that are
    /// younger than the index says are put in their place.
    pub(super) fn take_old(&mut self, before: Wall, budget: usize) -> (Vec<Box<str>>, bool) {
        let looked: Vec<(Wall, Box<str>)> =
            self.by_age.iter().take_while(|(at, _)| *at < before).take(budget).cloned().collect();
        let more = looked.len() == budget;
        let mut old = Vec::new();
        for (at, id) in looked {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            // One that cannot be deleted comes last, so that it keeps no other from its turn.
            let next = if room.record.last_active < before { before } else { room.record.last_active };
            if room.record.last_active < before {
                old.push(id.clone());
            }
            room.aged = next;
            self.by_age.remove(&(at, id.clone()));
            self.by_age.insert((next, id));
        }
        (old, more)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    pub(super) fn len(&self) -> usize {
        self.rooms.len()
    }
}
