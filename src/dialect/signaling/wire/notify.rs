//! What members are told of each other, in no era's words yet.

use crate::base::Wall;

/// A member, as others are told of it.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) struct Person {
    pub key: Box<str>,
    pub name: Box<str>,
    /// The last byte of its address.
    pub address: u8,
    pub online: bool,
}

/// Something that the members of a room are told.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) enum Notice {
    /// Somebody is new, or is there already when the receiver comes (`polite`).
    Joined { room: Box<str>, person: Person, peer: u64, polite: bool },
    /// A member is back, or is there already when the receiver comes back.
    Connected { room: Box<str>, person: Person, peer: u64, polite: bool },
    /// Somebody is no member any more, or its connection is `lost`.
    Left { room: Box<str>, key: Box<str>, peer: Option<u64>, lost: bool },
    /// Somebody went, and stays a member.
    Disconnected { room: Box<str>, key: Box<str>, peer: u64 },
    /// The connection is lost, and its place is kept.
    Away { room: Box<str>, key: Box<str>, peer: u64 },
    /// It is back in its place.
    Back { room: Box<str>, key: Box<str>, peer: u64 },
    /// The room is no more.
    Deleted { room: Box<str> },
    /// The room has a new name.
    Renamed { room: Box<str>, name: Box<str> },
    /// A member has a new name.
    Named { room: Box<str>, key: Box<str>, name: Box<str> },
    /// The receiver was put out of the room.
    Kicked { room: Box<str> },
    /// The receiver's key left the room on another connection.
    PutOut { room: Box<str> },
    /// A signal for the receiver.
    Signal(SignalOut),
    /// Data from a peer: a JSON string, encoded.
    Relay { room: Box<str>, key: Box<str>, peer: u64, data: Box<str> },
}

/// A signal as it goes out.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) struct SignalOut {
    /// The room through which it goes.
    pub room: Box<str>,
    pub name: &'static str,
    pub id: Box<str>,
    pub payload: Box<str>,
}

impl SignalOut {
    /// Bytes that it holds, about.
    pub(in crate::dialect::signaling) fn weight(&self) -> usize {
        self.payload.len() + self.id.len() + self.room.len() + 64
    }
}

/// Whether a peer is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect::signaling) enum PresenceState {
    Online,
    Away,
}

/// Who is in a room.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) struct Present {
    pub key: Box<str>,
    pub name: Box<str>,
    pub peer: u64,
    pub state: PresenceState,
}

/// One room of a member's list.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) struct Row {
    pub room: Box<str>,
    pub name: Box<str>,
    pub owner: Box<str>,
    pub is_connected: bool,
    pub joined: Wall,
    pub last_connected: Wall,
    pub address: u8,
    pub people: Vec<Person>,
}
