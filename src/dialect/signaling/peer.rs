//! What the shards of two workers tell each other.
//!
//! Three hold a part: the worker of a connection, the worker of a room, and the worker that counts
//! for an address. A shard tells itself the same things, in the same order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::place::Handover;
use super::token::Token;
use super::wire::{Era, Notice, Refusal, Reply, Row, Signal};
use crate::base::{ConnId, Mono, Secret, WorkerId};

/// A message from one worker's shard to another's.
#[derive(Debug)]
pub struct Peer(pub(super) Say);

#[derive(Debug)]
pub(super) enum Say {
    /// May this address make or join a room?
    Admit { conn: ConnId, address: IpAddr, has_password: bool },
    /// It may, or not.
    Admitted { conn: ConnId, is_admitted: bool, has_password: bool, address: IpAddr },
    /// The password of an admitted request was not wrong.
    Refund { address: IpAddr },
    /// Make a room.
    Create { caller: Box<Caller>, name: Box<str>, password: Secret },
    /// Something for a room.
    Room { room: Box<str>, ask: Ask },
    /// A room's answer.
    Answer { conn: ConnId, meta: Meta, alone: bool, key: Arc<str>, reply: Reply },
    /// Something that connections are told.
    Tell { conns: Vec<ConnId>, notice: Arc<Notice> },
    /// Which rooms has this member?
    RoomsOf { ask: u64, key: Arc<str>, is_proved: bool },
    /// Something of a member, in all of its rooms.
    Member { ask: u64, conn: ConnId, key: Arc<str>, deed: Deed, is_proved: bool },
    /// Has somebody proved this key, as a member of some room?
    IsProved { ask: u64, key: Arc<str> },
    /// A part of an answer of many.
    Part { ask: u64, part: Part },
    /// A new connection takes the place of a lost one.
    Resume { to: ConnId, address: SocketAddr, token: Token, key: Option<Arc<str>>, is_proved: bool },
    /// A room has made the change.
    Rebound { from: ConnId, room: Box<str>, name: Option<Box<str>> },
    /// What the lost connection had, if the token was right.
    Resumed { to: ConnId, handover: Option<Box<Handover>> },
    /// So many rooms has this worker.
    Count(usize),
}

/// A part of an answer of many.
#[derive(Debug)]
pub(super) enum Part {
    /// A worker's rooms.
    Rows(Vec<Row>),
    /// So many more parts come from this worker.
    More(usize),
    /// A room is done with it, or could not do it.
    Done(bool),
    /// In a room it is not the asker's to do.
    Refused(Refusal),
}

/// What an answer needs of its request.
#[derive(Clone, Debug)]
pub(super) struct Meta {
    pub id: Box<str>,
    pub era: Era,
    pub read_at: Mono,
}

/// Who asks a room.
#[derive(Debug)]
pub(super) struct Caller {
    pub conn: ConnId,
    pub peer: u64,
    /// The key that it states, or its own; empty if there is none.
    pub key: Arc<str>,
    pub is_proved: bool,
    pub name: Box<str>,
    pub address: SocketAddr,
    /// The connection's next request waits for the answer.
    pub alone: bool,
    pub meta: Meta,
}

/// Something for a room.
#[derive(Debug)]
pub(super) enum Ask {
    /// A client's request.
    Request(Box<Caller>, Op),
    /// A connection is over.
    Gone { conn: ConnId },
    /// A connection is lost, and its place is kept.
    Away { conn: ConnId },
    /// A connection took the place of a lost one.
    Rebind { from: ConnId, to: ConnId, address: SocketAddr, is_proved: bool, back: WorkerId },
    /// Something of a member.
    Member { back: WorkerId, ask: u64, conn: ConnId, key: Arc<str>, deed: Deed, is_proved: bool },
}

/// What a member does in all of its rooms at once.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// It has a new name.
    Name(Box<str>),
    /// It has proved its key.
    Prove,
}

/// A client's request of a room.
#[derive(Debug)]
pub(super) enum Op {
    /// It waited behind a room of the same owner that was being made.
    Create {
        name: Box<str>,
        password: Secret,
    },
    Join {
        password: Secret,
    },
    Connect,
    Disconnect,
    Leave,
    Kick {
        target: Box<str>,
    },
    Rename {
        name: Box<str>,
    },
    /// `rest` are the sender's other rooms in which the peer may be.
    Signal {
        signal: Signal,
        rest: Vec<Box<str>>,
    },
    Relay {
        target: Box<str>,
        data: Box<str>,
    },
    Presence,
}
