//! Proofs of keys: what makes one, what it changes for whom, and what is refused without.
//!
//! What a room's worker holds is known after each of its steps, and what is on the disk at each
//! commit. What must be refused is what was so all the time from the request to its answer; what may
//! be refused is what was so at some moment of it.

use std::collections::{BTreeMap, BTreeSet};

use hydrogen::base::ConnId;
use hydrogen::dialect::signaling::{Look, Proof};

use crate::ask::{Ask, Req};
use crate::journal::Record;
use crate::keys::number_of;
use crate::wire::Got;
use crate::world::World;

/// A membership: a room and a key.
type Place = (Box<str>, u8);

/// Memberships, as the workers of their rooms hold them.
#[derive(Default)]
pub struct Proofs {
    /// Since when they are held.
    held: BTreeMap<Place, u64>,
    /// Since when they are proved.
    proved: BTreeMap<Place, u64>,
    /// When one that was proved came to its end.
    ended: BTreeMap<Place, u64>,
    /// Who has shown that a key is its own, whether it was told so or not.
    shown: BTreeSet<(ConnId, u8)>,
}

/// A signature that is shown, and what is wrong with it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The key that is stated.
    pub key: u8,
    /// Whose secret key signs.
    pub signer: u8,
    pub nonce: String,
    /// A bit of it is another.
    pub is_spoilt: bool,
}

impl Proofs {
    /// A life begins with what the disk holds.
    pub fn begin<'a>(&mut self, there: impl Iterator<Item = (&'a str, &'a Record)>, step: u64) {
        *self = Proofs::default();
        for (room, record) in there {
            for member in &record.members {
                self.hold((room.into(), member.key), member.is_proved, step);
            }
        }
    }

    fn hold(&mut self, place: Place, is_proved: bool, step: u64) {
        if is_proved {
            self.proved.entry(place.clone()).or_insert(step);
        }
        self.held.entry(place).or_insert(step);
    }

    /// A worker has made a step.
    pub fn follow(&mut self, before: &Look, after: &Look, step: u64) {
        let places = |look: &Look| -> Vec<Place> {
            let of_room = |room: &hydrogen::dialect::signaling::RoomLook| {
                let id = room.record.id.clone();
                room.members.iter().map(move |(key, _)| (id.clone(), number_of(key))).collect::<Vec<_>>()
            };
            look.rooms.iter().flat_map(of_room).collect()
        };
        let there = places(after);
        for place in places(before).into_iter().filter(|place| !there.contains(place)) {
            self.held.remove(&place);
            if self.proved.remove(&place).is_some() {
                self.ended.insert(place, step);
            }
        }
        for room in &after.rooms {
            for (key, _) in &room.members {
                self.hold((room.record.id.clone(), number_of(key)), room.proved.contains(key), step);
            }
        }
    }

    /// Whether a membership of a key was proved before a step and ever since: in one room, or in any.
    fn always(&self, room: Option<&str>, key: u8, since: u64) -> bool {
        let is_it = |place: &Place| place.1 == key && room.is_none_or(|room| *place.0 == *room);
        self.proved.iter().any(|(place, from)| is_it(place) && *from < since)
    }

    /// Whether one was proved at some moment since.
    fn ever(&self, room: Option<&str>, key: u8, since: u64) -> bool {
        let is_it = |place: &Place| place.1 == key && room.is_none_or(|room| *place.0 == *room);
        self.proved.keys().any(is_it) || self.ended.iter().any(|(place, at)| is_it(place) && *at >= since)
    }

    /// Rooms in which a key was a member before a step and ever since.
    fn held_since(&self, key: u8, since: u64) -> impl Iterator<Item = &str> {
        let all = self.held.iter().filter(move |(place, from)| place.1 == key && **from < since);
        all.map(|(place, _)| &*place.0)
    }
}

/// Whether a request is made in the name of a key.
fn needs_key(ask: &Ask) -> bool {
    match ask {
        Ask::Ping { .. }
        | Ask::Challenge
        | Ask::Prove(_)
        | Ask::Resume { .. }
        | Ask::IceServers
        | Ask::Unknown
        | Ask::Malformed(_) => false,
        Ask::Create { .. }
        | Ask::Join { .. }
        | Ask::Connect { .. }
        | Ask::Disconnect { .. }
        | Ask::Leave { .. }
        | Ask::Kick { .. }
        | Ask::Rename { .. }
        | Ask::Signal(_)
        | Ask::Relay(_)
        | Ask::Presence { .. }
        | Ask::Rooms { .. }
        | Ask::Info { .. } => true,
    }
}

/// A key that must be proved if it was, in this room; or in any, if none is named.
struct Need<'a> {
    room: Option<&'a str>,
    key: u8,
}

fn need<'a>(ask: &'a Ask, pinned: Option<u8>) -> Option<Need<'a>> {
    let (room, key) = match ask {
        Ask::Create { key, .. } | Ask::Join { key, .. } | Ask::Info { key, .. } => (None, Some(*key)),
        Ask::Connect { room, key, .. } => (Some(&**room), Some(*key)),
        // Without a room the current one is left, whichever that is.
        Ask::Leave { room, key } => (room.as_deref(), key.or(pinned)),
        Ask::Kick { room, .. } | Ask::Rename { room, .. } => (Some(&**room), pinned),
        Ask::Disconnect { .. }
        | Ask::Signal(_)
        | Ask::Relay(_)
        | Ask::Presence { .. }
        | Ask::Rooms { .. }
        | Ask::Ping { .. }
        | Ask::Challenge
        | Ask::Prove(_)
        | Ask::Resume { .. }
        | Ask::IceServers
        | Ask::Unknown
        | Ask::Malformed(_) => return None,
    };
    key.map(|key| Need { room, key })
}

impl World {
    pub fn policy(&self) -> Proof {
        self.plan.settings.proof
    }

    /// Whether a signature is of this connection's nonce, by the key that is stated.
    pub fn is_proof(&self, conn: ConnId, shown: &Shown) -> bool {
        let is_nonce = self.server.conns[&conn].nonce.as_ref() == Some(&shown.nonce);
        is_nonce && shown.key == shown.signer && !shown.is_spoilt
    }

    /// Whether a request is one that proves a key.
    pub fn proves(&self, request: &Req, key: u8) -> bool {
        let Ask::Prove(shown) = &request.ask else { return false };
        shown.key == key && self.is_proof(request.conn, shown) && self.policy() != Proof::Off
    }

    /// Whether somebody who was known to others as a peer has shown that a key is its own, whether it
    /// was told so or not.
    fn has_shown(&self, peer: u64, conn: ConnId, key: u8) -> bool {
        // What a lost one had shown goes over with its place.
        let is_it = |other: ConnId| other == conn || self.ids.contains_key(&(other, peer));
        let shown = &self.proofs.shown;
        shown.contains(&(conn, key)) || shown.iter().any(|(other, its)| *its == key && is_it(*other))
    }

    /// A connection shows a signature.
    pub fn shows(&mut self, conn: ConnId, shown: &Shown) {
        if self.policy() != Proof::Off && self.is_proof(conn, shown) {
            self.proofs.shown.insert((conn, shown.key));
        }
    }

    /// A connection takes the place of another, which may have proved its key.
    pub fn takes_proof(&mut self, conn: ConnId, before: ConnId, key: u8) {
        let was = &self.server.conns[&before];
        // The lost one was told nothing any more.
        let (is_proved, may) = (was.is_proved, was.may_be_proved || self.proofs.shown.contains(&(before, key)));
        let is_required = self.policy() == Proof::Required;
        let of = self.conn(conn);
        // The lists that its header asks for come behind the proof, whosever it was.
        if is_required && may && !of.is_proved && of.header == Some(key) {
            of.has_pushes = is_proved && !of.may_be_proved;
            of.pushes = Some(0);
        }
        of.is_proved |= is_proved;
        of.may_be_proved |= may;
        if may {
            self.proofs.shown.insert((conn, key));
        }
    }

    /// A challenge: a connection has one, and nobody else has it.
    pub fn challenged(&mut self, conn: ConnId, got: &Got, is_asked: bool) {
        let nonce = got.text("nonce").to_owned();
        let is_new = self.server.conns.iter().all(|(other, of)| *other == conn || of.nonce.as_ref() != Some(&nonce));
        assert!(is_new && nonce.len() >= 22, "{conn} gets the nonce of another, or a short one: {nonce}");
        let policy = self.policy();
        let of = self.conn(conn);
        match &of.nonce {
            Some(own) => assert!(is_asked && *own == nonce, "{conn} gets another nonce"),
            None if is_asked => assert!(policy == Proof::Optional, "{conn} asks, and was not challenged before"),
            None => assert!(policy == Proof::Required && got.id.is_empty(), "{conn} is challenged unasked: {got:?}"),
        }
        of.nonce = Some(nonce);
    }

    /// A key is told to be proved: everywhere where it was a member that is written down.
    pub fn proved(&mut self, conn: ConnId, shown: &Shown, sent: u64, got: &Got) {
        assert!(self.policy() != Proof::Off, "a key is proved, and nothing can be");
        assert!(self.is_proof(conn, shown), "{conn} is believed, and has shown nothing: {shown:?}");
        assert!(number_of(got.text("public_key")) == shown.key, "another key is proved: {got:?}");
        self.pin(conn, shown.key);
        let key = shown.key;
        for room in self.proofs.held_since(key, sent) {
            // It may have ended on the disk; the room's worker has not heard of it.
            let member = self.journal.lasting(room).and_then(|it| it.member(key));
            let is_so = member.is_none_or(|member| member.is_proved);
            assert!(is_so, "member {key} proved its key, and that is not written down in {room}");
        }
        let is_required = self.policy() == Proof::Required;
        let of = self.conn(conn);
        if is_required && !of.is_proved && of.header == Some(key) {
            of.pushes = Some(0);
            of.has_pushes = !of.may_be_proved;
        }
        (of.is_proved, of.may_be_proved) = (true, true);
    }

    /// A request had its way: without a proof it may not have been refused.
    pub fn check_may(&self, conn: ConnId, ask: &Ask, sent: u64, told: &str) {
        let of = &self.server.conns[&conn];
        if of.may_be_proved || self.policy() == Proof::Off {
            return;
        }
        let may = self.policy() != Proof::Required || !needs_key(ask);
        assert!(may, "{conn} has proved no key, and is granted {ask:?}");
        if let Some(Need { room, key }) = need(ask, of.pinned) {
            let room = if matches!(ask, Ask::Leave { .. }) { Some(told) } else { room };
            let must_prove = self.proofs.always(room, key, sent);
            assert!(!must_prove, "{conn} only states key {key}, which was proved, and is granted {ask:?}");
        }
    }

    /// Whether it is true that a proof is needed.
    pub fn is_proof_missing(&self, conn: ConnId, ask: &Ask, sent: u64) -> bool {
        let of = &self.server.conns[&conn];
        match self.policy() {
            Proof::Off => false,
            _ if of.is_proved => false,
            Proof::Required => needs_key(ask),
            Proof::Optional => need(ask, of.pinned).is_some_and(|Need { room, key }| self.proofs.ever(room, key, sent)),
        }
    }

    /// Whether a request may act as a member, whose record was so when it did.
    pub fn is_proved_enough(&self, request: &Req, record: &Record, key: u8) -> bool {
        let needs = self.policy() != Proof::Off && record.member(key).is_some_and(|member| member.is_proved);
        !needs || self.server.conns[&request.conn].may_be_proved
    }

    /// Whether a request may make or join a room with a key, and leaves the membership so.
    pub fn makes_member(&self, request: &Req, key: u8, is_proved: bool) -> bool {
        let of = &self.server.conns[&request.conn];
        match (is_proved, self.policy()) {
            (true, _) => of.may_be_proved,
            (false, Proof::Off) => true,
            (false, Proof::Required) => false,
            (false, Proof::Optional) => !of.is_proved && !self.proofs.always(None, key, request.sent),
        }
    }

    /// Whether a member's list may be without a room, since the room was hidden from who asks.
    pub fn may_be_hidden(&self, conn: ConnId, room: &str, key: u8, since: u64) -> bool {
        let is_proved = self.server.conns[&conn].is_proved;
        !is_proved && self.policy() != Proof::Off && self.proofs.ever(Some(room), key, since)
    }

    /// A member's list has a room: then who only states the key was not to prove it there.
    pub fn check_listed(&self, conn: ConnId, room: &str, key: u8, since: u64) {
        let may = self.server.conns[&conn].may_be_proved || self.policy() == Proof::Off;
        let is_hidden = !may && self.proofs.always(Some(room), key, since);
        assert!(!is_hidden, "{conn} only states key {key}, and is told that it is in {room}");
    }

    /// Who signals has proved its key, where that is required.
    pub fn check_proved_sender(&self, sender: ConnId) {
        let may = self.policy() != Proof::Required || self.server.conns[&sender].may_be_proved;
        assert!(may, "{sender} has proved no key, and is heard");
    }

    /// A connection is put out of a room: its key left, or it only states a key that another has proved.
    pub fn check_put_out(&self, conn: ConnId, room: &str) {
        let of = &self.server.conns[&conn];
        let Some(key) = of.pinned else { return };
        let since = of.views.get(room).map_or(0, |view| view.asked);
        let has_left = self.journal.ever(room, since, |it| it.is_none_or(|it| it.member(key).is_none()));
        let is_unproved = !of.is_proved && self.policy() != Proof::Off && self.proofs.ever(Some(room), key, since);
        assert!(has_left || is_unproved, "{conn} with key {key} is put out of {room}, and nobody wanted it");
    }

    /// Where a membership is proved nobody is in the room who only states the key.
    pub fn check_proved_places(&self, look: &Look) {
        if self.policy() == Proof::Off {
            return;
        }
        for room in look.rooms.iter().filter(|room| !room.proved.is_empty()) {
            for live in room.live.iter().filter(|live| room.proved.contains(&live.key)) {
                let key = number_of(&live.key);
                let is_its = self.has_shown(live.peer, live.conn, key);
                assert!(is_its, "{} only states key {key}, and is in {}", live.conn, room.record.id);
            }
        }
    }
}
