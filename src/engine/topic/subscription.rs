//! One subscription's name and options, and what a reactor needs to know of it.

use std::sync::Arc;

use super::filter::Filter;
use crate::base::ConnId;
use crate::engine::outbound::{Lane, Overflow, Policy};

/// Names a subscription: its connection, and a number that is unique within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubKey {
    /// Who subscribed.
    pub conn: ConnId,
    /// Which of its subscriptions.
    pub number: u32,
}

/// What a subscriber asked for.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The outbound lane.
    pub lane: Lane,
    /// The policy for a full queue.
    pub overflow: Overflow,
    /// While the client is slow, keep only the newest event of each topic.
    pub conflate: bool,
    /// Only events whose payload passes.
    pub filter: Option<Arc<Filter>>,
}

/// The options that a reactor needs, in one byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TargetFlags(u8);

impl TargetFlags {
    const BULK: u8 = 1;
    const DROP_OLDEST: u8 = 2;
    const CONFLATE: u8 = 4;

    /// Packs the options.
    pub fn new(lane: Lane, overflow: Overflow, conflate: bool) -> TargetFlags {
        let lane = match lane {
            // Events never take the control lane.
            Lane::Control | Lane::Events => 0,
            Lane::Bulk => Self::BULK,
        };
        let overflow = match overflow {
            Overflow::Disconnect => 0,
            Overflow::DropOldest => Self::DROP_OLDEST,
        };
        TargetFlags(lane | overflow | if conflate { Self::CONFLATE } else { 0 })
    }

    /// The outbound lane.
    pub fn lane(self) -> Lane {
        if self.0 & Self::BULK == 0 { Lane::Events } else { Lane::Bulk }
    }

    /// The same options in another's lane.
    pub fn in_lane_of(self, other: TargetFlags) -> TargetFlags {
        TargetFlags(self.0 & !Self::BULK | other.0 & Self::BULK)
    }

    /// The policy for a full queue.
    pub fn overflow(self) -> Overflow {
        if self.0 & Self::DROP_OLDEST == 0 { Overflow::Disconnect } else { Overflow::DropOldest }
    }

    /// Whether only the newest event of each topic is kept while the client is slow.
    pub fn is_conflated(self) -> bool {
        self.0 & Self::CONFLATE != 0
    }
}

impl From<&Options> for TargetFlags {
    fn from(options: &Options) -> TargetFlags {
        TargetFlags::new(options.lane, options.overflow, options.conflate)
    }
}

/// One receiver of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The connection.
    pub conn: ConnId,
    /// How it wants the event.
    pub flags: TargetFlags,
}

impl Target {
    /// How it wants the event, spelt out.
    pub fn policy(&self) -> Policy {
        Policy { lane: self.flags.lane(), overflow: self.flags.overflow(), conflate: self.flags.is_conflated() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_options_survives_packing() {
        for lane in [Lane::Events, Lane::Bulk] {
            for overflow in [Overflow::Disconnect, Overflow::DropOldest] {
                for conflate in [false, true] {
                    let flags = TargetFlags::from(&Options { lane, overflow, conflate, filter: None });
                    assert_eq!((flags.lane(), flags.overflow(), flags.is_conflated()), (lane, overflow, conflate));
                }
            }
        }
    }

    #[test]
    fn a_target_stays_small() {
        assert_eq!(size_of::<Target>(), 16);
    }
}
