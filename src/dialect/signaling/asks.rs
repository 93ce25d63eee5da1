//! What a room is asked: at once, or behind a change that is being written.

use super::Signaling;
use super::peer::{Ask, Caller, Op, Part, Say};
use super::wire::{Refusal, Signal, SignalKind};
use crate::base::{Metric, Now};

impl Signaling {
    pub(super) fn on_ask(&mut self, id: &str, ask: Ask, now: Now) {
        let Some(room) = self.rooms.get_mut(id) else { return self.ask_nobody(id, ask, now) };
        if room.change.is_none() {
            return self.do_ask(id, ask, now);
        }
        let is_full = !room.mail.has_room_for(&ask);
        match ask {
            Ask::Request(caller, op) if is_full => {
                if let Op::Join { .. } = op {
                    self.refund(&caller);
                }
                self.fx.refuse(*caller, Refusal::Busy);
            }
            Ask::Member { back, ask, .. } if is_full => {
                self.fx.say(back, Say::Part { ask, part: Part::Done(false) });
            }
            Ask::Request(..) | Ask::Gone { .. } | Ask::Away { .. } | Ask::Rebind { .. } | Ask::Member { .. } => {
                room.mail.push(ask);
            }
        }
    }

    /// What waited for a change gets its turn, up to the next change.
    pub(super) fn drain_mail(&mut self, id: &str, now: Now) {
        loop {
            let Some(room) = self.rooms.get_mut(id) else { return };
            if room.change.is_some() {
                return;
            }
            let Some(ask) = room.mail.pop() else { return };
            self.do_ask(id, ask, now);
        }
    }

    fn do_ask(&mut self, id: &str, ask: Ask, now: Now) {
        match ask {
            Ask::Request(caller, op) => match op {
                Op::Create { name, password } => self.on_create(caller, name, password, now),
                Op::Join { password } => self.on_join(id, caller, &password, now),
                Op::Connect => self.on_connect(id, caller, now),
                Op::Disconnect => self.on_disconnect(id, *caller, now),
                Op::Leave => self.on_leave(id, caller),
                Op::Kick { target } => self.on_kick(id, caller, target),
                Op::Rename { name } => self.on_rename(id, caller, name, now),
                Op::Signal { signal, rest } => self.on_signal(id, caller, signal, rest, now),
                Op::Relay { target, data } => self.on_relay(id, *caller, &target, data, now),
                Op::Presence => self.on_presence(id, *caller),
            },
            Ask::Gone { conn } => self.on_gone(id, conn, now),
            Ask::Away { conn } => self.on_away(id, conn),
            Ask::Rebind { from, to, address, is_proved, back } => {
                self.on_rebind(id, from, to, address, is_proved, back);
            }
            Ask::Member { back, ask, conn, key, deed, is_proved } => {
                self.on_member(id, back, ask, conn, key, deed, is_proved);
            }
        }
    }

    /// There is no such room.
    pub(super) fn ask_nobody(&mut self, id: &str, ask: Ask, now: Now) {
        match ask {
            Ask::Request(caller, op) => {
                let refusal = match op {
                    Op::Create { name, password } => return self.on_create(caller, name, password, now),
                    Op::Signal { signal, rest } => return self.signal_elsewhere(caller, signal, rest),
                    Op::Join { .. } => {
                        self.refund(&caller);
                        Refusal::NoRoom
                    }
                    Op::Connect | Op::Kick { .. } | Op::Rename { .. } => Refusal::NoRoom,
                    Op::Disconnect | Op::Leave => Refusal::RoomNotFound,
                    Op::Relay { .. } | Op::Presence => Refusal::NotInThis,
                };
                self.fx.refuse(*caller, refusal);
            }
            Ask::Gone { .. } | Ask::Away { .. } => {}
            Ask::Rebind { from, back, .. } => {
                self.fx.say(back, Say::Rebound { from, room: id.into(), name: None });
            }
            Ask::Member { back, ask, .. } => self.fx.say(back, Say::Part { ask, part: Part::Done(true) }),
        }
    }

    /// The password was right, or was not looked at.
    pub(super) fn refund(&mut self, caller: &Caller) {
        self.give_back(caller.address.ip());
    }

    /// The peer may be in another of the sender's rooms.
    pub(super) fn signal_elsewhere(&mut self, caller: Box<Caller>, signal: Signal, mut rest: Vec<Box<str>>) {
        match rest.pop() {
            Some(next) => self.fx.ask_room(&next, Ask::Request(caller, Op::Signal { signal, rest })),
            None => {
                let refusal = signal.era.pick(Refusal::NoTarget, Refusal::NoPeer(signal.target));
                self.fx.refuse(*caller, refusal);
            }
        }
    }

    pub(super) fn count_signal(&self, kind: SignalKind) {
        let place = match kind {
            SignalKind::Offer => 0,
            SignalKind::Answer => 1,
            SignalKind::Candidate => 2,
        };
        self.counters.inc(Metric::SIGNALING_SIGNALS.at(place));
    }
}
