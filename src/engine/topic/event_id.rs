//! The id of an event, as clients see it, and the places that are named with one.

use std::fmt;

use super::Epoch;

/// `<epoch>-<offset>`: unique for ever, and the same for all subscribers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// The epoch of its log.
    pub epoch: Epoch,
    /// Its place in that epoch, from 1.
    pub offset: u64,
}

impl EventId {
    /// Reads what `Display` wrote.
    pub fn parse(text: &str) -> Option<EventId> {
        let (epoch, offset) = text.split_once('-')?;
        let is_plain = offset.bytes().all(|byte| byte.is_ascii_digit());
        Some(EventId { epoch: Epoch::parse(epoch)?, offset: offset.parse().ok().filter(|_| is_plain)? })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.offset)
    }
}

/// Everything of a topic up to and including an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UpTo {
    /// Of which epoch, where it is said. An offset alone may be taken for another epoch's.
    pub epoch: Option<Epoch>,
    /// The last offset that is meant.
    pub offset: u64,
}

impl From<u64> for UpTo {
    fn from(offset: u64) -> UpTo {
        UpTo { epoch: None, offset }
    }
}

impl From<EventId> for UpTo {
    fn from(id: EventId) -> UpTo {
        UpTo { epoch: Some(id.epoch), offset: id.offset }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_they_are_written() {
        let id = EventId { epoch: Epoch::new(0x3f5b_d15d_5b26_1b01), offset: 7 };
        assert_eq!(id.to_string(), "3f5bd15d5b261b01-7");
        assert_eq!(EventId::parse("3f5bd15d5b261b01-7"), Some(id));
        for bad in
            ["", "7", "-7", "3f5bd15d5b261b01-", "3f5bd15d5b261b01-+7", "3F5bd15d5b261b01-7", "3f5bd15d5b261b01-7-7"]
        {
            assert_eq!(EventId::parse(bad), None, "{bad}");
        }
        assert_eq!(EventId::parse("3f5bd15d5b261b01-18446744073709551616"), None);
    }
}
