//! What members are told of each other's keys: the keys themselves, or aliases in their place.
//!
//! Who proves nothing is believed whatever key it states, so that a key is as good as a password
//! to whoever knows it. Under aliases no member learns another's. An alias looks like a key, is of
//! one key in one room, and stays the same as long as the secret of the passwords' hashes does.

use std::sync::Arc;

use super::Pepper;
use super::record::RoomRecord;
use super::settings::PeerKeys;
use super::wire::Notice;

/// Gives keys their aliases, or leaves them as they are.
#[derive(Clone, Debug)]
pub(super) struct Aliases(Option<Arc<Pepper>>);

impl Aliases {
    pub(super) fn new(keys: PeerKeys, pepper: &Arc<Pepper>) -> Aliases {
        Aliases(match keys {
            PeerKeys::Real => None,
            PeerKeys::Alias => Some(pepper.clone()),
        })
    }

    /// What others are told of a key.
    pub(super) fn shown(&self, room: &str, key: &str) -> Box<str> {
        match &self.0 {
            Some(pepper) => pepper.alias(room, key),
            None => key.into(),
        }
    }

    /// The same, for who keeps it.
    pub(super) fn kept(&self, room: &str, key: &Arc<str>) -> Arc<str> {
        match &self.0 {
            Some(pepper) => pepper.alias(room, key).into(),
            None => key.clone(),
        }
    }

    /// What the owner of one key is told of another: of its own the truth.
    pub(super) fn shown_to(&self, to: &str, room: &str, key: &str) -> Box<str> {
        if key == to { key.into() } else { self.shown(room, key) }
    }

    /// Which member is meant by what others are told of its key.
    pub(super) fn member(&self, room: &RoomRecord, target: &str) -> Option<Arc<str>> {
        let mut members = room.members.iter();
        members.find(|member| *self.shown(&room.id, &member.key) == *target).map(|member| member.key.clone())
    }

    /// What those are told whose key is another than the one that a notice is of; `None` if they are
    /// told the same. What signals say is settled when they are made.
    pub(super) fn notice(&self, notice: &Notice) -> Option<Notice> {
        self.0.as_ref()?;
        let (room, key) = notice.of_key()?;
        Some(notice.with_key(self.shown(room, key)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::key::is_ed25519;
    use super::*;

    #[test]
    fn an_alias_looks_like_a_key_and_is_of_one_key_in_one_room() {
        let pepper = Arc::new(Pepper::new([7; 32]));
        let aliases = Aliases::new(PeerKeys::Alias, &pepper);
        let alias = aliases.shown("a", "k");
        assert!(is_ed25519(&alias));
        assert_eq!(alias, Aliases::new(PeerKeys::Alias, &pepper).shown("a", "k"));
        assert_ne!(alias, aliases.shown("b", "k"));
        assert_ne!(alias, aliases.shown("a", "l"));
        assert_ne!(alias, Aliases::new(PeerKeys::Alias, &Arc::new(Pepper::new([8; 32]))).shown("a", "k"));
        assert_eq!((&*aliases.shown_to("k", "a", "k"), aliases.shown_to("l", "a", "k")), ("k", alias));
        assert_eq!(&*Aliases::new(PeerKeys::Real, &pepper).shown("a", "k"), "k");
    }
}
