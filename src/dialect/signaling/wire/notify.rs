//! What members are told of each other, in no era's words yet.

use crate::base::Wall;

/// A member, as others are told of it.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) struct Person {
    pub key: Box<str>,
    pub name: Box<str>,
    /// What it called itself when it came, in the words that keep no name.
    pub called: Option<Box<str>>,
    /// The last byte of its address.
    pub address: u8,
    pub online: bool,
}

/// Something that the members of a room are told.
#[derive(Clone, Debug)]
pub(in crate::dialect::signaling) enum Notice {
    /// Somebody is new, or is there already when the receiver comes (`polite`).
    Joined { room: Box<str>, person: Person, peer: u64, polite: bool },
    /// Of several connections with a key one went, and this one stays: who knows members by their keys
    /// takes the member for gone.
    Stays { room: Box<str>, person: Person, peer: u64, polite: bool },
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

impl Notice {
    /// Which room it is of.
    pub(in crate::dialect::signaling) fn room(&self) -> &str {
        match self {
            Notice::Joined { room, .. }
            | Notice::Stays { room, .. }
            | Notice::Connected { room, .. }
            | Notice::Left { room, .. }
            | Notice::Disconnected { room, .. }
            | Notice::Away { room, .. }
            | Notice::Back { room, .. }
            | Notice::Deleted { room }
            | Notice::Renamed { room, .. }
            | Notice::Named { room, .. }
            | Notice::Kicked { room }
            | Notice::PutOut { room }
            | Notice::Relay { room, .. } => room,
            Notice::Signal(signal) => &signal.room,
        }
    }

    /// Whose key it tells, and in which room.
    pub(in crate::dialect::signaling) fn of_key(&self) -> Option<(&str, &str)> {
        match self {
            Notice::Joined { room, person, .. }
            | Notice::Stays { room, person, .. }
            | Notice::Connected { room, person, .. } => Some((room, &person.key)),
            Notice::Left { room, key, .. }
            | Notice::Disconnected { room, key, .. }
            | Notice::Away { room, key, .. }
            | Notice::Back { room, key, .. }
            | Notice::Named { room, key, .. }
            | Notice::Relay { room, key, .. } => Some((room, key)),
            Notice::Deleted { .. }
            | Notice::Renamed { .. }
            | Notice::Kicked { .. }
            | Notice::PutOut { .. }
            | Notice::Signal(_) => None,
        }
    }

    /// The same of another key.
    pub(in crate::dialect::signaling) fn with_key(&self, other: Box<str>) -> Notice {
        let mut notice = self.clone();
        match &mut notice {
            Notice::Joined { person, .. } | Notice::Stays { person, .. } | Notice::Connected { person, .. } => {
                person.key = other;
            }
            Notice::Left { key, .. }
            | Notice::Disconnected { key, .. }
            | Notice::Away { key, .. }
            | Notice::Back { key, .. }
            | Notice::Named { key, .. }
            | Notice::Relay { key, .. } => *key = other,
            Notice::Deleted { .. }
            | Notice::Renamed { .. }
            | Notice::Kicked { .. }
            | Notice::PutOut { .. }
            | Notice::Signal(_) => {}
        }
        notice
    }
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
