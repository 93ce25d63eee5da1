//! A connection's state, which belongs to its worker: its key, its rooms, and how it writes.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;

use super::meter::Meter;
use super::peer::{Caller, Meta};
use super::place::{Behind, Queue};
use super::token::Token;
use super::wire::{Encoding, Era, Request, peer_id};
use crate::base::{ConnId, Mono};

/// What a connection waits for before its next request is looked at.
#[derive(Debug)]
pub(super) enum Busy {
    /// Whether its address may make or join a room.
    Admission(Meta, Box<Request>),
    /// A room's answer.
    Room {
        /// The answer is to come with a token.
        grace: bool,
    },
    /// An answer of many.
    Gather,
    /// A lost connection's place. Rooms that it is put out of meanwhile are not taken over, and what
    /// it is told of the others comes behind the answer.
    Resume { meta: Meta, put_out: Vec<Box<str>>, behind: Behind },
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub conn: ConnId,
    /// What others know it by. It stays when its place is taken again.
    pub peer: u64,
    pub address: SocketAddr,
    pub era: Era,
    pub encoding: Encoding,
    /// The first key that it stated with success.
    pub key: Option<Arc<str>>,
    pub is_proved: bool,
    pub nonce: Option<Box<str>>,
    /// Whose rooms it is told of once it has proved its key.
    pub client_id: Option<Arc<str>>,
    /// In the order in which it came: the last one is the current.
    pub rooms: Vec<Box<str>>,
    pub busy: Option<Busy>,
    pub held: VecDeque<(Box<str>, Mono)>,
    pub held_bytes: usize,
    pub bad_messages: u32,
    /// Its place is kept when it is lost.
    pub has_grace: bool,
    pub token: Option<Token>,
    /// It is lost, and its place is kept until then.
    pub away_until: Option<Mono>,
    pub queue: Queue,
    pub relayed: Meter,
    pub spoken: Meter,
    pub moved: Meter,
}

impl Connection {
    pub(super) fn new(conn: ConnId, peer: u64, address: SocketAddr) -> Connection {
        Connection {
            conn,
            peer,
            address,
            era: Era::default(),
            encoding: Encoding::default(),
            key: None,
            is_proved: false,
            nonce: None,
            client_id: None,
            rooms: Vec::new(),
            busy: None,
            held: VecDeque::new(),
            held_bytes: 0,
            bad_messages: 0,
            has_grace: false,
            token: None,
            away_until: None,
            queue: Queue::default(),
            relayed: Meter::default(),
            spoken: Meter::default(),
            moved: Meter::default(),
        }
    }

    pub(super) fn is_in(&self, room: &str) -> bool {
        self.rooms.iter().any(|own| **own == *room)
    }

    pub(super) fn current(&self) -> Option<&str> {
        self.rooms.last().map(|room| &**room)
    }

    /// A room that it entered becomes the current one.
    pub(super) fn enter(&mut self, room: &str) {
        self.leave(room);
        self.rooms.push(room.into());
    }

    pub(super) fn leave(&mut self, room: &str) {
        self.rooms.retain(|own| **own != *room);
        if let Some(Busy::Resume { put_out, .. }) = &mut self.busy {
            put_out.push(room.into());
        }
    }

    pub(super) fn caller(&self, key: Option<&str>, name: &str, meta: Meta, alone: bool) -> Box<Caller> {
        let own = self.key.clone().unwrap_or_default();
        Box::new(Caller {
            conn: self.conn,
            peer: self.peer,
            key: key.map_or(own, Into::into),
            is_proved: self.is_proved,
            name: name.into(),
            address: self.address,
            alone,
            meta,
        })
    }

    pub(super) fn peer_id(&self) -> String {
        peer_id(self.peer)
    }
}
