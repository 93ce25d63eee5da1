//! What a connection knows of a room that it is in: who else is there, and what it was told last.

use std::collections::{BTreeMap, BTreeSet};

use crate::order::Event;

/// A peer, as another sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub key: u8,
    pub is_away: bool,
}

/// What a connection knows of a room.
#[derive(Debug, Default)]
pub struct View {
    /// The step in which it came in.
    pub since: u64,
    /// The step in which it asked for that: it was in at some moment after.
    pub asked: u64,
    /// It took a lost one's place, and has not asked who is there.
    pub is_vague: bool,
    pub peers: BTreeMap<u64, Seen>,
    /// Whose keys are there, for a client that knows nothing of connections.
    pub keys: BTreeSet<u8>,
    /// Who is there already is being told: those that are still to come, if it was in before.
    pub listing: Option<Option<BTreeSet<u64>>>,
    /// Of whom it was told last in that list: behind it may stand that this one is lost.
    pub listed: Option<u64>,
    /// What it heard, in its order.
    pub heard: Vec<Event>,
}

impl View {
    pub fn new(since: u64, asked: u64) -> View {
        View { since, asked, ..View::default() }
    }

    /// An answer says that it is in, once more or for the first time.
    pub fn list(&mut self, is_new: bool) {
        self.end_list();
        let again = (!is_new && !self.is_vague).then(|| self.peers.keys().copied().collect());
        self.listing = Some(again);
    }

    /// Something else is told: the list is over.
    pub fn end_list(&mut self) {
        self.listed = None;
        if let Some(Some(left)) = self.listing.take() {
            assert!(left.is_empty(), "who came again was not told of {left:x?}");
        }
    }

    /// Somebody was there before.
    pub fn there(&mut self, peer: u64, key: u8) {
        self.listed = Some(peer);
        self.keys.insert(key);
        match &mut self.listing {
            None => panic!("told of peer {peer:x} as there before, and nobody came"),
            Some(Some(left)) => assert!(left.remove(&peer), "told twice of peer {peer:x}, or it was not there"),
            Some(None) => {
                let before = self.peers.insert(peer, Seen { key, is_away: false });
                assert!(before.is_none() || self.is_vague, "told twice of peer {peer:x}");
                // Who came back has heard of some of them before.
                if !self.is_vague {
                    self.heard.push(Event::Enter(peer));
                }
            }
        }
    }

    /// Somebody is new.
    pub fn newcomer(&mut self, peer: u64, key: u8) {
        self.end_list();
        self.keys.insert(key);
        let before = self.peers.insert(peer, Seen { key, is_away: false });
        assert!(before.is_none() || self.is_vague, "peer {peer:x} is new, and was there");
        self.heard.push(Event::Enter(peer));
    }

    /// Of a key's connections one went, and this one is there as before.
    pub fn again(&mut self, peer: u64, key: u8) {
        self.end_list();
        self.listed = Some(peer);
        self.keys.insert(key);
        assert!(self.peers.contains_key(&peer) || self.is_vague, "peer {peer:x} stays, and was not there");
        let seen = self.peers.entry(peer).or_insert(Seen { key, is_away: false });
        assert!(seen.key == key, "peer {peer:x} stays with another's key");
    }

    /// Somebody went.
    pub fn gone(&mut self, peer: u64, key: u8) {
        self.end_list();
        self.keys.remove(&key);
        let before = self.peers.remove(&peer);
        assert!(before.is_some() || self.is_vague, "peer {peer:x} went, and was not there");
        assert!(before.is_none_or(|before| before.key == key), "peer {peer:x} went with another's key");
        self.heard.push(Event::Exit(peer));
    }

    /// A member went that had no connection.
    pub fn left(&mut self, key: u8) {
        self.end_list();
        self.keys.remove(&key);
        let is_there = self.peers.values().any(|seen| seen.key == key);
        assert!(!is_there || self.is_vague, "member {key} left, and is there");
    }

    pub fn away(&mut self, peer: u64, is_away: bool) {
        if is_away && self.listed.take_if(|listed| *listed == peer).is_some() {
            let seen = self.peers.get_mut(&peer).expect("it was listed");
            seen.is_away = true;
            return;
        }
        self.end_list();
        match self.peers.get_mut(&peer) {
            Some(seen) => {
                assert!(!is_away || !seen.is_away || self.is_vague, "told twice that peer {peer:x} is lost");
                seen.is_away = is_away;
            }
            None => assert!(self.is_vague, "peer {peer:x} is lost or back, and was not there"),
        }
    }
}
