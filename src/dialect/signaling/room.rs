//! A room: its record, who is connected, and what waits. A pure model; it tells nobody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::mail::Mail;
use super::meter::Meter;
use super::peer::Caller;
use super::record::{Member, RoomRecord};
use super::settings::Proof;
use super::wire::{Person, PresenceState, Present, SignalOut, parse_peer_id};
use crate::base::{ConnId, Mono, Secret, Wall, WorkerId};

/// A connection in a room.
#[derive(Debug)]
pub(super) struct Live {
    pub conn: ConnId,
    pub peer: u64,
    pub key: Arc<str>,
    /// What others are told of the key.
    pub shown: Arc<str>,
    pub address: SocketAddr,
    /// It has proved the key. Where the membership is proved all have.
    pub is_proved: bool,
    pub is_away: bool,
}

impl Live {
    /// Whether it is meant by a key, as the owner of another one writes it. What others are told
    /// counts, so that nobody is meant who states another's alias as a key of its own.
    fn goes_by(&self, key: &str, of: &str) -> bool {
        *self.shown_to(of) == *key
    }

    /// What the owner of a key is told of this one's.
    pub(super) fn shown_to(&self, key: &str) -> &str {
        if *self.key == *key { &self.key } else { &self.shown }
    }
}

/// A change of the record that the store is asked to write. Nothing of it holds before it is
/// written.
#[derive(Debug)]
pub(super) enum Change {
    /// The room is new.
    Create { caller: Box<Caller>, password: Secret },
    /// It has another record.
    Put { record: RoomRecord, then: Then },
    /// It goes; `None` if nobody asked.
    Delete { caller: Option<Box<Caller>> },
}

/// What is done once the record is written.
#[derive(Debug)]
pub(super) enum Then {
    Join { caller: Box<Caller> },
    Connect { caller: Box<Caller> },
    Leave { caller: Box<Caller> },
    Kick { caller: Box<Caller>, target: Box<str>, key: Arc<str> },
    Rename { caller: Box<Caller> },
    Name { back: WorkerId, ask: u64, key: Arc<str> },
    Prove { back: WorkerId, ask: u64, conn: ConnId, key: Arc<str> },
}

/// Candidates that wait for an offer between two peers.
#[derive(Debug)]
pub(super) struct Held {
    pub signals: Vec<SignalOut>,
    pub bytes: usize,
    pub until: Mono,
}

/// A room.
#[derive(Debug)]
pub(super) struct Room {
    pub record: RoomRecord,
    pub live: Vec<Live>,
    pub change: Option<Change>,
    /// What waits for the change.
    pub mail: Mail,
    /// Pairs between whom an offer or answer has passed, the smaller first.
    pub talked: BTreeSet<(u64, u64)>,
    /// From whom, and for whom.
    pub held: BTreeMap<(u64, u64), Held>,
    /// Signals that were sent lately: from whom, and to whom.
    pub sent: BTreeMap<(u64, u64), Meter>,
    pub wrong: Meter,
    pub relayed: Meter,
    /// Its activity is not written down yet.
    pub is_dirty: bool,
    /// Under which time it stands in the index by age.
    pub aged: Wall,
}

impl Room {
    pub(super) fn new(record: RoomRecord) -> Room {
        Room {
            aged: record.last_active,
            record,
            live: Vec::new(),
            change: None,
            mail: Mail::default(),
            talked: BTreeSet::new(),
            held: BTreeMap::new(),
            sent: BTreeMap::new(),
            wrong: Meter::default(),
            relayed: Meter::default(),
            is_dirty: false,
        }
    }

    pub(super) fn live(&self, conn: ConnId) -> Option<&Live> {
        self.live.iter().find(|live| live.conn == conn)
    }

    pub(super) fn live_mut(&mut self, conn: ConnId) -> Option<&mut Live> {
        self.live.iter_mut().find(|live| live.conn == conn)
    }

    pub(super) fn has_key_live(&self, key: &str) -> bool {
        self.live.iter().any(|live| *live.key == *key)
    }

    /// Whether it is written down: one that is being made is no room yet.
    pub(super) fn is_made(&self) -> bool {
        !matches!(self.change, Some(Change::Create { .. }))
    }

    /// All connections but one.
    pub(super) fn others(&self, conn: ConnId) -> Vec<ConnId> {
        self.live.iter().map(|live| live.conn).filter(|other| *other != conn).collect()
    }

    pub(super) fn all(&self) -> Vec<ConnId> {
        self.live.iter().map(|live| live.conn).collect()
    }

    /// Takes a connection out, and what waits for it or from it.
    pub(super) fn take_live(&mut self, conn: ConnId) -> Option<Live> {
        let place = self.live.iter().position(|live| live.conn == conn)?;
        let live = self.live.remove(place);
        self.talked.retain(|(a, b)| *a != live.peer && *b != live.peer);
        self.held.retain(|(from, to), _| *from != live.peer && *to != live.peer);
        self.sent.retain(|(from, to), _| *from != live.peer && *to != live.peer);
        Some(live)
    }

    /// Takes all connections of a key out.
    pub(super) fn take_key(&mut self, key: &str) -> Vec<Live> {
        let conns: Vec<ConnId> = self.live.iter().filter(|live| *live.key == *key).map(|live| live.conn).collect();
        conns.into_iter().filter_map(|conn| self.take_live(conn)).collect()
    }

    /// Who is meant, by the owner of a key, by a connection's id or a key: of several connections with one
    /// key the latest that is there.
    pub(super) fn find(&self, target: &str, but: ConnId, own: &str) -> Option<&Live> {
        let others = || self.live.iter().rev().filter(move |live| live.conn != but);
        let by_peer = parse_peer_id(target).and_then(|peer| others().find(|live| live.peer == peer));
        by_peer
            .or_else(|| others().find(|live| live.goes_by(target, own) && !live.is_away))
            .or_else(|| others().find(|live| live.goes_by(target, own)))
    }

    /// Whose connection comes from an address with port. Only who may know addresses is answered by it.
    pub(super) fn find_at(&self, target: &str, but: ConnId) -> Option<&Live> {
        let address = canonical(target.parse().ok()?);
        self.live.iter().rev().find(|live| live.conn != but && canonical(live.address) == address)
    }

    pub(super) fn person(&self, key: &str) -> Person {
        let member = self.record.member(key);
        Person {
            key: key.into(),
            name: member.map(|member| member.name.clone()).unwrap_or_default(),
            called: None,
            address: member.map_or(0, |member| member.address),
            online: self.has_key_live(key),
        }
    }

    pub(super) fn people(&self, limit: usize) -> Vec<Person> {
        let person = |member: &Member| Person {
            key: member.key.as_ref().into(),
            name: member.name.clone(),
            called: None,
            address: member.address,
            online: self.has_key_live(&member.key),
        };
        self.record.members.iter().take(limit).map(person).collect()
    }

    /// Who is there, as the owner of a key is told of them.
    pub(super) fn present(&self, to: &str) -> Vec<Present> {
        let present = |live: &Live| Present {
            key: live.shown_to(to).into(),
            name: self.record.member(&live.key).map(|member| member.name.clone()).unwrap_or_default(),
            peer: live.peer,
            state: if live.is_away { PresenceState::Away } else { PresenceState::Online },
        };
        self.live.iter().map(present).collect()
    }

    /// Takes out who states a key that another has proved.
    pub(super) fn take_unproved(&mut self, key: &str) -> Vec<Live> {
        let is_it = |live: &&Live| *live.key == *key && !live.is_proved;
        let conns: Vec<ConnId> = self.live.iter().filter(is_it).map(|live| live.conn).collect();
        conns.into_iter().filter_map(|conn| self.take_live(conn)).collect()
    }

    /// Whether another connection is here and came first with the same key: what cannot be undone is
    /// that one's to do, unless this one has proved the key.
    pub(super) fn is_anothers(&self, conn: ConnId, key: &str, is_proved: bool) -> bool {
        let first = self.live.iter().find(|live| *live.key == *key && !live.is_away);
        !is_proved && first.is_some_and(|first| first.conn != conn)
    }

    /// Whether only who has shown that a key is its own may use it here.
    pub(super) fn needs_proof(&self, key: &str, proof: Proof) -> bool {
        proof != Proof::Off && self.record.member(key).is_some_and(|member| member.is_proved)
    }
}

/// An IPv4 address is the same in IPv6's clothes.
fn canonical(address: SocketAddr) -> (IpAddr, u16) {
    (address.ip().to_canonical(), address.port())
}

/// A pair, the smaller first.
pub(super) fn pair(a: u64, b: u64) -> (u64, u64) {
    (a.min(b), a.max(b))
}
