//! Signals and relayed data: who gets them, in which order, and that none is lost.

use std::collections::{BTreeMap, BTreeSet};

use hydrogen::base::ConnId;
use serde_json::{Value, json};

use crate::ask::{Signal, Target};
use crate::keys::key;
use crate::wire::{Era, Got};
use crate::world::World;

/// A signal that was sent.
pub struct Sent {
    pub from: ConnId,
    pub kind: Signal,
    pub era: Era,
    pub target: Target,
    pub room: Option<String>,
    pub at: u64,
    pub is_refused: bool,
    /// The room through which it went.
    accepted: Option<Box<str>>,
    /// Who got it.
    got_by: Option<u64>,
}

/// Data that was relayed.
pub struct Relayed {
    pub from: ConnId,
    pub target: Option<Target>,
    pub room: Option<String>,
    pub is_refused: bool,
    got_by: BTreeSet<ConnId>,
}

/// The newest signals from one peer to another, in one room.
#[derive(Default)]
pub struct Passed {
    talk: Option<usize>,
    candidate: Option<usize>,
}

pub fn is_signal(kind: &str) -> bool {
    matches!(kind, "Offer" | "Answer" | "Candidate" | "SdpOffer" | "SdpAnswer" | "IceCandidate")
}

impl Sent {
    pub fn new(from: ConnId, kind: Signal, era: Era, target: Target, room: Option<String>, at: u64) -> Sent {
        Sent { from, kind, era, target, room, at, is_refused: false, accepted: None, got_by: None }
    }

    /// Its type.
    pub fn name(&self) -> &'static str {
        match self.kind {
            Signal::Offer => self.era.pick("Offer", "SdpOffer"),
            Signal::Answer => self.era.pick("Answer", "SdpAnswer"),
            Signal::Candidate => self.era.pick("Candidate", "IceCandidate"),
        }
    }

    fn field(&self) -> &'static str {
        match self.kind {
            Signal::Offer => self.era.pick("offer", "sdp"),
            Signal::Answer => self.era.pick("answer", "sdp"),
            Signal::Candidate => "candidate",
        }
    }

    /// Its payload; what the server writes itself is written wrongly.
    pub fn words(&self, number: usize) -> Value {
        let mut payload = json!({"sender_public_key": key(98), "sender_id": "me", "extra": 7});
        payload[self.field()] = format!("s{number}").into();
        payload[self.era.pick("destination_id", "target_public_key")] = self.target.text().into();
        if let Some(room) = &self.room {
            payload[self.era.id()] = room.as_str().into();
        }
        payload
    }
}

impl Relayed {
    pub fn new(from: ConnId, target: Option<Target>, room: Option<String>) -> Relayed {
        Relayed { from, target, room, is_refused: false, got_by: BTreeSet::new() }
    }

    pub fn words(&self, number: usize, era: Era) -> Value {
        let mut payload = json!({"data": format!("r{number}")});
        if let Some(target) = self.target {
            payload["destination_id"] = target.text().into();
        }
        if let Some(room) = &self.room {
            payload[era.id()] = room.as_str().into();
        }
        payload
    }
}

impl World {
    /// A signal is said to be on its way.
    pub fn accepted(&mut self, number: usize, room: &str, got: &Got) {
        let signal = &mut self.signals[number];
        assert!(got.text("destination_id") == signal.target.text(), "another target: {got:?}");
        assert!(signal.room.as_ref().is_none_or(|asked| asked == room), "another room: {got:?}");
        signal.accepted = Some(room.into());
    }

    /// A signal comes to a connection.
    pub fn signalled(&mut self, conn: ConnId, got: &Got) {
        let fields = ["offer", "answer", "sdp", "candidate"];
        let text = fields.iter().find_map(|field| got.payload[*field].as_str()).expect("a signal's data");
        let number: usize = text.strip_prefix('s').and_then(|number| number.parse().ok()).expect("a signal of ours");
        let room = got.room().to_owned();
        let from = got.peer("sender_id").expect("a signal names its sender");
        let sender = self.signals[number].from;
        assert!(self.is_known_by(sender, from), "signal {number} comes from {from:x}, and was sent by {sender}");
        let key = self.person(conn, &room, got.text("public_key"));
        let signal = &self.signals[number];
        let is_his = got.text("sender_public_key") == got.text("public_key")
            && self.server.conns[&signal.from].pinned.is_none_or(|pinned| pinned == key);
        assert!(is_his, "signal {number} names another's key {key}");
        assert!(got.kind == signal.name() && got.payload["extra"] == 7, "signal {number} is changed: {got:?}");
        assert!(!signal.is_refused, "signal {number} was refused, and comes");
        assert!(signal.got_by.is_none(), "signal {number} comes twice");
        assert!(signal.room.as_ref().is_none_or(|asked| *asked == room), "signal {number} comes by another room");
        let is_meant = match signal.target {
            Target::Peer(peer) => self.is_known_by(conn, peer),
            target => self.is_meant(conn, target, &room, key),
        };
        self.check_proved_sender(sender);
        let signal = &self.signals[number];
        let own = self.peers.get(&conn).copied().unwrap_or_default();
        assert!(is_meant && own != from, "signal {number} for {:?} comes to peer {own:x}", signal.target);
        let of = &self.server.conns[&conn];
        assert!(of.is_in(&room), "signal {number} comes to {conn}, which is not in {room}");
        let is_named = signal.room.is_some();
        let passed = self.passed.entry((sender, own, room.into(), is_named)).or_default();
        let signal = &self.signals[number];
        let is_later = |before: Option<usize>| before.is_none_or(|before| before < number);
        match signal.kind {
            Signal::Candidate => {
                assert!(is_later(passed.candidate), "candidate {number} comes after {:?}", passed.candidate);
                passed.candidate = Some(number);
            }
            Signal::Offer | Signal::Answer => {
                assert!(is_later(passed.talk), "signal {number} comes after {:?}", passed.talk);
                // Of those that were sent before it none may have waited in vain, and none may overtake it.
                assert!(is_later(passed.candidate), "signal {number} comes after candidate {:?}", passed.candidate);
                passed.talk = Some(number);
            }
        }
        self.signals[number].got_by = Some(own);
    }

    /// Relayed data comes to a connection.
    pub fn relayed(&mut self, conn: ConnId, got: &Got) {
        let number: usize =
            got.text("data").strip_prefix('r').and_then(|number| number.parse().ok()).expect("data of ours");
        let from = got.peer("sender_id").expect("data names its sender");
        let (sender, target) = (self.relays[number].from, self.relays[number].target);
        let room = got.room().to_owned();
        let key = self.person(conn, &room, got.text("public_key"));
        let is_his =
            self.is_known_by(sender, from) && self.server.conns[&sender].pinned.is_none_or(|pinned| pinned == key);
        assert!(is_his, "data {number} names another sender");
        let is_meant = match target {
            None => true,
            Some(Target::Peer(peer)) => self.is_known_by(conn, peer),
            Some(target) => self.is_meant(conn, target, &room, key),
        };
        self.check_proved_sender(sender);
        assert!(is_meant, "data {number} comes to another than {target:?}");
        let relay = &mut self.relays[number];
        assert!(conn != relay.from && !relay.is_refused, "data {number} comes to its sender, or was refused");
        assert!(relay.got_by.insert(conn), "data {number} comes twice");
        let of = &self.server.conns[&conn];
        assert!(of.is_in(got.room()), "data {number} comes to {conn}, which is not in its room");
        assert!(relay.room.as_ref().is_none_or(|asked| asked == got.room()), "data {number} comes by another room");
    }

    /// Whether a key that somebody with another writes is a connection's.
    fn is_meant(&self, conn: ConnId, target: Target, room: &str, by: u8) -> bool {
        let meant = self.meant(target, room, Some(by));
        meant.is_some() && self.server.conns[&conn].pinned.is_none_or(|pinned| Some(pinned) == meant)
    }

    /// Whether others know, or knew, a connection by this id. Of one that came and went in one step
    /// nobody saw it.
    pub fn is_known_by(&mut self, conn: ConnId, id: u64) -> bool {
        *self.peers.entry(conn).or_insert(id) == id || self.ids.contains_key(&(conn, id))
    }

    /// What was accepted came, if both were there all the time; what did not was told as missed.
    pub fn check_signals(&self) {
        let mut lost: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
        for (number, signal) in self.signals.iter().enumerate() {
            let (Some(room), Target::Peer(peer), None) = (&signal.accepted, signal.target, signal.got_by) else {
                continue;
            };
            // Who took a lost one's place since is known by another id, and left its rooms before.
            let mut ids = self.ids.range((signal.from, 0)..=(signal.from, u64::MAX)).map(|((_, id), _)| id);
            let (Some(from), None) = (ids.next(), ids.next()) else { continue };
            let is_there = |peer| self.was_there(room, peer, signal.at);
            let is_open = self
                .server
                .conns
                .iter()
                .any(|(id, conn)| !conn.is_over && self.peers.get(id) == Some(&peer) && conn.is_in(room));
            if is_open && is_there(peer) && is_there(*from) {
                lost.entry(peer).or_default().push(number);
            }
        }
        for (peer, numbers) in lost {
            let missed = self.missed.get(&peer).copied().unwrap_or(0);
            assert!(numbers.len() as u64 <= missed, "signals {numbers:?} never came to {peer:x}; it missed {missed}");
        }
    }
}
