//! The two vocabularies: rooms with peers, and networks with computers.

/// Whose words a message is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::dialect::signaling) enum Era {
    /// Rooms, peers and passwords.
    #[default]
    Room,
    /// Networks, computers and pins.
    Network,
}

impl Era {
    /// The first word, or the second.
    pub(in crate::dialect::signaling) fn pick<T>(self, room: T, network: T) -> T {
        match self {
            Era::Room => room,
            Era::Network => network,
        }
    }

    /// The field that names a room.
    pub(in crate::dialect::signaling) fn id(self) -> &'static str {
        self.pick("room_id", "network_id")
    }

    /// The field that holds a room's name.
    pub(in crate::dialect::signaling) fn name(self) -> &'static str {
        self.pick("room_name", "network_name")
    }

    /// What a room is called.
    pub(in crate::dialect::signaling) fn noun(self) -> &'static str {
        self.pick("room", "network")
    }
}
