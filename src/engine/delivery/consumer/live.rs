//! Events as they are published.

use super::flight::Flight;
use super::{Consumer, Offer};
use crate::base::Now;
use crate::engine::store::{Record, Seq};
use crate::engine::topic::Payload;

impl Consumer {
    /// An event was committed that may concern it. Offered in the order of their numbers, each
    /// once; whoever leaves out some says so by [`Consumer::head_moved`] before it pumps.
    ///
    /// A consumer that is behind, or has nobody to send to, spends nothing on it.
    pub fn offer(&mut self, record: &Record, payload: &mut Payload<'_>, now: Now) -> Offer {
        if record.seq <= self.head {
            return if self.is_live() { Offer::NotMine } else { Offer::Behind };
        }
        self.head = record.seq;
        if !self.is_live() {
            return Offer::Behind;
        }
        if !self.members.is_any_started() {
            return self.fall_behind(record);
        }
        if !self.selectors.take(record, payload) {
            return Offer::NotMine;
        }
        if record.is_expired(now.wall) {
            return Offer::Expired;
        }
        if self.flights.has_unsent() || self.flights.len() >= self.settings.window.max(1) {
            return self.fall_behind(record);
        }
        let weight = record.weight();
        let Some(member) = self.members.choose(weight, self.settings.window_bytes) else {
            self.next_weight = weight;
            return self.fall_behind(record);
        };
        let deadline = now.mono.after(self.settings.ack_timeout);
        self.flights.insert(record.seq, Flight::first(record, member, now.mono, deadline));
        self.members.charge(member, weight);
        self.is_dirty = true;
        Offer::Taken { member }
    }

    /// Everything up to `head` is committed. Only for one that is behind, or if nothing up to
    /// there concerns it but what was offered.
    pub fn head_moved(&mut self, head: Seq) {
        self.head = self.head.max(head);
    }

    fn fall_behind(&mut self, record: &Record) -> Offer {
        self.position = Some(Seq(record.seq.0 - 1));
        Offer::Behind
    }
}
