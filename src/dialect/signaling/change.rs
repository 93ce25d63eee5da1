//! Changes of records: asked of the store, and applied once they are written.

use bytes::Bytes;

use super::Signaling;
use super::effects::Asked;
use super::limits::SAVE_INTERVAL;
use super::peer::{Caller, Part, Say};
use super::record::RoomRecord;
use super::room::{Change, Then};
use super::timers::Timer;
use super::wire::{Notice, Refusal, Reply};
use crate::base::{Metric, Now};
use crate::engine::store::{Level, Op, StoreEvent, Table, Write};

fn put(record: &RoomRecord, level: Level) -> Op {
    let (table, key, value) = (Table::Rooms, record.id.clone(), Bytes::from(record.value()));
    Op::Write(Write::Put { table, key, value, level })
}

impl Signaling {
    /// What the store says. Of its completions only this dialect's may come.
    pub(super) fn on_store_event(&mut self, event: &StoreEvent, now: Now) {
        match event {
            StoreEvent::Done { ticket, result } => match self.fx.take_asked(*ticket) {
                Some(Asked::Change(id)) => self.on_written(&id, result.is_ok(), now),
                Some(Asked::Upkeep(id)) if result.is_err() => self.mark_dirty(&id, now),
                Some(Asked::Doubt(id)) if result.is_ok() => drop(self.doubts.remove(&id)),
                Some(Asked::Upkeep(_) | Asked::Doubt(_)) | None => {}
            },
            StoreEvent::Failed(failure) => self.fx.term = failure.term,
            StoreEvent::Well => self.settle_doubts(),
            StoreEvent::Committed(_) | StoreEvent::Damaged(_) => {}
        }
    }

    /// Asks the store for a change of a room that waits for none.
    pub(super) fn begin(&mut self, id: &str, change: Change) {
        let Some(room) = self.rooms.get_mut(id) else { return };
        let op = match &change {
            Change::Create { .. } => put(&room.record, Level::Disk),
            Change::Put { record, .. } => put(record, Level::Disk),
            Change::Delete { .. } => {
                Op::Write(Write::Delete { table: Table::Rooms, key: id.into(), level: Level::Disk })
            }
        };
        room.change = Some(change);
        self.fx.ask_store(Asked::Change(id.into()), op);
    }

    fn on_written(&mut self, id: &str, is_written: bool, now: Now) {
        let Some(change) = self.rooms.get_mut(id).and_then(|room| room.change.take()) else { return };
        match is_written {
            true => drop(self.doubts.remove(id)),
            false => drop(self.doubts.insert(id.into())),
        }
        match change {
            Change::Create { caller, password } => self.on_created(id, caller, password, is_written, now),
            Change::Put { record, then } => {
                if is_written {
                    self.rooms.replace_record(id, record);
                }
                self.on_put(id, then, is_written, now);
            }
            Change::Delete { caller } => match (is_written, caller) {
                (true, caller) => self.on_deleted(id, caller, now),
                (false, Some(caller)) => self.fx.refuse(*caller, Refusal::NotDeleted),
                (false, None) => {}
            },
        }
        self.drain_mail(id, now);
    }

    /// The store is well again. A change that failed may be on the disk all the same: what holds is
    /// written over it.
    fn settle_doubts(&mut self) {
        for id in self.doubts.clone() {
            let op = match self.rooms.get(&id) {
                Some(room) if room.change.is_some() => continue,
                Some(room) => put(&room.record, Level::Disk),
                None => Op::Write(Write::Delete { table: Table::Rooms, key: id.clone(), level: Level::Disk }),
            };
            self.fx.ask_store(Asked::Doubt(id), op);
        }
    }

    fn on_put(&mut self, id: &str, then: Then, is_written: bool, now: Now) {
        match then {
            Then::Join { caller } if is_written => self.enter(id, caller, true, now),
            Then::Connect { caller } if is_written => self.enter(id, caller, false, now),
            Then::Join { caller } | Then::Connect { caller } => self.fx.refuse(*caller, Refusal::NotJoined),
            Then::Leave { caller } if is_written => self.on_left(id, *caller),
            Then::Leave { caller } => self.fx.refuse(*caller, Refusal::NotLeft),
            Then::Kick { caller, target, key } if is_written => self.on_kicked(id, *caller, target, &key),
            Then::Kick { caller, .. } => self.fx.refuse(*caller, Refusal::NotKicked),
            Then::Rename { caller } if is_written => self.on_renamed(id, *caller),
            Then::Rename { caller } => self.fx.refuse(*caller, Refusal::NotRenamed),
            Then::Name { back, ask, key } => {
                if is_written {
                    self.tell_name(id, &key);
                }
                self.fx.say(back, Say::Part { ask, part: Part::Done(is_written) });
            }
            Then::Prove { back, ask, conn, key } => {
                if is_written {
                    self.put_out_unproved(id, conn, &key);
                }
                self.fx.say(back, Say::Part { ask, part: Part::Done(is_written) });
            }
        }
    }

    /// A room is no more: its owner is answered, and who is there is told. What waited for it
    /// finds no room.
    fn on_deleted(&mut self, id: &str, caller: Option<Box<Caller>>, now: Now) {
        let Some(room) = self.rooms.remove(id) else { return };
        let cause = usize::from(caller.is_none());
        self.counters.inc(Metric::SIGNALING_ROOMS_DELETED.at(cause));
        let asker = caller.as_ref().map(|caller| caller.conn);
        let told: Vec<_> = room.all().into_iter().filter(|conn| Some(*conn) != asker).collect();
        self.count_rooms();
        if let Some(caller) = caller {
            self.fx.answer(*caller, Reply::Left { room: id.into() });
        }
        self.fx.tell(&told, Notice::Deleted { room: id.into() });
        for ask in room.mail {
            self.ask_nobody(id, ask, now);
        }
    }

    /// Something happened in a room.
    pub(super) fn mark_active(&mut self, id: &str, now: Now) {
        if let Some(room) = self.rooms.get_mut(id) {
            room.record.last_active = room.record.last_active.max(now.wall);
            self.mark_dirty(id, now);
        }
    }

    fn mark_dirty(&mut self, id: &str, now: Now) {
        if let Some(room) = self.rooms.get_mut(id)
            && !room.is_dirty
        {
            room.is_dirty = true;
            self.timers.set(now.mono.after(SAVE_INTERVAL), Timer::Save(id.into()));
        }
    }

    /// Writes a room's activity down. A change that is under way has an older one; it is waited for.
    pub(super) fn save(&mut self, id: &str, now: Now) {
        let Some(room) = self.rooms.get_mut(id).filter(|room| room.is_dirty) else { return };
        if room.change.is_some() {
            self.timers.set(now.mono.after(SAVE_INTERVAL), Timer::Save(id.into()));
            return;
        }
        room.is_dirty = false;
        let op = put(&room.record, Level::Memory);
        self.fx.ask_store(Asked::Upkeep(id.into()), op);
    }

    /// Writes the activity of all rooms down. Those that somebody is in are active now.
    pub(super) fn save_all(&mut self, now: Now) {
        let ids: Vec<Box<str>> = self.rooms.iter().map(|room| room.record.id.clone()).collect();
        for id in ids {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            if room.live.iter().any(|live| !live.is_away) {
                room.record.last_active = room.record.last_active.max(now.wall);
                room.is_dirty = true;
            }
            if room.change.is_none() {
                self.save(&id, now);
            }
        }
    }
}
