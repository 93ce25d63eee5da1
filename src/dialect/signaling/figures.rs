//! What a shard tells of its rooms, for the status.

use crate::base::Wall;

/// One worker's rooms.
#[derive(Clone, Debug, Default)]
pub struct RoomFigures {
    /// Rooms that there are.
    pub rooms: usize,
    /// Those of them that somebody is connected to.
    pub active_rooms: usize,
    /// Memberships, connected or not.
    pub members: usize,
    /// Connections of this worker.
    pub connections: usize,
    /// Those of them that are in a room.
    pub connections_in_rooms: usize,
    /// Places that are kept for connections that are lost.
    pub away: usize,
    /// Candidates that wait for their offer.
    pub held_candidates: usize,
    /// Signals that wait for who is away.
    pub queued_signals: usize,
    /// When rooms without activity were last looked for.
    pub last_cleanup: Option<Wall>,
    /// Rooms one by one: the first thousand by their ids.
    pub rows: Vec<RoomRow>,
}

/// One room.
#[derive(Clone, Debug)]
pub struct RoomRow {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its owner's key.
    pub owner: String,
    /// When it was made.
    pub created: Wall,
    /// When something last happened in it.
    pub last_active: Wall,
    /// Its members.
    pub members: Vec<MemberFigures>,
}

/// One member.
#[derive(Clone, Debug)]
pub struct MemberFigures {
    /// Its key.
    pub public_key: String,
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub state: MemberState,
}

/// Whether a member is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// A connection of it is in the room.
    Online,
    /// Its connection was lost, and its place is kept.
    Away,
    /// It is a member, and not connected.
    Offline,
}
