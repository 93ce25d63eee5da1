//! What a shard holds, told whole: for the simulator's checks.

use super::Signaling;
use super::record::RoomRecord;
use crate::base::ConnId;

/// What one worker's shard holds.
#[derive(Clone, Debug, Default)]
pub struct Look {
    /// Its rooms, by their ids.
    pub rooms: Vec<RoomLook>,
    /// Connections, lost ones among them.
    pub conns: usize,
    /// Lost ones.
    pub away: usize,
    /// Lost ones whose place is being taken.
    pub handing: usize,
    /// Tokens that are good.
    pub tokens: usize,
    /// Answers of many that are being collected.
    pub gathers: usize,
    /// The most messages of one connection that wait for the one before them.
    pub held_messages: usize,
    /// The most signals that wait for one lost connection.
    pub queued_signals: usize,
}

/// One room.
#[derive(Clone, Debug)]
pub struct RoomLook {
    /// Its record: of one that is being made, the one that is being written.
    pub record: RoomRecord,
    /// Members and the last bytes of their addresses, in the order in which they joined.
    pub members: Vec<(Box<str>, u8)>,
    /// The keys of those that were proved.
    pub proved: Vec<Box<str>>,
    /// Who is there, in the order in which they came.
    pub live: Vec<LiveLook>,
    /// A change of it is being written.
    pub is_changing: bool,
    /// Requests that wait for the change.
    pub mail: usize,
    /// The most candidates of one peer for another that wait for an offer.
    pub held_candidates: usize,
}

/// A connection in a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveLook {
    /// Which.
    pub conn: ConnId,
    /// What others know it by.
    pub peer: u64,
    /// Its key.
    pub key: Box<str>,
    /// Whether it is lost.
    pub is_away: bool,
}

impl Signaling {
    /// What it holds, for the simulator's checks.
    pub fn look(&self) -> Look {
        let rooms = self.rooms.iter().map(|room| RoomLook {
            record: room.record.clone(),
            members: room.record.members.iter().map(|member| (member.key.as_ref().into(), member.address)).collect(),
            proved: room
                .record
                .members
                .iter()
                .filter(|member| member.is_proved)
                .map(|member| member.key.as_ref().into())
                .collect(),
            live: room
                .live
                .iter()
                .map(|live| LiveLook {
                    conn: live.conn,
                    peer: live.peer,
                    key: live.key.as_ref().into(),
                    is_away: live.is_away,
                })
                .collect(),
            is_changing: room.change.is_some(),
            mail: room.mail.len(),
            held_candidates: room.held.values().map(|held| held.signals.len()).max().unwrap_or(0),
        });
        Look {
            rooms: rooms.collect(),
            conns: self.conns.len(),
            away: self.away,
            handing: self.handing.len(),
            tokens: self.tokens.len(),
            gathers: self.gathers.len(),
            held_messages: self.conns.values().map(|conn| conn.held.len()).max().unwrap_or(0),
            queued_signals: self.conns.values().map(|conn| conn.queue.len()).max().unwrap_or(0),
        }
    }
}
