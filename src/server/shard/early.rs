//! Connections that did not say what they speak: their first message tells.
//!
//! Owns what is known of them until then, and who turned out to speak signaling: messages that their
//! reactor read before it heard of that are still marked as hydrogen-protocol's.

use rustc_hash::FxHashMap;

use crate::base::{ConnId, DialectId};
use crate::engine::auth::Identity;
use crate::engine::work::Opening;

/// The connections of one worker that did not say what they speak.
#[derive(Debug, Default)]
pub(super) struct Early {
    conns: FxHashMap<ConnId, Stage>,
    /// Whether signaling is for those alone who showed a key.
    needs_key: bool,
}

#[derive(Debug)]
enum Stage {
    Undecided(Box<Opening>),
    /// It speaks signaling.
    Moved,
}

/// What is to be done with a message.
#[derive(Debug)]
pub(super) enum Way {
    /// It is for this dialect.
    Goes(DialectId),
    /// It is its connection's first, and for hydrogen-protocol.
    Stays(Box<Opening>),
    /// It is its connection's first, and for signaling.
    Moves(Box<Opening>),
}

impl Early {
    pub(super) fn new(needs_key: bool) -> Early {
        Early { conns: FxHashMap::default(), needs_key }
    }

    /// A connection of hydrogen-protocol was let in; whether it is one that did not say so.
    pub(super) fn on_open(&mut self, opening: &Opening) -> bool {
        let is_undecided = opening.protocol.is_none();
        if is_undecided {
            self.conns.insert(opening.conn, Stage::Undecided(Box::new(opening.clone())));
        }
        is_undecided
    }

    /// Where a message goes that is marked as `marked`'s.
    pub(super) fn way(&mut self, conn: ConnId, marked: DialectId, speaks: impl FnOnce() -> bool) -> Way {
        if self.conns.is_empty() {
            return Way::Goes(marked);
        }
        match (marked, self.conns.remove(&conn)) {
            (marked, None) => Way::Goes(marked),
            (DialectId::Hydrogen, Some(Stage::Moved)) => {
                self.conns.insert(conn, Stage::Moved);
                Way::Goes(DialectId::Signaling)
            }
            // Its reactor knows: no other mark comes any more.
            (marked @ (DialectId::Signaling | DialectId::Echo), Some(_)) => Way::Goes(marked),
            (DialectId::Hydrogen, Some(Stage::Undecided(mut opening))) => {
                if self.may_move(opening.identity.as_deref()) && speaks() {
                    self.conns.insert(conn, Stage::Moved);
                    opening.dialect = DialectId::Signaling;
                    return Way::Moves(opening);
                }
                Way::Stays(opening)
            }
        }
    }

    /// A connection is over.
    pub(super) fn on_closed(&mut self, conn: ConnId) {
        self.conns.remove(&conn);
    }

    fn may_move(&self, identity: Option<&Identity>) -> bool {
        !self.needs_key || identity.is_some_and(|identity| &*identity.name != Identity::ANONYMOUS_NAME)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::auth::Permissions;

    fn opening(conn: u64, identity: Option<&str>, protocol: Option<&str>) -> Opening {
        let identity = identity.map(|name| Arc::new(Identity::outside(name, Permissions::default(), None)));
        Opening {
            conn: ConnId::from_u64(conn),
            dialect: DialectId::Hydrogen,
            identity,
            address: ([127, 0, 0, 1], 1).into(),
            protocol: protocol.map(Arc::from),
            client_id: None,
            access_version: 0,
            resume: None,
        }
    }

    #[test]
    fn the_first_message_decides_and_what_was_under_way_follows() {
        let mut early = Early::new(false);
        let (one, other) = (ConnId::from_u64(1), ConnId::from_u64(2));
        assert!(early.on_open(&opening(1, None, None)) && early.on_open(&opening(2, Some("anonymous"), None)));
        let way = |early: &mut Early, conn, marked, speaks| early.way(conn, marked, || speaks);
        let moved = way(&mut early, one, DialectId::Hydrogen, true);
        assert!(matches!(moved, Way::Moves(opening) if opening.dialect == DialectId::Signaling));
        assert!(matches!(way(&mut early, one, DialectId::Hydrogen, false), Way::Goes(DialectId::Signaling)));
        assert!(matches!(way(&mut early, one, DialectId::Signaling, false), Way::Goes(DialectId::Signaling)));
        assert!(matches!(way(&mut early, other, DialectId::Hydrogen, false), Way::Stays(_)));
        assert!(matches!(way(&mut early, other, DialectId::Hydrogen, true), Way::Goes(DialectId::Hydrogen)));
        assert!(early.conns.is_empty());
    }

    #[test]
    fn whoever_named_a_subprotocol_or_lacks_a_needed_key_stays() {
        let mut early = Early::new(true);
        assert!(!early.on_open(&opening(1, None, Some("hydrogen"))));
        for (conn, identity, moves) in [(2, None, false), (3, Some("anonymous"), false), (4, Some("ann"), true)] {
            early.on_open(&opening(conn, identity, None));
            let way = early.way(ConnId::from_u64(conn), DialectId::Hydrogen, || true);
            assert_eq!(matches!(way, Way::Moves(_)), moves, "{identity:?}");
        }
        early.on_open(&opening(5, None, None));
        early.on_closed(ConnId::from_u64(5));
        assert!(matches!(early.way(ConnId::from_u64(5), DialectId::Hydrogen, || true), Way::Goes(DialectId::Hydrogen)));
    }
}
