//! Each change of a room's record has one cause: a request that asks for it, by one who may, or time.

use bytes::Bytes;

use crate::ask::{Ask, Req};
use crate::journal::{Record, Version};
use crate::trace::say;
use crate::world::World;

impl World {
    /// A room was written down.
    pub fn written(&mut self, room: &str, value: Option<&Bytes>, is_synced: bool) {
        let record = value.map(Record::read);
        let asked = self.journal.asked(room).cloned();
        let now = self.journal.now(room);
        let is_same = |a: Option<&Record>, b: Option<&Record>| match (a, b) {
            (Some(a), Some(b)) => a.is_like(b),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_same(asked.as_ref(), record.as_ref()) && is_same(now, record.as_ref()) {
            let last = self.journal.rooms.get_mut(room).and_then(|versions| versions.last_mut());
            if let (Some(last), Some(record)) = (last, record) {
                last.record = Some(record);
            }
            return;
        }
        say!(self, "room {room} is written: {record:?}");
        if !is_same(asked.as_ref(), record.as_ref()) {
            let has_cause = match (&asked, &record) {
                (None, Some(new)) => self.is_asked(|world, request| world.makes(request, new)),
                (Some(old), None) => {
                    self.is_asked(|world, request| world.deletes(request, room, old)) || self.is_old(room, old)
                }
                (Some(old), Some(new)) => self.is_changed_by_one(room, old, new),
                (None, None) => true,
            };
            assert!(has_cause, "nobody asked that room {room} becomes {record:?}; it was {asked:?}");
        }
        let step = self.step;
        self.journal.push(room, Version { step, record, is_durable: is_synced, is_ghost: false });
        self.journal.check_owners();
    }

    fn is_asked(&self, is_it: impl Fn(&World, &Req) -> bool) -> bool {
        // A new name that was given up may still come into some rooms; each is given once.
        let may_act = |request: &&Req| {
            request.answered.is_none() || matches!(request.ask, Ask::Info { .. }) || request.is_given_up
        };
        self.requests.iter().filter(may_act).any(|request| is_it(self, request))
    }

    /// In whose name a request is made, if it may be.
    fn acts_as(&self, request: &Req, stated: Option<u8>) -> Option<u8> {
        match (self.server.conns[&request.conn].pinned, stated) {
            (Some(pinned), Some(stated)) => (pinned == stated).then_some(pinned),
            (pinned, stated) => pinned.or(stated),
        }
    }

    fn is_first_owner(&self, request: &Req, room: &str, old: &Record) -> bool {
        self.server.conns[&request.conn].pinned == Some(old.owner) && self.has_say(request, room, old, old.owner)
    }

    /// Whether what cannot be undone is a request's to do, in the name of a member.
    fn has_say(&self, request: &Req, room: &str, old: &Record, key: u8) -> bool {
        self.is_proved_enough(request, old, key) && self.may_come_first(request, room, key)
    }

    fn makes(&self, request: &Req, new: &Record) -> bool {
        let Ask::Create { key, name, is_right, .. } = &request.ask else { return false };
        let is_alone = matches!(&new.members[..], [owner] if owner.key == *key && owner.address == 1);
        let is_proved = new.members.iter().any(|owner| owner.is_proved);
        *is_right
            && *key == new.owner
            && *name == new.name
            && is_alone
            && self.acts_as(request, Some(*key)).is_some()
            && self.makes_member(request, *key, is_proved)
    }

    fn deletes(&self, request: &Req, room: &str, old: &Record) -> bool {
        let Ask::Leave { room: asked, key } = &request.ask else { return false };
        asked.as_ref().is_none_or(|asked| asked == room)
            && self.acts_as(request, *key) == Some(old.owner)
            && self.has_say(request, room, old, old.owner)
    }

    /// A room in which nothing has happened for so long may go.
    fn is_old(&self, room: &str, old: &Record) -> bool {
        let Some(after) = self.plan.settings.expiry.after else { return false };
        let is_quiet = self.activity.get(room).is_none_or(|at| self.has_jumped || self.now.mono.since(*at) >= after);
        is_quiet && old.last_active + after.as_millis() as i64 <= self.wall_max
    }

    /// Exactly one thing is other than before, and somebody asked for it who may.
    fn is_changed_by_one(&self, room: &str, old: &Record, new: &Record) -> bool {
        let is_same_room = (&old.password, old.owner, old.created) == (&new.password, new.owner, new.created);
        let added: Vec<_> = new.members.iter().filter(|member| old.member(member.key).is_none()).collect();
        let gone: Vec<_> = old.members.iter().filter(|member| new.member(member.key).is_none()).collect();
        let (mut renamed, mut proved) = (Vec::new(), Vec::new());
        for member in &new.members {
            let Some(before) = old.member(member.key) else { continue };
            assert!(before.address == member.address, "the address of member {} changes in {room}", member.key);
            if before.name != member.name {
                renamed.push(member);
            }
            if before.is_proved != member.is_proved {
                assert!(member.is_proved, "member {} has proved its key in {room} no more", member.key);
                proved.push(member);
            }
        }
        let has_name = old.name != new.name;
        let lowest = (1..=254).find(|address| old.members.iter().all(|member| member.address != *address));
        is_same_room
            && match (&added[..], &gone[..], &renamed[..], &proved[..], has_name) {
                ([one], [], [], [], false) => {
                    Some(one.address) == lowest
                        && self.is_asked(|world, request| {
                            let Ask::Join { room: asked, key, is_right, .. } = &request.ask else { return false };
                            let may = *is_right && world.acts_as(request, Some(*key)).is_some();
                            let is_so = world.makes_member(request, *key, one.is_proved);
                            asked == room && *key == one.key && may && is_so
                        })
                }
                ([], [one], [], [], false) => self.is_asked(|world, request| match &request.ask {
                    Ask::Leave { room: asked, key } => {
                        asked.as_ref().is_none_or(|asked| asked == room)
                            && world.acts_as(request, *key) == Some(one.key)
                            && world.has_say(request, room, old, one.key)
                    }
                    Ask::Kick { room: asked, target } => {
                        let key = world.meant(*target, room, Some(old.owner));
                        let is_owner = world.is_first_owner(request, room, old);
                        asked == room && key == Some(one.key) && is_owner
                    }
                    _ => false,
                }),
                ([], [], [one], [], false) => self.is_asked(|world, request| {
                    let Ask::Info { key, name } = &request.ask else { return false };
                    let may = world.acts_as(request, Some(*key)).is_some() && world.has_say(request, room, old, *key);
                    may && *key == one.key && *name == one.name
                }),
                ([], [], [], [one], false) => self.is_asked(|world, request| match &request.ask {
                    Ask::Join { room: asked, key, is_right, .. } => {
                        *is_right && asked == room && *key == one.key && world.makes_member(request, *key, true)
                    }
                    Ask::Connect { room: asked, key, .. } => {
                        asked == room && *key == one.key && world.makes_member(request, *key, true)
                    }
                    _ => world.proves(request, one.key),
                }),
                ([], [], [], [], true) => self.is_asked(|world, request| {
                    let Ask::Rename { room: asked, name } = &request.ask else { return false };
                    let is_owner = world.is_first_owner(request, room, old);
                    asked == room && *name == new.name && is_owner
                }),
                _ => false,
            }
    }

    /// Something happened in a room: a request of this number had its way.
    pub fn active(&mut self, room: &str, request: usize) {
        let at = self.requests[request].sent_at;
        let activity = self.activity.entry(room.into()).or_insert(at);
        *activity = at.max(*activity);
    }
}
