//! Ids. A connection's id carries a generation, so that a late message for a closed connection
//! never reaches the one that took its slot.

use std::fmt;

/// Number of a reactor thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReactorId(pub u8);

/// Number of a worker thread, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(pub u16);

/// One accepted socket: reactor (8 bits), generation (32 bits) and slot (24 bits).
///
/// It fits a poll token, and is unique until a slot's generation wraps after 2^32 uses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(u64);

impl ConnId {
    /// Slots one reactor can hold.
    pub const SLOTS_MAX: usize = 1 << 24;

    /// Packs the three parts. `slot` must be below [`Self::SLOTS_MAX`].
    pub fn new(reactor: ReactorId, slot: usize, generation: u32) -> ConnId {
        debug_assert!(slot < Self::SLOTS_MAX);
        ConnId((u64::from(reactor.0) << 56) | (u64::from(generation) << 24) | slot as u64)
    }

    /// The id that [`Self::as_u64`] gave.
    pub fn from_u64(raw: u64) -> ConnId {
        ConnId(raw)
    }

    /// All 64 bits, for a poll token or a log field.
    pub fn as_u64(self) -> u64 {
        self.0
    }

    /// The reactor that owns the socket.
    pub fn reactor(self) -> ReactorId {
        ReactorId((self.0 >> 56) as u8)
    }

    /// The place in its reactor's table.
    pub fn slot(self) -> usize {
        (self.0 & (Self::SLOTS_MAX as u64 - 1)) as usize
    }

    /// How often that place was used before.
    pub fn generation(self) -> u32 {
        (self.0 >> 24) as u32
    }
}

impl fmt::Display for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.reactor().0, self.slot(), self.generation())
    }
}

impl fmt::Debug for ConnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnId({self})")
    }
}

/// Reads what `Display` wrote: `reactor.slot.generation`.
impl std::str::FromStr for ConnId {
    type Err = ();

    fn from_str(text: &str) -> Result<ConnId, ()> {
        let mut parts = text.split('.');
        let mut next = || parts.next().ok_or(());
        let reactor = next()?.parse::<u8>().map_err(|_| ())?;
        let slot = next()?.parse::<usize>().map_err(|_| ())?;
        let generation = next()?.parse::<u32>().map_err(|_| ())?;
        if slot >= Self::SLOTS_MAX || parts.next().is_some() {
            return Err(());
        }
        Ok(ConnId::new(ReactorId(reactor), slot, generation))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_packing_at_their_extremes() {
        for (reactor, slot, generation) in [(0, 0, 0), (255, ConnId::SLOTS_MAX - 1, u32::MAX), (3, 77, 9)] {
            let id = ConnId::new(ReactorId(reactor), slot, generation);
            assert_eq!((id.reactor().0, id.slot(), id.generation()), (reactor, slot, generation));
            assert_eq!(ConnId::from_u64(id.as_u64()), id);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
    }
}
