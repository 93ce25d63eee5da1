//! Who makes or joins a room with a key that it only states: nobody may who states one that was
//! proved in some room.
//!
//! Each worker knows which memberships of its rooms were proved, so all of them are asked. A
//! membership that ends takes its proof along: a key that is in no room is nobody's.

use std::net::IpAddr;
use std::sync::Arc;

use super::Signaling;
use super::conn::Busy;
use super::peer::{Meta, Part, Say};
use super::settings::Proof;
use super::throttle::worker_of_address;
use super::wire::{Refusal, Request};
use crate::base::{ConnId, Now, WorkerId};

/// A request that its address may make, until it is known whose the key is.
#[derive(Debug)]
pub(super) struct Claim {
    meta: Meta,
    request: Box<Request>,
    address: IpAddr,
}

impl Claim {
    /// The key in whose name it is asked.
    fn key(&self) -> &str {
        match &*self.request {
            Request::Create { key, .. } | Request::Join { key, .. } => key,
            _ => "",
        }
    }

    fn has_password(&self) -> bool {
        matches!(*self.request, Request::Join { .. })
    }
}

impl Signaling {
    /// The worker that counts for the address has answered.
    pub(super) fn on_admitted(
        &mut self,
        conn: ConnId,
        is_admitted: bool,
        has_password: bool,
        address: IpAddr,
        now: Now,
    ) {
        let waiting = |connection: &mut super::conn::Connection| {
            connection.busy.take_if(|busy| matches!(busy, Busy::Admission(..)))
        };
        match self.conns.get_mut(&conn).and_then(waiting) {
            Some(Busy::Admission(meta, _)) if !is_admitted => self.refuse(conn, &meta, &Refusal::RateLimited),
            Some(Busy::Admission(meta, request)) => self.claim(conn, Claim { meta, request, address }, now),
            Some(Busy::Room { .. } | Busy::Gather | Busy::Resume { .. }) | None => {
                if is_admitted && has_password {
                    self.give_back(address);
                }
            }
        }
    }

    fn claim(&mut self, conn: ConnId, claim: Claim, now: Now) {
        let Some(connection) = self.conns.get(&conn) else { return };
        let key: Arc<str> = claim.key().into();
        let is_free = self.settings.proof == Proof::Off || connection.is_proved || key.is_empty();
        if is_free || connection.may_state(&key).is_err() {
            return self.admitted(conn, claim.meta, *claim.request, claim.address);
        }
        self.ask_whose(conn, &key, claim, now);
    }

    pub(super) fn on_is_proved(&mut self, from: WorkerId, ask: u64, key: &str) {
        let proof = self.settings.proof;
        let is_proved = self.rooms.of_member(key).any(|room| room.needs_proof(key, proof));
        let part = if is_proved { Part::Refused(Refusal::ProofRequired) } else { Part::Done(true) };
        self.fx.say(from, Say::Part { ask, part });
    }

    /// All workers have answered.
    pub(super) fn finish_claim(&mut self, conn: ConnId, claim: Claim, refusal: Option<Refusal>, now: Now) {
        let here = self.conns.get_mut(&conn).filter(|connection| matches!(connection.busy, Some(Busy::Gather)));
        let is_here = here.map(|connection| connection.busy = None).is_some();
        if is_here && refusal.is_none() {
            self.admitted(conn, claim.meta, *claim.request, claim.address);
        } else {
            // The password was not looked at.
            if claim.has_password() {
                self.give_back(claim.address);
            }
            if let Some(refusal) = refusal.filter(|_| is_here) {
                self.refuse(conn, &claim.meta, &refusal);
            }
        }
        self.take_held(conn, now);
    }

    /// What was counted as a wrong password was none.
    pub(super) fn give_back(&mut self, address: IpAddr) {
        self.fx.say(worker_of_address(address, self.fx.workers), Say::Refund { address });
    }
}
