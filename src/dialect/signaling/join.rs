//! Who comes in: with the password, or as a member.

use super::Signaling;
use super::alias::Aliases;
use super::key::is_ed25519;
use super::meter::Rate;
use super::peer::Caller;
use super::record::Member;
use super::room::{Change, Live, Room, Then};
use super::settings::SignalingSettings;
use super::throttle::{Throttled, passwords};
use super::wire::{Era, Notice, Refusal, Reply};
use crate::base::{ConnId, Metric, Now, Secret};

pub(super) fn live(caller: &Caller, room: &str, aliases: &Aliases) -> Live {
    Live {
        conn: caller.conn,
        peer: caller.peer,
        key: caller.key.clone(),
        shown: aliases.kept(room, &caller.key),
        address: caller.address,
        is_proved: caller.is_proved,
        is_away: false,
    }
}

impl Signaling {
    pub(super) fn on_join(&mut self, id: &str, caller: Box<Caller>, password: &Secret, now: Now) {
        let (rate, pepper) = (passwords(&self.settings), self.pepper.clone());
        let Some(room) = self.rooms.get_mut(id) else { return };
        if rate.is_some_and(|rate| !room.wrong.has_room(rate, now.mono)) {
            self.counters.inc(Metric::SIGNALING_THROTTLED.at(Throttled::RoomPasswords as usize));
            self.refund(&caller);
            return self.fx.refuse(*caller, Refusal::RateLimited);
        }
        if !pepper.fits(id, password.expose(), &room.record.password) {
            rate.map(|rate: Rate| room.wrong.take(1, rate, now.mono));
            self.counters.inc(Metric::SIGNALING_PASSWORDS_REFUSED);
            return self.fx.refuse(*caller, Refusal::WrongPassword);
        }
        self.refund(&caller);
        self.join(id, caller, now);
    }

    fn join(&mut self, id: &str, caller: Box<Caller>, now: Now) {
        let members_max = self.settings.members_max.min(254);
        let Some(room) = self.rooms.get(id) else { return };
        // What is shorter could be guessed, and whoever states a key is believed.
        if !caller.key.is_empty() && !is_ed25519(&caller.key) {
            return self.fx.refuse(*caller, Refusal::KeyFormat);
        }
        if let Err(refusal) = may_enter(room, &caller, &self.settings) {
            return self.fx.refuse(*caller, refusal);
        }
        if room.record.member(&caller.key).is_some_and(|member| member.is_proved || !caller.is_proved) {
            return self.enter(id, caller, true, now);
        }
        let mut record = room.record.clone();
        record.last_active = record.last_active.max(now.wall);
        if let Some(member) = record.member_mut(&caller.key) {
            member.is_proved = true;
        } else {
            let address = record.free_address().filter(|_| record.members.len() < members_max);
            let Some(address) = address else { return self.fx.refuse(*caller, Refusal::NoAddress) };
            record.members.push(Member {
                key: caller.key.clone(),
                name: caller.name.clone(),
                joined: now.wall,
                last_connected: now.wall,
                address,
                is_proved: caller.is_proved,
            });
        }
        self.begin(id, Change::Put { record, then: Then::Join { caller } });
    }

    pub(super) fn on_connect(&mut self, id: &str, caller: Box<Caller>, now: Now) {
        let Some(room) = self.rooms.get(id) else { return };
        let is_member = room.record.member(&caller.key).is_some();
        let checked = if !caller.key.is_empty() && !is_member {
            Err(Refusal::MemberRequired)
        } else {
            may_enter(room, &caller, &self.settings)
        };
        if let Err(refusal) = checked {
            return self.fx.refuse(*caller, refusal);
        }
        let mut record = room.record.clone();
        match record.member_mut(&caller.key) {
            // From now on nobody has it who only states the key.
            Some(member) if caller.is_proved && !member.is_proved => member.is_proved = true,
            Some(_) | None => return self.enter(id, caller, false, now),
        }
        self.begin(id, Change::Put { record, then: Then::Connect { caller } });
    }

    /// A member's connection comes in: it is answered, it is told who is there, and they are told
    /// of it. One that is in already is answered, and nobody is told of it again.
    pub(super) fn enter(&mut self, id: &str, caller: Box<Caller>, joins: bool, now: Now) {
        if caller.is_proved {
            self.put_out_unproved(id, caller.conn, &caller.key);
        }
        self.give_up_places(id, &caller);
        let Some(room) = self.rooms.get_mut(id) else { return };
        let is_new = room.live(caller.conn).is_none();
        let others = room.others(caller.conn);
        if is_new {
            room.live.push(live(&caller, id, &self.aliases));
        }
        if let Some(member) = room.record.member_mut(&caller.key) {
            member.last_connected = now.wall;
        }
        let notice = |person, peer, polite| match joins {
            true => Notice::Joined { room: id.into(), person, peer, polite },
            false => Notice::Connected { room: id.into(), person, peer, polite },
        };
        let mut newcomer = room.person(&caller.key);
        // The earlier era tells others the name of the day, the later one the name that is kept.
        if caller.meta.era == Era::Room && !caller.name.is_empty() {
            newcomer.called = Some(caller.name.clone());
        }
        let there: Vec<Notice> = room
            .live
            .iter()
            .filter(|live| live.conn != caller.conn)
            .flat_map(|live| {
                let away = || Notice::Away { room: id.into(), key: live.key.as_ref().into(), peer: live.peer };
                [Some(notice(room.person(&live.key), live.peer, true)), live.is_away.then(away)]
            })
            .flatten()
            .collect();
        let (name, address) = (room.record.name.clone(), newcomer.address);
        let (conn, peer) = (caller.conn, caller.peer);
        let reply = match joins {
            true => Reply::Joined { room: id.into(), name, address },
            false => Reply::Connected { room: id.into(), name, address },
        };
        self.fx.answer(*caller, reply);
        for notice in there {
            self.fx.tell(&[conn], notice);
        }
        if is_new {
            self.fx.tell(&others, notice(newcomer, peer, false));
        }
        self.mark_active(id, now);
    }

    /// A key that comes without its token has the places no longer that were kept for it.
    fn give_up_places(&mut self, id: &str, caller: &Caller) {
        let Some(room) = self.rooms.get_mut(id).filter(|room| room.live(caller.conn).is_none()) else { return };
        let lost: Vec<ConnId> = kept_for(room, &caller.key).map(|live| live.conn).collect();
        let gone: Vec<Live> = lost.iter().filter_map(|conn| room.take_live(*conn)).collect();
        if !gone.is_empty() {
            let others = room.all();
            self.fx.tell(&lost, Notice::PutOut { room: id.into() });
            self.tell_lost(id, &caller.key, &gone, &others);
        }
    }
}

/// Places that are kept for lost connections of a key.
fn kept_for<'a>(room: &'a Room, key: &str) -> impl Iterator<Item = &'a Live> {
    room.live.iter().filter(move |live| live.is_away && *live.key == *key)
}

/// The checks that joining and connecting share, in their order.
fn may_enter(room: &Room, caller: &Caller, settings: &SignalingSettings) -> Result<(), Refusal> {
    if caller.key.is_empty() {
        return Err(Refusal::KeyRequired);
    }
    if room.needs_proof(&caller.key, settings.proof) && !caller.is_proved {
        return Err(Refusal::ProofRequired);
    }
    let kept = kept_for(room, &caller.key).count();
    if room.live(caller.conn).is_none() && room.live.len() - kept >= settings.clients_max {
        return Err(Refusal::Full);
    }
    Ok(())
}
