//! The types that clients send, in both eras.

use super::{Era, SignalKind};

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dialect::signaling) enum Kind {
    Create,
    Join,
    Connect,
    Disconnect,
    Leave,
    Kick,
    Rename,
    Ping,
    Rooms,
    ClientInfo,
    Signal(SignalKind),
    Challenge,
    Prove,
    Resume,
    Presence,
    IceServers,
    Relay,
}

/// The place of an unknown type in the metric's label values.
pub(in crate::dialect::signaling) const UNKNOWN: usize = 19;

impl Kind {
    /// A type and its era; `None` as the era of what both have.
    pub(in crate::dialect::signaling) fn of(name: &str) -> Option<(Kind, Option<Era>)> {
        use Era::{Network, Room};
        Some(match name {
            "CreateRoom" => (Kind::Create, Some(Room)),
            "JoinRoom" => (Kind::Join, Some(Room)),
            "ConnectRoom" => (Kind::Connect, Some(Room)),
            "DisconnectRoom" => (Kind::Disconnect, Some(Room)),
            "LeaveRoom" => (Kind::Leave, Some(Room)),
            "GetUserRooms" => (Kind::Rooms, Some(Room)),
            "Offer" => (Kind::Signal(SignalKind::Offer), Some(Room)),
            "Answer" => (Kind::Signal(SignalKind::Answer), Some(Room)),
            "Candidate" => (Kind::Signal(SignalKind::Candidate), Some(Room)),
            "CreateNetwork" => (Kind::Create, Some(Network)),
            "JoinNetwork" => (Kind::Join, Some(Network)),
            "ConnectNetwork" => (Kind::Connect, Some(Network)),
            "DisconnectNetwork" => (Kind::Disconnect, Some(Network)),
            "LeaveNetwork" => (Kind::Leave, Some(Network)),
            "GetComputerNetworks" => (Kind::Rooms, Some(Network)),
            "UpdateClientInfo" => (Kind::ClientInfo, Some(Network)),
            "SdpOffer" => (Kind::Signal(SignalKind::Offer), Some(Network)),
            "SdpAnswer" => (Kind::Signal(SignalKind::Answer), Some(Network)),
            "IceCandidate" => (Kind::Signal(SignalKind::Candidate), Some(Network)),
            "Kick" => (Kind::Kick, None),
            "Rename" => (Kind::Rename, None),
            "Ping" => (Kind::Ping, None),
            "GetChallenge" => (Kind::Challenge, None),
            "Prove" => (Kind::Prove, None),
            "Resume" => (Kind::Resume, None),
            "Presence" => (Kind::Presence, None),
            "GetIceServers" => (Kind::IceServers, None),
            "Relay" => (Kind::Relay, None),
            _ => return None,
        })
    }

    /// Its place in the metric's label values.
    pub(in crate::dialect::signaling) fn place(self) -> usize {
        match self {
            Kind::Create => 0,
            Kind::Join => 1,
            Kind::Connect => 2,
            Kind::Disconnect => 3,
            Kind::Leave => 4,
            Kind::Kick => 5,
            Kind::Rename => 6,
            Kind::Ping => 7,
            Kind::Rooms => 8,
            Kind::ClientInfo => 9,
            Kind::Signal(SignalKind::Offer) => 10,
            Kind::Signal(SignalKind::Answer) => 11,
            Kind::Signal(SignalKind::Candidate) => 12,
            Kind::Prove => 13,
            Kind::Resume => 14,
            Kind::Presence => 15,
            Kind::IceServers => 16,
            Kind::Relay => 17,
            Kind::Challenge => 18,
        }
    }

    /// What it is called in `Invalid … format`.
    pub(in crate::dialect::signaling) fn described(self, era: Era) -> &'static str {
        match self {
            Kind::Create => era.pick("create room request", "create network request"),
            Kind::Join => era.pick("join room request", "join network request"),
            Kind::Connect => era.pick("connect room request", "connect network request"),
            Kind::Disconnect => era.pick("disconnect room request", "disconnect network request"),
            Kind::Leave => era.pick("leave room request", "leave network request"),
            Kind::Kick => "kick request",
            Kind::Rename => "rename request",
            Kind::Ping => "ping",
            Kind::Rooms => era.pick("get user rooms request", "get computer networks request"),
            Kind::ClientInfo => "update client info request",
            Kind::Signal(SignalKind::Offer) => era.pick("offer", "SDP offer"),
            Kind::Signal(SignalKind::Answer) => era.pick("answer", "SDP answer"),
            Kind::Signal(SignalKind::Candidate) => era.pick("candidate", "ICE candidate"),
            Kind::Challenge => "get challenge request",
            Kind::Prove => "prove request",
            Kind::Resume => "resume request",
            Kind::Presence => "presence request",
            Kind::IceServers => "get ice servers request",
            Kind::Relay => "relay",
        }
    }
}
