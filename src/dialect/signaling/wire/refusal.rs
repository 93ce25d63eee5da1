//! Why a request is refused: the exact texts, in the words of either era.

use std::borrow::Cow;

use super::{Era, Kind};
use crate::base::Code;

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dialect::signaling) enum Refusal {
    Message,
    Format(Kind),
    UnknownType,
    Busy,
    RateLimited,
    ForeignKey,
    KeyInUse,
    ProofOff,
    ProofRequired,
    ProofFailed,
    Fields,
    Pattern,
    AlreadyCreated(Box<str>),
    RoomLimit,
    IdConflict,
    KeyFormat,
    NotCreated,
    NoRoom,
    WrongPassword,
    KeyRequired,
    Full,
    NoAddress,
    NotJoined,
    MemberRequired,
    TooManyRooms,
    NotInAny,
    NotInThis,
    RoomNotFound,
    NotLeft,
    NotDeleted,
    OnlyOwnerKicks,
    OnlyOwnerRenames,
    NoTarget,
    NotKicked,
    NotRenamed,
    SenderWithoutKey,
    SenderInNone,
    NoPeer(Box<str>),
    RoomsFailed,
    InfoKeyRequired,
    InfoNameRequired,
    InfoFailed,
    NotProved,
    RelayOff,
    RelayQuota,
    NoResume,
}

impl Refusal {
    /// The text, exactly as clients know it.
    pub(in crate::dialect::signaling) fn text(&self, era: Era) -> Cow<'static, str> {
        let fixed = match self {
            Refusal::Message => "Invalid message format",
            Refusal::Format(kind) => return format!("Invalid {} format", kind.described(era)).into(),
            Refusal::UnknownType => "Unknown message type",
            Refusal::Busy => "Server is busy. Please try again later.",
            Refusal::RateLimited => "Rate limit exceeded. Please try again later.",
            Refusal::ForeignKey => "Public key does not match this connection",
            Refusal::KeyInUse => "Public key is in use by another connection",
            Refusal::ProofOff => "Proof of possession is not enabled",
            Refusal::ProofRequired => "Proof of possession required",
            Refusal::ProofFailed => "Proof of possession failed",
            Refusal::Fields => era.pick(
                "Room name, password, and public key are required",
                "Network name, pin, and public key are required",
            ),
            Refusal::Pattern => {
                era.pick("Password does not match required pattern", "PIN does not match required pattern")
            }
            Refusal::AlreadyCreated(id) => {
                return format!("This public key has already created {}: {id}", era.noun()).into();
            }
            Refusal::RoomLimit => era.pick("Maximum room limit reached", "Maximum network limit reached"),
            Refusal::IdConflict => {
                era.pick("Room ID conflict, please try again", "Network ID conflict, please try again")
            }
            Refusal::KeyFormat => "Invalid public key format",
            Refusal::NotCreated => era.pick("Error creating room in database", "Error creating network in database"),
            Refusal::NoRoom => era.pick("Room does not exist", "Network does not exist"),
            Refusal::WrongPassword => era.pick("Incorrect password", "Incorrect PIN"),
            Refusal::KeyRequired => "Public key is required",
            Refusal::Full => era.pick("Room is full", "Network is full"),
            Refusal::NoAddress => era.pick("Room is full", "Failed to assign IP address"),
            Refusal::NotJoined => era.pick("Error adding user to room", "Error adding computer to network"),
            Refusal::MemberRequired => era.pick("You must join this room first", "You must join this network first"),
            Refusal::TooManyRooms => {
                era.pick("Too many rooms on this connection", "Too many networks on this connection")
            }
            Refusal::NotInAny => era.pick("Not connected to any room", "Not connected to any network"),
            Refusal::NotInThis => era.pick("Not connected to this room", "Not connected to this network"),
            Refusal::RoomNotFound => era.pick("Room not found", "Network not found"),
            Refusal::NotLeft => era.pick("Error removing user from room", "Error removing computer from network"),
            Refusal::NotDeleted => {
                era.pick("Failed to delete room from database", "Failed to delete network from database")
            }
            Refusal::OnlyOwnerKicks => {
                era.pick("Only room owner can kick users", "Only network owner can kick computers")
            }
            Refusal::OnlyOwnerRenames => {
                era.pick("Only room owner can rename the room", "Only network owner can rename the network")
            }
            Refusal::NoTarget => "Target client not found",
            Refusal::NotKicked => era.pick("Error removing user from room", "Error removing computer from network"),
            Refusal::NotRenamed => {
                era.pick("Error updating room name in database", "Error updating network name in database")
            }
            Refusal::SenderWithoutKey => "Sender public key not found",
            Refusal::SenderInNone => "Sender not in any network",
            Refusal::NoPeer(target) => {
                return format!("Target client {target} not found or not in the same network").into();
            }
            Refusal::RoomsFailed => era.pick("Error fetching user rooms", "Error fetching computer networks"),
            Refusal::InfoKeyRequired => "Public key is required for updating client info",
            Refusal::InfoNameRequired => "Client name is required",
            Refusal::InfoFailed => "Failed to update client name: the store did not take it",
            Refusal::NotProved => era.pick("Error updating user in database", "Error updating computer in database"),
            Refusal::RelayOff => "Relay is not enabled",
            Refusal::RelayQuota => "Relay quota exceeded",
            Refusal::NoResume => "Resume token is not valid",
        };
        Cow::Borrowed(fixed)
    }

    /// What it is counted as.
    pub(in crate::dialect::signaling) fn code(&self) -> Code {
        match self {
            Refusal::Message => Code::BadJson,
            Refusal::Format(_)
            | Refusal::Fields
            | Refusal::Pattern
            | Refusal::KeyFormat
            | Refusal::KeyRequired
            | Refusal::InfoKeyRequired
            | Refusal::InfoNameRequired => Code::BadData,
            Refusal::UnknownType => Code::BadType,
            Refusal::Busy
            | Refusal::NotCreated
            | Refusal::NotJoined
            | Refusal::NotLeft
            | Refusal::NotDeleted
            | Refusal::NotKicked
            | Refusal::NotRenamed
            | Refusal::RoomsFailed
            | Refusal::InfoFailed
            | Refusal::NotProved => Code::Unavailable,
            Refusal::RateLimited | Refusal::RelayQuota => Code::RateLimited,
            Refusal::ForeignKey
            | Refusal::KeyInUse
            | Refusal::ProofOff
            | Refusal::MemberRequired
            | Refusal::OnlyOwnerKicks
            | Refusal::OnlyOwnerRenames
            | Refusal::RelayOff => Code::Forbidden,
            Refusal::ProofRequired | Refusal::ProofFailed | Refusal::WrongPassword | Refusal::NoResume => {
                Code::Unauthenticated
            }
            Refusal::AlreadyCreated(_)
            | Refusal::RoomLimit
            | Refusal::IdConflict
            | Refusal::Full
            | Refusal::NoAddress
            | Refusal::TooManyRooms
            | Refusal::NotInAny
            | Refusal::NotInThis
            | Refusal::SenderWithoutKey
            | Refusal::SenderInNone => Code::Conflict,
            Refusal::NoRoom | Refusal::RoomNotFound | Refusal::NoTarget | Refusal::NoPeer(_) => Code::NotFound,
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_page_has_every_text() {
        let page = include_str!("../../../../docs/signaling.md");
        let code = include_str!("refusal.rs").split("fn text(").nth(1).unwrap().split("fn code(").next().unwrap();
        let texts: Vec<&str> = code.split('"').skip(1).step_by(2).collect();
        assert!(texts.len() > 40);
        for text in texts {
            // Of networks the page says that they have the same in other words.
            let is_of_networks = ["etwork", "PIN", "omputer"].iter().any(|word| text.contains(word));
            let known = text.split('{').next().unwrap();
            assert!(is_of_networks || page.contains(known), "{text}");
        }
    }
}
