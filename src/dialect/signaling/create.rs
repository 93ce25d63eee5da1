//! Rooms are made: one by owner.

use super::Signaling;
use super::key::is_ed25519;
use super::peer::{Ask, Caller, Op, Say};
use super::record::{Member, RoomRecord, is_of_owner, room_id};
use super::room::{Change, Room};
use super::wire::{Era, Refusal, Reply};
use crate::base::{Metric, Now, Secret};
use rand_chacha::rand_core::Rng;

impl Signaling {
    pub(super) fn on_create(&mut self, caller: Box<Caller>, name: Box<str>, password: Secret, now: Now) {
        // One that is being made may yet fail: who makes another waits for it.
        if let Some(own) = self.rooms.of_owner(&caller.key)
            && let Some(room) = self.rooms.get(own)
            && room
                .change
                .as_ref()
                .is_some_and(|change| matches!(change, Change::Create { .. } | Change::Delete { .. }))
            && is_complete(&caller, &name, &password).is_ok()
        {
            let own: Box<str> = own.into();
            return self.on_ask(&own, Ask::Request(caller, Op::Create { name, password }), now);
        }
        match self.check_create(&caller, &name, &password) {
            Ok(id) => self.make(id, caller, name, password, now),
            Err(refusal) => self.fx.refuse(*caller, refusal),
        }
    }

    fn check_create(&mut self, caller: &Caller, name: &str, password: &Secret) -> Result<Box<str>, Refusal> {
        is_complete(caller, name, password)?;
        if let Some(own) = self.rooms.of_owner(&caller.key) {
            // The room's id is its owner's to know.
            let room = self.rooms.get(own).filter(|room| room.needs_proof(&caller.key, self.settings.proof));
            if room.is_some() && !caller.is_proved {
                return Err(Refusal::ProofRequired);
            }
            return Err(Refusal::AlreadyCreated(own.into()));
        }
        // One that failed may be on the disk: it goes before there is another.
        if self.doubts.iter().any(|id| self.rooms.get(id).is_none() && is_of_owner(id, &caller.key)) {
            return Err(Refusal::NotCreated);
        }
        if self.room_count() >= self.settings.rooms_max {
            return Err(Refusal::RoomLimit);
        }
        let id = room_id(&caller.key, self.random.next_u64());
        if self.rooms.get(&id).is_some() {
            return Err(Refusal::IdConflict);
        }
        if !is_ed25519(&caller.key) {
            return Err(Refusal::KeyFormat);
        }
        Ok(id)
    }

    fn make(&mut self, id: Box<str>, caller: Box<Caller>, name: Box<str>, password: Secret, now: Now) {
        let username = match caller.meta.era {
            Era::Room => "Owner",
            Era::Network if caller.name.is_empty() => "Owner",
            Era::Network => &*caller.name,
        };
        let owner = Member {
            key: caller.key.clone(),
            name: username.into(),
            joined: now.wall,
            last_connected: now.wall,
            address: 1,
            is_proved: caller.is_proved,
        };
        let record = RoomRecord {
            name,
            owner: caller.key.clone(),
            password: self.pepper.hash(&id, password.expose()),
            created: now.wall,
            last_active: now.wall,
            members: vec![owner],
            id: id.clone(),
        };
        self.rooms.insert(Room::new(record));
        self.begin(&id, Change::Create { caller, password });
    }

    pub(super) fn on_created(&mut self, id: &str, caller: Box<Caller>, password: Secret, is_made: bool, now: Now) {
        if !is_made {
            let mail = self.rooms.remove(id).map(|room| room.mail).unwrap_or_default();
            self.fx.refuse(*caller, Refusal::NotCreated);
            for ask in mail {
                self.ask_nobody(id, ask, now);
            }
            return;
        }
        self.counters.inc(Metric::SIGNALING_ROOMS_CREATED);
        self.count_rooms();
        let Some(room) = self.rooms.get_mut(id) else { return };
        room.live.push(super::join::live(&caller, id, &self.aliases));
        let person = room.person(&caller.key);
        let reply = Reply::Created { room: id.into(), name: room.record.name.clone(), password, person };
        self.fx.answer(*caller, reply);
    }

    /// The other workers are told how many rooms there are here.
    pub(super) fn count_rooms(&mut self) {
        let count = self.rooms.len();
        for worker in self.other_workers() {
            self.fx.say(worker, Say::Count(count));
        }
    }

    fn room_count(&self) -> usize {
        self.rooms.len() + self.rooms_elsewhere.iter().sum::<usize>()
    }
}

fn is_complete(caller: &Caller, name: &str, password: &Secret) -> Result<(), Refusal> {
    if name.is_empty() || password.expose().is_empty() || caller.key.is_empty() {
        return Err(Refusal::Fields);
    }
    let digits = password.expose().as_bytes();
    if digits.len() != 4 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Pattern);
    }
    Ok(())
}
